//! Random programs of tensor operations on random shapes, empty and single axes among them, and on
//! numbers of all kinds. See `README.md` beside this file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use relax_runtime::{Device, Error, Key, Result, Shape, Stream, Tensor, grad};

/// Cases of each test, where `RELAX_FUZZ_CASES` does not say otherwise.
const CASES: u64 = 400;

fn cases() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("RELAX_FUZZ_SEED").unwrap_or(0);
    first..first + number("RELAX_FUZZ_CASES").unwrap_or(CASES)
}

/// Runs a case for each seed, and says which one failed.
fn fuzz(what: &str, case: impl Fn(u64) -> Result<()>) {
    for seed in cases() {
        let failure = match catch_unwind(AssertUnwindSafe(|| case(seed))) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a panic, shown above".into(),
        };
        panic!("{what}, RELAX_FUZZ_SEED={seed} RELAX_FUZZ_CASES=1: {failure}");
    }
}

/// One operation: which earlier results it takes is fixed.
type Op = Rc<dyn Fn(&[Tensor]) -> Tensor>;

struct Program {
    inputs: Vec<Tensor>,
    ops: Vec<(String, Op)>,
}

impl Program {
    /// All results, inputs first.
    fn run(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let mut results = inputs.to_vec();
        for (_, op) in &self.ops {
            results.push(op(&results));
        }
        results
    }

    fn text(&self) -> String {
        let inputs: Vec<String> = self.inputs.iter().map(|x| x.shape().to_string()).collect();
        let ops: Vec<&str> = self.ops.iter().map(|(name, _)| &name[..]).collect();
        format!("{} -> {}", inputs.join(" "), ops.join(" "))
    }
}

/// What a case draws from.
struct Source {
    stream: Stream,
    /// Whether operations have derivatives everywhere, and fit their operands.
    smooth: bool,
}

impl Source {
    fn new(seed: u64, smooth: bool) -> Self {
        let stream = Key::new(seed).stream(if smooth { "smooth" } else { "wild" });
        Self { stream, smooth }
    }

    fn below(&mut self, n: usize) -> usize {
        self.stream.below(n)
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.stream.below(from.len())]
    }

    fn shape(&mut self) -> Shape {
        let lengths: &[usize] = match self.smooth {
            true => &[1, 1, 2, 3, 5],
            false => &[0, 1, 1, 2, 3, 5, 17],
        };
        let rank = self.below(5);
        let mut axes: Vec<usize> = (0..rank).map(|_| self.one_of(lengths)).collect();
        while axes.iter().product::<usize>() > 200 {
            axes.pop();
        }
        Shape::try_from(&axes[..]).unwrap_or(Shape::SCALAR)
    }

    /// A shape that often broadcasts with another one.
    fn beside(&mut self, shape: Shape) -> Shape {
        if !self.smooth && self.below(6) == 0 {
            return self.shape();
        }
        let mut axes: Vec<usize> = shape[self.below(shape.rank() + 1)..].to_vec();
        for axis in &mut axes {
            if self.below(3) == 0 {
                *axis = 1;
            }
        }
        Shape::try_from(&axes[..]).unwrap_or(shape)
    }

    fn number(&mut self) -> f32 {
        const WILD: [f32; 14] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            1e-39,
            -1e-45,
            f32::MIN_POSITIVE,
            1e-20,
            -1e20,
            88.9,
            f32::MAX,
            f32::NEG_INFINITY,
            f32::INFINITY,
            f32::NAN,
        ];
        match self.smooth || self.below(4) > 0 {
            true => (self.stream.uniform() * 2.0 - 1.0) * 1.5,
            false => self.one_of(&WILD),
        }
    }

    fn tensor(&mut self, shape: Shape) -> Tensor {
        let values = (0..shape.numel()).map(|_| self.number()).collect();
        Tensor::from_vec(values, shape, &Device::cpu()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn axis(&mut self, x: &Tensor) -> isize {
        match self.smooth {
            true => self.below(x.rank()) as isize,
            false => self.below(10) as isize - 5,
        }
    }

    fn program(&mut self) -> Program {
        let mut inputs = Vec::new();
        for _ in 0..=self.below(2) {
            let shape = self.shape();
            inputs.push(self.tensor(shape));
        }
        let mut program = Program {
            inputs,
            ops: vec![],
        };
        let mut results = program.inputs.clone();
        for _ in 0..=self.below(6) {
            // Mostly the last result, so that programs grow deep.
            let i = match self.below(4) {
                0 => self.below(results.len()),
                _ => results.len() - 1,
            };
            let x = results[i].clone();
            let (name, op) = self.op(&x, &results);
            let result = op(&x, &results);
            if self.smooth && (result.check().is_err() || result.len() > 2_000) {
                continue;
            }
            if result.len() > 100_000 {
                continue;
            }
            results.push(result);
            program
                .ops
                .push((name, Rc::new(move |results| op(&results[i], results))));
        }
        program
    }

    fn op(
        &mut self,
        x: &Tensor,
        results: &[Tensor],
    ) -> (String, Box<dyn Fn(&Tensor, &[Tensor]) -> Tensor>) {
        let kind = self.below(5);
        match kind {
            0 => self.unary(),
            1 => self.binary(x, results),
            2 => self.reduction(x),
            3 => self.layout(x, results),
            _ => self.product(x),
        }
    }

    fn unary(&mut self) -> (String, Box<dyn Fn(&Tensor, &[Tensor]) -> Tensor>) {
        type Unary = (&'static str, fn(&Tensor) -> Tensor);
        const SMOOTH: [Unary; 12] = [
            ("tanh", |x| x.tanh()),
            ("sigmoid", |x| x.sigmoid()),
            ("softplus", |x| x.softplus()),
            ("exp tanh", |x| x.tanh().exp()),
            ("ln softplus", |x| (x.softplus() + 0.1).ln()),
            ("sqrt", |x| (x.square() + 0.5).sqrt()),
            ("recip", |x| (x.tanh() + 2.0).recip()),
            ("powf", |x| (x.tanh() + 1.5).powf(1.7)),
            ("powi", |x| x.tanh().powi(3)),
            ("log_sigmoid", |x| x.log_sigmoid()),
            ("logit", |x| (x.sigmoid() * 0.8 + 0.1).logit()),
            ("scaled", |x| 0.5 - x * 0.7 / 1.3),
        ];
        const WILD: [Unary; 20] = [
            ("exp", |x| x.exp()),
            ("ln", |x| x.ln()),
            ("ln_1p", |x| x.ln_1p()),
            ("sqrt", |x| x.sqrt()),
            ("square", |x| x.square()),
            ("abs", |x| x.abs()),
            ("neg", |x| x.neg()),
            ("recip", |x| x.recip()),
            ("powf", |x| x.powf(0.3)),
            ("powi", |x| x.powi(-2)),
            ("sigmoid", |x| x.sigmoid()),
            ("logit", |x| x.logit()),
            ("tanh", |x| x.tanh()),
            ("relu", |x| x.relu()),
            ("elu", |x| x.elu(0.5)),
            ("leaky_relu", |x| x.leaky_relu(0.1)),
            ("softplus", |x| x.softplus()),
            ("clamp", |x| x.clamp(-1.0, 2.0)),
            ("sign", |x| x.sign()),
            ("detach", |x| x.detach()),
        ];
        let (name, f) = match self.smooth {
            true => self.one_of(&SMOOTH),
            false => self.one_of(&WILD),
        };
        (name.into(), Box::new(move |x, _| f(x)))
    }

    fn binary(
        &mut self,
        x: &Tensor,
        results: &[Tensor],
    ) -> (String, Box<dyn Fn(&Tensor, &[Tensor]) -> Tensor>) {
        type Binary = (&'static str, fn(&Tensor, &Tensor) -> Tensor);
        const SMOOTH: [Binary; 4] = [
            ("add", |x, y| x + y),
            ("sub", |x, y| x - y),
            ("mul", |x, y| x * y),
            ("div", |x, y| x / (y.tanh() + 2.0)),
        ];
        const WILD: [Binary; 10] = [
            ("add", |x, y| x + y),
            ("sub", |x, y| x - y),
            ("mul", |x, y| x * y),
            ("div", |x, y| x / y),
            ("maximum", |x, y| x.maximum(y)),
            ("minimum", |x, y| x.minimum(y)),
            ("gt", |x, y| x.gt(y)),
            ("le", |x, y| x.le(y)),
            ("eq", |x, y| x.eq(y)),
            ("select_where", |x, y| x.gt(0.0).select_where(x, y)),
        ];
        let (name, f) = match self.smooth {
            true => self.one_of(&SMOOTH),
            false => self.one_of(&WILD),
        };
        // An earlier result where one fits, so that a number is used twice; else a constant.
        let j = self.below(results.len());
        let fits =
            results[j].check().is_ok() && f(x, &results[j]).check().is_ok() && self.below(2) == 0;
        if fits || (!self.smooth && self.below(8) == 0) {
            return (
                format!("{name}#{j}"),
                Box::new(move |x, results| f(x, &results[j])),
            );
        }
        let shape = self.beside(x.shape());
        let y = self.tensor(shape);
        let swapped = self.below(2) == 0;
        let op = move |x: &Tensor, _: &[Tensor]| if swapped { f(&y, x) } else { f(x, &y) };
        (format!("{name}{shape}"), Box::new(op))
    }

    fn reduction(&mut self, x: &Tensor) -> (String, Box<dyn Fn(&Tensor, &[Tensor]) -> Tensor>) {
        type Reduction = (&'static str, fn(&Tensor, isize) -> Tensor);
        const SMOOTH: [Reduction; 7] = [
            ("sum", |x, axis| x.sum(axis)),
            ("sum_keepdim", |x, axis| x.sum_keepdim(axis)),
            ("mean", |x, axis| x.mean(axis)),
            ("logsumexp", |x, axis| x.logsumexp(axis)),
            ("softmax", |x, axis| x.softmax(axis)),
            ("log_softmax", |x, axis| x.log_softmax(axis)),
            ("sum_from", |x, axis| x.sum_from(axis as usize)),
        ];
        const ROUGH: [Reduction; 4] = [
            ("max", |x, axis| x.max(axis)),
            ("argmax", |x, axis| x.argmax(axis)),
            ("max_all", |x, _| x.max_all()),
            ("mean_all", |x, _| x.mean_all()),
        ];
        if self.smooth && x.rank() == 0 {
            return ("sum_all".into(), Box::new(|x, _| x.sum_all()));
        }
        let axis = self.axis(x);
        let (name, f) = match self.smooth || self.below(3) > 0 {
            true => self.one_of(&SMOOTH),
            false => self.one_of(&ROUGH),
        };
        (format!("{name}({axis})"), Box::new(move |x, _| f(x, axis)))
    }

    fn layout(
        &mut self,
        x: &Tensor,
        results: &[Tensor],
    ) -> (String, Box<dyn Fn(&Tensor, &[Tensor]) -> Tensor>) {
        let shape = x.shape();
        let wrong = !self.smooth && self.below(5) == 0;
        let axis = match x.rank() {
            0 => 0,
            _ => self.axis(x),
        };
        let len = shape.get(axis.rem_euclid(x.rank().max(1) as isize) as usize);
        let len = len.copied().unwrap_or(1);
        match self.below(9) {
            0 => {
                let to = match wrong {
                    true => self.shape(),
                    false => Shape::from([x.len(), 1]),
                };
                (format!("reshape{to}"), Box::new(move |x, _| x.reshape(to)))
            }
            1 => ("transpose".into(), Box::new(|x, _| x.transpose())),
            2 => (
                format!("unsqueeze({axis})"),
                Box::new(move |x, _| x.unsqueeze(axis)),
            ),
            3 => (
                format!("squeeze({axis})"),
                Box::new(move |x, _| x.squeeze(axis)),
            ),
            4 => {
                let (a, b) = (self.below(len + 1), self.below(len + 1));
                let range = if wrong { a + 1..b } else { a.min(b)..a.max(b) };
                let name = format!("slice({axis}, {range:?})");
                (name, Box::new(move |x, _| x.slice(axis, range.clone())))
            }
            5 => {
                let at = self.below(len + usize::from(wrong) * 3);
                (
                    format!("index({axis}, {at})"),
                    Box::new(move |x, _| x.index(axis, at)),
                )
            }
            6 => {
                let mut to = vec![self.below(3) + 1];
                to.extend_from_slice(&shape);
                let to = Shape::try_from(&to[..4.min(to.len())]).unwrap_or(shape);
                (
                    format!("broadcast_to{to}"),
                    Box::new(move |x, _| x.broadcast_to(to)),
                )
            }
            7 => {
                let count = self.below(5);
                let limit = len + usize::from(wrong);
                let at: Vec<usize> = (0..count).map(|_| self.below(limit.max(1))).collect();
                let name = format!("gather({axis}, {at:?})");
                (name, Box::new(move |x, _| x.gather(axis, &at)))
            }
            _ => {
                let j = if wrong {
                    self.below(results.len())
                } else {
                    usize::MAX
                };
                let stack = self.below(2) == 0;
                let name = if stack { "stack" } else { "concat" };
                let op = move |x: &Tensor, results: &[Tensor]| {
                    let other = results.get(j).unwrap_or(x);
                    match stack {
                        true => Tensor::stack(&[x, other], axis),
                        false => Tensor::concat(&[x, other, x], axis),
                    }
                };
                (format!("{name}({axis})"), Box::new(op))
            }
        }
    }

    fn product(&mut self, x: &Tensor) -> (String, Box<dyn Fn(&Tensor, &[Tensor]) -> Tensor>) {
        let inner = x.shape().last().copied().unwrap_or(1);
        let wrong = !self.smooth && self.below(5) == 0;
        let k = if wrong { self.below(4) } else { inner };
        let n = self.one_of(&[1, 2, 3, 20]);
        let lead = x.shape().leading_axes(2);
        match self.below(4) {
            0 => {
                let weight = self.tensor([k, n].into());
                (
                    format!("matmul[{k}, {n}]"),
                    Box::new(move |x, _| x.matmul(&weight)),
                )
            }
            1 => {
                let mut axes = lead;
                axes.extend([n, k]);
                let shape = Shape::try_from(&axes[..]).unwrap_or(Shape::from([n, k]));
                let weight = self.tensor(shape);
                (
                    format!("matmul_nt{shape}"),
                    Box::new(move |x, _| x.matmul_nt(&weight)),
                )
            }
            2 => ("gram".into(), Box::new(|x, _| x.matmul_tn(x))),
            _ => {
                let (weight, bias) = (self.tensor([k, n].into()), self.tensor([n].into()));
                let op = move |x: &Tensor, _: &[Tensor]| x.linear(&weight, &bias);
                (format!("linear[{k}, {n}]"), Box::new(op))
            }
        }
    }
}

trait LeadingAxes {
    /// The axes before the last `k`.
    fn leading_axes(&self, k: usize) -> Vec<usize>;
}

impl LeadingAxes for Shape {
    fn leading_axes(&self, k: usize) -> Vec<usize> {
        self[..self.rank().saturating_sub(k)].to_vec()
    }
}

fn leaves(inputs: &[Tensor]) -> Vec<Tensor> {
    inputs.iter().map(Tensor::leaf).collect()
}

fn wrong(problem: String) -> Error {
    Error::Model(problem)
}

/// Nothing panics, whatever the shapes and numbers are; results have as many numbers as their shape
/// says, and derivatives the shapes of what they are taken by.
#[test]
fn no_program_panics() {
    fuzz("a wild program", |seed| {
        let mut source = Source::new(seed, false);
        let program = source.program();
        let inputs = leaves(&program.inputs);
        let along: Vec<Tensor> = inputs
            .iter()
            .map(|x| source.tensor(x.shape()).leaf())
            .collect();
        let moving: Vec<Tensor> = (inputs.iter().zip(&along))
            .map(|(x, t)| x.with_tangent(t))
            .collect();
        let results = program.run(&moving);
        for (i, result) in results.iter().enumerate() {
            let _ = format!("{result} {result:?}");
            let Ok(values) = result.to_vec() else {
                continue;
            };
            if values.len() != result.shape().numel() {
                return Err(wrong(format!("result {i} of {}", program.text())));
            }
        }
        let Some(last) = results.iter().rev().find(|x| x.check().is_ok()) else {
            return Ok(());
        };
        let wrt: Vec<&Tensor> = inputs.iter().collect();
        let both: Vec<&Tensor> = inputs.iter().chain(&along).collect();
        let tangent = last.tangent();
        if let Some(tangent) = tangent.filter(|t| t.check().is_ok()) {
            for (by, of) in grad(&[(&tangent, None)], &both)?.iter().zip(&both) {
                if by.shape() != of.shape() {
                    return Err(wrong(format!("a tangent's gradient of {}", program.text())));
                }
            }
        }
        // The tangent has used up a part of the graph.
        let results = program.run(&inputs);
        if let Some(last) = results.iter().rev().find(|x| x.check().is_ok()) {
            for (by, of) in grad(&[(last, None)], &wrt)?.iter().zip(&wrt) {
                if by.shape() != of.shape() {
                    return Err(wrong(format!("a gradient of {}", program.text())));
                }
            }
        }
        Ok(())
    });
}

/// ⟨a, b⟩, and the size of its terms.
fn dot(a: &[Tensor], b: &[Tensor]) -> Result<(f64, f64)> {
    let (mut sum, mut size) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        for (a, b) in a.to_vec()?.into_iter().zip(b.to_vec()?) {
            let term = f64::from(a) * f64::from(b);
            sum += term;
            size += term.abs();
        }
    }
    Ok((sum, size))
}

/// Forward and reverse derivatives are the same number, and that of central differences; the
/// gradient of a tangent is how the gradient changes.
#[test]
fn derivatives_agree() {
    fuzz("a smooth program", |seed| {
        let mut source = Source::new(seed, true);
        let program = source.program();
        let along: Vec<Tensor> = (program.inputs.iter())
            .map(|x| source.tensor(x.shape()))
            .collect();
        let last = |inputs: &[Tensor]| program.run(inputs).pop().unwrap_or(Tensor::scalar(0.0));
        let weight = {
            let shape = last(&program.inputs).shape();
            source.tensor(shape)
        };
        // The derivatives at a point: of ⟨w, y⟩ by the inputs, along the direction, and of the latter
        // by the inputs.
        let derivatives = |inputs: &[Tensor]| {
            let x = leaves(inputs);
            let wrt: Vec<&Tensor> = x.iter().collect();
            let gradient = grad(&[(&last(&x), Some(&weight))], &wrt)?;
            let moving: Vec<Tensor> = (x.iter().zip(&along))
                .map(|(x, t)| x.with_tangent(t))
                .collect();
            let y = last(&moving);
            let tangent = y.tangent().unwrap_or_else(|| y.zeros_like());
            let forward = dot(&[tangent.clone()], std::slice::from_ref(&weight))?;
            let bend = grad(&[(&tangent, Some(&weight))], &wrt)?;
            Ok::<_, Error>((gradient, forward, bend))
        };
        let shifted = |by: f32| -> Vec<Tensor> {
            (program.inputs.iter().zip(&along))
                .map(|(x, t)| x + t * by)
                .collect()
        };
        let (gradient, (forward, terms), bend) = derivatives(&program.inputs)?;
        let (reverse, scale) = dot(&gradient, &along)?;
        let scale = scale.max(terms);
        if !scale.is_finite() || scale > 1e6 {
            return Ok(());
        }
        let agree = |what: &str, a: f64, b: f64, tolerance: f64| match (a - b).abs() <= tolerance {
            true => Ok(()),
            false => Err(wrong(format!("{what}: {a} and {b}; {}", program.text()))),
        };
        agree("forward and reverse", forward, reverse, 2e-5 * scale + 1e-6)?;
        // Differences of fourth order, whose steps f32 tells apart.
        const STEP: f32 = 0.04;
        let value = |by: f32| dot(&[last(&shifted(by))], std::slice::from_ref(&weight));
        let differences = |near: [f64; 2], far: [f64; 2]| {
            (8.0 * (near[1] - near[0]) - (far[1] - far[0])) / (12.0 * f64::from(STEP))
        };
        let at = |steps: f32| value(steps * STEP).map(|(value, _)| value);
        let found = differences([at(-1.0)?, at(1.0)?], [at(-2.0)?, at(2.0)?]);
        let size = value(0.0)?.1;
        // What is left over of the fourth order, for functions as bent as these.
        let order = 2e-3 * scale.max(size);
        agree(
            "reverse and differences",
            reverse,
            found,
            order + 2e-5 * size + 1e-5,
        )?;
        let at = |steps: f32| {
            let (gradient, ..) = derivatives(&shifted(steps * STEP))?;
            Ok::<_, Error>(dot(&gradient, &along)?.0)
        };
        let (bent, size) = dot(&bend, &along)?;
        let found = differences([at(-1.0)?, at(1.0)?], [at(-2.0)?, at(2.0)?]);
        let order = 1e-2 * scale.max(size);
        agree(
            "a tangent's gradient and differences",
            bent,
            found,
            order + 1e-4,
        )
    });
}

//! Random programs of tensor operations.

use std::rc::Rc;

use relax_runtime::{Device, Key, Shape, Stream, Tensor};

/// An operation on one result, and perhaps on others.
type Apply = Box<dyn Fn(&Tensor, &[Tensor]) -> Tensor>;

/// One operation: which earlier results it takes is fixed.
type Op = Rc<dyn Fn(&[Tensor]) -> Tensor>;

/// Operations, each on inputs and earlier results.
pub struct Program {
    /// The point at which it was made.
    pub inputs: Vec<Tensor>,
    ops: Vec<(String, Op)>,
}

impl Program {
    /// All results, inputs first.
    pub fn run(&self, inputs: &[Tensor]) -> Vec<Tensor> {
        let mut results = inputs.to_vec();
        for (_, op) in &self.ops {
            results.push(op(&results));
        }
        results
    }

    /// Shapes of the inputs, and the operations.
    pub fn text(&self) -> String {
        let inputs: Vec<String> = self.inputs.iter().map(|x| x.shape().to_string()).collect();
        let ops: Vec<&str> = self.ops.iter().map(|(name, _)| &name[..]).collect();
        format!("{} -> {}", inputs.join(" "), ops.join(" "))
    }
}

/// What a case draws from.
pub struct Source {
    stream: Stream,
    /// Whether operations have derivatives everywhere, and fit their operands.
    smooth: bool,
}

impl Source {
    pub fn new(seed: u64, smooth: bool) -> Self {
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

    pub fn tensor(&mut self, shape: Shape) -> Tensor {
        let values = (0..shape.numel()).map(|_| self.number()).collect();
        Tensor::from_vec(values, shape, &Device::cpu()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn axis(&mut self, x: &Tensor) -> isize {
        match self.smooth {
            true => self.below(x.rank()) as isize,
            false => self.below(10) as isize - 5,
        }
    }

    pub fn program(&mut self) -> Program {
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

    fn op(&mut self, x: &Tensor, results: &[Tensor]) -> (String, Apply) {
        let kind = self.below(5);
        match kind {
            0 => self.unary(),
            1 => self.binary(x, results),
            2 => self.reduction(x),
            3 => self.layout(x, results),
            _ => self.product(x),
        }
    }

    fn unary(&mut self) -> (String, Apply) {
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

    fn binary(&mut self, x: &Tensor, results: &[Tensor]) -> (String, Apply) {
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

    fn reduction(&mut self, x: &Tensor) -> (String, Apply) {
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

    fn layout(&mut self, x: &Tensor, results: &[Tensor]) -> (String, Apply) {
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

    fn product(&mut self, x: &Tensor) -> (String, Apply) {
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

//! Random small programs × objectives × estimators: nothing panics or hangs, errors are typed and
//! come at the first step, gradients are finite, and where the sum over all values is small the mean
//! of unbiased estimates is the gradient.
//!
//! `RELAX_FUZZ_CASES=100000 cargo test --release --test fuzz_programs` takes a long run;
//! `RELAX_FUZZ_SEED` starts elsewhere. A failure names the seed of its case, which alone is run
//! again with `RELAX_FUZZ_CASES=1`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use relax_runtime::dist::{Bernoulli, Categorical, Normal, OneHotCategorical};
use relax_runtime::estimator::{Estimator, registry};
use relax_runtime::infer::Objective;
use relax_runtime::model::{Context, Site};
use relax_runtime::prelude::*;
use relax_runtime::{Key, Stream};

const LONGEST: Duration = Duration::from_secs(30);

/// What a program does, one thing after the other.
#[derive(Clone, Debug)]
enum Op {
    /// Draws; later things may depend on it.
    Draw {
        law: Draw,
        /// Parameters of its own in host numbers, so that it has a host value.
        host: bool,
        /// The earlier value that its first logit depends on.
        on: usize,
        slope: f64,
    },
    /// Pays a function of two values, or observes with it as mean.
    Pay {
        of: [usize; 2],
        shape: Shape2,
        by: f64,
    },
    /// Goes on only where a value is above a half, which host code reads.
    Branch { on: usize, then: Vec<Op> },
    /// The same several times over, sites indexed.
    Repeat { times: usize, body: Vec<Op> },
}

#[derive(Clone, Copy, Debug)]
enum Draw {
    Coin,
    Coins(usize),
    Index(usize),
    OneHot(usize),
    Normal,
}

/// How two values make a cost.
#[derive(Clone, Copy, Debug)]
enum Shape2 {
    Linear,
    Square,
    Product,
    Kink,
    Jump,
}

/// A value of the run, as one number.
#[derive(Clone)]
enum Scalar {
    Host(f64),
    Tensor(Tensor),
}

#[derive(Clone, Debug)]
struct Fuzzed {
    ops: Vec<Op>,
    /// Rows of a plate around everything, if there is one.
    rows: Option<usize>,
    /// Whether it observes instead of paying.
    observes: bool,
    /// A constant in the first cost.
    offset: f64,
}

const DRAWS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
const PARAMS: [&str; 12] = [
    "pa", "pb", "pc", "pd", "pe", "pf", "pg", "ph", "pi", "pj", "pk", "pl",
];
const COSTS: [&str; 12] = [
    "xa", "xb", "xc", "xd", "xe", "xf", "xg", "xh", "xi", "xj", "xk", "xl",
];

/// Where a run stands.
struct Run<'a> {
    program: &'a Fuzzed,
    context: &'a Context,
    values: Vec<Scalar>,
    draws: usize,
    costs: usize,
    /// The iterations of the loops around the operation.
    iterations: Vec<usize>,
}

impl Model for Fuzzed {
    type Output = ();

    fn name(&self) -> &'static str {
        "fuzzed"
    }

    fn run(&self, context: &Context) -> Result<()> {
        let plate = self
            .rows
            .map(|rows| context.plate(Site::new("", file!(), line!()), rows, None));
        let _rows = plate.transpose()?;
        let mut run = Run {
            program: self,
            context,
            values: Vec::new(),
            draws: 0,
            costs: 0,
            iterations: Vec::new(),
        };
        run.all(&self.ops)
    }
}

impl Run<'_> {
    fn all(&mut self, ops: &[Op]) -> Result<()> {
        ops.iter().try_for_each(|op| self.one(op))
    }

    fn site(&self, name: &'static str) -> Site {
        let site = Site::new(name, file!(), line!());
        self.iterations.iter().copied().fold(site, Site::iteration)
    }

    fn value(&self, at: usize) -> Scalar {
        match self.values.len() {
            0 => Scalar::Host(0.5),
            n => self.values[at % n].clone(),
        }
    }

    fn one(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::Draw {
                law,
                host,
                on,
                slope,
            } => self.draw(*law, *host, *on, *slope),
            Op::Pay { of, shape, by } => self.pay(*of, *shape, *by),
            Op::Branch { on, then } => {
                let (draws, costs) = (
                    self.draws + count(then, true),
                    self.costs + count(then, false),
                );
                let taken = match self.value(*on) {
                    Scalar::Host(x) => x > 0.5,
                    Scalar::Tensor(t) if self.program.rows.is_none() => t.sum_all().item()? > 0.5,
                    Scalar::Tensor(_) => true,
                };
                let known = self.values.len();
                if taken {
                    self.all(then)?;
                }
                // What the branch has drawn is not there elsewhere.
                self.values.truncate(known);
                (self.draws, self.costs) = (draws, costs);
                Ok(())
            }
            Op::Repeat { times, body } => {
                let (draws, costs) = (self.draws, self.costs);
                for iteration in 0..*times {
                    (self.draws, self.costs) = (draws, costs);
                    self.iterations.push(iteration);
                    self.all(body)?;
                    self.iterations.pop();
                }
                Ok(())
            }
        }
    }

    fn draw(&mut self, law: Draw, host: bool, on: usize, slope: f64) -> Result<()> {
        let number = self.draws % DRAWS.len();
        self.draws += 1;
        let site = self.site(DRAWS[number]);
        let parent = self.value(on);
        if let (true, Scalar::Host(x), None) = (host, &parent, self.program.rows) {
            let logit = slope * x - 0.3;
            let value = match law {
                Draw::Coin | Draw::Coins(_) => f64::from(u8::from(
                    self.context.sample(site, Bernoulli::logits(logit))?,
                )),
                Draw::Index(k) | Draw::OneHot(k) => {
                    let logits: Vec<f64> = (0..k).map(|i| logit * i as f64 * 0.4).collect();
                    self.context.sample(site, Categorical::logits(logits))? as f64
                }
                Draw::Normal => self.context.sample(site, Normal::new(logit, 1.0))?,
            };
            self.values.push(Scalar::Host(value));
            return Ok(());
        }
        let width = match law {
            Draw::Coin | Draw::Normal => 1,
            Draw::Coins(k) | Draw::Index(k) | Draw::OneHot(k) => k,
        };
        let name = self.site(PARAMS[number]);
        let theta = match self.context.param(name.clone())? {
            Some(theta) => theta,
            None => {
                let first: Vec<f32> = (0..width).map(|i| 0.4 - 0.3 * i as f32).collect();
                let first = match self.program.rows {
                    Some(_) => Tensor::from_slice(&first).reshape([1, width]),
                    None => Tensor::from_slice(&first),
                };
                self.context.new_param(name, &first)?
            }
        };
        let by_parent = match parent {
            Scalar::Host(x) => Tensor::scalar((slope * x) as f32),
            Scalar::Tensor(t) => t * slope as f32,
        };
        let by_parent = match by_parent.rank() {
            0 => by_parent,
            _ => by_parent.unsqueeze(-1),
        };
        let logits = theta + by_parent;
        let value = match law {
            Draw::Coin | Draw::Coins(_) => self
                .context
                .sample(site, Bernoulli::logits(&logits))?
                .sum(-1),
            Draw::Index(_) => self.context.sample(site, Categorical::logits(&logits))?,
            Draw::OneHot(_) => {
                let weights: Vec<f32> = (0..width).map(|i| 0.7 * i as f32 - 0.2).collect();
                let b = self
                    .context
                    .sample(site, OneHotCategorical::logits(&logits))?;
                (b * Tensor::from_slice(&weights)).sum(-1)
            }
            Draw::Normal => self
                .context
                .sample(site, Normal::new(&logits, 1.0))?
                .sum(-1),
        };
        self.values.push(Scalar::Tensor(value));
        Ok(())
    }

    fn pay(&mut self, [a, b]: [usize; 2], shape: Shape2, by: f64) -> Result<()> {
        let number = self.costs % COSTS.len();
        let first = self.costs == 0;
        self.costs += 1;
        let site = self.site(COSTS[number]);
        let offset = if first { self.program.offset } else { 0.0 };
        let rows = self.program.rows;
        let (a, b) = (self.value(a), self.value(b));
        if let (Scalar::Host(a), Scalar::Host(b), None) = (&a, &b, rows) {
            let x = match shape {
                Shape2::Linear => a - by * b,
                Shape2::Square => (a - by) * (a - by) + b,
                Shape2::Product => a * b * by,
                Shape2::Kink => (a - by * b).max(0.0),
                Shape2::Jump => f64::from(u8::from(a + b > by)),
            };
            return match self.program.observes {
                true => self.context.observe(site, Normal::new(x, 1.5), by),
                false => self.context.cost(site, x + offset),
            };
        }
        let tensor = |x: Scalar| match (x, rows) {
            (Scalar::Host(x), Some(rows)) => Tensor::full([rows], x as f32, &Device::cpu()),
            (Scalar::Host(x), None) => Tensor::scalar(x as f32),
            (Scalar::Tensor(t), _) => t,
        };
        let (a, b, by) = (tensor(a), tensor(b), by as f32);
        let x = match shape {
            Shape2::Linear => a - b * by,
            Shape2::Square => (a - by).square() + b,
            Shape2::Product => a * b * by,
            Shape2::Kink => (a - b * by).relu(),
            Shape2::Jump => (a + b).gt(by),
        };
        match self.program.observes {
            true => {
                let data = x.detach().zeros_like() + by;
                self.context.observe(site, Normal::new(&x, 1.5), &data)
            }
            false => self.context.cost(site, x + offset as f32),
        }
    }
}

/// How many draws, or costs, a body counts, whether or not it runs.
fn count(ops: &[Op], draws: bool) -> usize {
    let one = |op: &Op| match op {
        Op::Draw { .. } => usize::from(draws),
        Op::Pay { .. } => usize::from(!draws),
        Op::Branch { then, .. } => count(then, draws),
        Op::Repeat { body, .. } => count(body, draws),
    };
    ops.iter().map(one).sum()
}

fn number(stream: &mut Stream) -> f64 {
    f64::from(stream.uniform()) * 3.0 - 1.5
}

fn any_ops(stream: &mut Stream, length: usize, depth: usize) -> Vec<Op> {
    let mut ops = Vec::new();
    for _ in 0..length {
        let at = stream.below(8);
        ops.push(match stream.below(if depth == 0 { 8 } else { 10 }) {
            0..5 => Op::Draw {
                law: match stream.below(5) {
                    0 => Draw::Coin,
                    1 => Draw::Coins(1 + stream.below(3)),
                    2 => Draw::Index(2 + stream.below(2)),
                    3 => Draw::OneHot(2 + stream.below(3)),
                    _ if stream.below(3) == 0 => Draw::Normal,
                    _ => Draw::Coin,
                },
                host: stream.below(3) == 0,
                on: at,
                slope: number(stream),
            },
            5..8 => Op::Pay {
                of: [at, stream.below(8)],
                shape: match stream.below(5) {
                    0 => Shape2::Linear,
                    1 => Shape2::Square,
                    2 => Shape2::Product,
                    3 => Shape2::Kink,
                    _ => Shape2::Jump,
                },
                by: number(stream),
            },
            8 => Op::Branch {
                on: at,
                then: any_ops(stream, 2, depth - 1),
            },
            _ => Op::Repeat {
                times: 1 + stream.below(3),
                body: any_ops(stream, 2, 0),
            },
        });
    }
    ops
}

fn any_program(stream: &mut Stream) -> Fuzzed {
    let length = 1 + stream.below(4);
    let mut ops = any_ops(stream, length, 2);
    ops.push(Op::Pay {
        of: [stream.below(8), stream.below(8)],
        shape: Shape2::Square,
        by: number(stream),
    });
    let offset = match stream.below(4) {
        0 => 1e3,
        1 => -1e5,
        _ => 0.0,
    };
    Fuzzed {
        ops,
        rows: (stream.below(3) == 0).then(|| 1 + stream.below(4)),
        observes: stream.below(2) == 0,
        offset,
    }
}

/// Whether an error says what a user has done wrong, and does not stand for a fault of numbers.
fn is_typed(error: &Error) -> bool {
    match error {
        Error::Site { source, .. } => is_typed(source),
        Error::Config { .. }
        | Error::Plates(_)
        | Error::Value(_)
        | Error::Inconsistent(_)
        | Error::Guide(_)
        | Error::Estimator(_)
        | Error::Enumeration(_)
        | Error::Model(_) => true,
        _ => false,
    }
}

/// One case; what went wrong, if anything did.
fn case(seed: u64) -> std::result::Result<(), String> {
    let mut stream = Key::new(seed).stream("fuzz");
    let program = any_program(&mut stream);
    let all = registry();
    let asked = match stream.below(3) {
        0 => None,
        _ => Some(Rc::clone(&all[stream.below(all.len())])),
    };
    let budget = (asked.is_none() && stream.below(2) == 0).then(|| 1 + stream.below(9));
    let checks = stream.below(8) == 0;
    let told = format!(
        "seed {seed}: {program:?}, {:?}, budget {budget:?}",
        asked.as_ref().map(|e| e.name())
    );
    let run = AssertUnwindSafe(|| trial(&program, asked, budget, checks));
    match catch_unwind(run) {
        Ok(found) => found.map_err(|problem| format!("{told}: {problem}")),
        Err(_) => Err(format!("{told}: it panicked")),
    }
}

fn trial(
    program: &Fuzzed,
    asked: Option<Rc<dyn Estimator>>,
    budget: Option<usize>,
    checks: bool,
) -> std::result::Result<(), String> {
    let (elbo, cost) = (Elbo::new(program), ExpectedCost::new(program));
    let objective: &dyn Objective = if program.observes { &elbo } else { &cost };
    let mut trainer = Trainer::new(1);
    if let Some(estimator) = &asked {
        trainer = trainer.estimator(Rc::clone(estimator));
    }
    if let Some(budget) = budget {
        trainer = trainer.budget(budget);
    }
    for step in 0..5 {
        match trainer.step(objective) {
            Ok(report) if report.loss.is_finite() => {}
            Ok(report) => return Err(format!("the loss is {}", report.loss)),
            Err(error) if is_typed(&error) => return Ok(()),
            Err(error) => return Err(format!("step {step}: {error}")),
        }
    }
    let key = Key {
        seed: 2,
        step: 9,
        particle: 0,
    };
    let found = trainer
        .gradients(objective, key)
        .map_err(|e| e.to_string())?;
    for (parameter, gradient) in &found.parameters {
        let numbers = gradient.to_vec().map_err(|e| e.to_string())?;
        if !numbers.iter().all(|g| g.is_finite()) {
            return Err(format!(
                "the gradient by {:?} is {numbers:?}",
                parameter.name()
            ));
        }
    }
    let unbiased = trainer.plan().entries.iter().all(|entry| !entry.biased);
    match checks && unbiased && budget.is_none() {
        true => mean_is_right(objective, asked.as_ref()),
        false => Ok(()),
    }
}

/// The mean of estimates beside the sum over all values. Of many cases some are far off by chance,
/// but not twice and with ten times as many draws.
fn mean_is_right(
    objective: &dyn Objective,
    asked: Option<&Rc<dyn Estimator>>,
) -> std::result::Result<(), String> {
    let mut found = Ok(());
    for (seed, draws) in [(3, 400), (4, 4_000)] {
        let mut check = Check::new(objective).seed(seed).draws(draws).warm_up(20);
        check = check.reference_draws(10 * draws).enumerate_up_to(256);
        if let Some(estimator) = asked {
            check = check.estimator(Rc::clone(estimator));
        }
        found = match check.run() {
            Ok(table) => table.verdict().map_err(|e| format!("{e}\n{table}")),
            Err(error) if is_typed(&error) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if found.is_ok() {
            break;
        }
    }
    found
}

fn setting(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is `{value}`, but a number is wanted"))
    })
}

#[test]
fn random_programs_train() {
    let (cases, first) = (
        setting("RELAX_FUZZ_CASES", 250),
        setting("RELAX_FUZZ_SEED", 0),
    );
    let mut problems = Vec::new();
    for seed in first..first + cases {
        let start = Instant::now();
        problems.extend(case(seed).err());
        if start.elapsed() > LONGEST {
            problems.push(format!("seed {seed}: it took {:?}", start.elapsed()));
        }
    }
    let shown: Vec<_> = problems.iter().take(10).map(String::as_str).collect();
    assert!(
        problems.is_empty(),
        "{} of {cases} cases:\n{}",
        problems.len(),
        shown.join("\n\n")
    );
}

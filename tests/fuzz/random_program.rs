//! A random small program.

use relax_runtime::Stream;
use relax_runtime::dist::{Bernoulli, Categorical, Normal, OneHotCategorical};
use relax_runtime::model::{Context, Site};
use relax_runtime::prelude::*;

/// What a program does, one thing after the other.
#[derive(Clone, Debug)]
pub(crate) enum Op {
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
pub(crate) enum Draw {
    Coin,
    Coins(usize),
    Index(usize),
    OneHot(usize),
    Normal,
}

/// How two values make a cost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape2 {
    Linear,
    Square,
    Product,
    Kink,
    Jump,
}

/// A value of the run, as one number.
#[derive(Clone)]
pub(crate) enum Scalar {
    Host(f64),
    Tensor(Tensor),
}

#[derive(Clone, Debug)]
pub(crate) struct Fuzzed {
    pub(crate) ops: Vec<Op>,
    /// Rows of a plate around everything, if there is one.
    pub(crate) rows: Option<usize>,
    /// Whether it observes instead of paying.
    pub(crate) observes: bool,
    /// A constant in the first cost.
    pub(crate) offset: f64,
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

pub(crate) fn any_program(stream: &mut Stream) -> Fuzzed {
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

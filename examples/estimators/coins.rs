//! Costs of a few coins, with exact gradients.

use relax_runtime::prelude::*;

use crate::program::Outcome;
use crate::task::{Task, Use};

/// A cost f(b) of coins: that of the paper's toy problem, or a quadratic form.
#[derive(Clone, Debug)]
enum Cost {
    /// (b − t)².
    Toy(f32),
    /// b · a + b · (W b): `linear` a `[n]` and `pairs` W `[n, n]`.
    Pairs { linear: Tensor, pairs: Tensor },
}

impl Cost {
    /// A number a row, for `b` `[rows, coins]`.
    fn of(&self, b: &Tensor) -> Tensor {
        match self {
            Self::Toy(t) => (b - *t).square().sum_from(1),
            Self::Pairs { linear, pairs } => (b * linear + b * b.matmul(pairs)).sum_from(1),
        }
    }
}

/// The expected cost of independent coins, to be minimised over their logits.
pub(crate) struct Coins {
    title: String,
    cost: Cost,
    logits: Parameter,
}

#[model]
fn toss(coins: &Coins, rows: usize, given: Option<&Parameter>) {
    plate!(rows => {
        let b = sample!(Bernoulli(logits = coins.logits(rows, given)));
        cost!(coins.cost.of(&b));
    })
}

impl Coins {
    /// The toy problem of the RELAX paper, section 5.1.
    pub(crate) fn toy() -> Result<Self> {
        const T: f32 = 0.499;
        Ok(Self {
            title: format!("toy: one coin, cost (b - {T})^2"),
            cost: Cost::Toy(T),
            logits: start(1)?,
        })
    }

    /// Ten coins, a cost for each and for each pair, standard normal and fixed.
    pub(crate) fn pairs() -> Result<Self> {
        const COINS: usize = 10;
        const WEIGHTS: u64 = 10;
        let device = Device::cpu();
        let mut stream = Key::new(WEIGHTS).stream("weights");
        let linear = stream.normals([COINS], &device)?;
        let upper: Vec<f32> = (0..COINS * COINS)
            .map(|at| f32::from(at % COINS > at / COINS))
            .collect();
        let upper = Tensor::from_vec(upper, [COINS, COINS], &device)?;
        let pairs = stream.normals([COINS, COINS], &device)? * upper;
        Ok(Self {
            title: format!("pairs: {COINS} coins, random costs of each and of each pair"),
            cost: Cost::Pairs { linear, pairs },
            logits: start(COINS)?,
        })
    }
}

impl Coins {
    fn logits(&self, rows: usize, given: Option<&Parameter>) -> Tensor {
        let logits = given.unwrap_or(&self.logits).get();
        logits.broadcast_to([rows, self.logits.get().len()])
    }
}

/// All coins fair.
fn start(coins: usize) -> Result<Parameter> {
    Ok(Parameter::new(Tensor::zeros([1, coins], &Device::cpu())).named("logits"))
}

impl Task for Coins {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn value_name(&self) -> &'static str {
        "-E[f]"
    }

    fn learning_rate(&self) -> f32 {
        0.01
    }

    fn evaluations(&self) -> usize {
        20_000
    }

    fn rows(&self) -> usize {
        1
    }

    fn probe_rows(&self) -> usize {
        500
    }

    /// Coins see nothing.
    fn batch(&self, _: Key, rows: usize) -> Result<Tensor> {
        Ok(Tensor::zeros([rows, 1], &Device::cpu()))
    }

    fn logits(&self, batch: &Tensor) -> Tensor {
        self.logits(batch.rows(), None)
    }

    fn with_objective(
        &self,
        batch: &Tensor,
        given: Option<&Parameter>,
        then: &mut Use<'_>,
    ) -> Result<()> {
        then(&ExpectedCost::new(&toss(self, batch.rows(), given)))
    }

    fn enumerable(&self) -> bool {
        true
    }

    fn value(&self, _: &Trainer) -> Outcome<f64> {
        let program = toss(self, 1, None);
        let objective = ExpectedCost::new(&program);
        Ok(-exact_gradient(&objective, &ParamStore::default())?.0)
    }
}

//! Averages of the iterates of another rule (Polyak and Juditsky 1992; Shamir and Zhang 2013).

use super::{Rule, Step};
use crate::error::{Error, Result};
use crate::tensor::native::threads::{fill, rows_a_share};
use crate::tensor::{Element, Tensor};

/// A rule whose iterates are averaged.
///
/// With noisy gradients, parameters fluctuate around where they should end, the more so the higher the rate.
/// Their average fluctuates much less, so that a higher rate pays off; but the average keeps what a high
/// constant rate costs besides noise, where the objective is unevenly curved. At the n-th iterate that
/// counts, the average moves (1 + η)/(n + η) of the way to it: the polynomial-decay averaging of Shamir and
/// Zhang (2013, section 4) with η = 16, so that what is further back than a few sixteenths of all steps hardly
/// counts, however many there are. Only every eighth iterate counts here, as neighbors are much alike. The
/// iterates themselves are those of the rule alone, to the last bit.
///
/// [`Svi`](crate::infer::Svi) and [`Minimize`](crate::infer::Minimize) end at the averages. In a loop of your
/// own, [`Trainer::at_averages`](crate::infer::Trainer::at_averages) looks at them along the way, and
/// [`Trainer::take_averages`](crate::infer::Trainer::take_averages) moves there;
/// [`Optimizer::average_of`](super::Optimizer::average_of) gives that of one parameter. Checkpoints hold them.
/// What a surrogate learns is used at every step, at its iterates: averages of it are of no use.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = &logit));
///     cost!(&b * 0.4 + logit.square());
/// }
///
/// let program = coin();
/// let training = Minimize::new(&program).optimizer(Averaged::of(Adam::new(0.05)));
/// let trained = training.steps(400).run()?;
/// // The mean cost 0.4 σ(x) + x² is least where 0.4 σ(x) (1 − σ(x)) = −2 x.
/// assert!((trained.param("logit")?[0] + 0.05).abs() < 0.01);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Averaged {
    rule: Box<dyn Rule>,
}

impl Averaged {
    /// Averages of the iterates of `rule`.
    pub fn of(rule: impl Rule + 'static) -> Self {
        Self {
            rule: Box::new(rule),
        }
    }

    /// The rule whose iterates are averaged.
    pub(super) fn rule(&self) -> &dyn Rule {
        &*self.rule
    }

    /// An average after a step to `x`, from that before.
    pub(super) fn after(&self, step: Step, x: &Tensor, average: &Tensor) -> Tensor {
        match Share::of(step) {
            Share::All => x.clone(),
            Share::Nothing => average.clone(),
            Share::Some(share) => moved(share, x.clone(), average.clone()),
        }
    }
}

impl Rule for Averaged {
    fn kind(&self) -> String {
        format!("averages of {}", self.rule.kind())
    }

    /// The rule's, and the average.
    fn slots(&self) -> usize {
        self.rule.slots() + 1
    }

    fn factors(&self, step: u64) -> [f32; 2] {
        self.rule.factors(step)
    }

    fn apply(&self, step: Step, values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        let Some((average, slots)) = slots.split_last_mut() else {
            return;
        };
        self.rule.apply(step, values, gradient, slots);
        match Share::of(step) {
            Share::All => average.copy_from_slice(values),
            Share::Nothing => {}
            Share::Some(share) => fill([(&mut average[..], 1)], rows_a_share(1), |range, [out]| {
                update(share, &values[range], out);
            }),
        }
    }

    fn slower(&self, factor: f32) -> Option<Box<dyn Rule>> {
        let rule = self.rule.slower(factor)?;
        Some(Box::new(Self { rule }))
    }

    fn is_elementwise(&self) -> bool {
        self.rule.is_elementwise()
    }

    fn averages(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        if self.rule.averages() {
            return Err(Error::Config {
                setting: "rule",
                problem: "is an average of averages; average once".into(),
            });
        }
        self.rule.check()
    }
}

/// How far the average moves toward an iterate.
enum Share {
    All,
    Nothing,
    Some(f32),
}

impl Share {
    fn of(step: Step) -> Self {
        /// Steps between iterates that count: neighbors are so alike that all of them would add little.
        const EVERY: u64 = 8;
        /// Of n iterates that count, the last n/η make up most of the average.
        const ETA: f64 = 16.0;
        let n = (step.number / EVERY) as f64;
        match step.number {
            // Until the first one has counted, the average is where the parameter is.
            ..=EVERY => Self::All,
            number if number.is_multiple_of(EVERY) => Self::Some(((1.0 + ETA) / (n + ETA)) as f32),
            _ => Self::Nothing,
        }
    }
}

/// An average that moves to x.
#[inline(always)]
fn moved<E: Element>(share: f32, x: E, average: E) -> E {
    (average.clone() + (x - average) * share).flushed()
}

vectorised! {
    fn update(share: f32, values: &[f32], average: &mut [f32]) {
        for (average, &x) in average.iter_mut().zip(values) {
            *average = moved(share, x, *average);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Adam, Optimizer, Sgd};
    use crate::random::Key;
    use crate::tensor::Parameter;

    /// A rule's last value and its average after steps down x² with noise of spread 1 in the gradient.
    fn descend(rule: impl Rule + 'static, steps: usize) -> Result<(f32, Option<f32>)> {
        let parameter = Parameter::new(Tensor::scalar(3.0)).named("x");
        let mut optimizer = Optimizer::new(rule)?;
        let mut noise = Key::new(1).stream("noise");
        for _ in 0..steps {
            let gradient = parameter.get().item()? * 2.0 + noise.normal() as f32;
            optimizer.update(&[(parameter.clone(), Tensor::scalar(gradient))])?;
        }
        let average = optimizer.average_of(&parameter)?;
        let average = average.map(|average| average.item()).transpose()?;
        Ok((parameter.get().item()?, average))
    }

    #[test]
    fn averages_are_nearer_than_iterates_which_stay_the_same() -> Result<()> {
        for steps in [2_000, 2_400, 2_800, 3_200] {
            let (alone, none) = descend(Sgd::new(0.2), steps)?;
            let (last, average) = descend(Averaged::of(Sgd::new(0.2)), steps)?;
            assert_eq!((last, none), (alone, None));
            // The iterates' spread is 0.25; an average of twenty independent ones has 0.06.
            let average = average.unwrap_or(f32::NAN);
            assert!(average.abs() < 0.15, "{average}");
        }
        Ok(())
    }

    #[test]
    fn averages_are_as_the_recursion_says() -> Result<()> {
        let parameter = Parameter::new(Tensor::scalar(0.0)).named("x");
        let mut optimizer = Optimizer::new(Averaged::of(Sgd::new(1.0)))?;
        assert!(optimizer.average_of(&parameter)?.is_none());
        let mut expected = 0.0;
        for step in 1..=40 {
            optimizer.update(&[(parameter.clone(), Tensor::scalar(-1.0))])?;
            let x = f64::from(step);
            match step {
                ..=8 => expected = x,
                16 | 24 | 32 | 40 => expected += 17.0 / (x / 8.0 + 16.0) * (x - expected),
                _ => {}
            }
            let average = optimizer.average_of(&parameter)?;
            let average = average.map_or(Ok(f32::NAN), |average| average.item())?;
            assert!(
                (f64::from(average) - expected).abs() < 1e-4,
                "{step}: {average}"
            );
        }
        Ok(())
    }

    #[test]
    fn averages_of_averages_and_bad_rules_are_refused() {
        let error = Optimizer::new(Averaged::of(Averaged::of(Adam::new(0.1)))).err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("average once"), "{error}");
        assert!(Optimizer::new(Averaged::of(Adam::new(f32::NAN))).is_err());
    }
}

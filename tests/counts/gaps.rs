//! Counts with gaps between their values, and mixtures whose components end at different ones.

use std::rc::Rc;

use relax_runtime::dist::{Distribution, Form, Law, Number};
use relax_runtime::infer::Objective;
use relax_runtime::prelude::*;

use crate::estimates::{full, one_row};

/// The mean estimate of the derivative by the first number of a parameter, and its standard error.
fn slope(
    trainer: &mut Trainer,
    objective: &dyn Objective,
    parameter: &str,
    estimates: u64,
) -> Result<(f64, f64)> {
    let mut slopes = Vec::new();
    for step in 0..estimates {
        let found = trainer.gradients(
            objective,
            Key {
                step,
                ..Key::new(5)
            },
        )?;
        let is_it = |(p, _): &&(Parameter, Tensor)| p.name() == Some(parameter);
        let (_, slope) = found.parameters.iter().find(is_it).expect("trained");
        slopes.push(f64::from(slope.to_vec()?[0]));
    }
    let count = slopes.len() as f64;
    let mean = slopes.iter().sum::<f64>() / count;
    let square = slopes.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    Ok((mean, (square / count).sqrt()))
}

/// Where hardly any draw lies between likely values, z jumps over them.
#[test]
fn values_apart_have_no_slopes() -> Result<()> {
    let zeros = |base| -> Result<Rc<dyn Law>> {
        ZeroInflated::gate(full(0.3), Poisson::rate(full(base)))?.law()
    };
    let ends = |low, high| Truncated::new(Poisson::rate(full(3.0)), low, high);
    let far = (DiscreteUniform::new(0, 1)?, DiscreteUniform::new(5, 6)?);
    let apart: [Rc<dyn Law>; 5] = [
        zeros(20.0)?,
        ZeroInflated::gate(full(0.3), Binomial::probs(5, full(1.0)))?.law()?,
        Mixture::new([0.5, 0.5], far)?.law()?,
        Mixture::new([0.5, 0.5], Poisson::rate(one_row(&[5.0, 90.0])))?.law()?,
        Truncated::new(
            ZeroInflated::gate(full(0.3), Poisson::rate(full(2_000.0))),
            5,
            f64::INFINITY,
        )?
        .law()?,
    ];
    for law in apart {
        let form = law.relaxation().expect("there is one").form();
        assert_eq!(form, Form::Gapped, "{law:?}");
    }
    let wide = NegativeBinomial::mean(one_row(&[9e3, 2e4]), 2.0)?;
    let together: [Rc<dyn Law>; 4] = [
        zeros(3.0)?,
        ends(1, 6)?.law()?,
        Mixture::new([0.4, 0.6], Poisson::rate(one_row(&[1.0, 7.0])))?.law()?,
        Mixture::new([0.5, 0.5], wide)?.law()?,
    ];
    for law in together {
        let form = law.relaxation().expect("there is one").form();
        assert_eq!(form, Form::Other, "{law:?}");
    }
    // The site gets an estimator that looks at draws, and a site before it no relaxed cost.
    #[model]
    fn queue() {
        let open = sample!(Bernoulli(
            logits = param!(Tensor::scalar(0.0), name = "open logit")
        ));
        let gate = param!(Tensor::scalar(0.3), unit);
        let waiting = sample!(ZeroInflated(gate, Poisson(&open + 20.0)));
        cost!(&waiting * 0.1 + open);
    }
    let model = queue();
    let mut trainer = Trainer::new(1).particles(200);
    let objective = ExpectedCost::new(&model);
    trainer.step(&objective)?;
    let plan = trainer.plan();
    let of = |site: &str| {
        plan.entries
            .iter()
            .find(|e| e.site == site)
            .map(|e| e.estimator)
    };
    assert_eq!(of("waiting"), Some("rloo"));
    // The derivative by the gate is -20.5 / 10, by its free number times g (1 - g).
    let (mean, error) = slope(&mut trainer, &objective, "gate", 200)?;
    let wanted = -2.05 * 0.3 * 0.7;
    assert!(
        (mean - wanted).abs() < 4.0 * error + 0.02,
        "{mean} +- {error}"
    );
    Ok(())
}

/// A gap that is there at relaxed values of an earlier choice, but at none of its own.
#[test]
fn choices_that_may_lead_to_a_gap_have_no_relaxed_cost() -> Result<()> {
    #[model]
    fn closing() {
        let start = Tensor::zeros([20], &Device::cpu());
        let signs = sample!(Bernoulli(logits = param!(start, name = "logits")));
        let closed = signs.index(0, 0);
        let visits = sample!(ZeroInflated(closed, Poisson(Tensor::scalar(20.0))));
        cost!(visits + signs.sum(0));
    }
    let model = closing();
    let objective = ExpectedCost::new(&model);
    let mut trainer = Trainer::new(1).particles(50);
    // What the surrogates have learned matters, too.
    (0..20).try_for_each(|_| trainer.step(&objective).map(drop))?;
    let logits = trainer.params().parameter("logits").expect("met");
    logits.set(Tensor::zeros([20], &Device::cpu()))?;
    let (mean, error) = slope(&mut trainer, &objective, "logits", 300)?;
    assert!(
        (mean + 4.75).abs() < 4.0 * error + 0.01,
        "{mean} +- {error}"
    );
    let plan = trainer.plan();
    let signs = plan
        .entries
        .iter()
        .find(|entry| entry.site == "signs")
        .expect("met");
    assert!(signs.reason.contains("black box"), "{plan}");
    let mut asked = Trainer::new(1).estimator(Relax::relaxed_cost());
    let refused = asked.step(&objective).expect_err("it jumps").to_string();
    assert!(
        refused.contains("`signs`") && refused.contains("free-form"),
        "{refused}"
    );
    Ok(())
}

/// Sums go on where a law comes to have a gap, or no longer has one.
#[test]
fn sums_go_on_across_gaps() -> Result<()> {
    #[model]
    fn visits() {
        let p = param!(Tensor::scalar(0.3), unit);
        let k = sample!(ZeroInflated(0.3, Binomial(12, p)));
        observe!(Normal(k, 1.0), 3.0);
    }
    let model = visits();
    let mut trainer = Trainer::new(1);
    for logit in [-1.0, 0.85, 3.0, -1.0] {
        trainer.step(&Elbo::new(&model).marginalise())?;
        let p = trainer.params().parameter("p").expect("met");
        p.set(Tensor::scalar(logit))?;
    }
    Ok(())
}

/// Components whose number of trials differs from row to row end where their rows end.
#[test]
fn components_end_in_their_rows() -> Result<()> {
    let two = |x: &[f32]| Tensor::from_slice(x);
    let far = Mixture::new(
        [0.5, 0.5],
        (
            Truncated::new(Poisson::rate(two(&[2.0, 2.0])), 1, f64::INFINITY),
            Binomial::probs(two(&[3.0, 10.0]), 0.5),
        ),
    )?;
    let density = |value: &[f32]| -> Result<Vec<f32>> {
        match far.log_prob(&two(value))? {
            Number::Tensor(t) => t.to_vec(),
            Number::Host(x) => Ok(vec![x as f32]),
        }
    };
    let zeros = density(&[0.0, 0.0])?;
    for (found, wanted) in zeros.iter().zip([0.5 * 0.125_f32, 0.5 / 1024.0]) {
        assert!((found - wanted.ln()).abs() < 1e-4, "{found}, {wanted}");
    }
    // Seven of three trials.
    let trials = Tensor::from_slice(&[3.0, 3.0, 10.0, 10.0]).reshape([2, 2]);
    let one = Mixture::new([0.5, 0.5], BetaBinomial::new(2.0, 2.0, trials))?;
    assert!(one.log_prob(&two(&[7.0, 7.0])).is_err());
    assert!(one.log_prob(&two(&[3.0, 7.0])).is_ok());
    Ok(())
}

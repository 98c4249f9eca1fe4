//! Initial values of parameters: numbers and nothing else, whatever they were computed from.

use relax_runtime::dist::Value;
use relax_runtime::infer::{MeanFieldGuide, Mode, Objective, Pass};
use relax_runtime::prelude::*;
use relax_runtime::tensor::SiteSet;

use crate::{assert_near, assert_says, error};

const STATES: usize = 3;

/// A chain of hidden states over tensors.
#[model]
fn chain(y: &[f64], transitions: &Tensor, means: &Tensor) {
    let mut before: Option<Tensor> = None;
    for &y in y {
        let logits = match &before {
            None => Tensor::zeros([STATES], &Device::cpu()),
            Some(z) => z.matmul(transitions),
        };
        let z = sample!(OneHotCategorical(logits = logits));
        observe!(Normal((&z * means).sum(-1), 0.8), y);
        before = Some(z);
    }
}

/// The automatic guide of the chain, by hand.
#[model]
fn chain_by_hand(length: usize) {
    for _ in 0..length {
        let logits = param!([0.0; STATES]);
        let _z = sample!(OneHotCategorical(logits = &logits), name = "z");
    }
}

/// Transitions, means, and observations that stay seven steps in a state.
fn chain_data(length: usize) -> Result<(Vec<f64>, Tensor, Tensor)> {
    let mut noise = Key::new(3).stream("noise");
    let noise = noise.normals([length], &Device::cpu())?.to_vec()?;
    let at = |i: usize| [-1.5, 0.0, 1.5][(i / 7) % STATES];
    let y = noise
        .iter()
        .enumerate()
        .map(|(i, e)| at(i) + 0.8 * f64::from(*e));
    let p = [0.85f32, 0.1, 0.05, 0.1, 0.8, 0.1, 0.05, 0.15, 0.8];
    let transitions = Tensor::from_vec(p.map(f32::ln).to_vec(), [STATES; 2], &Device::cpu())?;
    let means = Tensor::from_slice(&[-1.5, 0.0, 1.5]);
    Ok((y.collect(), transitions, means))
}

/// Two draws: the first creates the parameters, the second finds them.
fn passes(objective: &dyn Objective, params: &ParamStore) -> Result<[Pass; 2]> {
    let pass = |step| {
        let key = Key {
            step,
            ..Key::new(1)
        };
        objective.evaluate(key, params, &Mode::Draw)
    };
    Ok([pass(0)?, pass(1)?])
}

/// Which of the first choices a set holds.
fn members(sites: &SiteSet, of: usize) -> Vec<usize> {
    (0..of).filter(|&i| sites.contains(i)).collect()
}

#[test]
fn a_mean_field_guide_depends_on_nothing() -> Result<()> {
    const LENGTH: usize = 6;
    let (y, transitions, means) = chain_data(LENGTH)?;
    let model = chain(&y, &transitions, &means);
    let params = ParamStore::default();
    for pass in passes(&Elbo::new(&model).guide(&MeanFieldGuide), &params)? {
        // The densities of the guide come first, then those of the model in its own order.
        let (of_guide, of_model) = pass.terms.split_at(LENGTH);
        for (i, term) in of_guide.iter().enumerate() {
            assert_eq!(members(&term.sites, LENGTH), [i]);
        }
        for (i, pair) in of_model.chunks(2).enumerate() {
            let [prior, observed] = pair else {
                panic!("a prior and an observation each")
            };
            assert_eq!(members(&observed.sites, LENGTH), [i]);
            let near: Vec<usize> = (i.saturating_sub(1)..=i).collect();
            assert_eq!(members(&prior.sites, LENGTH), near);
        }
    }
    for (name, parameter) in params.all() {
        assert_eq!(parameter.get().sites(), SiteSet::EMPTY, "{name}");
    }
    Ok(())
}

#[test]
fn an_automatic_guide_is_as_good_as_the_same_by_hand() -> Result<()> {
    const LENGTH: usize = 20;
    let (y, transitions, means) = chain_data(LENGTH)?;
    let (model, guide) = (chain(&y, &transitions, &means), chain_by_hand(LENGTH));
    let settings = |svi: Svi<'_>| {
        let fit = svi
            .steps(1_500)
            .optimizer(Adam::new(0.02))
            .posterior_draws(500)
            .seed(1)
            .progress(false)
            .run()?;
        Ok::<_, Error>(fit.posterior().log_evidence().elbo)
    };
    let automatic = settings(Svi::new(&model).draw_all())?;
    let by_hand = settings(Svi::new(&model).guide(&guide))?;
    assert_near(automatic, by_hand, 0.3);
    Ok(())
}

/// A prior that an earlier draw moves.
#[model]
fn shifted(x: &Tensor) {
    let w = sample!(Normal(Tensor::scalar(0.0), 1.5));
    plate!(x.rows() => {
        let z = sample!(Normal(&w * 2.0, 0.5));
        observe!(Normal(&z, 0.7), x);
    })
}

#[test]
fn differentiable_sites_stay_pathwise() -> Result<()> {
    let x = Tensor::from_slice(&[1.0, 0.3, -0.7]);
    let model = shifted(&x);
    let mut svi = Svi::new(&model);
    for _ in 0..3 {
        svi.step()?;
    }
    let plan = svi.trainer().plan();
    let estimators: Vec<_> = plan.entries.iter().map(|entry| entry.estimator).collect();
    assert_eq!(estimators, ["pathwise", "pathwise"]);
    Ok(())
}

/// Parameters that start from a draw, or from another parameter.
#[model]
fn started() {
    let a = param!(0.7);
    let b = sample!(Bernoulli(logits = &a));
    let from_draw = param!(&b * 0.5 + 0.25);
    let from_parameter = param!(&a * 2.0);
    cost!((&b - 0.3).square(), name = "of_b");
    cost!((&from_draw - 2.0).square(), name = "of_draw");
    cost!((&from_parameter - 3.0).square(), name = "of_parameter");
}

#[test]
fn first_values_bring_neither_sites_nor_derivatives() -> Result<()> {
    let program = started();
    let objective = ExpectedCost::new(&program);
    let params = ParamStore::default();
    for pass in passes(&objective, &params)? {
        let sites = |name: &str| {
            let term = pass.terms.iter().find(|term| term.name == name).unwrap();
            members(&term.sites, 1)
        };
        assert_eq!(sites("of_b"), [0]);
        assert!(sites("of_draw").is_empty() && sites("of_parameter").is_empty());
    }
    let mut trainer = Trainer::new(1);
    let key = Key::new(1);
    for _ in 0..3 {
        let gradients = trainer.gradients(&objective, key)?.parameters;
        let of = |name: &str| {
            let found = gradients.iter().find(|(p, _)| p.name() == Some(name));
            found.map(|(p, g)| (p.get().item().unwrap(), g.item().unwrap()))
        };
        let (value, slope) = of("from_parameter").unwrap();
        assert_near(slope.into(), 2.0 * f64::from(value - 3.0), 1e-5);
        trainer.step(&objective)?;
    }
    Ok(())
}

/// A draw of a posterior is data for what comes next.
#[test]
fn draws_of_a_posterior_bring_no_sites() -> Result<()> {
    let x = Tensor::from_slice(&[1.0, 0.3, -0.7]);
    let model = shifted(&x);
    let fit = crate::short(&model).run()?;
    for site in ["w", "z"] {
        for draw in fit.posterior().samples(site)? {
            let Value::Tensor(draw) = draw else {
                panic!("a tensor")
            };
            assert_eq!(draw.sites(), SiteSet::EMPTY);
            assert!(!draw.is_tracked());
        }
    }
    Ok(())
}

#[test]
fn first_values_are_finite() -> Result<()> {
    #[model]
    fn from_number(first: f64) {
        let w = param!(first);
        cost!(w.square());
    }
    #[model]
    fn from_tensor(first: &Tensor) {
        let w = param!(first);
        cost!(w.square().sum_all());
    }
    let infinite = Tensor::from_slice(&[0.0, f32::NEG_INFINITY]);
    let refused =
        |program: &dyn Program| error(Minimize::new(program).steps(1).progress(false).run());
    for (text, number) in [
        (refused(&from_number(f64::NAN)), "NaN"),
        (refused(&from_number(1e300)), "inf"),
        (refused(&from_tensor(&infinite)), "-inf"),
    ] {
        assert_says(
            &text,
            &["site `w`", "first_values.rs", "first value", number],
        );
    }
    let nan = Tensor::from_slice(&[0.0, f32::NAN]);
    let text = error(ParamStore::default().insert("w", &nan));
    assert_says(&text, &["first value", "NaN"]);
    Ok(())
}

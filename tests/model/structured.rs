//! The automatic guide: it follows what depends on what, and reaches known posteriors.

use relax_runtime::estimator::by_name;
use relax_runtime::infer::{Ending, MeanFieldGuide};
use relax_runtime::prelude::*;

use crate::{assert_near, wet_lawn};

/// The network of Lauritzen and Spiegelhalter (1988), as the BIF repositories have it.
#[model]
fn asia() {
    let asia = sample!(Bernoulli(0.01));
    let tub = sample!(Bernoulli(if asia { 0.05 } else { 0.01 }));
    let smoke = sample!(Bernoulli(0.5));
    let lung = sample!(Bernoulli(if smoke { 0.1 } else { 0.01 }));
    let bronc = sample!(Bernoulli(if smoke { 0.6 } else { 0.3 }));
    let either = tub || lung;
    observe!(Bernoulli(if either { 0.98 } else { 0.05 }), true);
    let dysp = match (bronc, either) {
        (true, true) => 0.9,
        (true, false) => 0.8,
        (false, true) => 0.7,
        (false, false) => 0.1,
    };
    observe!(Bernoulli(dysp), true);
}

const SWITCH: f64 = 0.1;
const SEEN: [f64; 12] = [
    0.9, 1.2, -0.3, -1.1, -0.8, 0.4, 1.5, 0.7, 1.1, -0.2, -1.4, -0.9,
];

/// Two states that seldom change, seen through noise; host values.
#[model]
fn hidden_markov() {
    let mut p = 0.5;
    for seen in &SEEN {
        let state = sample!(Bernoulli(p));
        observe!(Normal(if state { 1.0 } else { -1.0 }, 1.0), *seen);
        p = if state { 1.0 - SWITCH } else { SWITCH };
    }
}

/// ln p(seen) and P(last state) by the forward recursion.
fn forward() -> (f64, f64) {
    let density = |x: f64, mean: f64| -0.5 * (x - mean).powi(2) - 0.5 * std::f64::consts::TAU.ln();
    let mut alpha = [
        0.5 * density(SEEN[0], -1.0).exp(),
        0.5 * density(SEEN[0], 1.0).exp(),
    ];
    for &x in &SEEN[1..] {
        let [off, on] = alpha;
        alpha = [
            (off * (1.0 - SWITCH) + on * SWITCH) * density(x, -1.0).exp(),
            (off * SWITCH + on * (1.0 - SWITCH)) * density(x, 1.0).exp(),
        ];
    }
    ((alpha[0] + alpha[1]).ln(), alpha[1] / (alpha[0] + alpha[1]))
}

/// A random walk over tensors, seen at its end.
#[model]
fn walk() {
    let a = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let b = sample!(Normal(&a, 1.0));
    let c = sample!(Normal(&b, 1.0));
    observe!(Normal(&c, 0.5), 3.0);
}

/// Rows of coins that share their chance, each with a number that depends on it.
#[model]
fn rows(seen: &Tensor) {
    plate!(3 => {
        let a = sample!(Bernoulli(Tensor::from_slice(&[0.2, 0.5, 0.8])));
        let b = sample!(Bernoulli(logits = Tensor::zeros([3], &Device::cpu())));
        observe!(Normal(&a + &b, 0.4), seen);
    })
}

fn fit<'m>(model: &'m dyn Program, steps: u64) -> Svi<'m> {
    let svi = Svi::new(model).optimizer(Adam::new(0.05)).steps(steps);
    svi.posterior_draws(20_000).seed(1).progress(false)
}

/// Without any setting a run goes on until it has settled, and its posterior is the exact one.
#[test]
fn default_settings_reach_the_posterior() -> Result<()> {
    let (lawn, network, walk) = (wet_lawn(true), asia(), walk());
    let programs: [&dyn Program; 2] = [&lawn, &network];
    for model in programs {
        let exact = exact_posterior(model)?;
        let found = Svi::new(model).progress(false).run()?;
        assert!(
            matches!(found.ending(), Ending::Settled(_)),
            "{}",
            found.ending()
        );
        for site in found.posterior().sites() {
            assert_near(found.posterior().mean(site)?, exact.mean(site)?, 0.03);
        }
    }
    let found = Svi::new(&walk).progress(false).run()?;
    assert_near(found.posterior().mean("c")?, 3.0 * 3.0 / 3.25, 0.1);
    let plan = found.plan().to_string();
    assert!(
        plan.contains("b: guided by its law in the model, the numbers of `a`"),
        "{plan}"
    );
    let three = Svi::new(&walk).steps(3).progress(false).run()?;
    assert_eq!(three.ending(), Ending::Steps(3));
    Ok(())
}

/// The network's published tables and evidence; mean field is off by a third there.
#[test]
fn a_network_of_choices() -> Result<()> {
    let model = asia();
    let exact = exact_posterior(&model)?;
    assert_near(exact.log_evidence, -2.649_733, 1e-5);
    assert_near(exact.mean("lung")?, 0.621_253, 1e-5);
    for (estimator, near, close) in [
        ("enumerate", 0.01, 1e-4),
        ("rloo", 0.01, 2e-3),
        ("relax", 0.1, 0.05),
    ] {
        let found = fit(&model, 2_000).estimator(by_name(estimator)?).run()?;
        let found = found.posterior();
        for site in ["asia", "tub", "smoke", "lung", "bronc"] {
            assert_near(found.mean(site)?, exact.mean(site)?, near);
        }
        assert_near(found.log_evidence().elbo, exact.log_evidence, close);
    }
    Ok(())
}

#[test]
fn a_chain_of_choices() -> Result<()> {
    let (evidence, last) = forward();
    let model = hidden_markov();
    for (estimator, close) in [("relax", 0.02), ("rloo", 1e-3)] {
        let found = fit(&model, 2_000).estimator(by_name(estimator)?).run()?;
        let found = found.posterior();
        assert_near(found.log_evidence().elbo, evidence, close);
        assert_near(found.mean("state[11]")?, last, 0.01);
    }
    let apart = fit(&model, 2_000).guide(&MeanFieldGuide).run()?;
    assert!(apart.posterior().log_evidence().elbo < evidence - 0.5);
    Ok(())
}

#[test]
fn a_walk_of_numbers() -> Result<()> {
    // c ~ N(0, 3), seen with variance 1/4.
    let evidence = -0.5 * (9.0 / 3.25 + (std::f64::consts::TAU * 3.25).ln());
    let model = walk();
    let found = fit(&model, 3_000).run()?;
    let found = found.posterior();
    assert_near(found.log_evidence().elbo, evidence, 0.03);
    for (site, share) in [("a", 1.0), ("b", 2.0), ("c", 3.0)] {
        assert_near(found.mean(site)?, share * 3.0 / 3.25, 0.1);
    }
    Ok(())
}

#[test]
fn rows_of_plates() -> Result<()> {
    let seen = Tensor::from_slice(&[1.0, 0.2, 1.6]);
    let model = rows(&seen);
    let exact = exact_posterior(&model)?;
    for (estimator, near, close) in [("enumerate", 0.01, 2e-3), ("relax", 0.03, 0.02)] {
        let found = fit(&model, 2_000).estimator(by_name(estimator)?).run()?;
        let found = found.posterior();
        assert_near(found.log_evidence().elbo, exact.log_evidence, close);
        for (b, exact) in found.means("b")?.iter().zip(exact.means("b")?) {
            assert_near(*b, exact, near);
        }
    }
    Ok(())
}

/// Whatever a choice's law takes from those before it, gradients are those of the bound.
#[test]
fn gradients_are_unbiased() -> Result<()> {
    let seen = Tensor::from_slice(&[1.0, 0.2, 1.6]);
    let (network, chain, walk, rows) = (asia(), hidden_markov(), walk(), rows(&seen));
    let models: [&dyn Program; 4] = [&network, &chain, &walk, &rows];
    for model in models {
        // Away from where all laws are the model's own.
        let trained = fit(model, 40).run()?;
        let bound = Elbo::new(model);
        for estimator in ["relax", "rloo"] {
            let check = Check::new(&bound)
                .estimator(by_name(estimator)?)
                .params(trained.params());
            check.draws(4_000).run()?.verdict()?;
        }
    }
    Ok(())
}

/// A choice that some runs come by only, and one that depends on it.
#[model]
fn branches() {
    let a = sample!(Bernoulli(0.3));
    let mut p = 0.2;
    if a {
        let b = sample!(Categorical(vec![0.2, 0.3, 0.5]));
        p = [0.1, 0.5, 0.9][b];
    }
    let c = sample!(Bernoulli(p));
    observe!(Bernoulli(if c { 0.9 } else { 0.2 }), true);
}

#[test]
fn choices_on_some_paths() -> Result<()> {
    let model = branches();
    let exact = exact_posterior(&model)?;
    let found = fit(&model, 2_000).estimator(by_name("rloo")?).run()?;
    let found = found.posterior();
    assert_near(found.log_evidence().elbo, exact.log_evidence, 2e-3);
    for site in ["a", "c"] {
        assert_near(found.mean(site)?, exact.mean(site)?, 0.01);
    }
    Ok(())
}

/// Earlier choices of all kinds: two coins, a category of two, a one-hot vector of two, a number.
#[model]
fn kinds() {
    let device = Device::cpu();
    let coins = sample!(Bernoulli(Tensor::from_slice(&[0.3, 0.6])));
    let index = sample!(Categorical(Tensor::from_slice(&[0.4, 0.6])));
    let vector = sample!(OneHotCategorical(Tensor::from_slice(&[0.7, 0.3])));
    let several = sample!(OneHotCategorical(Tensor::full([2, 2], 0.5, &device)));
    let host = sample!(Categorical(vec![0.5, 0.5]));
    let last = sample!(Bernoulli(Tensor::scalar(0.5)));
    let sum = coins.sum_all() + index + vector.index(0, 0) + several.index(0, 0).index(0, 1);
    observe!(Normal(sum + &last * 1.5 + host as f64, 0.7), 2.4);
}

#[test]
fn earlier_choices_of_all_kinds() -> Result<()> {
    let model = kinds();
    // Several choices of one site do not know of each other, so that the evidence is out of reach.
    let elbo = |svi: Svi<'_>| -> Result<f64> {
        let found = svi.estimator(by_name("rloo")?).run()?;
        Ok(found.posterior().log_evidence().elbo)
    };
    let apart = elbo(fit(&model, 2_000).guide(&MeanFieldGuide))?;
    let followed = elbo(fit(&model, 2_000))?;
    let exact = exact_posterior(&model)?.log_evidence;
    assert!(
        apart + 0.2 < followed && followed < exact + 0.01,
        "{apart} {followed} {exact}"
    );
    let bound = Elbo::new(&model);
    for estimator in ["relax", "rloo"] {
        let check = Check::new(&bound).estimator(by_name(estimator)?);
        check.draws(4_000).run()?.verdict()?;
    }
    Ok(())
}

/// A walk from a place that is learned, so that what earlier choices are depends on training.
#[model]
fn learned() {
    let start = param!(0.0);
    let a = sample!(Normal(&start, 1.0));
    let b = sample!(Normal(&a * 2.0, 1.0));
    let sign = sample!(Bernoulli(logits = &a + &b));
    observe!(Normal(&b + &sign, 0.5), 8.0);
}

/// What was found out about the model is found out again, the same, after a resume.
#[test]
fn a_resumed_fit_is_the_same_bit_for_bit() -> Result<()> {
    let folder = tempfile::tempdir().map_err(|e| Error::Model(e.to_string()))?;
    let path = folder.path().join("walk");
    let (walk, asia, learned) = (walk(), asia(), learned());
    let models: [&dyn Program; 3] = [&walk, &asia, &learned];
    for model in models {
        let bound = Elbo::new(model);
        let losses = |stops: bool| -> Result<Vec<f64>> {
            let mut trainer = Trainer::new(3).estimator(by_name("relax")?);
            let mut losses = Vec::new();
            for step in 0..60 {
                if stops && step == 30 {
                    trainer.save(&path)?;
                    trainer = Trainer::new(3).estimator(by_name("relax")?);
                    trainer.resume(&path)?;
                }
                losses.push(trainer.step(&bound)?.loss);
            }
            Ok(losses)
        };
        assert_eq!(losses(true)?, losses(false)?);
    }
    Ok(())
}

/// Their estimators know a law by its parameters, which stay as many as they are.
#[test]
fn host_numbers_that_depend_on_each_other_are_fitted_until_they_settle() -> Result<()> {
    #[model]
    fn sum_of_two(y: f64) {
        let a = sample!(Normal(0.0, 1.0));
        let b = sample!(Normal(0.0, 1.0));
        observe!(Normal(a + b, 1.0), y);
    }
    let model = sum_of_two(1.5);
    let fit = Svi::new(&model).seed(1).posterior_draws(1_000).run()?;
    assert!(matches!(fit.ending(), Ending::Settled(_)));
    for site in ["a", "b"] {
        assert_near(fit.posterior().mean(site)?, 0.5, 0.08);
        assert_near(fit.posterior().sd(site)?, (2.0_f64 / 3.0).sqrt(), 0.08);
    }
    Ok(())
}

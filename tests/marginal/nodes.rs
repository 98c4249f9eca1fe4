//! Gaussian numbers integrated out, against integrals over fine grids.

use relax_runtime::Key;
use relax_runtime::infer::{DeltaGuide, Finding, marginalise};
use relax_runtime::model::Model;
use relax_runtime::prelude::*;

use crate::assert_near;

const SUCCESSES: [f64; 6] = [9.0, 0.0, 5.0, 10.0, 0.0, 7.0];

fn successes() -> Tensor {
    Tensor::from_slice(&SUCCESSES.map(|x| x as f32))
}

fn zeros(x: &Tensor) -> Tensor {
    Tensor::zeros([x.rows()], &x.device())
}

/// Whether each of some people takes part, and how able one is who does.
#[model]
fn people(x: &Tensor) {
    let mean = param!(0.3);
    let spread = param!(1.5, positive);
    plate!(x.rows() => {
        let there = sample!(Bernoulli(zeros(x) + 0.7));
        let ability = sample!(Normal(zeros(x) + &mean, &spread));
        observe!(Binomial(10, there * ability.sigmoid()), x);
    })
}

/// As able as others, or of very different abilities.
#[model]
fn apart(x: &Tensor) {
    plate!(x.rows() => {
        let wide = sample!(Bernoulli(zeros(x) + 0.4));
        let ability = sample!(Normal(zeros(x) - 0.2, 0.6 + 1.2 * wide));
        observe!(Binomial(10, logits = ability), x);
    })
}

/// What is known of a row of `people` and of `apart`.
#[derive(Clone, Copy, Default)]
struct Row {
    log_evidence: f64,
    choice: f64,
    mean: f64,
    sd: f64,
}

/// By sums over the choice and a fine grid: `case` gives the probability of a value of the choice, the mean and standard
/// deviation of the ability there, and whether one takes part.
fn exact(successes: f64, case: impl Fn(bool) -> (f64, f64, f64, bool)) -> Row {
    const STEP: f64 = 1e-3;
    let (mut all, mut on, mut first, mut second) = (0.0, 0.0, 0.0, 0.0);
    for choice in [false, true] {
        let (probability, mean, sd, takes_part) = case(choice);
        for k in -9_000..=9_000 {
            let e = f64::from(k) * STEP;
            let z = mean + sd * e;
            let p = 1.0 / (1.0 + (-z).exp());
            let choose = (1..=10).product::<u32>() as f64
                / ((1..=successes as u32).product::<u32>() as f64
                    * (1..=10 - successes as u32).product::<u32>() as f64);
            let likelihood = match (takes_part, successes == 0.0) {
                (true, _) => choose * p.powf(successes) * (1.0 - p).powf(10.0 - successes),
                (false, true) => 1.0,
                (false, false) => 0.0,
            };
            let density = STEP * (-0.5 * e * e).exp() / std::f64::consts::TAU.sqrt();
            let weight = probability * density * likelihood;
            all += weight;
            on += if choice { weight } else { 0.0 };
            first += weight * z;
            second += weight * z * z;
        }
    }
    let mean = first / all;
    Row {
        log_evidence: all.ln(),
        choice: on / all,
        mean,
        sd: (second / all - mean * mean).sqrt(),
    }
}

fn of_people(mean: f64, spread: f64) -> [Row; 6] {
    SUCCESSES.map(|x| {
        exact(x, |there| {
            (if there { 0.7 } else { 0.3 }, mean, spread, there)
        })
    })
}

fn of_apart() -> [Row; 6] {
    let case = |wide: bool| match wide {
        true => (0.4, -0.2, 1.8, true),
        false => (0.6, -0.2, 0.6, true),
    };
    SUCCESSES.map(|x| exact(x, case))
}

fn total(rows: &[Row]) -> f64 {
    rows.iter().map(|row| row.log_evidence).sum()
}

#[test]
fn the_evidence_is_that_of_the_integral() -> Result<()> {
    let x = successes();
    let people = log_evidence_of(&marginalise(people(&x)).integrate("ability"))?;
    assert_near(people, total(&of_people(0.3, 1.5)), 1e-3);
    let apart = log_evidence_of(&marginalise(apart(&x)).integrate("ability"))?;
    assert_near(apart, total(&of_apart()), 1e-3);
    Ok(())
}

fn log_evidence_of(model: &impl Model) -> Result<f64> {
    Simulation::seeded(1).run(model)?.trace.log_prob()
}

#[test]
fn its_gradient_is_that_of_the_integral() -> Result<()> {
    const H: f64 = 1e-4;
    let x = successes();
    let model = marginalise(people(&x)).integrate("ability");
    let objective = Elbo::new(&model);
    let mut trainer = Trainer::new(1);
    trainer.gradients(&objective, Key::new(1))?;
    let found = trainer.gradients(&objective, Key::new(1))?;
    let slope = |high: (f64, f64), low: (f64, f64)| {
        let at = |(mean, spread)| total(&of_people(mean, spread));
        -(at(high) - at(low)) / (2.0 * H)
    };
    let by_mean = slope((0.3 + H, 1.5), (0.3 - H, 1.5));
    // The parameter is the logarithm.
    let by_log = slope((0.3, 1.5 * H.exp()), (0.3, 1.5 * (-H).exp()));
    for (name, wanted) in [("mean", by_mean), ("spread", by_log)] {
        let mut all = found.parameters.iter();
        let gradient = all.find(|(parameter, _)| parameter.name() == Some(name));
        let gradient = gradient.map(|(_, gradient)| gradient.item());
        assert_near(
            gradient.transpose()?.unwrap_or_default().into(),
            wanted,
            2e-3,
        );
    }
    Ok(())
}

/// Checks probabilities, means and standard deviations of draws.
fn assert_posterior(fit: &Fit, choice: &str, rows: &[Row]) -> Result<()> {
    let posterior = fit.posterior();
    let (probabilities, means, sds) = (
        posterior.means(choice)?,
        posterior.means("ability")?,
        posterior.sds("ability")?,
    );
    for (at, row) in rows.iter().enumerate() {
        assert_near(probabilities[at], row.choice, 1e-3);
        // 4,000 draws.
        assert_near(means[at], row.mean, 0.08 * row.sd);
        assert_near(sds[at], row.sd, 0.06 * row.sd);
    }
    Ok(())
}

#[test]
fn posteriors_are_those_of_the_integral() -> Result<()> {
    let x = successes();
    let model = apart(&x);
    let fit = Svi::new(&model).seed(1).posterior_draws(4_000).run()?;
    assert_posterior(&fit, "wide", &of_apart())?;
    assert!(fit.verdict().is_good(), "{}", fit.verdict());
    assert!(is_integrated(&fit));

    #[model]
    fn fixed(x: &Tensor) {
        plate!(x.rows() => {
            let there = sample!(Bernoulli(zeros(x) + 0.7));
            let ability = sample!(Normal(zeros(x) + 0.3, 1.5));
            observe!(Binomial(10, there * ability.sigmoid()), x);
        })
    }
    let fit = Svi::new(&fixed(&x)).seed(1).posterior_draws(4_000).run()?;
    assert_posterior(&fit, "there", &of_people(0.3, 1.5))
}

/// Beside no discrete choice of the same rows, or beside another number, nothing is integrated unasked.
#[test]
fn what_is_no_mixture_is_drawn() -> Result<()> {
    #[model]
    fn outside(x: &Tensor) {
        let on = sample!(Bernoulli(Tensor::scalar(0.5)));
        plate!(x.rows() => {
            let ability = sample!(Normal(zeros(x), 1.5));
            observe!(Binomial(10, logits = ability + on), x);
        })
    }
    #[model]
    fn two(x: &Tensor) {
        plate!(x.rows() => {
            let there = sample!(Bernoulli(zeros(x) + 0.7));
            let a = sample!(Normal(zeros(x), 1.0));
            let b = sample!(Normal(zeros(x), 1.0));
            observe!(Binomial(10, there * (a + b).sigmoid()), x);
        })
    }
    let x = successes();
    let (outside, two) = (outside(&x), two(&x));
    let models: [&dyn Program; 2] = [&outside, &two];
    for model in models {
        let fit = Svi::new(model).seed(1).steps(2).run()?;
        let plan = fit.plan();
        let estimators: Vec<_> = plan.entries.iter().map(|entry| entry.estimator).collect();
        assert!(estimators.contains(&"summed out"), "{estimators:?}");
        assert!(!estimators.contains(&"integrated out"), "{estimators:?}");
    }
    Ok(())
}

/// What was asked for is not lost in a sum around it.
#[test]
fn what_was_asked_for_by_name_is_done() -> Result<()> {
    #[model]
    fn able(x: &Tensor) {
        plate!(x.rows() => {
            let ability = sample!(Normal(zeros(x) - 0.2, 1.8));
            observe!(Binomial(10, logits = ability), x);
        })
    }
    let x = successes();
    let model = marginalise(able(&x)).integrate("ability");
    let fit = Svi::new(&model).seed(1).run()?;
    let wanted = SUCCESSES.map(|x| exact(x, |on| (f64::from(on), -0.2, 1.8, true)));
    assert_near(fit.posterior().log_evidence().elbo, total(&wanted), 1e-3);
    let around = Svi::new(&model).marginalise().seed(1).run().map(drop);
    let error = around.unwrap_err().to_string();
    assert!(error.contains("use one of the two"), "{error}");
    Ok(())
}

#[test]
fn what_cannot_be_integrated_is_refused() -> Result<()> {
    #[model]
    fn host() {
        let ability = sample!(Normal(0.0, 1.0));
        observe!(Normal(ability, 1.0), 0.3);
    }
    #[model]
    fn read(x: &Tensor) {
        plate!(x.rows() => {
            let ability = sample!(Normal(zeros(x), 1.0));
            let shift = if ability.to_vec()?[0] > 0.0 { 1.0 } else { 0.0 };
            observe!(Normal(ability + shift, 1.0), x);
        })
    }
    let x = successes();
    let error = log_evidence_of(&marginalise(host()).integrate("ability")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`Normal` or `LogNormal` over tensors"),
        "{error}"
    );
    let error = log_evidence_of(&marginalise(people(&x)).integrate("abilty")).unwrap_err();
    assert!(error.to_string().contains("no site `abilty`"), "{error}");
    #[model]
    fn both(x: &Tensor) {
        plate!(x.rows() => {
            let a = sample!(Normal(zeros(x), 1.0));
            let b = sample!(Normal(a, 1.0));
            observe!(Normal(b, 1.0), x);
        })
    }
    let of_both = marginalise(both(&x)).integrate("a").integrate("b");
    let error = log_evidence_of(&of_both).unwrap_err();
    assert!(
        error.to_string().contains("integrate only one of them"),
        "{error}"
    );
    let error = log_evidence_of(&marginalise(read(&x)).integrate("ability")).unwrap_err();
    assert!(error.to_string().contains("host code reads it"), "{error}");
    Ok(())
}

/// Rows that leave much less than the distance of two nodes, one of them in the middle between two.
#[test]
fn nodes_that_are_far_apart_are_told_of_and_not_taken_unasked() -> Result<()> {
    #[model]
    fn narrow(x: &Tensor) {
        plate!(x.rows() => {
            let level = sample!(Normal(zeros(x), 10.0));
            observe!(Normal(level, 0.9), x);
        })
    }
    let x = Tensor::from_slice(&[0.1, 3.0, -4.0]);
    let model = marginalise(narrow(&x)).integrate("level");
    let verdict = Svi::new(&model).seed(1).run()?.verdict();
    let coarse =
        |finding: &Finding| matches!(finding, Finding::CoarseNodes { site, .. } if site == "level");
    assert!(verdict.findings.iter().any(coarse), "{verdict}");
    assert!(!verdict.to_string().contains("  "), "{verdict}");

    /// Many trials a row.
    #[model]
    fn often(x: &Tensor) {
        plate!(x.rows() => {
            let there = sample!(Bernoulli(zeros(x) + 0.7));
            let ability = sample!(Normal(zeros(x), 1.5));
            observe!(Binomial(1_000, logits = ability - 0.1 * there), x);
        })
    }
    let x = Tensor::from_slice(&[400.0, 550.0]);
    let fit = Svi::new(&often(&x)).seed(1).steps(2).run()?;
    assert!(!is_integrated(&fit));
    Ok(())
}

fn is_integrated(fit: &Fit) -> bool {
    let plan = fit.plan();
    plan.entries
        .iter()
        .any(|entry| entry.estimator == "integrated out")
}

/// The law's own parameters as numbers, a choice of the plate around that moves them, and draws that stay as wide.
#[test]
fn laws_by_choices_around_them_have_posteriors() -> Result<()> {
    #[model]
    fn groups(x: &Tensor) {
        plate!(2, name = "groups" => {
            let high = sample!(Bernoulli(Tensor::full([2, 1], 0.4, &Device::cpu())));
            plate!(3, name = "members" => {
                let level = sample!(Normal(&high * 2.0 - 1.0 + Tensor::zeros([2, 3], &Device::cpu()), 0.8));
                let near = sample!(Bernoulli(Tensor::full([2, 3], 0.5, &Device::cpu())));
                observe!(Normal(&level, 0.4 + 1.1 * (1.0 - near)), x);
            })
        })
    }
    let x = [[0.9, 1.4, -0.3], [-1.2, 0.4, -2.0]];
    let density = |x: f64, mean: f64, variance: f64| {
        (-0.5 * (x - mean).powi(2) / variance).exp() / (std::f64::consts::TAU * variance).sqrt()
    };
    let data = Tensor::from_vec(
        x.concat().iter().map(|x| *x as f32).collect(),
        [2, 3],
        &Device::cpu(),
    )?;
    let model = groups(&data);
    let fit = Svi::new(&model).seed(1).posterior_draws(40_000).run()?;
    assert!(is_integrated(&fit));
    let found = (
        fit.posterior().means("level")?,
        fit.posterior().sds("level")?,
    );
    let mut log_evidence = 0.0;
    for (group, x) in x.iter().enumerate() {
        // By the choice of the group and that of the member: weight, mean and variance of the level.
        let cases = |x: f64, high: bool| {
            let prior = if high { 1.0 } else { -1.0 };
            [0.4_f64, 1.5].map(|sd| {
                let (own, noise) = (0.64, sd * sd);
                let precision = 1.0 / own + 1.0 / noise;
                let mean = (prior / own + x / noise) / precision;
                (0.5 * density(x, prior, own + noise), mean, 1.0 / precision)
            })
        };
        let of_group = [false, true].map(|high| {
            let members = x
                .iter()
                .map(|&x| cases(x, high).iter().map(|case| case.0).sum::<f64>());
            members.product::<f64>() * if high { 0.4 } else { 0.6 }
        });
        let all: f64 = of_group.iter().sum();
        log_evidence += all.ln();
        for (member, &x) in x.iter().enumerate() {
            let (mut mean, mut square) = (0.0, 0.0);
            for (high, weight) in [false, true].into_iter().zip(of_group) {
                let cases = cases(x, high);
                let sum: f64 = cases.iter().map(|case| case.0).sum();
                for (part, own_mean, variance) in cases {
                    let share = weight / all * part / sum;
                    mean += share * own_mean;
                    square += share * (variance + own_mean * own_mean);
                }
            }
            let sd = (square - mean * mean).sqrt();
            let at = 3 * group + member;
            assert_near(found.0[at], mean, 0.03 * sd);
            assert_near(found.1[at], sd, 0.03 * sd);
        }
    }
    assert_near(fit.posterior().log_evidence().elbo, log_evidence, 1e-3);
    Ok(())
}

/// Positive numbers, beside a choice that is left to draw.
#[test]
fn logarithms_are_integrated_too() -> Result<()> {
    #[model]
    fn rates(x: &Tensor) {
        let level = sample!(Normal(Tensor::scalar(0.0), 1.0));
        plate!(x.rows() => {
            let on = sample!(Bernoulli(zeros(x) + 0.6));
            let rate = sample!(LogNormal(zeros(x) + &level, 0.7));
            observe!(Poisson(on * rate + 0.2), x);
        })
    }
    let counts = [0.0, 3.0, 1.0, 6.0];
    let x = Tensor::from_slice(&counts.map(|x| x as f32));
    let fit = Svi::new(&rates(&x)).seed(1).posterior_draws(1_000).run()?;
    assert!(is_integrated(&fit));
    let log_poisson = |x: f64, rate: f64| {
        x * rate.ln() - rate - (1..=x as u64).map(|k| (k as f64).ln()).sum::<f64>()
    };
    let gaussian = |e: f64| (-0.5 * e * e).exp() / std::f64::consts::TAU.sqrt();
    let (mut all, mut first) = (0.0, 0.0);
    for level in (-500..=500).map(|k| f64::from(k) * 0.01) {
        let rows = counts.map(|x| {
            let nodes = (-160..=160).map(|k| f64::from(k) * 0.05);
            let rate = |e: f64| (level + 0.7 * e).exp() + 0.2;
            let on: f64 = nodes
                .map(|e| 0.05 * gaussian(e) * log_poisson(x, rate(e)).exp())
                .sum();
            0.6 * on + 0.4 * log_poisson(x, 0.2).exp()
        });
        let weight = 0.01 * gaussian(level) * rows.iter().product::<f64>();
        all += weight;
        first += weight * level;
    }
    assert_near(fit.posterior().mean("level")?, first / all, 0.05);
    let bound = fit.posterior().log_evidence();
    assert!(bound.elbo < all.ln() + 0.02, "{bound:?}");
    assert_near(bound.elbo, all.ln(), 0.05);
    Ok(())
}

/// Guides that were given have their say about every continuous choice.
#[test]
fn guides_that_were_given_keep_their_choices() -> Result<()> {
    let x = successes();
    let fit = Svi::new(&people(&x))
        .guide(&DeltaGuide)
        .seed(1)
        .steps(2)
        .run()?;
    assert!(!is_integrated(&fit));
    Ok(())
}

/// At a node where no draw comes the rate is infinite: the choice is drawn instead.
#[test]
fn what_goes_wrong_at_a_node_alone_is_no_error() -> Result<()> {
    #[model]
    fn wild(x: &Tensor) {
        let spread = param!(1.0, positive);
        plate!(x.rows() => {
            let there = sample!(Bernoulli(zeros(x) + 0.7));
            let height = sample!(Normal(zeros(x), &spread));
            observe!(Poisson(there * height.exp() + 0.1), x);
        })
    }
    let x = Tensor::from_slice(&[0.0, 2.0, 1.0]);
    let model = wild(&x);
    let mut svi = Svi::new(&model).seed(1);
    svi.step()?;
    let spread = svi.trainer().params().parameter("spread").unwrap();
    spread.set(Tensor::scalar(25_f32.ln()))?;
    svi.step()?;
    assert!(svi.trainer().params().parameter("height.loc").is_some());
    Ok(())
}

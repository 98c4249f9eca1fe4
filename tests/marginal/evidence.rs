//! The evidence, against sums over all combinations.

use relax_runtime::infer::marginalise;
use relax_runtime::prelude::*;

use relax_runtime::Key;

use crate::{assert_near, log_evidence, log_sum_exp};

#[model]
pub(crate) fn wet_lawn(wet: bool) {
    let rain = sample!(Bernoulli(0.2));
    let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
    let p = match (rain, sprinkler) {
        (true, true) => 0.99,
        (true, false) => 0.8,
        (false, true) => 0.9,
        _ => 0.001,
    };
    observe!(Bernoulli(p), wet);
}

#[test]
fn a_network_has_the_evidence_of_all_combinations() -> Result<()> {
    for wet in [true, false] {
        let exact = exact_posterior(&wet_lawn(wet))?.log_evidence;
        assert_near(log_evidence(wet_lawn(wet))?, exact, 1e-6);
    }
    Ok(())
}

/// Sixteen spins on a grid, each neighbour's pair a factor of its own.
#[model]
fn ising(coupling: f64) {
    let mut grid = [[0.0; 4]; 4];
    for i in 0..4 {
        for j in 0..4 {
            let up = sample!(Bernoulli(0.5));
            grid[i][j] = if up { 1.0 } else { -1.0 };
            if i > 0 {
                factor!(
                    coupling * grid[i][j] * grid[i - 1][j],
                    name = format!("down {i} {j}")
                );
            }
            if j > 0 {
                factor!(
                    coupling * grid[i][j] * grid[i][j - 1],
                    name = format!("right {i} {j}")
                );
            }
        }
    }
}

#[test]
fn a_grid_of_spins_has_the_evidence_of_all_states() -> Result<()> {
    let coupling = 0.5;
    let weights: Vec<f64> = (0..1_u32 << 16)
        .map(|state| {
            let spin = |i: u32, j: u32| {
                if state >> (4 * i + j) & 1 == 1 {
                    1.0
                } else {
                    -1.0
                }
            };
            let mut energy = -16.0 * 2_f64.ln();
            for i in 0..4 {
                for j in 0..4 {
                    if i > 0 {
                        energy += coupling * spin(i, j) * spin(i - 1, j);
                    }
                    if j > 0 {
                        energy += coupling * spin(i, j) * spin(i, j - 1);
                    }
                }
            }
            energy
        })
        .collect();
    assert_near(log_evidence(ising(coupling))?, log_sum_exp(&weights), 1e-9);
    Ok(())
}

/// Twenty coins that count where all of them show heads alone, and where none does.
#[model]
fn all_or_none() {
    let (mut all, mut none) = (true, true);
    for _ in 0..20 {
        let heads = sample!(Bernoulli(0.5));
        all &= heads;
        none &= !heads;
    }
    observe!(
        Bernoulli(if all {
            0.9
        } else if none {
            0.5
        } else {
            0.1
        }),
        true
    );
}

#[test]
fn a_term_of_too_many_choices_is_refused_in_words() {
    let error = log_evidence(all_or_none()).unwrap_err().to_string();
    assert!(
        error.contains("65536") && error.contains("`heads[19]`"),
        "{error}"
    );
}

/// Choices of which others follow with certainty.
#[model]
fn parity(last: bool) {
    let mut odd = false;
    for _ in 0..30 {
        let bit = sample!(Bernoulli(0.3));
        let parity = sample!(Bernoulli(if bit != odd { 1.0 } else { 0.0 }));
        odd = parity;
    }
    observe!(Bernoulli(if odd { 1.0 } else { 0.0 }), last);
}

#[test]
fn what_is_impossible_is_never_run_and_does_not_count() -> Result<()> {
    let even = 0.5 * (1.0 + 0.4_f64.powi(30));
    assert_near(log_evidence(parity(false))?, even.ln(), 1e-7);
    assert_near(log_evidence(parity(true))?, (1.0 - even).ln(), 1e-7);
    Ok(())
}

#[model]
fn certainly_dry() {
    let rain = sample!(Bernoulli(0.0));
    assert!(!rain, "a value of probability 0 was run");
    let cloudy = sample!(Categorical(probs = [0.0, 0.5, 0.5]));
    assert!(cloudy > 0, "a value of probability 0 was run");
    observe!(Bernoulli([0.0, 0.2, 0.4][cloudy]), true);
}

#[test]
fn values_of_probability_0_are_left_out() -> Result<()> {
    assert_near(log_evidence(certainly_dry())?, 0.3_f64.ln(), 1e-6);
    Ok(())
}

#[model]
fn contradiction() {
    let a = sample!(Bernoulli(0.5));
    let likely = if a { -0.0 } else { 0.0 };
    observe!(Bernoulli(likely), true);
}

#[test]
fn observations_without_probability_are_an_error() {
    let error = log_evidence(contradiction()).unwrap_err();
    assert!(matches!(error, Error::Impossible(_)), "{error}");
    assert!(error.to_string().contains("`contradiction`"), "{error}");
}

/// Groups whose members are not known, row by row.
#[model]
fn mixture(x: &Tensor) {
    let weights = param!([0.2, 0.5, 0.3], simplex);
    let means = param!([-1.0, 0.5, 2.0]);
    plate!(x.rows() => {
        let probs = weights.unsqueeze(0).broadcast_to([x.rows(), 3]);
        let group = sample!(OneHotCategorical(probs = &probs));
        let mean = (&group * means.unsqueeze(0)).sum(-1);
        observe!(Normal(mean, 0.7), x);
    })
}

#[test]
fn rows_of_a_plate_are_summed_over_one_by_one() -> Result<()> {
    let x = [-1.3, 0.2, 0.9, 2.4, 1.1];
    let density = |x: f64, mean: f64| {
        (-0.5 * ((x - mean) / 0.7).powi(2)).exp() / (0.7 * std::f64::consts::TAU.sqrt())
    };
    let wanted: f64 = x
        .iter()
        .map(|&x| {
            let parts = [(0.2, -1.0), (0.5, 0.5), (0.3, 2.0)];
            let sum: f64 = parts.iter().map(|(w, mean)| w * density(x, *mean)).sum();
            sum.ln()
        })
        .sum();
    let x = Tensor::from_slice(&x.map(|x| x as f32));
    assert_near(log_evidence(mixture(&x))?, wanted, 1e-5);
    Ok(())
}

#[test]
fn the_gradient_is_that_of_the_evidence() -> Result<()> {
    let x = Tensor::from_slice(&[-1.3, 0.2, 0.9, 2.4, 1.1]);
    let program = mixture(&x);
    let summed = marginalise(&program);
    let objective = Elbo::new(&summed);
    let mut trainer = Trainer::new(1);
    trainer.gradients(&objective, Key::new(1))?;
    let found = trainer.gradients(&objective, Key::new(1))?;
    let params = trainer.params().clone();
    let evidence = || -> Result<f64> {
        let run = Simulation::seeded(1).params(&params).run(&summed)?;
        run.trace.log_prob()
    };
    for name in ["weights", "means"] {
        let parameter = params.parameter(name).unwrap();
        let (_, gradient) = found
            .parameters
            .iter()
            .find(|(p, _)| p.key() == parameter.key())
            .unwrap();
        let start = parameter.get().to_vec()?;
        for at in 0..start.len() {
            let moved = |by: f32| -> Result<f64> {
                let mut values = start.clone();
                values[at] += by;
                parameter.set(Tensor::from_slice(&values))?;
                evidence()
            };
            let difference = (moved(0.01)? - moved(-0.01)?) / 0.02;
            assert_near(-f64::from(gradient.to_vec()?[at]), difference, 2e-3);
        }
        parameter.set(Tensor::from_slice(&start))?;
    }
    Ok(())
}

#[model]
fn rows_meet() {
    let b = plate!(3 => {
        let b = sample!(Bernoulli(Tensor::full(3, 0.5, &Device::cpu())));
        b
    });
    observe!(Normal(b.sum(0), 1.0), 2.0);
}

#[test]
fn rows_that_meet_are_refused_in_words() {
    let error = log_evidence(rows_meet()).unwrap_err();
    assert!(matches!(error, Error::Plates(_)), "{error}");
    assert!(
        error.to_string().contains("the rows of `b` meet"),
        "{error}"
    );
}

#[model]
fn paid() {
    let b = sample!(Bernoulli(0.5));
    observe!(Bernoulli(if b { 0.3 } else { 0.4 }), true);
    cost!(if b { 1.0 } else { 0.0 });
}

#[test]
fn costs_are_refused_in_words() {
    let error = log_evidence(paid()).unwrap_err().to_string();
    assert!(error.contains("`factor!`"), "{error}");
}

/// How many trials were there, if three came out?
#[model]
fn unknown_trials() {
    let n = sample!(DiscreteUniform(0, 6));
    observe!(Binomial(n, 0.4), 3);
}

#[test]
fn what_choices_make_impossible_has_probability_0() -> Result<()> {
    let choose = [1.0, 4.0, 10.0, 20.0];
    let terms: Vec<f64> = (0..4)
        .map(|k| choose[k] * 0.4_f64.powi(3) * 0.6_f64.powi(k as i32) / 7.0)
        .collect();
    let evidence: f64 = terms.iter().sum();
    assert_near(log_evidence(unknown_trials())?, evidence.ln(), 1e-6);
    let exact = exact_posterior(&unknown_trials())?;
    assert_near(exact.log_evidence, evidence.ln(), 1e-6);
    let fit = Svi::new(&unknown_trials()).run()?;
    assert_near(fit.posterior().mean("n")?, exact.mean("n")?, 1e-6);
    Ok(())
}

/// What host code makes of nearly all choices at once shows at few of their values, but at those that matter.
#[test]
fn a_lock_of_which_nearly_all_pins_must_fit_depends_on_all() -> Result<()> {
    #[model]
    fn lock(pins: usize, others: usize) {
        let mut fitting = 0;
        for i in 0..pins + others {
            let is_high = i % 3 == 0;
            let pin = sample!(Bernoulli(if is_high { 0.9 } else { 0.1 }));
            fitting += usize::from(pin == is_high && i < pins);
        }
        observe!(Bernoulli(if fitting + 1 >= pins { 0.9 } else { 0.2 }), true);
    }
    let opens = 0.9_f64.powi(12) + 12.0 * 0.1 * 0.9_f64.powi(11);
    let wanted = (0.2 + 0.7 * opens).ln();
    for seed in 0..4 {
        let run = Simulation::seeded(seed).run(&marginalise(lock(12, 30)))?;
        assert_near(run.trace.log_prob()?, wanted, 1e-6);
    }
    let exact = exact_posterior(&lock(12, 30))?;
    assert_near(exact.log_evidence, wanted, 1e-6);
    // Of more pins the sum would be too large, and says so.
    let refused = log_evidence(lock(17, 2)).expect_err("2^17 combinations of a term");
    let problem = refused.to_string();
    assert!(problem.contains("combinations together"), "{problem}");
    Ok(())
}

/// One side of a coin has a probability of e^−200 by what is seen, and a derivative that is infinite.
#[model]
fn hardly_ever() {
    let w = param!(Tensor::scalar(0.0));
    let heads = sample!(Bernoulli(0.5));
    factor!(if heads { w.sqrt() - 200.0 } else { w * 3.0 });
}

#[test]
fn derivatives_of_what_does_not_count_are_left_out() -> Result<()> {
    let program = hardly_ever();
    let summed = marginalise(&program);
    let objective = Elbo::new(&summed);
    let found = Trainer::new(1).gradients(&objective, Key::new(1))?;
    let (_, gradient) = &found.parameters[0];
    // Of a loss, which is minus the evidence.
    assert_eq!(gradient.to_vec()?, [-3.0]);
    Ok(())
}

/// Some rows of many, around a number of all of them.
#[model]
fn some_rows(x: &Tensor, of: usize) {
    let mean = sample!(Normal(Tensor::scalar(0.0), 1.0));
    plate!(x.rows(), of = of => {
        let on = sample!(Bernoulli(Tensor::full([x.rows()], 0.3, &Device::cpu())));
        observe!(Normal(&mean + on * 2.0, 1.0), x);
    })
}

/// Rows that stand for others do so within the sum.
#[test]
fn bounds_of_several_samples_are_of_all_rows() -> Result<()> {
    let x = Tensor::from_slice(&[0.1, 2.2, -0.3]);
    let of = |rows: usize, samples: usize| {
        let model = some_rows(&x, rows);
        let objective = Elbo::new(&model).marginalise().samples(samples);
        Trainer::new(1).gradients(&objective, Key::new(1)).map(drop)
    };
    of(3, 4)?;
    of(30, 1)?;
    let problem = of(30, 4).expect_err("three of thirty rows").to_string();
    assert!(
        problem.contains("stands for more rows") && problem.contains("drawn"),
        "{problem}"
    );
    Ok(())
}

/// Rows that look at other rows of their plate, though each is in its own.
#[test]
fn rows_that_depend_on_each_other_are_refused() -> Result<()> {
    #[model]
    fn walk(x: &Tensor, ties: fn(&Tensor) -> Tensor) {
        plate!(x.rows() => {
            let step = sample!(Bernoulli(Tensor::full(x.rows(), 0.5, &Device::cpu())));
            observe!(Normal(ties(&step), 1.0), x);
        })
    }
    let x = Tensor::from_slice(&[1.0, 1.0, 1.0]);
    let tied: [fn(&Tensor) -> Tensor; 3] = [
        |step| step.cumsum(0),
        |step| step - step.mean(0),
        // The first row in the place of the third.
        |step| {
            step * 1.0
                + Tensor::concat(
                    &[&Tensor::zeros([2], &Device::cpu()), &step.slice(0, 0..1)],
                    0,
                )
        },
    ];
    for ties in tied {
        let model = walk(&x, ties);
        for found in [
            log_evidence(&model).map(drop),
            Svi::new(&model).steps(2).progress(false).run().map(drop),
        ] {
            let error = found.expect_err("rows are tied");
            assert!(matches!(error, Error::TiedRows { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("`x`") && text.contains("`step`"), "{text}");
        }
        // Run by run all is as the model says.
        assert!(exact_posterior(&model)?.log_evidence.is_finite());
    }
    let apart = walk(&x, |step| step * 2.0 - 1.0);
    assert!(log_evidence(&apart)?.is_finite());
    Ok(())
}

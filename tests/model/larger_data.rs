//! Plates that are part of a larger data set: posteriors and evidence, against formulas.
//!
//! Each row stands for `s` rows: p(g | x) ∝ p(g) Π_i [Σ_z p(z | g) p(x_i | z, g)]^s for what is outside, p(z_i | g,
//! x_i) for a row's own choices, and the evidence is that of the rows that are present.

use std::f64::consts::TAU;

use relax_runtime::infer::Draws;
use relax_runtime::prelude::*;

use crate::{assert_all_near, assert_near, assert_says, error};

fn density(x: f64, mean: f64) -> f64 {
    (-0.5 * (x - mean).powi(2)).exp() / TAU.sqrt()
}

#[model]
fn rows(x: &Tensor, of: usize) {
    plate!(x.rows(), of = of => {
        let z = sample!(Bernoulli(0.3));
        observe!(Normal(&z, 1.0), x);
    })
}

/// A guide with a number for each of two rows.
#[model]
fn by_row(of: usize) {
    let logits = param!([0.0, 0.0]);
    plate!(2, of = of => {
        let z = sample!(Bernoulli(logits = &logits));
    })
}

/// p(z = 1, x) and p(z = 0, x).
fn of_row(x: f64) -> [f64; 2] {
    [0.3 * density(x, 1.0), 0.7 * density(x, 0.0)]
}

#[test]
fn a_rows_own_choice_has_its_own_posterior() -> Result<()> {
    let x = [0.5, 2.2];
    let wanted: Vec<f64> = x
        .map(|x| of_row(x)[0] / (of_row(x)[0] + of_row(x)[1]))
        .into();
    assert_all_near(&wanted, &[0.3, 0.701_2], 1e-4);
    let evidence: f64 = x.map(|x| (of_row(x)[0] + of_row(x)[1]).ln()).iter().sum();
    let data = Tensor::from_slice(&x.map(|x| x as f32));
    for of in [2, 20] {
        let model = rows(&data, of);
        let exact = exact_posterior(&model)?;
        assert_all_near(&exact.means("z")?, &wanted, 1e-6);
        assert_near(exact.log_evidence, evidence, 1e-6);
        let both = exact.probability(|draw| draw.numbers("z").is_ok_and(|z| z == [1.0, 1.0]))?;
        assert_near(both, wanted[0] * wanted[1], 1e-6);

        let summed = Svi::new(&model).seed(1).run()?;
        assert_all_near(&summed.posterior().means("z")?, &wanted, 1e-5);
        assert_near(summed.posterior().log_evidence().elbo, evidence, 1e-5);
        assert_near(summed.posterior().log_evidence().bound, evidence, 1e-5);
        let guide = by_row(of);
        let drawn = Svi::new(&model).guide(&guide).seed(1).run()?;
        assert_all_near(&drawn.posterior().means("z")?, &wanted, 0.02);
        assert_near(drawn.posterior().log_evidence().elbo, evidence, 0.01);
    }
    Ok(())
}

/// Twelve coins more than are enumerated one by one.
#[test]
fn many_rows_have_the_same_posteriors() -> Result<()> {
    let x: Vec<f64> = (0..13).map(|i| 0.3 * f64::from(i) - 1.0).collect();
    let data: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    let exact = exact_posterior(&rows(&Tensor::from_slice(&data), 1_300))?;
    let sums: Vec<f64> = x.iter().map(|&x| of_row(x).iter().sum()).collect();
    let wanted: Vec<f64> = x
        .iter()
        .zip(&sums)
        .map(|(&x, sum)| of_row(x)[0] / sum)
        .collect();
    assert_all_near(&exact.means("z")?, &wanted, 1e-5);
    let evidence: f64 = sums.iter().map(|sum| sum.ln()).sum();
    assert_near(exact.log_evidence, evidence, 1e-4);
    Ok(())
}

/// A coin around rows of rows, each with a coin of its own.
#[model]
fn nested(x: &Tensor) {
    let around = sample!(Bernoulli(Tensor::scalar(0.4)));
    plate!(2, of = 4 => {
        let group = sample!(Bernoulli(0.2 + 0.5 * &around));
        plate!(2, of = 6 => {
            let own = sample!(Bernoulli(0.6 - 0.4 * group.unsqueeze(1)));
            observe!(Normal(1.5 * &own + group.unsqueeze(1) + &around, 1.0), x);
        })
    })
}

/// What `nested` has, by hand.
struct Nested {
    around: f64,
    group: Vec<f64>,
    own: Vec<f64>,
    evidence: f64,
    /// That `around`, the first group's coin and its first row's show heads.
    all: f64,
}

fn nested_by_hand(x: [[f64; 2]; 2]) -> Nested {
    let coin = |p: f64, on: usize| if on == 1 { p } else { 1.0 - p };
    let (mut heights, mut evidence) = ([0.0; 2], 0.0);
    // Given `around`: each group's coin, and each row's.
    let (mut groups, mut owns, mut alls) = ([[0.0; 2]; 2], [[0.0; 4]; 2], [0.0; 2]);
    for around in 0..2 {
        let prior = coin(0.4, around);
        let (mut height, mut once) = (prior, prior);
        for i in 0..2 {
            let (mut weights, mut weights_once, mut p_own) = ([0.0; 2], [0.0; 2], [[0.0; 2]; 2]);
            for group in 0..2 {
                let own = coin(0.2 + 0.5 * around as f64, group);
                (weights[group], weights_once[group]) = (own, own);
                for j in 0..2 {
                    let term = |on: usize| {
                        let mean = 1.5 * on as f64 + group as f64 + around as f64;
                        coin(0.6 - 0.4 * group as f64, on) * density(x[i][j], mean)
                    };
                    let sum = term(0) + term(1);
                    p_own[group][j] = term(1) / sum;
                    weights[group] *= sum.powi(3);
                    weights_once[group] *= sum;
                }
            }
            let sum = weights[0] + weights[1];
            groups[around][i] = weights[1] / sum;
            for j in 0..2 {
                let terms = [0, 1].map(|group| weights[group] / sum * p_own[group][j]);
                owns[around][2 * i + j] = terms[0] + terms[1];
            }
            if i == 0 {
                alls[around] = groups[around][0] * p_own[1][0];
            }
            height *= sum.powi(2);
            once *= weights_once[0] + weights_once[1];
        }
        heights[around] = height;
        evidence += once;
    }
    let p = heights[1] / (heights[0] + heights[1]);
    let mix = |given: [f64; 2]| (1.0 - p) * given[0] + p * given[1];
    Nested {
        around: p,
        group: (0..2).map(|i| mix([groups[0][i], groups[1][i]])).collect(),
        own: (0..4).map(|i| mix([owns[0][i], owns[1][i]])).collect(),
        evidence: evidence.ln(),
        all: p * alls[1],
    }
}

#[test]
fn what_is_around_rows_sees_each_as_often_as_it_stands_for_others() -> Result<()> {
    let x = [[0.4, 1.9], [2.6, -0.3]];
    let data = Tensor::from_slice(
        &x.as_flattened()
            .iter()
            .map(|&x| x as f32)
            .collect::<Vec<_>>(),
    );
    let data = data.reshape([2, 2]);
    let model = nested(&data);
    let wanted = nested_by_hand(x);
    let exact = exact_posterior(&model)?;
    let summed = Svi::new(&model).posterior_draws(4_000).seed(1).run()?;
    assert_near(exact.log_evidence, wanted.evidence, 1e-5);
    let found = summed.posterior().log_evidence();
    assert_near(found.elbo, wanted.evidence, 1e-5);
    let both: [(&Draws, f64); 2] = [(&exact, 1e-5), (summed.posterior(), 0.025)];
    for (draws, close) in both {
        assert_near(draws.mean("around")?, wanted.around, 1e-5);
        assert_all_near(&draws.means("group")?, &wanted.group, 1e-5);
        assert_all_near(&draws.means("own")?, &wanted.own, 1e-5);
        let all = draws.probability(|draw| {
            let first = |site| draw.numbers(site).is_ok_and(|x| x[0] == 1.0);
            first("around") && first("group") && first("own")
        })?;
        assert_near(all, wanted.all, close);
    }
    Ok(())
}

#[test]
fn rows_of_a_part_that_meet_are_refused() {
    #[model]
    fn meeting(x: &Tensor, whether: &'static str) {
        let z = plate!(x.rows(), of = 20 => {
            let z = sample!(Bernoulli(0.3));
            let mean = if whether == "inside" { &z + z.sum(0) } else { z.clone() };
            observe!(Normal(mean, 1.0), x, name = "row");
            z
        });
        if whether == "outside" {
            observe!(Normal(z.sum(0), 1.0), 1.0, name = "total");
        }
        if whether == "by host code" && z.sum(0).item()? > 1.0 {
            let late = sample!(Bernoulli(0.5));
        }
    }
    let x = Tensor::from_slice(&[0.5, 2.2]);
    for (whether, what) in [
        ("inside", "`row` depends on"),
        ("outside", "`total` depends on"),
        ("by host code", "which choices there are depends on"),
    ] {
        let found = exact_posterior(&meeting(&x, whether));
        assert_says(&error(found), &[what, "several rows", "without `of`"]);
    }
    assert!(exact_posterior(&meeting(&x, "nowhere")).is_ok());
}

/// A mean around rows of two kinds.
#[model]
fn kinds(x: &Tensor, of: usize) {
    let mean = sample!(Normal(Tensor::scalar(0.0), 1.0));
    plate!(x.rows(), of = of => {
        let z = sample!(Bernoulli(0.3));
        observe!(Normal(&mean + 2.0 * &z, 1.0), x);
    })
}

/// The mean's posterior sees each row twice, and the evidence each once, by a sum over a fine grid.
#[test]
fn weights_are_the_posteriors_and_the_evidence_is_that_of_the_rows() -> Result<()> {
    let x = [0.5, 2.2];
    let given = |mean: f64| {
        let rows = x.map(|x| 0.3 * density(x, mean + 2.0) + 0.7 * density(x, mean));
        rows[0] * rows[1]
    };
    let grid = || (-6_000..6_000).map(|i| f64::from(i) * 1e-3);
    let integral = |f: &dyn Fn(f64) -> f64| grid().map(|m| 1e-3 * density(m, 0.0) * f(m)).sum();
    let evidence = f64::ln(integral(&|m| given(m)));
    let all: f64 = integral(&|m| given(m).powi(2));
    let mean = integral(&|m| m * given(m).powi(2)) / all;
    let data = Tensor::from_slice(&x.map(|x| x as f32));
    let model = kinds(&data, 4);
    let fit = Svi::new(&model)
        .posterior_draws(4_000)
        .hmc(false)
        .seed(1)
        .run()?;
    let posterior = fit.posterior();
    assert_near(posterior.weighted()?.mean("mean")?, mean, 0.03);
    assert_near(posterior.log_evidence().bound, evidence, 0.05);
    Ok(())
}

/// A number for each row.
#[model]
fn effects(x: &Tensor, of: usize) {
    plate!(x.rows(), of = of => {
        let mu = sample!(Normal(Tensor::zeros([x.rows()], &Device::cpu()), 1.0));
        observe!(Normal(&mu, 1.0), x);
    })
}

#[model]
fn effects_guide(rows: usize, of: usize) {
    let loc = param!(Tensor::zeros([rows], &Device::cpu()));
    let scale = param!(Tensor::full([rows], 0.3, &Device::cpu()), positive);
    plate!(rows, of = of => {
        let mu = sample!(Normal(&loc, &scale));
    })
}

/// Chains draw from the rows' posteriors, too, and not from powers of them.
#[test]
fn chains_count_each_row_once() -> Result<()> {
    let x = Tensor::from_slice(&[2.0, -1.0, 0.5, 1.0]);
    for of in [4, 400] {
        let (model, guide) = (effects(&x, of), effects_guide(4, of));
        let fit = Svi::new(&model).guide(&guide).hmc(true).seed(1).run()?;
        assert_all_near(&fit.posterior().means("mu")?, &[1.0, -0.5, 0.25, 0.5], 0.1);
        assert_all_near(&fit.posterior().sds("mu")?, &[0.5_f64.sqrt(); 4], 0.06);
    }
    Ok(())
}

//! Pareto-smoothed importance sampling against another program, and against laws whose tail is known.

use relax_runtime::infer::psis;
use relax_runtime::{Key, Result};

fn assert_near(found: f64, wanted: f64, tolerance: f64) {
    assert!(
        (found - wanted).abs() < tolerance,
        "{found} instead of {wanted}"
    );
}

/// Log-ratios at the middles of equal shares of an exponential law, in falling order: their weights are
/// the quantiles of a Pareto law of shape `shape`.
fn log_ratios(shape: f64, n: usize) -> Vec<f64> {
    let level = |i: usize| (i as f64 + 0.5) / n as f64;
    (0..n).map(|i| -shape * level(i).ln()).collect()
}

/// `arviz.psislw` of ArviZ 0.23.4: k̂, five weights, and what the draws are worth.
#[test]
fn weights_are_those_of_arviz() -> Result<()> {
    let known = [
        (
            0.3,
            0.349_036_971_473_985_9,
            [
                0.021_148_202_105_861_297,
                0.016_032_363_954_605_28,
                0.013_548_787_559_570_75,
                0.006_929_277_495_332_018,
                0.003_816_836_032_363_271_5,
            ],
            169.321_065_371_156,
        ),
        (
            0.9,
            0.787_696_363_307_363_5,
            [
                0.169_014_564_641_952_14,
                0.070_623_062_769_687_55,
                0.046_933_562_046_457_65,
                0.008_228_237_616_915_528,
                0.001_379_741_104_314_036,
            ],
            23.437_132_120_009_135,
        ),
    ];
    for (shape, k, weights, worth) in known {
        let found = psis(&log_ratios(shape, 200))?;
        assert_near(found.pareto_k.unwrap(), k, 1e-9);
        for (place, weight) in [0, 1, 2, 20, 150].into_iter().zip(weights) {
            assert_near(found.weights[place], weight, 1e-9);
        }
        let squares: f64 = found.weights.iter().map(|w| w * w).sum();
        assert_near(1.0 / squares, worth, 1e-6);
    }
    Ok(())
}

/// Excesses of a generalised Pareto law over any threshold are of the same shape.
#[test]
fn the_shape_of_pareto_draws_is_found() -> Result<()> {
    for shape in [-0.3, 0.2, 0.5, 0.8] {
        let (mut mean, runs) = (0.0, 20);
        for seed in 0..runs {
            let mut stream = Key::new(seed).stream("excess");
            let draw = |u: f64| 10.0 + (u.powf(-shape) - 1.0) / shape;
            let log_ratios: Vec<f64> = (0..4_000)
                .map(|_| draw(stream.uniform_f64()).ln())
                .collect();
            mean += psis(&log_ratios)?.pareto_k.unwrap() / runs as f64;
        }
        // The fit's own prior draws it towards 1/2, as 10 of 200 excesses would.
        let wanted = (190.0 * shape + 10.0 * 0.5) / 200.0;
        assert_near(mean, wanted, 0.06);
    }
    Ok(())
}

#[test]
fn scale_and_order_do_not_matter() -> Result<()> {
    let ratios = log_ratios(0.6, 500);
    let plain = psis(&ratios)?;
    let moved: Vec<f64> = ratios.iter().rev().map(|x| x - 800.0).collect();
    let moved = psis(&moved)?;
    assert_near(moved.pareto_k.unwrap(), plain.pareto_k.unwrap(), 1e-9);
    for (one, other) in plain.weights.iter().zip(moved.weights.iter().rev()) {
        assert_near(*one, *other, 1e-12);
    }
    assert_near(plain.weights.iter().sum(), 1.0, 1e-12);
    Ok(())
}

/// Weights that take few values, as where choices are discrete, have no tail to be smoothed.
#[test]
fn few_different_weights_stay_as_they_are() -> Result<()> {
    let same = psis(&[-3.0; 100])?;
    assert_eq!(same.pareto_k, Some(f64::NEG_INFINITY));
    assert!(same.weights.iter().all(|w| (w - 0.01).abs() < 1e-15));

    let two: Vec<f64> = (0..100).map(|i| if i < 3 { 2.0 } else { 0.0 }).collect();
    let found = psis(&two)?;
    assert_eq!(found.pareto_k, None);
    let sum = 97.0 + 3.0 * 2.0_f64.exp();
    assert_near(found.weights[0], 2.0_f64.exp() / sum, 1e-12);
    assert_near(found.weights[99], 1.0 / sum, 1e-12);

    let few = psis(&log_ratios(0.5, 20))?;
    assert_eq!(few.pareto_k, None);

    let mut impossible = vec![f64::NEG_INFINITY; 50];
    impossible.extend(log_ratios(0.3, 50));
    let found = psis(&impossible)?;
    assert!(found.weights[..50].iter().all(|w| *w == 0.0));
    Ok(())
}

#[test]
fn weights_that_cannot_be_normalised_are_an_error() {
    for wrong in [
        &[][..],
        &[f64::NEG_INFINITY; 3],
        &[0.0, f64::NAN],
        &[0.0, f64::INFINITY],
    ] {
        let error = psis(wrong).unwrap_err().to_string();
        assert!(error.contains("cannot be normalized"), "{error}");
    }
}

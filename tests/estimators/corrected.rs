//! The relaxed cost with its correction for each choice.

use relax_runtime::dist::{BernoulliRelaxation, Distribution, Number, Relaxation};
use relax_runtime::estimator::{Coupling, Estimate, Noise, corrected, differentiable, relax};
use relax_runtime::nn::Activation;
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Sum, Surrogate, Zero};

use crate::derivatives::assert_follows;
use crate::problems::{
    CASES, CURVED, CURVED_ONE_HOT, Case, INTERACTING, KINKED, LARGEST, ONE_HOT, SCALED_KINKS,
    SCALED_LAYERS, STEEP, TWO_ONE_HOTS, perturb,
};
use crate::statistics::{Moments, Verdicts};

const DRAWS: usize = 60_000;

/// η = 0.8, and a network that is far from zero.
fn parts(case: &Case, temperature: f32) -> Result<(RelaxedCost, FreeForm)> {
    let mut stream = Key::new(3).stream("network");
    let (latent, device) = (case.theta(1)?.len(), Device::cpu());
    let network = FreeForm::new(latent, 0, &[6, 5], Activation::Tanh, &mut stream, &device)?;
    perturb(&network.parameters(), 0.4, &mut stream)?;
    Ok((RelaxedCost::new(0.8, temperature, &device), network))
}

fn estimate(case: &Case, rows: usize, noise: &Noise, temperature: f32) -> Result<Estimate> {
    let (relaxed, network) = parts(case, temperature)?;
    let theta = case.theta(rows)?;
    corrected(
        case.problem(&theta, noise),
        &case.cost(),
        &relaxed,
        Some(&network),
    )
}

fn variance(estimate: &Estimate) -> Result<f64> {
    Ok(Moments::of_rows(&estimate.gradient)?.total_variance())
}

#[test]
fn it_is_unbiased() -> Result<()> {
    let mut verdicts = Verdicts::default();
    let further = [CURVED, CURVED_ONE_HOT, KINKED, LARGEST];
    for (seed, case) in CASES.iter().chain(&further).enumerate() {
        for temperature in [0.15, 0.5, 0.9] {
            let noise = case.noise_with(DRAWS, 40 + seed as u64, 1)?;
            let (relaxed, network) = parts(case, temperature)?;
            let theta = case.theta(DRAWS)?;
            let run = |theta: &Tensor, noise: &Noise| {
                corrected(
                    case.problem(theta, noise),
                    &case.cost(),
                    &relaxed,
                    Some(&network),
                )
            };
            // Kinks are rounded off once it is known how far their arguments move.
            run(&case.theta(100)?, &case.noise_with(100, 2, 1)?)?;
            relaxed.learn_from_last()?;
            let estimate = run(&theta, &noise)?;
            assert_eq!(estimate.evaluations, 2);
            let moments = Moments::of_rows(&estimate.gradient)?;
            let verdict = moments.compare(&case.exact_gradient()?);
            verdicts.add(&format!("{} at {temperature}", case.name), verdict);
        }
    }
    verdicts.finish();
    Ok(())
}

/// Coins that always fall on the same side leave a part of the derivative out, and that shows.
#[test]
fn without_fair_coins_it_is_biased() -> Result<()> {
    for case in [CURVED, TWO_ONE_HOTS] {
        for side in [0.2, 0.8] {
            let mut noise = case.noise_with(DRAWS, 50, 1)?;
            noise.further = vec![noise.u.full_like(side)];
            let estimate = estimate(&case, DRAWS, &noise, 0.5)?;
            let moments = Moments::of_rows(&estimate.gradient)?;
            let problem = moments.compare(&case.exact_gradient()?).unwrap_err();
            assert!(problem.contains("standard errors"), "{problem}");
        }
    }
    Ok(())
}

/// A single choice has no others to be corrected for, and its own temperature is 1: what is left is
/// RELAX.
#[test]
fn with_one_choice_at_temperature_one_it_is_relax() -> Result<()> {
    const ROWS: usize = 5_000;
    for case in [&CASES[0], &ONE_HOT] {
        let (relaxed, network) = parts(case, 1.0)?;
        let (theta, noise) = (
            case.scattered_theta(ROWS, 1.0)?,
            case.noise_with(ROWS, 6, 1)?,
        );
        let problem = case.problem(&theta, &noise);
        let one = corrected(problem, &case.cost(), &relaxed, Some(&network))?;
        let sum = Sum(relaxed.clone(), network.clone());
        let other = relax(problem, &case.cost(), &sum)?;
        let distance = (&one.gradient - &other.gradient).abs().max_all().item()?;
        assert!(distance < 1e-4, "{}: {distance}", case.name);
        let pairs = one.variance_gradient.into_iter();
        let pairs = pairs.zip(other.variance_gradient);
        for (at, (one, other)) in pairs.enumerate() {
            // λ is not trained.
            if at != 1 {
                let distance = (one - other).abs().max_all().item()?;
                assert!(distance < 1e-3, "{}, {at}: {distance}", case.name);
            }
        }
    }
    Ok(())
}

#[test]
fn the_gradient_of_the_variance_is_its_derivative() -> Result<()> {
    const ROWS: usize = 400;
    for case in [&INTERACTING, &TWO_ONE_HOTS, &KINKED] {
        let (relaxed, network) = parts(case, 0.3)?;
        let (theta, noise) = (
            case.scattered_theta(ROWS, 0.5)?,
            case.noise_with(ROWS, 7, 1)?,
        );
        let run = || {
            corrected(
                case.problem(&theta, &noise),
                &case.cost(),
                &relaxed,
                Some(&network),
            )
        };
        run()?;
        relaxed.learn_from_last()?;
        let found = run()?.variance_gradient.tensors();
        let mut parameters: Vec<Parameter> = relaxed.parameters();
        parameters.extend(network.parameters());
        assert_eq!(found.len(), parameters.len());
        assert_eq!(found[1].item()?, 0.0);
        let (mut trained, mut found) = (parameters, found);
        trained.remove(1);
        found.remove(1);
        assert_follows(&trained, &found, || {
            run()?.gradient.square().mean_all().item()
        })?;
    }
    Ok(())
}

/// Where the cost jumps or its kinks stay, what is left is RELAX at the relaxed cost.
#[test]
fn what_is_not_smooth_is_left_uncorrected() -> Result<()> {
    const ROWS: usize = 2_000;
    let case = &LARGEST;
    let relaxed = RelaxedCost::new(0.8, 0.3, &Device::cpu());
    let (theta, noise) = (case.theta(ROWS)?, case.noise_with(ROWS, 8, 1)?);
    let problem = case.problem(&theta, &noise);
    let one = corrected(problem, &case.cost(), &relaxed, None)?;
    let other = relax(problem, &case.cost(), &relaxed)?;
    let distance = (one.gradient - other.gradient).abs().max_all().item()?;
    assert!(distance < 1e-5, "{distance}");
    Ok(())
}

#[test]
fn it_needs_further_noise() -> Result<()> {
    let noise = INTERACTING.noise(10, 1, Coupling::Coupled)?;
    let error = estimate(&INTERACTING, 10, &noise, 0.5).unwrap_err();
    assert!(matches!(error, Error::Autodiff(_)), "{error}");
    Ok(())
}

/// The reason for the correction: a hundred coins, whose cost is curved in their sum.
#[test]
fn many_choices_vary_less() -> Result<()> {
    const ROWS: usize = 4_000;
    const COINS: usize = 100;
    let device = Device::cpu();
    let theta = Tensor::zeros([ROWS, COINS], &device);
    let mut stream = Key::new(3).stream("u");
    let mut noise = Noise::coupled(stream.uniforms([ROWS, COINS], &device)?);
    noise.further = vec![stream.uniforms([ROWS, COINS], &device)?];
    let problem = CASES[0].problem(&theta, &noise);
    let cost = differentiable(|b: &Tensor| Ok((b.sum_from(1) * 0.2).tanh() * 5.0 + b.sum_from(1)));
    let mut variances = Vec::new();
    for temperature in [0.1, 0.2] {
        let relaxed = RelaxedCost::new(1.0, temperature, &device);
        let plain = variance(&relax(problem, &cost, &relaxed)?)?;
        let corrected = variance(&corrected(problem, &cost, &relaxed, None)?)?;
        println!("temperature {temperature}: {plain:.2}, corrected {corrected:.2}");
        variances.push((plain, corrected));
    }
    let best = variances.iter().map(|v| v.0).fold(f64::INFINITY, f64::min);
    assert!(variances[1].1 < 0.4 * best, "{variances:?}");
    Ok(())
}

/// A few estimates to learn from, at other draws.
fn experienced(case: &Case, temperature: f32) -> Result<RelaxedCost> {
    let relaxed = RelaxedCost::new(1.0, temperature, &Device::cpu());
    let theta = case.theta(200)?;
    for seed in 0..20 {
        let noise = case.noise_with(200, 900 + seed, 1)?;
        let problem = case.problem(&theta, &noise);
        corrected(problem, &case.cost(), &relaxed, None)?;
        relaxed.learn_from_last()?;
    }
    Ok(relaxed)
}

/// The same function with its kinks in other units is the same function: just as unbiased, with the
/// same variance, and the correction pays.
#[test]
fn the_unit_inside_a_kink_does_not_matter() -> Result<()> {
    const ROWS: usize = 100_000;
    let mut verdicts = Verdicts::default();
    for scaled in [&SCALED_KINKS[..], &SCALED_LAYERS] {
        let mut variances = Vec::new();
        for case in scaled {
            let relaxed = experienced(case, 0.25)?;
            let (theta, noise) = (case.theta(ROWS)?, case.noise_with(ROWS, 77, 1)?);
            let problem = case.problem(&theta, &noise);
            let found = corrected(problem, &case.cost(), &relaxed, None)?;
            let moments = Moments::of_rows(&found.gradient)?;
            verdicts.add(case.name, moments.compare(&case.exact_gradient()?));
            let plain = relax(problem, &case.cost(), &relaxed)?;
            variances.push((moments.total_variance(), variance(&plain)?));
        }
        println!("corrected and plain: {variances:.3?}");
        let (first, plain) = variances[0];
        for (other, _) in &variances {
            assert!((other / first - 1.0).abs() < 0.01, "{variances:?}");
        }
        assert!(first < 0.8 * plain, "{variances:?}");
    }
    verdicts.finish();
    Ok(())
}

/// Where second derivatives are large, the correction alone would do harm without bound.
#[test]
fn it_is_never_much_worse_than_without_it() -> Result<()> {
    const ROWS: usize = 100_000;
    for case in [&STEEP, &CURVED, &INTERACTING, &SCALED_KINKS[0]] {
        let relaxed = experienced(case, 0.25)?;
        let (theta, noise) = (case.theta(ROWS)?, case.noise_with(ROWS, 78, 1)?);
        let problem = case.problem(&theta, &noise);
        let found = variance(&corrected(problem, &case.cost(), &relaxed, None)?)?;
        let fresh = RelaxedCost::new(1.0, 0.25, &Device::cpu());
        let unguarded = variance(&corrected(problem, &case.cost(), &fresh, None)?)?;
        let plain = variance(&relax(problem, &case.cost(), &fresh)?)?;
        let none = variance(&relax(problem, &case.cost(), &Zero)?)?;
        println!(
            "{}: {found:.3}, unguarded {unguarded:.3}, plain {plain:.3}, none {none:.3}",
            case.name
        );
        assert!(found < 1.1 * plain.min(none), "{}", case.name);
        if case.name == STEEP.name {
            assert!(unguarded > 30.0 * none, "{unguarded}");
        }
    }
    Ok(())
}

/// Costs that are curved in each choice and in nothing else are known to second order from past draws: a hundred choices
/// do not disturb each other, whether λ is low or high.
#[test]
fn the_curvature_of_the_past_pays() -> Result<()> {
    const ROWS: usize = 4_000;
    const COINS: usize = 100;
    let device = Device::cpu();
    let mut stream = Key::new(3).stream("u");
    let slopes = stream.normals([COINS], &device)?;
    let theta = stream.normals([ROWS, COINS], &device)? * 2.0;
    let cost = differentiable(|b: &Tensor| Ok((b * &slopes).square().sum_from(1)));
    for temperature in [0.05, 0.25] {
        let relaxed = RelaxedCost::new(1.0, temperature, &device);
        let mut squares = Vec::new();
        for _ in 0..3 {
            let mut noise = Noise::coupled(stream.uniforms([ROWS, COINS], &device)?);
            noise.further = vec![stream.uniforms([ROWS, COINS], &device)?];
            let problem = CASES[0].problem(&theta, &noise);
            let square = |estimate: &Estimate| estimate.gradient.square().mean_all().item();
            let together = square(&corrected(problem, &cost, &relaxed, None)?)?;
            // Each coin by itself, with the square of σ(z) in its place.
            let z = &theta + problem.noise.u.logit();
            let (b, w, p) = (z.gt(0.0), z.sigmoid(), theta.sigmoid());
            let kappa = BernoulliRelaxation.kappa(&theta, &problem.noise.u, &b);
            let slope = w.square() * (1.0 - &w) * 2.0;
            let own = slopes.square() * ((&b - w.square()) * (&b - p) + kappa * slope);
            squares.push((together, own.square().mean_all().item()?));
            relaxed.learn_from_last()?;
        }
        println!("together and apart, before and after: {squares:?}");
        // The first baselines are those of estimates that know nothing of the curvature yet.
        let [before, _, after] = squares[..] else {
            unreachable!("three estimates")
        };
        assert!(before.0 > 1.5 * before.1, "{squares:?}");
        assert!(after.0 < 1.05 * after.1, "{squares:?}");
    }
    Ok(())
}

/// A cost that is the same for all choices adds nothing to the variance once baselines are known, whatever the scale of
/// the relaxed cost is.
#[test]
fn baselines_take_away_what_all_choices_cost() -> Result<()> {
    const ROWS: usize = 20_000;
    let case = &CURVED;
    let variance_with = |shift: f32| {
        let cost = differentiable(move |b: &Tensor| Ok(case.f(b) + shift));
        let relaxed = RelaxedCost::new(0.5, 0.25, &Device::cpu());
        let theta = case.theta(ROWS)?;
        let mut variances = Vec::new();
        for seed in 0..4 {
            let noise = case.noise_with(ROWS, 300 + seed, 1)?;
            let found = corrected(case.problem(&theta, &noise), &cost, &relaxed, None)?;
            relaxed.learn_from_last()?;
            variances.push(variance(&found)?);
        }
        Ok::<_, Error>(variances)
    };
    let (without, with) = (variance_with(0.0)?, variance_with(30.0)?);
    assert!(with[0] > 10.0 * without[0], "{with:?}, {without:?}");
    assert!(
        (with[3] / without[3] - 1.0).abs() < 0.05,
        "{with:?}, {without:?}"
    );
    Ok(())
}

/// What an estimate tells counts from the next one on.
#[test]
fn nothing_is_learned_from_the_draw_at_hand() -> Result<()> {
    let case = &STEEP;
    let relaxed = RelaxedCost::new(1.0, 0.25, &Device::cpu());
    let (theta, noise) = (case.theta(50)?, case.noise_with(50, 9, 1)?);
    let run = || {
        let found = corrected(case.problem(&theta, &noise), &case.cost(), &relaxed, None)?;
        found.gradient.to_vec()
    };
    let first = run()?;
    assert_eq!(run()?, first);
    relaxed.learn_from_last()?;
    assert_ne!(run()?, first);
    Ok(())
}

/// The slope of a truncated Laplace's log-density jumps in the middle, too.
#[test]
fn the_kink_of_a_truncated_law_is_rounded_off() -> Result<()> {
    #[model]
    fn kinked(weights: &Tensor) {
        let theta = param!(Tensor::zeros([2], &Device::cpu()));
        let b = sample!(Bernoulli(logits = &theta));
        let law = Truncated::new(Laplace::new((b * weights).sum(0), 0.5)?, -50.0, 50.0)?;
        let Number::Tensor(log_density) = law.log_prob(&Tensor::scalar(0.2))? else {
            unreachable!("of a tensor")
        };
        cost!(-log_density);
    }
    let weights = Tensor::from_slice(&[1.0, -1.5]);
    let model = kinked(&weights);
    let objective = ExpectedCost::new(&model);
    let check = Check::new(&objective).draws(20_000).seed(3);
    let table = check.estimator(Relax::relaxed_cost()).run()?;
    assert!(table.verdict().is_ok(), "{table}");
    Ok(())
}

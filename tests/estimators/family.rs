//! The plain functions beside RELAX and REINFORCE, with explicit noise.

use relax_runtime::estimator::{
    Cost, Estimate, Noise, Problem, SteinNetwork, Through, arms, disarm, disarm_tree, dlax,
    double_cv, enumerate, gumbel_softmax, indecater, muprop, nvil, reinmax, rloo, rodeo,
    straight_through,
};
use relax_runtime::surrogate::Zero;
use relax_runtime::{Device, Key, Parameter, Result, Tensor};

use crate::derivatives;
use crate::problems::{
    BERNOULLI, CASES, CURVED, CURVED_ONE_HOT, Case, INTERACTING, LINEAR, ONE_HOT, TWO_ONE_HOTS,
    perturb, surrogates,
};
use crate::statistics::{Moments, Verdicts};

const DRAWS: usize = 80_000;

type Function = fn(Problem<'_>, &dyn Cost) -> Result<Estimate>;

/// The estimate of a function at many rows with the same θ.
fn estimate(
    case: &Case,
    draws: usize,
    function: Function,
    further: usize,
    seed: u64,
) -> Result<Estimate> {
    let theta = case.theta(draws)?;
    let noise = case.noise_with(draws, seed, further)?;
    function(case.problem(&theta, &noise), &case.cost())
}

/// A function, its further noise, and its evaluations of a case.
type Member = (&'static str, Function, usize, usize);

fn check(cases: &[Case], members: &[Member]) -> Result<()> {
    check_draws(DRAWS, cases, members)
}

fn check_draws(draws: usize, cases: &[Case], members: &[Member]) -> Result<()> {
    let mut verdicts = Verdicts::default();
    for case in cases {
        let exact = case.exact_gradient()?;
        for (seed, &(name, function, further, evaluations)) in members.iter().enumerate() {
            let estimate = estimate(case, draws, function, further, 40 + seed as u64)?;
            assert_eq!(estimate.evaluations, evaluations, "{}, {name}", case.name);
            let moments = Moments::of_rows(&estimate.gradient)?;
            println!(
                "{}, {name}: {evaluations} evaluations, variance {:.4}",
                case.name,
                moments.total_variance()
            );
            verdicts.add(&format!("{}, {name}", case.name), moments.compare(&exact));
        }
    }
    verdicts.finish();
    Ok(())
}

#[test]
fn leave_one_out_baselines_are_unbiased() -> Result<()> {
    check(
        &CASES,
        &[("two draws", rloo, 1, 2), ("five draws", rloo, 4, 5)],
    )
}

#[test]
fn antithetic_coins_are_unbiased() -> Result<()> {
    let members: [Member; 4] = [
        ("DisARM", disarm, 0, 2),
        ("ARMS of two", arms, 1, 2),
        ("ARMS of three", arms, 2, 3),
        ("ARMS of six", arms, 5, 6),
    ];
    check(&[BERNOULLI, INTERACTING], &members)
}

#[test]
fn antithetic_walks_are_unbiased() -> Result<()> {
    let members: [Member; 1] = [("DisARM-Tree", disarm_tree, 1, 2)];
    check(&[ONE_HOT, TWO_ONE_HOTS, CURVED_ONE_HOT], &members)
}

/// Both are the same pair of draws, up to rounding at the threshold.
#[test]
fn arms_of_two_is_disarm() -> Result<()> {
    const ROWS: usize = 20_000;
    for case in [&BERNOULLI, &INTERACTING] {
        let theta = case.scattered_theta(ROWS, 2.0)?;
        let noise = case.noise_with(ROWS, 3, 1)?;
        let problem = case.problem(&theta, &noise);
        let (a, b) = (
            disarm(problem, &case.cost())?.gradient.to_vec()?,
            arms(problem, &case.cost())?.gradient.to_vec()?,
        );
        let differ = a.iter().zip(&b).filter(|(a, b)| (**a - **b).abs() > 1e-4);
        assert!(differ.count() < 3, "{}", case.name);
    }
    Ok(())
}

/// At logits beyond f32's probabilities, and noise at the ends of its interval.
#[test]
fn antithetic_coins_stay_finite() -> Result<()> {
    let theta = Tensor::from_slice(&[-200.0, -90.0, -15.0, 0.0, 15.0, 90.0, 200.0]);
    for u in [0.0, 1e-7, 0.5, 1.0 - 1e-7, 1.0] {
        for v in [1e-7, 0.5, 1.0 - 1e-7] {
            let noise = Noise {
                u: theta.full_like(u),
                v: None,
                further: vec![theta.full_like(v), theta.full_like(0.3)],
            };
            let problem = Problem::new(BERNOULLI.relaxation, &theta, &noise).rows();
            for function in [arms as Function, disarm, rloo, indecater] {
                let gradient = function(problem, &BERNOULLI.cost())?.gradient.to_vec()?;
                assert!(
                    gradient.iter().all(|g| g.is_finite()),
                    "{u}, {v}: {gradient:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_choice_summed_out_at_a_time_is_unbiased() -> Result<()> {
    for (case, evaluations) in [
        (BERNOULLI, 2),
        (INTERACTING, 4),
        (ONE_HOT, 4),
        (TWO_ONE_HOTS, 5),
    ] {
        check(&[case], &[("IndeCateR", indecater, 0, evaluations)])?;
    }
    Ok(())
}

/// Every row is the exact gradient, whatever was drawn.
#[test]
fn enumeration_is_exact() -> Result<()> {
    for (case, evaluations) in [
        (BERNOULLI, 2),
        (INTERACTING, 8),
        (ONE_HOT, 4),
        (TWO_ONE_HOTS, 9),
    ] {
        let exact = case.exact_gradient()?;
        let estimate = estimate(&case, DRAWS, enumerate, 0, 50)?;
        assert_eq!(estimate.evaluations, evaluations);
        for row in estimate.gradient.to_vec()?.chunks(exact.len()) {
            for (g, exact) in row.iter().zip(&exact) {
                assert!((f64::from(*g) - exact).abs() < 1e-5, "{row:?}, {exact:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_taylor_expansion_is_unbiased() -> Result<()> {
    let taylor: Function = |problem, cost| muprop(problem, cost, 0.5, &Zero);
    check(&CASES, &[("MuProp", taylor, 0, 2)])?;
    check(&[CURVED, CURVED_ONE_HOT], &[("MuProp", taylor, 0, 2)])
}

#[test]
fn double_control_variates_are_unbiased() -> Result<()> {
    let half: Function = |problem, cost| double_cv(problem, cost, 0.5);
    let more: Function = |problem, cost| double_cv(problem, cost, -1.3);
    let members = [
        ("two draws", half, 1, 2),
        ("four draws, a wrong weight", more, 3, 4),
    ];
    check(&CASES, &members)?;
    check(&[CURVED, CURVED_ONE_HOT], &members[..1])
}

/// A network far from its first values, with weights of its control variates that are not zero.
fn stein_network() -> Result<SteinNetwork> {
    let mut stream = Key::new(17).stream("network");
    let network = SteinNetwork::new(6, &mut stream, &Device::cpu())?;
    perturb(&network.parameters(), 0.6, &mut stream)?;
    Ok(network)
}

#[test]
fn stein_control_variates_are_unbiased() -> Result<()> {
    let stein: Function = |problem, cost| rodeo(problem, cost, &stein_network()?);
    let members = [("two draws", stein, 1, 2), ("three draws", stein, 2, 3)];
    check(&[BERNOULLI, INTERACTING, CURVED], &members)
}

/// Of many draws each is expanded around eight others.
#[test]
fn many_stein_expansions_are_thinned_out() -> Result<()> {
    let stein: Function = |problem, cost| rodeo(problem, cost, &stein_network()?);
    let taylor: Function = |problem, cost| double_cv(problem, cost, 0.7);
    let members = [
        ("RODEO of twelve", stein, 11, 12),
        ("double control variates of seven", taylor, 6, 7),
    ];
    // Each draw is of many.
    check_draws(50_000, &[INTERACTING, CURVED], &members)
}

/// Without weights, the control variates leave the leave-one-out estimate as it is.
#[test]
fn rodeo_without_weights_is_rloo() -> Result<()> {
    const ROWS: usize = 500;
    let network = SteinNetwork::new(5, &mut Key::new(3).stream("network"), &Device::cpu())?;
    let theta = INTERACTING.scattered_theta(ROWS, 1.0)?;
    let noise = INTERACTING.noise_with(ROWS, 4, 2)?;
    let problem = INTERACTING.problem(&theta, &noise);
    let (stein, plain) = (
        rodeo(problem, &INTERACTING.cost(), &network)?,
        rloo(problem, &INTERACTING.cost())?,
    );
    let off = (stein.gradient - plain.gradient).abs().max_all().item()?;
    assert!(off < 1e-5, "{off}");
    Ok(())
}

/// The control variates by themselves, from the definition: with every neighbour of a draw written
/// out.
#[test]
fn stein_control_variates_are_those_of_the_definition() -> Result<()> {
    const ROWS: usize = 40;
    let network = stein_network()?;
    let (theta, noise) = (
        INTERACTING.scattered_theta(ROWS, 1.0)?,
        INTERACTING.noise_with(ROWS, 4, 1)?,
    );
    let problem = INTERACTING.problem(&theta, &noise);
    let found = rodeo(problem, &INTERACTING.cost(), &network)?.gradient;
    let plain = rloo(problem, &INTERACTING.cost())?.gradient;

    let draw = |u: &Tensor| {
        BERNOULLI
            .relaxation
            .hard(&BERNOULLI.relaxation.relaxed(&theta, u))
    };
    let draws = [draw(&noise.u), draw(&noise.further[0])];
    let parameters: Vec<Tensor> = network.parameters().iter().map(Parameter::get).collect();
    let [w, w_bias, v, v_bias, out, out_bias, alpha, beta] = &parameters[..] else {
        panic!("{} parameters", parameters.len());
    };
    let p = theta.sigmoid();
    let mut expected = plain;
    for (own, other) in [(0, 1), (1, 0)] {
        let (b, center) = (&draws[own], &draws[other]);
        let (f, slope) = INTERACTING.cost().with_slope(center)?;
        let h = |at: &Tensor| {
            let change = (&slope * (at - center)).sum_keepdim(1);
            let hidden = change.linear(w, w_bias) + f.unsqueeze(-1).linear(v, v_bias);
            hidden.leaky_relu(0.3).linear(out, out_bias)
        };
        let (mut stein, mut by_theta) = (theta.index(1, 0).zeros_like(), theta.zeros_like());
        for coin in 0..3 {
            let flips = Tensor::from_slice(&[0, 1, 2].map(|i| f32::from(u8::from(i == coin))));
            let next = b + &flips * (1.0 - b * 2.0);
            let rate = (&flips * (&next * &p + (1.0 - &next) * (1.0 - &p))).sum(1) / 3.0;
            let (there, here) = (h(&next), h(b));
            stein = stein + &rate * (there.index(1, 0) - here.index(1, 0));
            let weighted = |h: &Tensor, b: &Tensor| h.slice(1, 1..2) * (b - &p);
            by_theta =
                by_theta + rate.unsqueeze(-1) * (weighted(&there, &next) - weighted(&here, b));
        }
        // Draw `own` is in the baseline of the other one.
        let other_score = center - &p;
        expected =
            expected - (stein * alpha * 0.5).unsqueeze(-1) * other_score + by_theta * (beta * 0.5);
    }
    let off = (found - expected).abs().max_all().item()?;
    assert!(off < 1e-4, "{off}");
    Ok(())
}

#[test]
fn nvil_muprop_and_dlax_are_unbiased_with_every_surrogate() -> Result<()> {
    const DRAWS: usize = 240_000;
    let mut verdicts = Verdicts::default();
    for case in &CASES {
        let (theta, exact) = (case.theta(DRAWS)?, case.exact_gradient()?);
        for (seed, (name, surrogate)) in surrogates(case)?.into_iter().enumerate() {
            let noise = case.noise_with(DRAWS, 70 + seed as u64, 0)?;
            let problem = case.problem(&theta, &noise);
            let cost = case.cost();
            for (what, own, estimate) in [
                ("NVIL", 1, nvil(problem, &cost, &*surrogate)?),
                ("MuProp", 2, muprop(problem, &cost, 0.5, &*surrogate)?),
                ("DLAX", 1, dlax(problem, &cost, &*surrogate)?),
            ] {
                assert_eq!(estimate.evaluations, own + surrogate.evaluations());
                assert_eq!(
                    estimate.variance_gradient.len(),
                    surrogate.parameters().len()
                );
                let moments = Moments::of_rows(&estimate.gradient)?;
                verdicts.add(
                    &format!("{}, {what}, {name}", case.name),
                    moments.compare(&exact),
                );
            }
        }
    }
    verdicts.finish();
    Ok(())
}

const BIASED: [Member; 4] = [
    (
        "Gumbel-softmax",
        |problem, cost| gumbel_softmax(problem, cost, 0.5),
        0,
        2,
    ),
    (
        "straight-through",
        |problem, cost| straight_through(problem, cost, Through::Mean, 0.5),
        0,
        2,
    ),
    (
        "straight-through Gumbel",
        |problem, cost| straight_through(problem, cost, Through::Gumbel(0.5), 0.5),
        0,
        2,
    ),
    ("ReinMax", |problem, cost| reinmax(problem, cost, 0.5), 0, 2),
];

#[test]
fn biased_estimators_fail() -> Result<()> {
    for case in [&CURVED, &CURVED_ONE_HOT] {
        let exact = case.exact_gradient()?;
        for (name, function, further, _) in BIASED {
            let estimate = estimate(case, DRAWS, function, further, 60)?;
            let problem = Moments::of_rows(&estimate.gradient)?
                .compare(&exact)
                .unwrap_err();
            println!("{}, {name}: {problem}", case.name);
            assert!(
                problem.contains("standard errors"),
                "{}, {name}: {problem}",
                case.name
            );
        }
    }
    Ok(())
}

/// Straight-through is exact for linear costs, ReinMax for quadratic ones.
#[test]
fn biased_estimators_are_right_to_their_order() -> Result<()> {
    check(&[LINEAR], &BIASED[1..2])?;
    check(&CASES, &BIASED[3..])
}

#[test]
fn several_draws_need_further_noise() -> Result<()> {
    let double: Function = |problem, cost| double_cv(problem, cost, 0.5);
    let stein: Function = |problem, cost| rodeo(problem, cost, &stein_network()?);
    let coins = [rloo as Function, arms, double, stein].map(|function| (&BERNOULLI, function));
    let vectors = (&ONE_HOT, disarm_tree as Function);
    for (law, function) in coins.into_iter().chain([vectors]) {
        let error = estimate(law, DRAWS, function, 0, 1)
            .unwrap_err()
            .to_string();
        assert!(error.contains("further noise"), "{error}");
    }
    Ok(())
}

/// The derivative of the mean square by what is learned, against differences.
#[test]
fn the_weight_of_double_control_variates_follows_the_variance() -> Result<()> {
    const STEP: f32 = 0.05;
    const ROWS: usize = 2_000;
    let theta = INTERACTING.theta(ROWS)?;
    let noise = INTERACTING.noise_with(ROWS, 5, 1)?;
    let problem = INTERACTING.problem(&theta, &noise);
    let at = |alpha| double_cv(problem, &INTERACTING.cost(), alpha);
    let square = |alpha| at(alpha)?.gradient.square().mean_all().item();
    let difference = (square(0.4 + STEP)? - square(0.4 - STEP)?) / (2.0 * STEP);
    let derivative = at(0.4)?.variance_gradient.tensors()[0].item()?;
    assert!(
        (difference - derivative).abs() < 1e-3 * (1.0 + derivative.abs()),
        "{difference}, {derivative}"
    );
    Ok(())
}

#[test]
fn the_network_of_rodeo_follows_the_variance() -> Result<()> {
    const ROWS: usize = 500;
    let network = stein_network()?;
    let theta = INTERACTING.theta(ROWS)?;
    let noise = INTERACTING.noise_with(ROWS, 5, 2)?;
    let problem = INTERACTING.problem(&theta, &noise);
    let square = || {
        let gradient = rodeo(problem, &INTERACTING.cost(), &network)?.gradient;
        gradient.square().mean_all().item()
    };
    let found = rodeo(problem, &INTERACTING.cost(), &network)?
        .variance_gradient
        .tensors();
    derivatives::assert_follows(&network.parameters(), &found, square)
}

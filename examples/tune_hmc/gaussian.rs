//! Step sizes on normal laws, for which the best ones are known.

use relax_runtime::prelude::*;

use crate::Options;
use crate::kernel::{Chains, Proposal};
use crate::known::{BEST_SCALE, expected_jump};
use crate::plot::{Chart, Scale, Series, save_charts};
use crate::program::Outcome;
use crate::target::Gaussian;
use crate::tuning::{Schedule, Tuned, tune};

/// The scale of the random walk on N(0, 1).
///
/// # Errors
/// If it is too far from the best one.
pub(crate) fn walk(options: &Options) -> Outcome<()> {
    // E[jump²] is so flat there, and a draw so noisy beside it, that the last half of a million draws leaves a
    // standard error of .02: sixteen times as many make .02 four of them.
    const MORE: u64 = 16;
    println!("random walk on N(0, 1), scale .5 at first");
    let tuned = tuned(vec![1.0], MORE * options.rounds, options)?;
    let found = tuned.steps[0];
    println!("  scale    {found:.4}  best {BEST_SCALE}");
    println!(
        "  E jump^2 {:.5} best {:.5}",
        expected_jump(found),
        expected_jump(BEST_SCALE)
    );
    let path = tuned.path.iter().enumerate();
    let chart = Chart {
        title: "Random walk on N(0, 1)".into(),
        x_label: "transitions".into(),
        y_label: "scale".into(),
        y_scale: Scale::Linear,
        series: vec![
            Series {
                name: "learned".into(),
                points: path.map(|(i, &x)| (i as f64, x)).collect(),
            },
            Series {
                name: "best".into(),
                points: vec![(0.0, BEST_SCALE), (tuned.path.len() as f64, BEST_SCALE)],
            },
        ],
    };
    save_charts(&options.out.join("walk.svg"), &[chart])?;
    near("the scale", found, BEST_SCALE, options.within)
}

/// The random walk's scale in ten dimensions, in standard deviations of each coordinate.
///
/// # Errors
/// If a coordinate's is too far from the best one.
pub(crate) fn ten_dimensions(options: &Options) -> Outcome<()> {
    let scales: Vec<f32> = (1..=10u8).map(f32::from).collect();
    println!("random walk on ten coordinates with standard deviations 1 to 10, steps .5 at first");
    let Tuned { steps, .. } = tuned(scales.clone(), options.rounds, options)?;
    let relative = steps
        .iter()
        .zip(&scales)
        .map(|(step, &scale)| step / f64::from(scale));
    let relative: Vec<f64> = relative.collect();
    let best = best_scale(10);
    let cells = relative.iter().map(|x| format!("{x:>8.4}"));
    println!("  step over deviation, best {best:.4} for all");
    println!("  {}", cells.collect::<String>());
    for x in relative {
        // Each coordinate's own E[jump^2] is flatter than that of one alone.
        near(
            "a step over its deviation",
            x / best,
            1.0,
            3.0 * options.within,
        )?;
    }
    Ok(())
}

/// Chains that start from their law, and the random walk's scales learned while they run.
fn tuned(scales: Vec<f32>, rounds: u64, options: &Options) -> Outcome<Tuned> {
    let key = Key::new(options.seed);
    let shape = [options.chains, scales.len()];
    let start = key.stream("start").normals(shape, &Device::cpu())? * Tensor::from_slice(&scales);
    let first = vec![0.5; scales.len()];
    let target = Gaussian::new(scales);
    let mut chains = Chains::new(&target, start, key);
    let schedule = Schedule {
        rate: 0.1,
        rounds,
        seed: options.seed,
    };
    tune(
        &mut chains,
        &target,
        &first,
        |_| Proposal::RandomWalk,
        schedule,
    )
}

/// HMC's trap: three leapfrog steps of 1 turn N(0, 1) by 180 degrees.
///
/// # Errors
/// If the states are not finite.
pub(crate) fn trap(seed: u64) -> Outcome<()> {
    const CHAINS: usize = 1000;
    const ROUNDS: u64 = 50;
    let target = Gaussian::new(vec![1.0]);
    println!("HMC with step 1 on N(0, 1) from x = 3, after {ROUNDS} transitions");
    let mut lengths = Key::new(seed).stream("lengths");
    for jitter in [false, true] {
        let start = Tensor::full([CHAINS, 1], 3.0, &Device::cpu());
        let mut chains = Chains::new(&target, start, Key::new(seed));
        let mut acceptance = 0.0;
        for _ in 0..ROUNDS {
            let length = if jitter { 1 + lengths.below(3) } else { 3 };
            let moved = chains.advance(Proposal::Leapfrog(length), &Tensor::scalar(1.0))?;
            acceptance += moved.acceptance / ROUNDS as f64;
        }
        let square = chains.states.square().mean_all().item()?;
        let name = if jitter { "1 to 3 steps" } else { "3 steps" };
        println!("  {name:14} acceptance {acceptance:.3}, E x^2 {square:.3} (exact 1)");
        let expected = if jitter { 1.0 } else { 9.0 };
        near("E x^2", f64::from(square), expected, 0.25)?;
    }
    Ok(())
}

/// The scale l that maximises E[r² 2Φ(−r/2)] with r/l a χ variable of d degrees of freedom: the
/// expected squared jump of the random walk on N(0, I), whose ln acceptance ratio is N(−r²/2, r²)
/// given the length r of the proposal's step.
fn best_scale(d: u32) -> f64 {
    const POINTS: usize = 2000;
    let jump = |l: f64| -> f64 {
        (1..POINTS)
            .map(|i| {
                let chi = 12.0 * i as f64 / POINTS as f64;
                let density = chi.powi(d as i32 - 1) * (-0.5 * chi * chi).exp();
                let r = l * chi;
                // 2Φ(−r/2).
                density * r * r * libm::erfc(r / 8.0_f64.sqrt())
            })
            .sum()
    };
    let (mut low, mut high) = (0.1_f64, 10.0_f64);
    for _ in 0..200 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if jump(a) < jump(b) {
            low = a;
        } else {
            high = b;
        }
    }
    0.5 * (low + high)
}

fn near(what: &str, found: f64, known: f64, within: f64) -> Outcome<()> {
    match (found - known).abs() <= within {
        true => Ok(()),
        false => Err(format!("{what} is {found:.4}, not within {within} of {known:.4}").into()),
    }
}

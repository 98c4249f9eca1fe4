//! A posterior whose coordinates have different scales: what tuning is worth.

use relax_runtime::prelude::*;

use crate::Options;
use crate::averaging::average;
use crate::ess::effective_size;
use crate::kernel::{Chains, Proposal};
use crate::plot::{Chart, Scale, Series, save_charts};
use crate::program::Outcome;
use crate::progress::Progress;
use crate::target::{Mixture, Target};
use crate::tuning::{Schedule, Tuned, tune};

/// Side by side.
const CHAINS: usize = 32;

/// How step sizes are found.
#[derive(Clone, Copy)]
enum Tuning {
    Descent,
    Averaging { scaled: bool },
}

const LINEUP: [(&str, Tuning); 3] = [
    ("descent on -E jump^2", Tuning::Descent),
    ("averaging, .8", Tuning::Averaging { scaled: false }),
    (
        "averaging, .8, deviations",
        Tuning::Averaging { scaled: true },
    ),
];

/// Effective samples per thousand slopes, the least over coordinates and their squares.
///
/// # Errors
/// If a trajectory leaves the numbers while step sizes are learned.
pub(crate) fn compare(options: &Options) -> Outcome<()> {
    let target = Mixture::new(&data(options.seed));
    println!(
        "posterior of a mixture of 180 and 20 data, components summed out; HMC of 1 to L steps"
    );
    println!(
        "  {:>3} {:26}{:>8}{:>14}{:>10}{:>10}  steps",
        "L", "tuned by", "accepts", "10^3 slopes", "ESS/10^3", "of means"
    );
    let cells = options.leapfrogs.len() * LINEUP.len();
    let mut progress = Progress::new("tunings", 0, cells as u64)?;
    let mut file = csv::Writer::from_path(options.out.join("mixture.csv"))?;
    file.write_record([
        "longest",
        "tuned_by",
        "acceptance",
        "slopes",
        "ess",
        "ess_of_means",
    ])?;
    let mut series = LINEUP.map(|(name, _)| Series {
        name: name.into(),
        points: Vec::new(),
    });
    let mut done = 0;
    for &longest in &options.leapfrogs {
        for ((name, tuning), series) in LINEUP.iter().zip(&mut series) {
            let found = measure(&target, *tuning, longest, options)?;
            let Measured {
                tuned,
                acceptance,
                efficiency,
                of_means,
            } = &found;
            let steps = tuned.steps.iter().map(|x| format!("{x:.3} "));
            println!(
                "  {longest:>3} {name:26}{acceptance:>8.3}{:>14.0}{efficiency:>10.1}{of_means:>10.1}  {}",
                tuned.evaluations as f64 / 1e3,
                steps.collect::<String>()
            );
            file.serialize((
                longest,
                name,
                acceptance,
                tuned.evaluations,
                efficiency,
                of_means,
            ))?;
            series.points.push((longest as f64, *efficiency));
            done += 1;
            progress.at(done, || (*name).to_owned());
        }
    }
    file.flush()?;
    let chart = Chart {
        title: "Effective samples per thousand slopes".into(),
        x_label: "largest number of leapfrog steps".into(),
        y_label: "least over coordinates and squares".into(),
        y_scale: Scale::Log,
        series: series.into(),
    };
    Ok(save_charts(&options.out.join("mixture.svg"), &[chart])?)
}

struct Measured {
    tuned: Tuned,
    acceptance: f64,
    efficiency: f64,
    of_means: f64,
}

fn measure(
    target: &Mixture,
    tuning: Tuning,
    longest: usize,
    options: &Options,
) -> Outcome<Measured> {
    let key = Key::new(options.seed);
    let mut lengths = key.stream("lengths");
    let lengths: Vec<usize> = (0..options.rounds as usize + options.draws)
        .map(|_| 1 + lengths.below(longest))
        .collect();
    let proposal = |round: u64| Proposal::Leapfrog(lengths[round as usize]);
    let first = key
        .stream("start")
        .normals([CHAINS, target.dims()], &Device::cpu())?;
    let start = first * 0.05 + Tensor::from_slice(&[-1.0, 2.0, -1.0, 0.0, -2.0]);
    let mut chains = Chains::new(target, start, key);
    let schedule = Schedule {
        rate: 0.05,
        rounds: options.rounds,
        seed: options.seed,
    };
    let tuned = match tuning {
        Tuning::Descent => tune(&mut chains, target, &[0.02; 5], proposal, schedule)?,
        Tuning::Averaging { scaled } => average(&mut chains, 0.8, scaled, proposal, schedule)?,
    };
    let steps: Vec<f32> = tuned.steps.iter().map(|&x| x as f32).collect();
    let steps = Tensor::from_slice(&steps);
    let (mut acceptance, mut slopes) = (0.0, 0);
    let mut draws = Vec::new();
    for round in 0..options.draws {
        let proposal = proposal(options.rounds + round as u64);
        let moved = chains.advance(proposal, &steps)?;
        acceptance += moved.acceptance / options.draws as f64;
        slopes += proposal.evaluations() * CHAINS;
        draws.push(chains.states.to_vec()?);
    }
    let sizes = |power: i32| -> f64 {
        let of = |at: usize| {
            let column = |row: &Vec<f32>, chain: usize| f64::from(row[chain * target.dims() + at]);
            let all = draws
                .iter()
                .flat_map(|row| (0..CHAINS).map(move |c| column(row, c)));
            let mean = all.sum::<f64>() / (draws.len() * CHAINS) as f64;
            let chain = |c| {
                draws
                    .iter()
                    .map(|row| (column(row, c) - mean).powi(power))
                    .collect()
            };
            let chains: Vec<Vec<f64>> = (0..CHAINS).map(chain).collect();
            effective_size(&chains)
        };
        (0..target.dims()).map(of).fold(f64::INFINITY, f64::min)
    };
    let (of_means, of_squares) = (sizes(1), sizes(2));
    let thousand = 1e3 / slopes as f64;
    Ok(Measured {
        tuned,
        acceptance,
        efficiency: of_means.min(of_squares) * thousand,
        of_means: of_means * thousand,
    })
}

/// 180 data of N(−1, .3²) and 20 of N(2, 1).
fn data(seed: u64) -> Vec<f32> {
    let mut stream = Key::new(seed).stream("data");
    let mut of = |count, mean, scale| -> Vec<f32> {
        (0..count)
            .map(|_| (mean + scale * stream.normal()) as f32)
            .collect()
    };
    [of(180, -1.0, 0.3), of(20, 2.0, 1.0)].concat()
}

//! Compares methods: how far the least cost found is from the optimum.

use crate::Options;
use crate::annealing::anneal;
use crate::bayes;
use crate::cma;
use crate::descent::{Descent, Pace};
use crate::plot::{Chart, Scale, Series};
use crate::problem::{BlackBox, Meter, Space};
use crate::program::Outcome;
use crate::progress::Progress;

/// A way to minimize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Method {
    /// RELAX on coins, LAX on normal numbers, at default settings.
    Relax,
    /// RELAX with a quadratic form with all pairs, fitted to all past draws.
    Quadratic,
    /// A quadratic form with all pairs, fitted to the last draws, three times as many as it has weights.
    Replay,
    /// A leave-one-out baseline of four draws.
    Rloo,
    /// Four mirrored pairs of draws.
    Evolution,
    /// Simulated annealing.
    Annealing,
    /// CMA-ES.
    Cma,
    /// Bayesian optimization, for 300 evaluations.
    Bayes,
}

impl Method {
    fn name(self, space: Space) -> &'static str {
        match (self, space) {
            (Self::Relax, Space::Bits(_)) => "RELAX",
            (Self::Relax, Space::Reals(_)) => "LAX",
            (Self::Quadratic, _) => "RELAX, pairs",
            (Self::Replay, _) => "replay",
            (Self::Rloo, _) => "RLOO-4",
            (Self::Evolution, _) => "evolution",
            (Self::Annealing, _) => "annealing",
            (Self::Cma, _) => "CMA-ES",
            (Self::Bayes, _) => "Bayes, 300",
        }
    }

    /// The estimator and its rate, if it is a descent: what did best of a few after 5,000 evaluations on the larger
    /// problems, from seeds 1 to 8 of bits and 1 to 3 of reals.
    fn descent(self, space: Space) -> Option<(Descent, f32)> {
        let (descent, bits, reals) = match self {
            Self::Relax => (Descent::Relax, 0.05, 0.2),
            Self::Quadratic => (Descent::Quadratic, 0.05, 0.1),
            Self::Replay => (Descent::Replay, 0.05, 0.1),
            Self::Rloo => (Descent::Rloo, 0.03, 0.4),
            Self::Evolution => (Descent::Evolution, 0.02, 0.8),
            Self::Annealing | Self::Cma | Self::Bayes => return None,
        };
        match space {
            Space::Bits(_) => Some((descent, bits)),
            Space::Reals(_) => Some((descent, reals)),
        }
    }

    /// Whether it is for a space.
    fn suits(self, space: Space) -> bool {
        self != Self::Quadratic || matches!(space, Space::Bits(_))
    }

    fn run(self, meter: &Meter<'_>, options: &Options, seed: u64) -> Outcome<()> {
        match (self, self.descent(meter.problem.space())) {
            (_, Some((descent, usual))) => {
                let rate = options.rate.unwrap_or(usual);
                // Replay alone gains by them everywhere.
                let covariances = options.covariances || descent == Descent::Replay;
                let pace = Pace {
                    rate,
                    covariances,
                    entropy: options.entropy,
                };
                descent.run(meter, pace, seed)?;
                Ok(())
            }
            (Self::Cma, None) => cma::run(meter, seed),
            (Self::Bayes, None) => bayes::run(meter, seed),
            (_, None) => {
                anneal(meter, seed);
                Ok(())
            }
        }
    }
}

/// The least costs of all seeds, on the way.
struct Found {
    name: &'static str,
    /// By seed, where the least cost fell.
    runs: Vec<Vec<(u64, f64)>>,
}

impl Found {
    /// Each seed's gap after some evaluations, sorted.
    fn gaps(&self, after: u64, optimum: f64) -> Vec<f64> {
        let gap = |steps: &Vec<(u64, f64)>| {
            let reached = steps.iter().take_while(|(spent, _)| *spent <= after);
            reached
                .last()
                .map_or(f64::INFINITY, |(_, cost)| cost - optimum)
        };
        let mut gaps: Vec<f64> = self.runs.iter().map(gap).collect();
        gaps.sort_by(f64::total_cmp);
        gaps
    }

    /// The median number of evaluations to a gap; nothing if half of the seeds do not get there.
    fn evaluations_to(&self, gap: f64, optimum: f64) -> Option<u64> {
        let first = |steps: &Vec<(u64, f64)>| {
            let there = steps.iter().find(|(_, cost)| cost - optimum <= gap);
            there.map_or(u64::MAX, |(spent, _)| *spent)
        };
        let mut all: Vec<u64> = self.runs.iter().map(first).collect();
        all.sort_unstable();
        Some(all[all.len() / 2]).filter(|&spent| spent < u64::MAX)
    }
}

/// Of an even number the mean of the middle two.
fn median(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    0.5 * (sorted[(n - 1) / 2] + sorted[n / 2])
}

/// Runs all methods on a problem; prints and returns median gaps on the way.
///
/// # Errors
/// If a gradient is not finite, or a file cannot be written.
pub(crate) fn compare(problem: &dyn BlackBox, options: &Options) -> Outcome<Chart> {
    let space = problem.space();
    let methods: Vec<Method> = options
        .methods()
        .filter(|method| method.suits(space))
        .collect();
    let mut progress = Progress::new("runs", 0, options.seeds * methods.len() as u64)?;
    let mut all = Vec::new();
    for &method in &methods {
        let mut runs = Vec::new();
        for seed in options.seed..options.seed + options.seeds {
            let meter = Meter::new(problem, options.evaluations);
            method.run(&meter, options, seed)?;
            runs.push(meter.into_steps());
            let done = (all.len() as u64) * options.seeds + runs.len() as u64;
            progress.at(done, || method.name(space).to_owned());
        }
        let name = method.name(space);
        all.push(Found { name, runs });
    }
    drop(progress);
    let found = all
        .iter()
        .flat_map(|found| found.gaps(u64::MAX, 0.0))
        .fold(f64::INFINITY, f64::min);
    let optimum = problem.optimum().unwrap_or(found);
    let known = if problem.optimum().is_some() {
        "optimum"
    } else {
        "least cost found"
    };
    println!(
        "{}: {known} {optimum:.6}, gaps over {} seeds",
        problem.name(),
        options.seeds
    );
    let rloo = all.iter().find(|found| found.name == "RLOO-4");
    let target = rloo.map(|rloo| median(&rloo.gaps(options.evaluations, optimum)));
    // Of 5000, 300 and 1000.
    let early = [options.evaluations * 3 / 50, options.evaluations / 5];
    println!(
        "  {:13}{:>11}{:>11}{:>11}{:>22}{:>10}{:>9}",
        "", early[0], early[1], "all", "quartiles of all", "x RLOO", "to RLOO"
    );
    let mut file = csv::Writer::from_path(options.out.join(format!("{}.csv", slug(problem))))?;
    file.write_record(["method", "seed", "evaluations", "gap"])?;
    for found in &all {
        let gaps = found.gaps(options.evaluations, optimum);
        let at = |after| median(&found.gaps(after, optimum));
        let (low, high) = (gaps[gaps.len() / 4], gaps[3 * gaps.len() / 4]);
        let ratio = target.map_or(f64::NAN, |target| median(&gaps) / target);
        let to = target.and_then(|target| found.evaluations_to(target, optimum));
        println!(
            "  {:13}{:>11.3e}{:>11.3e}{:>11.3e}{low:>11.2e}{high:>11.2e}{ratio:>10.2}{:>9}",
            found.name,
            at(early[0]),
            at(early[1]),
            median(&gaps),
            to.map_or("-".to_owned(), |to| to.to_string())
        );
        for (run, seed) in found.runs.iter().zip(options.seed..) {
            for (spent, cost) in run {
                file.serialize((found.name, seed, spent, cost - optimum))?;
            }
        }
    }
    file.flush()?;
    Ok(chart(problem, &all, optimum, options.evaluations))
}

fn slug(problem: &dyn BlackBox) -> String {
    problem.name().replace([' ', ','], "-")
}

fn chart(problem: &dyn BlackBox, all: &[Found], optimum: f64, evaluations: u64) -> Chart {
    const POINTS: u64 = 200;
    let points = |found: &Found| {
        let after = (1..=POINTS).map(|i| (evaluations * i / POINTS).max(1));
        after
            .map(|after| (after as f64, median(&found.gaps(after, optimum))))
            .collect()
    };
    Chart {
        title: problem.name(),
        x_label: "evaluations".into(),
        y_label: "median gap".into(),
        y_scale: Scale::Log,
        series: all
            .iter()
            .map(|found| Series {
                name: found.name.into(),
                points: points(found),
            })
            .collect(),
    }
}

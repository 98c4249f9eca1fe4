//! Variances at the same weights and scenes.

use std::path::Path;

use relax_runtime::infer::Recording;
use relax_runtime::prelude::*;
use relax_runtime::report::Ledger;

use crate::lineup::estimator;
use crate::model::{Crop, Eyes, look};
use crate::plot::{Chart, Scale, Series};
use crate::program::Outcome;
use crate::table::Sight;
use crate::training::Training;

/// Trains once more by the table, with the others looking on, and compares variances at the same weights and
/// scenes.
pub(crate) fn variances(
    steps: u64,
    entries: u64,
    out: &Path,
    training: &Training<'_>,
) -> Outcome<Chart> {
    const FRESH: u64 = 200;
    let mut recording = Recording::every(steps.div_ceil(entries)).fresh_draws(FRESH);
    let sight = Sight::default();
    for name in ["relax", "rloo-2", "reinforce"] {
        recording = recording.rival(estimator(name, &sight, training.seed)?);
    }
    let eyes = Eyes::new(training.seed)?;
    let mut trainer = Trainer::new(training.seed)
        .optimizer(Adam::new(training.rate))
        .estimator(estimator("relax-table", &sight, training.seed)?)
        .record(recording);
    for step in 0..steps {
        let scenes = training.scenes(step)?;
        sight.turn_to(&scenes)?;
        trainer.step(&ExpectedCost::new(&look(
            &scenes,
            &eyes,
            Crop::Cut,
            training.entropy,
        )))?;
    }
    let Some(ledger) = trainer.ledger() else {
        return Err("no ledger was kept".into());
    };
    if let Some(failure) = ledger.failures.first() {
        return Err(failure.problem.clone().into());
    }
    std::fs::write(out.join("variance.csv"), ledger.to_csv()?)?;
    compare(ledger)
}

/// Prints variance times evaluations, and what share of leave-one-out's it is.
fn compare(ledger: &Ledger) -> Outcome<Chart> {
    const COMPARED: [&str; 4] = ["relax-table", "relax-free-form", "rloo", "reinforce"];
    println!(
        "\nvariance by the logits at equal evaluations of the cost, at the weights of relax-table\n"
    );
    println!(
        "  step{}",
        COMPARED.map(|name| format!("{name:>17}")).concat()
    );
    let mut series = COMPARED.map(|name| Series {
        name: name.into(),
        points: Vec::new(),
    });
    let entries: Vec<_> = ledger.site("place").collect();
    // An estimator that was met in this step alone has learned nothing yet.
    let mut steps: Vec<u64> = entries.iter().map(|entry| entry.step).collect();
    steps.dedup();
    steps.retain(|&step| step > 0);
    let mut sums = [0.0; COMPARED.len()];
    for &step in &steps {
        let mut cells = String::new();
        for (i, name) in COMPARED.into_iter().enumerate() {
            let of = entries
                .iter()
                .find(|entry| entry.step == step && entry.estimator == name);
            let variance = of.and_then(|entry| Some((entry.fresh_variance?, entry.evaluations?)));
            let Some((variance, evaluations)) = variance else {
                return Err(format!("no variance of {name} at step {step}").into());
            };
            let equal = variance * evaluations as f64;
            cells += &format!("{equal:>17.3e}");
            series[i].points.push((step as f64, equal));
            sums[i] += equal;
        }
        println!("{step:>6}{cells}");
    }
    let of_rloo = sums[2];
    println!(
        "\nshare of leave-one-out's, summed over these steps: relax-table {:.3}, relax-free-form {:.3}, reinforce {:.3}",
        sums[0] / of_rloo,
        sums[1] / of_rloo,
        sums[3] / of_rloo
    );
    Ok(Chart {
        title: "Variance at equal evaluations".into(),
        x_label: "step".into(),
        y_label: "by logits".into(),
        y_scale: Scale::Log,
        series: series.into(),
    })
}

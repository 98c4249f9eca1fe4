//! The table and the charts of all runs in a folder.

use std::fmt::Write as _;
use std::path::Path;

use crate::files::write_whole;
use crate::plot::{Chart, Scale, Series, save_charts};
use crate::program::Outcome;
use crate::record::{Point, Record};

const HEADER: [&str; 17] = [
    "row",
    "settings",
    "estimator",
    "seed",
    "f/step",
    "steps",
    "epochs",
    "train ELBO",
    "paper",
    "best validation",
    "train ELBO, as evaluated",
    "bound, validation",
    "bound, test",
    "its samples",
    "variance",
    "epochs to REBAR's best",
    "wall / CPU s to it",
];

/// Writes `table.md`, `table.csv`, and a file of charts for each row; returns the table as text.
///
/// # Errors
/// If there are no runs, one cannot be read, or a file cannot be written.
pub(crate) fn report(folder: &Path) -> Outcome<String> {
    let records = Record::all(folder)?;
    if records.is_empty() {
        return Err(format!("{} has no runs yet", folder.display()).into());
    }
    let rows: Vec<_> = records
        .iter()
        .map(|record| cells(record, &records))
        .collect();
    let mut text = format!(
        "| {} |\n|{}\n",
        HEADER.join(" | "),
        "---|".repeat(HEADER.len())
    );
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(HEADER)?;
    for row in &rows {
        writeln!(text, "| {} |", row.join(" | "))?;
        table.write_record(row)?;
    }
    write_whole(&folder.join("table.md"), text.as_bytes())?;
    write_whole(&folder.join("table.csv"), &table.into_inner()?)?;
    for of_row in records.chunk_by(|a, b| a.settings.row == b.settings.row) {
        let name = of_row[0].settings.row.name();
        save_charts(&folder.join(format!("{name}.svg")), &charts(name, of_row))?;
    }
    Ok(text)
}

/// A run's line of the table.
fn cells(record: &Record, all: &[Record]) -> [String; 17] {
    let nats = |elbo: Option<f64>| elbo.map_or("–".into(), |elbo| format!("{elbo:.2}"));
    let settings = &record.settings;
    let best = record.best();
    // Of the last point: the run's own weights at its end.
    let last = record.curve.last();
    let bounds = record.bounds.as_ref();
    let rebar = match settings.published {
        true => "rebar-published",
        false => "rebar",
    };
    let rebar = all
        .iter()
        .find(|other| other.settings.estimator == rebar && other.settings.comparable(settings));
    let target = rebar.and_then(|rebar| Some((rebar, rebar.best()?.validation)));
    let reached = target.map(|(_, target)| record.reaches(target));
    let star = if settings.biased { "*" } else { "" };
    // Other images than the paper's have no figure in it.
    let whole = settings.data.starts_with(settings.row.folder());
    let published = whole.then(|| settings.row.published(&settings.estimator));
    let published = published.flatten();
    [
        format!(
            "{}{}",
            settings.row.name(),
            if whole { "" } else { " (small)" }
        ),
        settings.kind().into(),
        format!("{}{star}", settings.estimator),
        settings.seed.to_string(),
        record.evaluations.to_string(),
        record.steps.to_string(),
        last.map_or("0".into(), |point| format!("{:.1}", point.epoch)),
        nats(best.map(|point| point.train)),
        nats(published),
        nats(best.map(|point| point.validation)),
        nats(bounds.and_then(|bounds| bounds.train)),
        nats(bounds.map(|bounds| bounds.validation)),
        nats(bounds.and_then(|bounds| bounds.test)),
        bounds.map_or("–".into(), |bounds| bounds.draws.to_string()),
        last.map_or("–".into(), |point| format!("{:.2e}", point.variance)),
        match reached {
            Some(Some(point)) => format!("{:.1}", point.epoch),
            Some(None) => "not reached".into(),
            None => "–".into(),
        },
        match reached {
            Some(Some(point)) => format!("{:.0} / {:.0}", point.seconds, point.cpu_seconds),
            _ => "–".into(),
        },
    ]
}

/// Curves of the runs of a row with the highest validation ELBO, as many as a chart can tell apart.
fn charts(row: &str, records: &[Record]) -> [Chart; 3] {
    const LINES: usize = 6;
    let highest = |record: &&Record| record.best().map_or(f64::NAN, |point| point.validation);
    let mut shown: Vec<&Record> = records.iter().collect();
    shown.sort_by(|a, b| highest(b).total_cmp(&highest(a)));
    shown.truncate(LINES);
    let seeds = shown
        .iter()
        .any(|record| record.settings.seed != shown[0].settings.seed);
    let series = |value: fn(&Point) -> f64| {
        let series = shown.iter().map(|record| Series {
            name: label(record, seeds),
            points: record.curve.iter().map(|p| (p.epoch, value(p))).collect(),
        });
        series.collect::<Vec<_>>()
    };
    let chart = |title: &str, y_label: &str, y_scale, value| Chart {
        title: format!("{row}: {title}"),
        x_label: "epochs".into(),
        y_label: y_label.into(),
        y_scale,
        series: series(value),
    };
    let nats = "nats an image";
    [
        chart("training ELBO", nats, Scale::Linear, |point| point.train),
        chart("validation ELBO", nats, Scale::Linear, |point| {
            point.validation
        }),
        chart(
            "variance of the gradient",
            "by the first latents' logits",
            Scale::Log,
            |point| point.variance,
        ),
    ]
}

/// The estimator, with what else tells runs of a row apart.
fn label(record: &Record, seed: bool) -> String {
    let settings = &record.settings;
    let mut label = settings.estimator.clone();
    label.push_str(&format!(", {}", settings.kind()));
    if seed {
        label.push_str(&format!(", {}", settings.seed));
    }
    label
}

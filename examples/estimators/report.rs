//! Markdown tables of what `variance` and `elbo` have measured, and the blocks of documents that hold
//! them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::program::Outcome;
use crate::stages::{self, Measured, mean_and_error};
use crate::{budget, budget::Reached};

/// Settings of `report`.
#[derive(Args)]
#[group(id = "report_settings")]
pub(crate) struct Options {
    /// Folders with results.
    #[arg(long, value_delimiter = ',', default_value = "target/estimators")]
    results: Vec<PathBuf>,
    /// A folder with results of `variance` whose CPU times are used instead, for results that were
    /// measured beside other programs, or on several machines.
    #[arg(long)]
    times: Option<PathBuf>,
    /// A document that gets all tables between its marks.
    #[arg(long)]
    docs: Option<PathBuf>,
    /// A document that gets the short table of variances between its marks.
    #[arg(long)]
    readme: Option<PathBuf>,
}

const BEGIN: &str = "<!-- estimators: begin -->";
const END: &str = "<!-- estimators: end -->";

/// Prints the tables, and writes them into the documents.
///
/// # Errors
/// If there are no results, or a file cannot be read or written, or lacks the marks.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let read_all = |kind: &str| files(&options.results, kind);
    let mut variances = read_all("variance-")?
        .into_iter()
        .map(stages::Table::read)
        .collect::<Outcome<Vec<_>>>()?;
    if let Some(folder) = &options.times {
        for path in files(std::slice::from_ref(folder), "variance-")? {
            let times = stages::Table::read(path)?;
            variances.iter_mut().for_each(|table| retime(table, &times));
        }
    }
    let elbos: Vec<budget::Table> = read_all("elbo-")?
        .into_iter()
        .map(budget::Table::read)
        .collect::<Outcome<_>>()?;
    if variances.is_empty() && elbos.is_empty() {
        return Err("there are no results yet; run `variance` or `elbo` first".into());
    }
    let whole: String = variances
        .iter()
        .map(of_stages)
        .chain(elbos.iter().map(of_budgets))
        .collect();
    let short: String = variances.iter().map(summary).collect();
    print!("{whole}");
    for (document, tables) in [(&options.docs, whole), (&options.readme, short)] {
        if let Some(path) = document {
            fill(path, &tables)?;
        }
    }
    Ok(())
}

/// Takes the times of the same estimators for the same network from other results.
fn retime(table: &mut stages::Table, times: &stages::Table) {
    if table.settings.network != times.settings.network {
        return;
    }
    for row in &mut table.rows {
        let mut same = times
            .rows
            .iter()
            .filter(|other| other.estimator == row.estimator);
        row.ms = same.next().map_or(row.ms, |other| other.ms);
    }
}

/// Files of results of one kind, by name.
fn files(folders: &[PathBuf], kind: &str) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        let refused = |error| format!("--results {}: {error}", folder.display());
        for entry in fs::read_dir(folder).map_err(refused)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(kind) && name.ends_with(".json") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Puts tables between the marks of a document.
fn fill(path: &Path, tables: &str) -> Outcome<()> {
    let refused = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read_to_string(path).map_err(|error| refused(&error))?;
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        return Err(refused(&format!("it lacks the lines {BEGIN} and {END}")).into());
    };
    let (before, after) = (&text[..begin + BEGIN.len()], &text[end..]);
    fs::write(path, format!("{before}\n{tables}{after}")).map_err(|error| refused(&error).into())
}

/// A table for each stage: three measures, each with its product with time.
fn of_stages(table: &stages::Table) -> String {
    let settings = &table.settings;
    let mut text = format!(
        "**Variance at fixed weights, {}.** Along the training of {} (Adam at rate {}, batch {}, \
         seed {}); estimators that learn did so from {} steps at these weights, starting afresh. {} draws. \
         Standard errors reach {:.0} % of a figure.\n",
        settings.title,
        settings.along,
        settings.rate,
        settings.batch,
        settings.seed,
        settings.learn,
        settings.batches * settings.draws,
        100.0 * worst_error(&table.rows)
    );
    for stage in stages_of(&table.rows) {
        let rows: Vec<&Measured> = table.rows.iter().filter(|row| row.stage == stage).collect();
        let columns: [(&str, Of); 7] = [
            ("CPU ms", |row| row.ms),
            ("by logit", |row| row.logit),
            ("× ms", |row| row.logit * row.ms),
            ("by weight, batch's noise out, ×10⁻³", |row| {
                1e3 * row.weight
            }),
            ("× ms", |row| 1e3 * row.weight * row.ms),
            ("by weight, noise in, ×10⁻²", |row| 1e2 * row.total),
            ("× ms", |row| 1e2 * row.total * row.ms),
        ];
        let _ = write!(text, "\n| after {} steps ", thousands(stage));
        text += &grid(&rows, &columns);
    }
    text + "\n"
}

/// One table: the measures by logit and by weight at all stages, the product with time at the last.
fn summary(table: &stages::Table) -> String {
    let settings = &table.settings;
    let stages = stages_of(&table.rows);
    let Some(&last) = stages.last() else {
        return String::new();
    };
    let at = |estimator: &str, stage: u64| {
        let mut rows = table.rows.iter();
        rows.find(|row| row.stage == stage && row.estimator == estimator)
    };
    let mut text = format!(
        "**Variance at fixed weights, {}**, along the training of {}, batch {}:\n\n",
        settings.title, settings.along, settings.batch
    );
    let names: Vec<String> = stages.iter().map(|&stage| thousands(stage)).collect();
    let _ = writeln!(
        text,
        "| estimator | f | CPU ms | by logit after {} steps | by weight, batch's noise in, ×10⁻² | \
         that × ms after {} |\n|---|---|---|---|---|---|",
        names.join(" / "),
        thousands(last)
    );
    for row in table.rows.iter().filter(|row| row.stage == last) {
        let along = |of: Of| {
            let values = stages.iter().map(|&stage| {
                at(&row.estimator, stage).map_or("–".into(), |row| digits(of(row)))
            });
            values.collect::<Vec<_>>().join(" / ")
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row.estimator,
            row.evaluations,
            digits(row.ms),
            along(|row| row.logit),
            along(|row| 1e2 * row.total),
            digits(1e2 * row.total * row.ms)
        );
    }
    text + "\n"
}

/// A figure of a row.
type Of = fn(&Measured) -> f64;

/// Rows of figures with a head, the least of each column in bold.
fn grid(rows: &[&Measured], columns: &[(&str, Of)]) -> String {
    let heads: String = columns
        .iter()
        .map(|(head, _)| format!("| {head} "))
        .collect();
    let mut text = format!("| f {heads}|\n|---|---{}|\n", "|---".repeat(columns.len()));
    let least = |of: Of| rows.iter().map(|row| of(row)).fold(f64::INFINITY, f64::min);
    for row in rows {
        let _ = write!(text, "| {} | {} ", row.estimator, row.evaluations);
        for &(_, of) in columns {
            let cell = digits(of(row));
            let _ = match of(row) <= least(of) {
                true => write!(text, "| **{cell}** "),
                false => write!(text, "| {cell} "),
            };
        }
        text += "|\n";
    }
    text
}

/// A line for each estimator and a column for each time: means over seeds, and the range.
fn of_budgets(table: &budget::Table) -> String {
    let (settings, rows) = (&table.settings, &table.rows);
    let mut times: Vec<f64> = rows.iter().map(|row| row.seconds).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&&*row.estimator) {
            names.push(&row.estimator);
        }
    }
    let mut text = format!(
        "**ELBO after equal CPU time, {}**, Adam at rate {}, batch {}, one thread. Nats per image, \
         mean over seeds with the range; {} images of either kind, one draw each.\n\n\
         | estimator | f | CPU ms | seeds ",
        settings.title, settings.rate, settings.batch, settings.images
    );
    for time in &times {
        let _ = write!(text, "| held out after {time} s | trained on ");
    }
    let _ = writeln!(
        text,
        "|\n|---|---|---|---{}|",
        "|---|---".repeat(times.len())
    );
    for name in names {
        let own: Vec<&Reached> = rows.iter().filter(|row| row.estimator == name).collect();
        let ms: Vec<f64> = own
            .iter()
            .map(|row| 1e3 * row.seconds / row.steps as f64)
            .collect();
        let mut seeds: Vec<u64> = own.iter().map(|row| row.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let evaluations = own.first().map_or(0, |row| row.evaluations);
        let _ = write!(
            text,
            "| {name} | {evaluations} | {} | {} ",
            digits(mean_and_error(&ms).0),
            seeds.len()
        );
        for &time in &times {
            let at: Vec<&&Reached> = own.iter().filter(|row| row.seconds == time).collect();
            let held_out: Vec<f64> = at.iter().map(|row| row.held_out).collect();
            let train: Vec<f64> = at.iter().map(|row| row.train).collect();
            let _ = match at.is_empty() {
                true => write!(text, "| – | – "),
                false => write!(text, "| {} | {} ", range(&held_out), range(&train)),
            };
        }
        text += "|\n";
    }
    text + "\n"
}

/// The mean of some ELBOs, and the lowest and highest.
fn range(values: &[f64]) -> String {
    let (mean, _) = mean_and_error(values);
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.len() < 2 {
        return minus(mean);
    }
    format!("{} ({} to {})", minus(mean), minus(low), minus(high))
}

fn minus(value: f64) -> String {
    format!("{value:.2}").replace('-', "−")
}

/// Three significant digits.
fn digits(value: f64) -> String {
    let before = if value.abs() < 1.0 {
        0
    } else {
        1 + value.abs().log10() as usize
    };
    let leading = if value == 0.0 || value.abs() >= 1.0 {
        0
    } else {
        (-value.abs().log10()) as usize
    };
    format!("{value:.0$}", 3_usize.saturating_sub(before) + leading)
}

fn thousands(number: u64) -> String {
    match (number / 1_000, number % 1_000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

fn stages_of(rows: &[Measured]) -> Vec<u64> {
    let mut stages: Vec<u64> = rows.iter().map(|row| row.stage).collect();
    stages.sort_unstable();
    stages.dedup();
    stages
}

/// The largest standard error as a share of its figure.
fn worst_error(rows: &[Measured]) -> f64 {
    let shares = rows.iter().flat_map(|row| {
        [
            row.logit_error / row.logit,
            row.weight_error / row.weight,
            row.total_error / row.total,
        ]
    });
    shares.filter(|share| share.is_finite()).fold(0.0, f64::max)
}

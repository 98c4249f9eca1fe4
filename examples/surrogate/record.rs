//! What the program found: tables on screen, numbers in CSV files.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::program::Outcome;

/// A variance of a gradient estimate.
#[derive(Serialize)]
struct Variance {
    problem: String,
    surrogate: String,
    /// Nothing where nothing is learned.
    steps: Option<u64>,
    variance: f64,
    of_reinforce: f64,
}

/// A point of a surrogate's graph.
#[derive(Serialize)]
struct Point<'a> {
    problem: &'a str,
    surrogate: &'a str,
    x: f64,
    c: f64,
}

/// A named graph.
#[derive(Clone)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// The graphs that one picture shows together.
pub(crate) struct Panel {
    pub(crate) problem: String,
    pub(crate) x_label: &'static str,
    pub(crate) curves: Vec<Curve>,
}

/// Everything found.
#[derive(Default)]
pub(crate) struct Record {
    variances: Vec<Variance>,
}

impl Record {
    /// Takes in a variance, and prints it.
    pub(crate) fn variance(
        &mut self,
        problem: &str,
        surrogate: &str,
        steps: Option<u64>,
        variance: f64,
        reinforce: f64,
    ) {
        let of_reinforce = variance / reinforce;
        let after = steps.map_or(String::new(), |steps| format!("after {steps}"));
        println!("  {surrogate:36}{after:12}{variance:>12.4e}{of_reinforce:>12.2e}");
        self.variances.push(Variance {
            problem: problem.to_owned(),
            surrogate: surrogate.to_owned(),
            steps,
            variance,
            of_reinforce,
        });
    }

    /// Writes `variances.csv` and `curves.csv` to a folder.
    pub(crate) fn save(&self, folder: &Path, panels: &[&Panel]) -> Outcome<()> {
        fs::create_dir_all(folder)?;
        let mut variances = csv::Writer::from_path(folder.join("variances.csv"))?;
        for row in &self.variances {
            variances.serialize(row)?;
        }
        variances.flush()?;
        let mut curves = csv::Writer::from_path(folder.join("curves.csv"))?;
        for panel in panels {
            for curve in &panel.curves {
                for &(x, c) in &curve.points {
                    curves.serialize(Point {
                        problem: &panel.problem,
                        surrogate: &curve.name,
                        x,
                        c,
                    })?;
                }
            }
        }
        Ok(curves.flush()?)
    }
}

/// The heading of a problem's table.
pub(crate) fn heading(problem: &str) {
    println!("\n{problem}");
    println!("  {:48}{:>12}{:>12}", "surrogate", "variance", "/REINFORCE");
}

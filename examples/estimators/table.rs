//! The tables and the charts.

use std::fmt;

use crate::lineup::Entrant;
use crate::measure::{Point, Run, Shared};
use crate::plot::{Chart, Scale, Series};

/// All that was measured on one task.
pub(crate) struct Findings {
    pub(crate) title: String,
    pub(crate) value_name: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// All that was measured of one estimator.
pub(crate) struct Line {
    pub(crate) entrant: Entrant,
    pub(crate) shared: Shared,
    pub(crate) own: Run,
}

const HEADER: [&str; 8] = [
    "estimator",
    "f/step",
    "bias",
    "variance",
    "x f/step",
    "own variance",
    "value",
    "ms/step",
];

impl Line {
    /// Variance for a fixed budget of evaluations.
    fn cost(&self) -> f64 {
        let last = self.shared.points.last();
        last.map_or(f64::INFINITY, Point::cost)
    }

    fn cells(&self) -> Option<[String; 8]> {
        let (shared, own) = (self.shared.points.last()?, self.own.points.last()?);
        let bias = self.shared.bias;
        Some([
            self.entrant.marked(),
            shared.evaluations.to_string(),
            bias.map_or("-".into(), |bias| format!("{bias:.1}")),
            format!("{:.2e}", shared.variance),
            format!("{:.2e}", shared.cost()),
            format!("{:.2e}", own.variance),
            value(*self.own.values.last()?),
            format!("{:.2}", 1e3 * self.own.seconds),
        ])
    }
}

/// With as many decimals as a value of this size deserves.
fn value(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.4}")
    } else {
        format!("{value:.2}")
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![HEADER.map(|name| match name {
            "value" => self.value_name.to_owned(),
            name => name.to_owned(),
        })];
        rows.extend(self.lines.iter().filter_map(Line::cells));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..HEADER.len()).map(|at| width(at).unwrap_or(0)).collect();
        writeln!(f, "{}", self.title)?;
        for row in &rows {
            write!(f, "{:1$}", row[0], widths[0])?;
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Findings {
    /// Two charts: variance for a fixed budget at the shared weights, and the value that each
    /// estimator's own training reached.
    pub(crate) fn charts(&self) -> [Chart; 2] {
        let name = self.title.split(':').next().unwrap_or_default();
        let budget = |line: &Line| {
            let points = line.shared.points.iter();
            points
                .map(|point| (point.spent as f64, point.cost()))
                .collect()
        };
        let values = |line: &Line| {
            let points = line.own.points.iter().zip(&line.own.values);
            points
                .map(|(point, &value)| (point.spent as f64, value))
                .collect()
        };
        [
            Chart {
                title: format!("{name}: variance times evaluations, at shared weights"),
                x_label: "evaluations of f".into(),
                y_label: "by a logit".into(),
                y_scale: Scale::Log,
                series: self.series(budget),
            },
            Chart {
                title: format!("{name}: {}", self.value_name),
                x_label: "evaluations of f".into(),
                y_label: self.value_name.into(),
                y_scale: Scale::Linear,
                series: self.series(values),
            },
        ]
    }

    /// The unbiased estimators with the least variance for a fixed budget, as many as a chart can
    /// tell apart.
    fn series(&self, points: impl Fn(&Line) -> Vec<(f64, f64)>) -> Vec<Series> {
        const LINES: usize = 6;
        let lines = self.lines.iter();
        let unbiased = lines.filter(|line| !line.entrant.estimator.biased());
        let mut best: Vec<&Line> = unbiased.collect();
        best.sort_by(|a, b| a.cost().total_cmp(&b.cost()));
        let series = best.into_iter().take(LINES).map(|line| Series {
            name: line.entrant.name.into(),
            points: points(line),
        });
        series.collect()
    }
}

impl Point {
    /// Variance for a fixed budget of evaluations.
    fn cost(&self) -> f64 {
        self.variance * self.evaluations as f64
    }
}

//! Line charts as SVG files, which any viewer shows; drawing them needs no fonts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width of a chart, in pixels.
pub(crate) const WIDTH: u32 = 450;
/// Height of a chart, in pixels.
pub(crate) const HEIGHT: u32 = 320;

/// Font of every text.
const FONT: &str = "sans-serif";
const TITLE_SIZE: u32 = 16;
const TEXT_SIZE: u32 = 12;
/// Longer series are thinned to about this many points, more than a chart has pixels.
const MOST_POINTS: usize = 1000;
/// Colours that stay apart for colour-blind eyes (Okabe and Ito, "Color universal design", 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

/// A surface to draw on.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What drawing on an [`Area`] can fail with.
pub(crate) type DrawError = DrawingAreaErrorKind<io::Error>;

/// Why a picture was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlotError {
    /// The drawing itself failed.
    #[error("{path}: cannot be drawn: {source}")]
    Draw { path: PathBuf, source: DrawError },
    /// The file system refused.
    #[error("{path}: cannot be written: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// Scale of the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Logarithmic: points that are not above zero are left out.
    Log,
}

/// One named line of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Points (x, y) by rising x; those that are not finite are left out.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines over one pair of axes.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    pub(crate) y_scale: Scale,
    pub(crate) series: Vec<Series>,
}

impl Chart {
    /// Draws the chart over the whole area: title, legend, axes, lines.
    ///
    /// # Errors
    /// Those of the drawing library.
    pub(crate) fn draw(&self, area: &Area<'_>) -> Result<(), DrawError> {
        let lines: Vec<_> = self.series.iter().map(|series| self.line(series)).collect();
        let points = || lines.iter().flatten();
        let (head, body) = area.split_vertically(2 * TITLE_SIZE + 2 * TEXT_SIZE);
        self.draw_head(&head)?;

        let mut axes = ChartBuilder::on(&body)
            .margin_left(8)
            .margin_right(16)
            .set_label_area_size(LabelAreaPosition::Left, 60)
            .set_label_area_size(LabelAreaPosition::Bottom, 36)
            .build_cartesian_2d(
                span(points().map(|point| point.0), 0.0),
                span(points().map(|point| point.1), 0.05),
            )?;
        axes.configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.12))
            .axis_style(BLACK.mix(0.5))
            .label_style((FONT, TEXT_SIZE))
            .x_labels(6)
            .y_labels(8)
            .x_label_formatter(&|&x| number(x))
            .y_label_formatter(&|&y| match self.y_scale {
                Scale::Linear => number(y),
                Scale::Log => power(y),
            })
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .draw()?;
        for (line, colour) in lines.into_iter().zip(COLOURS.iter().cycle()) {
            axes.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
        Ok(())
    }

    /// The title, and under it the name of every line beside its colour.
    fn draw_head(&self, area: &Area<'_>) -> Result<(), DrawError> {
        heading(area, &self.title, (16, TITLE_SIZE as i32))?;
        let (middle, mut x) = ((TITLE_SIZE + 2 * TEXT_SIZE) as i32, 16);
        let style = text_style(TEXT_SIZE);
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let stroke = colour.stroke_width(2);
            area.draw(&PathElement::new([(x, middle), (x + 16, middle)], stroke))?;
            area.draw_text(&series.name, &style, (x + 22, middle))?;
            x += 40 + area.estimate_text_size(&series.name, &style)?.0 as i32;
        }
        Ok(())
    }

    /// The points to draw, on the scale of the axes.
    fn line(&self, series: &Series) -> Vec<(f64, f64)> {
        let line: Vec<_> = series
            .points
            .iter()
            .map(|&(x, y)| match self.y_scale {
                Scale::Linear => (x, y),
                Scale::Log => (x, y.log10()),
            })
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect();
        let stride = line.len().div_ceil(MOST_POINTS).max(1);
        let last = line.len().saturating_sub(1);
        let keep = |&(index, _): &(usize, _)| index % stride == 0 || index == last;
        line.into_iter()
            .enumerate()
            .filter(keep)
            .map(|(_, point)| point)
            .collect()
    }
}

/// Writes charts to one SVG file, one below the other; makes the folder if need be.
///
/// # Errors
/// [`PlotError`], naming the file.
pub(crate) fn save_charts(path: &Path, charts: &[Chart]) -> Result<(), PlotError> {
    let rows = charts.len().max(1);
    save(path, (2 * WIDTH, rows as u32 * HEIGHT), |area| {
        let parts = area.split_evenly((rows, 1));
        charts
            .iter()
            .zip(&parts)
            .try_for_each(|(chart, part)| chart.draw(part))
    })
}

/// Writes what `draw` puts on a white area of the given width and height to an SVG file; makes the
/// folder if need be.
///
/// # Errors
/// [`PlotError`], naming the file.
pub(crate) fn save(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), DrawError>,
) -> Result<(), PlotError> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    area.fill(&WHITE)
        .and_then(|()| draw(&area))
        .and_then(|()| area.present())
        .map_err(|source| PlotError::Draw {
            path: path.to_owned(),
            source,
        })?;
    drop(area);
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, svg))
        .map_err(|source| PlotError::Write {
            path: path.to_owned(),
            source,
        })
}

/// Writes a title with the middle of its left edge at `at`.
///
/// # Errors
/// Those of the drawing library.
pub(crate) fn heading(area: &Area<'_>, text: &str, at: (i32, i32)) -> Result<(), DrawError> {
    area.draw_text(text, &text_style(TITLE_SIZE), at)
}

fn text_style(size: u32) -> TextStyle<'static> {
    TextStyle::from((FONT, size)).pos(Pos::new(HPos::Left, VPos::Center))
}

/// The range of the values with a share of it added at both ends; never empty.
fn span(values: impl Iterator<Item = f64>, share: f64) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return 0.0..1.0;
    }
    let pad = share * (high - low);
    // A flat line gets room around it, more than rounding at its height would swallow.
    let pad = if low < high {
        pad
    } else {
        0.5_f64.max(1e-3 * low.abs())
    };
    low - pad..high + pad
}

/// A logarithmic tick's number, ten to the given power, with at most two significant digits.
fn power(exponent: f64) -> String {
    let digits = format!("{:.1e}", 10_f64.powf(exponent));
    digits.replace(".0e", "e")
}

/// A tick's number with at most six significant digits.
fn number(value: f64) -> String {
    let digits = format!("{value:.5e}");
    let rounded = digits.parse().unwrap_or(value);
    if rounded == 0.0 || (1e-4..1e7).contains(&rounded.abs()) {
        format!("{rounded}")
    } else {
        format!("{rounded:e}")
    }
}

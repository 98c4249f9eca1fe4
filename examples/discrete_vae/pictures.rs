//! What the autoencoder has learned, in one SVG file: reconstructions, samples, training curves.

use std::path::Path;

use plotters::element::Rectangle;
use plotters::style::{Color, RGBColor};

use crate::data::{COLUMNS, PIXELS, ROWS};
use crate::plot::{self, Area, Chart, DrawError, PlotError};

/// Images side by side.
pub(crate) const ACROSS: usize = 14;
/// Most samples drawn.
pub(crate) const SAMPLES: usize = 4 * ACROSS;

/// Screen pixels for one pixel of an image.
const ZOOM: i32 = 2;
/// Room for one image and the gap to the next.
const CELL: i32 = ZOOM * COLUMNS as i32 + 6;
const MARGIN: i32 = 16;
const HEADING: i32 = 36;
/// Shades of grey above black; more would only make the file larger.
const SHADES: f32 = 12.0;

/// The pictures of one trained model. Images are rows of `PIXELS` values between 0 (ground) and 1
/// (ink).
pub(crate) struct Pictures<'a> {
    /// Images of the data set; the first [`ACROSS`] are shown.
    pub(crate) originals: &'a [f32],
    /// The model's image of each original, shown below it.
    pub(crate) reconstructions: &'a [f32],
    /// Images drawn from the model; the first [`SAMPLES`] are shown.
    pub(crate) samples: &'a [f32],
    /// Curves along training, two to a row.
    pub(crate) curves: &'a [Chart],
}

impl Pictures<'_> {
    /// Writes the SVG file; makes its folder if need be.
    ///
    /// # Errors
    /// [`PlotError`], naming the file.
    pub(crate) fn save(&self, path: &Path) -> Result<(), PlotError> {
        let samples = (self.samples.len() / PIXELS).min(SAMPLES);
        let samples_at = HEADING + 2 * CELL;
        let curves_at = samples_at + HEADING + samples.div_ceil(ACROSS) as i32 * CELL + MARGIN;
        let curve_rows = self.curves.len().div_ceil(2);
        let size = (
            2 * plot::WIDTH,
            curves_at as u32 + curve_rows as u32 * plot::HEIGHT,
        );

        plot::save(path, size, |area| {
            let title = "Validation images, and their reconstructions below them";
            plot::heading(area, title, (MARGIN, HEADING / 2))?;
            images(area, first(self.originals, ACROSS), HEADING)?;
            images(area, first(self.reconstructions, ACROSS), HEADING + CELL)?;

            plot::heading(
                area,
                "Samples of the model",
                (MARGIN, samples_at + HEADING / 2),
            )?;
            images(area, first(self.samples, SAMPLES), samples_at + HEADING)?;

            let (_, below) = area.split_vertically(curves_at);
            let parts = below.split_evenly((curve_rows.max(1), 2));
            self.curves
                .iter()
                .zip(&parts)
                .try_for_each(|(chart, part)| chart.draw(part))
        })
    }
}

/// At most `count` whole images.
fn first(images: &[f32], count: usize) -> impl Iterator<Item = &[f32]> {
    images.chunks_exact(PIXELS).take(count)
}

/// Draws images in rows of [`ACROSS`] from the height `top` on.
fn images<'a>(
    area: &Area<'_>,
    images: impl Iterator<Item = &'a [f32]>,
    top: i32,
) -> Result<(), DrawError> {
    for (index, image) in images.enumerate() {
        let (row, column) = ((index / ACROSS) as i32, (index % ACROSS) as i32);
        draw_image(area, image, (MARGIN + column * CELL, top + row * CELL))?;
    }
    Ok(())
}

/// Draws one image, bright ink on black, one rectangle for a stretch of equal pixels in a row.
fn draw_image(area: &Area<'_>, image: &[f32], (left, top): (i32, i32)) -> Result<(), DrawError> {
    let rectangle = |row: usize, rows: usize, columns: std::ops::Range<usize>, shade: u8| {
        let x = |column: usize| left + ZOOM * column as i32;
        let y = |row: usize| top + ZOOM * row as i32;
        let corners = [(x(columns.start), y(row)), (x(columns.end), y(row + rows))];
        Rectangle::new(corners, RGBColor(shade, shade, shade).filled())
    };
    area.draw(&rectangle(0, ROWS, 0..COLUMNS, 0))?;
    for (row, pixels) in image.chunks_exact(COLUMNS).enumerate() {
        let shades: Vec<u8> = pixels.iter().copied().map(shade).collect();
        let mut start = 0;
        for stretch in shades.chunk_by(u8::eq) {
            let end = start + stretch.len();
            if stretch[0] > 0 {
                area.draw(&rectangle(row, 1, start..end, stretch[0]))?;
            }
            start = end;
        }
    }
    Ok(())
}

/// Grey level of a pixel, in few steps so that neighbours often share one.
fn shade(ink: f32) -> u8 {
    ((ink.clamp(0.0, 1.0) * SHADES).round() * 255.0 / SHADES) as u8
}

//! Scenes with the places where the network looks.

use std::path::Path;

use plotters::prelude::*;

use crate::evaluate::likeliest;
use crate::model::Eyes;
use crate::plot;
use crate::program::Outcome;
use crate::scenes::{GRID, PATCH, SIDE, Scenes, corner};

/// Scenes in a row and rows of them.
const ACROSS: usize = 8;
const DOWN: usize = 4;
/// Pixels of the picture for one of a scene, and between scenes.
const SCALE: i32 = 3;
const GAP: i32 = 8;

/// Draws the first scenes, each with its likeliest place framed.
///
/// # Errors
/// If the picture cannot be written.
pub(crate) fn save(path: &Path, scenes: &Scenes, eyes: &Eyes) -> Outcome<()> {
    let places = likeliest(eyes, scenes)?;
    let step = SIDE as i32 * SCALE + GAP;
    let size = (ACROSS as i32 * step + GAP, DOWN as i32 * step + GAP);
    plot::save(path, (size.0 as u32, size.1 as u32), |area| {
        for (index, &place) in places.iter().enumerate().take(ACROSS * DOWN) {
            let left = GAP + (index % ACROSS) as i32 * step;
            let top = GAP + (index / ACROSS) as i32 * step;
            let square = |row: usize, column: usize, side: usize| {
                let from = (left + column as i32 * SCALE, top + row as i32 * SCALE);
                let side = side as i32 * SCALE;
                [from, (from.0 + side, from.1 + side)]
            };
            area.draw(&Rectangle::new(square(0, 0, SIDE), BLACK.filled()))?;
            for (at, ink) in scenes.scene(index).iter().enumerate() {
                let level = (255.0 * ink) as u8;
                if level > 0 {
                    let colour = RGBColor(level, level, level);
                    let pixel = square(at / SIDE, at % SIDE, 1);
                    area.draw(&Rectangle::new(pixel, colour.filled()))?;
                }
            }
            let frame = square(corner(place / GRID), corner(place % GRID), PATCH);
            area.draw(&Rectangle::new(
                frame,
                RGBColor(230, 159, 0).stroke_width(2),
            ))?;
        }
        Ok(())
    })?;
    Ok(())
}

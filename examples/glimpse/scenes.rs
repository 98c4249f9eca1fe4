//! Cluttered digits: a digit somewhere on a larger ground, among pieces of others.

use std::cell::OnceCell;

use relax_runtime::Stream;
use relax_runtime::prelude::*;

use crate::data::{COLUMNS, PIXELS, ROWS};
use crate::digits::Digits;

/// Rows and columns of a scene.
pub(crate) const SIDE: usize = 40;
/// Pixels of the coarse view's rows, each the mean of a square of the scene.
pub(crate) const COARSE: usize = 10;
/// Rows and columns of what a glimpse sees.
pub(crate) const PATCH: usize = 12;
/// Places for a glimpse in each direction.
pub(crate) const GRID: usize = 7;
pub(crate) const PLACES: usize = GRID * GRID;
/// Digits.
pub(crate) const CLASSES: usize = 10;

/// Pieces of other digits in a scene, and their rows and columns.
const PIECES: usize = 4;
const PIECE: usize = 8;

/// Some scenes: rows of a minibatch.
pub(crate) struct Scenes {
    /// `[n][SIDE * SIDE]`, from 0 to 1.
    pixels: Vec<Vec<f32>>,
    pub(crate) labels: Vec<u8>,
    /// `[n, COARSE²]`.
    pub(crate) coarse: Tensor,
    /// The labels as one-hot rows, `[n, CLASSES]`.
    pub(crate) classes: Tensor,
    /// Coarse view and label: what a surrogate may see, since no draw comes before it.
    pub(crate) surroundings: Tensor,
    /// All patches as [`pick`](Self::pick) wants them, `[n, PATCH², PLACES]`.
    by_place: OnceCell<Tensor>,
}

/// First row or column of a place.
pub(crate) fn corner(place: usize) -> usize {
    let span = (SIDE - PATCH) as f64 / (GRID - 1) as f64;
    (place as f64 * span).round() as usize
}

impl Scenes {
    /// `n` scenes of digits drawn from a set.
    ///
    /// # Errors
    /// If no memory could hold them.
    pub(crate) fn draw(digits: &Digits, n: usize, stream: &mut Stream) -> Result<Self> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let which = stream.below(digits.count());
            pixels.push(scene(digits, which, stream));
            labels.push(digits.label(which));
        }
        let device = Device::cpu();
        let coarse: Vec<f32> = pixels.iter().flat_map(|scene| coarse(scene)).collect();
        let coarse = Tensor::from_vec(coarse, [n, COARSE * COARSE], &device)?;
        let mut classes = vec![0.0; n * CLASSES];
        for (row, &label) in labels.iter().enumerate() {
            classes[row * CLASSES + usize::from(label)] = 1.0;
        }
        let classes = Tensor::from_vec(classes, [n, CLASSES], &device)?;
        Ok(Self {
            pixels,
            labels,
            surroundings: Tensor::concat(&[&coarse, &classes], 1),
            coarse,
            classes,
            by_place: OnceCell::new(),
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.labels.len()
    }

    /// The pixels of a scene, row by row.
    pub(crate) fn scene(&self, index: usize) -> &[f32] {
        &self.pixels[index]
    }

    /// What a glimpse at a place of one scene sees.
    fn patch(&self, scene: usize, place: usize) -> impl Iterator<Item = f32> {
        let (top, left) = (corner(place / GRID), corner(place % GRID));
        let scene = &self.pixels[scene];
        (top..top + PATCH).flat_map(move |row| scene[row * SIDE + left..][..PATCH].iter().copied())
    }

    /// What glimpses see at one place a scene, `[n, PATCH²]`.
    ///
    /// # Errors
    /// If no memory could hold them.
    pub(crate) fn patches(&self, places: &[usize]) -> Result<Tensor> {
        let pairs = places.iter().enumerate();
        let pixels = pairs.flat_map(|(scene, &place)| self.patch(scene, place));
        let shape = [self.count(), PATCH * PATCH];
        Tensor::from_vec(pixels.collect(), shape, &Device::cpu())
    }

    /// The same at places that a tensor `[n]` holds.
    ///
    /// # Errors
    /// If no memory could hold them.
    pub(crate) fn pick(&self, places: &Tensor) -> Result<Tensor> {
        const PIXELS: usize = PATCH * PATCH;
        let n = self.count();
        let by_place = match self.by_place.get() {
            Some(known) => known,
            None => {
                let all = self.all_patches()?.to_vec()?;
                let mut turned = vec![0.0; all.len()];
                for (at, ink) in all.into_iter().enumerate() {
                    let (scene, place, pixel) =
                        (at / PIXELS / PLACES, at / PIXELS % PLACES, at % PIXELS);
                    turned[(scene * PIXELS + pixel) * PLACES + place] = ink;
                }
                let turned = Tensor::from_vec(turned, [n, PIXELS, PLACES], &Device::cpu())?;
                self.by_place.get_or_init(|| turned)
            }
        };
        Ok(by_place.pick(&places.unsqueeze(-1).broadcast_to([n, PIXELS])))
    }

    /// What they would see at every place, `[n, PLACES, PATCH²]`.
    ///
    /// # Errors
    /// If no memory could hold them.
    pub(crate) fn all_patches(&self) -> Result<Tensor> {
        let scenes = 0..self.count();
        let pixels =
            scenes.flat_map(|scene| (0..PLACES).flat_map(move |place| self.patch(scene, place)));
        let shape = [self.count(), PLACES, PATCH * PATCH];
        Tensor::from_vec(pixels.collect(), shape, &Device::cpu())
    }
}

/// A digit at a random place, and pieces of others at random places over it.
fn scene(digits: &Digits, which: usize, stream: &mut Stream) -> Vec<f32> {
    let mut scene = vec![0.0_f32; SIDE * SIDE];
    let mut paste =
        |image: &[f32], from: (usize, usize), size: (usize, usize), to: (usize, usize)| {
            for row in 0..size.0 {
                for column in 0..size.1 {
                    let ink = image[(from.0 + row) * COLUMNS + from.1 + column];
                    let at = &mut scene[(to.0 + row) * SIDE + to.1 + column];
                    *at = at.max(ink);
                }
            }
        };
    let place = (
        stream.below(SIDE - ROWS + 1),
        stream.below(SIDE - COLUMNS + 1),
    );
    paste(digits.image(which), (0, 0), (ROWS, COLUMNS), place);
    for _ in 0..PIECES {
        let other = digits.image(stream.below(digits.count()));
        let from = (
            stream.below(ROWS - PIECE + 1),
            stream.below(COLUMNS - PIECE + 1),
        );
        let to = (
            stream.below(SIDE - PIECE + 1),
            stream.below(SIDE - PIECE + 1),
        );
        paste(other, from, (PIECE, PIECE), to);
    }
    scene
}

/// The means of squares.
fn coarse(scene: &[f32]) -> Vec<f32> {
    const EDGE: usize = SIDE / COARSE;
    let mut view = vec![0.0; COARSE * COARSE];
    for (at, ink) in scene.iter().enumerate() {
        let (row, column) = (at / SIDE / EDGE, at % SIDE / EDGE);
        view[row * COARSE + column] += ink / (EDGE * EDGE) as f32;
    }
    view
}

const _: () = assert!(PIXELS == ROWS * COLUMNS && SIDE.is_multiple_of(COARSE));

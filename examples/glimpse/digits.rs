//! Digits with their labels.

use std::path::Path;

use crate::data::{Dataset, PIXELS, read_levels};
use crate::labels::{decode_labels, read_labels};
use crate::program::Outcome;

/// Images of 28x28 pixels from 0 to 1, and what they show.
pub(crate) struct Digits {
    pixels: Vec<f32>,
    labels: Vec<u8>,
}

impl Digits {
    /// Images with grey levels from 0 to the largest, 255 or where they are binary 1.
    fn new(levels: &[u8], labels: Vec<u8>) -> Outcome<Self> {
        if levels.len() != labels.len() * PIXELS {
            let images = levels.len() / PIXELS;
            return Err(format!("there are {images} images and {} labels", labels.len()).into());
        }
        let most = f32::from(levels.iter().copied().max().unwrap_or(0).max(1));
        let pixels = levels.iter().map(|&level| f32::from(level) / most);
        Ok(Self {
            pixels: pixels.collect(),
            labels,
        })
    }

    /// Images to learn from and images to be tried with: of the original four files of MNIST in a folder,
    /// or the small set that is compiled into the program.
    ///
    /// # Errors
    /// If a file is missing or wrong.
    pub(crate) fn load(folder: Option<&Path>) -> Outcome<[Self; 2]> {
        let Some(folder) = folder else {
            return Self::embedded();
        };
        let read = |part: &str| {
            let images = read_levels(&folder.join(format!("{part}-images-idx3-ubyte.gz")))?;
            let labels = read_labels(&folder.join(format!("{part}-labels-idx1-ubyte.gz")))?;
            Self::new(&images, labels)
        };
        Ok([read("train")?, read("t10k")?])
    }

    fn embedded() -> Outcome<[Self; 2]> {
        let Dataset {
            train, validation, ..
        } = Dataset::embedded()?;
        let levels = |images: &crate::data::BinaryImages| {
            let all = (0..images.count()).flat_map(|i| images.image(i));
            all.copied().collect::<Vec<u8>>()
        };
        let train_labels = decode_labels(
            "mnist_small/train-labels-idx1-ubyte.gz",
            include_bytes!("../data/mnist_small/train-labels-idx1-ubyte.gz"),
        )?;
        let valid_labels = decode_labels(
            "mnist_small/valid-labels-idx1-ubyte.gz",
            include_bytes!("../data/mnist_small/valid-labels-idx1-ubyte.gz"),
        )?;
        Ok([
            Self::new(&levels(&train), train_labels)?,
            Self::new(&levels(&validation), valid_labels)?,
        ])
    }

    pub(crate) fn count(&self) -> usize {
        self.labels.len()
    }

    /// Pixels of one image, row by row.
    pub(crate) fn image(&self, index: usize) -> &[f32] {
        &self.pixels[index * PIXELS..][..PIXELS]
    }

    pub(crate) fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }
}

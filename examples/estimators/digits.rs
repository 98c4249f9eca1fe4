//! Handwritten digits, binarized anew each time they are seen.

use std::path::Path;

use relax_runtime::prelude::*;

use crate::data::{DataError, Dataset, PIXELS, Problem, TEST, TRAIN, VALIDATION, read_levels};

/// Grey levels from 0 to 255, image after image.
#[derive(Clone)]
pub(crate) struct Digits {
    name: String,
    train: Vec<u8>,
    held_out: Vec<u8>,
}

impl Digits {
    /// Those of a folder, or else those that come with the programs.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn open(folder: Option<&Path>) -> Result<Self, DataError> {
        folder.map_or_else(Self::embedded, Self::load)
    }

    /// Those that come with the programs: black and white.
    ///
    /// # Errors
    /// If the files were damaged when the program was built.
    fn embedded() -> Result<Self, DataError> {
        let dataset = Dataset::embedded()?;
        let levels = |images: &crate::data::BinaryImages| {
            let pixels = (0..images.count()).flat_map(|index| images.image(index));
            pixels.map(|&pixel| 255 * pixel).collect()
        };
        Ok(Self {
            name: format!("{}, binary as they come", dataset.name),
            train: levels(&dataset.train),
            held_out: levels(&dataset.validation),
        })
    }

    /// The training images of a folder of idx files, and its validation images, or else its test
    /// images; grey or binary.
    ///
    /// # Errors
    /// [`DataError`], naming the folder or the file.
    fn load(folder: &Path) -> Result<Self, DataError> {
        let missing = |file: &str, hint| DataError::File {
            path: folder.join(file),
            problem: Problem::Missing(hint),
        };
        let find = |files: &[&str]| {
            let mut paths = files.iter().map(|file| folder.join(file));
            paths.find(|path| path.exists())
        };
        let train = find(&[TRAIN]).ok_or_else(|| missing(TRAIN, "it holds the training images"))?;
        let held_out = find(&[VALIDATION, TEST])
            .ok_or_else(|| missing(TEST, "it holds images that are not trained on"))?;
        let (mut train, mut held_out) = (read_levels(&train)?, read_levels(&held_out)?);
        let binary = train.iter().all(|&level| level <= 1);
        if binary {
            let images = train.iter_mut().chain(&mut held_out);
            images.for_each(|level| *level = 255 * (*level).min(1));
        }
        let how = if binary {
            "binary as they come"
        } else {
            "made binary anew each time"
        };
        // Where the folder is does not matter to who reads the tables.
        let shown = folder.file_name().map_or(folder, Path::new);
        Ok(Self {
            name: format!("{}, {how}", shown.display()),
            train,
            held_out,
        })
    }

    /// Its name and size.
    pub(crate) fn title(&self) -> String {
        let [train, held_out] = [&self.train, &self.held_out].map(|images| images.len() / PIXELS);
        format!(
            "{train} training and {held_out} other digits ({})",
            self.name
        )
    }

    /// The mean grey level of each pixel, from 0 to 1.
    pub(crate) fn mean(&self) -> Vec<f32> {
        let mut sums = vec![0_u64; PIXELS];
        for image in self.train.chunks_exact(PIXELS) {
            let pixels = sums.iter_mut().zip(image);
            pixels.for_each(|(sum, &level)| *sum += u64::from(level));
        }
        let most = (255 * self.train.len() / PIXELS) as f64;
        sums.into_iter()
            .map(|sum| (sum as f64 / most) as f32)
            .collect()
    }

    /// Training images drawn at random, `[rows, PIXELS]`.
    ///
    /// # Errors
    /// If the device cannot hold them.
    pub(crate) fn batch(&self, key: Key, rows: usize) -> Result<Tensor> {
        let mut order = key.stream("data");
        let count = self.train.len() / PIXELS;
        let images = (0..rows).map(|_| order.below(count)).collect::<Vec<_>>();
        let image = |index: usize| &self.train[index * PIXELS..][..PIXELS];
        let levels = images.into_iter().flat_map(image);
        binary(&levels.copied().collect::<Vec<_>>(), key)
    }

    /// The first of the images that are trained on, in batches.
    ///
    /// # Errors
    /// If the device cannot hold them.
    pub(crate) fn trained_on(&self, most: usize) -> Result<Vec<Tensor>> {
        in_batches(&self.train, most)
    }

    /// The first of the images that are not trained on, in batches.
    ///
    /// # Errors
    /// If the device cannot hold them.
    pub(crate) fn held_out(&self, most: usize) -> Result<Vec<Tensor>> {
        in_batches(&self.held_out, most)
    }
}

/// The first images, made binary in the same way each time, as many at once as keep the draws in
/// the cache.
fn in_batches(images: &[u8], most: usize) -> Result<Vec<Tensor>> {
    const ROWS: usize = 250;
    let images = &images[..images.len().min(most * PIXELS)];
    let parts = images.chunks(ROWS * PIXELS).enumerate();
    let key = |part: usize| Key {
        step: part as u64,
        ..Key::new(0)
    };
    parts
        .map(|(part, levels)| binary(levels, key(part)))
        .collect()
}

/// Each pixel is 1 with the probability that is its grey level.
fn binary(levels: &[u8], key: Key) -> Result<Tensor> {
    let mut noise = key.stream("pixels");
    let pixel = |&level: &u8| f32::from(u8::from(255.0 * noise.uniform() < f32::from(level)));
    let pixels: Vec<f32> = levels.iter().map(pixel).collect();
    Tensor::from_vec(pixels, [levels.len() / PIXELS, PIXELS], &Device::cpu())
}

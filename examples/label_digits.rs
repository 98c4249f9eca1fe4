//! Finds the labels of the small set of digits in `examples/data/mnist_small`, whose images were binarized at random
//! and are in a different order from the gray originals. The original that most probably gave an image says what it is.
//! A pixel that is ink must have been more than black, and one that is not must have been less than white, which leaves
//! few originals; of these, one is nearly certain.
//!
//! ```text
//! cargo run --release --example label_digits -- --grey DATA/mnist
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

#[path = "support/data.rs"]
#[allow(
    dead_code,
    reason = "shared with the programs that learn from the images"
)]
mod data;
#[path = "support/labels.rs"]
#[allow(dead_code, reason = "shared with the programs that read labels")]
mod labels;
#[path = "support/program.rs"]
mod program;

use data::{BinaryImages, PIXELS, TRAIN, VALIDATION, read_levels};
use labels::{read_labels, write_labels};
use program::Outcome;

/// Writes label files beside binary images.
#[derive(Parser)]
struct Options {
    /// Folder with the gray MNIST: `train-images-idx3-ubyte.gz` and `train-labels-idx1-ubyte.gz`.
    #[arg(long)]
    grey: PathBuf,
    /// Folder with the binary images, to which the labels are written.
    #[arg(long, default_value = "examples/data/mnist_small")]
    out: PathBuf,
}

/// Odds for another label than the one chosen that are worth telling.
const DOUBT: f64 = 1e-6;
/// Words of an image of bits.
const WORDS: usize = PIXELS.div_ceil(64);

/// The pixels of an image that pass a test.
fn bits(image: &[u8], test: impl Fn(u8) -> bool) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (at, &level) in image.iter().enumerate() {
        words[at / 64] |= u64::from(test(level)) << (at % 64);
    }
    words
}

/// A grey image, and what binary ones it can give.
struct Original<'a> {
    levels: &'a [u8],
    label: u8,
    black: [u64; WORDS],
    white: [u64; WORDS],
}

impl Original<'_> {
    fn can_give(&self, ink: &[u64; WORDS]) -> bool {
        let words = ink.iter().zip(&self.black).zip(&self.white);
        words.fold(0, |wrong, ((ink, black), white)| {
            wrong | (ink & black) | (!ink & white)
        }) == 0
    }

    /// The logarithm of the probability of an image.
    fn log_probability(&self, image: &[u8]) -> f64 {
        let pixels = self.levels.iter().zip(image).map(|(&level, &ink)| {
            let p = f64::from(level) / 255.0;
            if ink == 1 { p.ln() } else { (1.0 - p).ln() }
        });
        pixels.sum()
    }
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    let levels = read_levels(&options.grey.join(TRAIN))?;
    let known = read_labels(&options.grey.join("train-labels-idx1-ubyte.gz"))?;
    if levels.len() != known.len() * PIXELS {
        return Err("--grey: the folder has different numbers of labels and images".into());
    }
    let originals: Vec<Original<'_>> = levels
        .chunks_exact(PIXELS)
        .zip(known)
        .map(|(levels, label)| Original {
            levels,
            label,
            black: bits(levels, |level| level == 0),
            white: bits(levels, |level| level == 255),
        })
        .collect();
    for file in [TRAIN, VALIDATION] {
        label(&options.out, file, &originals)?;
    }
    Ok(())
}

/// Labels the images of one file.
fn label(folder: &Path, file: &str, originals: &[Original<'_>]) -> Outcome<()> {
    let images = BinaryImages::read(&folder.join(file))?;
    let mut labels = Vec::new();
    let mut doubtful = 0;
    for index in 0..images.count() {
        let image = images.image(index);
        let ink = bits(image, |pixel| pixel == 1);
        let mut possible: Vec<_> = originals.iter().filter(|o| o.can_give(&ink)).collect();
        let score = |original: &Original<'_>| original.log_probability(image);
        possible.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let Some(best) = possible.first() else {
            return Err(format!("{file}: no gray image can have given image {index}").into());
        };
        let others = possible.iter().filter(|other| other.label != best.label);
        let odds: f64 = others.map(|other| (score(other) - score(best)).exp()).sum();
        doubtful += usize::from(odds > DOUBT);
        labels.push(best.label);
    }
    let path = folder.join(file.replace("images-idx3", "labels-idx1"));
    write_labels(&path, &labels)?;
    println!(
        "{}: {} labels, {doubtful} of them with odds above {DOUBT} for another label",
        path.display(),
        labels.len()
    );
    Ok(())
}

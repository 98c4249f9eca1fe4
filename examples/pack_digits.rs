//! Makes the small set of digits in `examples/data/mnist_small` from a full folder of binary idx images:
//!
//! ```text
//! cargo run --release --example pack_digits -- --data DATA/mnist_fixed_binarized
//! ```

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use flate2::{Compression, GzBuilder};

#[path = "support/data.rs"]
#[allow(
    dead_code,
    reason = "shared with the programs that learn from the images"
)]
mod data;
#[path = "support/program.rs"]
mod program;

use data::{BinaryImages, COLUMNS, IMAGES_MAGIC, ROWS, TRAIN, VALIDATION};
use program::Outcome;

/// Writes a smaller copy of a folder of binary idx images.
#[derive(Parser)]
struct Options {
    /// Folder with the full training and validation images.
    #[arg(long)]
    data: PathBuf,
    /// Folder to write to.
    #[arg(long, default_value = "examples/data/mnist_small")]
    out: PathBuf,
    /// Training images to keep.
    #[arg(long, default_value_t = 8000)]
    train: usize,
    /// Validation images to keep.
    #[arg(long, default_value_t = 1000)]
    validation: usize,
}

/// What can stop the program.
#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error(transparent)]
    Data(#[from] data::DataError),
    #[error("{path}: holds {found} images; --train and --validation must be between 1 and that")]
    Count { path: PathBuf, found: usize },
    #[error("{path}: cannot be written: {source}")]
    Write { path: PathBuf, source: io::Error },
}

fn main() -> ExitCode {
    program::main(run)
}

fn run(options: &Options) -> Outcome<()> {
    for (file, keep) in [(TRAIN, options.train), (VALIDATION, options.validation)] {
        pack(&options.data.join(file), &options.out.join(file), keep)?;
    }
    Ok(())
}

/// Writes `keep` images, evenly spread over those of `from` and in their order, to `to`.
fn pack(from: &Path, to: &Path, keep: usize) -> Result<(), PackError> {
    let images = BinaryImages::read(from)?;
    let found = images.count();
    if !(1..=found).contains(&keep) {
        return Err(PackError::Count {
            path: from.to_owned(),
            found,
        });
    }
    let kept = (0..keep).map(|i| images.image(i * found / keep));
    encode(keep, kept)
        .and_then(|file| {
            fs::create_dir_all(to.parent().unwrap_or(Path::new(".")))?;
            fs::write(to, file)
        })
        .map_err(|source| PackError::Write {
            path: to.to_owned(),
            source,
        })
}

/// A gzip-compressed idx file without time stamp or name, so that equal images give equal bytes.
fn encode<'a>(count: usize, images: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    let count = u32::try_from(count).map_err(io::Error::other)?;
    for word in [IMAGES_MAGIC, count, ROWS as u32, COLUMNS as u32] {
        gzip.write_all(&word.to_be_bytes())?;
    }
    for image in images {
        gzip.write_all(image)?;
    }
    gzip.finish()
}

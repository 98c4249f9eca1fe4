//! Labels of digits, in gzip-compressed idx files.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};

/// First word of an idx file of labels: unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 2049;
/// Far more than any set of digits has.
const MOST: u64 = 1_000_000;

/// Why there are no labels.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LabelError {
    #[error("{path}: cannot be read: {source}")]
    Unreadable { path: String, source: io::Error },
    #[error("{path}: {problem}")]
    Wrong { path: String, problem: String },
}

/// The labels of a file.
///
/// # Errors
/// [`LabelError`], naming the file.
pub(crate) fn read_labels(path: &Path) -> Result<Vec<u8>, LabelError> {
    let name = path.display().to_string();
    match fs::read(path) {
        Ok(file) => decode_labels(&name, &file),
        Err(source) => Err(LabelError::Unreadable { path: name, source }),
    }
}

/// The labels of a file's bytes: magic number and count, big-endian, then a byte from 0 to 9 each.
///
/// # Errors
/// [`LabelError`], with the name given.
pub(crate) fn decode_labels(name: &str, file: &[u8]) -> Result<Vec<u8>, LabelError> {
    const HEADER: usize = 8;
    let wrong = |problem: String| LabelError::Wrong {
        path: name.to_owned(),
        problem,
    };
    let mut bytes = Vec::new();
    GzDecoder::new(file)
        .take(MOST + HEADER as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| LabelError::Unreadable {
            path: name.to_owned(),
            source,
        })?;
    let Some((head, labels)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(wrong("the file ends inside its header".into()));
    };
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (magic, count) = (word(0), word(4));
    if magic != LABELS_MAGIC {
        return Err(wrong(format!(
            "the magic number is {magic}, but a file of labels starts with {LABELS_MAGIC}"
        )));
    }
    if labels.len() != count as usize {
        return Err(wrong(format!(
            "the header announces {count} labels, and {} follow",
            labels.len()
        )));
    }
    match labels.iter().find(|&&label| label > 9) {
        Some(label) => Err(wrong(format!("{label} is not a digit"))),
        None => Ok(labels.to_vec()),
    }
}

/// Writes labels without time stamp or name, so that equal ones give equal bytes.
///
/// # Errors
/// The file system's.
pub(crate) fn write_labels(path: &Path, labels: &[u8]) -> io::Result<()> {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    let count = u32::try_from(labels.len()).map_err(io::Error::other)?;
    for word in [LABELS_MAGIC, count] {
        gzip.write_all(&word.to_be_bytes())?;
    }
    gzip.write_all(labels)?;
    fs::write(path, gzip.finish()?)
}

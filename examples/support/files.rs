//! Files that a stopped program does not leave half written.

use std::fs;
use std::path::Path;

use crate::program::Outcome;

/// Writes a file as a whole: who stops the program finds the old one or the new one.
///
/// # Errors
/// If it cannot be written, with its name.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Outcome<()> {
    let new = path.with_extension("new");
    fs::write(&new, content)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

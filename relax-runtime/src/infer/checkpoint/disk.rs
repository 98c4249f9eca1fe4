//! Files that appear whole or not at all.

use std::fs::{self, File, FileType, Permissions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};

use tempfile::Builder;

/// Writes a file next to its place under a unique name, flushes it to the disk, and renames it: readers see one whole
/// file, whatever else writes at the same time. An unfinished file is removed, unless the process was killed. Links are
/// followed.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = target(path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = Builder::new();
    file.prefix(".checkpoint-").suffix(".partial");
    if let Some(permissions) = permissions(&path) {
        file.permissions(permissions);
    }
    let mut file = file.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|failed| failed.error)?;
    // The rename itself is only on the disk once the folder is.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Reads a regular file; others may have no end.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    expect_file(fs::metadata(path)?.file_type())?;
    fs::read(path)
}

/// The file that a path leads to, which need not exist yet.
fn target(path: &Path) -> Result<PathBuf> {
    /// Maximum number of links in a row, as in Linux.
    const MOST: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST {
        let kind = match fs::symlink_metadata(&path) {
            Ok(found) => found.file_type(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        };
        if !kind.is_symlink() {
            return expect_file(kind).map(|()| path);
        }
        let next = fs::read_link(&path)?;
        path.pop();
        path.push(next);
    }
    Err(Error::other(
        "it is a link to a link, and so on without end",
    ))
}

fn expect_file(kind: FileType) -> Result<()> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a folder",
        _ => "a device, a pipe or a socket",
    };
    Err(Error::other(format!("it is {what}, not a file")))
}

/// The permissions of the file to be replaced; for a new one those of any new file.
fn permissions(path: &Path) -> Option<Permissions> {
    if let Ok(old) = fs::metadata(path) {
        return Some(old.permissions());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // Minus what the process's mask takes away.
        Some(Permissions::from_mode(0o666))
    }
    #[cfg(not(unix))]
    None
}

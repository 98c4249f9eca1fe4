//! Writing checkpoints: whole files, whatever the path is and whoever else writes.

use std::fs;
use std::path::Path;
use std::thread;

use relax_runtime::prelude::*;
use tempfile::TempDir;

use crate::{assert_says, error};

#[model]
fn coin() {
    let theta = param!(0.2);
    let b = sample!(Bernoulli(logits = &theta));
    cost!((&b - 0.3).square());
}

fn trained(steps: u64) -> Result<Trainer> {
    let mut trainer = Trainer::new(1);
    for _ in 0..steps {
        trainer.step(&ExpectedCost::new(&coin()))?;
    }
    Ok(trainer)
}

fn steps_in(path: &Path) -> Result<u64> {
    let mut trainer = Trainer::new(1);
    trainer.resume(path)?;
    Ok(trainer.steps_taken())
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_but_the_file_is_left() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    trained(2)?.save(&path)?;
    trained(3)?.save(&path)?;
    assert_eq!(steps_in(&path)?, 3);
    assert_eq!(files(folder.path()), ["checkpoint"]);
    let nowhere = folder.path().join("nowhere").join("checkpoint");
    assert_says(
        &error(trained(1)?.save(&nowhere)),
        &["nowhere", "cannot be written"],
    );
    Ok(())
}

#[test]
fn folders_are_no_files() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    fs::create_dir(&path).unwrap();
    assert_says(
        &error(trained(1)?.save(&path)),
        &["cannot be written", "a folder"],
    );
    assert_says(
        &error(trained(1)?.resume(&path)),
        &["cannot be read", "a folder"],
    );
    assert_eq!(files(folder.path()), ["checkpoint"]);
    assert!(files(&path).is_empty());
    Ok(())
}

/// Several writers and a reader of one file: every read finds one whole state.
#[test]
fn writers_do_not_mix() {
    const SAVES: u64 = 40;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    trained(1).unwrap().save(&path).unwrap();
    thread::scope(|scope| {
        for steps in 1..4 {
            let path = &path;
            scope.spawn(move || {
                let trainer = trained(steps).unwrap();
                (0..SAVES).for_each(|_| trainer.save(path).unwrap());
            });
        }
        for _ in 0..SAVES {
            assert!((1..4).contains(&steps_in(&path).unwrap()));
        }
    });
    assert_eq!(files(folder.path()), ["checkpoint"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    use std::process::Command;

    use super::*;

    #[test]
    fn links_are_followed() -> Result<()> {
        let folder = TempDir::new().unwrap();
        let within = folder.path().join("within");
        fs::create_dir(&within).unwrap();
        let (link, far) = (folder.path().join("link"), folder.path().join("far"));
        symlink("within/file", &link).unwrap();
        symlink("link", &far).unwrap();
        // To a file that is not there yet, then to one that is.
        for steps in [2, 3] {
            trained(steps)?.save(&far)?;
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(fs::symlink_metadata(&far).unwrap().is_symlink());
            assert_eq!(steps_in(&within.join("file"))?, steps);
            assert_eq!(steps_in(&far)?, steps);
        }
        assert_eq!(files(folder.path()), ["far", "link", "within"]);
        assert_eq!(files(&within), ["file"]);
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        symlink(&a, &b).unwrap();
        symlink(&b, &a).unwrap();
        assert_says(&error(trained(1)?.save(&a)), &["cannot be written", "link"]);
        Ok(())
    }

    #[test]
    fn devices_and_pipes_stay_what_they_are() -> Result<()> {
        let folder = TempDir::new().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let null = Path::new("/dev/null");
        let link = folder.path().join("link");
        symlink(null, &link).unwrap();
        for path in [null, &pipe, &link] {
            assert_says(
                &error(trained(1)?.save(path)),
                &["cannot be written", "a pipe"],
            );
            assert_says(
                &error(trained(1)?.resume(path)),
                &["cannot be read", "a pipe"],
            );
        }
        let kind = |path: &Path| fs::metadata(path).unwrap().file_type();
        assert!(kind(null).is_char_device() && kind(&pipe).is_fifo());
        assert_eq!(files(folder.path()), ["link", "pipe"]);
        Ok(())
    }

    #[test]
    fn permissions_stay() -> Result<()> {
        let folder = TempDir::new().unwrap();
        let (path, plain) = (
            folder.path().join("checkpoint"),
            folder.path().join("plain"),
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        trained(1)?.save(&path)?;
        fs::write(&plain, "").unwrap();
        assert_eq!(mode(&path), mode(&plain), "those of any new file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        trained(2)?.save(&path)?;
        assert_eq!(mode(&path), 0o600);
        Ok(())
    }
}

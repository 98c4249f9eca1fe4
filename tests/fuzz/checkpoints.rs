//! Damaged checkpoints, and kills in the middle of saving.
//!
//! Whatever happens to a file, it is refused in a sentence or read with the numbers that were saved: no panic, no
//! endless loop, no other numbers. Runs a few hundred cases of each kind unless the environment variable
//! `RELAX_FUZZ_CASES` asks for more, as in `RELAX_FUZZ_CASES=100000 cargo test --release --test fuzz_checkpoints`;
//! `RELAX_FUZZ_SEED` selects other cases.

#[path = "../support/checkpoints.rs"]
mod checkpoints;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use relax_runtime::Stream;
use relax_runtime::infer::Recording;
use relax_runtime::prelude::*;
use tempfile::TempDir;

use checkpoints::{joined, parts, sealed};

/// A number from the environment, or the usual one.
fn setting(name: &str, usual: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => usual,
    }
}

fn cases() -> u64 {
    setting("RELAX_FUZZ_CASES", 400)
}

fn stream(purpose: &str, case: u64) -> Stream {
    let key = Key {
        step: case,
        ..Key::new(setting("RELAX_FUZZ_SEED", 1))
    };
    key.stream(purpose)
}

/// Everything that a checkpoint holds: parameters, layers, surrogates, a quadratic form, a rival.
#[model]
fn program(layer: &Linear) {
    let offset = param!([0.1, -0.2]);
    let x = Tensor::ones([3, 2], &Device::cpu());
    plate!(3 => {
        let h = sample!(Bernoulli(logits = layer.forward(&x) + &offset));
        let k = sample!(OneHotCategorical(logits = &h * 0.5));
        cost!((&h - 0.3).square() * &k + &k * 0.1);
    })
}

struct Training {
    trainer: Trainer,
    layer: Linear,
}

impl Training {
    fn new() -> Result<Self> {
        let mut stream = Key::new(1).stream("weights");
        let layer = Linear::new(2, 2, &mut stream, &Device::cpu())?.named("layer");
        let recording = Recording::every(2).fresh_draws(2);
        let trainer = Trainer::new(1)
            .layers(layer.parameters())
            .record(recording.rival(Reinforce::default()));
        Ok(Self { trainer, layer })
    }

    fn after(steps: usize) -> Result<Self> {
        let mut training = Self::new()?;
        for _ in 0..steps {
            training.step()?;
        }
        Ok(training)
    }

    fn step(&mut self) -> Result<StepReport> {
        let program = program(&self.layer);
        self.trainer.step(&ExpectedCost::new(&program))
    }
}

/// A checkpoint after five steps, in a folder of its own.
fn checkpoint() -> (TempDir, Vec<u8>) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    Training::after(5).unwrap().trainer.save(&path).unwrap();
    let bytes = fs::read(path).unwrap();
    (folder, bytes)
}

/// What becomes of a file: nothing if it is refused, in a sentence and with nothing changed; or what
/// a trainer that has read it saves.
fn read(folder: &Path, bytes: &[u8]) -> Option<Vec<u8>> {
    let path = folder.join("damaged");
    fs::write(&path, bytes).unwrap();
    let mut training = Training::new().unwrap();
    let weight = training.layer.weight.get().to_vec().unwrap();
    match training.trainer.resume(&path) {
        Ok(()) => {
            training.trainer.save(&path).unwrap();
            Some(fs::read(&path).unwrap())
        }
        Err(Error::Checkpoint { .. }) => {
            assert_eq!(training.trainer.steps_taken(), 0);
            assert!(training.trainer.params().names().is_empty());
            assert_eq!(training.layer.weight.get().to_vec().unwrap(), weight);
            None
        }
        Err(other) => panic!("another kind of error: {other}"),
    }
}

fn below(stream: &mut Stream, n: usize) -> usize {
    stream.below(n.max(1))
}

/// Damage by disks and networks: bits, blocks, lengths.
fn damage(bytes: &[u8], stream: &mut Stream) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    let at = below(stream, bytes.len());
    let length = 1 + below(stream, (bytes.len() - at).min(600));
    match below(stream, 7) {
        0 | 1 => {
            for _ in 0..=below(stream, 3) {
                let bit = below(stream, 8 * bytes.len());
                damaged[bit / 8] ^= 1 << (bit % 8);
            }
        }
        2 => damaged.truncate(at),
        3 => damaged[at..at + length].fill(0),
        4 => {
            let from = below(stream, bytes.len() - length);
            damaged.copy_within(from..from + length, at.min(bytes.len() - length));
        }
        5 => drop(damaged.drain(at..at + length)),
        _ => {
            let added: Vec<u8> = (0..length).map(|_| below(stream, 256) as u8).collect();
            damaged.splice(at..at, added);
        }
    }
    damaged
}

#[test]
fn damaged_files_are_refused() {
    let (folder, bytes) = checkpoint();
    assert!(read(folder.path(), &bytes).as_deref() == Some(&bytes[..]));
    for case in 0..cases() {
        let damaged = damage(&bytes, &mut stream("damage", case));
        if damaged != bytes {
            assert!(read(folder.path(), &damaged).is_none(), "case {case}");
        }
    }
}

/// Every bit of the header, and one of each eighth byte behind it.
#[test]
fn one_flipped_bit_is_enough() {
    let (folder, mut bytes) = checkpoint();
    let header = 8 * (8 + parts(&bytes).0.len());
    let stride = (header / cases() as usize).max(1) | 1;
    let numbers = (header..8 * bytes.len()).step_by(61);
    for bit in (0..header)
        .step_by(stride)
        .chain(numbers.take(cases() as usize))
    {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(read(folder.path(), &bytes).is_none(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Headers edited by someone who has put the checksum right: what is accepted must be a state that
/// training can go on from, and be saved as it was read.
#[test]
fn edited_headers_do_no_harm() {
    let (folder, bytes) = checkpoint();
    let (header, numbers) = parts(&bytes);
    let path = folder.path().join("edited");
    let mut refused = 0;
    for case in 0..cases() {
        let edited = edit(&header, &mut stream("edit", case));
        fs::write(&path, sealed_or_not(joined(&edited, numbers))).unwrap();
        let mut training = Training::new().unwrap();
        match training.trainer.resume(&path) {
            Ok(()) => {
                // Its sites are looked at when they are met.
                if training.step().is_ok() {
                    training.trainer.save(&path).unwrap();
                }
            }
            Err(Error::Checkpoint { .. }) => refused += 1,
            Err(other) => panic!("case {case}: another kind of error: {other}"),
        }
    }
    assert!(refused > cases() / 4, "{refused} refusals");
}

/// With the right checksum where there is a place for one.
fn sealed_or_not(bytes: Vec<u8>) -> Vec<u8> {
    let key = br#"\"checksum\":\""#;
    let place = bytes.windows(key.len()).position(|bytes| bytes == key);
    match place {
        Some(place) if place + key.len() + 32 <= bytes.len() => sealed(bytes),
        _ => bytes,
    }
}

/// A header with names, numbers or pieces of text exchanged, doubled or left out.
fn edit(header: &str, stream: &mut Stream) -> String {
    let names: Vec<&str> = header
        .split('"')
        .filter(|piece| piece.contains(':') && piece.contains(char::is_alphabetic))
        .collect();
    let numbers: Vec<(usize, &str)> = header.match_indices(|c: char| c.is_ascii_digit()).collect();
    let mut pick = |n: usize| below(stream, n);
    match pick(5) {
        // A tensor takes the name of another, or one of its own.
        0 => {
            let (one, other) = (names[pick(names.len())], names[pick(names.len())]);
            header.replacen(one, other, 1)
        }
        1 => header.replacen(names[pick(names.len())], "store:other", 1),
        2 => {
            let (at, _) = numbers[pick(numbers.len())];
            let digit = pick(10).to_string();
            [&header[..at], &digit, &header[at + 1..]].concat()
        }
        3 => {
            let (at, _) = numbers[pick(numbers.len())];
            let many = ["18446744073709551615", "-1", "1e9", "00", "\"", "null"];
            [&header[..at], many[pick(many.len())], &header[at + 1..]].concat()
        }
        _ => {
            let from = pick(header.len());
            let to = (from + pick(60)).min(header.len());
            match (header.get(..from), header.get(to..)) {
                (Some(before), Some(after)) => [before, after].concat(),
                _ => header.to_owned(),
            }
        }
    }
}

/// Set in the child process, which saves to this path without end.
const CHILD: &str = "RELAX_FUZZ_SAVES_TO";

/// Not a test of its own: the child process of the next one.
#[test]
fn saves_without_end() {
    let Ok(path) = env::var(CHILD) else { return };
    let mut training = Training::new().unwrap();
    loop {
        training.step().unwrap();
        training.trainer.save(Path::new(&path)).unwrap();
    }
}

fn saving_child(path: &Path) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "saves_without_end"])
        .env(CHILD, path);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Two processes save to one file and are killed at any moment: the file is a whole state of one of
/// them, from which training goes on as if nothing had happened.
#[test]
fn kills_leave_a_whole_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let kills = (cases() / 40).clamp(4, 1_000);
    for kill in 0..kills {
        let mut children = [saving_child(&path), saving_child(&path)];
        while !path.exists() {
            for child in &mut children {
                assert!(child.try_wait().unwrap().is_none(), "a child gave up");
            }
            thread::sleep(Duration::from_millis(1));
        }
        let wait = below(&mut stream("kill", kill), 20_000);
        thread::sleep(Duration::from_micros(wait as u64));
        for mut child in children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let mut resumed = Training::new().unwrap();
        resumed.trainer.resume(&path).unwrap();
        let steps = resumed.trainer.steps_taken();
        assert!(steps > 0);
        if steps < 200 {
            let whole = folder.path().join("whole");
            let through = Training::after(steps as usize).unwrap();
            through.trainer.save(&whole).unwrap();
            assert!(
                fs::read(&whole).unwrap() == fs::read(&path).unwrap(),
                "kill {kill}"
            );
        }
        fs::remove_file(&path).unwrap();
    }
}

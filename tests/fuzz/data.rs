//! Mutated files of images: each is read or refused in words, in little time and memory.
//!
//! `RELAX_FUZZ_CASES` sets the number of cases; by default they take a few seconds.

#[path = "../support/cases.rs"]
mod cases;

use std::alloc::System;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use cap::Cap;
use flate2::{Compression, write::GzEncoder};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

#[path = "../../examples/support/data.rs"]
#[allow(dead_code, reason = "the example uses more of it")]
mod data;

use cases::config;
use data::{BinaryImages, IMAGES_MAGIC, PIXELS, TRAIN, read_levels};

/// Counts memory.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What happens to a file.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Double(prop::sample::Index),
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        if file.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, bits) => {
                let at = at.index(file.len());
                file[at] ^= bits;
            }
            Self::Cut(at) => file.truncate(at.index(file.len())),
            Self::Insert(at, bytes) => {
                let at = at.index(file.len());
                file.splice(at..at, bytes.iter().copied());
            }
            Self::Double(at) => file.extend_from_within(at.index(file.len())..),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<prop::sample::Index>(), 1..=255_u8).prop_map(|(at, bits)| Change::Flip(at, bits)),
        any::<prop::sample::Index>().prop_map(Change::Cut),
        (any::<prop::sample::Index>(), vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        any::<prop::sample::Index>().prop_map(Change::Double),
    ]
}

/// A header, mostly a right one.
fn header() -> impl Strategy<Value = [u32; 4]> {
    let magic = prop_oneof![9 => Just(IMAGES_MAGIC), 1 => any::<u32>()];
    let count = prop_oneof![4 => 0..4_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)];
    let side = || prop_oneof![15 => Just(28_u32), 1 => any::<u32>()];
    (magic, count, side(), side()).prop_map(|(a, b, c, d)| [a, b, c, d])
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn damaged_files_are_read_or_refused(
        header in header(),
        images in 0..4_usize,
        levels in any::<bool>(),
        before in vec(change(), 0..2),
        after in vec(change(), 0..3),
        padding in 0..20_usize,
    ) {
        let mut file = header.map(u32::to_be_bytes).concat();
        let pixel = |at: usize| if levels { at as u8 } else { u8::from(at.is_multiple_of(3)) };
        file.extend((0..images * PIXELS).map(pixel));
        before.iter().for_each(|change| change.apply(&mut file));
        let mut file = gzip(&file);
        after.iter().for_each(|change| change.apply(&mut file));
        file.extend(std::iter::repeat_n(0, padding));

        let folder = TempDir::new().unwrap();
        let path = folder.path().join(TRAIN);
        fs::write(&path, &file).unwrap();
        MEMORY.set_limit(MEMORY.allocated() + (8 << 20)).unwrap();
        let started = Instant::now();
        let (binary, grey) = (BinaryImages::read(&path), read_levels(&path));
        let took = started.elapsed();
        MEMORY.set_limit(usize::MAX).unwrap();
        prop_assert!(took < Duration::from_secs(2), "{took:?}");
        match (&binary, &grey) {
            (Ok(binary), Ok(grey)) => {
                prop_assert_eq!(binary.count() * PIXELS, grey.len());
                prop_assert!(binary.count() > 0);
                prop_assert!((0..binary.count()).all(|i| binary.image(i).iter().all(|&x| x < 2)));
            }
            (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("binarize"), "{}", error),
            (Err(binary), Err(grey)) => prop_assert_eq!(binary.to_string(), grey.to_string()),
            (Ok(_), Err(grey)) => prop_assert!(false, "only refused as grey: {}", grey),
        }
        if let Err(error) = binary {
            prop_assert!(error.to_string().starts_with(&path.display().to_string()));
        }
    }
}

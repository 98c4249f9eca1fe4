//! The loader of binary images: what it reads, and what it says about every kind of bad file.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

#[path = "../examples/support/data.rs"]
mod data;

use data::{
    BinaryImages, COLUMNS, DataError, Dataset, IMAGES_MAGIC, PIXELS, Problem, ROWS, TEST, TRAIN,
    VALIDATION, read_levels,
};

/// An idx file before compression.
fn idx(magic: u32, count: u32, rows: u32, columns: u32, pixels: &[u8]) -> Vec<u8> {
    let mut file = [magic, count, rows, columns].map(u32::to_be_bytes).concat();
    file.extend(pixels);
    file
}

/// An idx file whose header fits its pixels.
fn images(pixels: &[u8]) -> Vec<u8> {
    idx(
        IMAGES_MAGIC,
        (pixels.len() / PIXELS) as u32,
        ROWS as u32,
        COLUMNS as u32,
        pixels,
    )
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Three images: blank, full, and one with the first pixel of each row.
fn three() -> Vec<u8> {
    let mut pixels = vec![0; PIXELS];
    pixels.extend([1; PIXELS]);
    pixels.extend((0..PIXELS).map(|at| u8::from(at % COLUMNS == 0)));
    pixels
}

/// Loads one file and returns its problem with the whole message.
fn problem(file: &[u8]) -> (Problem, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(TRAIN);
    fs::write(&path, file).unwrap();
    let error = BinaryImages::read(&path).unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with(&path.display().to_string()),
        "{message}"
    );
    match error {
        DataError::File { problem, .. } => (problem, message),
        other => panic!("{other}"),
    }
}

/// A data folder with good training and validation images.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(TRAIN), gzip(&images(&three()))).unwrap();
    fs::write(folder.path().join(VALIDATION), gzip(&images(&[1; PIXELS]))).unwrap();
    folder
}

#[test]
fn a_folder_is_read() {
    let folder = folder();
    let set = Dataset::load(folder.path()).unwrap();
    assert_eq!((set.train.count(), set.validation.count()), (3, 1));
    assert!(set.test.is_none());
    assert!(
        set.to_string()
            .ends_with("3 training, 1 validation images of 28x28 binary pixels")
    );

    fs::write(folder.path().join(TEST), gzip(&images(&three()))).unwrap();
    let set = Dataset::load(folder.path()).unwrap();
    assert_eq!(set.test.as_ref(), Some(&set.train));
    assert!(set.to_string().contains("3 test"));
}

#[test]
fn batches_and_means_keep_the_order_of_pixels() {
    let folder = folder();
    let train = Dataset::load(folder.path()).unwrap().train;
    assert_eq!(train.image(1), [1; PIXELS]);

    let batch = train.batch(&[2, 0]);
    assert_eq!(batch.len(), 2 * PIXELS);
    assert_eq!(
        &batch[..COLUMNS + 2],
        [&[1.0][..], &[0.0; COLUMNS - 1], &[1.0, 0.0]].concat()
    );
    assert!(batch[PIXELS..].iter().all(|&value| value == 0.0));
    assert!(train.batch(&[]).is_empty());

    let mean = train.mean();
    assert_eq!(mean.len(), PIXELS);
    assert_eq!(mean[..2], [2.0 / 3.0, 1.0 / 3.0]);
}

#[test]
fn the_kept_digits_are_sound() {
    let set = Dataset::embedded().unwrap();
    assert_eq!((set.train.count(), set.validation.count()), (8000, 1000));
    for images in [&set.train, &set.validation] {
        let ink = images.mean().iter().sum::<f32>() / PIXELS as f32;
        assert!((0.128..0.134).contains(&ink), "share of ink {ink}");
    }
}

#[test]
fn a_missing_folder_is_named() {
    let folder = folder();
    for path in [folder.path().join("nowhere"), folder.path().join(TRAIN)] {
        let error = Dataset::load(&path).unwrap_err();
        assert!(matches!(&error, DataError::FolderMissing { folder } if *folder == path));
        assert!(error.to_string().contains(TRAIN), "{error}");
    }
}

#[test]
fn a_missing_file_is_named_with_a_way_out() {
    for (file, hint) in [(TRAIN, "training images"), (VALIDATION, "move some")] {
        let folder = folder();
        fs::remove_file(folder.path().join(file)).unwrap();
        let error = Dataset::load(folder.path()).unwrap_err();
        assert!(matches!(
            error,
            DataError::File {
                problem: Problem::Missing(_),
                ..
            }
        ));
        let message = error.to_string();
        assert!(
            message.contains(file) && message.contains(hint),
            "{message}"
        );
    }
}

#[test]
fn an_unreadable_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    for path in [folder.path(), &folder.path().join("none.gz")] {
        let error = BinaryImages::read(path).unwrap_err();
        assert!(matches!(
            error,
            DataError::File {
                problem: Problem::Unreadable(_),
                ..
            }
        ));
    }
}

#[test]
fn a_wrong_test_file_is_an_error_too() {
    let folder = folder();
    fs::write(folder.path().join(TEST), b"").unwrap();
    let error = Dataset::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains(TEST), "{error}");
}

#[test]
fn files_that_are_not_gzip_are_told_apart() {
    assert!(matches!(problem(b"").0, Problem::EmptyFile));
    assert!(matches!(problem(&images(&three())).0, Problem::NotGzip));
}

#[test]
fn a_cut_file_is_noticed_wherever_the_cut_is() {
    let whole = gzip(&images(&three()));
    for length in 2..whole.len() {
        let (problem, message) = problem(&whole[..length]);
        assert!(
            matches!(problem, Problem::CutShort),
            "{length} bytes: {message}"
        );
    }
}

#[test]
fn a_damaged_file_is_noticed() {
    let mut file = gzip(&images(&three()));
    let checksum = file.len() - 8;
    file[checksum] ^= 1;
    let (problem, message) = problem(&file);
    assert!(matches!(problem, Problem::Corrupt(_)), "{message}");
}

#[test]
fn a_wrong_header_says_what_was_found() {
    let (found, message) = problem(&gzip(&idx(2049, 3, 28, 28, &three())));
    assert!(
        matches!(found, Problem::WrongMagic { found: 2049 }),
        "{message}"
    );
    assert!(message.contains("2051"), "{message}");

    let (found, message) = problem(&gzip(&idx(IMAGES_MAGIC, 1, 32, 16, &[0; 512])));
    assert!(
        matches!(
            found,
            Problem::WrongSize {
                rows: 32,
                columns: 16
            }
        ),
        "{message}"
    );
    assert!(
        message.contains("32x16") && message.contains("28x28"),
        "{message}"
    );

    let (found, message) = problem(&gzip(&images(&[])));
    assert!(matches!(found, Problem::NoImages), "{message}");

    let (found, message) = problem(&gzip(&images(&[])[..11]));
    assert!(
        matches!(found, Problem::ShortHeader { found: 11 }),
        "{message}"
    );
}

#[test]
fn pixels_must_match_the_announced_count() {
    let pixels = three();
    let (found, message) = problem(&gzip(&images(&pixels)[..2000]));
    assert!(
        matches!(
            found,
            Problem::MissingPixels {
                count: 3,
                needed: 2352,
                found: 1984
            }
        ),
        "{message}"
    );

    let mut longer = images(&pixels);
    longer.push(0);
    let (found, message) = problem(&gzip(&longer));
    assert!(
        matches!(found, Problem::TrailingBytes { count: 3 }),
        "{message}"
    );

    let announced = idx(IMAGES_MAGIC, u32::MAX, 28, 28, &pixels);
    let (found, message) = problem(&gzip(&announced));
    assert!(
        matches!(
            found,
            Problem::MissingPixels {
                count: u32::MAX,
                ..
            }
        ),
        "{message}"
    );
}

/// As `gzip` reads it: several members are one file, and zeros after the last are padding.
#[test]
fn members_and_padding_are_read_as_gzip_reads_them() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(TRAIN);
    let read = |file: &[u8]| {
        fs::write(&path, file).unwrap();
        BinaryImages::read(&path)
    };
    let plain = images(&three());
    let whole = read(&gzip(&plain)).unwrap();
    for zeros in [1, 7, 512, 70_000] {
        let padded = [gzip(&plain), vec![0; zeros]].concat();
        assert_eq!(read(&padded).unwrap(), whole, "{zeros} zeros");
    }
    for cut in [5, 16, 900] {
        let (first, rest) = plain.split_at(cut);
        let members = [gzip(first), gzip(&[]), gzip(rest), vec![0; 3]].concat();
        assert_eq!(read(&members).unwrap(), whole, "cut at {cut}");
    }
    for rest in [&b"\0\0rest"[..], b"rest of a file", &[0x1f, 0x8b, 8]] {
        let (found, message) = problem(&[&gzip(&plain), rest].concat());
        let noticed = matches!(found, Problem::Corrupt(_) | Problem::CutShort);
        assert!(noticed, "{message}");
    }
}

#[test]
fn more_than_fits_into_memory_is_refused() {
    let header = gzip(&idx(IMAGES_MAGIC, u32::MAX, 28, 28, &[]));
    let blank = gzip(&vec![0; 10_000 * PIXELS]);
    let file = [header, blank.repeat(101)].concat();
    assert!(file.len() < 1 << 20, "{} bytes", file.len());
    let (found, message) = problem(&file);
    assert!(
        matches!(found, Problem::TooManyImages { count: u32::MAX }),
        "{message}"
    );

    let folder = TempDir::new().unwrap();
    let path = folder.path().join(TRAIN);
    let sparse = fs::File::create(&path).unwrap();
    sparse.set_len(1 << 31).unwrap();
    let error = BinaryImages::read(&path).unwrap_err();
    assert!(error.to_string().contains("2147483648 bytes"), "{error}");
}

#[test]
fn grey_images_are_refused_with_advice() {
    let mut pixels = three();
    pixels[2 * PIXELS + 3 * COLUMNS + 5] = 253;
    let (found, message) = problem(&gzip(&images(&pixels)));
    assert!(
        matches!(
            found,
            Problem::NotBinary {
                image: 2,
                row: 3,
                column: 5,
                value: 253
            }
        ),
        "{message}"
    );
    assert!(message.contains("binarize"), "{message}");
}

#[test]
fn the_full_data_sets_load_where_they_are_at_hand() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let mnist = data.join("mnist_fixed_binarized");
    if !mnist.is_dir() {
        eprintln!("skipped: {} is not there", mnist.display());
        return;
    }
    let set = Dataset::load(&mnist).unwrap();
    assert_eq!(set.train.count(), 50_000);
    assert_eq!(
        (set.validation.count(), set.test.unwrap().count()),
        (10_000, 10_000)
    );

    let error = BinaryImages::read(&data.join("mnist").join(TRAIN)).unwrap_err();
    assert!(matches!(
        error,
        DataError::File {
            problem: Problem::NotBinary { .. },
            ..
        }
    ));
}

/// Where grey levels are wanted, the bytes of the file are what comes back.
#[test]
fn grey_levels_are_read_as_they_are() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(TRAIN);
    let levels: Vec<u8> = (0..PIXELS).map(|at| (at % 256) as u8).collect();
    fs::write(&path, gzip(&images(&levels))).unwrap();
    assert_eq!(read_levels(&path).unwrap(), levels);
    let error = BinaryImages::read(&path).unwrap_err();
    assert!(error.to_string().contains("must be 0"), "{error}");
    let error = read_levels(&folder.path().join(TEST)).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

//! The labels of the digits that come with the programs, and what is said about files that hold none.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

#[path = "../examples/support/data.rs"]
#[allow(
    dead_code,
    reason = "shared with the programs that learn from the images"
)]
mod data;
#[path = "../examples/support/labels.rs"]
mod labels;

use data::{BinaryImages, Dataset, PIXELS};
use labels::{decode_labels, read_labels, write_labels};

const TRAIN: &[u8] = include_bytes!("../examples/data/mnist_small/train-labels-idx1-ubyte.gz");
const VALIDATION: &[u8] = include_bytes!("../examples/data/mnist_small/valid-labels-idx1-ubyte.gz");

/// The mean image of each digit.
fn means(images: &BinaryImages, labels: &[u8]) -> Vec<Vec<f32>> {
    let of = |digit: u8| {
        let members = (0..images.count()).filter(|&i| labels[i] == digit);
        let (mut sum, mut count) = (vec![0.0; PIXELS], 0.0);
        for index in members {
            count += 1.0;
            let pairs = sum.iter_mut().zip(images.image(index));
            pairs.for_each(|(sum, &ink)| *sum += f32::from(ink));
        }
        sum.iter().map(|sum| sum / count).collect()
    };
    (0..10).map(of).collect()
}

/// The nearest mean image tells some four digits of five, on grey and on binary MNIST; labels in another order would
/// leave one in ten.
#[test]
fn the_kept_labels_belong_to_the_kept_digits() {
    let set = Dataset::embedded().unwrap();
    let known = decode_labels("train", TRAIN).unwrap();
    let asked = decode_labels("validation", VALIDATION).unwrap();
    assert_eq!((known.len(), asked.len()), (8000, 1000));
    let means = means(&set.train, &known);
    let nearest = |image: &[u8]| {
        let distance = |mean: &Vec<f32>| -> f32 {
            let pairs = mean.iter().zip(image);
            pairs.map(|(m, &x)| (m - f32::from(x)).powi(2)).sum()
        };
        let all = means.iter().map(distance).enumerate();
        all.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
    };
    let right = (0..1000).filter(|&i| nearest(set.validation.image(i)) == usize::from(asked[i]));
    let right = right.count();
    assert!((760..900).contains(&right), "{right} of 1000");
}

#[test]
fn written_labels_are_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("labels.gz");
    write_labels(&path, &[3, 0, 9]).unwrap();
    assert_eq!(read_labels(&path).unwrap(), [3, 0, 9]);
    let missing = read_labels(&folder.path().join("none.gz")).unwrap_err();
    assert!(
        missing.to_string().contains("none.gz: cannot be read"),
        "{missing}"
    );
}

#[test]
fn files_without_labels_are_told_apart() {
    let said = |words: &[u32], rest: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        words
            .iter()
            .for_each(|word| gzip.write_all(&word.to_be_bytes()).unwrap());
        gzip.write_all(rest).unwrap();
        decode_labels("it", &gzip.finish().unwrap())
            .unwrap_err()
            .to_string()
    };
    for (words, rest, expected) in [
        (&[2049][..], &[][..], "ends inside its header"),
        (&[2051, 1], &[0], "magic number is 2051"),
        (&[2049, 3], &[0, 1], "announces 3 labels, and 2 follow"),
        (&[2049, 1], &[0, 1], "announces 1 labels, and 2 follow"),
        (&[2049, 2], &[0, 10], "10 is not a digit"),
    ] {
        let error = said(words, rest);
        assert!(error.contains(expected), "{error}");
    }
    let error = decode_labels("it", b"no gzip").unwrap_err().to_string();
    assert!(error.starts_with("it: cannot be read"), "{error}");
}

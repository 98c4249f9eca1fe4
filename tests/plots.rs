//! The pictures that the example programs write.

use std::fs;

use tempfile::TempDir;

#[path = "../examples/support/data.rs"]
#[allow(dead_code, reason = "the loader has a test of its own")]
mod data;
#[path = "../examples/discrete_vae/pictures.rs"]
mod pictures;
#[path = "../examples/support/plot.rs"]
mod plot;

use data::{COLUMNS, Dataset, PIXELS, ROWS};
use pictures::{ACROSS, Pictures, SAMPLES};
use plot::{Chart, PlotError, Scale, Series, save_charts};

fn series(name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Series {
    Series {
        name: name.to_owned(),
        points: points.into_iter().collect(),
    }
}

fn chart(title: &str, y_scale: Scale, series: Vec<Series>) -> Chart {
    Chart {
        title: title.to_owned(),
        x_label: "step".to_owned(),
        y_label: "value".to_owned(),
        y_scale,
        series,
    }
}

/// The SVG text of charts, which must be whole.
fn svg(charts: &[Chart]) -> String {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new/folder/chart.svg");
    save_charts(&path, charts).unwrap();
    let svg = fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    svg
}

#[test]
fn charts_name_their_lines() {
    let rise = (0..50).map(|x| (f64::from(x), f64::from(x).sqrt()));
    let fall = (0..50).map(|x| (f64::from(x), (-f64::from(x)).exp()));
    let svg = svg(&[
        chart("Above", Scale::Linear, vec![series("rise <fast>", rise)]),
        chart(
            "Below",
            Scale::Log,
            vec![series("fall", fall.clone()), series("again", fall)],
        ),
    ]);
    for text in [
        "Above",
        "Below",
        "rise &lt;fast&gt;",
        "fall",
        "again",
        "step",
        "1e-20",
    ] {
        assert!(svg.contains(text), "{text} is missing");
    }
}

#[test]
fn charts_leave_out_what_cannot_be_drawn() {
    let strange = [
        (0.0, 1.0),
        (1.0, f64::NAN),
        (2.0, f64::INFINITY),
        (3.0, -1.0),
        (4.0, 0.0),
        (f64::NAN, 1.0),
    ];
    for scale in [Scale::Linear, Scale::Log] {
        svg(&[chart("strange", scale, vec![series("line", strange)])]);
        svg(&[chart("nothing", scale, vec![series("line", [])])]);
        svg(&[chart(
            "flat",
            scale,
            vec![series("line", [(0.0, 1e9), (1.0, 1e9)])],
        )]);
        svg(&[chart("no lines", scale, Vec::new())]);
    }
    svg(&[]);
}

#[test]
fn long_lines_are_thinned() {
    let long = (0..100_000).map(|x| (f64::from(x), f64::from(x % 7)));
    assert!(svg(&[chart("long", Scale::Linear, vec![series("line", long)])]).len() < 50_000);
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let folder = TempDir::new().unwrap();
    let error = save_charts(folder.path(), &[]).unwrap_err();
    assert!(matches!(error, PlotError::Write { .. }));
    assert!(
        error
            .to_string()
            .contains(&folder.path().display().to_string()),
        "{error}"
    );
}

/// The images with every pixel replaced by the mean of its neighbourhood: grey nearly everywhere
/// near ink, as reconstructions are.
fn blurred(images: &[f32]) -> Vec<f32> {
    let mean = |image: &[f32], row: usize, column: usize| {
        let rows = row.saturating_sub(1)..(row + 2).min(ROWS);
        let near = |r: usize| {
            image[r * COLUMNS..][column.saturating_sub(1)..(column + 2).min(COLUMNS)].iter()
        };
        rows.flat_map(near).sum::<f32>() / 9.0
    };
    images
        .chunks_exact(PIXELS)
        .flat_map(|image| (0..PIXELS).map(move |at| mean(image, at / COLUMNS, at % COLUMNS)))
        .collect()
}

#[test]
fn pictures_of_digits_fit_in_a_small_file() {
    let set = Dataset::embedded().unwrap();
    let originals = set.validation.batch(&Vec::from_iter(0..ACROSS));
    let samples = blurred(&set.train.batch(&Vec::from_iter(0..SAMPLES + 5)));
    let bound = (1..2000).map(|step| (f64::from(step), -90.0 - 400.0 / f64::from(step).sqrt()));
    let variance = bound.clone().map(|(step, _)| (step, 10.0 / step));
    let curves = [
        chart("Bound", Scale::Linear, vec![series("train", bound)]),
        chart(
            "Variance of the gradient",
            Scale::Log,
            vec![series("encoder", variance)],
        ),
    ];
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pictures.svg");
    let save = |samples: &[f32], curves: &[Chart]| {
        let reconstructions = &blurred(&originals);
        Pictures {
            originals: &originals,
            reconstructions,
            samples,
            curves,
        }
        .save(&path)
        .unwrap();
        fs::read_to_string(&path).unwrap()
    };

    let full = save(&samples, &curves);
    assert!(full.len() < 2_000_000, "{} bytes", full.len());
    for text in [
        "reconstructions",
        "Samples",
        "Bound",
        "Variance of the gradient",
    ] {
        assert!(full.contains(text), "{text} is missing");
    }
    assert_eq!(
        full,
        save(&samples[..SAMPLES * PIXELS], &curves),
        "only the first samples count"
    );
    assert!(save(&[], &[]).len() < full.len() / 2);
}

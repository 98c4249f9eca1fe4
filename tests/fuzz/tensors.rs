//! Random programs of tensor operations on random shapes, including empty and single axes, and on numbers of all kinds.
//! See `README.md` beside this file.

mod tensor_programs;

use std::panic::{AssertUnwindSafe, catch_unwind};

use relax_runtime::{Error, Result, Tensor, grad};
use tensor_programs::Source;

/// Cases of each test, where `RELAX_FUZZ_CASES` does not say otherwise.
const CASES: u64 = 400;

fn cases() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("RELAX_FUZZ_SEED").unwrap_or(0);
    first..first + number("RELAX_FUZZ_CASES").unwrap_or(CASES)
}

/// Runs a case for each seed, and says which one failed.
fn fuzz(what: &str, case: impl Fn(u64) -> Result<()>) {
    for seed in cases() {
        let failure = match catch_unwind(AssertUnwindSafe(|| case(seed))) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a panic, shown above".into(),
        };
        panic!("{what}, RELAX_FUZZ_SEED={seed} RELAX_FUZZ_CASES=1: {failure}");
    }
}

fn leaves(inputs: &[Tensor]) -> Vec<Tensor> {
    inputs.iter().map(Tensor::leaf).collect()
}

fn wrong(problem: String) -> Error {
    Error::Model(problem)
}

/// Nothing panics, whatever the shapes and numbers are; results have as many numbers as their shape
/// says, and derivatives the shapes of what they are taken by.
#[test]
fn no_program_panics() {
    fuzz("a wild program", |seed| {
        let mut source = Source::new(seed, false);
        let program = source.program();
        let inputs = leaves(&program.inputs);
        let along: Vec<Tensor> = inputs
            .iter()
            .map(|x| source.tensor(x.shape()).leaf())
            .collect();
        let moving: Vec<Tensor> = (inputs.iter().zip(&along))
            .map(|(x, t)| x.with_tangent(t))
            .collect();
        let results = program.run(&moving);
        for (i, result) in results.iter().enumerate() {
            let _ = format!("{result} {result:?}");
            let Ok(values) = result.to_vec() else {
                continue;
            };
            if values.len() != result.shape().numel() {
                return Err(wrong(format!("result {i} of {}", program.text())));
            }
        }
        let Some(last) = results.iter().rev().find(|x| x.check().is_ok()) else {
            return Ok(());
        };
        let wrt: Vec<&Tensor> = inputs.iter().collect();
        let both: Vec<&Tensor> = inputs.iter().chain(&along).collect();
        let tangent = last.tangent();
        if let Some(tangent) = tangent.filter(|t| t.check().is_ok()) {
            for (by, of) in grad(&[(&tangent, None)], &both)?.iter().zip(&both) {
                if by.shape() != of.shape() {
                    return Err(wrong(format!("a tangent's gradient of {}", program.text())));
                }
            }
        }
        // The tangent has used up a part of the graph.
        let results = program.run(&inputs);
        if let Some(last) = results.iter().rev().find(|x| x.check().is_ok()) {
            for (by, of) in grad(&[(last, None)], &wrt)?.iter().zip(&wrt) {
                if by.shape() != of.shape() {
                    return Err(wrong(format!("a gradient of {}", program.text())));
                }
            }
        }
        Ok(())
    });
}

/// ⟨a, b⟩, and the size of its terms.
fn dot(a: &[Tensor], b: &[Tensor]) -> Result<(f64, f64)> {
    let (mut sum, mut size) = (0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        for (a, b) in a.to_vec()?.into_iter().zip(b.to_vec()?) {
            let term = f64::from(a) * f64::from(b);
            sum += term;
            size += term.abs();
        }
    }
    Ok((sum, size))
}

/// The slope at 0 by differences of fourth order, and how far it may be off: several times what half
/// the step changes. f32 tells the steps apart.
fn difference(f: impl Fn(f32) -> Result<f64>) -> Result<(f64, f64)> {
    let slope = |step: f32| {
        let near = f(step)? - f(-step)?;
        let far = f(2.0 * step)? - f(-2.0 * step)?;
        Ok::<_, Error>((8.0 * near - far) / (12.0 * f64::from(step)))
    };
    let (coarse, fine) = (slope(0.04)?, slope(0.02)?);
    Ok((fine, 2.0 * (coarse - fine).abs()))
}

/// Forward and reverse derivatives are the same number, and that of central differences; the
/// gradient of a tangent is how the gradient changes.
#[test]
fn derivatives_agree() {
    fuzz("a smooth program", |seed| {
        let mut source = Source::new(seed, true);
        let program = source.program();
        let along: Vec<Tensor> = (program.inputs.iter())
            .map(|x| source.tensor(x.shape()))
            .collect();
        let last = |inputs: &[Tensor]| program.run(inputs).pop().unwrap_or(Tensor::scalar(0.0));
        let weight = {
            let shape = last(&program.inputs).shape();
            source.tensor(shape)
        };
        // The derivatives at a point: of ⟨w, y⟩ by the inputs, along the direction, and of the latter
        // by the inputs.
        let derivatives = |inputs: &[Tensor]| {
            let x = leaves(inputs);
            let wrt: Vec<&Tensor> = x.iter().collect();
            let gradient = grad(&[(&last(&x), Some(&weight))], &wrt)?;
            let moving: Vec<Tensor> = (x.iter().zip(&along))
                .map(|(x, t)| x.with_tangent(t))
                .collect();
            let y = last(&moving);
            let tangent = y.tangent().unwrap_or_else(|| y.zeros_like());
            let forward = dot(
                std::slice::from_ref(&tangent),
                std::slice::from_ref(&weight),
            )?;
            let bend = grad(&[(&tangent, Some(&weight))], &wrt)?;
            Ok::<_, Error>((gradient, forward, bend))
        };
        let shifted = |by: f32| -> Vec<Tensor> {
            (program.inputs.iter().zip(&along))
                .map(|(x, t)| x + t * by)
                .collect()
        };
        let (gradient, (forward, terms), bend) = derivatives(&program.inputs)?;
        let (reverse, scale) = dot(&gradient, &along)?;
        // A mean over an empty axis is no number.
        let scale = scale + terms;
        if !scale.is_finite() || scale > 1e6 {
            return Ok(());
        }
        let agree = |what: &str, a: f64, b: f64, tolerance: f64| match (a - b).abs() <= tolerance {
            true => Ok(()),
            false => Err(wrong(format!("{what}: {a} and {b}; {}", program.text()))),
        };
        agree("forward and reverse", forward, reverse, 2e-5 * scale + 1e-6)?;
        let value = |by: f32| dot(&[last(&shifted(by))], std::slice::from_ref(&weight));
        let size = scale.max(value(0.0)?.1);
        let (found, left) = difference(|by| Ok(value(by)?.0))?;
        agree(
            "reverse and differences",
            reverse,
            found,
            left + 1e-3 * size + 1e-5,
        )?;
        let (bent, terms) = dot(&bend, &along)?;
        let (found, left) = difference(|by| {
            let (gradient, ..) = derivatives(&shifted(by))?;
            Ok(dot(&gradient, &along)?.0)
        })?;
        let size = scale.max(terms);
        agree(
            "a tangent's gradient and differences",
            bent,
            found,
            left + 1e-3 * size + 1e-4,
        )
    });
}

//! Every operation's reverse, forward and reverse-over-forward derivative against central
//! differences, on random shapes and at points away from kinks.

use proptest::prelude::*;
use relax_runtime::tensor::grad;
use relax_runtime::{Device, Result, Shape, Tensor};

#[path = "../support/table.rs"]
mod table;

use table::{Case, spread, table};

fn tensor(values: &[f64], shape: Shape) -> Result<Tensor> {
    Tensor::from_vec(
        values.iter().map(|&x| x as f32).collect(),
        shape,
        &Device::cpu(),
    )
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&x, &y)| f64::from(x) * f64::from(y))
        .sum()
}

fn assert_close(name: &str, what: &str, got: &[f32], want: &[f64], scale: f64) {
    assert_eq!(got.len(), want.len(), "{name}: {what}");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let tolerance = 2e-2 * (scale + w.abs());
        assert!(
            (f64::from(g) - w).abs() <= tolerance,
            "{name}: {what}[{i}] is {g}, central differences say {w}"
        );
    }
}

/// Operands at `point + step * direction`.
fn moved(
    case: &Case,
    point: &[Vec<f32>],
    directions: &[Vec<f32>],
    step: f64,
) -> Result<Vec<Tensor>> {
    (case.shapes.iter().zip(point).zip(directions))
        .map(|((&shape, x), d)| {
            let values: Vec<f64> = x
                .iter()
                .zip(d)
                .map(|(&x, &d)| f64::from(x) + step * f64::from(d))
                .collect();
            tensor(&values, shape)
        })
        .collect()
}

/// Directional derivative ⟨weights, f'(x) d⟩ carried by forward mode, and its gradient at x.
fn check(case: &Case, salt: u64) -> Result<()> {
    let name = case.name;
    let point: Vec<Vec<f32>> = (case.shapes.iter().enumerate())
        .map(|(i, shape)| spread(shape.numel(), case.range, salt + i as u64))
        .collect();
    let directions: Vec<Vec<f32>> = (case.shapes.iter().enumerate())
        .map(|(i, shape)| spread(shape.numel(), (-1.0, 1.0), salt + 100 + i as u64))
        .collect();
    let constants = moved(case, &point, &directions, 0.0)?;
    let out = (case.f)(&constants);
    let weights = spread(out.check()?.len(), (-1.0, 1.5), salt + 200);
    let cotangent = Tensor::from_vec(weights.clone(), out.shape(), &Device::cpu())?;
    let h = 1e-2;

    // Reverse: ∂⟨w, f⟩/∂x_ij along each coordinate, or a few of them.
    let leaves: Vec<Tensor> = constants.iter().map(Tensor::leaf).collect();
    let refs: Vec<&Tensor> = leaves.iter().collect();
    let out = (case.f)(&leaves);
    let gradients = grad(&[(&out, Some(&cotangent))], &refs)?;
    let value = |operands: &[Tensor]| Ok(dot(&(case.f)(operands).to_vec()?, &weights));
    let along = |directions: &[Vec<f32>]| -> Result<f64> {
        let ahead = value(&moved(case, &point, directions, h)?)?;
        let behind = value(&moved(case, &point, directions, -h)?)?;
        Ok((ahead - behind) / (2.0 * h))
    };
    for (which, gradient) in gradients.iter().enumerate() {
        assert_eq!(gradient.shape(), case.shapes[which], "{name}");
        let gradient = gradient.to_vec()?;
        let scale = 1.0
            + weights
                .iter()
                .map(|w| f64::from(w.abs()))
                .fold(0.0, f64::max);
        for i in 0..gradient.len() {
            let mut unit: Vec<Vec<f32>> =
                case.shapes.iter().map(|s| vec![0.0; s.numel()]).collect();
            unit[which][i] = 1.0;
            assert_close(name, "reverse", &gradient[i..=i], &[along(&unit)?], scale);
        }
    }

    // Forward: the whole tangent against differences of the output.
    let with_tangents = |operands: &[Tensor]| -> Result<Vec<Tensor>> {
        (operands.iter().zip(&directions))
            .map(|(x, d)| Ok(x.with_tangent(&Tensor::from_vec(d.clone(), x.shape(), &x.device())?)))
            .collect()
    };
    let forward = |operands: &[Tensor]| -> Result<Tensor> {
        let out = (case.f)(&with_tangents(operands)?);
        out.check()?;
        Ok(out.tangent().unwrap_or_else(|| out.zeros_like()))
    };
    let ahead = (case.f)(&moved(case, &point, &directions, h)?).to_vec()?;
    let behind = (case.f)(&moved(case, &point, &directions, -h)?).to_vec()?;
    let differences: Vec<f64> = (ahead.iter().zip(&behind))
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)) / (2.0 * h))
        .collect();
    assert_close(
        name,
        "forward",
        &forward(&constants)?.to_vec()?,
        &differences,
        1.0,
    );

    // Reverse over forward: the gradient of ⟨w, f'(x) d⟩ along another direction.
    let leaves: Vec<Tensor> = constants.iter().map(Tensor::leaf).collect();
    let tangent = forward(&leaves)?;
    let refs: Vec<&Tensor> = leaves.iter().collect();
    let mixed = grad(&[(&tangent, Some(&cotangent))], &refs)?;
    let probe: Vec<Vec<f32>> = (case.shapes.iter().enumerate())
        .map(|(i, shape)| spread(shape.numel(), (-1.0, 1.0), salt + 300 + i as u64))
        .collect();
    let mut got = 0.0;
    for (gradient, probe) in mixed.iter().zip(&probe) {
        got += dot(&gradient.to_vec()?, probe);
    }
    let tangent_at = |step: f64| -> Result<f64> {
        Ok(dot(
            &forward(&moved(case, &point, &probe, step)?)?.to_vec()?,
            &weights,
        ))
    };
    let want = (tangent_at(h)? - tangent_at(-h)?) / (2.0 * h);
    assert_close(
        name,
        "reverse over forward",
        &[got as f32],
        &[want],
        1.0 + dot(&weights, &weights),
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn derivatives_agree_with_central_differences(
        a in 1usize..4, b in 2usize..5, c in 1usize..4, salt in 0u64..1_000,
    ) {
        for case in table(a, b, c) {
            check(&case, salt).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        }
    }
}

/// Where a number is clamped, its derivative is 0, whatever the result's is.
#[test]
fn a_clamped_number_passes_nothing_on() -> Result<()> {
    let x = Tensor::from_slice(&[-1.0, 0.5, 2.0]).leaf();
    let infinite = Tensor::from_slice(&[f32::INFINITY, 3.0, f32::NEG_INFINITY]);
    let slopes = grad(&[(&x.clamp(1e-30, 1.0), Some(&infinite))], &[&x])?;
    assert_eq!(slopes[0].to_vec()?, [0.0, 3.0, 0.0]);
    let moved = x.detach().with_tangent(&infinite).clamp(1e-30, 1.0);
    let moved = moved.tangent().expect("a tangent");
    assert_eq!(moved.to_vec()?, [0.0, 3.0, 0.0]);
    Ok(())
}

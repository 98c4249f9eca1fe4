//! Constraints of parameters: there and back, Jacobians, and what is refused.

use relax_runtime::dist::Constraint;
use relax_runtime::{Device, Result, Tensor, grad};

fn tensor<const N: usize>(values: [f32; N]) -> Tensor {
    Tensor::from_slice(&values)
}

fn cases() -> Result<Vec<(Constraint, Tensor)>> {
    let matrix = vec![1.5, 0.0, 0.0, -0.4, 0.2, 0.0, 2.0, 0.3, 3.0];
    Ok(vec![
        (Constraint::Positive, tensor([0.1, 1.0, 30.0])),
        (Constraint::Unit, tensor([0.01, 0.5, 0.99])),
        (Constraint::Interval(-2.0, 5.0), tensor([-1.9, 0.0, 4.5])),
        (Constraint::Simplex, tensor([0.2, 0.3, 0.5])),
        (Constraint::Ordered, tensor([-1.0, 0.5, 0.6, 4.0])),
        (Constraint::PositiveOrdered, tensor([0.1, 0.5, 0.6, 4.0])),
        (
            Constraint::LowerCholesky,
            Tensor::from_vec(matrix, [3, 3], &Device::cpu())?,
        ),
    ])
}

#[test]
fn values_come_back() -> Result<()> {
    for (constraint, value) in cases()? {
        let back = constraint.value(&constraint.free(&value)?);
        assert_eq!(back.shape(), value.shape());
        for (found, wanted) in back.to_vec()?.iter().zip(value.to_vec()?) {
            let error = (found - wanted).abs();
            assert!(
                error < 1e-5 * (1.0 + wanted.abs()),
                "{constraint:?}: {found} {wanted}"
            );
        }
    }
    Ok(())
}

/// The determinant by elimination.
fn ln_determinant(mut matrix: Vec<Vec<f64>>) -> f64 {
    let (n, mut sum) = (matrix.len(), 0.0);
    for k in 0..n {
        let best = (k..n).max_by(|&i, &j| matrix[i][k].abs().total_cmp(&matrix[j][k].abs()));
        matrix.swap(k, best.unwrap());
        sum += matrix[k][k].abs().ln();
        let pivot = matrix[k].clone();
        for row in &mut matrix[k + 1..] {
            let factor = row[k] / pivot[k];
            let both = row.iter_mut().zip(&pivot);
            both.for_each(|(x, p)| *x -= factor * p);
        }
    }
    sum
}

/// That of what the constraint leaves free: all but the last share, and what lies below a diagonal.
#[test]
fn jacobians_are_those_of_all_derivatives() -> Result<()> {
    for (constraint, value) in cases()? {
        let free = constraint.free(&value)?.leaf();
        let out = constraint.value(&free);
        let triangle = matches!(constraint, Constraint::LowerCholesky);
        let counts = |i: &usize| !triangle || i % 3 <= i / 3;
        let numbers: Vec<usize> = (0..free.len()).filter(counts).collect();
        let mut rows = Vec::new();
        for &i in &numbers {
            let mut seed = vec![0.0; out.len()];
            seed[i] = 1.0;
            let seed = Tensor::from_vec(seed, out.shape(), &Device::cpu())?;
            let again = constraint.value(&free);
            let slopes = grad(&[(&again, Some(&seed))], &[&free])?[0].to_vec()?;
            rows.push(numbers.iter().map(|&j| f64::from(slopes[j])).collect());
        }
        let found = f64::from(constraint.log_jacobian(&free).sum_all().item()?);
        let wanted = ln_determinant(rows);
        assert!(
            (found - wanted).abs() < 1e-4 * (1.0 + wanted.abs()),
            "{constraint:?}: {found} {wanted}"
        );
    }
    Ok(())
}

#[test]
fn far_numbers_stay_in_the_set() -> Result<()> {
    for (constraint, value) in cases()? {
        let free = constraint.free(&value)?;
        for far in [-300.0, 300.0] {
            let out = constraint.value(&free.full_like(far));
            assert!(
                out.to_vec()?.iter().all(|x| x.is_finite()),
                "{constraint:?}"
            );
            if matches!(
                constraint,
                Constraint::Positive | Constraint::Unit | Constraint::Simplex
            ) {
                constraint.check(&out)?;
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_not_in_the_set_is_refused() -> Result<()> {
    let square = |values: [f32; 4]| Tensor::from_vec(values.to_vec(), [2, 2], &Device::cpu());
    for (constraint, value, part) in [
        (Constraint::Positive, tensor([1.0, 0.0]), "holds 0"),
        (Constraint::Positive, tensor([f32::NAN]), "NaN"),
        (Constraint::Unit, tensor([1.0]), "between 0 and 1"),
        (
            Constraint::Interval(0.0, 2.0),
            tensor([2.5]),
            "between 0 and 2",
        ),
        (
            Constraint::Interval(2.0, 0.0),
            tensor([1.0]),
            "the lower first",
        ),
        (Constraint::Simplex, tensor([0.5, 0.6]), "sum"),
        (Constraint::Simplex, Tensor::scalar(1.0), "vectors"),
        (Constraint::Ordered, tensor([1.0, 1.0]), "increas"),
        (Constraint::PositiveOrdered, tensor([-1.0, 1.0]), "above 0"),
        (Constraint::LowerCholesky, tensor([1.0]), "triangular"),
        (
            Constraint::LowerCholesky,
            square([1.0, 0.5, 0.0, 1.0])?,
            "triangular",
        ),
        (
            Constraint::LowerCholesky,
            square([1.0, 0.0, 0.0, -1.0])?,
            "diagonal",
        ),
    ] {
        let error = constraint.free(&value).unwrap_err().to_string();
        assert!(
            error.contains(part),
            "{constraint:?}: {error} has no {part}"
        );
    }
    Ok(())
}

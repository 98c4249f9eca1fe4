//! Operands that are empty, too large for any memory, or not numbers.

use relax_runtime::{Device, Error, Key, Result, Shape, Tensor, grad};

fn zeros(shape: impl Into<Shape>) -> Tensor {
    Tensor::zeros(shape, &Device::cpu())
}

#[test]
fn a_softmax_beside_an_empty_axis_is_empty() -> Result<()> {
    for (axis, kept) in [(0, [0].as_slice()), (-2, &[0])] {
        let x = zeros([3, 0]).leaf();
        assert_eq!(x.logsumexp(axis).check()?.shape()[..], *kept);
        assert_eq!(x.softmax(axis).check()?.shape()[..], [3, 0]);
        let y = x.log_softmax(axis);
        assert_eq!(y.check()?.shape()[..], [3, 0]);
        assert_eq!(grad(&[(&y, None)], &[&x])?[0].shape()[..], [3, 0]);
    }
    Ok(())
}

/// Shapes whose number of elements does not fit a `usize`, also where it would come out small.
#[test]
fn arrays_beyond_all_memory_are_errors() {
    const HALF: usize = 1 << 40;
    let cpu = Device::cpu();
    // 2⁶⁴ + 1 elements.
    let one = Tensor::from_vec(vec![1.0], [274_177, 67_280_421_310_721], &cpu);
    assert!(matches!(one, Err(Error::Shape { .. })));
    assert!(Tensor::from_vec(vec![], [HALF, HALF, 0], &cpu).is_err());
    assert_eq!(Shape::from([usize::MAX, 2]).numel(), usize::MAX);
    let stream = || Key::new(1).stream("huge");
    assert!(stream().uniforms([HALF, HALF], &cpu).is_err());
    assert!(stream().normals([HALF, HALF], &cpu).is_err());
    let none = zeros([0]);
    for (op, tensor) in [
        ("full", zeros([usize::MAX / 2])),
        ("full", Tensor::ones([HALF, HALF], &cpu)),
        ("eye", Tensor::eye(HALF, &cpu)),
        ("one_hot", zeros([2]).one_hot(usize::MAX)),
        ("broadcast_to", zeros([1]).broadcast_to([HALF, HALF])),
        ("reshape", none.reshape([HALF, 0, HALF, HALF])),
        ("matmul", zeros([HALF, 0]).matmul(&zeros([0, HALF]))),
        ("full", zeros([1 << 44])),
        ("broadcast_to", zeros([1]).broadcast_to([1 << 22, 1 << 22])),
        ("add", zeros([1 << 22, 1]) + zeros([1 << 22])),
        ("matmul", zeros([1 << 22, 1]).matmul(&zeros([1, 1 << 22]))),
        (
            "linear",
            zeros([1 << 22, 1]).linear(&zeros([1, 1 << 22]), &zeros([1 << 22])),
        ),
        ("one_hot", zeros([1 << 22]).one_hot(1 << 22)),
        ("gather", zeros([1 << 22, 1]).gather(1, &vec![0; 1 << 22])),
        ("sum", zeros([0, HALF]).sum(0)),
        ("unsqueeze", Tensor::stack(&[&none], 3)),
    ] {
        match tensor.check().unwrap_err() {
            Error::Shape {
                op: got, location, ..
            } => {
                assert_eq!(got, op);
                assert!(location.file().ends_with("tensor/edges.rs"), "{location}");
            }
            other => panic!("{other}"),
        }
    }
    let sum = zeros([HALF, 1, 0]) + zeros([HALF, 0]);
    assert!(sum.check().is_err());
}

#[test]
fn what_is_not_a_number_stays_so() -> Result<()> {
    let x = Tensor::from_slice(&[f32::NAN, 2.0, -1.0]);
    let zero = Tensor::scalar(0.0);
    for y in [
        x.relu(),
        x.leaky_relu(0.1),
        x.elu(1.0),
        x.clamp(-1.0, 1.0),
        x.abs(),
        x.maximum(&zero),
        zero.maximum(&x),
        x.minimum(&zero),
        zero.minimum(&x),
    ] {
        let y = y.to_vec()?;
        assert!(y[0].is_nan() && !y[1].is_nan() && !y[2].is_nan(), "{y:?}");
    }
    for at in 0..3 {
        let mut row = [3.0, 1.0, 2.0];
        row[at] = f32::NAN;
        let row = Tensor::from_slice(&row);
        assert!(row.max(0).item()?.is_nan() && row.max_all().item()?.is_nan());
        assert_eq!(row.argmax(0).to_index()?, at);
    }
    Ok(())
}

#[test]
fn the_smallest_exponent_has_a_derivative() -> Result<()> {
    let x = Tensor::from_slice(&[2.0]).leaf();
    let y = x.powi(i32::MIN);
    assert_eq!(grad(&[(&y, None)], &[&x])?[0].to_vec()?, [0.0]);
    Ok(())
}

/// Values are the same whether derivatives are asked for or not.
#[test]
fn tracked_systems_have_the_values_of_untracked_ones() -> Result<()> {
    let matrix = |values: [f32; 4]| Tensor::from_slice(&values).reshape([2, 2]);
    let infinite = f32::INFINITY;
    for (triangle, right) in [
        ([1.0, 0.0, 1.0, 1.0], [1.0, infinite, 2.0, 3.0]),
        ([1.0, 0.0, 1.0, 1.0], [1.0, 2.0, 2.0, -infinite]),
        // Inverses that overflow, of one element and between two.
        ([1e-39, 0.0, 0.0, 1.0], [0.0, 1e-39, 1.0, 2.0]),
        ([1e-20, 0.0, 1e20, 1.0], [0.0, 0.0, 1.0, 2.0]),
        ([1.0, 0.0, infinite, 1.0], [0.0, 1.0, 1.0, 2.0]),
    ] {
        let (triangle, right) = (matrix(triangle), matrix(right));
        for (name, plain, tracked) in [
            (
                "lower",
                triangle.solve_lower(&right),
                triangle.leaf().solve_lower(&right.leaf()),
            ),
            (
                "upper",
                triangle.transpose().solve_upper(&right),
                triangle.transpose().leaf().solve_upper(&right.leaf()),
            ),
        ] {
            let what = format!("{name} {triangle:?} {right:?}: {tracked:?}");
            for (plain, tracked) in plain.to_vec()?.into_iter().zip(tracked.to_vec()?) {
                assert!(
                    plain == tracked || plain.is_nan() && tracked.is_nan(),
                    "{what}"
                );
            }
        }
    }
    // Finite columns keep their derivatives beside others.
    let right = matrix([1.0, infinite, 2.0, 3.0]).leaf();
    let solved = matrix([2.0, 0.0, 1.0, 1.0]).solve_lower(&right);
    let slopes = grad(&[(&solved.index(0, 0).index(0, 0), None)], &[&right])?[0].to_vec()?;
    assert_eq!([slopes[0], slopes[2], slopes[3]], [0.5, 0.0, 0.0]);
    Ok(())
}

#[test]
fn offsets_of_triangles_may_be_any() -> Result<()> {
    let x = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0]).reshape([2, 2]);
    let none = [0.0; 4];
    assert_eq!(x.tril(isize::MAX).to_vec()?, x.to_vec()?);
    assert_eq!(x.triu(isize::MAX).to_vec()?, none);
    assert_eq!(x.tril(isize::MIN).to_vec()?, none);
    assert_eq!(x.triu(isize::MIN).to_vec()?, x.to_vec()?);
    Ok(())
}

/// Errors of what needs elements, or more of them, name what was asked for.
#[test]
fn axes_that_are_too_short_are_errors() {
    let one = Tensor::from_slice(&[1.0]);
    let none = zeros([0]);
    for (op, tensor, words) in [
        ("var", one.var(0, 1), "`ddof`"),
        ("var", one.var(0, 2), "`ddof`"),
        ("var", none.var(0, 0), "`ddof`"),
        ("std", one.std(0, usize::MAX), "`ddof`"),
        ("min", none.min(0), "non-empty"),
        ("max", none.max(0), "non-empty"),
        ("argmin", none.argmin(0), "non-empty"),
        ("argmax", none.argmax(0), "non-empty"),
        ("argmin", one.argmin(1), ""),
    ] {
        let error = tensor.check().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        match error {
            Error::Shape {
                op: got, location, ..
            } => {
                assert_eq!(got.to_string(), op);
                assert!(
                    location.file().ends_with("tensor/edges.rs"),
                    "{op}: {location}"
                );
            }
            other => panic!("{op}: {other}"),
        }
    }
}

//! Values, extremes, and errors of tensor operations.

use relax_runtime::{Device, Error, Result, Shape, Tensor, grad};

fn matrix(values: &[f32], rows: usize) -> Tensor {
    let shape = [rows, values.len() / rows];
    Tensor::from_vec(values.to_vec(), shape, &Device::cpu()).unwrap()
}

fn gradient(x: &[f32], f: impl Fn(&Tensor) -> Tensor) -> Result<Vec<f32>> {
    let x = Tensor::from_slice(x).leaf();
    grad(&[(&f(&x), None)], &[&x])?[0].to_vec()
}

/// Forward-mode derivative along ones.
fn slope(x: &[f32], f: impl Fn(&Tensor) -> Tensor) -> Result<Vec<f32>> {
    let x = Tensor::from_slice(x);
    f(&x.with_tangent(&x.ones_like()))
        .tangent()
        .unwrap()
        .to_vec()
}

#[test]
fn operations_compute_what_they_say() -> Result<()> {
    let m = matrix(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
    assert_eq!(m.transpose().to_vec()?, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    assert_eq!(m.sum(0).to_vec()?, [5.0, 7.0, 9.0]);
    assert_eq!(m.sum(-1).to_vec()?, [6.0, 15.0]);
    assert_eq!(m.mean(0).to_vec()?, [2.5, 3.5, 4.5]);
    assert_eq!(m.sum_keepdim(1).shape(), Shape::from([2, 1]));
    assert_eq!(m.mean_all().item()?, 3.5);
    assert_eq!(m.sum_from(1).to_vec()?, [6.0, 15.0]);
    assert_eq!(m.sum_from(2).to_vec()?, m.to_vec()?);
    assert_eq!(m.max(0).to_vec()?, [4.0, 5.0, 6.0]);
    assert_eq!(m.argmax(1).to_vec()?, [2.0, 2.0]);
    assert_eq!(m.slice(1, 1..3).to_vec()?, [2.0, 3.0, 5.0, 6.0]);
    assert_eq!(m.index(0, 1).to_vec()?, [4.0, 5.0, 6.0]);
    assert_eq!(m.gather(1, &[2, 0]).to_vec()?, [3.0, 1.0, 6.0, 4.0]);
    assert_eq!(m.rows_at(&[1]).to_vec()?, [4.0, 5.0, 6.0]);
    assert_eq!(
        m.pick(&Tensor::from_slice(&[0.0, 2.0])).to_vec()?,
        [1.0, 6.0]
    );
    assert_eq!(
        Tensor::from_slice(&[1.0, 0.0]).one_hot(2).to_vec()?,
        [0.0, 1.0, 1.0, 0.0]
    );
    assert_eq!(
        m.matmul(&Tensor::from_slice(&[1.0, 0.0, 2.0])).to_vec()?,
        [7.0, 16.0]
    );
    assert_eq!(m.matmul_nt(&m).to_vec()?, [14.0, 32.0, 32.0, 77.0]);
    assert_eq!(
        m.matmul(&Tensor::eye(3, &Device::cpu())).to_vec()?,
        m.to_vec()?
    );
    assert_eq!(Tensor::concat(&[&m, &m], 0).shape(), Shape::from([4, 3]));
    assert_eq!(
        Tensor::concat(&[&m, &m.sum_keepdim(1)], 1).to_vec()?,
        [1.0, 2.0, 3.0, 6.0, 4.0, 5.0, 6.0, 15.0]
    );
    assert_eq!(
        Tensor::stack(&[&m.sum(1), &m.max(1)], -1).to_vec()?,
        [6.0, 3.0, 15.0, 6.0]
    );
    assert_eq!((10.0 - &m / 2.0).index(0, 0).to_vec()?, [9.5, 9.0, 8.5]);
    assert_eq!((6.0 / &m - 1.0).index(0, 0).to_vec()?, [5.0, 2.0, 1.0]);
    assert_eq!(m.gt(3.0).to_vec()?, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    assert_eq!(m.ge(&m).sum_all().item()?, 6.0);
    assert_eq!(m.eq(2.0).sum_all().item()?, 1.0);
    assert_eq!((m.lt(2.0) + m.le(2.0)).sum_all().item()?, 3.0);
    assert_eq!(
        Tensor::from_slice(&[-2.0, 0.0, 5.0]).sign().to_vec()?,
        [-1.0, 0.0, 1.0]
    );
    assert_eq!(m.rows(), 2);
    assert_eq!(Tensor::from(2.0).rows(), 1);
    assert_eq!(
        m.reshape([3, 2])
            .unsqueeze(0)
            .squeeze(0)
            .shape()
            .to_string(),
        "[3, 2]"
    );
    assert_eq!(format!("{m}"), "[2, 3] [1, 2, 3, 4, 5, 6]");
    assert_eq!(Tensor::from_slice(&[3.0]).to_index()?, 3);
    assert!(!Tensor::scalar(0.5).to_bool()?);
    assert_eq!(m.to_device(&Device::cpu())?.to_vec()?, m.to_vec()?);
    Ok(())
}

#[test]
fn long_sums_keep_their_accuracy() -> Result<()> {
    let x = Tensor::full(1_000_000, 0.1, &Device::cpu());
    assert!((x.sum_all().item()? - 100_000.0).abs() < 0.1);
    Ok(())
}

#[test]
fn empty_tensors_are_allowed() -> Result<()> {
    let none = Tensor::zeros([0, 3], &Device::cpu());
    assert_eq!(none.sum(0).to_vec()?, [0.0; 3]);
    assert_eq!((none.exp() * 2.0 + &none).shape(), Shape::from([0, 3]));
    assert_eq!(
        none.matmul(&Tensor::ones([3, 2], &Device::cpu())).shape(),
        Shape::from([0, 2])
    );
    assert_eq!(
        Tensor::concat(&[&none, &Tensor::ones([1, 3], &Device::cpu())], 0).rows(),
        1
    );
    assert!(none.leaf().transpose().reshape([3, 0]).to_vec()?.is_empty());
    assert!(none.max(0).check().is_err() && none.logsumexp(0).check().is_err());
    Ok(())
}

#[test]
fn extreme_logits_stay_finite() -> Result<()> {
    let x = [-1e4, -100.0, 0.0, 100.0, 1e4];
    type F = fn(&Tensor) -> Tensor;
    let table: [(F, [f32; 5], [f32; 5]); 5] = [
        (
            Tensor::sigmoid,
            [0.0, 0.0, 0.5, 1.0, 1.0],
            [0.0, 0.0, 0.25, 0.0, 0.0],
        ),
        (
            Tensor::softplus,
            [0.0, 0.0, 2f32.ln(), 100.0, 1e4],
            [0.0, 0.0, 0.5, 1.0, 1.0],
        ),
        (
            Tensor::log_sigmoid,
            [-1e4, -100.0, -(2f32.ln()), 0.0, 0.0],
            [1.0, 1.0, 0.5, 0.0, 0.0],
        ),
        (
            Tensor::tanh,
            [-1.0, -1.0, 0.0, 1.0, 1.0],
            [0.0, 0.0, 1.0, 0.0, 0.0],
        ),
        (
            |x| x.elu(1.0),
            [-1.0, -1.0, 0.0, 100.0, 1e4],
            [0.0, 0.0, 1.0, 1.0, 1.0],
        ),
    ];
    for (i, (f, values, slopes)) in table.into_iter().enumerate() {
        let close = |got: Vec<f32>, want: [f32; 5], what: &str| {
            for (got, want) in got.into_iter().zip(want) {
                assert!(
                    (got - want).abs() <= 1e-6,
                    "row {i}, {what}: {got} is not {want}"
                );
            }
        };
        close(f(&Tensor::from_slice(&x)).to_vec()?, values, "value");
        close(gradient(&x, f)?, slopes, "reverse");
        close(slope(&x, f)?, slopes, "forward");
        // The second derivative is finite as well.
        let leaf = Tensor::from_slice(&x).leaf();
        let tangent = f(&leaf.with_tangent(&leaf.ones_like())).tangent().unwrap();
        let second = grad(&[(&tangent, None)], &[&leaf])?[0].to_vec()?;
        assert!(second.iter().all(|s| s.is_finite()), "row {i}: {second:?}");
    }
    let small = Tensor::from_slice(&[-30.0]).softplus().item()?;
    assert!((small / (-30f32).exp() - 1.0).abs() < 1e-5, "{small}");

    let far = [1e4, 0.0, -1e4];
    assert_eq!(
        Tensor::from_slice(&far).log_softmax(0).to_vec()?,
        [0.0, -1e4, -2e4]
    );
    assert_eq!(
        Tensor::from_slice(&far).softmax(0).to_vec()?,
        [1.0, 0.0, 0.0]
    );
    assert_eq!(Tensor::from_slice(&far).logsumexp(0).item()?, 1e4);
    assert_eq!(gradient(&far, |x| x.logsumexp(0))?, [1.0, 0.0, 0.0]);
    assert_eq!(slope(&far, |x| x.log_softmax(0))?, [0.0, 0.0, 0.0]);
    let nothing = [f32::NEG_INFINITY; 2];
    assert_eq!(
        Tensor::from_slice(&nothing).logsumexp(0).item()?,
        f32::NEG_INFINITY
    );
    let masked = [f32::NEG_INFINITY, 0.0];
    assert_eq!(Tensor::from_slice(&masked).softmax(0).to_vec()?, [0.0, 1.0]);
    assert_eq!(
        Tensor::from_slice(&[0.0, 0.5, 1.0]).logit().to_vec()?,
        [f32::NEG_INFINITY, 0.0, f32::INFINITY]
    );
    Ok(())
}

#[test]
fn derivatives_at_kinks_are_as_documented() -> Result<()> {
    assert_eq!(gradient(&[0.0], Tensor::relu)?, [0.0]);
    assert_eq!(gradient(&[0.0], Tensor::abs)?, [0.0]);
    assert_eq!(gradient(&[0.0], |x| x.leaky_relu(0.1))?, [0.1]);
    assert_eq!(gradient(&[0.0], |x| x.elu(0.3))?, [0.3]);
    assert_eq!(gradient(&[0.0, 1.0], |x| x.clamp(0.0, 1.0))?, [1.0, 1.0]);
    assert_eq!(slope(&[0.0, 1.0], |x| x.clamp(0.0, 1.0))?, [1.0, 1.0]);
    assert_eq!(
        gradient(&[2.0], |x| x.maximum(&Tensor::scalar(2.0)))?,
        [0.5]
    );
    assert_eq!(slope(&[2.0], |x| x.maximum(&Tensor::scalar(2.0)))?, [0.5]);
    assert_eq!(
        gradient(&[2.0], |x| x.minimum(&Tensor::scalar(2.0)))?,
        [0.5]
    );
    assert_eq!(gradient(&[3.0, 3.0], |x| x.max(0))?, [1.0, 0.0]);
    assert_eq!(
        gradient(&[0.0], |x| x.powi(1) + x.powi(0) + x.powi(2))?,
        [1.0]
    );
    assert_eq!(
        gradient(&[0.0], |x| x.gt(1.0).select_where(&(x + f32::INFINITY), x))?,
        [1.0]
    );
    Ok(())
}

/// A `Shape` error with this operation and these operands, at this line of this file.
#[track_caller]
fn assert_shape_error(tensor: &Tensor, op: &str, shapes: &[Shape], at: u32) {
    match tensor.check().unwrap_err() {
        Error::Shape {
            op: got,
            shapes: got_shapes,
            location,
            ..
        } => {
            assert_eq!((got, got_shapes.as_slice()), (op, shapes));
            assert!(location.file().ends_with("tensor/values.rs"), "{location}");
            assert_eq!(location.line(), at, "{op}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn wrong_shapes_are_errors_at_the_users_line() {
    let (m, v) = (matrix(&[0.0; 6], 2), Tensor::from_slice(&[0.0; 4]));
    let both = [m.shape(), v.shape()];
    #[rustfmt::skip]
    let table: [(Tensor, u32, &str, &[Shape]); 22] = [
        (&m + &v, line!(), "add", &both),
        (m.clone() - v.clone(), line!(), "sub", &both),
        (m.mul(&v), line!(), "mul", &both),
        (&m / v.clone(), line!(), "div", &both),
        (m.maximum(&v), line!(), "maximum", &both),
        (m.gt(&v), line!(), "gt", &both),
        (m.select_where(&v, &v), line!(), "select_where", &both),
        (m.matmul(&v), line!(), "matmul", &both),
        (m.linear(&v, &v), line!(), "linear", &both),
        (m.matmul_nt(&v), line!(), "matmul_nt", &both),
        (m.pick(&v), line!(), "pick", &both),
        (m.with_tangent(&v), line!(), "with_tangent", &both),
        (Tensor::concat(&[&m, &v], 0), line!(), "concat", &both),
        (Tensor::stack(&[&m, &v], 0), line!(), "stack", &both),
        (m.reshape([5]), line!(), "reshape", &both[..1]),
        (m.sum(2), line!(), "sum", &both[..1]),
        (m.softmax(-3), line!(), "softmax", &both[..1]),
        (m.slice(1, 2..4), line!(), "slice", &both[..1]),
        (m.index(0, 2), line!(), "index", &both[..1]),
        (m.gather(0, &[2]), line!(), "gather", &both[..1]),
        (m.broadcast_to([2, 4]), line!(), "broadcast_to", &both[..1]),
        (v.transpose(), line!(), "transpose", &both[1..]),
    ];
    for (tensor, line, op, shapes) in table {
        assert_shape_error(&tensor, op, shapes, line);
        // The first error passes through everything after it.
        let after = (tensor.exp().sum(7) + &m).matmul(&v).reshape(99).leaf();
        assert_shape_error(&after, op, shapes, line);
        assert!(after.to_vec().is_err() && after.item().is_err() && !after.is_tracked());
        assert_eq!(after.shape(), Shape::from(0));
    }
    let message = (&m + &v).check().unwrap_err().to_string();
    assert!(
        message.starts_with("add: needs shapes that broadcast"),
        "{message}"
    );
    assert!(
        message.contains("[2, 3] and [4]") && message.contains("tensor/values.rs"),
        "{message}"
    );
}

#[test]
fn wrong_reads_and_builds_are_errors() {
    let cpu = Device::cpu();
    assert!(Tensor::from_vec(vec![0.0; 5], [2, 3], &cpu).is_err());
    assert!(Tensor::from_slice(&[1.0, 2.0]).item().is_err());
    assert!(Tensor::scalar(-1.0).to_index().is_err());
    assert!(Tensor::scalar(f32::NAN).to_index().is_err());
    assert!(Tensor::from_slice(&[1.5]).one_hot(2).check().is_err());
    assert!(Tensor::from_slice(&[2.0]).one_hot(2).check().is_err());
    assert!(Shape::try_from(&[1usize, 2, 3, 4, 5][..]).is_err());
    assert!(Tensor::concat(&[], 0).check().is_err());
    assert!(
        Tensor::ones([1, 1, 1, 1], &cpu)
            .unsqueeze(0)
            .check()
            .is_err()
    );
    #[cfg(not(feature = "cuda"))]
    assert!(
        Device::cuda(0)
            .unwrap_err()
            .to_string()
            .contains("--features cuda")
    );
}

/// A row of impossible elements: a derivative of 0, by every rule.
#[test]
fn a_row_of_nothing_has_finite_derivatives() -> Result<()> {
    const NOTHING: f32 = f32::NEG_INFINITY;
    let values = [NOTHING, NOTHING, 0.5, NOTHING];
    for axis in [0, 1] {
        let x = matrix(&values, 2);
        let x = if axis == 0 { x.transpose() } else { x };
        let t = matrix(&[1.0, -2.0, 0.5, 3.0], 2);
        let t = if axis == 0 { t.transpose() } else { t };
        let (leaf, along) = (x.leaf(), t.leaf());
        let moving = leaf.with_tangent(&along);
        let sum = moving.logsumexp(axis);
        assert_eq!(sum.primal().to_vec()?, [NOTHING, 0.5]);
        let softmax = moving.softmax(axis);
        let shares = if axis == 0 {
            [0.0, 1.0, 0.0, 0.0]
        } else {
            [0.0, 0.0, 1.0, 0.0]
        };
        assert_eq!(softmax.primal().to_vec()?, shares);
        let log_softmax = moving.log_softmax(axis);
        for (y, weight) in [(sum, 1.0), (softmax, 0.7), (log_softmax.exp(), 0.7)] {
            let weight = y.primal().full_like(weight);
            let tangent = y.tangent().expect("a tangent");
            for t in tangent.to_vec()? {
                assert!(t.is_finite(), "axis {axis}: tangent {tangent}");
            }
            let found = grad(&[(&tangent, Some(&weight))], &[&leaf, &along])?;
            for gradient in found {
                let finite = gradient.to_vec()?.iter().all(|g| g.is_finite());
                assert!(finite, "axis {axis}: {gradient}");
            }
        }
        let by = |y: &Tensor| grad(&[(y, None)], &[&leaf])?[0].to_vec();
        assert_eq!(by(&leaf.logsumexp(axis))?, shares);
        assert!(by(&leaf.softmax(axis))?.iter().all(|g| *g == 0.0));
        assert!(by(&leaf.log_softmax(axis))?.iter().all(|g| g.is_finite()));
    }
    Ok(())
}

/// Numbers below the normal range are numbers, in loops of vectors and one by one.
#[test]
fn the_smallest_numbers_count() -> Result<()> {
    for len in [1, 3, 100] {
        let of = |value: f32| Tensor::full([len], value, &Device::cpu());
        for (name, found, want) in [
            ("ln 1e-39", of(1e-39).ln(), -89.801_1),
            ("ln 1.4e-45", of(f32::from_bits(1)).ln(), -103.278_93),
            ("exp -100", of(-100.0).exp(), 3.8e-44),
            ("exp(ln 1e-40)", of(1e-40).ln().exp(), 1e-40),
            ("sqrt", of(1e-40).sqrt(), 1e-20),
            ("quotient", of(1e-20) / of(1e20), 1e-40),
            ("recip", of(2e38).recip(), 5e-39),
            ("sigmoid", of(-100.0).sigmoid(), 3.8e-44),
            ("softplus", of(-100.0).softplus(), 3.8e-44),
            ("logit", of(1e-40).logit(), -92.103_4),
        ] {
            for found in found.to_vec()? {
                let error = (found - want).abs();
                let fits = error <= 2e-5 * want.abs() + 3e-45;
                assert!(fits, "{name}: {found:e} is not {want:e}");
            }
        }
    }
    Ok(())
}

#[test]
fn quantiles_lie_on_the_line_through_neighbours() -> Result<()> {
    let x = matrix(&[4.0, 1.0, 3.0, 2.0, 8.0, 8.0, f32::INFINITY, 0.0], 2);
    let quantile = |q| x.quantile(q, -1).to_vec();
    assert_eq!(quantile(0.0)?, [1.0, 0.0]);
    assert_eq!(quantile(0.5)?, [2.5, 8.0]);
    assert_eq!(quantile(0.25)?, [1.75, 6.0]);
    assert_eq!(quantile(1.0)?, [4.0, f32::INFINITY]);
    for (q, axis) in [(-0.1, 0), (1.1, 0), (f32::NAN, 0), (0.5, 2)] {
        assert!(x.quantile(q, axis).check().is_err(), "{q} {axis}");
    }
    assert!(
        Tensor::zeros([2, 0], &Device::cpu())
            .quantile(0.5, 1)
            .check()
            .is_err()
    );
    // Of the numbers that it lies between.
    let found = gradient(&[0.5, -1.0, 3.0, 1.0], |x| x.quantile(0.5, 0))?;
    assert_eq!(found, [0.5, 0.0, 0.0, 0.5]);
    Ok(())
}

#[test]
fn products_run_along_an_axis_and_axes_backwards() -> Result<()> {
    let x = matrix(&[1.0, 2.0, 3.0, 4.0, 0.0, 5.0], 2);
    assert_eq!(x.cumprod(1).to_vec()?, [1.0, 2.0, 6.0, 4.0, 0.0, 0.0]);
    assert_eq!(x.cumprod(0).to_vec()?, [1.0, 2.0, 3.0, 4.0, 0.0, 15.0]);
    assert_eq!(x.flip(1).to_vec()?, [3.0, 2.0, 1.0, 5.0, 0.0, 4.0]);
    assert_eq!(x.flip(0).to_vec()?, [4.0, 0.0, 5.0, 1.0, 2.0, 3.0]);
    // Beside a 0.
    let found = gradient(&[2.0, 0.0, 3.0], |x| x.cumprod(0).sum(0))?;
    assert_eq!(found, [1.0, 8.0, 0.0]);
    Ok(())
}

#[test]
fn axes_are_sorted() -> Result<()> {
    let x = matrix(
        &[3.0, f32::NAN, 1.0, 2.0, 2.0, -f32::NAN, f32::INFINITY, 0.0],
        2,
    );
    let (rows, columns) = (x.sort(-1).to_vec()?, x.sort(0).to_vec()?);
    assert_eq!(rows[..3], [1.0, 2.0, 3.0]);
    assert_eq!(rows[4..7], [0.0, 2.0, f32::INFINITY]);
    assert!(rows[3].is_nan() && rows[7].is_nan());
    assert_eq!([columns[0], columns[4]], [2.0, 3.0]);
    assert_eq!([columns[2], columns[6]], [1.0, f32::INFINITY]);
    assert_eq!(
        x.argsort(-1).to_vec()?,
        [2.0, 3.0, 0.0, 1.0, 3.0, 0.0, 2.0, 1.0]
    );
    // Of equals the first comes first.
    assert_eq!(
        Tensor::from_slice(&[1.0, 0.0, 1.0]).argsort(0).to_vec()?,
        [1.0, 0.0, 2.0]
    );
    let weights = Tensor::from_slice(&[1.0, 10.0, 100.0]);
    let found = gradient(&[0.5, -1.0, 3.0], |x| x.sort(0) * &weights)?;
    assert_eq!(found, [10.0, 1.0, 100.0]);
    assert_eq!(x.index(0, 1).slice(0, 2..4).min(0).item()?, 0.0);
    let y = Tensor::from_slice(&[2.0, 4.0, 9.0]);
    assert_eq!(y.argmin(0).item()?, 0.0);
    assert_eq!(
        (y.var(0, 1).item()?, y.var(0, 0).item()?),
        (13.0, 26.0 / 3.0)
    );
    assert_eq!(y.std(0, 1).item()?, 13.0_f32.sqrt());
    assert_eq!(
        y.outer(&Tensor::from_slice(&[1.0, 2.0])).to_vec()?,
        [2.0, 4.0, 4.0, 8.0, 9.0, 18.0]
    );
    Ok(())
}

#[test]
fn sums_of_products_by_their_indices() -> Result<()> {
    let a = matrix(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
    let b = matrix(&[1.0, -1.0, 0.5, 2.0, 0.0, 3.0], 3);
    let same = |found: Tensor, wanted: Tensor| -> Result<()> {
        assert_eq!(found.check()?.shape(), wanted.shape());
        assert_eq!(found.to_vec()?, wanted.to_vec()?);
        Ok(())
    };
    same(Tensor::einsum("ij,jk->ik", &[&a, &b]), a.matmul(&b))?;
    same(Tensor::einsum("ij,jk", &[&a, &b]), a.matmul(&b))?;
    same(
        Tensor::einsum("ij, jk -> ki", &[&a, &b]),
        a.matmul(&b).transpose(),
    )?;
    same(Tensor::einsum("ij->ji", &[&a]), a.transpose())?;
    same(Tensor::einsum("ij->j", &[&a]), a.sum(0))?;
    same(Tensor::einsum("ij->", &[&a]), a.sum_all())?;
    same(Tensor::einsum("ij,ij->i", &[&a, &a]), a.square().sum(-1))?;
    let square = a.matmul(&b);
    same(Tensor::einsum("ii->i", &[&square]), square.diagonal())?;
    same(
        Tensor::einsum("ii", &[&square]),
        square.diagonal().sum_all(),
    )?;
    let (x, y) = (a.index(0, 0), a.index(0, 1));
    same(Tensor::einsum("i,j->ij", &[&x, &y]), x.outer(&y))?;
    same(Tensor::einsum("i,i->i", &[&x, &y]), &x * &y)?;
    same(
        Tensor::einsum(",i->i", &[&Tensor::scalar(2.0), &y]),
        &y * 2.0,
    )?;
    same(
        Tensor::einsum("i,ij,j", &[&x.slice(0, 0..2), &a, &y]),
        x.slice(0, 0..2).matmul(&a).matmul(&y),
    )?;
    let batch = Tensor::stack(&[&a, &(&a * 2.0)], 0);
    same(
        Tensor::einsum("nij,jk->nik", &[&batch, &b]),
        batch.matmul(&b),
    )?;
    same(
        Tensor::einsum("nij,nkj->nki", &[&batch, &batch]),
        batch.matmul_nt(&batch).transpose(),
    )?;
    same(
        batch.permute(&[2, 0, 1]),
        Tensor::einsum("abc->cab", &[&batch]),
    )?;
    for (subscripts, operands, problem) in [
        ("ij,jk->ik", vec![&a], "2 operands, and 1"),
        ("ijk->i", vec![&a], "`ijk` does not name each axis"),
        (
            "ij,jk->ik",
            vec![&a, &a],
            "`j` is the name of axes of lengths 3 and 2",
        ),
        (
            "ii->i",
            vec![&a],
            "`i` is the name of axes of lengths 2 and 3",
        ),
        ("ij->k", vec![&a], "the output's `k`"),
        ("ij->ii", vec![&a], "the output has `i` twice"),
        ("i.->i", vec![&a], "`.` is not a letter"),
        ("ab,cd,ef->abcdef", vec![&a, &a, &a], "more than 4"),
    ] {
        let line = line!() + 1;
        let error = Tensor::einsum(subscripts, &operands).check().unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
        match error {
            Error::Shape { op, location, .. } => {
                assert_eq!((op, location.line()), ("einsum", line))
            }
            other => panic!("{other}"),
        }
    }
    assert!(a.permute(&[0, 0]).check().is_err());
    Ok(())
}

#[test]
fn triangular_systems_are_solved() -> Result<()> {
    // As large as guides are, against what was factored.
    let n = 100;
    let numbers = |at: usize| ((at * 7919 % 1009) as f32 / 1009.0 - 0.5) * 0.3;
    let a = matrix(&(0..n * n).map(numbers).collect::<Vec<_>>(), n);
    let square = a.matmul_nt(&a) + Tensor::eye(n, &Device::cpu());
    let factor = square.cholesky();
    let largest = |x: &Tensor| -> Result<f32> { x.abs().max_all().item() };
    assert!(largest(&(factor.matmul_nt(&factor) - &square))? < 1e-5);
    assert_eq!(largest(&factor.triu(1))?, 0.0);
    let right = a.slice(1, 0..3);
    assert!(largest(&(factor.matmul(&factor.solve_lower(&right)) - &right))? < 1e-5);
    let upper = factor.transpose();
    assert!(largest(&(upper.matmul(&upper.solve_upper(&right)) - &right))? < 1e-5);
    // What lies in the other half is not looked at, and gets no derivative.
    let half = matrix(&[2.0, f32::NAN, 1.0, 3.0], 2).leaf();
    let x = half.solve_lower(&matrix(&[2.0, 7.0], 2));
    assert_eq!(x.to_vec()?, [1.0, 2.0]);
    let slopes = grad(&[(&x, None)], &[&half])?[0].to_vec()?;
    assert_eq!(slopes[1], 0.0);
    assert!((slopes[3] + 2.0 / 3.0).abs() < 1e-6, "{slopes:?}");
    let half = matrix(&[4.0, f32::NAN, 2.0, 5.0], 2).leaf();
    let l = half.cholesky();
    assert_eq!(l.to_vec()?, [2.0, 0.0, 1.0, 2.0]);
    assert!(
        grad(&[(&l, None)], &[&half])?[0]
            .to_vec()?
            .iter()
            .all(|x| x.is_finite())
    );
    assert!(matrix(&[1.0, 2.0, 2.0, 1.0], 2).cholesky().to_vec()?[3].is_nan());
    let none = matrix(&[1.0, 0.0, 2.0, 1.0], 2).solve_lower(&Tensor::zeros([2, 0], &Device::cpu()));
    assert_eq!(none.check()?.shape(), Shape::from([2, 0]));
    let wrong = half.solve_upper(&Tensor::zeros([3, 1], &Device::cpu()));
    assert!(wrong.check().is_err());
    Ok(())
}

//! Sums of many terms are as accurate as sums of few, whichever operation makes them.

use relax_runtime::{Device, Result, Tensor, grad};

/// Many more terms than f32 has steps of one size for: a sum of them one by one drifts by a
/// hundredth.
const N: usize = 1_000_000;
const TERM: f32 = 0.1;

fn all(shape: impl Into<relax_runtime::Shape>) -> Tensor {
    Tensor::full(shape, TERM, &Device::cpu())
}

/// The sum of `n` terms.
fn sum(n: usize) -> f64 {
    n as f64 * f64::from(TERM)
}

fn assert_near(what: &str, found: &Tensor, want: f64) -> Result<()> {
    for found in found.to_vec()? {
        let error = (f64::from(found) - want).abs() / want.abs();
        assert!(error < 2e-5, "{what}: {found} is not {want}");
    }
    Ok(())
}

#[test]
fn along_axes() -> Result<()> {
    let ones = Tensor::ones([20_000_000, 2], &Device::cpu());
    assert_eq!(ones.sum(0).to_vec()?, [2e7, 2e7]);
    let (tall, deep) = (all([N, 3]), all([2, N / 2, 2]));
    assert_near("sum", &tall.sum(0), sum(N))?;
    assert_near("mean", &tall.mean(0), f64::from(TERM))?;
    assert_near("middle", &deep.sum(1), sum(N / 2))?;
    assert_near("last", &all([2, N]).sum(-1), sum(N))?;
    assert_near("all", &deep.sum_all(), sum(2 * N))?;
    assert_near("mean_all", &deep.mean_all(), f64::from(TERM))
}

#[test]
fn in_gradients_of_what_repeats() -> Result<()> {
    let gradient = |x: &Tensor, f: &dyn Fn(&Tensor) -> Tensor, weights: Option<&Tensor>| {
        let x = x.leaf();
        Ok::<_, relax_runtime::Error>(grad(&[(&f(&x), weights)], &[&x])?.remove(0))
    };
    let (row, column, number) = (all([3]), all([N, 1]), Tensor::scalar(TERM));
    let (tall, wide) = (all([N, 3]), all([3, N]));
    let inside = all([1, 3, 1]);
    let block = all([N / 4, 3, 4]);
    let weights = [&tall, &wide, &block];
    let of =
        |x: &Tensor, by: usize, f: &dyn Fn(&Tensor) -> Tensor| gradient(x, f, Some(weights[by]));
    let square = f64::from(TERM);
    assert_near("row +", &of(&row, 0, &|x| x + &tall)?, sum(N))?;
    assert_near("row -", &of(&row, 0, &|x| &tall - x)?, -sum(N))?;
    assert_near("row *", &of(&row, 0, &|x| x * &tall)?, sum(N) * square)?;
    assert_near(
        "column *",
        &of(&all([3, 1]), 1, &|x| x * &wide)?,
        sum(N) * square,
    )?;
    assert_near("inside +", &of(&inside, 2, &|x| x + &block)?, sum(N))?;
    assert_near(
        "inside *",
        &of(&inside, 2, &|x| x * &block)?,
        sum(N) * square,
    )?;
    assert_near(
        "number *",
        &of(&number, 0, &|x| x * &tall)?,
        3.0 * sum(N) * square,
    )?;
    assert_near("outer", &of(&row, 0, &|x| x * &column)?, sum(N) * square)?;
    let repeated = |x: &Tensor| x.broadcast_to([N, 3]);
    assert_near("broadcast_to", &of(&row, 0, &repeated)?, sum(N))?;
    let repeated = |x: &Tensor| x.broadcast_to([N / 4, 3, 4]);
    assert_near("broadcast_to", &of(&inside, 2, &repeated)?, sum(N))?;
    let places: Vec<usize> = (0..N).map(|i| i % 2).collect();
    let gathered = gradient(&all([2, 3]), &|x| x.rows_at(&places), Some(&tall))?;
    assert_near("rows_at", &gathered, sum(N / 2))?;
    let (weight, bias) = (all([3, 2]), all([2]));
    let by_bias = gradient(&bias, &|b| tall.linear(&weight, b), Some(&all([N, 2])))?;
    assert_near("linear", &by_bias, sum(N))?;
    let by_weight = gradient(&weight, &|w| tall.linear(w, &bias), Some(&all([N, 2])))?;
    assert_near("linear", &by_weight, sum(N) * square)
}

#[test]
fn in_products_and_softmax() -> Result<()> {
    let (tall, wide) = (all([N, 3]), all([2, N]));
    let product = sum(N) * f64::from(TERM);
    assert_near("matmul", &wide.matmul(&tall), product)?;
    assert_near("matmul_tn", &tall.matmul_tn(&tall), product)?;
    assert_near("matmul_nt", &wide.matmul_nt(&wide), product)?;
    let shape = [2, N, 2];
    let x = Tensor::zeros(shape, &Device::cpu()).leaf();
    let total = x.logsumexp(1);
    // A drift of a hundredth would be seen in the exponential.
    assert_near("logsumexp", &total.exp(), N as f64)?;
    let by_rows = Tensor::full([N, 3], -2.3, &Device::cpu()).logsumexp(0);
    assert_near("logsumexp", &by_rows, (N as f64).ln() - 2.3)?;
    let along = Tensor::full([3, N], -2.3, &Device::cpu()).logsumexp(-1);
    assert_near("logsumexp", &along, (N as f64).ln() - 2.3)?;
    // g − softmax · Σ g is 0.
    let g = all(shape);
    for by in grad(&[(&x.log_softmax(1), Some(&g))], &[&x])?[0].to_vec()? {
        assert!(by.abs() < 1e-5 * TERM, "log_softmax: {by}");
    }
    Ok(())
}

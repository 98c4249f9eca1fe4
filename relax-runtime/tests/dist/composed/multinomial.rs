//! Counts of several categories.

use super::*;

#[test]
fn multinomial_counts() -> Result<()> {
    let probs = [0.5, 0.3, 0.0, 0.2];
    let host = Multinomial::probs(4, probs)?;
    let tensors = Multinomial::probs(4, Tensor::from_slice(&probs.map(|p| p as f32)))?;
    let mut total = 0.0;
    for a in 0..=4_usize {
        for b in 0..=4 - a {
            let c = 4 - a - b;
            let value = [a as f64, b as f64, 0.0, c as f64];
            let found = log_prob(&host, &value.to_vec())?[0];
            let value = Tensor::from_slice(&value.map(|x| x as f32));
            assert_near("tensors", log_prob(&tensors, &value)?[0], found, 1e-5);
            total += found.exp();
        }
    }
    assert_near("all", total, 1.0, 1e-12);
    let none = Tensor::from_slice(&[3.0, 0.0, 1.0, 0.0]);
    assert_eq!(log_prob(&tensors, &none)?, [f64::NEG_INFINITY]);
    assert_eq!(
        log_prob(&host, &vec![3.0, 0.0, 1.0, 0.0])?,
        [f64::NEG_INFINITY]
    );
    // Draws, of numbers and of rows with other totals.
    let mut stream = Key::new(2).stream("x");
    let (mut means, mut product) = ([0.0; 4], 0.0);
    for _ in 0..DRAWS {
        let draw = host.sample(&mut stream)?;
        assert!(host.contains(&draw)? && draw[2] == 0.0);
        means
            .iter_mut()
            .zip(&draw)
            .for_each(|(mean, x)| *mean += x / DRAWS as f64);
        product += draw[0] * draw[1] / DRAWS as f64;
    }
    for (mean, p) in means.iter().zip(probs) {
        assert_near("mean", *mean, 4.0 * p, 0.01);
    }
    assert_near("product", product, 4.0 * 3.0 * 0.5 * 0.3, 0.02);
    let totals = Tensor::from_slice(&[0.0, 7.0, 1000.0]);
    let rows = Multinomial::probs(&totals, Tensor::from_slice(&[0.2, 0.8]))?;
    let law = rows.law()?;
    for _ in 0..20 {
        let draw = law.draw(&law.noise(&mut stream)?);
        assert_eq!(draw.sum(-1).to_vec()?, totals.to_vec()?);
        assert!(rows.contains(&draw)?);
    }
    assert_eq!(law.mean().to_vec()?[3], 0.8 * 7.0);
    let guide = law.mean_field();
    assert_eq!(
        guide.law(&guide.first_values()?)?.draw_shape(),
        [3, 2].into()
    );
    refused(
        Multinomial::probs(3, [0.5, 0.6]),
        &["Multinomial", "sum to"],
    );
    refused(
        Multinomial::probs(Tensor::scalar(2.5), Tensor::from_slice(&[0.5, 0.5])),
        &["Multinomial", "total_count", "whole numbers"],
    );
    refused(
        Multinomial::probs(&totals, Tensor::zeros([2, 2], &Device::cpu()) + 0.5),
        &["Multinomial", "total_count", "[3]"],
    );
    refused(
        host.log_prob(&vec![1.0, 1.0, 0.0, 1.0]),
        &["Multinomial", "number of trials"],
    );
    Ok(())
}

/// Log-masses of many trials keep their digits, and so do their derivatives.
#[test]
fn many_trials_keep_their_digits() -> Result<()> {
    let probs = [0.5, 0.3, 0.2];
    for (total, apart, wanted) in [
        (1_000_000, 300, -14.139_941_144),
        (10_000_000, 949, -16.442_800_945),
        (100_000_000, 3_000, -18.745_262_066),
    ] {
        let counts = [total / 2 + apart, total / 10 * 3 - apart, total / 5];
        let host = Multinomial::probs(total, probs)?;
        let value = counts.map(|x| x as f64).to_vec();
        assert_near("host", log_prob(&host, &value)?[0], wanted, 1e-6);
        let value = Tensor::from_slice(&counts.map(|x| x as f32));
        let tensors = Multinomial::probs(total, Tensor::from_slice(&probs.map(|p| p as f32)))?;
        for law in [host.law()?, tensors.law()?] {
            let found = law.log_density(&value).item()?;
            assert_near("law", found.into(), wanted, 5e-5);
        }
        assert_near("tensors", log_prob(&tensors, &value)?[0], wanted, 5e-5);
        let logits = Tensor::from_slice(&probs.map(|p| p.ln() as f32)).leaf();
        let density = Multinomial::logits(total, &logits)?
            .law()?
            .log_density(&value);
        let slopes = grad(&[(&density, None)], &[&logits])?[0].to_vec()?;
        for (slope, wanted) in slopes.into_iter().zip([1.0, -1.0, 0.0]) {
            let error = (f64::from(slope) - wanted * apart as f64).abs();
            assert!(error < 3e-7 * total as f64, "{slope} of {total}");
        }
    }
    Ok(())
}

/// Counts that are rounded belong to the support, and so do draws; where none is, a sum is to be right.
#[test]
fn rounded_counts_are_in_the_support() -> Result<()> {
    const TRIALS: usize = 100_000_000;
    let (probs, mut stream) = ([0.5, 0.3, 0.2], Key::new(4).stream("x"));
    let rows = Tensor::from_slice(&probs.map(|p| p as f32)).broadcast_to([60, 3]);
    let many = Multinomial::probs(TRIALS, rows)?;
    let draw = many.sample(&mut stream)?;
    assert!(many.contains(&draw)?);
    let densities = log_prob(&many, &draw)?;
    assert!(densities.iter().all(|x| (-60.0..-10.0).contains(x)));
    // Other noise leaves them as they are.
    let law = many.law()?;
    let (relaxation, theta) = (law.relaxation().expect("there is one"), law.parameters());
    let other = relaxation.conditional(&theta[0], &law.noise(&mut stream)?, &draw);
    assert_eq!(relaxation.hard(&other).to_vec()?, draw.to_vec()?);
    // As numbers of the host, too.
    let host = Multinomial::probs(TRIALS, probs)?;
    let law = host.law()?;
    for _ in 0..20 {
        let draw = law.draw(&law.noise(&mut stream)?).to_vec()?;
        assert!(host.contains(&draw.into_iter().map(f64::from).collect())?);
    }
    // Of 10⁹ trials, each category but the last is rounded up by one.
    let wide = Multinomial::probs(1_000_000_000, Tensor::full([50], 0.02, &Device::cpu()))?;
    let counts = |last: f64| {
        let all = (0..49).map(|_| 20_000_003.0).chain([last]);
        Tensor::from_slice(&all.map(|x| x as f32).collect::<Vec<_>>())
    };
    assert!(wide.contains(&counts(19_999_853.0))?);
    assert!(!wide.contains(&counts(19_998_853.0))?);
    let few = Multinomial::probs(1_000, Tensor::from_slice(&[0.5, 0.5]))?;
    assert!(few.contains(&Tensor::from_slice(&[500.0, 500.0]))?);
    assert!(!few.contains(&Tensor::from_slice(&[500.0, 499.0]))?);
    assert!(!few.contains(&Tensor::from_slice(&[500.5, 499.5]))?);
    Ok(())
}

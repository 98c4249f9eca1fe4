//! Laws that are certain, or all but certain, and values that cannot be.

use relax_runtime::dist::{
    Bernoulli, Categorical, Distribution, Number, OneHotCategorical, Repeat,
};
use relax_runtime::{Device, Result, Tensor, grad};

use super::{assert_near, draw, draws, log_prob, tensor};

fn certain_and_nearly_certain_laws_stay_finite(device: &Device) -> Result<()> {
    let extremes = tensor(device, &[0.0, 1.0, 1e-30, 0.5]);
    let far = tensor(device, &[-1e4, 1e4, 0.0, 50.0]);
    for (dist, theta) in [
        (Bernoulli::probs(&extremes)?, &extremes),
        (Bernoulli::logits(&far)?, &far),
    ] {
        let b = draw(&dist, "b")?;
        assert!(b.to_vec()?[..2] == [0.0, 1.0], "{theta:?} drew {b:?}");
        assert!(log_prob(&dist, &b)?.iter().all(|x| x.is_finite()));
    }
    for value in [far.zeros_like(), far.ones_like()] {
        let found = log_prob(&Bernoulli::logits(&far)?, &value)?;
        assert!(found.iter().all(|x| x.is_finite()));
    }
    let leaf = far.leaf();
    for value in [far.zeros_like(), far.ones_like()] {
        let Number::Tensor(density) = Bernoulli::logits(&leaf)?.log_density(&value)? else {
            panic!("a host number");
        };
        let gradient = grad(&[(&density, None)], &[&leaf])?;
        assert!(gradient[0].to_vec()?.iter().all(|x| x.is_finite()));
    }
    let far = Categorical::logits(tensor(device, &[-1e4, 1e4, 0.0]))?;
    assert_eq!(draw(&far, "k")?.item()?, 1.0);
    for k in 0..3 {
        assert!(log_prob(&far, &Tensor::scalar(k as f32))?[0].is_finite());
    }
    // Probabilities of exactly 0 and 1 are exact.
    assert_eq!(log_prob(&Bernoulli::probs(1.0)?, &true)?, [0.0]);
    assert_eq!(
        log_prob(&Bernoulli::probs(0.0)?, &true)?,
        [f64::NEG_INFINITY]
    );
    assert_eq!(log_prob(&Bernoulli::logits(1e4)?, &false)?, [-1e4]);
    let certain = Categorical::probs([0.0, 1.0])?;
    assert_eq!(log_prob(&certain, &1)?, [0.0]);
    assert_eq!(log_prob(&certain, &0)?, [f64::NEG_INFINITY]);
    let one_hot = OneHotCategorical::probs([0.0, 1.0])?;
    assert_eq!(log_prob(&one_hot, &vec![0.0, 1.0])?, [0.0]);
    assert!(draws(&certain, "certain")?.into_iter().all(|k| k == 1));
    assert!(draws(&Bernoulli::probs(1.0)?, "1")?.into_iter().all(|b| b));
    assert!(!draws(&Bernoulli::probs(0.0)?, "0")?.into_iter().any(|b| b));
    Ok(())
}

/// What host numbers say of impossible values, tensors say, too.
fn impossible_values_of_tensors_have_probability_0(device: &Device) -> Result<()> {
    let probs = [0.0, 1.0, 1e-30, 0.25];
    let coins = Bernoulli::probs(tensor(device, &probs))?;
    for value in [0.0, 1.0] {
        let found = log_prob(&coins, &tensor(device, &[value; 4]))?;
        for (p, found) in probs.into_iter().zip(found) {
            let wanted = log_prob(&Bernoulli::probs(p)?, &(value == 1.0))?[0];
            match wanted.is_finite() {
                true => assert_near("a coin", found, wanted, 1e-5 * (1.0 + wanted.abs())),
                false => assert_eq!(found, wanted),
            }
        }
    }
    let Number::Tensor(sum) = coins.log_density_from(&tensor(device, &[0.0, 1.0, 0.0, 0.0]), 0)?
    else {
        panic!("a host number");
    };
    assert_near("their sum", f64::from(sum.item()?), 0.75f64.ln(), 1e-6);

    let rows = Tensor::stack(
        &[
            &tensor(device, &[0.5, 0.5, 0.0]),
            &tensor(device, &[0.0, 0.0, 1.0]),
        ],
        0,
    );
    let (index, one_hot) = (Categorical::probs(&rows)?, OneHotCategorical::probs(&rows)?);
    for k in 0..3 {
        let k = tensor(device, &[k as f64; 2]);
        let found = log_prob(&index, &k)?;
        assert_eq!(found, log_prob(&one_hot, &k.one_hot(3))?);
        for (log_p, p) in found.iter().zip(rows.pick(&k).to_vec()?) {
            assert_near("a category", log_p.exp(), f64::from(p), 1e-6);
            assert_eq!(log_p.is_finite(), p > 0.0);
        }
    }
    Ok(())
}

/// Values that are improbable, and not excluded, keep their log-probabilities in tensors and plates.
#[test]
fn improbable_values_of_host_numbers_keep_their_log_probabilities() -> Result<()> {
    let wanted = [-500.0, f64::NEG_INFINITY];
    let logits = || [0.0, -500.0, f64::NEG_INFINITY];
    let index = Categorical::logits(logits())?;
    let law = index.law()?;
    let leaf = law.parameters()[0].leaf();
    for (k, wanted) in [1, 2].into_iter().zip(wanted) {
        assert_eq!(log_prob(&index, &k)?, [wanted]);
        let (value, rows) = (Tensor::scalar(k as f32), Tensor::from_slice(&[k as f32; 2]));
        assert_eq!(f64::from(law.log_density(&value).item()?), wanted);
        let plate = index.clone().repeated(1)?.expand(&[2])?;
        assert_eq!(log_prob(&plate, &rows)?, [wanted; 2]);
        let one_hot = OneHotCategorical::logits(logits())?;
        let plate = one_hot.repeated(1)?.expand(&[2])?;
        assert_eq!(log_prob(&plate, &rows.one_hot(3))?, [wanted; 2]);
        let density = law.with_parameters(std::slice::from_ref(&leaf));
        let density = density.log_density(&value);
        let slopes = grad(&[(&density, None)], &[&leaf])?[0].to_vec()?;
        assert!(slopes.iter().all(|x| x.is_finite()), "{slopes:?}");
    }
    for (coin, wanted) in [
        (Bernoulli::logits(-500.0)?, -500.0),
        (Bernoulli::probs(1e-60)?, 1e-60_f64.ln()),
        (Bernoulli::logits(f64::NEG_INFINITY)?, f64::NEG_INFINITY),
    ] {
        let found = coin.law()?.log_density(&Tensor::scalar(1.0)).item()?;
        let plate = coin.clone().repeated(1)?.expand(&[2])?;
        let rows = log_prob(&plate, &Tensor::from_slice(&[1.0; 2]))?;
        for found in [log_prob(&coin, &true)?[0], found.into(), rows[0], rows[1]] {
            match wanted.is_finite() {
                true => assert_near("a coin", found, wanted, 1e-6),
                false => assert_eq!(found, wanted),
            }
        }
    }
    // Beyond what single precision holds, they are finite.
    let far = Categorical::logits([0.0, -1e300])?.law()?;
    assert!(far.log_density(&Tensor::scalar(1.0)).item()?.is_finite());
    let far = Bernoulli::logits(-1e300)?.law()?;
    assert!(far.log_density(&Tensor::scalar(1.0)).item()?.is_finite());
    Ok(())
}

on_every_engine!(
    certain_and_nearly_certain_laws_stay_finite,
    impossible_values_of_tensors_have_probability_0
);

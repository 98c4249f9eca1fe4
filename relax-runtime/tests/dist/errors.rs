//! What distributions refuse: parameters, values, plates; on every engine.

use relax_runtime::dist::{
    Bernoulli, Categorical, Distribution, MultivariateNormal, Normal, Number, OneHotCategorical,
};
use relax_runtime::{Device, Error, Key, Result, Tensor};

use crate::{repeated, tensor};

fn draw<D: Distribution>(dist: &D, purpose: &str) -> Result<D::Value> {
    dist.sample(&mut Key::new(12).stream(purpose))
}

/// The error's text, if it is of the wanted variant.
macro_rules! refused {
    ($result:expr, $variant:ident, $($word:literal),+) => {{
        let error = $result.expect_err(stringify!($result));
        assert!(
            matches!(error, Error::$variant { .. }),
            "{} gave {error:?}",
            stringify!($result)
        );
        let text = error.to_string();
        $(assert!(text.contains($word), "`{text}` does not say `{}`", $word);)+
    }};
}

fn bad_parameters_are_typed_errors(device: &Device) -> Result<()> {
    let nan = f64::NAN;
    refused!(
        Bernoulli::probs(nan),
        Parameter,
        "Bernoulli: probs is NaN",
        "between 0 and 1",
        "give `logits`"
    );
    refused!(Bernoulli::probs(-0.1), Parameter, "probs is -0.1");
    refused!(Bernoulli::probs(1.5), Parameter, "probs is 1.5");
    refused!(Bernoulli::logits(nan), Parameter, "logits is NaN");
    refused!(
        Bernoulli::probs(tensor(device, &[0.2, nan])),
        Parameter,
        "probs is NaN"
    );
    refused!(
        Bernoulli::probs(tensor(device, &[0.2, -0.5])),
        Parameter,
        "probs is -0.5"
    );
    refused!(
        Bernoulli::logits(tensor(device, &[0.2, nan])),
        Parameter,
        "logits is NaN"
    );
    refused!(
        Bernoulli::logits(tensor(device, &[f64::INFINITY])),
        Parameter,
        "logits is inf"
    );
    refused!(
        Bernoulli::logits(tensor(device, &[f64::NEG_INFINITY])),
        Parameter,
        "logits is -inf"
    );

    refused!(
        Categorical::probs([nan, 0.5]),
        Parameter,
        "Categorical: probs is NaN"
    );
    refused!(Categorical::probs([-0.5, 1.5]), Parameter, "probs is -0.5");
    refused!(
        Categorical::probs([0.5, 0.6]),
        Parameter,
        "sum to 1.1",
        "divide by the sum"
    );
    refused!(Categorical::probs(Vec::new()), Parameter, "empty");
    refused!(Categorical::logits(Vec::new()), Parameter, "empty");
    refused!(Categorical::logits([0.0, nan]), Parameter, "logits is NaN");
    refused!(
        Categorical::logits([0.0, f64::INFINITY]),
        Parameter,
        "logits is inf"
    );
    refused!(
        Categorical::logits([f64::NEG_INFINITY; 2]),
        Parameter,
        "logits",
        "-inf"
    );
    refused!(
        Categorical::probs(tensor(device, &[nan, 0.5])),
        Parameter,
        "probs is NaN"
    );
    refused!(
        Categorical::probs(tensor(device, &[0.5, 0.6])),
        Parameter,
        "sum to 1.1"
    );
    refused!(Categorical::probs(Tensor::scalar(1.0)), Parameter, "empty");
    refused!(
        Categorical::logits(tensor(device, &[0.0, nan])),
        Parameter,
        "logits is NaN"
    );
    refused!(
        Categorical::logits(tensor(device, &[0.0, f64::INFINITY])),
        Parameter,
        "logits is inf"
    );
    let rows = Tensor::from_vec(vec![0.5, 0.5, 0.5, 0.4], [2, 2], device);
    refused!(Categorical::probs(rows.unwrap()), Parameter, "sum to 0.9");

    refused!(
        OneHotCategorical::probs([0.5]),
        Parameter,
        "OneHotCategorical: probs sum to 0.5"
    );
    refused!(OneHotCategorical::probs([nan]), Parameter, "probs is NaN");
    refused!(
        OneHotCategorical::logits(tensor(device, &[nan])),
        Parameter,
        "logits is NaN"
    );

    refused!(
        Normal::new(nan, 1.0),
        Parameter,
        "Normal: loc is NaN",
        "finite"
    );
    refused!(Normal::new(f64::INFINITY, 1.0), Parameter, "loc is inf");
    refused!(Normal::new(0.0, 0.0), Parameter, "scale is 0", "positive");
    refused!(
        Normal::new(0.0, -1.0),
        Parameter,
        "scale is -1",
        "`param!(.., positive)`",
        "`.exp()`"
    );
    let covariance = Tensor::from_vec(vec![1.0, 2.0, 2.0, 1.0], [2, 2], device)?;
    refused!(
        MultivariateNormal::new([0.0, 0.0], covariance.cholesky()),
        Parameter,
        "scale_tril is NaN",
        "positive definite",
        "add a little to its diagonal"
    );
    refused!(
        MultivariateNormal::new([0.0, 0.0], covariance),
        Parameter,
        "scale_tril is 2",
        "for a covariance use `cholesky`"
    );
    refused!(Normal::new(0.0, nan), Parameter, "scale is NaN");
    refused!(Normal::new(0.0, f64::INFINITY), Parameter, "scale is inf");
    refused!(
        Normal::new(tensor(device, &[0.0]), tensor(device, &[-1.0])),
        Parameter,
        "scale is -1"
    );
    refused!(
        Normal::new(tensor(device, &[nan]), 1.0),
        Parameter,
        "loc is NaN"
    );
    refused!(
        Normal::new(
            tensor(device, &[0.0, 1.0]),
            tensor(device, &[1.0, 1.0, 1.0])
        ),
        Parameter,
        "[3]"
    );

    // A parameter that was computed wrongly hands its own error on.
    let poisoned = tensor(device, &[1.0, 2.0]) + tensor(device, &[1.0, 2.0, 3.0]);
    refused!(
        Bernoulli::logits(&poisoned),
        Shape,
        "[2] and [3]",
        "dist/errors.rs"
    );
    refused!(Categorical::probs(&poisoned), Shape, "[2] and [3]");
    refused!(Normal::new(0.0, &poisoned), Shape, "[2] and [3]");
    Ok(())
}

fn values_outside_the_support_are_typed_errors(device: &Device) -> Result<()> {
    let coin = Bernoulli::probs(tensor(device, &[0.5, 0.5]))?;
    for value in [[0.5, 1.0], [2.0, 0.0], [-1.0, 0.0], [f64::NAN, 0.0]] {
        refused!(
            coin.log_prob(&tensor(device, &value)),
            Support,
            "Bernoulli",
            "0 or 1"
        );
    }
    let host = Categorical::probs([0.5, 0.5])?;
    refused!(host.log_prob(&2), Support, "value 2", "Categorical");
    let rows = Categorical::probs(tensor(device, &[0.5, 0.5]))?;
    for k in [-1.0, 0.5, 2.0, f32::NAN] {
        refused!(rows.log_prob(&Tensor::scalar(k)), Support, "Categorical");
    }
    let host = OneHotCategorical::probs([0.5, 0.5])?;
    let rows = OneHotCategorical::probs(tensor(device, &[0.5, 0.5]))?;
    for value in [[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [f64::NAN, 1.0]] {
        refused!(host.log_prob(&value.to_vec()), Support, "OneHotCategorical");
        refused!(
            rows.log_prob(&tensor(device, &value)),
            Support,
            "OneHotCategorical"
        );
    }
    refused!(host.log_prob(&vec![1.0]), Support, "OneHotCategorical");
    refused!(
        rows.log_prob(&tensor(device, &[1.0])),
        Support,
        "OneHotCategorical"
    );
    refused!(
        rows.log_prob(&Tensor::scalar(1.0)),
        Support,
        "OneHotCategorical"
    );
    for x in [f64::NAN, f64::INFINITY] {
        refused!(
            Normal::new(0.0, 1.0)?.log_prob(&x),
            Support,
            "Normal",
            "real numbers"
        );
        let rows = Normal::new(0.0, tensor(device, &[1.0]))?;
        refused!(rows.log_prob(&tensor(device, &[x])), Support, "Normal");
    }
    Ok(())
}

/// One row, one category, one event: each is an axis, whatever its length.
fn axes_of_length_1_are_axes(device: &Device) -> Result<()> {
    let mass = |number: Number| match number {
        Number::Tensor(t) => Ok((t.shape().to_vec(), t.to_vec()?)),
        Number::Host(x) => panic!("a host number, {x}"),
    };
    let logits = tensor(device, &[0.0, 1.0, 2.0]);
    for rows in [1, 2, 3] {
        let k = Tensor::zeros([rows], device);
        let (shape, found) = mass(Categorical::logits(&logits)?.log_prob(&k)?)?;
        assert_eq!(shape, [rows]);
        assert!(found.iter().all(|x| (x + 2.407_606).abs() < 1e-5));
        let one_row = Categorical::logits(logits.unsqueeze(0))?;
        assert_eq!(mass(one_row.log_prob(&k)?)?.0, [rows]);
        let one_hot = OneHotCategorical::logits(&logits)?;
        assert_eq!(mass(one_hot.log_prob(&k.one_hot(3))?)?, (shape, found));

        let only = Categorical::logits(Tensor::zeros([rows, 1], device))?;
        assert_eq!(mass(only.log_prob(&k)?)?, (vec![rows], vec![0.0; rows]));
        let only = OneHotCategorical::logits(Tensor::zeros([rows, 1], device))?;
        let found = mass(only.log_prob(&k.one_hot(1))?)?;
        assert_eq!(found, (vec![rows], vec![0.0; rows]));

        let coin = Bernoulli::logits(Tensor::scalar(0.0))?;
        assert_eq!(mass(coin.log_prob(&k)?)?.0, [rows]);
        let normal = Normal::new(Tensor::scalar(0.0), 1.0)?;
        assert_eq!(mass(normal.log_prob(&k)?)?.0, [rows]);
    }
    refused!(
        Categorical::logits(repeated(device, &[0.0, 1.0], 3))?
            .log_prob(&tensor(device, &[0.0, 1.0])),
        Parameter,
        "shape [2]",
        "[3]"
    );
    Ok(())
}

/// An error names the line that its reader can change.
fn errors_name_lines_of_the_user(device: &Device) -> Result<()> {
    let stream = || Key::new(1).stream("x");
    let huge = [usize::MAX / 8, 4];
    refused!(
        stream().normals(huge, device),
        Shape,
        "normals",
        "dist/errors.rs"
    );
    refused!(
        stream().uniforms(huge, device),
        Shape,
        "uniforms",
        "dist/errors.rs"
    );
    let coins = Bernoulli::probs(Tensor::scalar(0.5)).unwrap();
    let error = coins.expand(&[1, 2, 3, 4, 5]).unwrap_err().to_string();
    assert!(!error.contains("src/"), "{error}");
    Ok(())
}

fn plates_expand_tensors_and_refuse_host_numbers(device: &Device) -> Result<()> {
    refused!(
        Bernoulli::probs(0.5)?.expand(&[3]),
        Parameter,
        "host number inside a plate",
        "for"
    );
    refused!(
        Categorical::probs([1.0])?.expand(&[3]),
        Parameter,
        "host number inside a plate"
    );
    refused!(
        OneHotCategorical::probs([1.0])?.expand(&[3]),
        Parameter,
        "host number"
    );
    refused!(
        Normal::new(0.0, 1.0)?.expand(&[3]),
        Parameter,
        "host number inside a plate"
    );
    refused!(
        Bernoulli::probs(tensor(device, &[0.5, 0.5]))?.expand(&[3]),
        Parameter,
        "[2]",
        "[3]"
    );
    refused!(
        Categorical::probs(tensor(device, &[0.5, 0.5]))?.expand(&[2]),
        Parameter,
        "[1, length]"
    );

    let shape = |value: Tensor| value.shape().to_vec();
    let coin = Bernoulli::probs(Tensor::scalar(0.5))?.expand(&[3, 2])?;
    assert_eq!(shape(draw(&coin, "c")?), [3, 2]);
    let vector = Bernoulli::probs(repeated(device, &[0.5, 0.5], 1))?.expand(&[3])?;
    assert_eq!(shape(draw(&vector, "v")?), [3, 2]);
    let one_hot = OneHotCategorical::logits(repeated(device, &[0.0, 1.0], 1))?.expand(&[3])?;
    assert_eq!(shape(draw(&one_hot, "o")?), [3, 2]);
    let index = Categorical::logits(repeated(device, &[0.0, 1.0], 3))?.expand(&[3])?;
    assert_eq!(shape(draw(&index, "i")?), [3]);
    let normal = Normal::new(0.0, Tensor::scalar(2.0))?.expand(&[3])?;
    let rows = draw(&normal, "n")?.to_vec()?;
    assert!(rows.len() == 3 && rows[0] != rows[1]);
    assert!(Bernoulli::probs(0.5)?.expand(&[]).is_ok());
    Ok(())
}

on_every_engine!(
    bad_parameters_are_typed_errors,
    values_outside_the_support_are_typed_errors,
    axes_of_length_1_are_axes,
    errors_name_lines_of_the_user,
    plates_expand_tensors_and_refuse_host_numbers
);

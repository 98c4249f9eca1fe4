//! Continuous laws where numbers end, in plates, on devices, and with wrong parameters.

use std::f64::consts::PI;

use super::*;

/// Draws, densities of the draws and all of their derivatives.
fn numbers<D: Continuous<Real = Tensor, Tensors = D>>(parameters: &[f32]) -> Result<[Vec<f32>; 3]> {
    let leaves: Vec<Tensor> = parameters
        .iter()
        .map(|&p| Tensor::full([2_000], p, &Device::cpu()).leaf())
        .collect();
    let law = D::of(&leaves).checked()?;
    let draw = Law::draw(&law, &Law::noise(&law, &mut Key::new(2).stream("extreme"))?);
    assert!(
        Continuous::contains(&law, &draw)?,
        "{}: {parameters:?}",
        Law::name(&law)
    );
    let density = Law::log_density(&law, &draw);
    let wrt: Vec<&Tensor> = leaves.iter().collect();
    let mut slopes = Vec::new();
    for gradient in grad(&[(&draw, None), (&density, None)], &wrt)? {
        slopes.extend(gradient.to_vec()?);
    }
    Ok([draw.to_vec()?, density.to_vec()?, slopes])
}

#[test]
fn extremes_stay_finite() -> Result<()> {
    let mut all = Vec::new();
    for small in [1e-3, 0.01, 1.0, 1e3, 1e5, 1e7] {
        for rate in [1e-3, 1.0, 1e3] {
            all.push(("Gamma", numbers::<Gamma<Tensor>>(&[small, rate])?));
            all.push((
                "InverseGamma",
                numbers::<InverseGamma<Tensor>>(&[small, rate])?,
            ));
        }
        for other in [1e-3, 1.0, 1e5] {
            all.push(("Beta", numbers::<Beta<Tensor>>(&[small, other])?));
        }
        all.push(("StudentT", numbers::<StudentT<Tensor>>(&[small, 0.0, 1.0])?));
        all.push(("Cauchy", numbers::<Cauchy<Tensor>>(&[0.0, small])?));
        all.push(("HalfCauchy", numbers::<HalfCauchy<Tensor>>(&[small])?));
        all.push(("Laplace", numbers::<Laplace<Tensor>>(&[1.0, small])?));
        all.push(("Gumbel", numbers::<Gumbel<Tensor>>(&[-1.0, small])?));
        all.push(("Logistic", numbers::<Logistic<Tensor>>(&[0.0, small])?));
        all.push(("Exponential", numbers::<Exponential<Tensor>>(&[small])?));
        all.push(("HalfNormal", numbers::<HalfNormal<Tensor>>(&[small])?));
        all.push(("Uniform", numbers::<Uniform<Tensor>>(&[-small, small])?));
    }
    for scale in [1e-3, 1.0, 10.0] {
        all.push(("LogNormal", numbers::<LogNormal<Tensor>>(&[0.0, scale])?));
    }
    for (name, kinds) in all {
        for (what, numbers) in ["draw", "density", "slope"].into_iter().zip(kinds) {
            let wrong = numbers.iter().find(|x| !x.is_finite());
            assert_eq!(wrong, None, "{name}: {what}");
        }
    }
    Ok(())
}

/// Draws of large shapes keep the digits of their spread.
#[test]
fn large_shapes_are_near_gaussian() -> Result<()> {
    for shape in [1e4_f32, 1e5, 1e6] {
        let gamma = Gamma::new(Tensor::full([DRAWS], shape, &Device::cpu()), 1.0)?;
        let draws = wide(&gamma.sample(&mut Key::new(9).stream("x"))?)?;
        let standard = draws
            .iter()
            .map(|x| (x - f64::from(shape)) / f64::from(shape).sqrt());
        let (mut sum, mut squares) = (0.0, 0.0);
        for t in standard {
            sum += t;
            squares += t * t;
        }
        let n = DRAWS as f64;
        assert!((sum / n).abs() < 4.5 / n.sqrt(), "{shape}: {}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.05, "{shape}: {}", squares / n);
        let at_mean = gamma
            .log_prob(&Tensor::full([DRAWS], shape, &Device::cpu()))?
            .total()?
            / n;
        let wanted = -0.5 * (2.0 * PI * f64::from(shape)).ln();
        assert!(
            (at_mean - wanted).abs() < 1e-5 * wanted.abs() + 1e-5,
            "{at_mean} {wanted}"
        );
    }
    Ok(())
}

#[test]
fn plates_have_a_draw_for_each_row() -> Result<()> {
    let column = Tensor::from_vec(vec![0.5, 1.0, 2.0], [3, 1], &Device::cpu())?;
    let gamma = Gamma::new(&column, 2.0)?.expand(&[3])?;
    let draw = gamma.sample(&mut Key::new(1).stream("x"))?;
    assert_eq!(draw.shape(), [3, 1].into());
    let scalar = StudentT::new(4.0, Tensor::scalar(1.0), 2.0)?.expand(&[5])?;
    assert_eq!(
        scalar.sample(&mut Key::new(1).stream("x"))?.shape(),
        5.into()
    );
    let law = Beta::new(&column, Tensor::from_slice(&[1.0, 2.0]))?.law()?;
    let draw = law.draw(&law.noise(&mut Key::new(1).stream("x"))?);
    assert_eq!(draw.shape(), [3, 2].into());
    assert_eq!(law.mean().shape(), [3, 2].into());
    let error = Gamma::new(Tensor::from_slice(&[1.0, 2.0]), 1.0)?
        .expand(&[3])
        .unwrap_err();
    assert!(error.to_string().contains("leading axes"), "{error}");
    let error = Gamma::new(1.0, 1.0)?.expand(&[3]).unwrap_err();
    assert!(error.to_string().contains("host number"), "{error}");
    Ok(())
}

/// A single number on the CPU goes where the other parameters are.
#[cfg(feature = "dfdx")]
#[test]
fn parameters_come_together_on_one_device() -> Result<()> {
    let device = Device::dfdx();
    let there = Tensor::from_vec(vec![0.5, 1.0, 2.0], [3], &device)?;
    let here = || Tensor::scalar(1.5);
    let drawn = |law: std::rc::Rc<dyn Law>| -> Result<()> {
        let draw = law.draw(&law.noise(&mut Key::new(1).stream("x"))?);
        draw.check()?;
        law.log_density(&draw).check()?;
        assert_eq!((draw.device(), draw.shape()), (device.clone(), 3.into()));
        Ok(())
    };
    drawn(relax_runtime::dist::Normal::new(here(), &there)?.law()?)?;
    drawn(Gamma::new(here(), &there)?.law()?)?;
    drawn(Gamma::new(&there, here())?.law()?)?;
    drawn(StudentT::new(here(), 0.0, &there)?.law()?)?;
    drawn(StudentT::new(&there, here(), 1.0)?.law()?)?;
    drawn(StudentT::new(here(), &there, here())?.law()?)
}

#[test]
fn wrong_parameters_and_values_are_named() -> Result<()> {
    let message = |found: Result<()>| found.unwrap_err().to_string();
    for (error, parts) in [
        (
            message(Gamma::new(-1.0, 1.0).map(|_| ())),
            ["Gamma", "concentration", "-1"],
        ),
        (
            message(Gamma::new(1.0, f64::INFINITY).map(|_| ())),
            ["Gamma", "rate", "inf"],
        ),
        (
            message(Uniform::new(2.0, 1.0).map(|_| ())),
            ["Uniform", "high", "above"],
        ),
        (
            message(Uniform::new(1e9, 1e9 + 1.0).map(|_| ())),
            ["Uniform", "high", "tell them apart"],
        ),
        (
            message(Uniform::new(-3e38, 3e38).map(|_| ())),
            ["Uniform", "high", "f32 holds"],
        ),
        (
            message(StudentT::new(1.0, f64::NAN, 1.0).map(|_| ())),
            ["StudentT", "loc", "finite"],
        ),
        (
            message(Laplace::new(0.0, Tensor::scalar(0.0)).map(|_| ())),
            ["Laplace", "scale", "0"],
        ),
        (
            message(
                Beta::new(
                    Tensor::ones([2], &Device::cpu()),
                    Tensor::ones([3], &Device::cpu()),
                )
                .map(|_| ()),
            ),
            ["Beta", "concentration0", "broadcast"],
        ),
        (
            message(Beta::new(1.0, 1.0)?.log_prob(&1.0).map(|_| ())),
            ["Beta", "1", "between 0 and 1"],
        ),
        (
            message(Gamma::new(1.0, 1.0)?.log_prob(&0.0).map(|_| ())),
            ["Gamma", "0", "positive"],
        ),
        (
            // An f32 there is a sixteenth from the next one.
            message(
                Uniform::new(1e6, 1e6 + 1.0)?
                    .log_prob(&1_000_001.2)
                    .map(|_| ()),
            ),
            ["Uniform", "1000001.2", "ends"],
        ),
        (
            message(Uniform::new(0.0, 1.0)?.log_prob(&1.1).map(|_| ())),
            ["Uniform", "1.1", "ends"],
        ),
        (
            message(HalfNormal::new(1e-60)?.law().map(|_| ())),
            ["HalfNormal", "scale", "0"],
        ),
        (
            message(
                relax_runtime::dist::Normal::new(0.0, 1e-60)?
                    .law()
                    .map(|_| ()),
            ),
            ["Normal", "scale", "0"],
        ),
    ] {
        for part in parts {
            assert!(error.contains(part), "{error} has no {part}");
        }
    }
    Ok(())
}

//! What can be differentiated, when, and what the graph costs.

use relax_runtime::tensor::{Parameter, Recorder, Traced, grad, grad_parameters};
use relax_runtime::{Device, Error, Result, Tensor};

fn gradient(output: &Tensor, wrt: &Tensor) -> Result<Vec<f32>> {
    grad(&[(output, None)], &[wrt])?[0].to_vec()
}

#[test]
fn cotangents_of_several_outputs_add_up() -> Result<()> {
    let x = Tensor::from_slice(&[1.0, 2.0]).leaf();
    let (square, total) = (x.square(), x.sum_all());
    let weights = Tensor::from_slice(&[3.0, 5.0]);
    let g = grad(
        &[(&square, Some(&weights)), (&total, None), (&total, None)],
        &[&x],
    )?;
    assert_eq!(g[0].to_vec()?, [2.0 * 3.0 + 2.0, 4.0 * 5.0 + 2.0]);
    Ok(())
}

#[test]
fn intermediate_results_are_targets_apart_from_their_origins() -> Result<()> {
    let x = Tensor::from_slice(&[1.0, 2.0]).leaf();
    let flat = x.reshape([2, 1]);
    let y = flat.square();
    let out = y.sum_all() * 3.0 + x.sum_all();
    let g = grad(&[(&out, None)], &[&y, &flat, &x, &flat])?;
    assert_eq!(g[0].to_vec()?, [3.0, 3.0]);
    assert_eq!(g[1].to_vec()?, [6.0, 12.0]);
    assert_eq!(g[1].shape(), flat.shape());
    assert_eq!(g[2].to_vec()?, [7.0, 13.0]);
    assert_eq!(g[3].to_vec()?, g[1].to_vec()?);
    Ok(())
}

#[test]
fn unreached_targets_get_zeros_and_outputs_may_be_targets() -> Result<()> {
    let (x, y) = (
        Tensor::scalar(2.0).leaf(),
        Tensor::from_slice(&[1.0, 2.0]).leaf(),
    );
    let out = x.exp();
    let g = grad(&[(&out, None)], &[&y, &out])?;
    assert_eq!(g[0].to_vec()?, [0.0, 0.0]);
    assert_eq!(g[1].item()?, 1.0);
    let constant = Tensor::scalar(1.0);
    assert_eq!(gradient(&constant, &y)?, [0.0, 0.0]);
    Ok(())
}

#[test]
fn a_part_is_differentiated_once_and_another_part_later() -> Result<()> {
    let (x, y) = (Tensor::scalar(2.0).leaf(), Tensor::scalar(3.0).leaf());
    let (left, right) = (x.square(), y.square());
    let out = &left + &right;
    assert_eq!(gradient(&left, &x)?, [4.0]);
    assert_eq!(gradient(&right, &y)?, [6.0], "not yet used up");
    assert_eq!(
        gradient(&out, &left)?,
        [1.0],
        "the sum was not used up either"
    );
    let again = gradient(&left, &x).unwrap_err();
    assert!(matches!(again, Error::Autodiff(_)), "{again}");
    assert!(
        again.to_string().contains("run the forward pass again"),
        "{again}"
    );
    Ok(())
}

#[test]
fn a_refused_pass_uses_nothing_up() -> Result<()> {
    let x = Tensor::scalar(2.0).leaf();
    let inner = x.square();
    let outer = inner.exp();
    gradient(&inner, &x)?;
    assert!(gradient(&outer, &x).is_err());
    assert_eq!(gradient(&outer, &inner)?, outer.to_vec()?);
    Ok(())
}

#[test]
fn detached_values_take_no_gradient_from_their_origin() -> Result<()> {
    let x = Tensor::from_slice(&[2.0, 3.0]).leaf();
    let product = x.detach() * &x;
    assert_eq!(gradient(&product, &x)?, [2.0, 3.0]);
    let product = &x * x.detach().reshape(2);
    assert_eq!(gradient(&product, &x)?, [2.0, 3.0]);
    let chosen = Tensor::from_slice(&[1.0, 0.0]).select_where(&x, &x.detach());
    assert_eq!(gradient(&chosen, &x)?, [1.0, 0.0]);
    let joined = Tensor::concat(&[&x.detach(), &x, &x], 0);
    assert_eq!(gradient(&joined, &x)?, [2.0, 2.0]);
    let dot = x.detach().matmul(&x);
    assert_eq!(gradient(&dot, &x)?, [2.0, 3.0]);
    let y = x.exp();
    let both = y.detach() + &y;
    assert_eq!(gradient(&both, &y)?, [1.0, 1.0]);
    let z = Tensor::from_slice(&[1.0, 1.0]);
    let mixed = (&z + &z.reshape([2])) * &x + z.detach() * &z * &x;
    assert_eq!(gradient(&mixed, &x)?, [3.0, 3.0]);
    assert!(!x.detach().is_tracked() && x.with_tangent(&z).detach().tangent().is_none());
    Ok(())
}

#[test]
fn leaves_of_one_tensor_are_separate_variables() -> Result<()> {
    let x = Tensor::scalar(2.0);
    let (a, b) = (x.leaf(), x.leaf());
    let out = &a * &b * &b;
    let g = grad(&[(&out, None)], &[&a, &b])?;
    assert_eq!((g[0].item()?, g[1].item()?), (4.0, 8.0));
    Ok(())
}

#[test]
fn bad_requests_are_errors() {
    let x = Tensor::from_slice(&[1.0, 2.0]).leaf();
    let constant = Tensor::scalar(1.0);
    let y = x.exp();
    let refused = |outcome: Result<Vec<Tensor>>| outcome.unwrap_err().to_string();
    assert!(refused(grad(&[(&y, None)], &[&constant])).contains("leaf()"));
    assert!(refused(grad(&[(&y, Some(&constant))], &[&x])).contains("[2]"));
    let poisoned = &x + &Tensor::from_slice(&[1.0; 3]);
    assert!(refused(grad(&[(&poisoned, None)], &[&x])).contains("add"));
    assert!(refused(grad(&[(&y, None)], &[&poisoned])).contains("add"));
}

#[test]
fn long_chains_neither_overflow_the_stack_nor_slow_down() -> Result<()> {
    let x = Tensor::scalar(1.0).leaf();
    let mut y = x.clone();
    for _ in 0..200_000 {
        y = y + 1.0;
    }
    let dropped = &y * 2.0;
    drop(dropped);
    assert_eq!(gradient(&y, &x)?, [1.0]);
    drop(y);
    Ok(())
}

#[test]
fn parameters_are_found_and_shared() -> Result<()> {
    let w = Parameter::new(Tensor::from_slice(&[1.0, 2.0])).named("w");
    let b = Parameter::new(Tensor::scalar(3.0));
    let other = Parameter::new(Tensor::scalar(0.0));
    let handle = w.clone();
    let out = (w.get() * handle.get()).sum_all() * b.get();
    let g = grad_parameters(&[(&out, None)])?;
    assert_eq!(
        g.iter()
            .map(|(parameter, _)| parameter.key())
            .collect::<Vec<_>>(),
        [w.key(), b.key()]
    );
    assert_eq!(g[0].1.to_vec()?, [6.0, 12.0]);
    assert_eq!(g[1].1.item()?, 5.0);
    assert!(
        g.iter()
            .all(|(parameter, _)| parameter.key() != other.key())
    );

    handle.set(Tensor::from_slice(&[5.0, 6.0]))?;
    assert_eq!(w.get().to_vec()?, [5.0, 6.0]);
    assert_eq!((w.name(), b.name()), (Some("w"), None));
    let wrong = handle.set(Tensor::scalar(0.0)).unwrap_err();
    assert!(matches!(wrong, Error::Shape { .. }), "{wrong}");
    assert!(grad_parameters(&[(&Tensor::scalar(1.0), None)])?.is_empty());
    Ok(())
}

#[test]
fn a_tangents_gradient_reaches_parameters() -> Result<()> {
    // d/dw of the derivative of tanh(w x) along v is (1 - t²) v - 2 t (1 - t²) w v x.
    let (w, x, v) = (0.7f32, 1.3f32, 0.4f32);
    let parameter = Parameter::new(Tensor::scalar(w));
    let out = (parameter.get() * Tensor::scalar(x).with_tangent(&Tensor::scalar(v))).tanh();
    let tangent = out.tangent().unwrap();
    let g = grad_parameters(&[(&tangent, None)])?;
    let t = (w * x).tanh();
    let slope = 1.0 - t * t;
    assert!((g[0].1.item()? - (slope * v - 2.0 * t * slope * w * v * x)).abs() < 1e-6);
    assert!(out.primal().tangent().is_none() && out.primal().is_tracked());
    Ok(())
}

#[cfg(feature = "dfdx")]
#[test]
fn dfdx_tensors_and_modules_round_trip() -> Result<()> {
    use dfdx::nn::modules::{Linear, Tanh};
    use dfdx::nn::{BuildOnDevice, Module, builders};
    use dfdx::prelude::{AsArray, Const, Cpu, Rank2};

    let dev = Cpu::default();
    type Builder = (builders::Linear<3, 2>, Tanh);
    let module: (Linear<3, 2, f32, Cpu>, Tanh) = Builder::build_on_device(&dev);
    let x = Tensor::from_vec(vec![0.1, -0.2, 0.3, 0.4, 0.5, -0.6], [2, 3], &Device::cpu())?.leaf();

    let typed: dfdx::prelude::Tensor<Rank2<2, 3>, f32, Cpu> = x.to_dfdx()?;
    assert_eq!(typed.array(), [[0.1, -0.2, 0.3], [0.4, 0.5, -0.6]]);
    assert_eq!(Tensor::from_dfdx(&typed).to_vec()?, x.to_vec()?);

    let out = x.apply_module(|t: Traced<(usize, Const<3>)>| module.forward(t));
    let weight = Tensor::from_dfdx(&module.0.weight);
    let bias = Tensor::from_dfdx(&module.0.bias);
    let same = (x.matmul_nt(&weight) + &bias).tanh();
    let (got, want) = (gradient(&out, &x)?, gradient(&same, &x)?);
    assert_eq!(out.shape(), same.shape());
    let values = out.to_vec()?.into_iter().chain(got);
    for (got, want) in values.zip(same.to_vec()?.into_iter().chain(want)) {
        assert!((got - want).abs() < 1e-6, "{got} {want}");
    }
    let identity = x.apply_module(|t: Traced<Rank2<2, 3>>| t);
    assert_eq!(gradient(&(&identity * &x), &x)?, (&x * 2.0).to_vec()?);

    let wrong = x.apply_module(|t: Traced<Rank2<3, 2>>| t);
    assert!(matches!(
        wrong.check(),
        Err(Error::Shape {
            op: "apply_module",
            ..
        })
    ));
    let moving = x
        .with_tangent(&x.detach())
        .apply_module(|t: Traced<Rank2<2, 3>>| t);
    assert!(matches!(moving.check(), Err(Error::Autodiff(_))));
    drop(Recorder::<Cpu>::default());
    Ok(())
}

#[test]
fn a_thread_may_keep_tensors_until_it_ends() {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<Tensor>> = const { std::cell::RefCell::new(None) };
    }
    let thread = std::thread::spawn(|| {
        KEPT.set(None);
        let mut x = Tensor::scalar(1.0).leaf();
        for _ in 0..10_000 {
            x = x.exp();
        }
        KEPT.set(Some(x));
        let mut deep = Tensor::scalar(1.0).leaf();
        for _ in 0..100 {
            deep = deep.exp();
        }
    });
    assert!(thread.join().is_ok());
}

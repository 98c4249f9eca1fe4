//! The engines agree: values, gradients, tangents and gradients of tangents of every operation.

use std::collections::BTreeSet;

use super::{Device, Shape, Tensor, engine, grad};
use crate::error::Result;

#[path = "../../tests/support/table.rs"]
mod table;

use table::{Case, cases, spread, table};

/// The engines that are compared with this project's own.
fn devices() -> Vec<Device> {
    let gpu = Device::cuda(0).ok();
    std::iter::once(Device::dfdx()).chain(gpu).collect()
}

/// Operations that only this crate calls, or that jump.
fn internal(a: usize, b: usize, c: usize) -> Vec<Case> {
    cases! {
        "coin_log_mass" [-2.0, 2.0] [a, b], [b] => |x| x[0].coin_log_mass(&x[1]);
        "coin_score" [-2.0, 2.0] [a, b], [a, 1] => |x| x[0].coin_score(&x[1]);
        "coin_log_mass_from" [-2.0, 2.0] [a, b, c], [b, c] => |x| x[0].coin_log_mass_from(&x[1], 1);
        "dot_from" [-2.0, 2.0] [a, b, c], [a, b, c] => |x| x[0].dot_from(&x[1], 1);
        "kept_within" [-2.0, 2.0] [a, b] => |x| x[0].kept_within(-0.71, 1.13);
        "a constant with the identity of a variable" [0.5, 2.0] [a, b] => |x| {
            let constant = x[0].detach();
            &x[0] * &constant + (&constant / &x[0]) * x[0].matmul_nt(&constant).sum_all()
        };
        "a power of 0" [0.5, 2.0] [a, b] => |x| (x[0].powi(0) + x[0].powf(0.0)) * &x[0];
        "eq, gt, ge, lt, le" [-2.0, 2.0] [a, b], [b] => |x| {
            let (x, y) = (&x[0], &x[1]);
            (x.eq(x) + x.gt(y) * 2.0 + x.ge(y) * 4.0 + x.lt(y) * 8.0 + x.le(y) * 16.0) * x
        };
        "there and back" [-2.0, 2.0] [a, b] => |x| {
            let there = x[0].square().to_device(&Device::dfdx()).map(|x| x.exp());
            let back = there.and_then(|x| x.to_device(&Device::cpu()));
            back.and_then(|y| y.to_device(&x[0].device())).unwrap_or_else(Tensor::poisoned)
        };
    }
}

/// Value, gradients, tangent, and the tangent's gradients, in this order.
fn derivatives(case: &Case, salt: u64, device: &Device) -> Result<Vec<(String, Vec<f32>)>> {
    let numbers = |shape: Shape, range, salt| {
        Tensor::from_vec(spread(shape.numel(), range, salt), shape, device)
    };
    let each = |range: (f32, f32), salt: u64| -> Result<Vec<Tensor>> {
        let shapes = case.shapes.iter().zip(salt..);
        shapes
            .map(|(shape, salt)| numbers(*shape, range, salt))
            .collect()
    };
    let leaves: Vec<Tensor> = each(case.range, salt)?.iter().map(Tensor::leaf).collect();
    let wrt: Vec<&Tensor> = leaves.iter().collect();
    let out = (case.f)(&leaves);
    out.check()?;
    assert_eq!(out.device(), *device, "{}", case.name);
    let cotangent = numbers(out.shape(), (-1.0, 1.5), salt + 10)?;
    let mut found = vec![("value".to_owned(), out.to_vec()?)];
    let mut keep = |what: &str, gradients: Vec<Tensor>| -> Result<()> {
        for (i, gradient) in gradients.into_iter().enumerate() {
            found.push((format!("{what} {i}"), gradient.to_vec()?));
        }
        Ok(())
    };
    keep("gradient", grad(&[(&out, Some(&cotangent))], &wrt)?)?;
    let moving: Vec<Tensor> = (leaves.iter().zip(each((-1.0, 1.0), salt + 20)?))
        .map(|(x, t)| x.with_tangent(&t))
        .collect();
    let tangent = (case.f)(&moving)
        .tangent()
        .unwrap_or_else(|| out.zeros_like());
    keep("tangent", vec![tangent.clone()])?;
    keep(
        "gradient of the tangent",
        grad(&[(&tangent, Some(&cotangent))], &wrt)?,
    )?;
    Ok(found)
}

/// The names of the engines' operations, read from where they are listed.
fn listed() -> BTreeSet<&'static str> {
    const NUMBERS: [&str; 5] = ["upload", "full", "renewed", "detached", "slot"];
    let text = include_str!("engine.rs");
    let start = text.find("trait Engine {").map_or(0, |at| at);
    let names = text[start..]
        .lines()
        .take_while(|line| *line != "}")
        .filter_map(|line| line.strip_prefix("    fn ")?.split(['(', '<']).next());
    names.filter(|name| !NUMBERS.contains(name)).collect()
}

#[test]
fn all_operations_agree() -> Result<()> {
    for device in devices() {
        engine::met(BTreeSet::clear);
        for (round, [a, b, c]) in [[2, 3, 4], [1, 2, 1], [3, 4, 2]].into_iter().enumerate() {
            let cases = table(a, b, c).into_iter().chain(internal(a, b, c));
            for case in cases {
                let salt = 100 * round as u64 + 7;
                let expected = derivatives(&case, salt, &Device::cpu())?;
                let found = derivatives(&case, salt, &device)?;
                for ((what, found), (_, expected)) in found.iter().zip(&expected) {
                    let name = case.name;
                    assert_eq!(found.len(), expected.len(), "{name}: {what}");
                    for (found, expected) in found.iter().zip(expected) {
                        let near = (found - expected).abs() <= 5e-5 * (1.0 + expected.abs());
                        assert!(near, "{name}: {what}: {found} on {device}, not {expected}");
                    }
                }
            }
        }
        let missing = engine::met(|met| listed().difference(met).copied().collect::<Vec<_>>());
        assert!(missing.is_empty(), "no case runs {missing:?} on {device}");
    }
    Ok(())
}

/// Numbers that are NaN, infinite, tiny or huge.
const FAR: [f32; 30] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1e-40,
    1e-30,
    -1e-30,
    1e-10,
    -1e-10,
    1e-4,
    -1e-4,
    0.3,
    -0.3,
    0.999_999,
    1.0,
    -1.0,
    15.0,
    -15.0,
    40.0,
    -40.0,
    87.0,
    -87.0,
    95.0,
    -95.0,
    150.0,
    1e10,
    -1e10,
    3e38,
    -3e38,
];

type Single = fn(&Tensor) -> Tensor;
type Double = fn(&Tensor, &Tensor) -> Tensor;

const SINGLE: [(&str, Single); 36] = [
    ("exp", |x| x.exp()),
    ("ln", |x| x.ln()),
    ("ln_1p", |x| x.ln_1p()),
    ("exp_m1", |x| x.exp_m1()),
    ("lgamma", |x| x.lgamma()),
    ("digamma", |x| x.digamma()),
    ("trigamma", |x| x.polygamma(1)),
    ("stirling_error", |x| x.stirling_error()),
    ("unit_deviance", |x| x.unit_deviance()),
    ("erf", |x| x.erf()),
    ("erfc", |x| x.erfc()),
    ("sqrt", |x| x.sqrt()),
    ("square", |x| x.square()),
    ("abs", |x| x.abs()),
    ("neg", |x| x.neg()),
    ("recip", |x| x.recip()),
    ("powf", |x| x.powf(2.5)),
    ("powi", |x| x.powi(3)),
    ("powi of a negative", |x| x.powi(-2)),
    ("sigmoid", |x| x.sigmoid()),
    ("logit", |x| x.logit()),
    ("tanh", |x| x.tanh()),
    ("relu", |x| x.relu()),
    ("elu", |x| x.elu(0.5)),
    ("leaky_relu", |x| x.leaky_relu(0.2)),
    ("softplus", |x| x.softplus()),
    ("log_sigmoid", |x| x.log_sigmoid()),
    ("clamp", |x| x.clamp(-2.0, 1e9)),
    ("sign", |x| x.sign()),
    ("shift", |x| x + 1.5),
    ("scale", |x| x * -2.0),
    ("divide", |x| x / 3.0),
    ("logsumexp", |x| {
        x.unsqueeze(-1).broadcast_to([30, 3]).logsumexp(1)
    }),
    ("softmax", |x| {
        Tensor::stack(&[x, &x.zeros_like()], -1).softmax(1)
    }),
    ("log_softmax", |x| {
        Tensor::stack(&[x, &x.neg()], -1).log_softmax(1)
    }),
    ("max", |x| x.max_all() + x.unsqueeze(0).max(0)),
];

const DOUBLE: [(&str, Double); 13] = [
    ("add", |x, y| x + y),
    ("sub", |x, y| x - y),
    ("mul", |x, y| x * y),
    ("div", |x, y| x / y),
    ("maximum", |x, y| x.maximum(y)),
    ("minimum", |x, y| x.minimum(y)),
    ("coin_log_mass", |x, y| x.coin_log_mass(&y.sigmoid())),
    ("coin_score", |x, y| x.coin_score(&y.sigmoid())),
    ("eq", |x, y| x.eq(y)),
    ("gt", |x, y| x.gt(y)),
    ("ge", |x, y| x.ge(y)),
    ("lt", |x, y| x.lt(y)),
    ("le", |x, y| x.le(y)),
];

/// Whether the numbers are the same up to rounding, or both negligible.
fn alike(a: f32, b: f32) -> bool {
    let near = |a: f32, b: f32| (a - b).abs() <= 2e-5 * a.abs().max(b.abs()) + 1e-37;
    a == b || (a.is_nan() && b.is_nan()) || near(a, b)
}

/// Values and derivatives of `f` at all numbers, or all pairs.
fn at_the_edge(
    device: &Device,
    f: impl Fn(&[Tensor]) -> Tensor,
    pairs: bool,
) -> Result<[Vec<f32>; 3]> {
    let n = FAR.len();
    let shapes: [Shape; 2] = match pairs {
        true => [[n, 1].into(), [1, n].into()],
        false => [[n].into(), [0].into()],
    };
    let far = |shape: Shape| Tensor::from_vec(FAR[..shape.numel()].to_vec(), shape, device);
    let x = [far(shapes[0])?.leaf(), far(shapes[1])?.leaf()];
    let x = match pairs {
        true => x.map(|x| x.broadcast_to([n, n])),
        false => x,
    };
    let value = f(&x);
    let weights = (0..value.len()).map(|i| if i % 2 == 0 { 1.0 } else { -0.5 });
    let weights = Tensor::from_vec(weights.collect(), value.shape(), device)?;
    let gradient = grad(&[(&value, Some(&weights))], &[&x[0]]);
    let moving = x
        .each_ref()
        .map(|x| x.detach().with_tangent(&x.ones_like()));
    let tangent = f(&moving).tangent().unwrap_or_else(|| value.zeros_like());
    Ok([value.to_vec()?, gradient?[0].to_vec()?, tangent.to_vec()?])
}

#[test]
fn operations_agree_where_numbers_end() -> Result<()> {
    for device in devices() {
        let compare =
            |name: &str, f: &dyn Fn(&[Tensor]) -> Tensor, pairs: bool| -> Result<Vec<String>> {
                let expected = at_the_edge(&Device::cpu(), f, pairs)?;
                let found = at_the_edge(&device, f, pairs)?;
                let mut wrong = Vec::new();
                for (what, (found, expected)) in ["value", "gradient", "tangent"]
                    .into_iter()
                    .zip(found.iter().zip(&expected))
                {
                    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                        if !alike(*found, *expected) {
                            let at = match pairs {
                                true => format!("{}, {}", FAR[i / FAR.len()], FAR[i % FAR.len()]),
                                false => format!("{i}"),
                            };
                            wrong.push(format!("{name} at {at}: {what} {found}, not {expected}"));
                        }
                    }
                }
                Ok(wrong)
            };
        let mut wrong = Vec::new();
        for (name, f) in SINGLE {
            wrong.extend(compare(name, &|x| f(&x[0]), false)?);
        }
        for (name, f) in DOUBLE {
            wrong.extend(compare(name, &|x| f(&x[0], &x[1]), true)?);
        }
        assert!(wrong.is_empty(), "on {device}:\n{}", wrong.join("\n"));
    }
    Ok(())
}

/// Neither end of a clamp lets infinite numbers through.
#[test]
fn clamps_stop_infinite_derivatives() -> Result<()> {
    for device in devices() {
        let place = |numbers: [f32; 4]| Tensor::from_vec(numbers.to_vec(), [4], &device);
        let x = place([-1.0, 0.5, 2.0, f32::NAN])?;
        let infinite = place([f32::INFINITY, 3.0, f32::NEG_INFINITY, 5.0])?;
        let leaf = x.leaf();
        let slopes = grad(&[(&leaf.clamp(0.0, 1.0), Some(&infinite))], &[&leaf])?;
        assert_eq!(slopes[0].to_vec()?, [0.0, 3.0, 0.0, 5.0], "on {device}");
        let moved = x.with_tangent(&infinite).clamp(0.0, 1.0);
        let moved = moved.tangent().unwrap_or_else(|| x.zeros_like());
        assert_eq!(moved.to_vec()?, [0.0, 3.0, 0.0, 5.0], "on {device}");
    }
    Ok(())
}

/// A single number on the CPU goes where the other operand is, and its gradient comes back; anything
/// larger is rejected, naming the operation.
#[test]
fn single_numbers_follow() -> Result<()> {
    for device in devices() {
        let x = Tensor::from_vec(vec![1.0, 2.0], [2], &device)?;
        let number = Tensor::scalar(3.0).leaf();
        let scaled = number.square();
        for y in [
            &x * &scaled,
            &scaled * &x,
            x.gt(0.0).select_where(&scaled, &x),
        ] {
            assert_eq!(y.device(), device);
        }
        let y = (&x * &scaled).sum_all() + number.exp();
        let gradient = &grad(&[(&y, None)], &[&number])?[0];
        assert_eq!(gradient.device(), Device::cpu());
        assert!((gradient.item()? - (18.0 + 3f32.exp())).abs() < 1e-4);
        let moving = number.with_tangent(&Tensor::scalar(1.0)).square();
        let tangent = (&x * &moving).tangent().unwrap_or_else(|| x.zeros_like());
        assert_eq!(tangent.to_vec()?, [6.0, 12.0]);
        let elsewhere = Tensor::from_slice(&[1.0, 2.0]);
        let refused = (&x + &elsewhere)
            .check()
            .map(|_| ())
            .unwrap_err()
            .to_string();
        let both = [device.to_string(), Device::cpu().to_string()];
        assert!(
            both.iter().all(|device| refused.contains(device)),
            "{refused}"
        );
    }
    Ok(())
}

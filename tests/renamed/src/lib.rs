//! The language in a crate that calls the runtime `rr`. Nothing that users write may cause compiler or Clippy warnings
//! about what the macros generate from it.
#![cfg(test)]
#![deny(warnings, clippy::all)]

use rr::model::Simulation;
use rr::sample as draw;
use rr::{Result, Tensor, cost, model, observe, param, plate, sample};

/// Macros by name, from the root of the crate.
#[model]
fn by_name(p: f64) -> bool {
    let b = sample!(Bernoulli(p));
    observe!(Bernoulli(p), b, name = "y");
    b
}

/// By path.
#[rr::model]
fn by_path(p: f64) -> f64 {
    let w = rr::param!(0.5);
    let b = rr::sample!(Bernoulli(p));
    rr::cost!(w);
    f64::from(u8::from(b))
}

/// Under another name.
#[model]
fn by_another_name(p: f64) -> bool {
    let b = draw!(Bernoulli(p));
    b
}

/// Under a path that is told.
#[model(crate = rr)]
fn by_told_path(p: f64) -> bool {
    sample!(Bernoulli(p), name = "b")
}

/// One expression in the braces of the function, `?` on its last line, an argument for later.
#[model]
fn short(#[allow(unused_variables)] later: f64) -> Result<f64> {
    { by_value() }
}

fn by_value() -> Result<f64> {
    Ok(1.0)
}

#[model]
fn rows(x: &Tensor, #[cfg(any())] missing: u64) -> Result<()> {
    let w = param!(0.0);
    let mut total = 0.0;
    for &by in &[1.0, 2.0] {
        let on = sample!(Bernoulli(0.5));
        total += if on { by } else { 0.0 };
    }
    while sample!(Bernoulli(0.2), name = "again") {
        cost!(total);
    }
    plate!(x.rows() => {
        let z = sample!(Normal(&w, 1.0));
        observe!(Normal(z, 1.0), x);
    });
    Ok(())
}

#[test]
fn everything_runs() -> Result<()> {
    let simulation = Simulation::seeded(1);
    assert!(simulation.run(&by_name(1.0))?.output);
    assert_eq!(simulation.run(&by_path(1.0))?.output, 1.0);
    assert!(simulation.run(&by_another_name(1.0))?.output);
    assert!(simulation.run(&by_told_path(1.0))?.output);
    assert_eq!(simulation.run(&short(0.0))?.output, 1.0);
    let trace = simulation
        .run(&rows(&Tensor::from_slice(&[0.5, 0.1])))?
        .trace;
    assert!(trace.find("on[1]").is_some() && trace.find("again[0]").is_some());
    Ok(())
}

//! CMA-ES (Hansen and Ostermeier 2001), from the crate `cmaes`.

use cmaes::{CMAESOptions, DVector};
use relax_runtime::prelude::*;

use crate::problem::{Meter, Space};
use crate::program::Outcome;

/// Runs with the crate's defaults from the origin with step size 1, as descent does, and begins anew from
/// a random place where it stops by itself; bits are signs.
///
/// # Errors
/// If the crate refuses the options.
pub(crate) fn run(meter: &Meter<'_>, seed: u64) -> Outcome<()> {
    let mut stream = Key::new(seed).stream("cma");
    let (n, bits) = match meter.problem.space() {
        Space::Bits(n) => (n, true),
        Space::Reals(n) => (n, false),
    };
    let cost = |x: &DVector<f64>| {
        let x = x.iter();
        let x: Vec<f64> = match bits {
            true => x.map(|&x| f64::from(x > 0.0)).collect(),
            false => x.copied().collect(),
        };
        meter.cost(&x)
    };
    let mut start = vec![0.0; n];
    for restart in 0.. {
        let options = CMAESOptions::new(start, 1.0)
            .max_function_evals(meter.left() as usize)
            .seed(seed.wrapping_mul(1000) + restart);
        let mut search = options.build(cost).map_err(|error| format!("{error:?}"))?;
        search.run();
        if meter.is_spent() {
            break;
        }
        start = (0..n).map(|_| stream.normal()).collect();
    }
    Ok(())
}

//! Simulated annealing (Kirkpatrick, Gelatt, Vecchi 1983).

use relax_runtime::prelude::*;

use crate::problem::{Meter, Space};

/// Changes a number at a time, a coin by its other side and a real by a normal step, from a temperature
/// that falls geometrically from the spread of costs at first to 10⁻⁴ of it; steps shrink with its
/// square root.
pub(crate) fn anneal(meter: &Meter<'_>, seed: u64) {
    const LAST: f64 = 1e-4;
    const FIRST_COSTS: usize = 20;
    let mut stream = Key::new(seed).stream("annealing");
    let random = |stream: &mut relax_runtime::Stream| -> Vec<f64> {
        match meter.problem.space() {
            Space::Bits(n) => (0..n)
                .map(|_| f64::from(stream.uniform_f64() < 0.5))
                .collect(),
            Space::Reals(n) => (0..n).map(|_| stream.normal()).collect(),
        }
    };
    let costs: Vec<f64> = (0..FIRST_COSTS)
        .map(|_| meter.cost(&random(&mut stream)))
        .collect();
    let mean = costs.iter().sum::<f64>() / costs.len() as f64;
    let square = costs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / costs.len() as f64;
    let hot = square.sqrt().max(f64::MIN_POSITIVE);
    let mut x = random(&mut stream);
    let mut cost = meter.cost(&x);
    while !meter.is_spent() {
        let cooled = LAST.powf(meter.share());
        let at = stream.below(x.len());
        let before = x[at];
        x[at] = match meter.problem.space() {
            Space::Bits(_) => 1.0 - before,
            Space::Reals(_) => before + 2.0 * cooled.sqrt() * stream.normal(),
        };
        let next = meter.cost(&x);
        if stream.uniform_f64() < (-(next - cost) / (hot * cooled)).exp() {
            cost = next;
        } else {
            x[at] = before;
        }
    }
}

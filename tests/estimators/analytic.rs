//! Estimators at discrete sites whose gradient is known from a formula, for programs that cannot be enumerated: with
//! continuous choices, or too many discrete ones.

use std::rc::Rc;

use relax_runtime::estimator::{Coupling, Estimator, Rebar, Reinforce, Relax};
use relax_runtime::infer::ExpectedCost;
use relax_runtime::{Device, Result};

use crate::models;
use crate::moved::Moved;
use crate::settings::{ROWS, Setting, Values};

/// E\[f\] with f = (x (b + ½) − t)², x ~ N(w b, s): with m = E\[f | b = 1\] − E\[f | b = 0\],
/// where E\[f | 1\] = 9/4 (w² + s²) − 3 t w + t² and E\[f | 0\] = s²/4 + t².
#[test]
fn a_coin_before_a_continuous_choice() -> Result<()> {
    let (theta, w, s, t) = (0.3_f64, 0.8_f64, 0.6_f64, 0.4_f64);
    let p = 1.0 / (1.0 + (-theta).exp());
    let one = 2.25 * (w * w + s * s) - 3.0 * t * w + t * t;
    let zero = 0.25 * s * s + t * t;
    let value = p * one + (1.0 - p) * zero;
    let by_w = p * (4.5 * w - 3.0 * t);
    let by_s = p * 4.5 * s + (1.0 - p) * 0.5 * s;
    let program = models::coin_and_normal(Device::cpu(), ROWS, ROWS);
    let objective = ExpectedCost::new(&program);
    let values: Values<'_> = &[("scale", &[0.6]), ("slope", &[0.8]), ("theta", &[0.3])];
    let gradient = [by_s, by_w, p * (1.0 - p) * (one - zero)];
    let coupling = Coupling::Independent;
    let (relax, rebar) = (Relax::sum(), Rebar::default());
    let estimators: Vec<Rc<dyn Estimator>> = vec![
        Rc::new(Reinforce::default()),
        Rc::new(Moved(Rc::new(relax.clone()))),
        Rc::new(Moved(Rc::new(Relax { coupling, ..relax }))),
        Rc::new(Moved(Rc::new(Relax::free_form()))),
        Rc::new(Moved(Rc::new(rebar.clone()))),
        Rc::new(Moved(Rc::new(Rebar { coupling, ..rebar }))),
    ];
    Setting::rows(&objective, values).check_against(value, &gradient, estimators)
}

/// Coin k has mean mₖ = a + c mₖ₋₁, and costs (h − t)², in expectation mₖ (1 − 2t) + t².
#[test]
fn more_dependent_sites_than_a_set_tells_apart() -> Result<()> {
    let (a, c, t) = (0.3_f64, 0.4_f64, 0.2_f64);
    let (mut mean, mut by_a, mut by_c) = (0.0, 0.0, 0.0);
    let (mut value, mut gradient) = (0.0, [0.0, 0.0]);
    for step in 0..140 {
        (mean, by_a, by_c) = (a + c * mean, 1.0 + c * by_a, mean + c * by_c);
        if step >= 120 {
            value += mean * (1.0 - 2.0 * t) + t * t;
            gradient[0] += by_a * (1.0 - 2.0 * t);
            gradient[1] += by_c * (1.0 - 2.0 * t);
        }
    }
    let program = models::long_chain(ROWS);
    let objective = ExpectedCost::new(&program);
    let setting = Setting {
        calls: 30,
        ..Setting::rows(&objective, &[("bias", &[0.3]), ("slope", &[0.4])])
    };
    let estimators: Vec<Rc<dyn Estimator>> =
        vec![Rc::new(Reinforce::default()), Rc::new(Relax::free_form())];
    setting.check_against(value, &gradient, estimators)
}

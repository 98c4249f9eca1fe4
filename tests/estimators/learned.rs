//! How what a site has learned is trained.

use relax_runtime::estimator::SiteState;
use relax_runtime::optim::{Adam, Sgd};
use relax_runtime::surrogate::{RelaxedCost, VarianceGradient};
use relax_runtime::{Device, Result};

/// The scale of a relaxed cost after one step against a gradient of ones.
fn after_one_step(state: SiteState) -> Result<f32> {
    let mut state = state;
    let parameters = state.parameters().iter();
    let ones: VarianceGradient = parameters.map(|p| p.get().ones_like()).collect();
    state.train(&ones)?;
    state.parameters()[0].get().item()
}

fn state() -> SiteState {
    SiteState::with_surrogate(Box::new(RelaxedCost::new(1.0, 0.5, &Device::cpu())))
}

#[test]
fn a_surrogate_follows_the_rule_that_its_state_was_given() -> Result<()> {
    let usual = after_one_step(state())?;
    assert!((usual - 0.999).abs() < 1e-6, "Adam at 0.001: {usual}");
    let told = after_one_step(state().optimized_by(Sgd::new(0.25))?)?;
    assert!((told - 0.75).abs() < 1e-6, "{told}");
    let refused = state().optimized_by(Adam::new(f32::NAN)).unwrap_err();
    assert!(refused.to_string().contains("learning rate"), "{refused}");
    Ok(())
}

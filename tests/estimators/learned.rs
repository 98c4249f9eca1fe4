//! How what a site has learned is trained.

use std::cell::RefCell;
use std::rc::Rc;

use relax_runtime::estimator::{Cost, Estimate, Estimator, SiteClass, SiteState, SiteTask};
use relax_runtime::optim::{Adam, Sgd};
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{Constant, RelaxedCost, Sum, Surrogate, VarianceGradient, Zero};

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

/// RELAX with a surrogate whose relaxed cost stands behind something else.
#[derive(Debug)]
struct Backwards(Rc<RefCell<Vec<f32>>>);

impl Estimator for Backwards {
    fn name(&self) -> &'static str {
        "backwards"
    }

    fn valid_for(&self, _: SiteClass) -> std::result::Result<String, String> {
        Ok("a sum with the relaxed cost behind".into())
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        Relax::sum().evaluations(class)
    }

    fn further_noise(&self, class: SiteClass) -> usize {
        Relax::sum().further_noise(class)
    }

    fn state(&self, _: &SiteTask<'_>) -> Result<SiteState> {
        let device = Device::cpu();
        let relaxed = RelaxedCost::new(0.8, 0.4, &device);
        let surrogate = Sum(Constant::new(0.3, &device), relaxed);
        Ok(SiteState::with_surrogate(Box::new(surrogate)))
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        let learned = state.parameters().iter().map(|p| p.get().item());
        *self.0.borrow_mut() = learned.collect::<Result<_>>()?;
        Relax::sum().estimate(task, cost, state)
    }
}

#[model]
fn some_coins() {
    let theta = param!(Tensor::from_slice(&[0.3, -0.2, 0.5]));
    let b = sample!(Bernoulli(logits = &theta));
    cost!((b.sum_all() - 0.7).square());
}

#[test]
fn only_a_relaxed_cost_and_one_more_part_are_taken_apart() {
    let device = Device::cpu();
    let relaxed = || RelaxedCost::new(0.8, 0.4, &device);
    let constant = || Constant::new(0.3, &device);
    let sum = Sum(relaxed(), constant());
    assert!(sum.relaxed_cost().is_some() && sum.beside_relaxed_cost().is_some());
    // Of three parts one would be lost, and of others the order.
    let nested = Sum(Sum(relaxed(), Zero), Zero);
    assert!(nested.relaxed_cost().is_none() && nested.beside_relaxed_cost().is_none());
    let behind = Sum(constant(), relaxed());
    assert!(behind.relaxed_cost().is_none() && behind.beside_relaxed_cost().is_none());
}

/// Gradients reach the parts that they belong to, in whatever order these are: λ is trained unless the relaxed cost comes
/// first and is corrected.
#[test]
fn every_part_of_a_sum_learns() -> Result<()> {
    let learned = Rc::<RefCell<Vec<f32>>>::default();
    let estimator = Backwards(Rc::clone(&learned));
    let model = some_coins();
    let minimize = Minimize::new(&model).steps(200).progress(false);
    minimize.estimator(estimator).run()?;
    let learned = learned.take();
    let started = [0.3, 0.8, 0.4_f32.ln()];
    assert_eq!(learned.len(), 3);
    for (end, start) in learned.iter().zip(started) {
        assert!((end - start).abs() > 0.01, "{learned:?}");
    }
    Ok(())
}

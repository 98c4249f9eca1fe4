//! Sums that nobody has asked for, and that become too large while a fit goes on: what was drawn beside them goes on
//! from where it is.

use relax_runtime::estimator::Plan;
use relax_runtime::prelude::*;
use tempfile::TempDir;

/// Tosses that are two at first and many where the data are met, and a number that the heads and the data lead to.
#[model]
fn shifted() {
    let many = sample!(Poisson(0.02));
    let mut found = 0.0;
    for _ in 0..if many > 0 { 17 } else { 2 } {
        let on = sample!(Bernoulli(0.5));
        if on {
            found += 1.0;
        }
    }
    let shift = sample!(Normal(0.0, 0.3));
    observe!(Normal(found + shift, 0.5), 8.5);
}

/// Whether its tosses are drawn by now: a plan has each site once.
fn has_given_up(plan: &Plan) -> bool {
    let mut tosses = plan.entries.iter().filter(|e| e.site.starts_with("on["));
    tosses.all(|entry| entry.estimator != "summed out")
}

#[test]
fn what_was_drawn_beside_a_sum_goes_on_without_it() -> Result<()> {
    let model = shifted();
    let fit = Svi::new(&model).seed(1).run()?;
    let plan = fit.plan();
    assert!(has_given_up(&plan), "{plan}");
    assert!(plan.entries.iter().any(|e| e.site == "on[16]"), "{plan}");
    let elbo = fit.posterior().log_evidence().elbo;
    // Exactly -5.6, which no Poisson guide comes near to: one that has no run with two tosses has rate 3 where the
    // model has 0.02. With two tosses the data have -80.
    assert!(elbo > -23.0, "{elbo}");
    Ok(())
}

#[test]
fn a_fit_that_gave_up_a_sum_is_loaded_and_resumed_bit_for_bit() -> Result<()> {
    let folder = TempDir::new().map_err(Error::user)?;
    let path = folder.path().join("fit");
    let model = shifted();
    let fit = Svi::new(&model).steps(600).seed(1).run()?;
    fit.save(&path)?;
    let loaded = Svi::new(&model).seed(1).load(&path)?;
    for site in ["shift", "many"] {
        assert_eq!(loaded.posterior().mean(site)?, fit.posterior().mean(site)?);
    }
    let resumed = Svi::new(&model).steps(50).seed(1).resume(&path)?.run()?;
    let longer = Svi::new(&model)
        .steps(50)
        .trainer_from(fit.into_trainer())
        .run()?;
    for (a, b) in resumed.history.steps.iter().zip(&longer.history.steps) {
        assert_eq!(a.loss.to_bits(), b.loss.to_bits(), "step {}", a.step);
    }
    assert!(has_given_up(&resumed.plan()) && has_given_up(&longer.plan()));
    Ok(())
}

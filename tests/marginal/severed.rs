//! Continuous choices whose effect on a sum their derivative does not tell.

use relax_runtime::prelude::*;

use crate::assert_near;

type Way = fn(&Tensor, &Tensor) -> Tensor;

/// A number of which only the sign counts, cut off in different ways, beside a coin that is summed out.
#[model]
fn beside_a_coin(way: Way) {
    let z = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let k = sample!(Bernoulli(Tensor::scalar(0.5)));
    observe!(Normal(way(&z, &k), 0.5), 2.5, name = "x");
}

#[test]
fn it_gets_an_estimator_that_does_without() -> Result<()> {
    let ways: [Way; 4] = [
        |z, k| z.gt(0.0) * 2.0 + k,
        |z, k| z.sign() + 1.0 + k,
        |z, k| (z.gt(0.0) + 0.0 * z).detach() * 2.0 + k,
        |z, k| (z.gt(0.0) * 2.0 + k * 1.0).detach(),
    ];
    for way in ways {
        let model = beside_a_coin(way);
        let fit = Svi::new(&model).steps(3_000).hmc(false).seed(1).run()?;
        let plan = fit.plan();
        let found = plan.entries.iter().find(|entry| entry.site == "z");
        assert_eq!(found.map(|entry| entry.estimator), Some("lax"), "{plan}");
        // The best Gaussian, whose loc and scale are about 0.86 and 0.51, is nearly always positive.
        let above = fit
            .posterior()
            .probability(|draw| draw.number("z").is_ok_and(|z| z > 0.0))?;
        assert!(above > 0.85, "{above}");
    }
    Ok(())
}

/// What the sum says of a continuous choice is still its derivative where nothing is cut off.
#[test]
fn a_smooth_one_is_pathwise() -> Result<()> {
    let model = beside_a_coin(|z, k| z + k);
    let fit = Svi::new(&model).steps(1_000).seed(1).run()?;
    let plan = fit.plan();
    let found = plan.entries.iter().find(|entry| entry.site == "z");
    assert_eq!(
        found.map(|entry| entry.estimator),
        Some("pathwise"),
        "{plan}"
    );
    assert_near(fit.posterior().mean("k")?, 0.832, 0.03);
    Ok(())
}

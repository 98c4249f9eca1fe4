//! Choices without coordinates, such as those of a model with zero latents.

use relax_runtime::estimator::registry;
use relax_runtime::prelude::*;

#[model]
fn nothing(rows: usize) {
    let theta = param!(Tensor::zeros([rows, 0], &Device::cpu()));
    plate!(rows => {
        let b = sample!(Bernoulli(logits = &theta));
        cost!((&b - 0.3).square().sum_from(1) + 1.0);
    })
}

#[test]
fn every_estimator_takes_a_choice_of_nothing_or_refuses_it() {
    for estimator in registry() {
        let name = estimator.name();
        for rows in [1, 3] {
            let model = nothing(rows);
            let trained = Minimize::new(&model).steps(2).estimator(estimator.clone());
            match trained.run() {
                Ok(trained) => assert_eq!(trained.history.recent_loss(1), rows as f64, "{name}"),
                Err(Error::Site { .. }) => {}
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }
}

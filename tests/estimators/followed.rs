//! RELAX at choices that later discrete choices follow.

use relax_runtime::optim::Sgd;
use relax_runtime::prelude::*;

const COINS: usize = 7;

/// Numbers between −1 and 1, a row of them after the other.
fn spread(rows: usize, columns: usize, by: f32) -> Tensor {
    let numbers = (0..rows * columns).map(|i| (i as f32 * by).sin());
    Tensor::from_vec(numbers.collect(), [rows, columns], &Device::cpu()).unwrap()
}

/// Rows of coins, each with logits of its own, and a last coin that depends on them, with a share of the cost: the
/// steeper it does, the less a relaxed evaluation tells.
#[model]
fn followed(rows: usize, steep: f64, share: f64) {
    let theta = param!(spread(rows, COINS, 0.7));
    let weights = spread(1, COINS, 1.3);
    plate!(rows => {
        let b = sample!(Bernoulli(logits = &theta));
        let sum = (&b * &weights).sum(-1);
        let last = sample!(Bernoulli(logits = (&sum - 0.3) * steep));
        cost!((&sum + 3.0).square() + &last * (1.0 + &sum) * share);
    });
}

/// The same with one-hot vectors.
#[model]
fn followed_vectors(rows: usize, steep: f64, share: f64) {
    let theta = param!(spread(rows, 3 * 6, 0.7).reshape([rows, 3, 6]));
    let weights = spread(3, 6, 1.3);
    plate!(rows => {
        let b = sample!(OneHotCategorical(logits = &theta));
        let sum = (&b * &weights).sum(-1).sum(-1);
        let last = sample!(Bernoulli(logits = (&sum - 0.3) * steep));
        cost!((&sum + 3.0).square() + &last * (1.0 + &sum) * share);
    });
}

/// The evaluations of each step; those beyond the first are the first site's.
fn evaluations(model: &dyn Program, steps: usize) -> Result<Vec<usize>> {
    let mut trainer = Trainer::new(1).optimizer(Sgd::new(1e-6));
    let step = |_| Ok(trainer.step(&ExpectedCost::new(model))?.evaluations);
    (0..steps).map(step).collect()
}

/// Two evaluations with the relaxed cost, four draws without, and both now and then.
#[test]
fn the_one_that_varies_less_is_made() -> Result<()> {
    const STEPS: usize = 400;
    let models: [(&dyn Program, usize); 4] = [
        (&followed(4, 0.1, 0.03), 2),
        (&followed(4, 12.0, 3.0), 4),
        (&followed_vectors(4, 0.1, 0.03), 2),
        (&followed_vectors(4, 12.0, 3.0), 4),
    ];
    for (model, expected) in models {
        let made = evaluations(model, STEPS)?;
        for (step, &evaluations) in made.iter().enumerate() {
            let compares = step < 32 || step % 16 == 0;
            assert_eq!(evaluations == 5, compares, "step {step}: {evaluations}");
        }
        let last = &made[STEPS - 50..];
        let alone = last.iter().filter(|&&evaluations| evaluations != 5);
        assert!(
            alone.clone().all(|&one| one == expected),
            "{expected}: {last:?}"
        );
    }
    Ok(())
}

/// Whatever is in force, and in steps that make both.
#[test]
fn it_is_unbiased_in_every_step() -> Result<()> {
    for (steep, share) in [(0.1, 0.03), (12.0, 3.0)] {
        for warm_up in [0, 100, 112] {
            let coins = followed(400, steep, share);
            let vectors = followed_vectors(400, steep, share);
            let models: [&dyn Program; 2] = [&coins, &vectors];
            for model in models {
                let table = Check::new(&ExpectedCost::new(model))
                    .warm_up(warm_up)
                    .draws(200)
                    .run()?;
                table.verdict()?;
            }
        }
    }
    Ok(())
}

/// Nothing follows the last coin, and an estimator that was asked for by name is what it says.
#[test]
fn nothing_else_takes_further_draws() -> Result<()> {
    let model = followed(4, 0.1, 0.03);
    let mut trainer = Trainer::new(1);
    trainer.step(&ExpectedCost::new(&model))?;
    let evaluations = |trainer: &Trainer| {
        let plan = trainer.plan();
        let of =
            |entry: &relax_runtime::estimator::PlanEntry| (entry.site.clone(), entry.evaluations);
        plan.entries.iter().map(of).collect::<Vec<_>>()
    };
    let (b, last) = (String::from("b"), String::from("last"));
    assert_eq!(evaluations(&trainer), [(b.clone(), 5), (last.clone(), 1)]);
    assert!(
        trainer.plan().entries[0]
            .reason
            .ends_with("or 4 draws where that varies less")
    );
    let table = Check::new(&ExpectedCost::new(&model)).draws(2_000).run()?;
    assert!(
        table.to_string().contains("4 draws where that varies less"),
        "{table}"
    );
    let mut trainer = Trainer::new(1).site_estimator("b", Relax::relaxed_cost());
    trainer.step(&ExpectedCost::new(&model))?;
    assert_eq!(evaluations(&trainer), [(b, 2), (last, 1)]);
    Ok(())
}

//! What could be read in two ways, or cannot be estimated, is refused in words; and plans say what was decided.

use relax_runtime::estimator::MuProp;
use relax_runtime::prelude::*;

use crate::{assert_says, coin, error};

/// Rows of one plate that meet in a term are not independent.
#[test]
fn a_plate_cannot_be_in_itself() {
    #[model]
    fn graph(edges: &Tensor) {
        let n = edges.rows();
        let member;
        plate!(n, name = "people" => {
            member = sample!(Bernoulli(Tensor::full(n, 0.5, &Device::cpu())), name = "member");
        });
        plate!(n, name = "people" => {
            plate!(n, name = "people" => {
                let both = member.unsqueeze(1) * member.unsqueeze(0);
                observe!(Bernoulli(logits = both * 4.0 - 2.0), edges);
            })
        });
    }
    let edges = Tensor::zeros([3, 3], &Device::cpu());
    let model = graph(&edges);
    for found in [
        error(Svi::new(&model).steps(1).run()),
        error(exact_posterior(&model)),
    ] {
        assert_says(&found, &["`people`", "already around it", "whole tensor"]);
    }
}

/// As many rows as columns: parameters with one axis could belong to either.
#[test]
fn parameters_belong_to_rows_or_to_columns() -> Result<()> {
    #[model]
    fn repeats(x: &Tensor, axis: Option<isize>) {
        plate!(x.rows() => {
            let mu = sample!(Normal(Tensor::zeros([x.rows()], &Device::cpu()), 1.0));
            let mu = match axis {
                Some(axis) => mu.unsqueeze(axis),
                None => mu,
            };
            observe!(Normal(mu, 1.0), x);
        })
    }
    let square = Tensor::zeros([3, 3], &Device::cpu());
    assert_says(
        &error(Simulation::seeded(1).run(&repeats(&square, None))),
        &["`x`", "rows or to the columns", "unsqueeze(-1)"],
    );
    let wide = Tensor::zeros([3, 2], &Device::cpu());
    for x in [&square, &wide] {
        Simulation::seeded(1).run(&repeats(x, Some(-1)))?;
    }
    // Numbers of one event belong to no rows, however many there are.
    #[model]
    fn events(x: &Tensor) {
        plate!(x.rows() => {
            observe!(OneHotCategorical(&Tensor::from_slice(&[0.2, 0.3, 0.5])), x);
        })
    }
    let rows = Tensor::eye(3, &Device::cpu());
    Simulation::seeded(1).run(&events(&rows))?;
    // Two parameters a choice: each is one per row, or one per column.
    #[model]
    fn counts(x: &Tensor) {
        let mean = Tensor::from_slice(&[1.0, 2.0, 3.0]);
        plate!(x.rows() => {
            observe!(NegativeBinomial(mean = &mean, concentration = 2.0), x);
        })
    }
    assert_says(
        &error(Simulation::seeded(1).run(&counts(&square))),
        &["`x`", "rows or to the columns"],
    );
    Ok(())
}

/// A budget is not what a support that moves lacks.
#[test]
fn a_support_that_moves_is_the_problem_whatever_the_budget() {
    #[model]
    fn moving() {
        let end = param!(1.0, positive);
        let x = sample!(Uniform(0.0, &end));
        cost!(if x.item()? > 0.5 { 1.0 } else { 0.0 });
    }
    let model = moving();
    let plain = error(Minimize::new(&model).steps(2).run());
    assert_says(&plain, &["support"]);
    let budget = error(Minimize::new(&model).steps(2).budget(8).run());
    assert_says(&budget, &["support"]);
}

#[test]
fn muprop_needs_a_temperature() {
    let model = coin(1.0);
    let estimator = MuProp {
        temperature: 0.0,
        ..MuProp::default()
    };
    let found = error(Svi::new(&model).steps(1).estimator(estimator).run());
    assert_says(&found, &["temperature", "0.5"]);
}

/// The plan says why nothing is summed out, if that is not clear from the estimators.
#[test]
fn a_plan_says_what_made_choices_be_drawn() -> Result<()> {
    let model = coin(1.0);
    let svi = || Svi::new(&model).steps(2).progress(false);
    let plan = |svi: Svi<'_>| -> Result<String> { Ok(svi.run()?.plan().to_string()) };
    assert!(plan(svi())?.contains("summed out"));
    assert!(plan(svi().samples(1))?.contains("summed out"));
    assert_says(
        &plan(svi().particles(2))?,
        &["`particles`", "`marginalise()`"],
    );
    assert_says(&plan(svi().budget(8))?, &["a budget", "`marginalise()`"]);
    let site = svi().site_estimator("fair", Reinforce::default());
    assert_says(&plan(site)?, &["an estimator was asked for at some site"]);
    Ok(())
}

//! Costs count row by row in a plate: rows that depend on the choices of others are refused where choices are drawn,
//! as the gradient would be biased.

use relax_runtime::estimator::{Enumerate, by_name};
use relax_runtime::infer::{Check, MeanFieldGuide, Objective};
use relax_runtime::model::ParamStore;
use relax_runtime::prelude::*;

const ROWS: usize = 6;

fn zeros() -> Tensor {
    Tensor::zeros([ROWS], &Device::cpu())
}

/// The error of a first step.
fn refused(objective: &dyn Objective) -> String {
    let error = Trainer::new(1).step(objective).expect_err("rows are tied");
    assert!(is_tied(&error), "{error}");
    error.to_string()
}

fn is_tied(error: &Error) -> bool {
    matches!(error, Error::Site { source, .. } if matches!(**source, Error::TiedRows { .. }))
}

fn assert_trains(objective: &dyn Objective) -> Result<()> {
    let mut trainer = Trainer::new(1);
    (0..70).try_for_each(|_| trainer.step(objective).map(drop))
}

#[test]
fn costs_that_look_at_other_rows_are_refused() -> Result<()> {
    #[model]
    fn walk(shown: fn(&Tensor) -> Tensor) {
        plate!(ROWS => {
            let step = sample!(Bernoulli(logits = param!(zeros(), name = "logits")));
            cost!(shown(&step));
        })
    }
    let tied: [fn(&Tensor) -> Tensor; 4] = [
        |step| step.cumsum(0),
        |step| step.cumsum(0) * 1e-4,
        |step| step - step.mean(0),
        // The last row in the place of the first.
        |step| {
            Tensor::concat(
                &[&step.slice(0, ROWS - 1..ROWS), &step.slice(0, 1..ROWS)],
                0,
            )
        },
    ];
    for shown in tied {
        let text = refused(&ExpectedCost::new(&walk(shown)));
        for words in ["`cost", "`step`", "tied_rows.rs", "outside the plate"] {
            assert!(text.contains(words), "{text}");
        }
    }
    assert_trains(&ExpectedCost::new(&walk(|step| step * 2.0 - 1.0)))
}

/// Sums over all choices together, which they are in step in all rows.
#[test]
fn joint_sums_are_looked_at_too() -> Result<()> {
    #[model]
    fn walk() {
        plate!(ROWS => {
            let step = sample!(Bernoulli(logits = param!(zeros(), name = "logits")));
            cost!(step.cumsum(0));
        })
    }
    let model = walk();
    let objective = ExpectedCost::new(&model);
    let mut trainer = Trainer::new(1).estimator(Enumerate::default());
    assert!(is_tied(&trainer.step(&objective).expect_err("tied")));
    let mut trainer = Trainer::new(1).budget(2);
    assert!(is_tied(&trainer.step(&objective).expect_err("tied")));
    let check = Check::new(&objective).draws(40).warm_up(0).run();
    assert!(is_tied(&check.expect_err("tied")));
    // Combination by combination: step i is in the sums of rows i and later, p (1 - p) = 1/4.
    let (value, gradient) = exact_gradient(&objective, &ParamStore::default())?;
    assert!((value - 10.5).abs() < 1e-5, "{value}");
    for (i, slope) in gradient[0].1.to_vec()?.into_iter().enumerate() {
        let wanted = 0.25 * (ROWS - i) as f32;
        assert!((slope - wanted).abs() < 1e-5, "{i}: {slope}");
    }
    Ok(())
}

/// Bounds of several samples, and weights of draws, are row by row where everything stands in one plate.
#[test]
fn weights_of_rows_that_depend_on_each_other() -> Result<()> {
    #[model]
    fn walk(x: &Tensor) {
        plate!(2 => {
            let z = sample!(Normal(Tensor::zeros([2], &Device::cpu()), 1.0));
            observe!(Normal(z.cumsum(0), 1.0), x);
        })
    }
    let x = Tensor::from_slice(&[2.0, -2.0]);
    let model = walk(&x);
    let elbo = Elbo::new(&model).guide(&MeanFieldGuide);
    assert_trains(&elbo)?;
    let bound = Elbo::new(&model).guide(&MeanFieldGuide).samples(5);
    let mut trainer = Trainer::new(1);
    let mut steps = (0..3).map(|_| trainer.step(&bound));
    let error = steps.find_map(Result::err).expect("no bound");
    assert!(is_tied(&error), "{error}");
    // z has means .4 and -1.2, x the covariance [[2, 1], [1, 3]].
    let draws = 20_000;
    let fit = Svi::new(&model)
        .hmc(false)
        .posterior_draws(draws)
        .seed(1)
        .progress(false)
        .run()?;
    let wanted = -std::f64::consts::TAU.ln()
        - 0.5 * 5.0_f64.ln()
        - 0.5 * (4.0 * 3.0 + 2.0 * 4.0 + 4.0 * 2.0) / 5.0;
    let evidence = fit.posterior().log_evidence();
    assert!(
        (evidence.bound - wanted).abs() < 0.02,
        "{evidence:?}, {wanted}"
    );
    let means = fit.posterior().weighted()?.means("z")?;
    assert!(
        (means[0] - 0.4).abs() < 0.05 && (means[1] + 1.2).abs() < 0.05,
        "{means:?}"
    );
    Ok(())
}

/// Noise of several kinds for a number, in as many kinds as there are rows.
#[test]
fn noise_need_not_be_row_by_row() -> Result<()> {
    #[model]
    fn heavy() {
        plate!(2 => {
            let x = sample!(StudentT(4.0, param!(Tensor::zeros([2], &Device::cpu()), name = "loc"), 1.0));
            cost!(x.gt(0.0) + &x * 0.1);
        })
    }
    #[model]
    fn mixed(ties: bool) {
        plate!(ROWS => {
            let loc = param!(zeros());
            let locs = Tensor::concat(&[&loc.unsqueeze(1), &(loc.unsqueeze(1) + 3.0)], 1);
            let x = sample!(Mixture([0.5, 0.5], Normal(locs, 1.0)));
            cost!(if ties { x.cumsum(0) } else { x });
        })
    }
    assert_trains(&ExpectedCost::new(&heavy()))?;
    assert!(refused(&ExpectedCost::new(&mixed(true))).contains("`x`"));
    assert_trains(&ExpectedCost::new(&mixed(false)))
}

/// Estimators that follow the whole cost's derivative.
#[test]
fn derivatives_reach_other_rows() -> Result<()> {
    #[model]
    fn centred() {
        plate!(ROWS => {
            let on = sample!(Bernoulli(logits = param!(zeros(), name = "logits")));
            cost!((&on - on.mean(0)).square());
        })
    }
    let model = centred();
    for estimator in ["gumbel-softmax", "straight-through", "reinmax"] {
        let mut trainer = Trainer::new(1).estimator(by_name(estimator)?);
        trainer.step(&ExpectedCost::new(&model))?;
    }
    Ok(())
}

/// What joins rows stands outside, but what follows from it stands in a plate of the same rows.
#[test]
fn rows_that_are_joined_outside_are_refused_within() -> Result<()> {
    #[model]
    fn joined(later: &'static str, follows: bool) {
        let on;
        plate!(ROWS, name = "rows" => {
            on = sample!(Bernoulli(logits = param!(zeros(), name = "logits")));
        });
        let mean = on.mean(0);
        match later {
            "none" => cost!(mean.square()),
            "rows" => plate!(ROWS, name = "rows" => {
                if follows {
                    let next = sample!(Bernoulli(&mean * 0.5 + zeros() + 0.25));
                    cost!(next, name = "next cost");
                } else {
                    cost!(&mean + zeros(), name = "cost");
                }
            }),
            _ => plate!(ROWS, name = "others" => {
                cost!(&mean + zeros(), name = "other cost");
            }),
        }
    }
    for (follows, what) in [(false, "`cost`"), (true, "`next")] {
        let text = refused(&ExpectedCost::new(&joined("rows", follows)));
        assert!(text.contains(what) && text.contains("`on`"), "{text}");
    }
    assert_trains(&ExpectedCost::new(&joined("none", false)))?;
    assert_trains(&ExpectedCost::new(&joined("others", false)))
}

/// Two plates of a guide over one of the model.
#[test]
fn guides_that_pass_draws_from_row_to_row_are_refused() -> Result<()> {
    #[model]
    fn pairs(x: &Tensor) {
        plate!(ROWS => {
            let a = sample!(Bernoulli(zeros() + 0.5));
            let b = sample!(Bernoulli(zeros() + 0.5));
            observe!(Normal(a + b, 1.0), x);
        })
    }
    #[model]
    fn guide(ties: bool) {
        let a;
        plate!(ROWS => {
            a = sample!(Bernoulli(logits = param!(zeros(), name = "a0")), name = "a");
        });
        plate!(ROWS => {
            let seen = if ties { a.cumsum(0) } else { a.clone() };
            sample!(Bernoulli(logits = seen - param!(zeros(), name = "b0")), name = "b");
        })
    }
    let x = Tensor::from_slice(&[0.0, 1.0, 2.0, 2.0, 1.0, 0.0]);
    let model = pairs(&x);
    let text = refused(&Elbo::new(&model).guide(&guide(true)));
    assert!(text.contains("`b`") && text.contains("`a`"), "{text}");
    assert_trains(&Elbo::new(&model).guide(&guide(false)))
}

/// Rows of an inner plate depend on each other, though the outer rows do not.
#[test]
fn rows_of_an_inner_plate_are_looked_at_too() -> Result<()> {
    #[model]
    fn nested(ties: bool) {
        plate!(3, name = "groups" => {
            let group = sample!(Bernoulli(logits = param!(Tensor::zeros([3], &Device::cpu()), name = "by group")));
            plate!(4, name = "members" => {
                let logits = group.unsqueeze(1) + Tensor::zeros([3, 4], &Device::cpu());
                let member = sample!(Bernoulli(logits = logits + param!(Tensor::zeros([3, 4], &Device::cpu()), name = "by member")));
                cost!(if ties { member.cumsum(1) } else { member });
            })
        })
    }
    assert!(refused(&ExpectedCost::new(&nested(true))).contains("`member`"));
    assert_trains(&ExpectedCost::new(&nested(false)))?;
    // Outer rows, by what their members do.
    #[model]
    fn groups(ties: bool) {
        plate!(3, name = "groups" => {
            let member;
            plate!(4, name = "members" => {
                let start = Tensor::zeros([3, 4], &Device::cpu());
                member = sample!(Bernoulli(logits = param!(start, name = "logits")));
            });
            let count = member.sum(1);
            cost!(if ties { count.cumsum(0) } else { count });
        })
    }
    assert!(refused(&ExpectedCost::new(&groups(true))).contains("`member`"));
    assert_trains(&ExpectedCost::new(&groups(false)))
}

/// Where rows start to depend on each other only later, a later look finds it.
#[test]
fn rows_that_are_tied_later_are_found_later() -> Result<()> {
    #[model]
    fn later(strength: &Tensor) {
        plate!(ROWS => {
            let on = sample!(Bernoulli(logits = param!(zeros(), name = "logits")));
            cost!(&on + on.cumsum(0) * strength);
        })
    }
    let (weak, strong) = (Tensor::scalar(0.0), Tensor::scalar(1.0));
    let (apart, tied) = (later(&weak), later(&strong));
    let mut trainer = Trainer::new(1);
    for _ in 0..20 {
        trainer.step(&ExpectedCost::new(&apart))?;
    }
    let mut steps = (0..60).map(|_| trainer.step(&ExpectedCost::new(&tied)));
    let error = steps.find_map(Result::err).expect("within 64 evaluations");
    assert!(is_tied(&error), "{error}");
    Ok(())
}

/// Where host code reads rows, other draws may take other ways.
#[test]
fn rows_that_host_code_reads_are_left_alone() -> Result<()> {
    #[model]
    fn read() {
        plate!(ROWS => {
            let on = sample!(Bernoulli(logits = param!(zeros(), name = "logits")));
            let total: f32 = on.to_vec()?.iter().sum();
            cost!(if total > 3.0 { on * 2.0 } else { on });
        })
    }
    assert_trains(&ExpectedCost::new(&read()))
}

//! Mistakes that only a run can show: typed, at the user's line, never a panic.

use std::cell::Cell;
use std::rc::Rc;

use relax_runtime::estimator::Estimator;
use relax_runtime::model::{ParamStore, Program};
use relax_runtime::prelude::*;

use crate::{assert_says, coin, error, short};

fn tensor(values: &[f32]) -> Tensor {
    Tensor::from_slice(values)
}

/// A program that does not know the plate around it.
#[model]
fn tossed() {
    let a = sample!(Bernoulli(0.5));
    cost!(f64::from(u8::from(a)), name = "price");
}

/// A program that makes each kind of mistake at a site of its own.
#[model]
fn mistaken(mistake: &'static str) {
    let two = tensor(&[1.0, 2.0]);
    let three = tensor(&[1.0, 2.0, 3.0]);
    let z = sample!(Normal(&two, 1.0));
    match mistake {
        "parameter" => {
            let a = sample!(Normal(&z + &three, 1.0));
            cost!(a);
        }
        "shapes" => {
            let a = sample!(Normal(&two, &three));
            cost!(a, name = "paid");
        }
        "observation" => observe!(Normal(&z, 1.0), &three, name = "data"),
        "value" => observe!(Normal(&z, 1.0), &two + &three, name = "data"),
        "support" => observe!(Bernoulli(logits = &z), &two, name = "data"),
        "categories" => observe!(Categorical(logits = &z), 2usize, name = "data"),
        "rows" => observe!(Categorical(logits = &z), &two, name = "data"),
        "cost" => cost!(&z * &three, name = "price"),
        "init" => {
            let w = param!(&two * &three);
            cost!(w, name = "price");
        }
        "host in plate" => plate!(2, {
            call!(tossed(), name = "part");
        }),
        "observed host in plate" => plate!(2, {
            observe!(Bernoulli(0.5), true, name = "data");
        }),
        "context" => plate!(2, {
            let a = sample!(Bernoulli(logits = &two), context = &three);
            cost!(a, name = "price");
        }),
        "wrong plate" => plate!(5, {
            let a = sample!(Normal(&two, 1.0));
            cost!(a, name = "price");
        }),
        "cost without rows" => plate!(5, {
            cost!(z.sum_all(), name = "price");
        }),
        "host cost in plate" => plate!(5, {
            cost!(1.0, name = "price");
        }),
        "observation without rows" => plate!(5, {
            observe!(Normal(0.0, 1.0), 1.0, name = "data");
        }),
        "empty plate" => plate!(0, {}),
        "small plate" => plate!(5, of = 4 => {}),
        "column" => {
            observe!(
                Bernoulli(logits = &three),
                three.gt(1.5).reshape([3, 1]),
                name = "data"
            )
        }
        "reading" => {
            let k = three.to_index()?;
            observe!(Normal(0.0, 1.0), k as f64, name = "data");
        }
        _ => {}
    }
}

#[test]
fn mistakes_come_out_of_step_and_run_as_errors() {
    let cases: [(&str, &[&str]); 20] = [
        ("parameter", &["site `a`", "[2] and [3]"]),
        ("shapes", &["site `a`", "scale", "[2]", "[3]"]),
        ("observation", &["site `data`", "[2]", "[3]"]),
        ("value", &["site `data`", "[2] and [3]"]),
        (
            "support",
            &["site `data`", "Bernoulli", "outside the support"],
        ),
        (
            "categories",
            &["site `data`", "value 2", "outside the support"],
        ),
        ("rows", &["site `data`", "outside the support"]),
        ("cost", &["site `price`", "[2] and [3]"]),
        ("init", &["site `w`", "[2] and [3]"]),
        (
            "host in plate",
            &["site `part/a`", "host number inside a plate", "`for`"],
        ),
        ("observed host in plate", &["site `data`", "inside a plate"]),
        ("context", &["site `a`", "context", "[3]", "[2]"]),
        ("wrong plate", &["site `a`", "[2]", "[5]"]),
        ("cost without rows", &["site `price`", "[5]"]),
        ("host cost in plate", &["site `price`", "inside a plate"]),
        (
            "observation without rows",
            &["site `data`", "inside a plate"],
        ),
        ("empty plate", &["site `plate`", "at least one row"]),
        ("small plate", &["site `plate`", "of = 4"]),
        ("column", &["site `data`", "[3, 1]", "[3]"]),
        ("reading", &["to_index", "[3]", "errors.rs"]),
    ];
    for (mistake, words) in cases {
        let model = mistaken(mistake);
        let from_step = short(&model).step().expect_err(mistake).to_string();
        let from_run = short(&model).run().expect_err(mistake).to_string();
        assert_eq!(from_step, from_run);
        assert_says(&from_run, words);
        assert_says(&from_run, &["tests/model/errors.rs:"]);
    }
    assert!(short(&mistaken("none")).run().is_ok());
}

#[test]
fn a_wrong_operation_is_reported_at_its_own_line_too() {
    let text = error(short(&mistaken("cost")).step());
    assert_eq!(text.matches("tests/model/errors.rs:").count(), 2, "{text}");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let model = coin(1.0);
    let refused = |svi: Svi<'_>, setting: &str, problem: &str| {
        let error = svi.run().expect_err(setting);
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        assert_says(&error.to_string(), &[setting, problem]);
    };
    refused(short(&model).steps(0), "steps", "is 0");
    refused(short(&model).particles(0), "particles", "is 0");
    refused(short(&model).posterior_draws(0), "posterior draws", "is 0");
    for rate in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
        refused(
            short(&model).optimizer(Adam::new(rate)),
            "learning rate",
            "positive",
        );
        refused(
            short(&model).optimizer(Sgd::new(rate)),
            "learning rate",
            "positive",
        );
        refused(
            short(&model).optimizer(RmsProp::new(rate)),
            "learning rate",
            "positive",
        );
    }
    // The first wrong setting is the one reported, also by `step`.
    let mut svi = short(&model).particles(0).optimizer(Adam::new(f32::NAN));
    assert_says(&error(svi.step()), &["particles"]);
}

#[test]
fn estimators_are_checked_against_their_sites() {
    #[model]
    fn asks(estimator: &'static str) {
        let b = sample!(Bernoulli(0.5), estimator = estimator);
        cost!(if b { 1.0 } else { 2.0 });
    }
    #[model]
    fn continuous(estimator: &'static str) {
        let x = sample!(Normal(Tensor::scalar(0.0), 1.0), estimator = estimator);
        cost!(x.square());
    }
    let of_host = |estimator| error(short(&asks(estimator)).step());
    let unknown = of_host("relacks");
    assert_says(
        &unknown,
        &[
            "site `b`",
            "unknown estimator `relacks`; expected one of relax,",
            "rebar, reinforce",
        ],
    );
    assert_says(&of_host("rebar"), &["site `b`", "REBAR", "use `relax`"]);
    assert_says(&of_host("pathwise"), &["site `b`", "discrete"]);
    assert!(short(&asks("relax")).run().is_ok());
    assert!(short(&asks("reinforce")).run().is_ok());

    let of_normal = |estimator| error(short(&continuous(estimator)).step());
    assert_says(&of_normal("relax"), &["site `x`", "discrete"]);
    assert_says(&of_normal("rebar"), &["site `x`", "discrete"]);
    assert!(short(&continuous("pathwise")).run().is_ok());
    assert!(short(&continuous("reinforce")).run().is_ok());

    // An estimator for all sites is checked as one for a single site is.
    let everywhere = error(
        short(&asks("relax"))
            .site_estimator("b", Rebar::default())
            .step(),
    );
    assert_says(&everywhere, &["site `b`", "REBAR"]);
    #[model]
    fn plain() {
        let b = sample!(Bernoulli(0.5));
        cost!(if b { 1.0 } else { 2.0 });
    }
    assert_says(
        &error(short(&plain()).estimator(Rebar::default()).step()),
        &["site `b`", "REBAR"],
    );
}

#[test]
fn an_automatic_guide_says_what_it_cannot_do() {
    #[model]
    fn subsampled(rows: usize, of: usize) {
        plate!(rows, of = of => {
            let z = sample!(Normal(Tensor::scalar(0.0), 1.0));
            observe!(Normal(&z, 1.0), z.ones_like(), name = "data");
        });
    }
    let refused = error(short(&subsampled(2, 10)).step());
    assert_says(
        &refused,
        &["site `z`", "changing sample of rows", "`guide`"],
    );
    assert!(!refused.contains("marginalise"), "{refused}");
    assert!(short(&subsampled(2, 2)).run().is_ok());

    #[model]
    fn switched(rows: usize, of: usize) {
        plate!(rows, of = of => {
            let b = sample!(Bernoulli(0.5));
            observe!(Normal(&b, 1.0), b.ones_like(), name = "data");
        });
    }
    let model = switched(2, 10);
    let refused = error(Trainer::new(1).step(&Elbo::new(&model)));
    assert_says(
        &refused,
        &["site `b`", "changing sample of rows", "`.marginalise()`"],
    );
    let summed = Elbo::new(&model).marginalise();
    assert!(Trainer::new(1).step(&summed).is_ok());

    #[model]
    fn growing(size: Rc<Cell<usize>>) {
        size.set(size.get() + 1);
        let z = sample!(Normal(Tensor::zeros([size.get()], &Device::cpu()), 1.0));
        observe!(Normal(z.sum_all(), 1.0), 1.0);
    }
    let refused = error(short(&growing(Rc::default())).run());
    assert_says(
        &refused,
        &["site `z`", "`z.loc` has shape [", "now needs ["],
    );
}

/// Plates of one name are the same rows, of the same data set.
#[test]
fn plates_of_one_name_agree() -> Result<()> {
    #[model]
    fn twice(rows: usize, of: Option<usize>) {
        let half = |n| Tensor::full([n], 0.5, &Device::cpu());
        plate!(3, of = 30, name = "rows" => {
            let a = sample!(Bernoulli(half(3)));
        });
        match of {
            Some(of) => {
                plate!(rows, of = of, name = "rows" => {
                    let _b = sample!(Bernoulli(half(rows)), name = "b");
                });
            }
            None => {
                plate!(rows, name = "rows" => {
                    let _b = sample!(Bernoulli(half(rows)), name = "b");
                });
            }
        }
        plate!(5, {
            let c = sample!(Bernoulli(half(5)));
        });
    }
    let run = |rows, of| Simulation::seeded(1).run(&twice(rows, of)).map(drop);
    run(3, Some(30))?;
    for (rows, of, found) in [
        (5, Some(30), "5 rows of 30"),
        (3, Some(60), "3 rows of 60"),
        (3, None, "3 rows of 3"),
    ] {
        let words = [
            "site `rows` (",
            "errors.rs:",
            found,
            "3 of 30",
            "another name",
        ];
        assert_says(&error(run(rows, of)), &words);
    }
    #[model]
    fn part(rows: usize) {
        plate!(rows, name = "rows" => {
            let b = sample!(Bernoulli(Tensor::full([rows], 0.5, &Device::cpu())));
        });
    }
    #[model]
    fn parts(first: usize, second: usize) {
        call!(part(first), name = "first");
        call!(part(second), name = "second");
    }
    Simulation::seeded(1).run(&parts(2, 2))?;
    let refused = error(Simulation::seeded(1).run(&parts(2, 4)));
    assert_says(&refused, &["4 rows", "errors.rs:"]);
    Ok(())
}

/// A line of the library says nothing to its user.
#[test]
fn errors_of_sites_name_no_line_of_the_library() {
    for mistake in [
        "rows",
        "wrong plate",
        "parameter",
        "shapes",
        "context",
        "categories",
    ] {
        let refused = error(
            Simulation::seeded(1)
                .run(&mistaken(mistake))
                .and_then(|run| run.trace.log_prob()),
        );
        assert_says(&refused, &["errors.rs:"]);
        assert!(!refused.contains("relax-runtime"), "{refused}");
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_reported_and_moves_nothing() -> Result<()> {
    #[model]
    fn steep() {
        let fine = param!(1.0);
        let w = param!(0.0);
        cost!(&fine * 2.0, name = "easy");
        cost!(w.sqrt() + &fine, name = "root");
        cost!(fine.square(), name = "square");
    }
    let program = steep();
    let mut training = Minimize::new(&program);
    let error = training.step().unwrap_err();
    assert!(
        matches!(error, Error::NotFinite { step: 0, .. }),
        "{error:?}"
    );
    assert_says(
        &error.to_string(),
        &[
            "the gradient by `w`, which comes from the cost of `root` (",
            "errors.rs:",
            "), is inf at step 0",
        ],
    );
    let fine = training.trainer().params().get("fine").unwrap();
    assert_eq!(fine.item()?, 1.0);
    Ok(())
}

/// Of a bound of several samples, whose terms are made into one.
#[test]
fn a_gradient_of_a_bound_comes_from_a_term_of_a_sample() {
    #[model]
    fn steep() {
        let w = param!(0.0);
        let on = sample!(Bernoulli(0.5));
        observe!(Normal(0.0, 1.0), 0.5, name = "fine");
        observe!(
            Normal(w.sqrt() + f64::from(u8::from(on)), 1.0),
            0.3,
            name = "root"
        );
    }
    let refused = error(Svi::new(&steep()).samples(3).steps(1).run());
    assert_says(
        &refused,
        &[
            "the gradient by `w`, which comes from the cost of `root` (",
            ") where `on` is ",
            ", is ",
        ],
    );
}

#[test]
fn programs_without_what_is_asked_for_are_refused() {
    #[model]
    fn free() {
        let _b = sample!(Bernoulli(0.5));
    }
    #[model]
    fn observing() {
        observe!(Bernoulli(0.5), true, name = "seen");
        cost!(1.0);
    }
    let minimise = |program: &dyn Program| {
        let run = Minimize::new(program).steps(1).progress(false).run();
        error(run)
    };
    assert_says(
        &minimise(&coin(1.0)),
        &["site `toss`", "no observations", "`Svi`"],
    );
    assert_says(&minimise(&free()), &["`free` has no `cost!`"]);
    assert_says(&minimise(&observing()), &["site `seen`", "`cost!`"]);
    let gradient = exact_gradient(&ExpectedCost::new(&coin(1.0)), &ParamStore::default());
    assert!(gradient.is_err());
}

#[test]
fn unknown_names_list_the_known_ones() -> Result<()> {
    let model = coin(1.0);
    let fit = short(&model).run()?;
    assert_says(&error(fit.posterior().means("fiar")), &["`fiar`", "`fair`"]);
    assert_says(&error(fit.posterior().samples("fiar")), &["`fair`"]);
    let unknown = fit.param("fiar").unwrap_err();
    assert!(matches!(unknown, Error::UnknownParameter { .. }));
    assert_says(
        &unknown.to_string(),
        &["no parameter", "`fiar`", "`fair.logits`"],
    );
    assert_says(&error(exact_posterior(&model)?.means("fiar")), &["`fair`"]);
    let trace = Simulation::seeded(0).run(&model)?.trace;
    assert_says(&error(trace.get("fiar")), &["`fiar`", "`fair`, `toss`"]);
    Ok(())
}

#[test]
fn senseless_settings_of_estimators_are_refused() {
    let model = coin(1.0);
    let first_error = |estimator: Rc<dyn Estimator>| {
        let mut trainer = Trainer::new(1).estimator(estimator);
        error(trainer.step(&Elbo::new(&model)))
    };
    for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let relax = Relax {
            temperature: Some(temperature),
            ..Relax::default()
        };
        let rebar = Rebar {
            temperature,
            ..Rebar::default()
        };
        for estimator in [Rc::new(relax) as Rc<dyn Estimator>, Rc::new(rebar)] {
            let error = first_error(estimator);
            assert!(error.contains("temperature: is"), "{error}");
        }
    }
    let eta = Relax {
        eta: f32::NAN,
        ..Relax::default()
    };
    let error = first_error(Rc::new(eta));
    assert!(error.contains("eta: is NaN"), "{error}");
    let hidden = Relax {
        hidden: vec![10, 0],
        ..Relax::default()
    };
    let error = first_error(Rc::new(hidden));
    assert!(error.contains("at least one unit"), "{error}");
}

#[test]
fn an_estimator_for_a_site_that_never_comes_is_refused() {
    let model = coin(1.0);
    let error = error(short(&model).site_estimator("fiar", Relax::default()).run());
    assert!(error.contains("no site is named `fiar`"), "{error}");
    assert!(error.contains("`fair`"), "{error}");
}

/// A name of a coin on one path, and of three categories on another.
#[model]
fn of_two_families(x: f64) {
    let side = sample!(Bernoulli(0.5));
    if side {
        let a = sample!(Bernoulli(0.4), name = "which");
        cost!(if a { x } else { 1.0 });
    } else {
        let a = sample!(Categorical([0.2, 0.3, 0.5]), name = "which");
        cost!(a as f64 * x);
    }
}

#[test]
fn a_name_of_draws_of_two_shapes_is_an_error() {
    let error = Minimize::new(&of_two_families(2.0)).steps(50).run();
    let error = error.expect_err("one surrogate is for both");
    assert_says(
        &error.to_string(),
        &["`which`", "in one run and", "give them different names"],
    );
}

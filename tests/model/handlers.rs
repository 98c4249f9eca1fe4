//! Interpretations of one program: replay, condition, substitute, block, relax, and a custom one.

use std::cell::RefCell;
use std::rc::Rc;

use relax_runtime::dist::Value;
use relax_runtime::model::{Context, Handler, Kind, Message, Run, Site, Trace, Under, relax_sites};
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error};

#[model]
fn sprinkler() -> bool {
    let rain = sample!(Bernoulli(0.2));
    let level = sample!(Normal(if rain { 1.0 } else { 0.0 }, 0.5));
    let wet = sample!(Bernoulli(logits = level * 4.0));
    wet
}

#[model]
fn tensors() -> Tensor {
    let w = param!([1.0, 2.0]);
    let b = sample!(Bernoulli(logits = &w));
    let h = sample!(OneHotCategorical(logits = &w));
    let k = sample!(Categorical(logits = &w));
    let host = sample!(Bernoulli(0.5));
    let x = sample!(Normal(&w, 1.0));
    b + h + k + x + f64::from(u8::from(host)) as f32
}

#[test]
fn the_same_seed_gives_the_same_run() -> Result<()> {
    let table = |seed| -> Result<String> {
        Ok(Simulation::seeded(seed)
            .run(&sprinkler())?
            .trace
            .to_string())
    };
    assert_eq!(table(3)?, table(3)?);
    assert_ne!(table(3)?, table(4)?);
    Ok(())
}

#[test]
fn replay_gives_the_recorded_values() -> Result<()> {
    let first = Simulation::seeded(1).run(&sprinkler())?;
    let again = Simulation::seeded(2).run(&replay(sprinkler(), &first.trace))?;
    assert_eq!(first.trace.to_string(), again.trace.to_string());

    // Sites that the record lacks draw afresh.
    let other = Simulation::seeded(2).run(&replay(tensors(), &first.trace))?;
    assert!(other.trace.find("x").is_some());
    Ok(())
}

#[test]
fn condition_observes() -> Result<()> {
    let run = Simulation::seeded(1).run(&condition(sprinkler(), "rain", true))?;
    let rain = run.trace.get("rain")?;
    assert_eq!(
        (rain.kind, rain.value.to_string()),
        (Kind::Observed, "true".into())
    );
    assert_near(rain.log_prob()?.total()?, 0.2f64.ln(), 1e-12);
    assert_eq!(run.trace.get("level")?.kind, Kind::Latent);

    let wrong = |site, value: f64| Simulation::seeded(1).run(&condition(sprinkler(), site, value));
    assert_says(
        &error(wrong("rain", 0.5)),
        &["site `rain`", "true or false", "0.5"],
    );
    assert_says(
        &error(wrong("level", f64::NAN)),
        &["site `level`", "outside the support"],
    );
    let unknown = wrong("rian", 1.0).unwrap_err();
    assert!(matches!(unknown, Error::UnknownSite { .. }));
    assert_says(&unknown.to_string(), &["`rian`", "`rain`, `level`, `wet`"]);
    let known = ["one_hot", "h"];
    for (value, site) in [([0.5, 0.5], known[1]), ([1.0, 1.0], known[1])] {
        let run = Simulation::seeded(1).run(&condition(tensors(), site, value.to_vec()));
        assert_says(&error(run), &["site `h`", "outside the support"]);
    }
    let index = Simulation::seeded(1).run(&condition(tensors(), "k", 7usize));
    assert_says(&error(index), &["site `k`", "outside the support"]);
    Ok(())
}

/// Whatever gives a site its value, the site has the type, shape and support that it draws with.
#[test]
fn values_given_to_sites_are_checked() -> Result<()> {
    let given = |site: &'static str, value: Value| {
        let simulation = Simulation::seeded(2);
        let of = |run: Result<Run<Tensor>>| run.map(|run| run.trace);
        let mut runs = vec![
            of(simulation.run(&condition(tensors(), site, value.clone()))),
            of(simulation.run(&substitute(tensors(), site, value.clone()))),
        ];
        // No parameter, by which the record is made, holds what is not finite.
        if value.to_f64s()?.iter().all(|x| x.is_finite()) {
            let recorded = simulation.run(&foreign(site, value.clone()))?;
            runs.push(of(simulation.run(&replay(tensors(), &recorded.trace))));
        }
        Ok::<_, Error>(runs)
    };
    let tensor = |shape: &[usize], x: f32| {
        Value::Tensor(Tensor::full(
            Shape::try_from(shape).unwrap(),
            x,
            &Device::cpu(),
        ))
    };
    for shape in [&[][..], &[1], &[3], &[2, 2]] {
        for (site, wanted) in [("b", "[2]"), ("x", "[2]")] {
            for run in given(site, tensor(shape, 1.0))? {
                let found = format!("{shape:?}");
                let site = format!("site `{site}` (");
                assert_says(&error(run), &[&site, wanted, &found, "handlers.rs"]);
            }
        }
    }
    for run in given("k", tensor(&[1], 1.0))? {
        assert_says(&error(run), &["site `k`", "shape []", "shape [1]"]);
    }
    for run in given("host", tensor(&[1], 1.0))? {
        assert_says(&error(run), &["site `host`", "shape []", "shape [1]"]);
    }
    for (site, value) in [
        ("b", tensor(&[2], 2.0)),
        ("h", tensor(&[2], 1.5)),
        ("k", tensor(&[], 2.0)),
        ("k", tensor(&[], 0.5)),
        ("x", tensor(&[2], f32::NAN)),
    ] {
        for run in given(site, value)? {
            assert_says(&error(run), &[site, "outside the support"]);
        }
    }
    for run in given("host", Value::Real(0.5))? {
        assert_says(&error(run), &["site `host`", "true or false"]);
    }
    for (site, value) in [
        ("b", tensor(&[2], 1.0)),
        ("h", Value::Vector(vec![0.0, 1.0])),
        ("k", Value::Index(1)),
        ("host", Value::Real(1.0)),
        ("x", tensor(&[2], -3.0)),
    ] {
        let wanted = value.to_f64s()?;
        for run in given(site, value)? {
            assert_eq!(run?.get(site)?.value.to_f64s()?, wanted);
        }
    }
    // A record of relaxed draws is replayed as it is.
    let relaxed = Simulation::seeded(1)
        .run(&relax_sites(tensors(), 0.5))?
        .trace;
    let again = Simulation::seeded(2)
        .run(&replay(tensors(), &relaxed))?
        .trace;
    assert_eq!(relaxed.to_string(), again.to_string());
    // A handler outside a block says that it does not reach a site, or that there is none.
    let hidden = block(tensors(), |name| name == "b");
    let run = Simulation::seeded(1).run(&condition(hidden, "b", vec![1.0, 1.0]));
    assert_says(&error(run), &["site `b`", "`block` inside hides it"]);
    let blocked = condition(block(tensors(), |name| name == "w"), "nowhere", 1.0);
    let run = Simulation::seeded(1).run(&blocked);
    assert_says(&error(run), &["`nowhere`"]);
    Ok(())
}

/// Has one site, which holds a value that nobody checks.
fn foreign(site: &'static str, value: Value) -> impl Model<Output = ()> {
    struct Foreign(&'static str, Value);
    impl Model for Foreign {
        type Output = ();
        fn name(&self) -> &'static str {
            "foreign"
        }
        fn run(&self, context: &Context) -> Result<()> {
            let site = Site::new(self.0, file!(), line!());
            context.new_param(site, self.1.to_tensor()?).map(drop)
        }
    }
    Foreign(site, value)
}

#[test]
fn condition_does_not_overrule_the_program() {
    #[model]
    fn observed() {
        observe!(Bernoulli(0.5), true, name = "toss");
        cost!(1.0);
    }
    for site in ["toss", "cost"] {
        let run = Simulation::seeded(1).run(&condition(observed(), site, false));
        assert_says(&error(run), &[site, "not a `sample!` site"]);
    }
    let run = Simulation::seeded(1).run(&substitute(observed(), "toss", false));
    assert_says(&error(run), &["toss", "`sample!` or `param!`"]);
}

#[test]
fn substitute_keeps_sites_random_and_sets_parameters() -> Result<()> {
    let fixed = substitute(sprinkler(), "level", 100.0).and("rain", true);
    let run = Simulation::seeded(1).run(&fixed)?;
    assert!(run.output);
    assert_eq!(run.trace.get("level")?.kind, Kind::Latent);
    let unknown = Simulation::seeded(1).run(&substitute(sprinkler(), "lvl", 1.0));
    assert_says(&error(unknown), &["no site is named `lvl`", "`level`"]);

    let run = Simulation::seeded(1).run(&substitute(tensors(), "w", vec![1e4, -1e4]))?;
    assert_eq!(run.trace.get("w")?.value.to_f64s()?, [1e4, -1e4]);
    assert_eq!(run.trace.get("b")?.value.to_f64s()?, [1.0, 0.0]);

    // A tensor computed wrongly hands its error on.
    let poisoned = Tensor::from_slice(&[1.0, 2.0]) + Tensor::from_slice(&[1.0, 2.0, 3.0]);
    let run = Simulation::seeded(1).run(&substitute(tensors(), "x", poisoned.clone()));
    assert_says(&error(run), &["site `x`", "[2] and [3]"]);
    assert_says(&Value::Tensor(poisoned).to_string(), &["[2] and [3]"]);

    // What is given first counts, but for conditions.
    let of = |value: bool| substitute(sprinkler(), "rain", value);
    let record = Simulation::seeded(1).run(&of(false))?.trace;
    let rain = |model: &dyn Model<Output = bool>| -> Result<(Kind, String)> {
        let trace = Simulation::seeded(1).run(&model)?.trace;
        let entry = trace.get("rain")?;
        Ok((entry.kind, entry.value.to_string()))
    };
    let latent = |value: &str| (Kind::Latent, value.to_owned());
    assert_eq!(rain(&replay(of(true), &record))?, latent("true"));
    assert_eq!(rain(&substitute(of(false), "rain", true))?, latent("false"));
    let both = condition(of(false), "rain", true);
    assert_eq!(rain(&both)?, (Kind::Observed, "true".into()));
    Ok(())
}

#[test]
fn block_hides_sites_from_the_handlers_outside() -> Result<()> {
    let record = Simulation::seeded(1).run(&sprinkler())?.trace;
    let hidden = block(sprinkler(), |name| name == "level");
    let run = Simulation::seeded(9).run(&replay(hidden, &record))?;
    let value =
        |trace: &Trace, site: &str| -> Result<String> { Ok(trace.get(site)?.value.to_string()) };
    assert_eq!(value(&run.trace, "rain")?, value(&record, "rain")?);
    assert_ne!(value(&run.trace, "level")?, value(&record, "level")?);

    // Those inside are not kept off.
    let inside = substitute(tensors(), "w", vec![5.0, 5.0]);
    let run = Simulation::seeded(9).run(&block(inside, |name| name == "w"))?;
    assert_eq!(run.trace.get("w")?.value.to_f64s()?, [5.0, 5.0]);
    let hidden = block(tensors(), |name| name == "w");
    let run = Simulation::seeded(9).run(&substitute(hidden, "w", vec![5.0, 5.0]))?;
    assert_eq!(run.trace.get("w")?.value.to_f64s()?, [1.0, 2.0]);
    Ok(())
}

#[test]
fn relax_moves_tensor_draws_off_their_support() -> Result<()> {
    let run = Simulation::seeded(1).run(&relax_sites(tensors(), 0.5))?;
    let values = |site: &str| run.trace.get(site)?.value.to_f64s();
    assert!(
        values("b")?
            .iter()
            .all(|b| *b > 0.0 && *b < 1.0 && b.fract() != 0.0)
    );
    let h = values("h")?;
    assert!(h.iter().all(|h| *h > 0.0 && *h < 1.0));
    assert_near(h.iter().sum(), 1.0, 1e-6);
    // An index has no relaxation, a host value neither.
    assert!(values("k")?[0].fract() == 0.0);
    assert!([0.0, 1.0].contains(&values("host")?[0]));
    // The draw is that of the plain run, softened.
    let hard = Simulation::seeded(1).run(&tensors())?;
    let rounded: Vec<f64> = values("b")?.iter().map(|b| b.round()).collect();
    assert_eq!(rounded, hard.trace.get("b")?.value.to_f64s()?);
    for temperature in [0.0, -1.0, f64::NAN] {
        let run = Simulation::seeded(1).run(&relax_sites(tensors(), temperature));
        assert_says(&error(run), &["temperature", "positive"]);
    }
    Ok(())
}

#[test]
fn a_handler_of_ones_own_sees_every_sample_site() -> Result<()> {
    struct Spy(Rc<RefCell<Vec<(String, usize)>>>);
    impl Handler for Spy {
        fn sample(&self, message: &mut Message<'_>) -> Result<()> {
            let seen = (message.name.to_owned(), message.plates.len());
            self.0.borrow_mut().push(seen);
            Ok(())
        }
    }
    #[model]
    fn rows() {
        let a = sample!(Bernoulli(0.5));
        plate!(2, {
            let b = sample!(Bernoulli(Tensor::scalar(0.5)));
            observe!(Bernoulli(Tensor::scalar(0.5)), &b, name = "seen");
        });
        cost!(if a { 1.0 } else { 0.0 });
    }
    let seen = Rc::default();
    Simulation::seeded(1).run(&Under::new(rows(), Spy(Rc::clone(&seen))))?;
    assert_eq!(*seen.borrow(), [("a".to_owned(), 0), ("b".to_owned(), 1)]);
    Ok(())
}

#[test]
fn parameters_live_in_their_store() -> Result<()> {
    let params = ParamStore::default();
    Simulation::seeded(1).params(&params).run(&tensors())?;
    assert_eq!(params.names(), ["w"]);
    let w = params.parameter("w").unwrap();
    w.set(Tensor::from_slice(&[-1e4, 1e4]))?;
    let run = Simulation::seeded(1).params(&params).run(&tensors())?;
    assert_eq!(run.trace.get("b")?.value.to_f64s()?, [0.0, 1.0]);
    assert!(w.set(Tensor::scalar(0.0)).is_err());
    Ok(())
}

/// A program without `#[model]` meets the same checks at run time.
#[test]
fn a_name_taken_twice_in_a_run_is_an_error() {
    struct Twice;
    impl Model for Twice {
        type Output = ();
        fn name(&self) -> &'static str {
            "twice"
        }
        fn run(&self, context: &Context) -> Result<()> {
            for line in [10, 20] {
                context.sample(Site::new("x", "by_hand.rs", line), Bernoulli::probs(0.5))?;
            }
            Ok(())
        }
    }
    let error = Simulation::seeded(1).run(&Twice).unwrap_err();
    assert_says(
        &error.to_string(),
        &[
            "site `x` (by_hand.rs:20)",
            "a second site is named `x`",
            "name = ",
        ],
    );
    assert_eq!(Twice.model_name(), "twice");
}

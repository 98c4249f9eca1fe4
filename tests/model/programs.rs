//! What can be written: every macro, names, control flow, results, methods, generics, plates.

use std::fmt::Debug;
use std::num::ParseFloatError;

use relax_runtime::dist::{Distribution, Operand};
use relax_runtime::model::Kind;
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error, names};

#[model]
fn weather(rain: f64) -> (bool, bool) {
    let rain = sample!(Bernoulli(rain));
    let wind = sample!(Bernoulli(if rain { 0.7 } else { 0.2 }));
    (rain, wind)
}

/// Every macro with its options.
#[model]
fn everything(data: &Tensor, days: usize) -> f64 {
    let slope = param!(0.5);
    let offset = param!([0.25, 0.75], name = "start");
    let mut dry = 0.0;
    for _ in 0..days {
        let sprinkler = sample!(Bernoulli(probs = 0.5), estimator = "reinforce");
        if !sprinkler {
            dry += 1.0;
        }
        let pick = sample!(Categorical([0.2, 0.8]), name = "choice");
        observe!(Normal(loc = 0.0, scale = 1.0), pick as f64);
    }
    let (rain, _) = call!(weather(0.3));
    let second = call!(weather(0.6), name = "tomorrow");
    let state = sample!(OneHotCategorical(logits = Tensor::from_slice(&[0.0, 1.0])));
    let mean = plate!(data.rows(), of = 2 * data.rows() => {
        let z = sample!(Normal(&slope, 1.0), context = data);
        observe!(Normal(loc = &z, scale = 0.5), data);
        z.mean_all()
    });
    cost!(if rain || second.1 { 1.0 } else { 2.0 });
    cost!(&offset * &state, name = "price");
    dry + f64::from(mean.item()?)
}

fn data() -> Tensor {
    Tensor::from_slice(&[0.1, -0.2, 0.3])
}

#[test]
fn every_site_has_its_name_in_the_order_of_the_run() -> Result<()> {
    let data = data();
    let run = Simulation::seeded(1).run(&everything(&data, 2))?;
    let expected = [
        "slope",
        "start",
        "sprinkler[0]",
        "choice[0]",
        "obs[0]",
        "sprinkler[1]",
        "choice[1]",
        "obs[1]",
        "weather/rain",
        "weather/wind",
        "tomorrow/rain",
        "tomorrow/wind",
        "state",
        "z",
        "data",
        "cost",
        "price",
    ];
    assert_eq!(names(&run.trace), expected);
    assert_eq!(everything(&data, 2).name(), "everything");
    Ok(())
}

#[test]
fn a_trace_prints_as_a_table() -> Result<()> {
    let data = data();
    let run = Simulation::seeded(1).run(&everything(&data, 1))?;
    insta::assert_snapshot!(run.trace);
    Ok(())
}

#[test]
fn sites_know_the_line_they_are_written_on() -> Result<()> {
    const FIRST: u32 = line!() + 3;
    #[model]
    fn two_lines() {
        let a = sample!(Bernoulli(0.5));
        observe!(Bernoulli(0.5), a);
    }
    let trace = Simulation::seeded(0).run(&two_lines())?.trace;
    let (a, obs) = (&trace.entries()[0], &trace.entries()[1]);
    assert_eq!((&*a.name, a.line), ("a", FIRST));
    assert_eq!((obs.kind, obs.line), (Kind::Observed, FIRST + 1));
    assert!(a.file.ends_with("programs.rs"), "{}", a.file);
    Ok(())
}

#[test]
fn host_values_steer_any_control_flow() -> Result<()> {
    #[model]
    fn geometric(p: f64) -> usize {
        let mut failures = 0;
        loop {
            let success = sample!(Bernoulli(p));
            if success {
                break;
            }
            failures += 1;
        }
        let label = match failures {
            0 => {
                let bonus = sample!(Normal(0.0, 1.0));
                bonus
            }
            _ => {
                let bonus = sample!(Normal(5.0, 1.0));
                bonus
            }
        };
        if label > 1e3 {
            return 0;
        }
        failures
    }
    let mut total = 0;
    for seed in 0..2_000 {
        let run = Simulation::seeded(seed).run(&geometric(0.25))?;
        assert_eq!(run.trace.entries().len(), run.output + 2);
        assert!(
            run.trace
                .find(&format!("success[{}]", run.output))
                .is_some()
        );
        total += run.output;
    }
    assert_near(total as f64 / 2_000.0, 3.0, 0.3);
    Ok(())
}

#[test]
fn every_run_starts_with_its_own_arguments() -> Result<()> {
    #[model]
    fn consuming(mut items: Vec<f64>) -> f64 {
        let mut sum = 0.0;
        while let Some(item) = items.pop() {
            let noise = sample!(Normal(item, 0.001));
            sum += noise;
        }
        sum
    }
    let model = consuming(vec![1.0, 2.0]);
    for seed in 0..3 {
        assert_near(Simulation::seeded(seed).run(&model)?.output, 3.0, 0.02);
    }
    Ok(())
}

/// An error of the user's own.
#[derive(Debug, thiserror::Error)]
enum OwnError {
    #[error("not a number: {0}")]
    Parse(#[from] ParseFloatError),
    #[error(transparent)]
    Relax(#[from] Error),
}

impl From<OwnError> for Error {
    fn from(error: OwnError) -> Self {
        match error {
            OwnError::Relax(error) => error,
            other => Error::user(other),
        }
    }
}

#[model]
fn parsed(text: &str) -> Result<f64, OwnError> {
    if text.is_empty() {
        return Ok(0.0);
    }
    let scale: f64 = text.parse()?;
    let x = sample!(Normal(0.0, scale));
    Ok(x)
}

#[model]
fn checked(text: &str) -> Result<f64> {
    let scale: f64 = text.parse().map_err(Error::user)?;
    let x = call!(parsed(text));
    Ok(x * scale)
}

/// `?` on this crate's errors, in a function that returns no `Result`.
#[model]
fn reading(x: &Tensor) -> f64 {
    let loc = f64::from(x.item()?);
    let y = sample!(Normal(loc, 1.0));
    if y > 0.0 {
        return y;
    }
    -y
}

#[test]
fn results_and_question_marks_reach_the_caller() -> Result<()> {
    let run = |text| Simulation::seeded(1).run(&parsed(text));
    assert_eq!(run("")?.output, 0.0);
    assert!(run("2.0")?.output != 0.0);
    assert_says(&error(run("two")), &["not a number"]);
    let refused = run("-2.0").unwrap_err();
    assert!(matches!(refused, Error::Site { .. }), "{refused:?}");
    assert_says(&refused.to_string(), &["site `x`", "scale is -2"]);

    let run = |text| Simulation::seeded(1).run(&checked(text));
    assert!(run("2.0").is_ok());
    assert!(matches!(run("two").unwrap_err(), Error::User(_)));
    assert_says(&error(run("-2.0")), &["site `x/x`", "programs.rs"]);

    assert!(
        Simulation::seeded(1)
            .run(&reading(&Tensor::scalar(1.0)))?
            .output
            > 0.0
    );
    let two = Tensor::from_slice(&[1.0, 2.0]);
    assert_says(&error(Simulation::seeded(1).run(&reading(&two))), &["item"]);
    Ok(())
}

struct Network {
    weights: Vec<f64>,
}

impl Network {
    #[model]
    fn layer(&self, x: f64) -> Vec<bool> {
        let mut units = Vec::with_capacity(self.weights.len());
        for w in &self.weights {
            let unit = sample!(Bernoulli(logits = w * x));
            units.push(unit);
        }
        units
    }

    #[model]
    fn stacked(&self, x: f64) -> usize {
        let mut active = 1;
        for _ in 0..2 {
            let layer = call!(self.layer(x * active as f64));
            active = layer.into_iter().filter(|unit| *unit).count();
        }
        active
    }
}

#[model]
fn generic<P, D>(prior: D, items: &[P], show: impl Fn(&P) -> f64 + Clone) -> Vec<f64>
where
    P: Clone + Debug,
    D: Distribution<Value = f64>,
{
    let mut values = Vec::new();
    for item in items {
        let x = sample!(prior.clone());
        values.push(x + show(item));
    }
    values
}

#[test]
fn methods_generics_and_sub_models_run() -> Result<()> {
    let network = Network {
        weights: vec![-50.0, 50.0, 50.0],
    };
    let run = Simulation::seeded(3).run(&network.stacked(1.0))?;
    assert_eq!(run.output, 2);
    assert_eq!(
        names(&run.trace)[..2],
        ["layer[0]/unit[0]", "layer[0]/unit[1]"]
    );
    assert_eq!(names(&run.trace)[5], "layer[1]/unit[2]");

    let prior = Normal::new(0.0, 1e-6)?;
    let model = generic(prior, &["a", "bc"], |text: &&str| text.len() as f64);
    let output = Simulation::seeded(3).run(&model)?.output;
    assert_near(output[1], 2.0, 1e-3);
    Ok(())
}

/// A model that calls itself: every depth has its own prefix.
#[model]
fn tree(depth: usize) -> usize {
    let leaf = sample!(Bernoulli(0.5));
    if leaf || depth == 0 {
        return 1;
    }
    let left = call!(Tree(depth - 1));
    let right = call!(Tree(depth - 1));
    left + right
}

/// Names the model's type, which a function that calls itself cannot.
struct Tree(usize);

impl Model for Tree {
    type Output = usize;
    fn name(&self) -> &'static str {
        "tree"
    }
    fn run(&self, context: &relax_runtime::model::Context) -> Result<usize> {
        tree(self.0).run(context)
    }
}

#[test]
fn distributions_can_be_values() -> Result<()> {
    fn prior(p: impl Operand<Repr = f64>) -> Result<Bernoulli<f64>> {
        Bernoulli::probs(p)
    }
    #[model]
    fn from_values(stored: &Normal<f64>) -> f64 {
        let a = sample!(prior(0.5));
        let b = sample!(stored.clone());
        let c = sample!(Bernoulli::logits(Tensor::zeros([2], &Device::cpu())));
        observe!(
            Categorical::probs(vec![0.5, 0.5]),
            usize::from(a),
            name = "k"
        );
        b + f64::from(c.sum_all().item()?)
    }
    let stored = Normal::new(0.0, 1.0)?;
    let trace = Simulation::seeded(0).run(&from_values(&stored))?.trace;
    assert_eq!(names(&trace), ["a", "b", "c", "k"]);
    Ok(())
}

#[test]
fn plates_scale_and_nest() -> Result<()> {
    #[model]
    fn nested(rows: usize, of: usize) -> Tensor {
        plate!(rows, of = of => {
            let outer = sample!(Normal(Tensor::scalar(0.0), 1.0));
            plate!(2, {
                let inner = sample!(Normal(outer.unsqueeze(1), 1.0));
                observe!(Bernoulli(logits = &inner), &inner.gt(0.0), name = "sign");
            });
            outer
        })
    }
    let run = Simulation::seeded(1).run(&nested(3, 12))?;
    assert_eq!(run.output.shape(), Shape::from([3]));
    let sizes = |name: &str| -> Vec<usize> {
        let plates = &run.trace.find(name).unwrap().plates;
        plates.iter().map(|plate| plate.size).collect()
    };
    assert_eq!((sizes("outer"), sizes("inner")), (vec![3], vec![3, 2]));
    let mut total = 0.0;
    for entry in run.trace.entries() {
        assert_eq!(entry.scale, 4.0);
        total += 4.0 * entry.log_prob()?.total()?;
    }
    assert_eq!(run.trace.get("inner")?.value.shape(), Shape::from([3, 2]));
    assert_near(run.trace.log_prob()?, total, 1e-9);
    Ok(())
}

#[test]
fn leaving_a_plate_by_any_way_ends_it() -> Result<()> {
    #[model]
    fn left() -> usize {
        for i in 0..2 {
            plate!(3, {
                if i == 0 {
                    continue;
                }
                break;
            });
        }
        let after = sample!(Bernoulli(0.5));
        usize::from(after)
    }
    let trace = Simulation::seeded(1).run(&left())?.trace;
    assert!(trace.get("after")?.plates.is_empty());
    Ok(())
}

#[test]
fn a_recursive_model_prefixes_every_depth() -> Result<()> {
    for seed in 0..20 {
        let run = Simulation::seeded(seed).run(&tree(3))?;
        let leaves = names(&run.trace);
        assert!(leaves.iter().all(|name| name.ends_with("leaf")));
        if run.output > 2 {
            assert!(leaves.iter().any(|name| name.matches('/').count() == 2));
            return Ok(());
        }
    }
    panic!("no tree grew");
}

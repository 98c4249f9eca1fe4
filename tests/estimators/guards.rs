//! What every estimator's function refuses: costs whose slope would bias it, and shapes that do not fit.

use relax_runtime::dist::{BernoulliRelaxation, CategoricalRelaxation};
use relax_runtime::estimator::{
    Cost, Estimate, Noise, Problem, SteinNetwork, Through, arms, black_box, corrected,
    differentiable, disarm, disarm_tree, dlax, double_cv, enumerate, gumbel_softmax, indecater,
    muprop, nvil, rebar, reinforce, reinmax, relax, rloo, rodeo, straight_through,
};
use relax_runtime::nn::Activation;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Sum, Zero};
use relax_runtime::{Device, Error, Key, Result, Shape, Tensor};

use crate::statistics::{Moments, Verdicts};

const DRAWS: usize = 50_000;

type Function<'a> = Box<dyn Fn(Problem<'_>, &dyn Cost) -> Result<Estimate> + 'a>;

/// Every function that estimates at discrete choices.
fn functions() -> Result<Vec<(&'static str, Function<'static>)>> {
    let device = Device::cpu();
    let relaxed = || RelaxedCost::new(0.8, 0.5, &Device::cpu());
    let mut stream = Key::new(3).stream("network");
    let network = FreeForm::new(2, 0, &[4], Activation::Tanh, &mut stream, &device)?;
    let stein = SteinNetwork::new(4, &mut stream, &device)?;
    let other = network.clone();
    Ok(vec![
        ("reinforce", Box::new(|p, f| reinforce(p, f, 0.3))),
        ("rloo", Box::new(|p, f| rloo(p, f))),
        ("disarm", Box::new(|p, f| disarm(p, f))),
        ("arms", Box::new(|p, f| arms(p, f))),
        ("enumerate", Box::new(|p, f| enumerate(p, f))),
        ("indecater", Box::new(|p, f| indecater(p, f))),
        ("nvil", Box::new(move |p, f| nvil(p, f, &network))),
        ("free-form", Box::new(move |p, f| relax(p, f, &other))),
        (
            "relax",
            Box::new(move |p, f| relax(p, f, &Sum(relaxed(), Zero))),
        ),
        ("rebar", Box::new(move |p, f| rebar(p, f, &relaxed()))),
        (
            "corrected",
            Box::new(move |p, f| corrected(p, f, &relaxed(), None)),
        ),
        ("dlax", Box::new(move |p, f| dlax(p, f, &relaxed()))),
        ("muprop", Box::new(|p, f| muprop(p, f, 0.5, &Zero))),
        ("double-cv", Box::new(|p, f| double_cv(p, f, 0.7))),
        ("rodeo", Box::new(move |p, f| rodeo(p, f, &stein))),
        ("gumbel-softmax", Box::new(|p, f| gumbel_softmax(p, f, 0.5))),
        (
            "straight-through",
            Box::new(|p, f| straight_through(p, f, Through::Mean, 0.5)),
        ),
        (
            "straight-through-gumbel",
            Box::new(|p, f| straight_through(p, f, Through::Gumbel(0.5), 0.5)),
        ),
        ("reinmax", Box::new(|p, f| reinmax(p, f, 0.5))),
    ])
}

/// Two coins a row, independent noise of the relaxed sample where it is asked for.
fn noise(rows: usize, independent: bool) -> Result<Noise> {
    let mut stream = Key::new(8).stream("noise");
    let mut draw = || stream.uniforms([rows, 2], &Device::cpu());
    Ok(Noise {
        u: draw()?,
        v: if independent { Some(draw()?) } else { None },
        further: vec![draw()?, draw()?],
    })
}

type Break = fn(&Tensor) -> Result<Tensor>;

/// All are x + 2 y + x y at 0 and 1, and leave derivatives out between them.
const BREAKS: [(&str, Break); 4] = [
    ("a comparison", |b| Ok(b.gt(0.3))),
    ("a constant", |b| Ok(b.detach())),
    ("a rounding in part", |b| Ok((b + b.ge(0.5)) * 0.5)),
    ("a read on the host", |b| {
        Tensor::from_vec(b.to_vec()?, b.shape(), &b.device())
    }),
];

fn cost(b: &Tensor) -> Tensor {
    let (x, y) = (b.index(1, 0), b.index(1, 1));
    &x + &y * 2.0 + x * y
}

#[test]
fn no_function_is_biased_where_the_cost_jumps() -> Result<()> {
    let theta = Tensor::from_slice(&[0.4, -0.6]).broadcast_to([DRAWS, 2]);
    let p = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (p, q) = (p(0.4), p(-0.6));
    let exact = [p * (1.0 - p) * (1.0 + q), q * (1.0 - q) * (2.0 + p)];
    let mut verdicts = Verdicts::default();
    let mut refusing = Vec::new();
    for (what, broken) in BREAKS {
        let jumps = differentiable(move |b: &Tensor| Ok(cost(&broken(b)?)));
        for (name, function) in functions()? {
            for independent in [false, true] {
                let noise = noise(DRAWS, independent)?;
                let problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
                match function(problem, &jumps) {
                    Ok(found) => {
                        let moments = Moments::of_rows(&found.gradient)?;
                        verdicts.add(&format!("{name}, {what}"), moments.compare(&exact));
                    }
                    Err(Error::Estimator(problem)) => {
                        assert!(problem.contains("`black_box`"), "{problem}");
                        refusing.push(name);
                    }
                    Err(other) => panic!("{name}: {other}"),
                }
            }
        }
    }
    verdicts.finish();
    refusing.dedup();
    for name in ["relax", "rebar", "corrected", "dlax", "straight-through"] {
        let times = refusing.iter().filter(|other| **other == name).count();
        assert_eq!(times, BREAKS.len(), "{name}: {refusing:?}");
    }
    assert!(!refusing.contains(&"free-form"), "{refusing:?}");
    Ok(())
}

/// What the error says to write instead.
#[test]
fn a_black_box_may_jump() -> Result<()> {
    let theta = Tensor::zeros([4, 2], &Device::cpu());
    let noise = noise(4, false)?;
    let problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
    let jumps = black_box(|b: &Tensor| Ok(cost(&b.gt(0.3))));
    for (name, function) in functions()? {
        if ["rloo", "free-form", "disarm"].contains(&name) {
            function(problem, &jumps)?;
        }
    }
    Ok(())
}

/// Kinks, and jumps of what does not depend on the draw, are no reason to refuse a cost.
#[test]
fn smooth_and_kinked_costs_are_accepted() -> Result<()> {
    let theta = Tensor::zeros([4, 2], &Device::cpu());
    let noise = noise(4, false)?;
    let problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
    let data = Tensor::from_slice(&[0.2, 0.9]);
    let kinked = differentiable(|b: &Tensor| {
        let x = (b - data.gt(0.5)).abs().relu().max(-1);
        Ok(x + b.clamp(0.2, 0.4).sum(-1))
    });
    for (name, function) in functions()? {
        function(problem, &kinked).map_err(|error| Error::Model(format!("{name}: {error}")))?;
    }
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_refused() -> Result<()> {
    let device = Device::cpu();
    let theta = Tensor::zeros([3, 2], &device);
    let smooth = differentiable(|b: &Tensor| Ok(b.sum_all() * Tensor::zeros([3], &b.device())));
    let right = noise(3, false)?;
    let uniforms = |shape: &[usize]| -> Result<Tensor> {
        Ok(Tensor::full(Shape::try_from(shape)?, 0.4, &device))
    };
    let context = uniforms(&[2, 1])?;
    let of_u = |shape: &[usize]| -> Result<Noise> {
        Ok(Noise {
            u: uniforms(shape)?,
            ..right.clone()
        })
    };
    let (row, more, one) = (of_u(&[2])?, of_u(&[4, 3, 2])?, of_u(&[1, 2])?);
    let of_further = Noise {
        further: vec![uniforms(&[2])?; 2],
        ..right.clone()
    };
    let of_v = Noise {
        v: Some(uniforms(&[2])?),
        ..right.clone()
    };
    let problem = |noise| Problem::new(&BernoulliRelaxation, &theta, noise).rows();
    let wrong = [
        ("noise of a row", problem(&row)),
        ("noise of further rows", problem(&more)),
        ("noise of one row", problem(&one)),
        ("further noise of a row", problem(&of_further)),
        ("other noise of a row", problem(&of_v)),
        (
            "three axes of rows",
            Problem {
                plates: 3,
                ..problem(&right)
            },
        ),
        (
            "too many axes of rows",
            Problem {
                plates: 100,
                ..problem(&right)
            },
        ),
        (
            "a context of other rows",
            Problem {
                context: Some(&context),
                ..problem(&right)
            },
        ),
    ];
    for noise in [&row, &more, &one, &of_further] {
        let problem = Problem::new(&CategoricalRelaxation, &theta, noise).rows();
        let found = disarm_tree(problem, &smooth);
        assert!(matches!(found, Err(Error::Shape { .. })), "{found:?}");
    }
    for (name, function) in functions()? {
        function(problem(&right), &smooth)?;
        for (what, problem) in &wrong {
            match function(*problem, &smooth) {
                Err(Error::Shape { .. }) => {}
                Err(other) => panic!("{name}, {what}: {other}"),
                Ok(found) => panic!("{name}, {what}: {:?}", found.gradient.shape()),
            }
        }
    }
    Ok(())
}

/// What is for coins knows nothing of categories, and the other way round.
#[test]
fn choices_of_another_kind_are_refused() -> Result<()> {
    let theta = Tensor::zeros([3, 2], &Device::cpu());
    let noise = noise(3, false)?;
    let smooth = differentiable(|b: &Tensor| Ok(cost(b)));
    let refused = |found: Result<Estimate>| matches!(found, Err(Error::Estimator(_)));
    let coins = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
    let categories = Problem::new(&CategoricalRelaxation, &theta, &noise).rows();
    assert!(refused(disarm_tree(coins, &smooth)));
    assert!(refused(disarm(categories, &smooth)));
    assert!(refused(arms(categories, &smooth)));
    Ok(())
}

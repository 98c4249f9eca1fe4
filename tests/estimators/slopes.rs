//! Estimators that use the slope of the cost at the draw: at a site of a model they equal the plain functions, the
//! draw's own slope included.

use std::rc::Rc;

use relax_runtime::dist::BernoulliRelaxation;
use relax_runtime::estimator::{
    Cost, DoubleCv, DrawKind, Estimator, Noise, Problem, Rodeo, SiteClass, SiteTask,
    differentiable, double_cv,
};
use relax_runtime::infer::Gradients;
use relax_runtime::optim::Sgd;
use relax_runtime::prelude::*;

use crate::statistics::Moments;

const ROWS: usize = 64;
const THETA: [f32; 4] = [0.4, -1.1, 0.7, 0.2];

/// A network of leaky units, whose slope differs from draw to draw.
fn f(b: &Tensor) -> Tensor {
    let first = [
        1.1, -0.4, 0.8, -1.2, 0.5, 0.9, -0.7, 0.3, -1.3, 0.6, 1.4, -0.2,
    ];
    let device = Device::cpu();
    let first = Tensor::from_vec(first.to_vec(), [4, 3], &device).expect("twelve numbers");
    let hidden = (b.matmul(&first) - 0.3).leaky_relu(0.3);
    (hidden * Tensor::from_slice(&[1.5, -0.8, 1.1])).sum(-1) - 0.6
}

fn theta() -> Tensor {
    Tensor::from_slice(&THETA)
        .reshape([1, 4])
        .broadcast_to([ROWS, 4])
}

#[model]
fn network(of: usize) {
    let theta = param!(theta());
    plate!(ROWS, of = of => {
        let b = sample!(Bernoulli(logits = &theta));
        cost!(f(&b));
    });
}

/// The cost reads what the logits are computed from, so that one pass cannot serve both.
#[model]
fn shared() {
    let raw = param!(theta() * 0.5);
    let theta = &raw * 2.0;
    plate!(ROWS => {
        let b = sample!(Bernoulli(logits = &theta));
        cost!(f(&b) + theta.square().sum(-1) * 0.01);
    });
}

/// The noise that the site has with a key.
fn noise(key: Key, further: usize) -> Result<Noise> {
    let device = Device::cpu();
    let shape = [ROWS, 4];
    let mut stream = key.stream("b/further");
    Ok(Noise {
        u: key.stream("b").uniforms(shape, &device)?,
        v: None,
        further: (0..further)
            .map(|_| stream.uniforms(shape, &device))
            .collect::<Result<_>>()?,
    })
}

fn at_site(program: &dyn Program, estimator: Rc<dyn Estimator>, key: Key) -> Result<Gradients> {
    let mut trainer = Trainer::new(key.seed).estimator(estimator);
    trainer.gradients(&ExpectedCost::new(program), key)
}

fn assert_close(found: &Tensor, wanted: &Tensor) -> Result<()> {
    let off = (found - wanted).abs().max_all().item()?;
    assert!(off < 2e-5, "{off}");
    Ok(())
}

#[test]
fn double_control_variates_at_a_site_are_the_plain_function() -> Result<()> {
    for (draws, of) in [(2, ROWS), (3, ROWS), (2, 5 * ROWS)] {
        let key = Key {
            seed: 3,
            step: 7,
            particle: 0,
        };
        let mut estimator = DoubleCv::new(draws)?;
        estimator.alpha = 0.7;
        let found = at_site(&network(of), Rc::new(estimator), key)?;
        let (theta, noise) = (theta(), noise(key, draws - 1)?);
        let problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
        let plain = double_cv(problem, &differentiable(|b| Ok(f(b))), 0.7)?;
        let scale = (of / ROWS) as f32;
        assert_close(&(&found.parameters[0].1 / scale), &plain.gradient)?;
        assert_eq!(found.evaluations, draws);
    }
    Ok(())
}

/// The draw's slope then takes an evaluation of its own, which is counted.
#[test]
fn logits_that_the_cost_reads_take_one_more_evaluation() -> Result<()> {
    let key = Key::new(5);
    let mut estimator = DoubleCv::new(2)?;
    estimator.alpha = 0.7;
    let found = at_site(&shared(), Rc::new(estimator), key)?;
    let (theta, noise) = (theta(), noise(key, 1)?);
    let problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
    let cost = differentiable(|b| Ok(f(b) + theta_penalty()));
    let plain = double_cv(problem, &cost, 0.7)?.gradient;
    let wanted = (plain + &theta * 0.02) * 2.0;
    assert_close(&found.parameters[0].1, &wanted)?;
    assert_eq!(found.evaluations, 3);
    Ok(())
}

fn theta_penalty() -> Tensor {
    theta().square().sum(-1) * 0.01
}

/// The site's task with a noise.
fn task<'a>(theta: &'a Tensor, noise: &'a Noise) -> SiteTask<'a> {
    let class = SiteClass {
        draws: DrawKind::Coins,
        relaxable: true,
        differentiable: false,
        mirrored: false,
        values: 16,
        changes: 4,
        separate: true,
        rows_differ: false,
        followed: false,
        samples: 1,
    };
    SiteTask {
        name: "b",
        class,
        problem: Problem::new(&BernoulliRelaxation, theta, noise).rows(),
        seed: 1,
    }
}

/// With what it has learned in a thousand steps, at a site and as a plain function.
fn variances(estimator: Rc<dyn Estimator>, draws: usize) -> Result<[f64; 2]> {
    const STEPS: u64 = 1_000;
    const FRESH: u64 = 100;
    let program = network(ROWS);
    let objective = ExpectedCost::new(&program);
    let mut trainer = Trainer::new(1)
        .estimator(Rc::clone(&estimator))
        .optimizer(Sgd::new(1e-30));
    for _ in 0..STEPS {
        trainer.step(&objective)?;
    }
    let theta = theta();
    let key = |step| Key {
        seed: 1,
        step,
        particle: 0,
    };
    let first = noise(key(0), draws - 1)?;
    let mut state = estimator.state(&task(&theta, &first))?;
    let cost: &dyn Cost = &differentiable(|b| Ok(f(b)));
    for step in 0..STEPS {
        let noise = noise(key(step), draws - 1)?;
        let found = estimator.estimate(&task(&theta, &noise), cost, &state)?;
        state.train(&found.variance_gradient)?;
    }
    let mut moments = [Moments::new(4), Moments::new(4)];
    for step in STEPS..STEPS + FRESH {
        let noise = noise(key(step), draws - 1)?;
        let plain = estimator
            .estimate(&task(&theta, &noise), cost, &state)?
            .gradient;
        let at_site = trainer.gradients(&objective, key(step))?;
        for (moments, found) in moments.iter_mut().zip([&at_site.parameters[0].1, &plain]) {
            for row in found.to_vec()?.chunks(4) {
                moments.push(&row.iter().map(|&g| g.into()).collect::<Vec<f64>>());
            }
        }
    }
    Ok(moments.map(|moments| moments.total_variance()))
}

#[test]
fn what_is_learned_at_a_site_leaves_as_little_variance() -> Result<()> {
    let estimators: [(Rc<dyn Estimator>, usize); 4] = [
        (Rc::new(DoubleCv::new(2)?), 2),
        (Rc::new(DoubleCv::new(3)?), 3),
        (Rc::new(Rodeo::new(2)?), 2),
        (Rc::new(Rodeo::new(3)?), 3),
    ];
    for (estimator, draws) in estimators {
        let name = estimator.name();
        let [at_site, plain] = variances(estimator, draws)?;
        println!("{name} of {draws}: {at_site:.4} at a site, {plain:.4} alone");
        assert!(
            (at_site / plain - 1.0).abs() < 0.03,
            "{name}: {at_site}, {plain}"
        );
    }
    Ok(())
}

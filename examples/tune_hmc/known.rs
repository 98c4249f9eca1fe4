//! Exact derivatives beside estimates of them.

use std::rc::Rc;

use relax_runtime::estimator::{Enumerate, Estimator, Rloo};
use relax_runtime::prelude::*;
use serde::Serialize;

use crate::Options;
use crate::gradients::{Spread, spread};
use crate::kernel::Proposal;
use crate::model::{Sampler, chain, stationary};
use crate::program::Outcome;
use crate::progress::Progress;
use crate::target::Gaussian;

/// The random walk's scale of largest expected squared jump on N(0, 1).
pub(crate) const BEST_SCALE: f64 = 2.4264;

/// E[jump²] of the random walk of scale σ on N(0, 1): (2σ²/π)(atan(2/σ) − 2σ/(σ² + 4)).
pub(crate) fn expected_jump(scale: f64) -> f64 {
    let square = scale * scale;
    2.0 * square / std::f64::consts::PI * ((2.0 / scale).atan() - 2.0 * scale / (square + 4.0))
}

/// A finite chain from x₀ = 3 on N(0, 1), and d E[x_T²] / d ln step, computed by quadrature.
struct Case {
    name: &'static str,
    proposal: Proposal,
    step: f32,
    transitions: usize,
    derivative: f64,
}

const CASES: [Case; 4] = [
    Case {
        name: "random walk .5",
        proposal: Proposal::RandomWalk,
        step: 0.5,
        transitions: 10,
        derivative: -4.1375,
    },
    Case {
        name: "random walk 1",
        proposal: Proposal::RandomWalk,
        step: 1.0,
        transitions: 10,
        derivative: -1.3872,
    },
    Case {
        name: "random walk 2.4",
        proposal: Proposal::RandomWalk,
        step: 2.4,
        transitions: 10,
        derivative: 0.0034,
    },
    Case {
        name: "HMC .3, 3 steps",
        proposal: Proposal::Leapfrog(3),
        step: 0.3,
        transitions: 5,
        derivative: -0.7567,
    },
];

/// Chains side by side: each row's surrogate learns from as many draws a step.
const ROWS: usize = 500;
/// Steps in which surrogates and baselines learn.
const WARM_UP: u64 = 20;

/// One estimate beside what is known.
#[derive(Serialize)]
struct Row {
    chain: &'static str,
    transitions: usize,
    estimator: &'static str,
    evaluations: usize,
    exact: f64,
    mean: f64,
    z: f64,
    deviation: f64,
}

/// Estimates of derivatives, in standard errors from the exact ones.
///
/// # Errors
/// If one is further off than four of them.
pub(crate) fn compare(options: &Options) -> Outcome<()> {
    let mut table = Table::new(options)?;
    println!(
        "d/d scale of -E[x x'] after one step of the random walk, at {BEST_SCALE} from N(0, 1)"
    );
    one_step(&mut table)?;
    println!("d/d ln step of E[x_T^2] from x_0 = 3, target N(0, 1)");
    finite_chains(&mut table)?;
    table.save()
}

/// The derivative is 0 at σ*, as E[jump²]/2 is 1 − E[x x′].
fn one_step(table: &mut Table<'_>) -> Outcome<()> {
    let target = Gaussian::new(vec![1.0]);
    let lineup: [(&str, usize, Rc<dyn Estimator>); 5] = [
        ("enumerate", 2, Rc::new(Enumerate::default())),
        ("relax", 1, Rc::new(Relax::default())),
        ("rloo, 2", 2, Rc::new(Rloo::new(2)?)),
        ("reinforce", 1, Rc::new(Reinforce::default())),
        ("no baseline", 1, Rc::new(Reinforce::without_baseline())),
    ];
    for (name, evaluations, estimator) in lineup {
        let log_steps = start(0.0, BEST_SCALE as f32).1;
        let sampler = Sampler {
            target: &target,
            proposal: Proposal::RandomWalk,
            log_steps: &log_steps,
        };
        let program = stationary(sampler, ROWS);
        let mut found = table.spread(&program, &log_steps, estimator)?;
        found.mean /= BEST_SCALE;
        found.deviation /= BEST_SCALE;
        table.add("random walk 2.4264", 1, (name, evaluations), 0.0, found)?;
    }
    Ok(())
}

fn finite_chains(table: &mut Table<'_>) -> Outcome<()> {
    let target = Gaussian::new(vec![1.0]);
    for case in &CASES {
        // A second draw of each acceptance, with the rest of the chain made again.
        let again = 1 + case.transitions;
        let lineup: [(&str, usize, Rc<dyn Estimator>); 3] = [
            ("relax", 1, Rc::new(Relax::default())),
            ("rloo, 2", again, Rc::new(Rloo::new(2)?)),
            ("reinforce", 1, Rc::new(Reinforce::default())),
        ];
        for (name, evaluations, estimator) in lineup {
            let (start, log_steps) = start(3.0, case.step);
            let sampler = Sampler {
                target: &target,
                proposal: case.proposal,
                log_steps: &log_steps,
            };
            let program = chain(sampler, &start, case.transitions);
            let found = table.spread(&program, &log_steps, estimator)?;
            let named = (name, evaluations);
            table.add(case.name, case.transitions, named, case.derivative, found)?;
        }
    }
    Ok(())
}

/// States, and ln of a step size a row: gradients come row by row.
fn start(x: f32, step: f32) -> (Tensor, Parameter) {
    let start = Tensor::full([ROWS, 1], x, &Device::cpu());
    let log_steps = Parameter::new(start.full_like(step.ln()));
    (start, log_steps)
}

/// What was found so far.
struct Table<'o> {
    options: &'o Options,
    rows: Vec<Row>,
    progress: Progress,
}

impl<'o> Table<'o> {
    fn new(options: &'o Options) -> Outcome<Self> {
        const ESTIMATES: u64 = 17;
        Ok(Self {
            options,
            rows: Vec::new(),
            progress: Progress::new("estimates", 0, ESTIMATES)?,
        })
    }

    fn spread(
        &self,
        program: &dyn Program,
        log_steps: &Parameter,
        estimator: Rc<dyn Estimator>,
    ) -> Outcome<Spread> {
        let objective = ExpectedCost::new(program);
        let batches = 1000 * self.options.thousands / ROWS as u64;
        let drawn = (WARM_UP, batches);
        spread(&objective, log_steps, estimator, drawn, self.options.seed)
    }

    fn add(
        &mut self,
        chain: &'static str,
        transitions: usize,
        (estimator, evaluations): (&'static str, usize),
        exact: f64,
        found: Spread,
    ) -> Outcome<()> {
        const MOST: f64 = 4.0;
        if self.rows.is_empty() {
            println!(
                "  {:20}{:>3} {:12}{:>3}{:>10}{:>10}{:>8}{:>8}",
                "chain", "T", "estimator", "f", "exact", "mean", "z", "std"
            );
        }
        let z = found.z(exact);
        println!(
            "  {chain:20}{transitions:>3} {estimator:12}{evaluations:>3}{exact:>10.4}{:>10.4}{z:>8.2}{:>8.2}",
            found.mean, found.deviation
        );
        self.rows.push(Row {
            chain,
            transitions,
            estimator,
            evaluations,
            exact,
            mean: found.mean,
            z,
            deviation: found.deviation,
        });
        self.progress
            .at(self.rows.len() as u64, || chain.to_owned());
        match z.abs() < MOST {
            true => Ok(()),
            false => Err(format!("{estimator} is {z:.1} standard errors off, {chain}").into()),
        }
    }

    fn save(&self) -> Outcome<()> {
        let mut file = csv::Writer::from_path(self.options.out.join("known.csv"))?;
        for row in &self.rows {
            file.serialize(row)?;
        }
        Ok(file.flush()?)
    }
}

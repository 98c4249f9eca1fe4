//! Contamination control: at which of 25 stages to take preventive measures (Hu, Hu, Xu, Wang, Cao 2010; Baptista and
//! Poloczek 2018, section 4.3).

use relax_runtime::prelude::*;

use crate::problem::{BlackBox, Space};

const STAGES: usize = 25;
const RUNS: usize = 100;

/// One food's way: how much of it is contaminated at first, and what each stage adds and prevention
/// removes.
struct Way {
    first: f64,
    contamination: Vec<f64>,
    restoration: Vec<f64>,
}

#[model]
fn way() -> Way {
    let first = sample!(Beta(1.0, 30.0));
    let (mut contamination, mut restoration) = (Vec::new(), Vec::new());
    for _ in 0..STAGES {
        let added = sample!(Beta(1.0, 17.0 / 3.0));
        let removed = sample!(Beta(1.0, 3.0 / 7.0));
        contamination.push(added);
        restoration.push(removed);
    }
    Way {
        first,
        contamination,
        restoration,
    }
}

/// The cost Σ x − Σ (P(Z < .1) − .95) + λ Σ x over the stages, with the contaminated share Z from the same
/// 100 runs for every x.
pub(crate) struct Contamination {
    ways: Vec<Way>,
    lambda: f64,
}

impl Contamination {
    /// # Errors
    /// None but those of a simulation.
    pub(crate) fn new(lambda: f64, instance: u64) -> Result<Self> {
        let run = |step| {
            Ok(Simulation::seeded(instance * RUNS as u64 + step)
                .run(&way())?
                .output)
        };
        Ok(Self {
            ways: (0..RUNS as u64).map(run).collect::<Result<_>>()?,
            lambda,
        })
    }
}

impl BlackBox for Contamination {
    fn name(&self) -> String {
        "contamination".into()
    }

    fn space(&self) -> Space {
        Space::Bits(STAGES)
    }

    fn cost(&self, x: &[f64]) -> f64 {
        const LIMIT: f64 = 0.1;
        const WANTED: f64 = 0.95;
        let mut kept = 0;
        for way in &self.ways {
            let mut z = way.first;
            let stages = way.contamination.iter().zip(&way.restoration);
            for ((added, removed), x) in stages.zip(x) {
                z = added * (1.0 - x) * (1.0 - z) + (1.0 - removed * x) * z;
                kept += usize::from(z < LIMIT);
            }
        }
        let prevented: f64 = x.iter().sum();
        let safe = kept as f64 / RUNS as f64 - WANTED * STAGES as f64;
        (1.0 + self.lambda) * prevented - safe
    }

    fn optimum(&self) -> Option<f64> {
        None
    }
}

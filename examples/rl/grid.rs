//! The paper's grid: rates of the policy times rates of the critic, each setting with every seed.

use crate::compare::{Plan, Run, Spread, train};
use crate::environment::Environment;
use crate::learner::Method;
use crate::program::Outcome;
use crate::progress::Progress;
use crate::settings::Settings;

const RATES: [f32; 3] = [0.01, 0.003, 0.001];

/// Episodes to the solution of cart-pole in the paper's table 2: mean and standard error of 5 seeds.
const PUBLISHED: &str = "the paper's table 2 has, for cart-pole: A2C 1152 ± 90, RELAX 472 ± 114";

/// Runs the grid for every method, and prints and saves all of it and the best setting by the mean.
///
/// # Errors
/// If a number is none any more, or a file cannot be written.
pub(crate) fn run<E: Environment>(settings: &Settings, plan: &Plan) -> Outcome<()> {
    std::fs::create_dir_all(&plan.out)?;
    let mut table = csv::Writer::from_path(plan.out.join("grid.csv"))?;
    table.write_record([
        "method",
        "rate",
        "critic_rate",
        "seed",
        "episodes",
        "solved",
    ])?;
    let each = (RATES.len() * RATES.len()) as u64 * (plan.seeds.end - plan.seeds.start);
    let mut progress = Progress::new("runs", 0, each * plan.methods.len() as u64)?;
    let mut done = 0;
    println!("method       rate   critic  solved    mean  quartile  median  quartile");
    for &method in &plan.methods {
        let mut best: Option<(f64, String)> = None;
        for rate in RATES {
            for critic_rate in RATES {
                let settings = Settings {
                    rate,
                    value_rate: critic_rate,
                    surrogate_rate: critic_rate,
                    ..settings.clone()
                };
                let mut runs: Vec<Run> = Vec::new();
                for seed in plan.seeds.clone() {
                    let run = train::<E>(&settings, method, seed, plan, |training| {
                        progress.at(done, || format!("reward {:.1}", training.recent()));
                    })?;
                    done += 1;
                    let solved = u8::from(run.solved.is_some());
                    table.write_record([
                        method.name().to_owned(),
                        rate.to_string(),
                        critic_rate.to_string(),
                        seed.to_string(),
                        run.rewards.len().to_string(),
                        solved.to_string(),
                    ])?;
                    runs.push(run);
                }
                let Spread {
                    solved,
                    mean,
                    quartiles: [low, median, high],
                } = Spread::of(&runs);
                let row = format!(
                    "{:12} {rate:<6} {critic_rate:<6} {solved:>3}/{:<3} {mean:>7.0} {low:>9.0} \
                     {median:>7.0} {high:>9.0}",
                    method.name(),
                    runs.len(),
                );
                println!("{row}");
                if best.as_ref().is_none_or(|(least, _)| mean < *least) {
                    best = Some((mean, row));
                }
                // Without a critic its rate makes no difference.
                if matches!(method, Method::Reinforce | Method::Rloo) {
                    break;
                }
            }
        }
        if let Some((_, row)) = best {
            println!("best:\n{row}\n");
        }
    }
    table.flush()?;
    println!("{PUBLISHED}");
    Ok(())
}

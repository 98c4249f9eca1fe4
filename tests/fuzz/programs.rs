//! Random small programs × objectives × estimators: nothing panics or hangs, errors are typed and occur at the first
//! step, gradients are finite, and if the sum over all values is small the mean of unbiased estimates is the gradient.
//!
//! `RELAX_FUZZ_CASES=100000 cargo test --release --test fuzz_programs` runs for long; `RELAX_FUZZ_SEED` changes the
//! first seed. A failure names the seed of its case; run that case alone with `RELAX_FUZZ_CASES=1`.

mod random_program;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use relax_runtime::estimator::{Estimator, registry};
use relax_runtime::infer::Objective;
use relax_runtime::prelude::*;

use random_program::{Fuzzed, any_program};

const LONGEST: Duration = Duration::from_secs(30);

/// Whether an error says what a user has done wrong, and does not stand for a fault of numbers.
fn is_typed(error: &Error) -> bool {
    match error {
        Error::Site { source, .. } => is_typed(source),
        Error::Config { .. }
        | Error::Plates(_)
        | Error::Value(_)
        | Error::Inconsistent(_)
        | Error::Guide(_)
        | Error::Estimator(_)
        | Error::Enumeration(_)
        | Error::Model(_) => true,
        _ => false,
    }
}

/// One case; what went wrong, if anything did.
fn case(seed: u64) -> std::result::Result<(), String> {
    let mut stream = Key::new(seed).stream("fuzz");
    let program = any_program(&mut stream);
    let all = registry();
    let asked = match stream.below(3) {
        0 => None,
        _ => Some(Rc::clone(&all[stream.below(all.len())])),
    };
    let budget = (asked.is_none() && stream.below(2) == 0).then(|| 1 + stream.below(9));
    let checks = stream.below(8) == 0;
    let told = format!(
        "seed {seed}: {program:?}, {:?}, budget {budget:?}",
        asked.as_ref().map(|e| e.name())
    );
    let run = AssertUnwindSafe(|| trial(&program, asked, budget, checks));
    match catch_unwind(run) {
        Ok(found) => found.map_err(|problem| format!("{told}: {problem}")),
        Err(_) => Err(format!("{told}: it panicked")),
    }
}

fn trial(
    program: &Fuzzed,
    asked: Option<Rc<dyn Estimator>>,
    budget: Option<usize>,
    checks: bool,
) -> std::result::Result<(), String> {
    let (elbo, cost) = (Elbo::new(program), ExpectedCost::new(program));
    let objective: &dyn Objective = if program.observes { &elbo } else { &cost };
    let mut trainer = Trainer::new(1);
    if let Some(estimator) = &asked {
        trainer = trainer.estimator(Rc::clone(estimator));
    }
    if let Some(budget) = budget {
        trainer = trainer.budget(budget);
    }
    for step in 0..5 {
        match trainer.step(objective) {
            Ok(report) if report.loss.is_finite() => {}
            Ok(report) => return Err(format!("the loss is {}", report.loss)),
            Err(error) if is_typed(&error) => return Ok(()),
            Err(error) => return Err(format!("step {step}: {error}")),
        }
    }
    let key = Key {
        seed: 2,
        step: 9,
        particle: 0,
    };
    let found = trainer
        .gradients(objective, key)
        .map_err(|e| e.to_string())?;
    for (parameter, gradient) in &found.parameters {
        let numbers = gradient.to_vec().map_err(|e| e.to_string())?;
        if !numbers.iter().all(|g| g.is_finite()) {
            return Err(format!(
                "the gradient by {:?} is {numbers:?}",
                parameter.name()
            ));
        }
    }
    let unbiased = trainer.plan().entries.iter().all(|entry| !entry.biased);
    match checks && unbiased && budget.is_none() {
        true => mean_is_right(objective, asked.as_ref()),
        false => Ok(()),
    }
}

/// The mean of estimates beside the sum over all values. Of many cases some are far off by chance,
/// but not twice and with ten times as many draws.
fn mean_is_right(
    objective: &dyn Objective,
    asked: Option<&Rc<dyn Estimator>>,
) -> std::result::Result<(), String> {
    let mut found = Ok(());
    for (seed, draws) in [(3, 400), (4, 4_000)] {
        let mut check = Check::new(objective).seed(seed).draws(draws).warm_up(20);
        check = check.reference_draws(10 * draws).enumerate_up_to(256);
        if let Some(estimator) = asked {
            check = check.estimator(Rc::clone(estimator));
        }
        found = match check.run() {
            Ok(table) => table.verdict().map_err(|e| format!("{e}\n{table}")),
            Err(error) if is_typed(&error) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if found.is_ok() {
            break;
        }
    }
    found
}

fn setting(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is `{value}`, but a number is wanted"))
    })
}

#[test]
fn random_programs_train() {
    let (cases, first) = (
        setting("RELAX_FUZZ_CASES", 250),
        setting("RELAX_FUZZ_SEED", 0),
    );
    let mut problems = Vec::new();
    for seed in first..first + cases {
        let start = Instant::now();
        problems.extend(case(seed).err());
        if start.elapsed() > LONGEST {
            problems.push(format!("seed {seed}: it took {:?}", start.elapsed()));
        }
    }
    let shown: Vec<_> = problems.iter().take(10).map(String::as_str).collect();
    assert!(
        problems.is_empty(),
        "{} of {cases} cases:\n{}",
        problems.len(),
        shown.join("\n\n")
    );
}

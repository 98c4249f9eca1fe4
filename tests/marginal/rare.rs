//! Effects that show at only one of many combinations of choices that host code reads, against sums by hand.

use relax_runtime::infer::marginalise;
use relax_runtime::prelude::*;

use crate::{assert_near, log_evidence};

/// Numbers of a profile, all of which have to be the wanted ones.
#[model]
fn profile(wanted: &[usize]) {
    let mut is_same = true;
    for allele in wanted {
        let own = sample!(Categorical([0.125; 8]));
        is_same &= own == *allele;
    }
    observe!(Bernoulli(if is_same { 0.999 } else { 0.0001 }), true);
}

/// One of 32,768 combinations.
#[test]
fn one_profile_of_all_is_found() -> Result<()> {
    let wanted = [3, 5, 1, 6, 2];
    let (one, others) = (0.999_f64 / 32_768.0, 0.0001 * 32_767.0 / 32_768.0);
    let log = (one + others).ln();
    // Of the others 4,095 have the first one right, too.
    let own = (one + 0.0001 * 4_095.0 / 32_768.0) / (one + others);
    let exact = exact_posterior(&profile(&wanted))?;
    assert_near(exact.log_evidence, log, 1e-6);
    assert_near(exact.means("own[0]")?[3], own, 1e-5);
    assert_near(log_evidence(profile(&wanted))?, log, 1e-6);
    let fit = Svi::new(&profile(&wanted)).seed(1).run()?;
    assert_near(fit.posterior().log_evidence().elbo, log, 1e-5);
    assert_near(fit.posterior().means("own[0]")?[3], own, 1e-4);
    assert!(!fit.plan().to_string().contains("found by runs"));
    Ok(())
}

/// Digits of a lock that opens at one number alone, beside a choice that is left.
#[model]
fn lock(number: [usize; 4]) {
    let wear = sample!(Normal(0.0, 1.0));
    let mut is_open = true;
    for digit in number {
        let own = sample!(Categorical([0.1; 10]));
        is_open &= own == digit;
    }
    observe!(Normal(wear, 1.0), 0.4);
    observe!(Bernoulli(if is_open { 0.999 } else { 1e-6 }), true);
}

#[test]
fn one_number_of_a_lock_is_found_beside_what_is_left() -> Result<()> {
    let run = Simulation::seeded(1).run(&marginalise(lock([7, 0, 3, 3])))?;
    let wear = run.trace.get("wear")?.value.to_tensor()?.item()?;
    let normal = |x: f64| -0.5 * (2.0 * std::f64::consts::PI).ln() - 0.5 * x * x;
    let left = normal(f64::from(wear)) + normal(0.4 - f64::from(wear));
    let lock = (1e-4_f64 * 0.999 + (1.0 - 1e-4) * 1e-6).ln();
    assert_near(run.trace.log_prob()?, left + lock, 1e-5);
    Ok(())
}

/// Coins whose sides are wanted in a mixed order.
#[model]
fn pattern(sides: &[bool]) {
    let mut is_same = true;
    for side in sides {
        let coin = sample!(Bernoulli(0.5));
        is_same &= coin == *side;
    }
    observe!(Bernoulli(if is_same { 0.999 } else { 1e-5 }), true);
}

#[test]
fn one_pattern_of_coins_is_found() -> Result<()> {
    let sides: Vec<bool> = (0..14).map(|i| i % 3 == 1 || i == 5).collect();
    let share = 0.5_f64.powi(14);
    let log = (share * 0.999 + (1.0 - share) * 1e-5).ln();
    let fit = Svi::new(&pattern(&sides)).seed(1).run()?;
    assert_near(fit.posterior().log_evidence().elbo, log, 1e-5);
    Ok(())
}

/// More than are tried: that the sum may have missed something is said.
#[test]
fn a_plan_says_where_runs_alone_tell_what_depends_on_choices() -> Result<()> {
    let sides: Vec<bool> = (0..24).map(|i| i % 3 == 1 || i == 5).collect();
    let fit = Svi::new(&pattern(&sides)).seed(1).run()?;
    let plan = fit.plan();
    let told = plan.entries.iter().filter(|entry| {
        entry.estimator == "summed out" && entry.reason.contains("as found by runs")
    });
    assert_eq!(told.count(), 24, "{plan}");
    Ok(())
}

/// Exactly one of the coins is up, by a weight that host code computes from all.
#[model]
fn only_one(coins: usize) {
    let mut up = 0;
    for _ in 0..coins {
        up += usize::from(sample!(Bernoulli(0.3), name = "coin"));
    }
    factor!(if up == 1 { 0.0 } else { -50.0 });
}

/// A term of all 16,384 combinations.
#[test]
fn a_term_of_many_combinations_is_summed_where_nothing_is_trained() -> Result<()> {
    let one: f64 = 14.0 * 0.3 * 0.7_f64.powi(13);
    let log = (one + (1.0 - one) * (-50.0_f64).exp()).ln();
    assert_near(log_evidence(only_one(14))?, log, 1e-5);
    let fit = Svi::new(&only_one(14)).seed(1).run()?;
    assert_near(fit.posterior().log_evidence().elbo, log, 1e-5);
    assert_near(fit.posterior().mean("coin[3]")?, 1.0 / 14.0, 1e-5);
    let summed = fit.plan();
    assert!(
        summed
            .entries
            .iter()
            .all(|entry| entry.estimator == "summed out"),
        "{summed}"
    );
    Ok(())
}

/// Too many even so: what to do is said.
#[test]
fn a_term_of_too_many_combinations_is_refused() {
    let error = Simulation::seeded(1)
        .run(&marginalise(only_one(17)))
        .map(drop)
        .expect_err("131,072 combinations");
    let text = error.to_string();
    assert!(
        text.contains("131072 combinations") && text.contains("`only`"),
        "{text}"
    );
}

/// Coins of which some observations each depend on all.
#[model]
fn several(coins: usize, seen: usize) {
    let mut up = 0;
    for _ in 0..coins {
        up += usize::from(sample!(Bernoulli(0.5), name = "coin"));
    }
    for _ in 0..seen {
        observe!(Bernoulli(if up == 3 { 0.9 } else { 0.2 }), true);
    }
}

#[test]
fn many_terms_of_all_choices_take_no_more_runs_than_one() -> Result<()> {
    let three = 13.0 * 12.0 * 11.0 / 6.0 * 0.5_f64.powi(13);
    let wanted = (three * 0.9_f64.powi(12) + (1.0 - three) * 0.2_f64.powi(12)).ln();
    assert_near(log_evidence(several(13, 12))?, wanted, 1e-5);
    Ok(())
}

/// An effect that starts at 0, of one of two kinds: no number differs by the kind until it has moved.
#[test]
fn a_parameter_that_makes_no_difference_yet_is_learned() -> Result<()> {
    #[model]
    fn effects(data: &[f64]) {
        let effect = param!(0.0);
        for &x in data {
            let is_treated = sample!(Bernoulli(0.5));
            let mean = if is_treated {
                &effect * 1.0
            } else {
                &effect * 0.0
            };
            observe!(Normal(mean, 1.0), x);
        }
    }
    let data = [3.8, 0.1, 4.1, 3.9, -0.2, 0.3];
    let fit = Svi::new(&effects(&data)).seed(1).run()?;
    // Whoever has the effect has it almost surely: it is the mean of these.
    let found = fit.params().get("effect").expect("a parameter").item()?;
    assert_near(f64::from(found), (3.8 + 4.1 + 3.9) / 3.0, 0.03);
    assert!(is_summed_out(&fit, "is_treated[0]"), "{}", fit.plan());
    Ok(())
}

fn is_summed_out(fit: &Fit, site: &str) -> bool {
    let plan = fit.plan();
    let mut entries = plan.entries.iter();
    entries.any(|entry| entry.site == site && entry.estimator == "summed out")
}

/// Terms that share what they compute from a parameter, with choices that host code reads.
#[test]
fn a_width_that_all_rows_share_is_learned() -> Result<()> {
    #[model]
    fn mixture(data: &[f64]) {
        let sigma = param!(1.0, positive);
        for &x in data {
            let is_high = sample!(Bernoulli(0.5));
            observe!(Normal(if is_high { 2.0 } else { -2.0 }, &sigma), x);
        }
    }
    let data = [2.4, -1.8, 1.7, -2.3, 2.1];
    let width = (data
        .iter()
        .map(|x: &f64| (x.abs() - 2.0).powi(2))
        .sum::<f64>()
        / 5.0)
        .sqrt();
    let model = mixture(&data);
    let fit = Svi::new(&model).seed(1).run()?;
    assert!(is_summed_out(&fit, "is_high[0]"), "{}", fit.plan());
    assert_near(f64::from(fit.param("sigma")?[0]), width, 0.02);
    // The first sum of all is differentiated, too.
    let summed = marginalise(mixture(&data));
    let elbo = Elbo::new(&summed).guide(&MeanFieldGuide);
    let mut trainer = Trainer::new(1);
    for _ in 0..3 {
        trainer.step(&elbo)?;
    }
    Ok(())
}

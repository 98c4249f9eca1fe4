//! What a fit's verdict says where the fit is wrong, and that it says nothing where it is right.

use relax_runtime::Key;
use relax_runtime::infer::{Elsewhere, Finding, MeanFieldGuide};
use relax_runtime::prelude::*;

const SEEDS: std::ops::Range<u64> = 0..3;

/// Whether a fit has the means that are known to so much.
fn is_right(fit: &Fit, known: &[(String, f64)], within: f64) -> Result<bool> {
    for (site, mean) in known {
        if (fit.posterior().mean(site)? - mean).abs() > within {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Checks that a fit is right, or its verdict is not good: whether it is right.
fn expect_honest(fit: &Fit, known: &[(String, f64)], within: f64) -> Result<bool> {
    let right = is_right(fit, known, within)?;
    let verdict = fit.verdict();
    let means = known.iter().map(|(site, _)| fit.posterior().mean(site));
    let means: Vec<f64> = means.collect::<Result<_>>()?;
    assert!(
        right || !verdict.is_good(),
        "{means:.3?}, where {known:.3?} is right: {verdict}"
    );
    Ok(right)
}

fn svi(model: &dyn Program, seed: u64) -> Svi<'_> {
    Svi::new(model).seed(seed).progress(false)
}

/// Means of sites by running all combinations.
fn enumerated(
    model: &dyn Program,
    sites: impl Iterator<Item = String>,
) -> Result<Vec<(String, f64)>> {
    let exact = exact_posterior(model)?;
    sites
        .map(|site| Ok((site.clone(), exact.mean(&site)?)))
        .collect()
}

/// A sum of dice that was seen, nearly.
#[model]
fn dice(count: usize, total: f64) {
    let mut sum = 0.0;
    for _ in 0..count {
        let die = sample!(DiscreteUniform(1, 6));
        sum += die as f64;
    }
    observe!(Normal(sum, 0.5), total);
}

fn numbered(site: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |at| format!("{site}[{at}]"))
}

#[test]
fn dice_that_add_up_are_right_or_told_of() -> Result<()> {
    let model = dice(6, 30.0);
    let known = enumerated(&model, numbered("die", 6))?;
    // All 46,656 combinations are run, as nothing is left to train.
    assert!(expect_honest(&svi(&model, 0).run()?, &known, 1e-4)?);
    let drawn = svi(&model, 1).draw_all().run()?;
    if !expect_honest(&drawn, &known, 0.15)? {
        let told = drawn.verdict().to_string();
        assert!(told.contains("`exact_posterior`"), "{told}");
    }
    Ok(())
}

/// Exactly one of some coins is to show heads.
#[model]
fn one_of(count: usize) {
    let mut heads = 0;
    for _ in 0..count {
        let coin = sample!(Bernoulli(0.5));
        heads += usize::from(coin);
    }
    factor!(if heads == 1 { 0.0 } else { -50.0 }, name = "one");
}

#[test]
fn one_of_many_is_right_or_told_of() -> Result<()> {
    const COUNT: usize = 14;
    let model = one_of(COUNT);
    // All of them alike; e⁻⁵⁰ of all other combinations are nothing.
    let known: Vec<_> = numbered("coin", COUNT)
        .map(|coin| (coin, 1.0 / COUNT as f64))
        .collect();
    for seed in SEEDS {
        expect_honest(&svi(&model, seed).draw_all().run()?, &known, 0.05)?;
    }
    Ok(())
}

/// A task that needs all of some skills.
#[model]
fn skills(count: usize, share: f64, slip: f64, guess: f64) {
    let mut all = true;
    for _ in 0..count {
        let skill = sample!(Bernoulli(share));
        all &= skill;
    }
    observe!(Bernoulli(if all { 1.0 - slip } else { guess }), true);
}

/// Whoever solves a task that is hard to guess has all skills with a probability that few draws of the laws show.
#[test]
fn all_of_many_is_right_or_told_of() -> Result<()> {
    const COUNT: usize = 14;
    for (share, slip, guess) in [(0.5, 0.05, 1e-4), (0.5, 0.1, 1e-6), (0.8, 0.05, 0.1)] {
        let model = skills(COUNT, share, slip, guess);
        let before = f64::powi(share, COUNT as i32);
        let [with, without] = [before * (1.0 - slip), (1.0 - before) * guess];
        let all = with / (with + without);
        // Of those who lack some, a skill less likely than before by those who have all.
        let mean = all + (1.0 - all) * (share - before) / (1.0 - before);
        let known: Vec<_> = numbered("skill", COUNT)
            .map(|skill| (skill, mean))
            .collect();
        expect_honest(&svi(&model, 0).draw_all().run()?, &known, 0.05)?;
    }
    Ok(())
}

/// Two groups whose names are nothing but names.
#[model]
fn groups(data: &[f64]) {
    let a = sample!(Normal(Tensor::scalar(0.0), 5.0));
    let b = sample!(Normal(Tensor::scalar(0.0), 5.0));
    for &x in data {
        let of_a = sample!(Bernoulli(0.5));
        observe!(Normal(if of_a { &a } else { &b }, 1.0), x);
    }
}

/// The same, of which the second is the one to the right.
#[model]
fn ordered(data: &[f64]) {
    let a = sample!(Normal(Tensor::scalar(0.0), 5.0));
    let gap = sample!(HalfNormal(Tensor::scalar(5.0)));
    for &x in data {
        let of_a = sample!(Bernoulli(0.5));
        let b = &a + &gap;
        observe!(Normal(if of_a { &a } else { &b }, 1.0), x);
    }
}

const TWO_GROUPS: [f64; 8] = [-3.1, -2.6, -3.3, 2.9, 3.2, 2.5, 3.6, -2.9];

fn missed(fit: &Fit) -> Option<(f64, Elsewhere)> {
    fit.verdict()
        .findings
        .into_iter()
        .find_map(|finding| match finding {
            Finding::Missed { share, at } => Some((share, at)),
            _ => None,
        })
}

#[test]
fn groups_that_may_be_exchanged_are_told_of() -> Result<()> {
    let model = groups(&TWO_GROUPS);
    for seed in SEEDS {
        let fit = svi(&model, seed).run()?;
        // Both have the same posterior, and so the same mean.
        let means = [fit.posterior().mean("a")?, fit.posterior().mean("b")?];
        assert!((means[0] - means[1]).abs() > 4.0, "{means:?}");
        let Some((share, Elsewhere::Turned(words))) = missed(&fit) else {
            panic!("{}", fit.verdict());
        };
        // Half of the posterior is where they are exchanged.
        assert!((share - 0.5).abs() < 0.1, "{share}");
        assert!(words.contains("`a` and `b` exchanged"), "{words}");
        let verdict = fit.verdict().to_string();
        assert!(
            verdict.contains("which is which") && !verdict.contains("  "),
            "{verdict}"
        );
        let fit = svi(&ordered(&TWO_GROUPS), seed).run()?;
        assert!(fit.verdict().is_good(), "{}", fit.verdict());
    }
    Ok(())
}

/// A number of which the square was seen, and more of it is to the right.
#[model]
fn two_places(square: f64) {
    let place = sample!(Normal(Tensor::scalar(0.5), 3.0));
    observe!(Normal(place.square(), 0.5), square);
}

#[test]
fn a_place_that_was_not_found_is_told_of() -> Result<()> {
    let model = two_places(9.0);
    for seed in SEEDS {
        let fit = svi(&model, seed).run()?;
        // e^(−2.5²/18) to e^(−3.5²/18): 0.58 of the posterior are near 3, the rest near −3.
        let mean = 3.0 * (2.0 * 0.5826 - 1.0);
        expect_honest(&fit, &[("place".into(), mean)], 0.3)?;
        let share = missed(&fit).map(|(share, _)| share);
        assert!(
            share.is_some_and(|share| (0.25..0.75).contains(&share)),
            "{}",
            fit.verdict()
        );
    }
    Ok(())
}

/// Two coins that are rather alike.
#[model]
fn alike() {
    let a = sample!(Bernoulli(0.5));
    let b = sample!(Bernoulli(0.5));
    observe!(Bernoulli(if a == b { 0.9 } else { 0.3 }), true);
}

/// Does not know of one of two values.
#[model]
fn blind() {
    let logits = param!(0.0);
    let _a = sample!(Bernoulli(0.0), name = "a");
    let _b = sample!(Bernoulli(logits = &logits), name = "b");
}

#[test]
fn a_place_that_a_guide_excludes_is_told_of() -> Result<()> {
    let (model, guide) = (alike(), blind());
    for seed in SEEDS {
        let fit = svi(&model, seed).guide(&guide).steps(2_000).run()?;
        assert_eq!(fit.posterior().mean("a")?, 0.0);
        let share = missed(&fit).map(|(share, _)| share);
        assert!(
            share.is_some_and(|share| (0.35..0.6).contains(&share)),
            "{}",
            fit.verdict()
        );
    }
    Ok(())
}

/// A number and a coin that have nothing to do with each other.
#[model]
fn apart() {
    let x = sample!(Normal(0.0, 1.0));
    let _a = sample!(Bernoulli(0.3), name = "a");
    observe!(Normal(x, 1.0), 0.5);
}

/// The other way round, and the coin always on one side.
#[model]
fn one_side() {
    let _a = sample!(Bernoulli(0.0), name = "a");
    let loc = param!(0.0);
    let _x = sample!(Normal(loc, 0.5_f64.sqrt()), name = "x");
}

#[test]
fn a_place_that_a_guide_excludes_has_its_share_in_whatever_order_guides_draw() -> Result<()> {
    let (model, guide) = (apart(), one_side());
    for seed in SEEDS {
        let fit = svi(&model, seed).guide(&guide).steps(2_000).run()?;
        let share = missed(&fit).map(|(share, _)| share);
        assert!(
            share.is_some_and(|share| (0.2..0.4).contains(&share)),
            "{}",
            fit.verdict()
        );
    }
    Ok(())
}

/// A number of which 4 times as much is known before as one law says.
#[model]
fn known_better() -> f64 {
    let x = sample!(Normal(0.0, 1.0));
    x
}

#[model]
fn either_side() {
    let x = call!(scale(known_better(), 4.0));
    observe!(Normal(x * x, 0.2), 2.25);
}

#[test]
fn what_is_missed_of_a_scaled_model_is_its_own_share() -> Result<()> {
    let model = either_side();
    for seed in SEEDS {
        let fit = svi(&model, seed)
            .guide(&MeanFieldGuide)
            .steps(2_000)
            .run()?;
        let share = missed(&fit).map(|(share, _)| share);
        assert!(
            share.is_some_and(|share| (0.35..0.65).contains(&share)),
            "{}",
            fit.verdict()
        );
    }
    Ok(())
}

/// A level of which a choice decides what is known before.
#[model]
fn level(data: &[f64]) {
    let high = sample!(Bernoulli(0.5));
    let mean = sample!(Normal(if high { 2.0 } else { -1.0 }, 1.0));
    for &x in data {
        observe!(Normal(mean, 0.7), x);
    }
}

#[test]
fn choices_beside_numbers_are_right_or_told_of() -> Result<()> {
    let data = [1.2, 0.4, 2.2];
    let model = level(&data);
    // The mean of the data is their sum's third, of variance 0.49/3 about a level of variance 1.
    let (average, variance) = (data.iter().sum::<f64>() / 3.0, 1.0 + 0.49 / 3.0);
    let density = |level: f64| (-0.5 * (average - level).powi(2) / variance).exp();
    let high = density(2.0) / (density(2.0) + density(-1.0));
    for seed in SEEDS {
        let known = [("high".into(), high)];
        expect_honest(&svi(&model, seed).draw_all().run()?, &known, 0.06)?;
        assert!(expect_honest(&svi(&model, seed).run()?, &known, 0.06)?);
    }
    Ok(())
}

/// Diseases, and findings that each of some of them may cause.
#[model]
fn diseases(priors: &[f64], causes: &[Vec<(usize, f64)>], seen: &[bool]) {
    const LEAK: f64 = 0.01;
    let mut ill = Vec::new();
    for &prior in priors {
        let disease = sample!(Bernoulli(prior));
        ill.push(disease);
    }
    for (causes, &seen) in causes.iter().zip(seen) {
        let not = causes
            .iter()
            .filter(|(at, _)| ill[*at])
            .map(|(_, strength)| 1.0 - strength);
        observe!(Bernoulli(1.0 - (1.0 - LEAK) * not.product::<f64>()), seen);
    }
}

#[test]
fn diseases_are_right_or_told_of() -> Result<()> {
    const DISEASES: usize = 10;
    for network in 0..3 {
        let mut stream = Key::new(network).stream("network");
        let mut cause = || (stream.below(DISEASES), 0.3 + 0.6 * stream.uniform_f64());
        let causes: Vec<Vec<_>> = (0..12)
            .map(|at| (0..2 + at % 3).map(|_| cause()).collect())
            .collect();
        let priors: Vec<f64> = (0..DISEASES).map(|at| 0.02 + 0.02 * at as f64).collect();
        let seen: Vec<bool> = (0..12).map(|at| at % 3 != network as usize).collect();
        let model = diseases(&priors, &causes, &seen);
        let known = enumerated(&model, numbered("disease", DISEASES))?;
        // A twentieth of the posterior may be missed by a fit that is called good, and draws differ by some hundredths.
        expect_honest(&svi(&model, network).draw_all().run()?, &known, 0.08)?;
    }
    Ok(())
}

/// Spins of which neighbours are alike, most often.
#[model]
fn spins() {
    let mut last = None;
    for _ in 0..6 {
        let spin = sample!(Bernoulli(0.5));
        if let Some(last) = last {
            factor!(if last == spin { 1.2 } else { 0.0 }, name = "bond");
        }
        last = Some(spin);
    }
}

#[model]
fn wet_lawn() {
    let rain = sample!(Bernoulli(0.2));
    let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
    let wet = match (rain, sprinkler) {
        (true, true) => 0.99,
        (true, false) => 0.8,
        (false, true) => 0.9,
        (false, false) => 0.001,
    };
    observe!(Bernoulli(wet), true);
}

/// Two numbers of which the sum was seen.
#[model]
fn sum_of_two() {
    let a = sample!(Normal(Tensor::scalar(0.0), 1.0));
    let b = sample!(Normal(Tensor::scalar(1.0), 2.0));
    observe!(Normal(&a + &b, 0.5), 3.0, name = "sum");
}

/// Coins that hardly ever show heads, of which nothing more is known.
#[model]
fn rare() {
    for _ in 0..30 {
        let _heads = sample!(Bernoulli(2e-4), name = "heads");
    }
}

/// Some rows of ten times as many, each of one of two kinds.
#[model]
fn part(data: &Tensor) {
    let level = sample!(Normal(Tensor::scalar(0.0), 1.0));
    plate!(data.rows(), of = 10 * data.rows() => {
        let kind = sample!(Bernoulli(0.3));
        observe!(Normal(&level + kind, 0.05), data);
    })
}

/// Their densities are above 1, so that what is counted ten times has much more evidence than what counts once.
#[test]
fn rows_that_stand_for_others_are_no_places_that_are_missed() -> Result<()> {
    let data: Vec<f32> = (0..30)
        .map(|at| 0.5 + 0.04 * ((at % 5) as f32 - 2.0) + f32::from(u8::from(at % 3 == 0)))
        .collect();
    let fit = svi(&part(&Tensor::from_slice(&data)), 0).run()?;
    assert!((fit.posterior().mean("level")? - 0.5).abs() < 0.01);
    assert_eq!(missed(&fit), None);
    assert!(fit.verdict().is_good(), "{}", fit.verdict());
    Ok(())
}

#[test]
fn right_fits_are_good() -> Result<()> {
    let expect_good = |fit: Fit, known: &[(String, f64)]| -> Result<()> {
        assert!(
            expect_honest(&fit, known, 0.06)?,
            "{}",
            fit.posterior().summary()?
        );
        assert!(fit.verdict().is_good(), "{}", fit.verdict());
        Ok(())
    };
    // So many draws that means are known to about a hundredth.
    fn svi(model: &dyn Program, seed: u64) -> Svi<'_> {
        crate::svi(model, seed).posterior_draws(4_000)
    }
    for seed in SEEDS {
        let model = wet_lawn();
        let known = enumerated(&model, ["rain", "sprinkler"].map(String::from).into_iter())?;
        expect_good(svi(&model, seed).run()?, &known)?;
        expect_good(svi(&model, seed).draw_all().run()?, &known)?;
        let model = spins();
        // Heads and tails are the same.
        let known: Vec<_> = numbered("spin", 6).map(|spin| (spin, 0.5)).collect();
        expect_good(svi(&model, seed).draw_all().run()?, &known)?;
        // Whoever has all of 14 skills is one of 16,384, and solving the task hardly tells.
        let model = skills(14, 0.5, 0.05, 0.05);
        let known: Vec<_> = numbered("skill", 14).map(|skill| (skill, 0.5)).collect();
        expect_good(svi(&model, seed).draw_all().run()?, &known)?;
        // The sum's mean is 1 and its variance 5.25; 2 more were seen, of which a and b have their shares of that.
        let known = [("a".into(), 2.0 / 5.25), ("b".into(), 1.0 + 8.0 / 5.25)];
        expect_good(svi(&sum_of_two(), seed).run()?, &known)?;
        let known: Vec<_> = numbered("heads", 30).map(|heads| (heads, 2e-4)).collect();
        expect_good(svi(&rare(), seed).draw_all().run()?, &known)?;
    }
    Ok(())
}

//! The floor of each site's variance in a ledger: by hand, by enumeration, and from draws.

use relax_runtime::estimator::{Enumerate, GumbelSoftmax, Rloo};
use relax_runtime::infer::Recording;
use relax_runtime::prelude::*;
use relax_runtime::report::{Ledger, LedgerEntry};

/// The ledger of the first step, with so many combinations to enumerate and so many draws.
fn first(model: &dyn Program, combinations: usize, draws: u64) -> Result<Ledger> {
    let recording = Recording::every(1).floors(combinations);
    let trained = Minimize::new(model)
        .steps(1)
        .seed(5)
        .progress(false)
        .record(recording.fresh_draws(draws))
        .run()?;
    Ok(trained.ledger().expect("a ledger").clone())
}

fn entry<'l>(ledger: &'l Ledger, site: &str) -> &'l LedgerEntry {
    ledger
        .site(site)
        .next()
        .unwrap_or_else(|| panic!("{ledger}"))
}

/// The variance of weighted numbers.
fn variance(numbers: &[(f64, f64)]) -> f64 {
    let mean: f64 = numbers.iter().map(|(mass, x)| mass * x).sum();
    let square = |(mass, x): &(f64, f64)| mass * (x - mean).powi(2);
    numbers.iter().map(square).sum()
}

fn near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 1e-4 * wanted.abs().max(1e-3)
}

/// A table that host code looks the cost up in, as it may be.
#[model]
fn two_coins() {
    let a = sample!(Bernoulli(0.6));
    let b = sample!(Bernoulli(0.35));
    cost!(match (a, b) {
        (false, false) => 0.3,
        (false, true) => -1.0,
        (true, false) => 2.0,
        (true, true) => 0.4,
    });
}

#[test]
fn floors_of_two_coins_are_those_by_hand() -> Result<()> {
    let ledger = first(&two_coins(), 4, 64)?;
    // p (1 − p) (f(1, b₋) − f(0, b₋)) for either value of the other coin.
    let a = variance(&[(0.65, 0.24 * 1.7), (0.35, 0.24 * 1.4)]);
    let b = variance(&[(0.4, 0.2275 * -1.3), (0.6, 0.2275 * -1.6)]);
    for (site, floor) in [("a", a), ("b", b)] {
        let entry = entry(&ledger, site);
        assert!(near(entry.floor.unwrap(), floor), "{floor}: {ledger}");
        assert_eq!((entry.floor_error, &entry.floor_note), (Some(0.0), &None));
        let (ratio, error) = entry.above_floor().unwrap();
        assert!(near(ratio, entry.fresh_variance.unwrap() / floor));
        assert!(ratio > 1.0 && error > 0.0 && error < ratio);
    }
    assert!(ledger.to_string().contains("× floor"), "{ledger}");
    Ok(())
}

const LINKS: [f64; 2] = [0.4, 0.8];
const ENDS: [f64; 2] = [0.2, 0.7];

fn pay(x: usize, y: usize, z: usize) -> f64 {
    [[[0.1, 1.3], [-0.7, 0.9]], [[2.0, -0.4], [0.8, 1.1]]][x][y][z]
}

/// Each link is drawn by the one before it.
#[model]
fn chain() {
    let x = sample!(Bernoulli(0.3));
    let y = sample!(Bernoulli(LINKS[usize::from(x)]));
    let z = sample!(Bernoulli(ENDS[usize::from(y)]));
    cost!(pay(x.into(), y.into(), z.into()));
}

/// Cells of a uniform number in which coins of either probability fall alike: their length, and sides.
fn cells([p, q]: [f64; 2]) -> [(f64, [usize; 2]); 3] {
    let (low, high) = (1.0 - p.max(q), 1.0 - p.min(q));
    [(0.0, low), (low, high), (high, 1.0)].map(|(start, end)| {
        let middle = 0.5 * (start + end);
        (end - start, [p, q].map(|p| usize::from(middle > 1.0 - p)))
    })
}

/// What comes after a link depends on it, and is made again with the same noise: by enumeration of pairs of
/// combinations, and, where they are not to be enumerated, by draws.
#[test]
fn floors_of_a_chain_are_those_by_hand() -> Result<()> {
    let (exact, drawn) = (first(&chain(), 8, 2)?, first(&chain(), 7, 6_000)?);
    let side = |p: f64, one: usize| if one == 1 { p } else { 1.0 - p };
    let (mut of_z, mut of_y, mut of_x) = (Vec::new(), Vec::new(), Vec::new());
    for (x, p) in LINKS.into_iter().enumerate() {
        let mass = side(0.3, x);
        for (y, end) in ENDS.into_iter().enumerate() {
            let local = end * (1.0 - end) * (pay(x, y, 1) - pay(x, y, 0));
            of_z.push((mass * side(p, y), local));
        }
        for (length, [z0, z1]) in cells(ENDS) {
            of_y.push((
                mass * length,
                p * (1.0 - p) * (pay(x, 1, z1) - pay(x, 0, z0)),
            ));
        }
    }
    for (by_y, [y0, y1]) in cells(LINKS) {
        for (by_z, z) in cells(ENDS) {
            let apart = pay(1, y1, z[y1]) - pay(0, y0, z[y0]);
            of_x.push((by_y * by_z, 0.3 * 0.7 * apart));
        }
    }
    for (site, numbers) in [("x", of_x), ("y", of_y), ("z", of_z)] {
        let floor = variance(&numbers);
        let entry = |ledger| entry(ledger, site);
        assert!(
            near(entry(&exact).floor.unwrap(), floor),
            "{site}, {floor}: {exact}"
        );
        assert_eq!(entry(&exact).floor_error, Some(0.0));
        let (found, error) = (
            entry(&drawn).floor.unwrap(),
            entry(&drawn).floor_error.unwrap(),
        );
        assert!(
            error > 0.0 && error < 0.05 * floor,
            "{site}, {floor}: {error}"
        );
        assert!(
            (found - floor).abs() < 4.0 * error,
            "{site}, {floor}: {found} ± {error}"
        );
    }
    Ok(())
}

/// Sites of several choices, with more than two values, in rows that an earlier choice moves together.
#[model]
fn rows() {
    let gate = sample!(Bernoulli(0.4));
    let shift = if gate { 0.9 } else { -0.5 };
    let theta = param!(Tensor::from_slice(&[0.3, -0.8]));
    let coins = sample!(Bernoulli(logits = &theta * 1.0));
    let both = coins.index(0, 0) * coins.index(0, 1);
    let pull = param!(Tensor::from_slice(&[0.2, -0.1]));
    plate!(2 => {
        let kind = sample!(OneHotCategorical([0.5, 0.2, 0.3]));
        let side = sample!(Bernoulli(logits = &pull + shift));
        let pay = (&kind * Tensor::from_slice(&[0.4, -0.5, 1.0])).sum(-1);
        cost!((pay * &side + &both * 0.8 - 0.2).square() + side * shift);
    });
}

/// A choice of which one branch alone comes by, and others that both make with other parameters.
#[model]
fn branches() {
    let theta = param!(Tensor::from_slice(&[0.3, -0.8]));
    let pair = sample!(Bernoulli(logits = &theta));
    let a = sample!(Bernoulli(0.8));
    let mut pay = if a { 0.7 } else { -0.2 };
    if a {
        let extra = sample!(Bernoulli(0.3));
        pay += if extra { 1.1 } else { -0.4 };
    }
    let b = sample!(Bernoulli(if a { 0.2 } else { 0.7 }));
    let k = sample!(Categorical([0.2, 0.3, 0.5]));
    cost!((pair.sum_all() * pay + if b { 0.9 } else { 0.1 } * k as f64).square());
}

/// The same choice with other parameters.
#[model]
fn kinds() {
    let a = sample!(Bernoulli(0.4));
    let k = sample!(Categorical(if a {
        [0.2, 0.3, 0.5]
    } else {
        [0.6, 0.3, 0.1]
    }));
    cost!([0.4, -0.5, 1.0][k] * if a { 1.5 } else { -0.3 });
}

#[test]
fn estimated_floors_are_the_exact_ones() -> Result<()> {
    // Two coins, and in each row one of three kinds and a side, after a gate; and two coins, a branch with
    // one more or none, a coin and one of three.
    let models: [(&dyn Program, usize, &[&str]); 2] = [
        (&rows(), 2 * 4 * 36, &["gate", "coins", "kind", "side"]),
        (&branches(), 4 * 3 * 6, &["pair", "a", "extra", "b", "k"]),
    ];
    for (model, combinations, sites) in models {
        let exact = first(model, combinations, 2)?;
        let drawn = first(model, combinations - 1, 2_500)?;
        for site in sites {
            let (exact, drawn) = (entry(&exact, site), entry(&drawn, site));
            let (floor, error) = (exact.floor.unwrap(), drawn.floor_error.unwrap());
            assert_eq!(exact.floor_error, Some(0.0), "{site}");
            let found = drawn.floor.unwrap();
            assert!(
                error > 0.0 && error < 0.15 * floor,
                "{site}: {floor}, {error}"
            );
            assert!(
                (found - floor).abs() < 4.0 * error,
                "{site}: {found} ± {error}, {floor}"
            );
        }
    }
    let ledger = first(&rows(), 2 * 4 * 36, 2)?;
    let note = |site| entry(&ledger, site).floor_note.clone().unwrap_or_default();
    assert!(note("kind").contains("more than two values"), "{ledger}");
    assert_eq!(note("side"), "");
    // Which of three falls by the same noise under other parameters is not worked out.
    let ledger = first(&kinds(), 6, 50)?;
    assert!(entry(&ledger, "a").floor_error.unwrap() > 0.0, "{ledger}");
    assert_eq!(entry(&ledger, "k").floor_error, Some(0.0), "{ledger}");
    Ok(())
}

#[model]
fn unbounded() {
    let n = sample!(Poisson(2.0));
    let x = sample!(Normal(0.1, 1.0));
    cost!((n as f64 - x).powi(2));
}

#[model]
fn pairs() {
    let theta = param!(Tensor::from_slice(&[0.3, -0.8]));
    let b = sample!(Bernoulli(logits = &theta));
    cost!((b.sum_all() - 0.7).square());
}

/// Where a floor is not known or does not hold, the ledger says so.
#[test]
fn a_ledger_says_where_there_is_no_floor() -> Result<()> {
    let ledger = first(&unbounded(), 1 << 10, 4)?;
    for (site, why) in [("n", "no last one"), ("x", "continuous")] {
        let entry = entry(&ledger, site);
        assert_eq!(entry.floor, None);
        assert!(entry.floor_note.as_ref().unwrap().contains(why), "{ledger}");
    }
    let model = pairs();
    let recording = Recording::every(1).floors(4).fresh_draws(8);
    let recording = recording
        .rival(Rloo::default())
        .rival(GumbelSoftmax::default());
    let recording = recording.rival(Reinforce::default()).rival(Relax::sum());
    let trained = Minimize::new(&model)
        .steps(1)
        .progress(false)
        .record(recording)
        .run()?;
    let ledger = trained.ledger().expect("a ledger");
    let notes: Vec<_> = ledger
        .site("b")
        .map(|entry| (&*entry.estimator, entry.floor_note.as_deref().unwrap_or("")))
        .collect();
    for (estimator, why) in [
        ("relax", "pairs of the site's choices"),
        ("rloo", "evaluations of the cost"),
        ("gumbel-softmax", "biased"),
        ("reinforce", ""),
        ("relax-sum", ""),
    ] {
        let note = notes.iter().find(|(name, _)| *name == estimator).unwrap().1;
        assert!(
            note.contains(why) && note.is_empty() == why.is_empty(),
            "{estimator}: {note}"
        );
    }
    let told = ledger.to_string();
    assert!(
        told.contains("* b, rloo: the floor does not hold"),
        "{told}"
    );
    // A sum over all choices has no variance.
    let trained = Minimize::new(&model)
        .steps(1)
        .estimator(Enumerate::default())
        .progress(false)
        .record(Recording::every(1).floors(4))
        .run()?;
    let ledger = trained.ledger().expect("a ledger");
    let note = entry(ledger, "b").floor_note.clone().unwrap();
    assert!(note.contains("does not vary"), "{ledger}");
    // Nothing of it where nobody asks.
    let trained = Minimize::new(&model)
        .steps(1)
        .progress(false)
        .record(Recording::every(1))
        .run()?;
    assert!(
        !trained
            .ledger()
            .expect("a ledger")
            .to_string()
            .contains("floor")
    );
    let csv = ledger.to_csv()?;
    assert!(
        csv.lines()
            .next()
            .unwrap()
            .ends_with("fresh_error,floor,floor_error,floor_note")
    );
    Ok(())
}

/// A coin beside a number that cannot be enumerated.
#[model]
fn beside_a_number() {
    let b = sample!(Bernoulli(0.4));
    let x = sample!(Normal(0.5, 2.0));
    cost!(if b { x } else { -x });
}

/// A coin whose cost has nothing to do with a number beside it: its local expectation is the same in every draw.
#[model]
fn apart_from_a_number() {
    let b = sample!(Bernoulli(0.4));
    let x = sample!(Normal(0.5, 2.0));
    cost!((if b { 0.55_f64 } else { -0.45 }).powi(2));
    cost!(x * x);
}

/// What is wrong shows only where a floor asks for the side that no draw has.
#[model]
fn wrong_on_the_other_side() {
    let b = sample!(Bernoulli(1e-7));
    let x = sample!(Normal(0.0, if b { -1.0 } else { 1.0 }));
    cost!(x * x);
}

/// A number with more values than a check of few draws looks at.
#[model]
fn many_values() {
    let n = sample!(DiscreteUniform(0, 40));
    let x = sample!(Normal(0.1, 1.0));
    cost!((n as f64 / 40.0 - x).powi(2));
}

/// The table of a check has the floors, too.
#[test]
fn a_check_says_how_far_above_their_floors_sites_are() -> Result<()> {
    let check = |model: &dyn Program| {
        let objective = ExpectedCost::new(model);
        let check = Check::new(&objective).draws(4_000).seed(3);
        check.estimator(Reinforce::without_baseline()).run()
    };
    let table = check(&two_coins())?;
    let a = variance(&[(0.65, 0.24 * 1.7), (0.35, 0.24 * 1.4)]);
    let row = table.site("a").unwrap();
    let floor = row.floor.clone().unwrap();
    assert!(near(floor.value.unwrap(), a), "{table}");
    assert_eq!((floor.error, &floor.note), (Some(0.0), &None));
    // (f p − p) f for the cost f of either side.
    let estimates = |b: usize| {
        let costs = [[0.3, -1.0], [2.0, 0.4]];
        let mass = [0.65, 0.35][b];
        [
            (0.4 * mass, -0.6 * costs[0][b]),
            (0.6 * mass, 0.4 * costs[1][b]),
        ]
    };
    let wanted = variance(&[estimates(0), estimates(1)].concat()) / a;
    let (ratio, error) = floor.above().unwrap();
    assert!(error > 0.0 && error < 0.1 * wanted, "{table}");
    assert!((ratio - wanted).abs() < 4.0 * error, "{wanted}: {table}");
    let text = table.to_string();
    assert!(
        text.contains("× floor") && text.contains(&format!("{ratio:.2} ± ")),
        "{text}"
    );
    // p (1 − p) 2x, from draws of x.
    let table = check(&beside_a_number())?;
    let wanted = (0.24 * 2.0 * 2.0_f64).powi(2);
    let floor = table.site("b").unwrap().floor.clone().unwrap();
    let (found, error) = (floor.value.unwrap(), floor.error.unwrap());
    assert!(error > 0.0 && error < 0.15 * wanted, "{table}");
    assert!((found - wanted).abs() < 4.0 * error, "{wanted}: {table}");
    let table = check(&apart_from_a_number())?;
    let floor = table.site("b").unwrap().floor.clone().unwrap();
    assert!(
        floor.value.unwrap() < 1e-10 && floor.above().is_none(),
        "{table}"
    );
    let table = check(&wrong_on_the_other_side())?;
    let floor = table.site("b").unwrap().floor.clone().unwrap();
    assert_eq!(floor.value, None, "{table}");
    let note = floor.note.unwrap();
    assert!(note.contains("no floor: ") && note.contains("-1"), "{note}");
    let model = many_values();
    let objective = ExpectedCost::new(&model);
    let table = Check::new(&objective).draws(600).run()?;
    let note = table
        .site("n")
        .unwrap()
        .floor
        .clone()
        .unwrap()
        .note
        .unwrap();
    assert!(note.contains("too few draws for 40 other values"), "{note}");
    let table = Check::new(&objective).draws(700).run()?;
    assert!(
        table
            .site("n")
            .unwrap()
            .floor
            .clone()
            .unwrap()
            .value
            .is_some(),
        "{table}"
    );
    let table = check(&beside_a_number())?;
    assert!(table.to_string().contains("* x, "), "{table}");
    assert!(
        table.to_string().contains("its draws are continuous"),
        "{table}"
    );
    Ok(())
}

/// Each coin pays for itself, more so after a gate, by which its logit tells the surrogate what the cost will be.
#[model]
fn separate() {
    let theta = param!(Tensor::from_slice(&[0.2, -0.4]));
    let gate = sample!(Bernoulli(0.5));
    let (scale, shift) = if gate { (1.5, 0.8) } else { (0.5, -0.8) };
    for i in 0..2 {
        let b = sample!(Bernoulli(logits = theta.index(0, i) + shift));
        cost!((b - 0.3).square() * scale);
    }
}

#[test]
fn a_learned_surrogate_comes_down_to_the_floor() -> Result<()> {
    let recording = Recording::every(2_999).floors(8).fresh_draws(2_000);
    let trained = Minimize::new(&separate())
        .optimizer(Sgd::new(1e-6))
        .steps(3_000)
        .seed(2)
        .progress(false)
        .record(recording.rival(Reinforce::without_baseline()))
        .run()?;
    let ledger = trained.ledger().expect("a ledger");
    for site in ["b[0]", "b[1]"] {
        let ratio = |step, rival| {
            let mut entries = ledger
                .site(site)
                .filter(|e| (e.step, e.rival) == (step, rival));
            entries.next().unwrap().above_floor().unwrap()
        };
        let ((first, _), (last, error)) = (ratio(0, false), ratio(2_999, false));
        assert!(first > 5.0, "{ledger}");
        assert!(last < 1.1 && last > 1.0 - 4.0 * error, "{ledger}");
        // Which is not a matter of the time that has passed.
        assert!(ratio(2_999, true).0 > 5.0, "{ledger}");
    }
    Ok(())
}

/// Two counts that pay together, with so many values that a network alone learns, beside a form with their pair.
#[model]
fn two_counts() {
    let theta = param!(Tensor::from_slice(&[0.0, 0.3]));
    let n = sample!(Binomial(10, logits = &theta));
    cost!(n.index(0, 0) * n.index(0, 1));
}

/// More coins than the form has pairs for.
#[model]
fn twelve_coins() {
    let theta = param!(Tensor::zeros([12], &Device::cpu()));
    let b = sample!(Bernoulli(logits = &theta));
    cost!((b.sum_all() - 5.3).square());
}

/// Only an estimator that knows the pairs of a site's choices may be below the floor.
#[test]
fn the_floor_holds_where_no_pairs_are_known() -> Result<()> {
    let note = |model: &dyn Program, site: &str, estimator: Relax| -> Result<String> {
        let objective = ExpectedCost::new(model);
        let check = Check::new(&objective).draws(300).seed(3);
        let table = check.estimator(estimator).run()?;
        let site = table.site(site).unwrap();
        let floor = site.floor.clone().unwrap();
        Ok(floor.note.map_or(String::new(), String::from))
    };
    let pairs = "pairs of the site's choices";
    let counts = note(&two_counts(), "n", Relax::free_form())?;
    assert!(counts.contains(pairs), "{counts}");
    let coins = note(&twelve_coins(), "b", Relax::free_form())?;
    assert!(!coins.contains(pairs), "{coins}");
    Ok(())
}

/// Each row's floor is given the other rows: in a cost where they meet, their sum may vary less.
#[test]
fn rows_that_meet_have_no_floor() -> Result<()> {
    #[model]
    fn gap() {
        let theta = param!(Tensor::from_slice(&[0.0, 0.0]));
        let unequal;
        plate!(2 => {
            let b = sample!(Bernoulli(logits = &theta));
            unequal = (b * Tensor::from_slice(&[1.0, -1.0])).sum_all().square();
        });
        cost!(-unequal);
    }
    let model = gap();
    let objective = ExpectedCost::new(&model);
    let check = Check::new(&objective).draws(400).seed(3);
    let table = check.estimator(Reinforce::without_baseline()).run()?;
    let floor = table.site("b").unwrap().floor.clone().unwrap();
    assert_eq!(floor.value, None, "{table}");
    assert!(floor.variance.unwrap() < 1e-9, "{table}");
    let note = floor.note.unwrap();
    assert!(note.contains("meet in one cost"), "{note}");
    Ok(())
}

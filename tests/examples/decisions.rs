//! Programs that choose: steps of samplers, arguments of black boxes, actions, glimpses.

use tempfile::TempDir;

use crate::{output, refusal};

/// The random walk's best scale, scales in proportion to the target's, a trap, effective samples beside
/// dual averaging, and derivatives beside exact ones: the program refuses what is too far off.
#[test]
fn tune_hmc() {
    let effort = "--chains 400 --thousands 1 --rounds 150 --within 0.05 --draws 100 --leapfrogs 4";
    let arguments: Vec<&str> = effort.split(' ').collect();
    let said = output("tune_hmc", &arguments);
    let number = |line: &str, at: usize| -> f64 {
        let line = said.lines().find(|known| known.contains(line)).unwrap();
        line.split_whitespace().nth(at).unwrap().parse().unwrap()
    };
    let scale = number("best 2.4264", 1);
    assert!((scale - 2.4264).abs() < 0.05, "{said}");
    let (descent, plain) = (number("descent on", 7), number("averaging, .8  ", 5));
    assert!(descent > 5.0 * plain, "{descent} {plain}: {said}");
    let deviation = |estimator: &str| number(&format!("2.4264    1 {estimator}"), 9);
    assert!(deviation("enumerate") < deviation("reinforce"), "{said}");
    let error = refusal("tune_hmc", &["trap", "--rounds", "0"]);
    assert!(error.contains("--rounds must be at least 10"), "{error}");
}

/// Evolution strategies are the linear surrogate to rounding, replay is unbiased on a grid whose choices
/// are enumerated, which the program itself asserts, and fitted pairs leave RELAX less variance than RLOO.
#[test]
fn blackbox() {
    let identity = output("blackbox", &["identity"]);
    assert!(identity.contains("error, expected Gram"), "{identity}");
    let small = "surrogates compare --problems ising3 --evaluations 600 --seeds 3";
    let mut arguments: Vec<&str> = small.split(' ').collect();
    arguments.extend(["--methods", "quadratic,rloo,annealing"]);
    let said = output("blackbox", &arguments);
    assert!(
        said.contains("replay is unbiased, by exact enumeration of 4096"),
        "{said}"
    );
    assert!(said.contains("optimum 0.110313"), "{said}");
    let last = |line: &str, from_end: usize| -> f64 {
        let line = said
            .lines()
            .find(|known| known.trim_start().starts_with(line))
            .unwrap();
        line.split_whitespace()
            .nth_back(from_end)
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(last("RELAX, pairs", 0) < 0.5 * last("RLOO-4", 0), "{said}");
    let gap = |said: &str, method: &str| -> f64 {
        let mut lines = said.lines().rev();
        let row = lines.find(|line| line.trim_start().starts_with(method));
        let cells = row.unwrap().trim_start().strip_prefix(method).unwrap();
        cells.split_whitespace().nth(2).unwrap().parse().unwrap()
    };
    assert!(gap(&said, "annealing") < 1e-6, "{said}");
    // A fitted form of a quadratic cost is the cost, and what is fitted to past choices finds the best of 4096 in 300.
    let smooth = "compare --problems f1 --methods replay,rloo --evaluations 600 --seeds 1";
    let said = output("blackbox", &smooth.split(' ').collect::<Vec<_>>());
    assert!(gap(&said, "replay") < 0.2 * gap(&said, "RLOO-4"), "{said}");
    let few = "compare --problems ising3 --methods bayes --evaluations 300 --seeds 2";
    let said = output("blackbox", &few.split(' ').collect::<Vec<_>>());
    assert!(gap(&said, "Bayes, 300") < 0.01, "{said}");
    let error = refusal("blackbox", &["--seeds", "0"]);
    assert!(error.contains("--seeds at least 1"), "{error}");
}

/// The parts of a policy gradient's variance, estimated from noisy rewards, are what the rewards' law gives; the
/// program itself refuses what is too far off to be chance.
#[test]
fn rl_takes_variances_apart() {
    let said = output("rl", &["--env", "bandit", "--states", "60"]);
    for part in ["future", "state", "reinforce", "a2c", "relax-value"] {
        let rows = said.lines().filter(|line| line.starts_with(part));
        assert_eq!(rows.count(), 2, "{part}: {said}");
    }
    assert!(said.contains("all within 5 standard errors"), "{said}");
}

/// D (D + 1)/48 for the best constant baseline, nothing for a surrogate for each coin.
#[test]
fn rl_coins() {
    let said = output("rl", &["--env", "coins", "--dimensions", "100"]);
    for (coins, exact) in [("10", "2.2917e0"), ("30", "1.9375e1"), ("100", "2.1042e2")] {
        let mut rows = said.lines().map(str::split_whitespace);
        let row = rows.find_map(|mut row| (row.next() == Some(coins)).then(|| row.collect()));
        let row: Vec<&str> = row.unwrap();
        assert_eq!(row[2], exact, "{said}");
        let each: f64 = row[row.len() - 1].parse().unwrap();
        assert!(each < 1e-5, "{said}");
    }
    let error = refusal("rl", &["--env", "coins", "--dimensions", "3"]);
    assert!(
        error.contains("--dimensions must be at least 10"),
        "{error}"
    );
    let error = refusal("rl", &["--seeds", "0"]);
    assert!(error.contains("must be at least 1"), "{error}");
}

/// RELAX solves cart-pole in fewer episodes than the paper's 472, and before anything is learned all critics leave
/// the same.
#[test]
fn rl_solves_cart_pole() {
    let arguments = "--env cartpole --method relax --seeds 1 --mirage 1 --states 20 --episodes 472";
    let said = output("rl", &arguments.split(' ').collect::<Vec<_>>());
    let row = said
        .lines()
        .find(|line| line.starts_with("relax "))
        .unwrap();
    assert!(row.contains("1/1"), "{said}");
    // With a policy that has not learned, no estimator has, and all leave the same of the choice.
    let first = said
        .lines()
        .find(|line| line.starts_with("       0 "))
        .unwrap();
    let parts: Vec<f64> = first
        .split_whitespace()
        .skip(4)
        .map(|x| x.parse().unwrap())
        .collect();
    assert_eq!(parts.len(), 4, "{said}");
    assert!(
        parts.iter().all(|part| (part / parts[0] - 1.0).abs() < 0.1),
        "{said}"
    );
}

/// Without the feature the program says how to get one.
#[cfg(not(feature = "lander"))]
#[test]
fn rl_names_the_feature_that_has_the_lander() {
    let error = refusal("rl", &["--env", "lander"]);
    assert!(error.contains("--features lander"), "{error}");
}

/// A crash costs 100, and a policy that has learned nothing crashes. Copies that go through an episode's actions come
/// where the episode came, or the parts of the variance would not start from one.
#[cfg(feature = "lander")]
#[test]
fn rl_lands() {
    let arguments = "--env lander --method a2c --seeds 1 --episodes 8 --mirage 1 --states 3";
    let said = output("rl", &arguments.split(' ').collect::<Vec<_>>());
    let row = said.lines().find(|line| line.starts_with("a2c ")).unwrap();
    let reward: f64 = row.split_whitespace().last().unwrap().parse().unwrap();
    assert!((-700.0..-50.0).contains(&reward), "{said}");
    assert!(said.contains("parts of the variance"), "{said}");
}

/// The mean gradient agrees with the sum over all places, and that of the straight-through estimator does not.
#[test]
fn glimpse_is_unbiased() {
    let estimators = "relax-table,straight-through";
    let said = output("glimpse", &["--check", "--estimators", estimators]);
    let verdicts = |of: &str| said.lines().filter(|line| line.ends_with(of)).count();
    assert_eq!(verdicts("biased, as declared"), 1, "{said}");
    let error = refusal("glimpse", &["--estimators", "relaxx"]);
    assert!(error.contains("expected one of exact"), "{error}");
    let error = refusal("glimpse", &["--steps", "0"]);
    assert!(error.contains("at least 1"), "{error}");
}

/// A short training writes its tables and pictures; before it, a digit is as good as any other.
#[test]
fn glimpse() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let arguments =
        "--steps 40 --batch 16 --test 40 --entries 2 --estimators relax-table,rloo-2 --out";
    let mut arguments: Vec<&str> = arguments.split(' ').collect();
    arguments.push(out.to_str().unwrap());
    let said = output("glimpse", &arguments);
    assert!(said.contains("8000 training digits, 1000"), "{said}");
    for name in ["relax-table", "rloo-2"] {
        let row = said.lines().find(|line| line.starts_with(name)).unwrap();
        let cost: f64 = row.split_whitespace().nth(4).unwrap().parse().unwrap();
        assert!((cost - 10.0_f64.ln()).abs() < 0.1, "{row}");
    }
    for file in ["glimpse.svg", "glimpses.svg", "variance.csv"] {
        assert!(out.join(file).exists(), "{file}");
    }
}

//! Small models whose answers are exact, and the best surrogates.

use std::process::Command;

use tempfile::TempDir;

use crate::{output, program, refusal, run};

/// So few steps that the last bits of another processor's arithmetic stay out of sight.
#[test]
fn toy() {
    insta::assert_snapshot!(output("toy", &["--steps", "500"]));
}

/// The small programs, whose answers are exact; data sets are for whoever has them.
#[test]
fn truth() {
    let said = output("truth", &[]);
    assert!(said.contains("9 of 9 hold"), "{said}");
    let error = refusal("truth", &["--data", "nowhere"]);
    assert!(error.contains("nowhere"), "{error}");
}

#[test]
fn sprinkler() {
    insta::assert_snapshot!(output("sprinkler", &[]));
}

/// The marginals of the published tables, at default settings.
#[test]
fn network() {
    let said = output("network", &[]);
    for (name, exact) in [
        ("tub", 0.113_933),
        ("lung", 0.621_253),
        ("bronc", 0.681_869),
    ] {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        let found = line
            .split_whitespace()
            .nth(2)
            .unwrap()
            .parse::<f64>()
            .unwrap();
        assert!((found - exact).abs() < 0.03, "{line}: {exact}");
    }
    assert!(said.contains("settled after"), "{said}");
    let wrong = run("network", &["--given", "xray=maybe"]);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(
        said,
        "error: `xray` cannot be `maybe`; expected one of yes, no\n"
    );
}

/// Exact variances: of optima that are known in closed form, and of what networks have learned after ten
/// thousand steps: a millionth of the variance of REINFORCE for one coin.
#[test]
fn surrogate() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(program("surrogate"));
    let done = command
        .args(["--steps", "10000", "--out", "out"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stdout).unwrap();
    let file = folder.path().join("out/variances.csv");
    let mut rows = csv::Reader::from_path(file).unwrap();
    // Problem, surrogate, steps, variance, as a multiple of REINFORCE's.
    let rows: Vec<(String, String, Option<u64>, f64, f64)> =
        rows.deserialize().map(Result::unwrap).collect();
    let found = |problem: &str, surrogate: &str| {
        let mut rows = rows.iter().filter(|(of, name, steps, ..)| {
            of.starts_with(problem) && name.contains(surrogate) && steps.is_none_or(|s| s == 10_000)
        });
        let (.., variance, of_reinforce) = rows.next().unwrap_or_else(|| panic!("{said}"));
        (*variance, *of_reinforce)
    };
    for problem in ["t = 0.499, theta = ", "t = 0.45, theta = "] {
        for theta in ["-2", "0", "1"] {
            let problem = format!("{problem}{theta}");
            for best in ["optimum", "kinked"] {
                assert!(found(&problem, best).1 < 1e-25, "{problem}, {best}: {said}");
            }
            assert!(found(&problem, "tanh").1 < 1e-6, "{problem}: {said}");
            assert!(found(&problem, "REBAR").1 > 0.99, "{problem}: {said}");
        }
    }
    // p₁² q₁² (2 w₁ w₂)² p₂ q₂ and the same the other way round, with weights 1 and −1.5.
    let p = [0.4_f64, -0.6].map(|theta| 1.0 / (1.0 + (-theta).exp()));
    let [a, b] = p.map(|p| p * (1.0 - p));
    let floor = 9.0 * (a * a * b + b * b * a);
    let pair = |surrogate: &str| found("two coins", surrogate).0;
    assert!((pair("floor") / floor - 1.0).abs() < 1e-9, "{said}");
    assert!(
        (1.0..1.01).contains(&(pair("a network for each") / floor)),
        "{said}"
    );
    assert!(
        (pair("one for both, optimum") - 0.4029).abs() < 2e-4,
        "{said}"
    );
    assert!(
        (1.0..1.1).contains(&(pair("one network") / pair("one for both, optimum"))),
        "{said}"
    );
    // By the Euler–Lagrange equation.
    let kinks = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("u2 = "));
    let mut count = 0;
    for kink in kinks {
        let numbers = kink
            .split([':', ','])
            .map(|x| x.trim().parse::<f64>().unwrap());
        let [_, jump, predicted] = numbers.collect::<Vec<_>>()[..] else {
            panic!("{kink}");
        };
        assert!((jump / predicted - 1.0).abs() < 0.01, "{kink}");
        count += 1;
    }
    assert_eq!(count, 4, "{said}");
    for problem in ["x^2, x normal around 0", "x^2, x normal around 1"] {
        let variance = |surrogate: &str| found(problem, surrogate).0;
        assert!((variance("pathwise") - 4.0).abs() < 1e-6, "{said}");
        assert!(variance("a network") < 4.0, "{said}");
        assert!(
            variance("learned") < 0.1 && variance("optimum") < 1e-10,
            "{said}"
        );
    }
    for picture in ["coin.svg", "pair.svg", "lax.svg"] {
        assert!(
            folder.path().join("out").join(picture).exists(),
            "{picture}"
        );
    }
    let error = refusal("surrogate", &["--steps", "99"]);
    assert!(error.contains("at least 100"), "{error}");
}

/// Models whose answers are known; the program itself refuses what is too far from them. Those that learn for
/// longer run with the program alone.
#[test]
fn gallery() {
    let names = [
        "inflated",
        "ising",
        "factorial",
        "blocks",
        "slab",
        "brackets",
    ];
    let said = output("gallery", &names);
    for (name, known) in names.into_iter().zip([3, 2, 4, 4, 3, 2]) {
        let lines = said.lines().skip_while(|line| *line != name).skip(1);
        let rows = lines.take_while(|line| line.starts_with(' '));
        let found = rows.filter(|row| row.contains("  known ")).count();
        assert_eq!(found, known, "{name}: {said}");
    }
    let error = refusal("gallery", &["coals"]);
    assert!(
        error.contains("unknown model `coals`; expected one of coal, inflated"),
        "{error}"
    );
}

#[test]
fn mixture() {
    insta::assert_snapshot!(output("mixture", &["--steps", "500", "--data", "100"]));
}

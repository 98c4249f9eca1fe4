//! The example programs at small settings, against snapshots of what they print.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use tempfile::TempDir;

/// Runs an example program in an empty folder.
fn run(example: &str, arguments: &[&str]) -> Output {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(program(example));
    command.args(arguments).current_dir(&folder);
    command.output().unwrap()
}

/// Where an example program is: tests and examples are built side by side.
fn program(example: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile
        .join("examples")
        .join(format!("{example}{}", env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is missing; `cargo test` builds it, or `cargo build --examples`",
        program.display()
    );
    program
}

/// What an example program prints.
fn output(example: &str, arguments: &[&str]) -> String {
    let output = run(example, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Why an example program stops.
fn refusal(example: &str, arguments: &[&str]) -> String {
    let output = run(example, arguments);
    assert_eq!(output.status.code(), Some(1), "{example}");
    String::from_utf8(output.stderr).unwrap()
}

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
    assert_eq!(said, "error: `xray` is one of yes, no, not `maybe`\n");
}

/// Exact variances: of optima that are known in closed form, and of what networks have learned after a
/// thousand steps.
#[test]
fn surrogate() {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(program("surrogate"));
    let done = command
        .args(["--steps", "1000", "--out", "out"])
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
            of.starts_with(problem) && name.contains(surrogate) && steps.is_none_or(|s| s == 1_000)
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
            assert!(found(&problem, "tanh").1 < 2e-4, "{problem}: {said}");
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
        error.contains("no model `coals`; there are coal, inflated"),
        "{error}"
    );
}

#[test]
fn mixture() {
    insta::assert_snapshot!(output("mixture", &["--steps", "500", "--data", "100"]));
}

/// The random walk's best scale, scales in proportion to the target's, a trap, effective samples beside
/// dual averaging, and derivatives beside exact ones: the program refuses what is too far off.
#[test]
fn tune_hmc() {
    let effort = "--thousands 1 --rounds 150 --within 0.05 --draws 100 --leapfrogs 4";
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
    let gap = said
        .lines()
        .rfind(|line| line.trim_start().starts_with("annealing"))
        .unwrap();
    let gap: f64 = gap.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(gap < 1e-6, "{said}");
    let error = refusal("blackbox", &["--seeds", "0"]);
    assert!(error.contains("--seeds at least 1"), "{error}");
}

/// Times differ from run to run, the last digits of a sum over pixels from processor to processor.
#[test]
fn discrete_vae() {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"in \d+\.\d s \(\d+\.\d+ ms a step\)", "in [time]");
    settings.add_filter(r"\(\d+\.\d s\)", "([time])");
    settings.add_filter(r"(ELBO|bound) (-\d+\.\d)\d", "$1 $2");
    let _filters = settings.bind_to_scope();
    for estimator in ["relax", "rebar", "reinforce"] {
        let arguments = ["--steps", "40", "--draws", "5", "--estimator", estimator];
        let printed = output("discrete_vae", &arguments);
        insta::assert_snapshot!(format!("discrete_vae_{estimator}"), printed);
    }
}

/// A few steps of all estimators on coins, and of some on digits; times differ from run to run.
#[test]
fn estimators() {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(?m) +\d+\.\d\d$", " [time]");
    settings.add_filter(r"\d\.\d\de-[2-9]\d", "rounding");
    settings.add_filter(r"(\d\.\d)\d(e-?\d)", "$1$2");
    // Beside so little variance a bias is the rounding of the reference.
    settings.add_filter(r"\d+\.\d( +(\d\.\de-1\d|rounding|0\.0e0))", "  *$1");
    let _filters = settings.bind_to_scope();
    let coins = ["--problem", "toy,pairs", "--evaluations", "600"];
    insta::assert_snapshot!("estimators_coins", output("estimators", &coins));
    let digits = "--problem categorical,bernoulli --evaluations 100 --estimators";
    let mut arguments: Vec<&str> = digits.split(' ').collect();
    arguments.push("relax,rloo-2,disarm");
    let printed = output("estimators", &arguments);
    insta::assert_snapshot!("estimators_digits", printed);
}

/// Variances at stages are the same whether all is measured at once or a run is stopped and goes on,
/// with more estimators and stages; the report puts them into a document. Times differ.
#[test]
fn estimators_at_stages() {
    let folder = TempDir::new().unwrap();
    let run = |arguments: &str| {
        let mut command = Command::new(program("estimators"));
        command.args(arguments.split(' ')).current_dir(&folder);
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments}: {error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let small = "variance --network linear --learn 3 --batches 2 --draws 3";
    run(&format!(
        "{small} --stages 2,5 --estimators relax,disarm --out whole"
    ));
    run(&format!(
        "{small} --stages 2 --estimators disarm --out parts"
    ));
    run(&format!(
        "{small} --stages 5 --estimators disarm --out parts"
    ));
    run(&format!(
        "{small} --stages 2,5 --estimators relax,disarm --out parts"
    ));
    let rows = |out: &str| {
        let file = folder.path().join(out).join("variance-linear.csv");
        let text = fs::read_to_string(file).unwrap();
        let untimed = text.lines().map(|line| line.rsplit_once(',').unwrap().0);
        let mut rows: Vec<String> = untimed.map(str::to_owned).collect();
        rows.sort();
        rows
    };
    assert_eq!(rows("whole").len(), 5, "a head, two estimators, two stages");
    assert_eq!(rows("whole"), rows("parts"));

    let elbo = "elbo --network linear --seconds 0.2 --seeds 7 --estimators disarm --images 50";
    let printed = run(&format!("{elbo} --out whole"));
    assert_eq!(run(&format!("{elbo} --out whole")), printed, "not again");

    let document = folder.path().join("tables.md");
    let marks = ["<!-- estimators: begin -->", "<!-- estimators: end -->"];
    fs::write(
        &document,
        format!("before\n{}\nold\n{}\nafter\n", marks[0], marks[1]),
    )
    .unwrap();
    let tables = run("report --results whole --docs tables.md");
    let expected = format!("before\n{}\n{tables}{}\nafter\n", marks[0], marks[1]);
    assert_eq!(fs::read_to_string(&document).unwrap(), expected);
    for row in ["| after 2 steps |", "| after 5 steps |", "| disarm | 2 |"] {
        assert!(tables.contains(row), "{row} is not in\n{tables}");
    }
}

/// Killed at any moment, a run goes on from its last checkpoint to exactly the same end.
#[test]
fn discrete_vae_resumes_where_it_was_killed() {
    let folder = TempDir::new().unwrap();
    let train = |out: &str, more: &[&str]| {
        let mut command = Command::new(program("discrete_vae"));
        let steps = [
            "--steps",
            "40",
            "--draws",
            "1",
            "--checkpoint-every",
            "3",
            "--out",
            out,
        ];
        command.args(steps).args(more).current_dir(&folder);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let end = |out: &str| fs::read(folder.path().join(out).join("checkpoint.safetensors")).unwrap();
    assert!(train("whole", &[]).status().unwrap().success());
    for (kill, out) in ["a", "b", "c"].into_iter().enumerate() {
        let mut child = train(out, &[]).spawn().unwrap();
        let checkpoint = folder.path().join(out).join("checkpoint.safetensors");
        while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(17 * kill as u64));
        // Gone already if the machine is fast; then it ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
        let _ = train(out, &["--resume"]).status().unwrap();
        assert!(end(out) == end("whole"), "{out} ends elsewhere");
    }
}

/// Where all steps are taken, a resumed run evaluates what there is, and leaves the picture alone.
#[test]
fn discrete_vae_resumes_after_its_last_step() {
    let folder = TempDir::new().unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(program("discrete_vae"));
        command.args(["--steps", "3", "--draws", "1", "--out", "out"]);
        let output = command.args(more).current_dir(&folder).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let bound = |printed: &str| {
        let line = printed.lines().find(|line| line.contains("validation: "));
        line.unwrap().split('(').next().unwrap().to_owned()
    };
    let picture = folder.path().join("out").join("discrete_vae.svg");
    let first = run(&[]);
    let drawn = fs::read(&picture).unwrap();
    let again = run(&["--resume"]);
    assert!(again.contains("trained already"), "{again}");
    assert_eq!(bound(&first), bound(&again));
    assert!(fs::read(&picture).unwrap() == drawn);
    fs::remove_file(&picture).unwrap();
    run(&["--resume"]);
    assert!(picture.exists());
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

/// The mean gradient agrees with the sum over all places, and that of the straight-through estimator does not.
#[test]
fn glimpse_is_unbiased() {
    let estimators = "relax-table,straight-through";
    let said = output("glimpse", &["--check", "--estimators", estimators]);
    let verdicts = |of: &str| said.lines().filter(|line| line.ends_with(of)).count();
    assert_eq!(verdicts("biased, as declared"), 1, "{said}");
    let error = refusal("glimpse", &["--estimators", "relaxx"]);
    assert!(error.contains("`relaxx` is none of exact"), "{error}");
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
    assert!(said.contains("8000 digits to learn from, 1000"), "{said}");
    for name in ["relax-table", "rloo-2"] {
        let row = said.lines().find(|line| line.starts_with(name)).unwrap();
        let cost: f64 = row.split_whitespace().nth(4).unwrap().parse().unwrap();
        assert!((cost - 10.0_f64.ln()).abs() < 0.1, "{row}");
    }
    for file in ["glimpse.svg", "glimpses.svg", "variance.csv"] {
        assert!(out.join(file).exists(), "{file}");
    }
}

/// An ELBO that training reaches in a few steps, at most 4 nats below what it was when this was written:
/// each estimator is well above the mean image, at -206.
#[test]
fn table1() {
    let names = "relax,rebar,disarm,rloo";
    let said = output(
        "table1",
        &["--steps", "150", "--draws", "1", "--estimators", names],
    );
    let least = [-184.0, -202.5, -198.5, -194.5];
    for (name, least) in names.split(',').zip(least) {
        let line = format!("mnist-l1 {name}: 150 steps, best validation ELBO ");
        let (_, rest) = said.split_once(&line).unwrap();
        let elbo: f64 = rest.split(' ').next().unwrap().parse().unwrap();
        assert!((least..-150.0).contains(&elbo), "{name}: {elbo}");
        let row = format!("| mnist-l1 (small) | ours | {name} | 1 |");
        assert!(said.contains(&row), "{row} is not in\n{said}");
    }
}

/// A run that ends and goes on, and is killed and goes on, ends as one without a break.
#[test]
fn table1_goes_on_where_it_was() {
    let folder = TempDir::new().unwrap();
    let train = |out: &str, steps: &str| {
        let mut command = Command::new(program("table1"));
        let settings = "--estimators relax --draws 1 --checkpoint-every 1 --resume";
        command.args(settings.split(' ')).current_dir(&folder);
        command.args(["--steps", steps, "--out", out]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    // The steps, the checkpoint, and the curve's last point but for the time that it took.
    let end = |out: &str| {
        let run = folder.path().join(out).join("mnist-l1-relax-1");
        let curve = fs::read_to_string(run.join("curve.csv")).unwrap();
        let last: Vec<_> = curve.lines().last().unwrap().split(',').collect();
        // What the point says of training is of the steps since the one before.
        let last = [last[1], last[3], last[4]].map(str::to_owned);
        (
            last,
            fs::read(run.join("checkpoint-60.safetensors")).unwrap(),
        )
    };
    assert!(train("whole", "60").status().unwrap().success());
    for (kill, out) in ["a", "b"].into_iter().enumerate() {
        assert!(train(out, "20").status().unwrap().success());
        let mut child = train(out, "60").spawn().unwrap();
        thread::sleep(Duration::from_millis(50 + 350 * kill as u64));
        // Gone already if the machine is fast; then it ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
        assert!(train(out, "60").status().unwrap().success());
        assert!(end(out) == end("whole"), "{out} ends elsewhere");
    }
}

/// As in `toy | head`: no panic, and no word of it.
#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_ends_a_program_quietly() {
    let cases: [(&str, &[&str]); 3] = [
        ("toy", &["--steps", "200"]),
        ("sprinkler", &["--steps", "10"]),
        ("estimators", &["--problem", "toy", "--evaluations", "100"]),
    ];
    for (example, arguments) in cases {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(program(example));
        command.args(arguments).current_dir(&folder);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.is_empty(), "{example}: {error}");
        assert!(!output.status.success(), "{example} wrote to nobody");
    }
}

#[test]
fn wrong_settings_are_refused_in_a_sentence() {
    let cases: [(&str, &[&str]); 26] = [
        ("toy", &["--steps", "0"]),
        ("toy", &["--t", "nan"]),
        ("sprinkler", &["--steps", "0"]),
        ("mixture", &["--steps", "0"]),
        ("discrete_vae", &["--steps", "0"]),
        ("discrete_vae", &["--batch", "0"]),
        ("discrete_vae", &["--batch", "1000000"]),
        ("discrete_vae", &["--learning-rate", "nan"]),
        ("discrete_vae", &["--estimator", "relaxx"]),
        ("discrete_vae", &["--device", "gpu"]),
        ("discrete_vae", &["--data", "nowhere"]),
        ("discrete_vae", &["--resume"]),
        ("estimators", &["--estimators", "relaxx"]),
        ("estimators", &["--evaluations", "0"]),
        ("estimators", &["--data", "nowhere"]),
        ("estimators", &["variance", "--draws", "1"]),
        ("estimators", &["variance", "--estimators", "relaxx"]),
        ("estimators", &["elbo", "--seconds", "0"]),
        ("estimators", &["elbo", "--batch", "0"]),
        ("estimators", &["report", "--results", "."]),
        ("table1", &["--steps", "0"]),
        ("table1", &["--batch", "1000000"]),
        ("table1", &["--learning-rate", "nan"]),
        ("table1", &["--estimators", "relaxx"]),
        ("table1", &["--rows", "omniglot-l1"]),
        ("table1", &["--data", "nowhere"]),
    ];
    let refusals = cases.map(|(example, arguments)| {
        format!(
            "{example} {}\n{}",
            arguments.join(" "),
            refusal(example, arguments)
        )
    });
    insta::assert_snapshot!(refusals.join("\n"));
}

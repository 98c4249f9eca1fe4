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
    assert!(said.contains("5 of 5 hold"), "{said}");
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
    for (name, known) in names.into_iter().zip([3, 2, 4, 1, 3, 2]) {
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
    let cases: [(&str, &[&str]); 20] = [
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

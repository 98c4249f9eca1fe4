//! Programs that learn from digits, and continue where they were stopped.

use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use tempfile::TempDir;

use crate::{output, program};

/// Times differ from run to run, the last digits of a sum over pixels from processor to processor.
#[test]
fn discrete_vae() {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"in \d+\.\d s \(\d+\.\d+ ms per step\)", "in [time]");
    settings.add_filter(r"\(\d+\.\d s\)", "([time])");
    settings.add_filter(r"(ELBO|bound) (-\d+\.\d)\d", "$1 $2");
    let _filters = settings.bind_to_scope();
    for estimator in ["relax", "rebar", "reinforce"] {
        let arguments = ["--steps", "40", "--draws", "5", "--estimator", estimator];
        let printed = output("discrete_vae", &arguments);
        insta::assert_snapshot!(format!("discrete_vae_{estimator}"), printed);
    }
}

/// What the tables of estimators print, less what differs from run to run.
fn filters() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"(?m) +\d+\.\d\d$", " [time]");
    settings.add_filter(r"\d\.\d\de-[2-9]\d", "rounding");
    settings.add_filter(r"(\d\.\d)\d(e-?\d)", "$1$2");
    // Beside so little variance a bias is the rounding of the reference.
    settings.add_filter(r"\d+\.\d( +(\d\.\de-1\d|rounding|0\.0e0))", "  *$1");
    settings
}

/// A few steps of all estimators on coins.
#[test]
fn estimators_on_coins() {
    let _filters = filters().bind_to_scope();
    let coins = ["--problem", "toy,pairs", "--evaluations", "600"];
    insta::assert_snapshot!("estimators_coins", output("estimators", &coins));
}

/// And of some on digits.
#[test]
fn estimators_on_digits() {
    let _filters = filters().bind_to_scope();
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
    assert!(again.contains("already trained"), "{again}");
    assert_eq!(bound(&first), bound(&again));
    assert!(fs::read(&picture).unwrap() == drawn);
    fs::remove_file(&picture).unwrap();
    run(&["--resume"]);
    assert!(picture.exists());
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
    let least = [-159.0, -175.5, -168.5, -165.5];
    for (name, least) in names.split(',').zip(least) {
        let line = format!("mnist-l1 {name}: 150 steps, best validation ELBO ");
        let (_, rest) = said.split_once(&line).unwrap();
        let elbo: f64 = rest.split(' ').next().unwrap().parse().unwrap();
        assert!((least..-150.0).contains(&elbo), "{name}: {elbo}");
        let row = format!("| mnist-l1 (small) | averaged | {name} | 1 |");
        assert!(said.contains(&row), "{row} is not in\n{said}");
    }
}

/// Runs of versions that knew one β₂ for each kind of settings, and no decay of the weights, go on.
#[test]
fn table1_goes_on_with_runs_of_older_versions() {
    let settings = [
        ("--published", "mnist-l1-published-disarm-1"),
        ("--iterates", "mnist-l1-disarm-1"),
        (
            "--beta2 0.999 --weight-decay 0",
            "mnist-l1-averaged-disarm-1",
        ),
    ];
    for (settings, name) in settings {
        let folder = TempDir::new().unwrap();
        let train = |steps: &str| {
            let mut command = Command::new(program("table1"));
            command.args("--estimators disarm --draws 1 --resume --out .".split(' '));
            command.args(settings.split(' ')).args(["--steps", steps]);
            let output = command.current_dir(&folder).output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{settings}: {error}");
        };
        train("3");
        let run = folder.path().join(name).join("run.json");
        let said = fs::read_to_string(&run).unwrap();
        let is_new = |line: &&str| line.contains("\"beta2\"") || line.contains("\"weight_decay\"");
        assert_eq!(said.lines().filter(is_new).count(), 2, "{said}");
        let older: Vec<_> = said.lines().filter(|line| !is_new(line)).collect();
        fs::write(&run, older.join("\n")).unwrap();
        train("6");
        let said = fs::read_to_string(&run).unwrap();
        assert!(said.contains("\"steps\": 6"), "{said}");
        assert_eq!(said.lines().filter(is_new).count(), 2, "{said}");
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
    // The checkpoint, and the curve but for the time that it took.
    let end = |out: &str| {
        let run = folder.path().join(out).join("mnist-l1-averaged-relax-1");
        let curve = fs::read_to_string(run.join("curve.csv")).unwrap();
        let rows = curve.lines().skip(1).map(|line| {
            let numbers = line.split(',').take(5);
            numbers.map(|x| x.parse().unwrap()).collect::<Vec<f64>>()
        });
        (
            rows.collect::<Vec<_>>(),
            fs::read(run.join("checkpoint-60.safetensors")).unwrap(),
        )
    };
    let is_near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(train("whole", "60").status().unwrap().success());
    let whole = end("whole");
    for (kill, out) in ["a", "b"].into_iter().enumerate() {
        assert!(train(out, "20").status().unwrap().success());
        let mut child = train(out, "60").spawn().unwrap();
        thread::sleep(Duration::from_millis(50 + 350 * kill as u64));
        // Gone already if the machine is fast; then it ended by itself.
        let _ = child.kill();
        child.wait().unwrap();
        assert!(train(out, "60").status().unwrap().success());
        let (curve, checkpoint) = end(out);
        assert!(checkpoint == whole.1, "{out} ends elsewhere");
        assert_eq!(curve.len(), whole.0.len(), "{out}: one point an epoch");
        for (own, other) in curve.iter().zip(&whole.0) {
            assert!(is_near(own, other), "{out}: {own:?} {other:?}");
        }
    }
}

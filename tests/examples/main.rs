//! The example programs at small settings: their answers, and snapshots of what they print.

mod decisions;
mod digits;
mod small;

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

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
    let cases: [(&str, &[&str]); 29] = [
        ("toy", &["--steps", "0"]),
        ("toy", &["--t", "nan"]),
        ("sprinkler", &["--steps", "0"]),
        ("mixture", &["--steps", "0"]),
        ("discrete_vae", &["--steps", "0"]),
        ("discrete_vae", &["--batch", "0"]),
        ("discrete_vae", &["--batch", "1000000"]),
        ("discrete_vae", &["--learning-rate", "nan"]),
        ("discrete_vae", &["--weight-decay", "-1"]),
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
        ("table1", &["--beta2", "1"]),
        ("table1", &["--weight-decay", "-1"]),
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

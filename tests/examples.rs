//! The example programs at small settings, against snapshots of what they print.

use std::env;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs an example program in an empty folder. Tests and examples are built side by side.
fn run(example: &str, arguments: &[&str]) -> Output {
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
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&folder);
    command.output().unwrap()
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

#[test]
fn sprinkler() {
    insta::assert_snapshot!(output("sprinkler", &[]));
}

#[test]
fn mixture() {
    insta::assert_snapshot!(output("mixture", &["--steps", "500", "--data", "100"]));
}

#[test]
fn wrong_settings_are_refused_in_a_sentence() {
    let cases: [(&str, &[&str]); 4] = [
        ("toy", &["--steps", "0"]),
        ("toy", &["--t", "nan"]),
        ("sprinkler", &["--steps", "0"]),
        ("mixture", &["--steps", "0"]),
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

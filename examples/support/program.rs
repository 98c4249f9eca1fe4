//! What every program does around its work: parse its options, and end with an exit code.

use std::error::Error as StdError;
use std::process::ExitCode;

use clap::Parser;

/// What a program comes to, or the sentence that says why not.
pub(crate) type Outcome<T> = Result<T, Box<dyn StdError>>;

/// Runs a program with the options of its command line. What stops it is told in a sentence, and the
/// exit code is 1. Where nobody reads the output any more (`toy | head`) it ends without a word.
pub(crate) fn main<Options: Parser>(run: fn(&Options) -> Outcome<()>) -> ExitCode {
    sigpipe::reset();
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

//! A variational autoencoder with discrete latent variables, trained on handwritten digits.

use std::process::ExitCode;

#[allow(
    dead_code,
    reason = "shared with the program that packs the small data set"
)]
mod data;

fn main() -> ExitCode {
    match data::Dataset::embedded() {
        Ok(dataset) => {
            println!("{dataset}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

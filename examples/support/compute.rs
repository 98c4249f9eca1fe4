//! The device on which a program computes.

use clap::Args;
use relax_runtime::{Device, Result};

/// The option `--device`.
#[derive(Args)]
#[group(id = "compute")]
pub(crate) struct Compute {
    /// Where to compute: cpu, dfdx, or cuda:0 in a build with `--features cuda`.
    #[arg(long, default_value = "cpu")]
    device: String,
}

impl Compute {
    /// The device.
    ///
    /// # Errors
    /// If there is none of this name, or it is not in this build.
    pub(crate) fn device(&self) -> Result<Device> {
        self.device.parse()
    }
}

//! Devices chosen at run time.

use std::fmt;

use crate::error::{Error, Result};

/// Where a tensor's numbers live, and what computes with them there.
///
/// ```
/// use relax_runtime::{Device, Result, Tensor};
/// # fn main() -> Result<()> {
/// let device: Device = "cpu".parse()?; // or "cuda", "cuda:1", where the build has GPU support
/// assert_eq!(device, Device::cpu());
/// assert_eq!(Tensor::zeros([2, 3], &device).device(), device);
/// assert!("gpu".parse::<Device>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Device(pub(super) Kind);

/// The engines: this project's own, and dfdx on each of its devices.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Native,
    #[cfg(feature = "dfdx")]
    Dfdx,
    /// With the GPU's index.
    #[cfg(feature = "cuda")]
    Cuda(usize),
}

impl Device {
    /// The host processor, with this project's own kernels, the fastest there.
    pub fn cpu() -> Self {
        Self(Kind::Native)
    }

    /// The host processor, with dfdx's kernels: what runs on a GPU runs here in the same way, including NaN,
    /// infinities and subnormal numbers. It is slower than [`cpu`](Self::cpu). Its sums of many numbers are
    /// sequential, and so less exact, and a maximum along an axis, an index or a power of 0 takes a detour
    /// over the host.
    #[cfg(feature = "dfdx")]
    pub fn dfdx() -> Self {
        Self(Kind::Dfdx)
    }

    /// The NVIDIA GPU with this index.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is no such GPU, or if the crate was built without its
    /// feature `cuda`.
    pub fn cuda(ordinal: usize) -> Result<Self> {
        #[cfg(feature = "cuda")]
        return super::dfdx::gpu(ordinal).map(|_| Self(Kind::Cuda(ordinal)));
        #[cfg(not(feature = "cuda"))]
        Err(unsupported(format!("cuda:{ordinal}"), "GPU", "cuda"))
    }
}

/// The error for a device that the crate was built without.
#[cfg(not(feature = "cuda"))]
fn unsupported(device: String, what: &str, feature: &str) -> Error {
    Error::Backend {
        device,
        message: format!("this build has no {what} support; build with `--features {feature}`"),
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Native => f.write_str("cpu"),
            #[cfg(feature = "dfdx")]
            Kind::Dfdx => f.write_str("dfdx"),
            #[cfg(feature = "cuda")]
            Kind::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Parses `cpu`, `dfdx`, `cuda`, or `cuda:` followed by an index.
impl std::str::FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cpu" => return Ok(Self::cpu()),
            #[cfg(feature = "dfdx")]
            "dfdx" => return Ok(Self::dfdx()),
            #[cfg(not(feature = "dfdx"))]
            "dfdx" => return Err(unsupported(text.into(), "dfdx", "dfdx")),
            "cuda" => return Self::cuda(0),
            _ => {}
        }
        let ordinal = text
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok());
        ordinal.map_or_else(
            || {
                let problem = format!(
                    "unknown device `{text}`; expected one of cpu, dfdx, cuda, cuda:0, cuda:1, .."
                );
                Err(Error::Config {
                    setting: "device",
                    problem,
                })
            },
            Self::cuda,
        )
    }
}

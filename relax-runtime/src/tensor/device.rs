//! Devices chosen at run time.

use std::fmt;

use crate::error::{Error, Result};

/// Where a tensor's numbers live and its operations run.
#[derive(Clone, Default)]
pub struct Device(pub(super) Kind);

#[derive(Clone, Default)]
pub(super) enum Kind {
    #[default]
    Cpu,
    #[cfg(feature = "cuda")]
    Cuda { ordinal: usize, handle: Gpu },
}

#[cfg(feature = "cuda")]
pub(super) type Gpu = dfdx::tensor::Cuda;

impl Device {
    /// The host processor.
    pub fn cpu() -> Self {
        Self(Kind::Cpu)
    }

    /// The NVIDIA GPU with this index.
    ///
    /// # Errors
    /// [`Error::Backend`] where there is no such GPU, or where the crate was built without its
    /// feature `cuda`.
    #[cfg(feature = "cuda")]
    pub fn cuda(ordinal: usize) -> Result<Self> {
        use std::cell::RefCell;
        use std::collections::BTreeMap;
        // One handle a GPU and thread: kernels are loaded once, and operands share a stream.
        thread_local! {
            static GPUS: RefCell<BTreeMap<usize, Gpu>> = const { RefCell::new(BTreeMap::new()) };
        }
        let known = GPUS.with_borrow(|gpus| gpus.get(&ordinal).cloned());
        let handle = match known {
            Some(handle) => handle,
            None => {
                let handle = Gpu::try_build(ordinal, 0).map_err(|error| Error::Backend {
                    device: format!("cuda:{ordinal}"),
                    message: error.to_string(),
                })?;
                GPUS.with_borrow_mut(|gpus| gpus.insert(ordinal, handle.clone()));
                handle
            }
        };
        Ok(Self(Kind::Cuda { ordinal, handle }))
    }

    /// The NVIDIA GPU with this index.
    ///
    /// # Errors
    /// [`Error::Backend`] where there is no such GPU, or where the crate was built without its
    /// feature `cuda`.
    #[cfg(not(feature = "cuda"))]
    pub fn cuda(ordinal: usize) -> Result<Self> {
        Err(Error::Backend {
            device: format!("cuda:{ordinal}"),
            message: "this build has no GPU support; build with `--features cuda`".into(),
        })
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Cpu, Kind::Cpu) => true,
            #[cfg(feature = "cuda")]
            (Kind::Cuda { ordinal: a, .. }, Kind::Cuda { ordinal: b, .. }) => a == b,
            #[cfg(feature = "cuda")]
            _ => false,
        }
    }
}

impl Eq for Device {}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Cpu => f.write_str("cpu"),
            #[cfg(feature = "cuda")]
            Kind::Cuda { ordinal, .. } => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `cpu`, `cuda`, or `cuda:` and an index.
impl std::str::FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let ordinal = match text.strip_prefix("cuda") {
            Some("") => Some(0),
            Some(rest) => rest.strip_prefix(':').and_then(|index| index.parse().ok()),
            None if text == "cpu" => return Ok(Self::cpu()),
            None => None,
        };
        ordinal.map_or_else(
            || {
                let problem = format!("`{text}` is none of cpu, cuda, cuda:0, cuda:1, ..");
                Err(Error::Config {
                    setting: "device",
                    problem,
                })
            },
            Self::cuda,
        )
    }
}

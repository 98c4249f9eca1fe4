//! Loops for the widest vectors of the machine, chosen at run time.
//!
//! The numbers are the same everywhere: the compiler never fuses a product and a sum by itself, and
//! sums run in a fixed number of lanes.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, Result};

/// Vector instruction sets of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Simd {
    /// What every processor of the target has.
    Plain,
    /// AVX2, with vectors of 8 numbers.
    Avx2,
    /// AVX-512, with vectors of 16 numbers.
    Avx512,
}

/// From the narrowest to the widest, indexed by [`WIDTH`].
const ALL: [Simd; 3] = [Simd::Plain, Simd::Avx2, Simd::Avx512];

/// The index into [`ALL`]; out of range before the first use.
static WIDTH: AtomicU8 = AtomicU8::new(u8::MAX);

/// Sets which vectors the library's own loops use; `None` restores the default, the widest that the
/// machine has, or those of the environment variable `RELAX_SIMD`: `avx512`, `avx2` or `plain`.
///
/// The results of these loops do not depend on it. Those of matrix products may: they come from the `gemm` crate,
/// which always uses the widest vectors that it was built for, and whose AVX-512 and AVX2 kernels add in a different
/// order at some widths. For products that are the same on all machines with AVX2, build
/// without this crate's feature `avx512`.
///
/// ```
/// use relax_runtime::{Result, Simd, set_simd, simd};
/// # fn main() -> Result<()> {
/// set_simd(Some(Simd::Plain))?;
/// assert_eq!(simd(), Simd::Plain);
/// set_simd(None)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Config`] if the machine does not have them.
pub fn set_simd(simd: Option<Simd>) -> Result<()> {
    let chosen = match simd {
        Some(simd) if !simd.is_here() => {
            return Err(Error::Config {
                setting: "simd",
                problem: format!("this machine has no {simd}; its widest is {}", widest()),
            });
        }
        Some(simd) => simd,
        None => default(),
    };
    WIDTH.store(chosen as u8, Ordering::Relaxed);
    Ok(())
}

/// The vectors that the library's own loops use; see [`set_simd`].
#[inline]
pub fn simd() -> Simd {
    match ALL.get(usize::from(WIDTH.load(Ordering::Relaxed))) {
        Some(known) => *known,
        None => first(),
    }
}

#[cold]
fn first() -> Simd {
    let simd = default();
    WIDTH.store(simd as u8, Ordering::Relaxed);
    simd
}

fn default() -> Simd {
    const NAME: &str = "RELAX_SIMD";
    let Ok(text) = std::env::var(NAME) else {
        return widest();
    };
    match text.parse() {
        Ok(simd) if Simd::is_here(simd) => simd,
        _ => {
            let widest = widest();
            super::warn_setting(NAME, &text, &format!("using {widest}"));
            widest
        }
    }
}

fn widest() -> Simd {
    let here = ALL.iter().rev().find(|simd| simd.is_here());
    here.copied().unwrap_or(Simd::Plain)
}

impl Simd {
    /// Whether the machine has them.
    #[cfg(target_arch = "x86_64")]
    fn is_here(self) -> bool {
        match self {
            Self::Plain => true,
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
    }

    /// Whether the machine has them.
    #[cfg(not(target_arch = "x86_64"))]
    fn is_here(self) -> bool {
        self == Self::Plain
    }
}

impl fmt::Display for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

/// Parses `avx512`, `avx2` or `plain`.
impl FromStr for Simd {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = ALL.into_iter().find(|simd| simd.to_string() == text);
        named.ok_or_else(|| Error::Config {
            setting: "simd",
            problem: format!("unknown vectors `{text}`; expected one of avx512, avx2, plain"),
        })
    }
}

/// Defines functions whose bodies are compiled for AVX-512, for AVX2 and for the plain target. What
/// a body calls is inlined into its loops only where it is `#[inline(always)]`, or small.
macro_rules! vectorised {
    ($(
        $(#[$doc:meta])*
        $vis:vis fn $name:ident $([$($generics:tt)*])? (
            $($arg:ident: $type:ty),* $(,)?
        ) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$doc])*
        #[allow(unsafe_code, reason = "only who calls knows which instructions the machine has")]
        $vis fn $name $(<$($generics)*>)? ($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain $(<$($generics)*>)? ($($arg: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512 $(<$($generics)*>)? ($($arg: $type),*) $(-> $result)? {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2 $(<$($generics)*>)? ($($arg: $type),*) $(-> $result)? {
                    plain($($arg),*)
                }
                match $crate::tensor::native::simd::simd() {
                    // SAFETY: the machine has the features that the function requires.
                    $crate::tensor::native::simd::Simd::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::tensor::native::simd::Simd::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::tensor::native::simd::Simd::Plain => {}
                }
            }
            plain($($arg),*)
        }
    )*};
}

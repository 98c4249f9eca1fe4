//! Printing.

use std::fmt;

use super::Tensor;

/// Numbers shown before the rest is elided.
const SHOWN: usize = 8;

/// Prints shape and first values, `[2, 2] [1, 2, 3, 4]`; a poisoned tensor prints its error. Printing does
/// not count as a read of the random sites that the numbers came from.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = match self.peek() {
            Ok(values) => values,
            Err(error) => return write!(f, "error: {error}"),
        };
        write!(f, "{} [", self.shape())?;
        for (i, value) in values.iter().take(SHOWN).enumerate() {
            write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str(if values.len() > SHOWN { ", ...]" } else { "]" })
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({self}")?;
        if self.is_tracked() {
            f.write_str(", tracked")?;
        }
        if let Some(tangent) = self.tangent() {
            write!(f, ", tangent {tangent}")?;
        }
        f.write_str(")")
    }
}

//! Gradients that an engine keeps in its own tables.

use std::any::Any;

use smallvec::SmallVec;

use super::storage::Data;
use crate::error::Result;

/// The place of one gradient in a table that an engine keeps for each pass.
pub(super) trait Slot {
    /// Adds a cotangent on the same device; `None` means ones.
    fn add(&self, tables: &mut Tables, cotangent: Option<&Data>) -> Result<()>;

    /// The gradient; zeros if nothing was added.
    fn read(&self, tables: &mut Tables) -> Result<Data>;
}

/// The tables of one pass, by type: one per engine.
#[derive(Default)]
#[cfg_attr(
    not(feature = "dfdx"),
    allow(dead_code, reason = "its own engine keeps none")
)]
pub(super) struct Tables(SmallVec<[Box<dyn Any>; 1]>);

#[cfg_attr(
    not(feature = "dfdx"),
    allow(dead_code, reason = "its own engine keeps none")
)]
impl Tables {
    /// The table of this type, made when it is first asked for.
    pub(super) fn of<T: Any>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        let known = self.0.iter().position(|table| table.is::<T>());
        let at = known.unwrap_or_else(|| {
            self.0.push(Box::new(make()));
            self.0.len() - 1
        });
        match self.0[at].downcast_mut() {
            Some(table) => table,
            None => unreachable!("it was found, or pushed, by its type"),
        }
    }
}

//! Where generated code finds the runtime.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::Span;
use syn::{Ident, Path, parse_quote};

/// The runtime under the name that the user's `Cargo.toml` gives to it.
pub fn path() -> Path {
    let name = match crate_name("relax-runtime") {
        Ok(FoundCrate::Name(name)) => name,
        // The runtime's own tests, or a build without Cargo.
        Ok(FoundCrate::Itself) | Err(_) => "relax_runtime".to_owned(),
    };
    let name = Ident::new(&name, Span::call_site());
    parse_quote!(::#name)
}

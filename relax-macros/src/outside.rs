//! The macros of sites where the compiler itself expands them: `#[model]` has not read them, or asks
//! whether they are the ones that it took them for.

use proc_macro2::{Span, TokenStream};
use syn::parse::{ParseStream, Parser};
use syn::{Error, Ident};

/// What the expansion of a model passes to the macros that it has read, `sample!(__relax_used)`: so
/// each counts as used, and is known to be the one that it was taken for.
pub const USED: &str = "__relax_used";

/// The error for one of the macros where no `#[model]` has read it; nothing when asked whether
/// it is the one called `keyword`.
pub fn expand(keyword: &str, arguments: TokenStream) -> TokenStream {
    let asked = |input: ParseStream<'_>| {
        let (used, taken_for): (Ident, Ident) = (input.parse()?, input.parse()?);
        Ok((used == USED).then_some(taken_for))
    };
    let message = match asked.parse2(arguments) {
        Ok(Some(taken_for)) if taken_for == keyword => return TokenStream::new(),
        Ok(Some(taken_for)) => format!(
            "this is `{keyword}!` under another name, and was taken for `{taken_for}!`; call it \
             `{keyword}!`"
        ),
        _ => format!(
            "`{keyword}!` works only in the body of a function annotated with `#[model]`, and \
             under its own name; annotate the function, or, if it is, move the `{keyword}!` out of \
             the arguments of the macro around it, which `#[model]` cannot see into"
        ),
    };
    Error::new(Span::call_site(), message).to_compile_error()
}

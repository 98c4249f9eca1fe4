//! What is emitted on an error: the error, and enough of the user's item for the rest to compile.

use crate::codegen;
use proc_macro2::{Span, TokenStream};
use syn::{Error, Item, ItemFn, TraitItemFn};

/// The errors of a function, and a stub of it.
pub fn stub(error: &Error, function: &ItemFn) -> TokenStream {
    let mut tokens = error.to_compile_error();
    tokens.extend(codegen::stub(function));
    tokens
}

/// The error for an item that is no function with a body, and the item.
pub fn not_a_function(error: Error, item: TokenStream) -> TokenStream {
    let other_item = syn::parse2::<Item>(item.clone()).is_ok()
        || syn::parse2::<TraitItemFn>(item.clone()).is_ok();
    let error = if other_item {
        Error::new(
            Span::call_site(),
            "`#[model]` goes on a function with a body: `#[model] fn name() { .. }`",
        )
    } else {
        error
    };
    let mut tokens = error.to_compile_error();
    tokens.extend(item);
    tokens
}

/// The error for one of the macros where no `#[model]` has read it.
pub fn outside(keyword: &str) -> TokenStream {
    let message = format!(
        "`{keyword}!` works only in the body of a function annotated with `#[model]`; \
         annotate the function, or, if it is, move the `{keyword}!` out of the arguments of the \
         macro around it, which `#[model]` cannot see into"
    );
    Error::new(Span::call_site(), message).to_compile_error()
}

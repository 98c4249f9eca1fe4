//! What is emitted on an error: the error, and enough of the user's item for the rest to compile.

use crate::codegen;
use proc_macro2::{Span, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Item, ItemFn, Path, TraitItemFn};

/// The errors of a function, and a stub of it.
pub fn stub(error: &Error, function: &ItemFn, runtime: &Path) -> TokenStream {
    let mut tokens = error.to_compile_error();
    tokens.extend(codegen::stub(function, runtime));
    tokens
}

/// The error for an item that is not a function with a body, followed by the item; or, for a function whose
/// body is not valid Rust, the error of the body, and a stub.
pub fn unreadable(error: Error, item: TokenStream, runtime: &Path) -> TokenStream {
    let other_item = syn::parse2::<Item>(item.clone()).is_ok()
        || syn::parse2::<TraitItemFn>(item.clone()).is_ok();
    if !other_item && let Ok(Head(function)) = syn::parse2(item.clone()) {
        return match error.to_string().as_str() {
            // The compiler, which reads a function before its attributes, has reported it already.
            "expected `;`" => codegen::stub(&function, runtime),
            _ => stub(&error, &function, runtime),
        };
    }
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

/// A function of which only the part before the body is read.
struct Head(ItemFn);

impl Parse for Head {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let (vis, sig) = (input.parse()?, input.parse()?);
        let body;
        syn::braced!(body in input);
        body.parse::<TokenStream>()?;
        Ok(Self(ItemFn {
            attrs,
            vis,
            modifiers: Default::default(),
            sig,
            block: syn::parse_quote!({}),
        }))
    }
}

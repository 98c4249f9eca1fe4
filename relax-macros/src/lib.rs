//! The `#[model]` attribute of relax and the macros that its body is written with.
//!
//! A function goes through `parse` (syntax tree to `ir`), `check` (every semantic error at the
//! user's token) and `codegen` (the calls of the runtime). On an error, `fallback` emits it beside
//! a stub of the function, so that its callers still compile.

mod check;
mod codegen;
mod distributions;
mod errors;
mod fallback;
mod ir;
mod naming;
mod parse;
mod suggest;
mod syntax;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Turns a function into a probabilistic model.
///
/// Calling the annotated function with its arguments returns a value that implements
/// `relax_runtime::model::Model`; its `Output` is the function's return type, or the type inside
/// it where that is a `Result`. The model may be run many times, so each run starts with its own
/// clone of every argument.
///
/// The body is ordinary Rust, in which these macros stand for the random choices:
///
/// | macro | meaning |
/// |---|---|
/// | `let x = sample!(D(..));` | draws `x` from a distribution |
/// | `observe!(D(..), value);` | conditions on data |
/// | `let w = param!(init);` | a trained parameter; `init` is evaluated once |
/// | `cost!(value);` | adds a term to the objective |
/// | `plate!(n, of = N => { .. })` | `n` independent rows, out of `N` |
/// | `let y = call!(other(..));` | runs another model, its sites prefixed with `y/` |
///
/// A site takes the name of its `let` (without leading underscores, so that an unused latent may
/// be `_h`) or of its `name = "..."`; two sites have the same name only in exclusive branches.
/// Sites of a loop are indexed. `?` works on errors that convert into `relax_runtime::Error`.
///
/// `#[model(check)]` also writes a test, `<function>_is_unbiased`, that fails if the gradient
/// estimate of a site is biased: `relax_runtime::infer::check_unbiased`. A function with arguments
/// is checked with given ones, as in `#[model(check(true, 0.5))]`; the options `guide = other(..)`
/// and `draws = 2_000` follow them.
///
/// # Errors
/// Compile errors at the token concerned; each says what to write instead.
#[proc_macro_attribute]
pub fn model(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments.into(), item.into()).into()
}

fn expand(
    arguments: proc_macro2::TokenStream,
    item: proc_macro2::TokenStream,
) -> proc_macro2::TokenStream {
    let function: syn::ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => return fallback::not_a_function(error, item),
    };
    let mut errors = errors::Errors::default();
    let mut model = parse::model(function, &mut errors);
    match syntax::attribute(arguments) {
        Ok(check) => model.check = check,
        Err(error) => errors.push(error),
    }
    check::model(&mut model, &mut errors);
    match errors.finish() {
        Ok(()) => codegen::model(&model),
        Err(error) => fallback::stub(&error, &model.function),
    }
}

/// Draws a random value in a `#[model]` function: `let x = sample!(Bernoulli(0.2));`.
///
/// Takes a distribution of the library by its parameters, in order or by keyword
/// (`Normal(loc = 0.0, scale = 1.0)`, `Bernoulli(logits = l)`), or any expression whose value is a
/// distribution. Options follow it: `name = "..."`, `estimator = ..`, `context = ..`.
#[proc_macro]
pub fn sample(_: TokenStream) -> TokenStream {
    fallback::outside("sample").into()
}

/// Conditions a `#[model]` function on data: `observe!(Bernoulli(p), wet);`.
///
/// Takes a distribution as [`sample!`] does, the observed value, and the option `name = "..."`.
#[proc_macro]
pub fn observe(_: TokenStream) -> TokenStream {
    fallback::outside("observe").into()
}

/// Declares a trained parameter of a `#[model]` function: `let w = param!(Tensor::zeros([3]));`.
///
/// The initial value is evaluated the first time only. The option is `name = "..."`.
#[proc_macro]
pub fn param(_: TokenStream) -> TokenStream {
    fallback::outside("param").into()
}

/// Adds a term to the objective of a `#[model]` function: `cost!((b - 0.45).square());`.
///
/// The option is `name = "..."`.
#[proc_macro]
pub fn cost(_: TokenStream) -> TokenStream {
    fallback::outside("cost").into()
}

/// Marks rows of a `#[model]` function as independent: `plate!(n => { .. })`.
///
/// `plate!(n, of = total => { .. })` says that the `n` rows are a subsample of `total`. The value
/// is that of the block.
#[proc_macro]
pub fn plate(_: TokenStream) -> TokenStream {
    fallback::outside("plate").into()
}

/// Runs another model inside a `#[model]` function: `let y = call!(prior(3));`.
///
/// Sites of the other model are prefixed with the name of the call. The option is `name = "..."`.
#[proc_macro]
pub fn call(_: TokenStream) -> TokenStream {
    fallback::outside("call").into()
}

//! The `#[model]` attribute of relax and the macros that its body is written with.
//!
//! A function goes through `parse` (syntax tree to `ir`), `check` (every semantic error at the
//! user's token) and `codegen` (the calls of the runtime). On an error, `fallback` emits it beside
//! a stub of the function, so that its callers still compile.

#![forbid(unsafe_code)]

mod check;
mod codegen;
mod constraints;
mod distributions;
mod errors;
mod fallback;
#[cfg(test)]
mod fuzz;
mod ir;
mod naming;
mod outside;
mod parse;
mod runtime;
mod suggest;
mod syntax;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Turns a function into a probabilistic model.
///
/// Calling the annotated function with its arguments returns a value that implements
/// `relax_runtime::model::Model`; its `Output` is the function's return type, or the type inside
/// it where that is written as a `Result<..>`. An `Err` that the function returns ends the run with
/// that error, however its type is spelled; where an alias hides the `Result`, the `Output` is the
/// alias, and never an `Err`. (A type parameter that stands for a `Result` is an error at run time.)
/// The model may be run many times, so each run starts with its own clone of every argument.
///
/// The body is ordinary Rust, in which these macros stand for the random choices:
///
/// | macro | meaning |
/// |---|---|
/// | `let x = sample!(D(..));` | draws `x` from a distribution |
/// | `observe!(D(..), value);` | conditions on data |
/// | `let w = param!(init);` | a trained parameter; `init` is evaluated once |
/// | `cost!(value);` | adds a term to the objective |
/// | `factor!(log_weight);` | adds a term to the log-probability |
/// | `plate!(n, of = N => { .. })` | `n` independent rows, out of `N` |
/// | `let y = call!(other(..));` | runs another model, its sites prefixed with `y/` |
///
/// A site takes the name of its `let` (without leading underscores, so that an unused latent may
/// be `_h`) or of its `name = "..."`; two sites may share a name only in exclusive branches. A
/// site in a loop is indexed by the iteration, `h[0]`, `h[1]`, of all enclosing loops, `h[0][1]`, even
/// if not every iteration reaches it. `name = format!(..)` names a site at run time, and is used
/// as it is. `?` works as in the function without `#[model]`; in one that returns neither
/// a `Result` nor an `Option` it works on errors that convert into `relax_runtime::Error`.
///
/// The generated code finds the runtime under the name that `Cargo.toml` gives to `relax-runtime`;
/// `#[model(crate = path)]` sets another path, such as that of a re-export.
///
/// `#[model(check)]` also writes a test, `<function>_is_unbiased`, that fails if the gradient
/// estimate of a site is biased: see `relax_runtime::infer::check_unbiased`. For a function with
/// arguments their values are given, as in `#[model(check(true, 0.5))]`; the options
/// `guide = other(..)` and `draws = 2_000` follow them.
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
    let mut errors = errors::Errors::default();
    let (runtime, check) = match syntax::attribute(arguments) {
        Ok(given) => given,
        Err(error) => {
            errors.push(error);
            (None, None)
        }
    };
    let options = ir::Options {
        runtime: runtime.unwrap_or_else(runtime::path),
        check,
    };
    let function: syn::ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => return fallback::unreadable(error, item, &options.runtime),
    };
    let mut model = parse::model(function, options, &mut errors);
    check::model(&mut model, &mut errors);
    match errors.finish() {
        Ok(()) => codegen::model(&model),
        Err(error) => fallback::stub(&error, &model.function, &model.options.runtime),
    }
}

/// Draws a random value in a `#[model]` function: `let x = sample!(Bernoulli(0.2));`.
///
/// Takes a distribution of the library by its parameters, in order or by keyword
/// (`Normal(loc = 0.0, scale = 1.0)`, `Bernoulli(logits = l)`), or any expression whose value is a
/// distribution. Options follow it: `name = "..."`, `estimator = ..`, `context = ..`.
#[proc_macro]
pub fn sample(arguments: TokenStream) -> TokenStream {
    outside::expand("sample", arguments.into()).into()
}

/// Conditions a `#[model]` function on data: `observe!(Bernoulli(p), wet);`.
///
/// Takes a distribution as [`sample!`] does, the observed value, and the option `name = "..."`.
#[proc_macro]
pub fn observe(arguments: TokenStream) -> TokenStream {
    outside::expand("observe", arguments.into()).into()
}

/// Declares a trained parameter of a `#[model]` function: `let w = param!(Tensor::zeros([3], &device));`.
///
/// The initial value is evaluated the first time only. A constraint may follow, which the initial
/// and all later values satisfy: `positive`, `unit`, `interval(low, high)`, `simplex`, `ordered`,
/// `positive_ordered` or `lower_cholesky`, as in `param!(0.5, positive)`. The option is `name = "..."`.
#[proc_macro]
pub fn param(arguments: TokenStream) -> TokenStream {
    outside::expand("param", arguments.into()).into()
}

/// Adds a term to the objective of a `#[model]` function: `cost!((b - 0.45).square());`.
///
/// In a model with observations it is minimized besides the bound on the evidence, and is not part of it; for
/// a likelihood of your own use `factor!`.
///
/// The option is `name = "..."`.
#[proc_macro]
pub fn cost(arguments: TokenStream) -> TokenStream {
    outside::expand("cost", arguments.into()).into()
}

/// Adds a term to the log-probability of a `#[model]` function, as an observation does:
/// `factor!(-energy);`, for energies and for likelihoods that are not a distribution's.
///
/// It counts in the posterior and the evidence. The option is `name = "..."`.
#[proc_macro]
pub fn factor(arguments: TokenStream) -> TokenStream {
    outside::expand("factor", arguments.into()).into()
}

/// Marks rows of a `#[model]` function as independent: `plate!(n => { .. })`.
///
/// `plate!(n, of = total => { .. })` declares that the `n` rows are a subsample of `total`, and
/// `plate!(n, name = "rows" => { .. })` that they are the rows of every other plate with this name. The value is
/// that of the block.
#[proc_macro]
pub fn plate(arguments: TokenStream) -> TokenStream {
    outside::expand("plate", arguments.into()).into()
}

/// Runs another model inside a `#[model]` function: `let y = call!(prior(3));`.
///
/// Sites of the other model are prefixed with the name of the call. The option is `name = "..."`.
#[proc_macro]
pub fn call(arguments: TokenStream) -> TokenStream {
    outside::expand("call", arguments.into()).into()
}

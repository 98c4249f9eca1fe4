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
/// that error, however its type is spelt; where an alias hides the `Result`, the `Output` is the
/// alias, and never an `Err`. (A type parameter that stands for a `Result` is an error of the run.) The
/// model may be run many times, so each run starts with its own clone of
/// every argument.
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
/// be `_h`) or of its `name = "..."`; two sites have the same name only in exclusive branches. A
/// site in a loop is indexed by the iteration, `h[0]`, `h[1]`, of all loops around it, `h[0][1]`, also
/// where not every iteration comes by it. `name = format!(..)` names a site while the model runs, and
/// then stands as it is. `?` works as in the function without `#[model]`; in one that returns neither
/// a `Result` nor an `Option` it works on errors that convert into `relax_runtime::Error`.
///
/// The generated code finds the runtime under the name that `Cargo.toml` gives to `relax-runtime`;
/// `#[model(crate = path)]` gives another path, such as that of a re-export.
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

/// Declares a trained parameter of a `#[model]` function: `let w = param!(Tensor::zeros([3]));`.
///
/// The initial value is evaluated the first time only. A constraint may follow it, which it fulfils
/// and all later values will: `positive`, `unit`, `interval(low, high)`, `simplex`, `ordered`,
/// `positive_ordered` or `lower_cholesky`, as in `param!(0.5, positive)`. The option is `name = "..."`.
#[proc_macro]
pub fn param(arguments: TokenStream) -> TokenStream {
    outside::expand("param", arguments.into()).into()
}

/// Adds a term to the objective of a `#[model]` function: `cost!((b - 0.45).square());`.
///
/// In a model with observations it is paid beside the bound on the evidence, and is no part of it; a
/// likelihood of one's own is a `factor!`.
///
/// The option is `name = "..."`.
#[proc_macro]
pub fn cost(arguments: TokenStream) -> TokenStream {
    outside::expand("cost", arguments.into()).into()
}

/// Adds a term to the log-probability of a `#[model]` function, as an observation does:
/// `factor!(-energy);`, for energies and likelihoods that are no distribution's.
///
/// Posterior and evidence count it. The option is `name = "..."`.
#[proc_macro]
pub fn factor(arguments: TokenStream) -> TokenStream {
    outside::expand("factor", arguments.into()).into()
}

/// Marks rows of a `#[model]` function as independent: `plate!(n => { .. })`.
///
/// `plate!(n, of = total => { .. })` says that the `n` rows are a subsample of `total`, and
/// `plate!(n, name = "rows" => { .. })` that they are those of any other plate of this name. The value is that of the
/// block.
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

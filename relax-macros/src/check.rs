//! Reports every semantic error at the user's token, with what to write instead, and settles the final names.

use crate::distributions;
use crate::errors::Errors;
use crate::ir::{Barrier, Branch, Check, Dist, Hole, Kind, Model, Origin, Site};
use proc_macro2::Span;
use quote::ToTokens;
use std::collections::HashMap;
use syn::ext::IdentExt;
use syn::visit::Visit;
use syn::{FnArg, Pat, ReceiverKind, Safety, Signature, Type, TypeImplTrait, TypeInfer};

/// Checks a model and numbers the implicit names that are taken.
pub fn model(model: &mut Model, errors: &mut Errors) {
    signature(&model.function.sig, errors);
    if let Some(check) = &model.options.check {
        test(check, &model.function.sig, errors);
    }
    let sites = model.holes.iter_mut().filter_map(|hole| match hole {
        Hole::Site(site) => Some(&mut **site),
        Hole::Return(_) => None,
    });
    let (mut sites, unreachable): (Vec<_>, Vec<_>) =
        sites.partition(|site| site.place.barrier.is_none());
    for site in unreachable {
        errors.at(site.keyword.span(), behind_barrier(site));
    }
    sites.sort_by_key(|site| site.place.order);
    for site in &sites {
        if let Some(Err(error)) = family(site).map(distributions::resolve) {
            errors.push(error);
        }
    }
    names(&mut sites, errors);
}

fn signature(signature: &Signature, errors: &mut Errors) {
    let mut reject = |span: Option<Span>, message: &str| {
        if let Some(span) = span {
            errors.at(span, message);
        }
    };
    reject(
        signature.asyncness.map(|token| token.span),
        "a model is not `async`: a run draws its sites one after another; remove `async`",
    );
    reject(
        signature.constness.map(|token| token.span),
        "a model is not `const`: it is run, many times, when the program runs; remove `const`",
    );
    let unsafety = match signature.safety {
        Safety::Unsafe(token) => Some(token.span),
        _ => None,
    };
    reject(
        unsafety,
        "a model is not `unsafe`: inference runs it on its own; put an `unsafe` block inside",
    );
    reject(
        signature.abi.as_ref().map(|abi| abi.extern_token.span),
        "a model is a Rust function; remove `extern`",
    );
    for input in &signature.inputs {
        argument(input, errors);
    }
    if let Some(span) = opaque_output(signature) {
        errors.at(
            span,
            "a model returns a type that it can name; write it instead of `impl`",
        );
    }
    if let Some(span) = inferred_output(signature) {
        errors.at(
            span,
            "a model's return type must be written out, as in any function; write the type \
             instead of `_`",
        );
    }
}

/// A test calls the function, so it needs a value for every argument.
fn test(check: &Check, signature: &Signature, errors: &mut Errors) {
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
        errors.at(
            receiver.self_token.span,
            "`check` cannot make a `self` to test with; write `#[model]`, and a test of your own \
             that calls `check_unbiased(&value.method(..))?.verdict()`",
        );
        return;
    }
    let (given, wanted) = (check.values.len(), signature.inputs.len());
    if given == wanted {
        return;
    }
    let arguments = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed.pat.to_token_stream().to_string()),
        FnArg::Receiver(_) => None,
    });
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    let name = signature.ident.unraw();
    let message = match wanted {
        0 => format!("`{name}` has no arguments to give values to; write `check`"),
        _ => format!(
            "the test calls `{name}({arguments})`: give a value for each argument, as in \
             `check(value, ..)`; expected {wanted}, found {given}"
        ),
    };
    match check.values.get(wanted) {
        Some(beyond) => errors.push(syn::Error::new_spanned(beyond, message)),
        None => errors.at(check.keyword.span(), message),
    }
}

/// What keeps a return type from being named.
#[derive(Default)]
struct Nameless {
    /// The first `impl Trait`.
    opaque: Option<Span>,
    /// The first `_`.
    inferred: Option<Span>,
}

impl<'ast> Visit<'ast> for Nameless {
    fn visit_type_impl_trait(&mut self, opaque: &'ast TypeImplTrait) {
        self.opaque.get_or_insert(opaque.impl_token.span);
    }

    fn visit_type_infer(&mut self, inferred: &'ast TypeInfer) {
        self.inferred.get_or_insert(inferred.underscore_token.span);
    }
}

impl Nameless {
    fn of(signature: &Signature) -> Self {
        let mut found = Self::default();
        found.visit_return_type(&signature.output);
        found
    }
}

/// The first `impl Trait` in what a function returns.
fn opaque_output(signature: &Signature) -> Option<Span> {
    Nameless::of(signature).opaque
}

/// The first `_` in what a function returns.
fn inferred_output(signature: &Signature) -> Option<Span> {
    Nameless::of(signature).inferred
}

/// Whether the type that a function returns can be written elsewhere.
pub fn has_named_output(signature: &Signature) -> bool {
    let Nameless { opaque, inferred } = Nameless::of(signature);
    opaque.is_none() && inferred.is_none()
}

fn argument(input: &FnArg, errors: &mut Errors) {
    const BY_REFERENCE: &str = "a model may run many times: take `&self`";
    let typed = match input {
        FnArg::Receiver(receiver) => {
            return match &receiver.kind {
                ReceiverKind::Reference(_, _, None) => {}
                ReceiverKind::Typed(_, ty) if is_shared_reference(ty) => {}
                _ => errors.at(receiver.self_token.span, BY_REFERENCE),
            };
        }
        FnArg::Typed(typed) => typed,
    };
    match &*typed.pat {
        Pat::Ident(ident) if ident.by_ref.is_none() && ident.subpat.is_none() => {}
        Pat::Wild(_) => {}
        pattern => errors.push(syn::Error::new_spanned(
            pattern,
            "an argument of a model is a plain name; take it apart in the body: \
             `let (a, b) = argument;`",
        )),
    }
    if let Type::Reference(reference) = &*typed.ty
        && let Some(mutability) = &reference.mutability
    {
        errors.at(
            mutability.span,
            "a model may run many times, each run with its own copy of the arguments: take a \
             value (`mut x: T`) or a shared reference (`x: &T`)",
        );
    }
}

fn is_shared_reference(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if reference.mutability.is_none())
}

fn behind_barrier(site: &Site) -> String {
    let keyword = &site.keyword;
    let (barrier, advice) = match site.place.barrier {
        Some(Barrier::Item) => (
            "an item inside the model",
            "annotate that function with `#[model]` too, and run it with `call!`",
        ),
        Some(Barrier::Async) => ("an `async` block", "move it out of the block"),
        Some(Barrier::Const) => ("a `const` block", "move it out of the block"),
        Some(Barrier::Closure) | None => (
            "a closure",
            "use a `for` loop, or make the closure a `#[model]` function and run it with `call!`",
        ),
    };
    format!("`{keyword}!` cannot be used in {barrier}; {advice}")
}

fn family(site: &Site) -> Option<&crate::ir::Family> {
    match &site.kind {
        Kind::Sample {
            dist: Dist::Family(family),
            ..
        }
        | Kind::Observe {
            dist: Dist::Family(family),
            ..
        } => Some(family),
        _ => None,
    }
}

/// Checks the names that the user chose, then numbers the others around them.
fn names(sites: &mut [&mut Site], errors: &mut Errors) {
    let mut settled = Settled::default();
    for i in 0..sites.len() {
        let (site, name) = (&*sites[i], &sites[i].name);
        match name.origin {
            Origin::Implicit | Origin::Rows | Origin::Computed => continue,
            Origin::Missing => errors.at(name.span, unnamed(site)),
            _ if !is_valid(&name.text) => errors.at(name.span, reserved(site)),
            _ if settled.has(sites, i, &name.text) => errors.at(name.span, duplicate(site)),
            _ if settled.has_other_parameter(sites, i) => {
                errors.at(name.span, one_parameter(site));
            }
            Origin::Literal | Origin::Binding => settled.insert(i, name.text.clone()),
        }
    }
    // Among the sites of one name and branch, each is numbered after the one before.
    let mut next: HashMap<(String, Vec<Branch>, Vec<String>), usize> = HashMap::new();
    for i in 0..sites.len() {
        if sites[i].name.origin != Origin::Implicit {
            continue;
        }
        let base = sites[i].name.text.clone();
        let place = &sites[i].place;
        let number = next
            .entry((base.clone(), place.branches.clone(), place.cfgs.clone()))
            .or_insert(1);
        let text = loop {
            let text = match *number {
                1 => base.clone(),
                n => format!("{base}#{n}"),
            };
            *number += 1;
            if !settled.has(sites, i, &text) {
                break text;
            }
        };
        settled.insert(i, text.clone());
        sites[i].name.text = text;
    }
}

/// The sites whose names are settled, by name.
#[derive(Default)]
struct Settled(HashMap<String, Vec<usize>>);

impl Settled {
    fn insert(&mut self, site: usize, name: String) {
        self.0.entry(name).or_default().push(site);
    }

    /// Whether a parameter of another branch has a site's name, which would make the two one number, or two calls have
    /// one, which would make parameters of theirs one, unless both were given it.
    fn has_other_parameter(&self, sites: &[&mut Site], site: usize) -> bool {
        let site = &*sites[site];
        let mut others = self.0.get(&site.name.text).into_iter().flatten();
        let is_given = |site: &Site| site.name.origin == Origin::Literal;
        let has_parameters =
            |site: &Site| matches!(site.kind, Kind::Param { .. } | Kind::Call { .. });
        has_parameters(site)
            && others.any(|&other| {
                let other = &*sites[other];
                std::mem::discriminant(&other.kind) == std::mem::discriminant(&site.kind)
                    && other.place.loops.len() == site.place.loops.len()
                    && !other.place.may_be_left_out_with(&site.place)
                    && !(is_given(site) && is_given(other))
            })
    }

    /// Whether a site that the same run can reach has this name.
    fn has(&self, sites: &[&mut Site], site: usize, name: &str) -> bool {
        let others = self.0.get(name).map_or(&[][..], Vec::as_slice);
        let place = &sites[site].place;
        others
            .iter()
            .any(|&other| !sites[other].place.excludes(place))
    }
}

fn is_valid(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '['])
}

fn reserved(site: &Site) -> String {
    format!(
        "a site cannot be named `{}`: a name is not empty and has no `/` or `[`, which mark \
         sub-models and indices",
        site.name.text
    )
}

fn duplicate(site: &Site) -> String {
    let (keyword, name) = (&site.keyword, &site.name.text);
    format!(
        "another site is already named `{name}`; name this one: \
         `{keyword}!(.., name = \"{name}_2\")`"
    )
}

fn one_parameter(site: &Site) -> String {
    let (name, keyword) = (&site.name.text, &site.keyword);
    let what = match site.kind {
        Kind::Call { .. } => {
            format!(
                "calls a model under the name `{name}`, and parameters of theirs with the same name are one number"
            )
        }
        _ => format!("has a parameter named `{name}`, and parameters of one name are one number"),
    };
    format!(
        "another branch {what}; name this one: `{keyword}!(.., name = \"{name}_2\")`, or, if they are one, give both \
         `name = \"{name}\"`"
    )
}

fn unnamed(site: &Site) -> String {
    let keyword = &site.keyword;
    format!(
        "this `{keyword}!` has no name: bind it, `let x = {keyword}!(..);`, or give it one, \
         `{keyword}!(.., name = \"x\")`"
    )
}

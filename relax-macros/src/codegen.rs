//! The calls of the runtime that a checked model stands for.

use crate::check;
use crate::distributions;
use crate::ir::{Check, Dist, Family, HOLE, Hole, Kind, Model, Plate, Site};
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{FnArg, ItemFn, Pat, ReturnType, Safety, Signature, Type};

/// The function that builds the model.
pub fn model(model: &Model) -> TokenStream {
    let writer = Writer {
        model,
        output: Output::of(&model.function.sig),
    };
    let function = &model.function;
    let construction = writer.construction(function);
    let signature = constructor(&function.sig, &writer.output.output);
    let (attributes, visibility) = (&function.attrs, &function.vis);
    let test = model.check.as_ref().map(|check| test(check, &function.sig));
    quote! {
        #(#attributes)*
        #visibility #signature {
            #construction
        }
        #test
    }
}

/// The test that the model's gradients are unbiased.
fn test(check: &Check, signature: &Signature) -> TokenStream {
    let Check {
        keyword,
        values,
        guide,
        draws,
    } = check;
    let function = &signature.ident;
    let span = Span::mixed_site().located_at(keyword.span());
    let name = format!("{}_is_unbiased", function.unraw());
    let name = Ident::new(&name, keyword.span());
    let option = |expr: TokenStream| quote_spanned!(span=> ::core::option::Option::Some(#expr));
    let none = || quote_spanned!(span=> ::core::option::Option::None);
    let guide = guide
        .as_ref()
        .map_or_else(none, |guide| option(quote!(&#guide)));
    let draws = draws
        .as_ref()
        .map_or_else(none, |draws| option(quote!(#draws)));
    quote_spanned! {span=>
        #[cfg(test)]
        #[test]
        fn #name() -> ::core::result::Result<(), ::relax_runtime::plumbing::Failure> {
            ::relax_runtime::plumbing::check(&#function(#(#values),*), #guide, #draws)
        }
    }
}

/// A function of the same signature whose model does nothing, for use beside an error.
pub fn stub(function: &ItemFn) -> TokenStream {
    let output = match check::opaque_output(&function.sig) {
        Some(_) => quote!(()),
        None => Output::of(&function.sig).output,
    };
    let mut signature = constructor(&function.sig, &output);
    signature.constness = None;
    signature.asyncness = None;
    signature.safety = Safety::Default;
    signature.abi = None;
    let name = signature.ident.unraw().to_string();
    let (attributes, visibility) = (&function.attrs, &function.vis);
    quote! {
        #(#attributes)*
        #[allow(unused, clippy::all)]
        #visibility #signature {
            ::relax_runtime::plumbing::model(
                #name,
                |_: &::relax_runtime::model::Context| -> ::relax_runtime::Result<#output> {
                    ::core::unreachable!()
                },
            )
        }
    }
}

/// The user's signature, returning a model.
fn constructor(signature: &Signature, output: &TokenStream) -> Signature {
    let mut signature = signature.clone();
    signature.output = syn::parse_quote! {
        -> impl ::relax_runtime::model::Model<Output = #output>
    };
    for input in &mut signature.inputs {
        if let FnArg::Typed(typed) = input
            && let Pat::Ident(ident) = &mut *typed.pat
        {
            // The run's own copy is the mutable one.
            ident.mutability = None;
        }
    }
    signature
}

/// `let mut x = Clone::clone(&x);`, where a type without `Clone` is an error at the type.
fn own_copy(argument: &FnArg) -> Option<TokenStream> {
    let FnArg::Typed(argument) = argument else {
        return None;
    };
    let Pat::Ident(pattern) = &*argument.pat else {
        return None;
    };
    let (mutability, name) = (&pattern.mutability, &pattern.ident);
    let mut captured = name.clone();
    captured.set_span(argument.ty.span().resolved_at(name.span()));
    let copy = quote_spanned!(argument.ty.span()=> ::core::clone::Clone::clone(&#captured));
    Some(quote!(let #mutability #name = #copy;))
}

/// What a model returns.
struct Output {
    kind: Returned,
    /// The user's return type.
    returned: TokenStream,
    /// The output of the model.
    output: TokenStream,
}

enum Returned {
    Unit,
    Value,
    Result,
}

impl Output {
    fn of(signature: &Signature) -> Self {
        let (kind, returned) = match &signature.output {
            ReturnType::Default => (Returned::Unit, quote!(())),
            ReturnType::Type(_, ty) if is_result(ty) => (Returned::Result, ty.to_token_stream()),
            ReturnType::Type(_, ty) => (Returned::Value, ty.to_token_stream()),
        };
        let output = match kind {
            Returned::Result => {
                let span = Span::mixed_site().located_at(signature.output.span());
                quote_spanned!(span=> <#returned as ::relax_runtime::plumbing::Fallible>::Ok)
            }
            Returned::Unit | Returned::Value => returned.clone(),
        };
        Self {
            kind,
            returned,
            output,
        }
    }
}

fn is_result(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path
        .segments
        .last()
        .is_some_and(|segment| segment.ident == "Result")
}

/// The parameter of the closure: a name that the user's code cannot see.
fn context(span: Span) -> Ident {
    Ident::new("__relax", span)
}

/// Puts code where parsing left holes.
struct Writer<'m> {
    model: &'m Model,
    output: Output,
}

impl Writer<'_> {
    /// The closure that runs the body, made into a model.
    fn construction(&self, function: &ItemFn) -> TokenStream {
        let local = |name| Ident::new(name, Span::mixed_site());
        let (run, value) = (local("__run"), local("__value"));
        let name = function.sig.ident.unraw().to_string();
        let context = context(Span::mixed_site());
        let Output {
            kind,
            returned,
            output,
        } = &self.output;
        let closure = quote!(move |#context: &::relax_runtime::model::Context|);
        let model = |body: TokenStream| {
            quote! {
                ::relax_runtime::plumbing::model(
                    #name,
                    #closure -> ::relax_runtime::Result<#output> { #body },
                )
            }
        };
        let copies = function.sig.inputs.iter().filter_map(own_copy);
        let block = self.fill_all(&function.block);
        // The body may diverge, and may be one expression in the function's braces.
        match kind {
            Returned::Unit => model(quote! {
                #(#copies)*
                #[allow(unused_braces)]
                #block
                #[allow(unreachable_code)]
                return ::core::result::Result::Ok(());
            }),
            Returned::Value => model(quote! {
                #(#copies)*
                #[allow(unused_braces)]
                let #value: #output = #block;
                #[allow(unreachable_code)]
                return ::core::result::Result::Ok(#value);
            }),
            Returned::Result => {
                let statements = function.block.stmts.iter().map(|part| self.fill_all(part));
                let braces = function.block.brace_token.span.join();
                let block = quote_spanned!(braces=> { #(#copies)* #(#statements)* });
                let model = model(quote!(::relax_runtime::plumbing::fallible(#run(#context))));
                quote! {
                    let #run = #closure -> #returned #block;
                    #model
                }
            }
        }
    }

    fn fill(&self, tokens: TokenStream) -> TokenStream {
        let mut filled = TokenStream::new();
        let mut tokens = tokens.into_iter();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) if ident == HOLE => {
                    // `__relax_hole ! (index)`
                    let hole = tokens
                        .nth(1)
                        .and_then(|group| self.model.holes.get(index(group)?));
                    filled.extend(hole.map(|hole| self.hole(hole)));
                }
                TokenTree::Group(group) => {
                    let mut inside = Group::new(group.delimiter(), self.fill(group.stream()));
                    inside.set_span(group.span());
                    filled.extend([TokenTree::Group(inside)]);
                }
                other => filled.extend([other]),
            }
        }
        filled
    }

    fn fill_all<T: ToTokens>(&self, part: &T) -> TokenStream {
        self.fill(part.to_token_stream())
    }

    fn hole(&self, hole: &Hole) -> TokenStream {
        match hole {
            Hole::Return(expr) => {
                let (keyword, value) = (&expr.return_token, self.fill_all(&expr.expr));
                let span = Span::mixed_site().located_at(keyword.span);
                match self.output.kind {
                    Returned::Result => quote!(#keyword #value),
                    _ if value.is_empty() => {
                        quote_spanned!(span=> #keyword ::core::result::Result::Ok(()))
                    }
                    _ => quote_spanned!(span=> #keyword ::core::result::Result::Ok(#value)),
                }
            }
            Hole::Site(site) => self.site(site),
        }
    }

    fn site(&self, site: &Site) -> TokenStream {
        let span = Span::mixed_site().located_at(site.keyword.span());
        let context = context(span);
        let info = info(site, span);
        match &site.kind {
            Kind::Sample {
                dist,
                estimator,
                context: seen,
            } => {
                let dist = self.dist(dist);
                let estimator = estimator.as_ref().map(|expr| self.fill_all(expr));
                let estimator = estimator.map(|expr| quote_spanned!(span=> .estimator(#expr)));
                let seen = seen.as_ref().map(|expr| self.fill_all(expr));
                let seen = seen.map(|expr| quote_spanned!(span=> .context(&(#expr))));
                quote_spanned!(span=> #context.sample(#info #estimator #seen, #dist)?)
            }
            Kind::Observe { dist, value } => {
                let (dist, value) = (self.dist(dist), self.fill_all(value));
                quote_spanned!(span=> #context.observe(#info, #dist, #value)?)
            }
            Kind::Param(init) => {
                let init = self.fill_all(init);
                let found = Ident::new("__found", span);
                quote_spanned! {span=>
                    (match #context.param(#info)? {
                        ::core::option::Option::Some(#found) => #found,
                        ::core::option::Option::None => #context.new_param(#info, #init)?,
                    })
                }
            }
            Kind::Cost(value) => {
                let value = self.fill_all(value);
                quote_spanned!(span=> #context.cost(#info, #value)?)
            }
            Kind::Plate(plate) => self.plate(plate, &info, span),
            Kind::Call(model) => {
                let model = self.fill_all(model);
                quote_spanned!(span=> #context.call(#info, &(#model))?)
            }
        }
    }

    fn plate(&self, plate: &Plate, info: &TokenStream, span: Span) -> TokenStream {
        let (context, guard) = (context(span), Ident::new("__plate", span));
        let rows = self.fill_all(&plate.rows);
        let total = match &plate.total {
            Some(total) => {
                let total = self.fill_all(total);
                quote_spanned!(span=> ::core::option::Option::Some(#total))
            }
            None => quote_spanned!(span=> ::core::option::Option::None),
        };
        let body = self.fill_all(&plate.body);
        quote_spanned! {span=>
            {
                let #guard = #context.plate(#info, #rows, #total)?;
                #body
            }
        }
    }

    fn dist(&self, dist: &Dist) -> TokenStream {
        match dist {
            Dist::Family(family) => self.family(family),
            Dist::Value(value) => self.fill_all(value),
        }
    }

    fn family(&self, family: &Family) -> TokenStream {
        match distributions::resolve(family) {
            Ok((function, arguments)) => {
                let span = Span::mixed_site().located_at(family.name.span());
                let function = Ident::new(function, span);
                let name = Ident::new(&family.name.to_string(), span);
                let arguments = arguments
                    .into_iter()
                    .map(|argument| self.fill_all(argument));
                quote_spanned!(span=> ::relax_runtime::dist::#name::#function(#(#arguments),*))
            }
            Err(error) => error.to_compile_error(),
        }
    }
}

/// `3` of `(3)`
fn index(group: TokenTree) -> Option<usize> {
    let TokenTree::Group(group) = group else {
        return None;
    };
    group.stream().to_string().parse().ok()
}

/// `Site::new("rain", file!(), line!())`, with the line that the macro stands on.
fn info(site: &Site, span: Span) -> TokenStream {
    let name = &site.name.text;
    let here = quote_spanned!(site.keyword.span()=> ::core::file!(), ::core::line!());
    let indexed = site.place.looped.then(|| quote_spanned!(span=> .indexed()));
    quote_spanned!(span=> ::relax_runtime::plumbing::Site::new(#name, #here) #indexed)
}

//! Generates the calls of the runtime for a checked model.

use std::cell::Cell;

use crate::check;
use crate::distributions;
use crate::ir::{Check, Constraint, Dist, Family, HOLE, Hole, Kind, Model, Plate, Site};
use crate::naming;
use crate::outside::USED;
use crate::syntax;
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Block, Expr, FnArg, ItemFn, Pat, Path, PathArguments, ReturnType, Safety, Signature,
    Stmt, Type,
};

/// The function that builds the model.
pub fn model(model: &Model) -> TokenStream {
    let writer = Writer {
        model,
        in_plate: Cell::new(false),
    };
    let function = &model.function;
    let runtime = &model.options.runtime;
    let construction = writer.construction();
    let signature = constructor(
        &function.sig,
        &Output::of(&function.sig, runtime).output,
        runtime,
    );
    let (attributes, visibility) = (&function.attrs, &function.vis);
    let test = model.options.check.as_ref();
    let test = test.map(|check| self::test(check, &function.sig, runtime));
    quote! {
        #(#attributes)*
        #visibility #signature {
            #construction
        }
        #test
    }
}

/// The test that the model's gradients are unbiased.
fn test(check: &Check, signature: &Signature, runtime: &Path) -> TokenStream {
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
        fn #name() -> ::core::result::Result<(), #runtime::plumbing::Failure> {
            #runtime::plumbing::check(&#function(#(#values),*), #guide, #draws)
        }
    }
}

/// A function of the same signature whose model does nothing, for use beside an error.
pub fn stub(function: &ItemFn, runtime: &Path) -> TokenStream {
    let output = match check::has_named_output(&function.sig) {
        true => Output::of(&function.sig, runtime).output,
        false => quote!(()),
    };
    let mut signature = constructor(&function.sig, &output, runtime);
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
            #runtime::plumbing::model(
                #name,
                |_: &#runtime::model::Context| -> #runtime::Result<#output> {
                    ::core::unreachable!()
                },
            )
        }
    }
}

/// The user's signature, returning a model.
fn constructor(signature: &Signature, output: &TokenStream, runtime: &Path) -> Signature {
    let mut signature = signature.clone();
    signature.output = syn::parse_quote! {
        -> impl #runtime::model::Model<Output = #output>
    };
    for input in &mut signature.inputs {
        if let FnArg::Typed(typed) = input
            && let Pat::Ident(ident) = &mut *typed.pat
        {
            // The run's own copy is the mutable one, and the one that lints are about.
            ident.mutability = None;
            typed.attrs.retain(|attribute| !is_lint(attribute));
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
    let about = |attribute: &&Attribute| is_lint(attribute) || is_condition(attribute);
    let attributes = argument.attrs.iter().filter(about);
    let (mutability, name) = (&pattern.mutability, &pattern.ident);
    let mut captured = name.clone();
    captured.set_span(argument.ty.span().resolved_at(name.span()));
    let copy = quote_spanned!(argument.ty.span()=> ::core::clone::Clone::clone(&#captured));
    Some(quote!(#(#attributes)* let #mutability #name = #copy;))
}

fn is_lint(attribute: &Attribute) -> bool {
    let levels = ["allow", "expect", "warn", "deny", "forbid"];
    levels.iter().any(|level| attribute.path().is_ident(level))
}

fn is_condition(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
}

/// What a model returns.
struct Output {
    /// The user's return type.
    returned: TokenStream,
    /// The output of the model.
    output: TokenStream,
    /// Whether the output is the type inside the return type.
    inside: bool,
}

impl Output {
    fn of(signature: &Signature, runtime: &Path) -> Self {
        let returned = match &signature.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) => ty.to_token_stream(),
        };
        let inside = matches!(&signature.output, ReturnType::Type(_, ty) if is_result(ty));
        let output = match inside {
            true => {
                let span = Span::mixed_site().located_at(signature.output.span());
                quote_spanned!(span=> <#returned as #runtime::plumbing::Fallible>::Ok)
            }
            false => returned.clone(),
        };
        Self {
            returned,
            output,
            inside,
        }
    }
}

/// Whether a type is written as a `Result` of something, whose inside can then be named. (Whether it
/// *is* one, the compiler finds out; see the runtime's `plumbing`.)
fn is_result(ty: &Type) -> bool {
    let path = match ty {
        Type::Path(path) => path,
        Type::Group(group) => return is_result(&group.elem),
        Type::Paren(paren) => return is_result(&paren.elem),
        _ => return false,
    };
    path.path.segments.last().is_some_and(|segment| {
        segment.ident == "Result" && matches!(segment.arguments, PathArguments::AngleBracketed(_))
    })
}

/// The parameter of the closure: a name that the user's code cannot see.
fn context(span: Span) -> Ident {
    Ident::new("__relax", span)
}

/// The value that knows how the function's return type carries values and errors.
fn returns(span: Span) -> Ident {
    Ident::new("__returns", span)
}

/// Writes code into the holes that parsing left.
struct Writer<'m> {
    model: &'m Model,
    /// Whether the code is in the block of a plate.
    in_plate: Cell<bool>,
}

impl Writer<'_> {
    /// The closure that runs the body, made into a model. The body is a closure of its own that
    /// returns what the user's function returns, so that `?` and `return` keep their meaning.
    fn construction(&self) -> TokenStream {
        let local = |name| Ident::new(name, Span::mixed_site());
        let (body, value, error) = (local("__body"), local("__value"), local("__error"));
        let (context, returns) = (context(Span::mixed_site()), returns(Span::mixed_site()));
        let Model {
            function, options, ..
        } = self.model;
        let runtime = &options.runtime;
        let name = function.sig.ident.unraw().to_string();
        let Output {
            returned,
            output,
            inside,
        } = Output::of(&function.sig, runtime);
        let finish = local(if inside { "finish_inside" } else { "finish" });
        let copies = function.sig.inputs.iter().filter_map(own_copy);
        let block = self.fill_all(&function.block);
        // The body may diverge, and may be one expression in the function's braces.
        quote! {
            #[allow(unused_imports)]
            use #runtime::plumbing::{
                AnyError as _, AnyValue as _, BoxedError as _, OwnError as _, SharedError as _,
                ShownError as _,
            };
            let #returns = #runtime::plumbing::Returns::<#returned>::new().kind();
            let #body = #returns.body(move |#context: &#runtime::model::Context| {
                #(#copies)*
                #[allow(unused_braces, clippy::let_unit_value)]
                let #value: #returned = #block;
                #[allow(unreachable_code)]
                #returns.value(#value)
            });
            #runtime::plumbing::model(
                #name,
                move |#context: &#runtime::model::Context| -> #runtime::Result<#output> {
                    let #value = #body(#context);
                    #returns.#finish(#context, #value, |#error| {
                        (&&&&&#runtime::plumbing::ErrorOf::of(&#error)).convert(#error)
                    })
                },
            )
        }
    }

    fn fill(&self, tokens: TokenStream) -> TokenStream {
        let mut filled = TokenStream::new();
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                // `__relax_hole ! (index)`; a user's variable may have this name, too.
                TokenTree::Ident(ident)
                    if ident == HOLE
                        && matches!(tokens.peek(), Some(TokenTree::Punct(p)) if p.as_char() == '!') =>
                {
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
                let returns = returns(span);
                match value.is_empty() {
                    true => quote_spanned!(span=> #keyword #returns.value(())),
                    false => quote_spanned!(span=> #keyword #returns.value(#value)),
                }
            }
            Hole::Site(site) => self.site(site),
        }
    }

    /// An expression in parentheses, so that anything may come before or after it; first it uses the macro,
    /// which then reports whether it is ours.
    fn site(&self, site: &Site) -> TokenStream {
        let span = Span::mixed_site().located_at(site.keyword.span());
        let context = context(span);
        let info = self.info(site, span);
        let value = match &site.kind {
            Kind::Sample {
                dist,
                estimator,
                context: seen,
            } => {
                let dist = self.rows(self.dist(dist), span);
                let estimator = estimator.as_ref().map(|expr| self.fill_all(expr));
                let estimator = estimator.map(|expr| quote_spanned!(span=> .estimator(#expr)));
                let seen = seen.as_ref().map(|expr| self.fill_all(expr));
                let seen = seen.map(|expr| quote_spanned!(span=> .context(&(#expr))));
                self.answer(
                    span,
                    quote_spanned!(span=> #context.sample(#info #estimator #seen, #dist)),
                )
            }
            Kind::Observe { dist, value } => {
                let (dist, value) = (self.rows(self.dist(dist), span), self.fill_all(value));
                self.answer(
                    span,
                    quote_spanned!(span=> #context.observe(#info, #dist, #value)),
                )
            }
            Kind::Param { init, constraint } => {
                let init = self.fill_all(init);
                let constraint = constraint.as_ref().map(|c| self.constraint(c));
                let (site, found) = (Ident::new("__site", span), Ident::new("__found", span));
                let known =
                    quote_spanned!(span=> #context.param(::core::clone::Clone::clone(&#site)));
                let known = self.answer(span, known);
                let new = self.answer(
                    span,
                    quote_spanned!(span=> #context.new_param(#site, #init)),
                );
                quote_spanned! {span=>
                    let #site = #info #constraint;
                    match #known {
                        ::core::option::Option::Some(#found) => #found,
                        ::core::option::Option::None => #new,
                    }
                }
            }
            Kind::Cost(value) => {
                let value = self.fill_all(value);
                self.answer(span, quote_spanned!(span=> #context.cost(#info, #value)))
            }
            Kind::Factor(log_weight) => {
                let log_weight = self.fill_all(log_weight);
                self.answer(
                    span,
                    quote_spanned!(span=> #context.factor(#info, #log_weight)),
                )
            }
            Kind::Plate(plate) => self.plate(plate, &info, span),
            Kind::Call(model) => {
                let model = self.fill_all(model);
                self.answer(span, quote_spanned!(span=> #context.call(#info, &(#model))))
            }
        };
        let (path, keyword) = (&site.path, &site.keyword);
        let used = Ident::new(USED, span);
        quote_spanned!(span=> ({ #path!(#used #keyword); #value }))
    }

    /// The context's answer, or the end of the run.
    fn answer(&self, span: Span, asked: TokenStream) -> TokenStream {
        let (context, returns) = (context(span), returns(span));
        let (value, error) = (Ident::new("__value", span), Ident::new("__error", span));
        quote_spanned! {span=>
            match #asked {
                ::core::result::Result::Ok(#value) => #value,
                ::core::result::Result::Err(#error) => return #returns.leave(#context, #error),
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
        let entered = self.answer(
            span,
            quote_spanned!(span=> #context.plate(#info, #rows, #total)),
        );
        let outside = self.in_plate.replace(true);
        let body = self.fill_all(&plate.body);
        self.in_plate.set(outside);
        quote_spanned! {span=>
            let #guard = #entered;
            #body
        }
    }

    /// `Site::new("rain", file!(), line!())`, with the line of the macro.
    fn info(&self, site: &Site, span: Span) -> TokenStream {
        let runtime = &self.model.options.runtime;
        let name = &site.name.text;
        let here = quote_spanned!(site.keyword.span()=> ::core::file!(), ::core::line!());
        let more = match &site.name.computed {
            Some(computed) => {
                let computed = self.fill_all(computed);
                quote_spanned!(span=> .named(#computed))
            }
            None => site
                .place
                .loops
                .iter()
                .map(|part| {
                    let number = match part.in_condition {
                        true => naming::counter(part.number),
                        false => naming::iteration(part.number),
                    };
                    quote_spanned!(span=> .iteration(#number))
                })
                .collect(),
        };
        quote_spanned!(span=> #runtime::plumbing::Site::new(#name, #here) #more)
    }

    fn constraint(&self, constraint: &Constraint) -> TokenStream {
        let span = Span::mixed_site().located_at(constraint.name.span());
        let runtime = &self.model.options.runtime;
        let variant = Ident::new(constraint.variant, span);
        let ends = constraint.arguments.iter().map(|expr| self.fill_all(expr));
        let ends = match constraint.arguments.is_empty() {
            true => TokenStream::new(),
            false => quote_spanned!(span=> (#(#ends),*)),
        };
        quote_spanned!(span=> .constrained(#runtime::dist::Constraint::#variant #ends))
    }

    /// A distribution, which inside a plate is repeated for every row if it is over host numbers.
    fn rows(&self, dist: TokenStream, span: Span) -> TokenStream {
        if !self.in_plate.get() {
            return dist;
        }
        let runtime = &self.model.options.runtime;
        let (context, local) = (context(span), Ident::new("__dist", span));
        quote_spanned! {span=>
            {
                #[allow(unused_imports)]
                use #runtime::plumbing::{OwnRows as _, RepeatedRows as _};
                let #local = #dist;
                (&#runtime::plumbing::Rows::of(&#local)).kind().rows(#local, #context)
            }
        }
    }

    fn dist(&self, dist: &Dist) -> TokenStream {
        match dist {
            Dist::Family(family) => self.family(family),
            Dist::Value(value) => self.law(value),
        }
    }

    /// An expression whose value is a distribution, or several in a tuple or array.
    fn law(&self, expr: &Expr) -> TokenStream {
        let mut expr = expr.clone();
        self.spell_out(&mut expr);
        self.fill_all(&expr)
    }

    /// Calls the constructors of the library's distributions where an expression ends: in branches, in blocks, and among
    /// several.
    fn spell_out(&self, expr: &mut Expr) {
        match expr {
            Expr::If(choice) => {
                self.spell_out_end(&mut choice.then_branch);
                let otherwise = choice.else_branch.iter_mut();
                otherwise.for_each(|(_, branch)| self.spell_out(branch));
            }
            Expr::Match(choice) => {
                let arms = choice.arms.iter_mut();
                arms.for_each(|arm| self.spell_out(&mut arm.body));
            }
            Expr::Block(block) => self.spell_out_end(&mut block.block),
            Expr::Paren(inner) => self.spell_out(&mut inner.expr),
            Expr::Group(inner) => self.spell_out(&mut inner.expr),
            Expr::Tuple(several) => several.elems.iter_mut().for_each(|e| self.spell_out(e)),
            Expr::Array(several) => several.elems.iter_mut().for_each(|e| self.spell_out(e)),
            _ => {
                if let Dist::Family(family) = syntax::distribution(expr.clone())
                    && distributions::is_known(&family.name)
                {
                    *expr = Expr::Verbatim(self.family(&family));
                }
            }
        }
    }

    fn spell_out_end(&self, block: &mut Block) {
        if let Some(Stmt::Expr(end, None)) = block.stmts.last_mut() {
            self.spell_out(end);
        }
    }

    fn family(&self, family: &Family) -> TokenStream {
        match distributions::resolve(family) {
            Ok((function, arguments)) => {
                let span = Span::mixed_site().located_at(family.name.span());
                let runtime = &self.model.options.runtime;
                let function = Ident::new(function, span);
                let name = Ident::new(&family.name.to_string(), span);
                let arguments = arguments
                    .into_iter()
                    .map(|argument| self.argument(argument));
                quote_spanned!(span=> #runtime::dist::#name::#function(#(#arguments),*))
            }
            Err(error) => error.to_compile_error(),
        }
    }

    /// A parameter, which may itself be one of the library's distributions.
    fn argument(&self, argument: &Expr) -> TokenStream {
        self.law(argument)
    }
}

/// `3` of `(3)`
fn index(group: TokenTree) -> Option<usize> {
    let TokenTree::Group(group) = group else {
        return None;
    };
    group.stream().to_string().parse().ok()
}

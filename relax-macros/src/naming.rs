//! The default name of a site: the variable that it is bound to or observes.

use crate::ir::{Kind, Name, Origin};
use crate::syntax;
use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, Ident, Member, Pat};

/// What the value of the expression about to be visited is bound to.
#[derive(Clone, Default)]
pub enum Binding {
    /// Nothing that could name it.
    #[default]
    None,
    /// One variable.
    Variable(Ident),
    /// A pattern of several.
    Pattern,
}

impl Binding {
    /// What a pattern binds a value to.
    pub fn of(pattern: &Pat) -> Self {
        match pattern {
            Pat::Ident(ident) if ident.subpat.is_none() => Binding::Variable(ident.ident.clone()),
            Pat::Type(typed) => Self::of(&typed.pat),
            Pat::Paren(paren) => Self::of(&paren.pat),
            Pat::Wild(_) => Binding::None,
            _ => Binding::Pattern,
        }
    }
}

/// The name of a site: what the user wrote, the variable it is bound to, or a default.
pub fn name(keyword: &Ident, kind: &Kind, given: Option<Expr>, binding: &Binding) -> Name {
    let named = |text: &str, span, origin| Name {
        text: text.to_owned(),
        computed: None,
        span,
        origin,
    };
    let implicit = |text: &str| named(text, keyword.span(), Origin::Implicit);
    if let Some(given) = given {
        let Some(literal) = syntax::text(&given) else {
            return Name {
                span: given.span(),
                computed: Some(given),
                ..named("", keyword.span(), Origin::Computed)
            };
        };
        let origin = match kind {
            Kind::Plate(_) => Origin::Rows,
            _ => Origin::Literal,
        };
        return named(&literal.value(), literal.span(), origin);
    }
    match (kind, binding) {
        (Kind::Observe { value, .. }, _) => match observed(value) {
            Some(variable) => implicit(&variable.unraw().to_string()),
            None => implicit("obs"),
        },
        (Kind::Cost(_), _) => implicit("cost"),
        (Kind::Factor(_), _) => implicit("factor"),
        (Kind::Plate(_), _) => named("", keyword.span(), Origin::Rows),
        (_, Binding::Variable(variable)) => {
            let text = variable.unraw().to_string();
            named(
                text.trim_start_matches('_'),
                variable.span(),
                Origin::Binding,
            )
        }
        (Kind::Call(model), Binding::Pattern) => match callee(model) {
            Some(callee) => named(&callee.unraw().to_string(), callee.span(), Origin::Binding),
            None => named("", keyword.span(), Origin::Missing),
        },
        _ => named("", keyword.span(), Origin::Missing),
    }
}

/// The variable that an observed value is, or is a part of.
fn observed(value: &Expr) -> Option<&Ident> {
    match value {
        Expr::Path(path) => path.path.get_ident().filter(|ident| *ident != "self"),
        Expr::Paren(e) => observed(&e.expr),
        Expr::Group(e) => observed(&e.expr),
        Expr::Reference(e) => observed(&e.expr),
        Expr::Unary(e) if matches!(e.op, syn::UnOp::Deref(_)) => observed(&e.expr),
        Expr::MethodCall(e) if e.method == "clone" => observed(&e.receiver),
        Expr::Index(e) => observed(&e.expr),
        Expr::Field(e) => match &e.member {
            Member::Named(field) => Some(field),
            Member::Unnamed(_) => observed(&e.base),
        },
        _ => None,
    }
}

/// The function or method that a call calls.
fn callee(call: &Expr) -> Option<&Ident> {
    match syntax::bare(call) {
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
            _ => None,
        },
        Expr::MethodCall(call) => Some(&call.method),
        _ => None,
    }
}

/// The name that a variable gives to a site: an unused latent may be called `_h`.
pub fn site_name(variable: &Ident) -> String {
    variable
        .unraw()
        .to_string()
        .trim_start_matches('_')
        .to_owned()
}

/// The variable that counts the iterations of a loop, hidden from the user.
pub fn counter(number: usize) -> Ident {
    Ident::new(&format!("__loop{number}"), Span::mixed_site())
}

/// The variable that holds the number of a loop's iteration in its body.
pub fn iteration(number: usize) -> Ident {
    Ident::new(&format!("__iteration{number}"), Span::mixed_site())
}

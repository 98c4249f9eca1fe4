//! Grammar of the macros' arguments: tokens to [`Kind`], without their context.

use crate::constraints;
use crate::distributions;
use crate::errors::Errors;
use crate::ir::{Check, Constraint, Dist, Family, Kind, Plate};
use crate::suggest::{did_you_mean, list};
use proc_macro2::{TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Block, Error, Expr, ExprCall, Ident, Lit, LitStr, Macro, Path, Result, Token, token};

const KEYWORDS: [&str; 7] = [
    "sample", "observe", "param", "cost", "factor", "plate", "call",
];

/// The name of the macro if it is one of ours: `sample!`, `relax_runtime::sample!`, or a `sample!` or
/// `observe!` that was imported under another name and has a distribution of the library. The
/// expansion asks the macro itself whether it is.
pub fn keyword(invocation: &Macro) -> Option<Ident> {
    let name = &invocation.path.segments.last()?.ident;
    if KEYWORDS.iter().any(|keyword| name == keyword) {
        return Some(name.clone());
    }
    if is_standard(&name.to_string()) {
        return None;
    }
    let mut start = invocation.tokens.clone().into_iter();
    match (start.next()?, start.next()?) {
        (TokenTree::Ident(family), TokenTree::Group(_)) if distributions::is_known(&family) => {}
        _ => return None,
    }
    let arguments: Arguments = syn::parse2(invocation.tokens.clone()).ok()?;
    match arguments.values.len() {
        1 => Some(Ident::new("sample", name.span())),
        2 => Some(Ident::new("observe", name.span())),
        _ => None,
    }
}

/// The arguments of one of our macros, and the name given to it.
///
/// # Errors
/// What the macro does not accept, each at its token.
pub fn site(keyword: &Ident, invocation: &Macro) -> Result<(Kind, Option<Expr>)> {
    if keyword == "plate" {
        let plate = |input: ParseStream<'_>| plate(keyword, input);
        let (plate, name) = plate.parse2(invocation.tokens.clone())?;
        return Ok((Kind::Plate(plate), name));
    }
    let mut arguments: Arguments = syn::parse2(invocation.tokens.clone())?;
    let mut errors = Errors::default();
    let known: &[&str] = if keyword == "sample" {
        &["name", "estimator", "context"]
    } else {
        &["name"]
    };
    arguments.reject_unknown(&format!("{keyword}!"), known, &mut errors);
    let name = arguments.option("name", &mut errors);
    let estimator = arguments.option("estimator", &mut errors);
    reject_literal(
        name.as_ref(),
        "a name is text: `name = \"x\"`, or `name = format!(..)`",
        &mut errors,
    );
    reject_literal(
        estimator.as_ref(),
        "an estimator is chosen by name: `estimator = \"rloo\"`",
        &mut errors,
    );
    let context = arguments.option("context", &mut errors);
    errors.finish()?;
    let kind = match keyword.to_string().as_str() {
        "sample" => {
            let [dist] = arguments.values(keyword, "a distribution: `sample!(Bernoulli(0.5))`")?;
            Kind::Sample {
                dist: distribution(dist),
                estimator,
                context,
            }
        }
        "observe" => {
            let wanted = "a distribution and a value: `observe!(Bernoulli(p), x)`";
            let [dist, value] = arguments.values(keyword, wanted)?;
            Kind::Observe {
                dist: distribution(dist),
                value,
            }
        }
        "param" => {
            let constraint = match arguments.values.len() {
                2 => arguments.values.pop().map(constraint).transpose()?,
                _ => None,
            };
            let [init] = arguments.values(keyword, "an initial value: `param!(0.0)`")?;
            Kind::Param { init, constraint }
        }
        "cost" => {
            let [value] = arguments.values(keyword, "a value: `cost!(loss)`")?;
            if let Some(text) = text(&value) {
                let wanted = "a cost is a number or a tensor: `cost!(loss)`; a name follows it, \
                              `cost!(loss, name = \"x\")`";
                return Err(Error::new(text.span(), wanted));
            }
            Kind::Cost(value)
        }
        "factor" => {
            let [value] = arguments.values(keyword, "a log-weight: `factor!(-energy)`")?;
            if let Some(text) = text(&value) {
                let wanted = "a log-weight is a number or a tensor: `factor!(-energy)`; a name \
                              follows it, `factor!(-energy, name = \"x\")`";
                return Err(Error::new(text.span(), wanted));
            }
            Kind::Factor(value)
        }
        _ => {
            let [model] = arguments.values(keyword, "a model: `call!(prior(x))`")?;
            Kind::Call(model)
        }
    };
    Ok((kind, name))
}

/// The arguments of `#[model(..)]` itself: `crate = path` and `check` or `check(..)`.
///
/// # Errors
/// Anything else, at its token.
pub fn attribute(arguments: TokenStream) -> Result<(Option<Path>, Option<Check>)> {
    const WANTED: &str = "`#[model]` takes `check` and `crate`: write `#[model]`, \
         `#[model(check)]` for a test of the model's gradients, or `#[model(crate = path)]` where \
         `relax_runtime` has another name";
    let parsed = |input: ParseStream<'_>| {
        let (mut runtime, mut check) = (None, None);
        while !input.is_empty() {
            if input.peek(Token![crate]) {
                input.parse::<Token![crate]>()?;
                input.parse::<Token![=]>()?;
                runtime = Some(input.call(Path::parse_mod_style)?);
            } else if !input.peek(Ident) {
                return Err(input.error(WANTED));
            } else {
                let keyword: Ident = input.parse()?;
                if keyword != "check" {
                    let hint = did_you_mean(&keyword.to_string(), ["check", "crate"]);
                    return Err(Error::new(keyword.span(), format!("{WANTED}{hint}")));
                }
                let mut given = TokenStream::new();
                if input.peek(token::Paren) {
                    let inside;
                    syn::parenthesized!(inside in input);
                    given = inside.parse()?;
                }
                check = Some(checked(keyword, given)?);
            }
            if !input.is_empty() && input.parse::<Option<Token![,]>>()?.is_none() {
                return Err(input.error(WANTED));
            }
        }
        Ok((runtime, check))
    };
    parsed.parse2(arguments)
}

fn checked(keyword: Ident, given: TokenStream) -> Result<Check> {
    let mut given: Arguments = syn::parse2(given)?;
    let mut errors = Errors::default();
    given.reject_unknown("check", &["guide", "draws"], &mut errors);
    let guide = given.option("guide", &mut errors);
    let draws = given.option("draws", &mut errors);
    errors.finish()?;
    Ok(Check {
        keyword,
        values: given.values,
        guide,
        draws,
    })
}

/// `value, value, key = value, ..`
struct Arguments {
    values: Vec<Expr>,
    options: Vec<(Ident, Expr)>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut values, mut options) = (Vec::new(), Vec::new());
        while !input.is_empty() {
            match keyed(input.parse()?) {
                (Some(key), value) => options.push((key, value)),
                (None, value) if options.is_empty() => values.push(value),
                (None, value) => {
                    return Err(Error::new_spanned(value, "write this before the options"));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Self { values, options })
    }
}

impl Arguments {
    fn values<const N: usize>(self, keyword: &Ident, wanted: &str) -> Result<[Expr; N]> {
        self.values
            .try_into()
            .map_err(|_| Error::new(keyword.span(), format!("`{keyword}!` takes {wanted}")))
    }

    fn option(&mut self, key: &str, errors: &mut Errors) -> Option<Expr> {
        let (matching, rest) = std::mem::take(&mut self.options)
            .into_iter()
            .partition(|(name, _)| name == key);
        self.options = rest;
        let mut matching: std::vec::IntoIter<(Ident, Expr)> = Vec::into_iter(matching);
        let first = matching.next();
        for (again, _) in matching {
            errors.at(again.span(), format_args!("`{again}` is given twice"));
        }
        first.map(|(_, value)| value)
    }

    fn reject_unknown(&self, place: &str, known: &[&str], errors: &mut Errors) {
        for (key, _) in &self.options {
            if !known.iter().any(|known| key == known) {
                let hint = did_you_mean(&key.to_string(), known.iter().copied());
                let known = list(known.iter().copied());
                errors.at(
                    key.span(),
                    format_args!("`{place}` has no option `{key}`{hint} (it has {known})"),
                );
            }
        }
    }
}

/// Splits `key = value`, which Rust reads as an assignment.
fn keyed(expr: Expr) -> (Option<Ident>, Expr) {
    match expr {
        Expr::Assign(assign) => match plain_identifier(&assign.left) {
            Some(key) => (Some(key.clone()), *assign.right),
            None => (None, Expr::Assign(assign)),
        },
        expr => (None, expr),
    }
}

/// The expression inside the invisible groups in which `macro_rules!` passes fragments on.
pub fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Group(group) = expr {
        expr = &group.expr;
    }
    expr
}

/// The identifier that the expression consists of.
pub fn plain_identifier(expr: &Expr) -> Option<&Ident> {
    match bare(expr) {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    }
}

/// The text of a string literal.
pub fn text(expr: &Expr) -> Option<&LitStr> {
    match bare(expr) {
        Expr::Lit(syn::ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text),
        _ => None,
    }
}

/// An error for a literal that is not text, such as a number.
fn reject_literal(value: Option<&Expr>, message: &str, errors: &mut Errors) {
    if let Some(value) = value
        && matches!(bare(value), Expr::Lit(_))
        && text(value).is_none()
    {
        errors.push(Error::new_spanned(value, message));
    }
}

/// `positive`, or `interval(low, high)`.
fn constraint(expr: Expr) -> Result<Constraint> {
    let (called, arguments) = match bare(&expr) {
        Expr::Call(call) => (&*call.func, call.args.iter().cloned().collect()),
        other => (other, Vec::new()),
    };
    match plain_identifier(called) {
        Some(name) => constraints::resolve(name, arguments, &expr),
        None => {
            let message = format!(
                "a constraint follows the initial value, as in `param!(1.0, positive)`: {}",
                constraints::names()
            );
            Err(Error::new_spanned(&expr, message))
        }
    }
}

/// A call of one capitalized name is a distribution of the library; anything else is a value.
pub fn distribution(expr: Expr) -> Dist {
    let Expr::Call(ExprCall { func, args, .. }) = bare(&expr) else {
        return Dist::Value(expr);
    };
    match plain_identifier(func) {
        Some(name) if name.to_string().starts_with(char::is_uppercase) => {
            let arguments: Vec<_> = args.iter().cloned().map(keyed).collect();
            let has_keywords = arguments.iter().any(|(key, _)| key.is_some());
            if !has_keywords && !distributions::is_meant(name) {
                // A constructor of the user's, if there is one in scope.
                return Dist::Value(expr);
            }
            Dist::Family(Family {
                name: name.clone(),
                arguments,
            })
        }
        _ => Dist::Value(expr),
    }
}

/// `rows => { .. }`, `rows, { .. }`, with options `of = total` and `name = ".."` after the rows.
fn plate(keyword: &Ident, input: ParseStream<'_>) -> Result<(Plate, Option<Expr>)> {
    const WANTED: &str = "`plate!` takes a number of rows and a block: `plate!(n => { .. })`, or \
         `plate!(n, of = total => { .. })` for a subsample";
    if input.is_empty() {
        return Err(Error::new(keyword.span(), WANTED));
    }
    let rows = input.parse()?;
    let (mut total, mut name) = (None, None);
    while input.peek(Token![,]) {
        input.parse::<Token![,]>()?;
        if !(input.peek(Ident) && input.peek2(Token![=])) {
            break;
        }
        let key: Ident = input.parse()?;
        input.parse::<Token![=]>()?;
        let slot = match key.to_string().as_str() {
            "of" => &mut total,
            "name" => &mut name,
            other => {
                let hint = did_you_mean(other, ["of", "name"]);
                let message =
                    format!("`plate!` has no option `{key}`{hint} (it has `of` and `name`)");
                return Err(Error::new(key.span(), message));
            }
        };
        let value: Expr = input.parse()?;
        if key == "name" && text(&value).is_none() {
            let message = "the name of a plate's rows is a string literal: `name = \"rows\"`";
            return Err(Error::new_spanned(value, message));
        }
        if slot.replace(value).is_some() {
            return Err(Error::new(key.span(), format!("`{key}` is given twice")));
        }
    }
    if input.peek(Token![=>]) {
        input.parse::<Token![=>]>()?;
    }
    if !input.peek(token::Brace) {
        let span = if input.is_empty() {
            keyword.span()
        } else {
            input.span()
        };
        return Err(Error::new(span, WANTED));
    }
    let body: Block = input.parse()?;
    input.parse::<Option<Token![,]>>()?;
    Ok((Plate { rows, total, body }, name))
}

/// A piece of the arguments of a macro of the standard library.
pub enum Piece {
    /// An expression.
    Expr(Expr),
    /// A separator, or a pattern.
    Tokens(TokenStream),
}

/// Whether a macro of the standard library that takes expressions has this name.
fn is_standard(name: &str) -> bool {
    const PRINTING: [&str; 7] = [
        "print", "println", "eprint", "eprintln", "format", "write", "writeln",
    ];
    const CHECKING: [&str; 7] = [
        "assert",
        "assert_eq",
        "assert_ne",
        "panic",
        "dbg",
        "vec",
        "matches",
    ];
    PRINTING.contains(&name) || CHECKING.contains(&name.strip_prefix("debug_").unwrap_or(name))
}

/// The arguments of `vec!`, `println!` and the like; `None` for other macros, whose arguments
/// may mean anything.
pub fn standard_macro(invocation: &Macro) -> Option<Vec<Piece>> {
    let name = invocation.path.segments.last()?.ident.to_string();
    if !is_standard(&name) {
        return None;
    }
    let pieces = |input: ParseStream<'_>| {
        let mut pieces = Vec::new();
        while !input.is_empty() {
            pieces.push(Piece::Expr(input.parse()?));
            if name == "matches" {
                pieces.push(Piece::Tokens(input.parse()?));
            } else if !input.is_empty() {
                pieces.push(Piece::Tokens(input.parse::<TokenTree>()?.into()));
            }
        }
        Ok(pieces)
    };
    pieces.parse2(invocation.tokens.clone()).ok()
}

//! Grammar of the macros' arguments: tokens to [`Kind`], without looking around them.

use crate::errors::Errors;
use crate::ir::{Check, Dist, Family, Kind, Plate};
use crate::suggest::{did_you_mean, list};
use proc_macro2::{TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Block, Error, Expr, ExprCall, Ident, Lit, LitStr, Macro, Path, Result, Token, token};

const KEYWORDS: [&str; 6] = ["sample", "observe", "param", "cost", "plate", "call"];

/// The name of the macro if it is one of ours: `sample!` or `relax_runtime::sample!`.
pub fn keyword(path: &Path) -> Option<&Ident> {
    let name = &path.segments.last()?.ident;
    let ours = path.segments.len() == 1 || path.segments[0].ident == "relax_runtime";
    (ours && KEYWORDS.iter().any(|keyword| name == keyword)).then_some(name)
}

/// The arguments of one of our macros, and the name given to it.
///
/// # Errors
/// What the macro does not accept, each at its token.
pub fn site(keyword: &Ident, invocation: &Macro) -> Result<(Kind, Option<LitStr>)> {
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
    let name = arguments
        .option("name", &mut errors)
        .and_then(|value| literal(value, &mut errors));
    let estimator = arguments.option("estimator", &mut errors);
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
            let [init] = arguments.values(keyword, "an initial value: `param!(0.0)`")?;
            Kind::Param(init)
        }
        "cost" => {
            let [value] = arguments.values(keyword, "a value: `cost!(loss)`")?;
            Kind::Cost(value)
        }
        _ => {
            let [model] = arguments.values(keyword, "a model: `call!(prior(x))`")?;
            Kind::Call(model)
        }
    };
    Ok((kind, name))
}

/// The arguments of `#[model(..)]` itself.
///
/// # Errors
/// Anything but `check` and `check(..)`, at its token.
pub fn attribute(arguments: TokenStream) -> Result<Option<Check>> {
    const WANTED: &str = "`#[model]` takes nothing but `check`: write `#[model]`, or \
         `#[model(check)]` for a test of the model's gradients";
    if arguments.is_empty() {
        return Ok(None);
    }
    let checked = |input: ParseStream<'_>| {
        let keyword: Ident = input.parse()?;
        if keyword != "check" {
            let hint = did_you_mean(&keyword.to_string(), ["check"]);
            return Err(Error::new(keyword.span(), format!("{WANTED}{hint}")));
        }
        let mut given = TokenStream::new();
        if input.peek(token::Paren) {
            let inside;
            syn::parenthesized!(inside in input);
            given = inside.parse()?;
        }
        input.parse::<Option<Token![,]>>()?;
        if input.is_empty() {
            return Ok((keyword, given));
        }
        Err(input.error(WANTED))
    };
    let (keyword, given) = checked.parse2(arguments)?;
    let mut given: Arguments = syn::parse2(given)?;
    let mut errors = Errors::default();
    given.reject_unknown("check", &["guide", "draws"], &mut errors);
    let guide = given.option("guide", &mut errors);
    let draws = given.option("draws", &mut errors);
    errors.finish()?;
    Ok(Some(Check {
        keyword,
        values: given.values,
        guide,
        draws,
    }))
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

/// The identifier that the expression consists of.
pub fn plain_identifier(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    }
}

fn literal(value: Expr, errors: &mut Errors) -> Option<LitStr> {
    match value {
        Expr::Lit(syn::ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Some(text),
        other => {
            errors.push(Error::new_spanned(
                other,
                "a name is a string literal, known when the model is compiled: `name = \"x\"`",
            ));
            None
        }
    }
}

/// A call of one capitalised name is a distribution of the library; all else is a value.
fn distribution(expr: Expr) -> Dist {
    let Expr::Call(ExprCall { func, args, .. }) = &expr else {
        return Dist::Value(expr);
    };
    match plain_identifier(func) {
        Some(name) if name.to_string().starts_with(char::is_uppercase) => {
            let arguments = args.iter().cloned().map(keyed).collect();
            Dist::Family(Family {
                name: name.clone(),
                arguments,
            })
        }
        _ => Dist::Value(expr),
    }
}

/// `rows => { .. }`, `rows, { .. }`, with options `of = total` and `name = ".."` behind the rows.
fn plate(keyword: &Ident, input: ParseStream<'_>) -> Result<(Plate, Option<LitStr>)> {
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
        match key.to_string().as_str() {
            "of" => total = Some(input.parse()?),
            "name" => name = Some(input.parse()?),
            other => {
                let hint = did_you_mean(other, ["of", "name"]);
                let message =
                    format!("`plate!` has no option `{key}`{hint} (it has `of` and `name`)");
                return Err(Error::new(key.span(), message));
            }
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

/// The arguments of `vec!`, `println!` and their like; nothing for other macros, whose arguments
/// may mean anything.
pub fn standard_macro(invocation: &Macro) -> Option<Vec<Piece>> {
    let name = invocation.path.segments.last()?.ident.to_string();
    let printing = [
        "print", "println", "eprint", "eprintln", "format", "write", "writeln",
    ];
    let checking = [
        "assert",
        "assert_eq",
        "assert_ne",
        "panic",
        "dbg",
        "vec",
        "matches",
    ];
    let checking_name = name.strip_prefix("debug_").unwrap_or(&name);
    if !printing.contains(&name.as_str()) && !checking.contains(&checking_name) {
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

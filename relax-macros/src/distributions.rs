//! The table of distributions: what users write, and the constructor that it calls.

use crate::ir::Family;
use crate::suggest::{did_you_mean, list};
use syn::{Error, Expr, Result};

/// Constructors of a distribution; positional arguments belong to the first one, or to another one that
/// begins with the same parameters.
struct Row {
    name: &'static str,
    constructors: &'static [Constructor],
}

/// A function of the distribution's type, and the keywords of its arguments in order.
struct Constructor {
    function: &'static str,
    parameters: &'static [&'static str],
}

const fn constructor(function: &'static str, parameters: &'static [&'static str]) -> Constructor {
    Constructor {
        function,
        parameters,
    }
}

const PROBS_OR_LOGITS: &[Constructor] = &[
    constructor("probs", &["probs"]),
    constructor("logits", &["logits"]),
];

const fn row(name: &'static str, constructors: &'static [Constructor]) -> Row {
    Row { name, constructors }
}

/// One row per distribution.
const TABLE: &[Row] = &[
    row("Bernoulli", PROBS_OR_LOGITS),
    row("Categorical", PROBS_OR_LOGITS),
    row("OneHotCategorical", PROBS_OR_LOGITS),
    row("Normal", &[constructor("new", &["loc", "scale"])]),
    row(
        "Beta",
        &[constructor("new", &["concentration1", "concentration0"])],
    ),
    row("Cauchy", &[constructor("new", &["loc", "scale"])]),
    row("Delta", &[constructor("new", &["value"])]),
    row("Dirichlet", &[constructor("new", &["concentration"])]),
    row("Exponential", &[constructor("new", &["rate"])]),
    row("Gamma", &[constructor("new", &["concentration", "rate"])]),
    row("Gumbel", &[constructor("new", &["loc", "scale"])]),
    row("HalfCauchy", &[constructor("new", &["scale"])]),
    row("HalfNormal", &[constructor("new", &["scale"])]),
    row(
        "InverseGamma",
        &[constructor("new", &["concentration", "scale"])],
    ),
    row("Laplace", &[constructor("new", &["loc", "scale"])]),
    row("Logistic", &[constructor("new", &["loc", "scale"])]),
    row("LogNormal", &[constructor("new", &["loc", "scale"])]),
    row("Mixture", &[constructor("new", &["weights", "components"])]),
    row(
        "MultivariateNormal",
        &[constructor("new", &["loc", "scale_tril"])],
    ),
    row("StudentT", &[constructor("new", &["df", "loc", "scale"])]),
    row("Truncated", &[constructor("new", &["base", "low", "high"])]),
    row("Uniform", &[constructor("new", &["low", "high"])]),
    row(
        "BetaBinomial",
        &[constructor(
            "new",
            &["concentration1", "concentration0", "total_count"],
        )],
    ),
    row(
        "Binomial",
        &[
            constructor("probs", &["total_count", "probs"]),
            constructor("logits", &["total_count", "logits"]),
        ],
    ),
    row("DiscreteUniform", &[constructor("new", &["low", "high"])]),
    row("Geometric", PROBS_OR_LOGITS),
    row(
        "Hypergeometric",
        &[constructor("new", &["total", "successes", "draws"])],
    ),
    row(
        "Multinomial",
        &[
            constructor("probs", &["total_count", "probs"]),
            constructor("logits", &["total_count", "logits"]),
        ],
    ),
    row(
        "NegativeBinomial",
        &[
            constructor("probs", &["total_count", "probs"]),
            constructor("logits", &["total_count", "logits"]),
            constructor("mean", &["mean", "concentration"]),
        ],
    ),
    row(
        "OrderedLogistic",
        &[constructor("new", &["predictor", "cutpoints"])],
    ),
    row(
        "Poisson",
        &[
            constructor("rate", &["rate"]),
            constructor("log_rate", &["log_rate"]),
        ],
    ),
    row("ZeroInflated", &[constructor("gate", &["gate", "base"])]),
];

/// Parameters that are distributions themselves.
const LAWS: &[&str] = &["base", "components"];

/// Whether the library has a distribution of this name.
pub fn is_known(name: &syn::Ident) -> bool {
    TABLE.iter().any(|row| name == row.name)
}

/// Whether a name is one of the library's distributions, or was probably meant to be.
pub fn is_meant(name: &syn::Ident) -> bool {
    is_known(name) || !did_you_mean(&name.to_string(), TABLE.iter().map(|row| row.name)).is_empty()
}

/// The constructor of a distribution, and its arguments in order.
///
/// # Errors
/// At the user's token: an unknown distribution or keyword, a keyword given twice, keywords that
/// exclude each other, a wrong number of arguments, or a distribution in place of a number.
pub fn resolve(family: &Family) -> Result<(&'static str, Vec<&Expr>)> {
    let row = find(family)?;
    let constructor = choose(row, family)?;
    let mut slots = vec![None; constructor.parameters.len()];
    let mut surplus = 0;
    for (position, (key, value)) in family.arguments.iter().enumerate() {
        let slot = match key {
            Some(key) => constructor
                .parameters
                .iter()
                .position(|parameter| key == parameter),
            None => Some(position),
        };
        let Some(slot) = slot.filter(|slot| *slot < slots.len()) else {
            surplus += 1;
            continue;
        };
        if slots[slot].replace(value).is_some() {
            let parameter = constructor.parameters[slot];
            return Err(Error::new_spanned(
                value,
                format!("`{parameter}` is given twice"),
            ));
        }
    }
    let given: Vec<&Expr> = slots.iter().copied().flatten().collect();
    if surplus > 0 || given.len() < slots.len() {
        return Err(Error::new(
            family.name.span(),
            wrong_number(row, constructor, family),
        ));
    }
    for (parameter, value) in constructor.parameters.iter().zip(&given) {
        if is_law(value) && !LAWS.contains(parameter) {
            return Err(Error::new_spanned(
                value,
                law_for_number(row, constructor, parameter),
            ));
        }
    }
    Ok((constructor.function, given))
}

/// Whether an expression is one of the library's distributions, `Poisson(..)` or `Poisson::rate(..)`.
fn is_law(expr: &Expr) -> bool {
    let call = match expr {
        Expr::Paren(inner) => return is_law(&inner.expr),
        Expr::Group(inner) => return is_law(&inner.expr),
        Expr::Call(call) => call,
        _ => return false,
    };
    let Expr::Path(path) = &*call.func else {
        return false;
    };
    let mut segments = path.path.segments.iter().map(|segment| &segment.ident);
    let (name, function) = (segments.next(), segments.next());
    let mut rows = TABLE.iter();
    let Some(row) = name.and_then(|name| rows.find(|row| name == row.name)) else {
        return false;
    };
    let is_constructor = |function| row.constructors.iter().any(|c| function == c.function);
    segments.next().is_none() && function.is_none_or(is_constructor)
}

/// The advice for a distribution in place of a number: the order of the arguments, or to draw it first.
fn law_for_number(row: &Row, constructor: &Constructor, parameter: &str) -> String {
    let name = row.name;
    let is_law = |parameter: &&&str| LAWS.contains(parameter);
    match constructor.parameters.iter().find(is_law) {
        Some(law) => format!(
            "this distribution is `{law}` of `{name}`, but this argument is `{parameter}`; write `{name}({})` or {}",
            constructor.parameters.join(", "),
            keywords(row, constructor),
        ),
        None => format!(
            "`{parameter}` of `{name}` is not a distribution; draw it first, `let {parameter} = sample!(..)`, and \
             write its name here"
        ),
    }
}

fn find(family: &Family) -> Result<&'static Row> {
    TABLE
        .iter()
        .find(|row| family.name == row.name)
        .ok_or_else(|| {
            let name = &family.name;
            let names = || TABLE.iter().map(|row| row.name);
            let hint = match did_you_mean(&name.to_string(), names()) {
                hint if hint.is_empty() => format!(
                    "; the library has {}, whose parameters have keywords; call the constructor of a \
                     distribution of your own without",
                    list(names())
                ),
                hint if family.arguments.iter().any(|(key, _)| key.is_some()) => hint,
                // Without keywords it may be a user's function or tuple: a macro cannot tell.
                hint => format!("{hint} (a constructor of your own: `self::{name}(..)`)"),
            };
            Error::new(
                name.span(),
                format!("no distribution is called `{name}`{hint}"),
            )
        })
}

fn choose(row: &'static Row, family: &Family) -> Result<&'static Constructor> {
    let parameters = || {
        row.constructors
            .iter()
            .flat_map(|c| c.parameters.iter().copied())
    };
    for key in family.arguments.iter().filter_map(|(key, _)| key.as_ref()) {
        if !parameters().any(|parameter| key == parameter) {
            let hint = did_you_mean(&key.to_string(), parameters());
            let mut known = Vec::new();
            parameters().for_each(|p| {
                if !known.contains(&p) {
                    known.push(p);
                }
            });
            let known = list(known);
            let name = row.name;
            return Err(Error::new(
                key.span(),
                format!("`{name}` has no parameter `{key}`{hint} (it has {known})"),
            ));
        }
    }
    let first = &row.constructors[0];
    let accepts = |c: &Constructor, place: usize, key: &Option<syn::Ident>| match key {
        Some(key) => c.parameters.iter().any(|parameter| key == parameter),
        None => {
            c.function == first.function || c.parameters.get(place) == first.parameters.get(place)
        }
    };
    let all = |c: &&Constructor| {
        let mut arguments = family.arguments.iter().enumerate();
        arguments.all(|(place, (key, _))| accepts(c, place, key))
    };
    row.constructors.iter().find(all).ok_or_else(|| {
        let forms: Vec<String> = row.constructors.iter().map(|c| keywords(row, c)).collect();
        Error::new(
            family.name.span(),
            format!(
                "these parameters exclude each other; write {}",
                forms.join(" or ")
            ),
        )
    })
}

/// `` `Bernoulli(logits = ..)` ``
fn keywords(row: &Row, constructor: &Constructor) -> String {
    let keys: Vec<String> = constructor
        .parameters
        .iter()
        .map(|key| format!("{key} = .."))
        .collect();
    format!("`{}({})`", row.name, keys.join(", "))
}

fn wrong_number(row: &Row, constructor: &Constructor, family: &Family) -> String {
    let wanted = constructor.parameters.len();
    let plural = if wanted == 1 { "" } else { "s" };
    format!(
        "`{}` takes {wanted} argument{plural}, not {}; write `{}({})` or {}",
        row.name,
        family.arguments.len(),
        row.name,
        constructor.parameters.join(", "),
        keywords(row, constructor),
    )
}

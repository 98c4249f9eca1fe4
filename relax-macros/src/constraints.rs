//! The table of constraints: what users write after a parameter's first value, and the runtime's type for it.

use crate::ir::Constraint;
use crate::suggest::{did_you_mean, list};
use syn::{Error, Expr, Ident, Result};

/// The sets that a parameter's values may stay in, and the runtime's names for them.
const CONSTRAINTS: [(&str, &str); 7] = [
    ("positive", "Positive"),
    ("unit", "Unit"),
    ("simplex", "Simplex"),
    ("ordered", "Ordered"),
    ("positive_ordered", "PositiveOrdered"),
    ("lower_cholesky", "LowerCholesky"),
    ("interval", "Interval"),
];

/// Looks up the constraint of this name; `whole` is everything that the user wrote.
///
/// # Errors
/// At the user's token: an unknown name, or ends that are missing or not wanted.
pub fn resolve(name: &Ident, arguments: Vec<Expr>, whole: &Expr) -> Result<Constraint> {
    let Some((_, variant)) = CONSTRAINTS.iter().find(|(known, _)| name == known) else {
        let hint = did_you_mean(&name.to_string(), CONSTRAINTS.map(|(name, _)| name));
        let message = format!(
            "no constraint is called `{name}`{hint} (there are {})",
            names()
        );
        return Err(Error::new(name.span(), message));
    };
    let wanted = if name == "interval" { 2 } else { 0 };
    if arguments.len() != wanted {
        let message = match wanted {
            0 => format!("`{name}` takes no arguments: `param!(.., {name})`"),
            _ => "`interval` takes its two ends: `param!(1.0, interval(0.0, 2.0))`".into(),
        };
        return Err(Error::new_spanned(whole, message));
    }
    Ok(Constraint {
        name: name.clone(),
        variant,
        arguments,
    })
}

/// All names.
pub fn names() -> String {
    list(CONSTRAINTS.map(|(name, _)| name))
}

//! Nested brackets by a grammar that calls itself, S → ( S ) S | nothing, read through a scanner that misreads one sign
//! in ten.
//!
//! The probability of each text follows from those of its parts, by recursion.

use std::collections::BTreeMap;

use relax_runtime::prelude::*;

use crate::known::{fit, near};
use crate::program::Outcome;

const DEPTH: usize = 3;
const OPENS: f64 = 0.6;
/// What the scanner saw, on a page of as many signs as there can be.
const PAGE: &str = "(())()(       ";
const SIGNS: [char; 3] = ['(', ')', ' '];

#[model]
fn brackets(depth: usize) -> String {
    let opens = sample!(Bernoulli(if depth > 0 { OPENS } else { 0.0 }));
    if opens {
        let inside = call!(brackets(depth - 1));
        let after = call!(brackets(depth - 1));
        format!("({inside}){after}")
    } else {
        String::new()
    }
}

/// What the scanner makes of the sign at a place.
fn scanned(text: &str, at: usize) -> [f64; 3] {
    let sign = text.chars().nth(at).unwrap_or(' ');
    SIGNS.map(|seen| if seen == sign { 0.9 } else { 0.05 })
}

#[model]
fn page(seen: &str) {
    let text = call!(brackets(DEPTH));
    for (at, seen) in seen.chars().enumerate() {
        let sign = SIGNS.iter().position(|&sign| sign == seen).unwrap_or(2);
        observe!(Categorical(scanned(&text, at)), sign);
    }
}

/// How likely each text is.
fn texts(depth: usize) -> BTreeMap<String, f64> {
    if depth == 0 {
        return BTreeMap::from([(String::new(), 1.0)]);
    }
    let parts = texts(depth - 1);
    let mut all = BTreeMap::from([(String::new(), 1.0 - OPENS)]);
    for (inside, p) in &parts {
        for (after, q) in &parts {
            *all.entry(format!("({inside}){after}")).or_default() += OPENS * p * q;
        }
    }
    all
}

pub(crate) fn run() -> Outcome<()> {
    let fit = fit(&page(PAGE))?;
    let joint = |(text, p): (String, f64)| {
        let seen = PAGE.chars().enumerate();
        let terms = seen.map(|(at, seen)| {
            let sign = SIGNS.iter().position(|&sign| sign == seen).unwrap_or(2);
            scanned(&text, at)[sign]
        });
        (p * terms.product::<f64>(), text)
    };
    let all: Vec<_> = texts(DEPTH).into_iter().map(joint).collect();
    let evidence: f64 = all.iter().map(|(p, _)| p).sum();
    near(
        "ln P(page)",
        fit.posterior().log_evidence().elbo,
        evidence.ln(),
        1e-5,
    )?;
    let nested = all.iter().filter(|(_, text)| text.starts_with("(("));
    let nested: f64 = nested.map(|(p, _)| p / evidence).sum();
    near(
        "P(the first pair holds another)",
        fit.posterior().mean("text/inside/opens")?,
        nested,
        1e-5,
    )
}

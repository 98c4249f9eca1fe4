//! Random functions through the expansion: whatever is written, it ends, does not panic, and gives
//! Rust back; and valid functions are not rejected.
//!
//! `RELAX_FUZZ_CASES=1000000 cargo test --release -p relax-macros fuzz` runs longer than by default.

use crate::expand;
use crate::ir::HOLE;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::time::{Duration, Instant};

/// No function of the sizes here takes longer, on a slow machine without optimization.
const LONGEST: Duration = Duration::from_secs(20);

fn configured() -> ProptestConfig {
    let cases = std::env::var("RELAX_FUZZ_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(150),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    }
}

/// Replaces `#` in a text by the number of the place, so that every name is unique.
fn numbered(text: &str) -> String {
    let mut pieces = text.split('#');
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for (number, piece) in pieces.enumerate() {
        whole.push_str(&number.to_string());
        whole.push_str(piece);
    }
    whole
}

fn expression() -> impl Strategy<Value = String> + Clone {
    let leaf = select(vec![
        "x",
        "1.5",
        "&x",
        "data[0].y",
        "self::f(x)?",
        "{ x }",
        "(1, x)",
        "|x| x + 1",
        "x.g::<T>()",
        "vec![x; 2]",
        "\"text\"",
        "..",
        "-x",
        "[x, y]",
        "S { a: x }",
        "return x",
        "__relax_hole",
        "unsafe { x }",
        "async { x }",
        "break",
        "(x)",
        "x as f64",
        "loop {}",
        "format!(\"{x}\")",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let site = (distribution(inner.clone()), inner.clone(), inner.clone());
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) + ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!(
                "if ({a}) {{ {b} }} else if x {{ {a} }} else {{ {b} }}"
            )),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("match ({a}) {{ 0 if ({b}) => {a}, _ => {{ {b} }} }}")),
            site.prop_map(|(d, a, b)| format!(
                "(sample!({d}, name = \"s#\", context = ({a})), {b})"
            )),
            inner
                .clone()
                .prop_map(|a| format!("param!(({a}), name = \"s#\").f(({a}))")),
            inner
                .clone()
                .prop_map(|a| format!("call!(({a}), name = \"s#\")?")),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("plate!(({a}), of = ({b}) => {{ {a} }})")),
            inner
                .clone()
                .prop_map(|a| format!("println!(\"{{}}\", ({a}))")),
            inner
                .clone()
                .prop_map(|a| format!("'a: loop {{ break 'a ({a}); }}")),
            inner.prop_map(|a| format!("foreign!(({a}))")),
        ]
    })
}

fn distribution(inner: impl Strategy<Value = String> + Clone) -> impl Strategy<Value = String> {
    prop_oneof![
        inner.clone().prop_map(|a| format!("Bernoulli(({a}))")),
        inner
            .clone()
            .prop_map(|a| format!("Categorical(logits = ({a}))")),
        (inner.clone(), inner.clone())
            .prop_map(|(a, b)| format!("Normal(scale = ({a}), loc = ({b}))")),
        inner.prop_map(|a| format!("own::distribution(({a}))")),
    ]
}

fn statement() -> impl Strategy<Value = String> + Clone {
    let e = expression;
    let leaf = prop_oneof![
        distribution(e()).prop_map(|d| format!("let s# = sample!({d});")),
        (distribution(e()), e()).prop_map(|(d, a)| format!("observe!({d}, ({a}));")),
        e().prop_map(|a| format!("let mut s#: f64 = param!(({a}));")),
        e().prop_map(|a| format!("cost!(({a}));")),
        e().prop_map(|a| format!("factor!(({a}));")),
        e().prop_map(|a| format!("let (a, b) = call!(({a}), name = \"s#\");")),
        e().prop_map(|a| format!("cost!(({a}), name = format!(\"{{x}}\"));")),
        e().prop_map(|a| format!("let Some(y) = ({a}) else {{ return y; }};")),
        e().prop_map(|a| format!("plate!(({a}), name = \"rows\", {{ cost!(({a})) }}) + 1;")),
        e().prop_map(|a| format!("#[cfg(test)] let t = sample!(Bernoulli(({a})));")),
        Just("#[cfg(not(test))] observe!(Bernoulli(0.5), y);".to_owned()),
        Just("fn inner() { x } struct S; use a::b;".to_owned()),
        e().prop_map(|a| format!("x = ({a});")),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        let block = || proptest::collection::vec(inner.clone(), 0..4).prop_map(|all| all.concat());
        prop_oneof![
            (e(), block()).prop_map(|(a, b)| format!("for x in ({a}) {{ {b} }}")),
            (e(), block()).prop_map(|(a, b)| format!("'l: while ({a}) {{ {b} continue 'l; }}")),
            (block(), e()).prop_map(|(b, a)| format!("while let Some(x) = ({a}) {{ {b} }}")),
            block().prop_map(|b| format!("loop {{ {b} break; }}")),
            (e(), block(), block())
                .prop_map(|(a, b, c)| format!("if ({a}) {{ {b} }} else if let 1 = x {{ {c} }}")),
            (e(), block(), block())
                .prop_map(|(a, b, c)| format!("match ({a}) {{ 0 => {{ {b} }} _ => {{ {c} }} }}")),
            (e(), block()).prop_map(|(a, b)| format!("plate!(({a}) => {{ {b} }});")),
            block().prop_map(|b| format!("{{ {b} }}")),
        ]
    })
}

/// A function that is valid as far as the macro can tell.
fn function() -> impl Strategy<Value = String> {
    let heads = vec![
        "fn f()",
        "pub(crate) fn f(mut x: f64, _: &T) -> f64",
        "fn f<'a, T: Clone>(&self, #[allow(unused)] x: &'a [T]) -> Result<T> where T: D",
        "#[inline] /// Words.\n fn r#fn(#[cfg(test)] x: impl Fn(f64) -> f64 + Clone) -> Option<u8>",
        "fn f(x: Box<dyn M>) -> (Outcome<f64>, [f64; 2])",
    ];
    let body = proptest::collection::vec(statement(), 0..8).prop_map(|all| all.concat());
    (select(heads), body, proptest::option::of(expression())).prop_map(|(head, body, last)| {
        numbered(&format!(
            "{} {{ {body} {} }}",
            head.replace("#[", "\u{1}["),
            last.unwrap_or_default()
        ))
        .replace('\u{1}', "#")
    })
}

/// The expansion, which ends soon and is Rust if the function was.
fn checked(item: TokenStream) -> Result<String, TestCaseError> {
    let is_function = syn::parse2::<syn::ItemFn>(item.clone()).is_ok();
    let has_hole = item.to_string().contains(HOLE);
    let begun = Instant::now();
    let expansion = expand(TokenStream::new(), item.clone());
    prop_assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
    let text = expansion.to_string();
    if is_function {
        let parsed = syn::parse2::<syn::File>(expansion);
        prop_assert!(parsed.is_ok(), "{:?} in {text}", parsed.err());
        prop_assert!(has_hole || !text.contains(HOLE), "{text}");
    }
    prop_assert_eq!(&text, &expand(TokenStream::new(), item).to_string());
    Ok(text)
}

/// One mistake, or something that only another macro could write.
#[derive(Clone, Debug)]
enum Change {
    Remove,
    Double,
    Swap,
    Hide,
}

/// Changes a token, at any depth.
fn changed(tokens: TokenStream, change: &Change, at: Index, path: &[Index]) -> TokenStream {
    let mut all: Vec<TokenTree> = tokens.into_iter().collect();
    if all.is_empty() {
        return TokenStream::new();
    }
    let (i, next) = (at.index(all.len()), (at.index(all.len()) + 1) % all.len());
    if let (TokenTree::Group(group), Some((at, path))) = (&all[i], path.split_first()) {
        let inside = changed(group.stream(), change, *at, path);
        all[i] = Group::new(group.delimiter(), inside).into();
        return all.into_iter().collect();
    }
    match change {
        Change::Remove => drop(all.remove(i)),
        Change::Double => all.insert(i, all[i].clone()),
        Change::Swap => all.swap(i, next),
        Change::Hide => {
            let end = (i + 1 + next % 3).min(all.len());
            let hidden: TokenStream = all.drain(i..end).collect();
            all.insert(i, Group::new(Delimiter::None, hidden).into());
        }
    }
    all.into_iter().collect()
}

proptest! {
    #![proptest_config(configured())]

    #[test]
    fn fuzz_right_functions_are_expanded(source in function()) {
        let Ok(item) = source.parse::<TokenStream>() else {
            return Err(TestCaseError::fail(source));
        };
        // An expression may become invalid Rust when another one is put into it.
        prop_assume!(syn::parse2::<syn::ItemFn>(item.clone()).is_ok());
        checked(item)?;
    }

    #[test]
    fn fuzz_wrong_functions_are_refused(
        source in function(),
        changes in proptest::collection::vec(
            (
                select(vec![Change::Remove, Change::Double, Change::Swap, Change::Hide]),
                any::<Index>(),
                proptest::collection::vec(any::<Index>(), 0..8),
            ),
            1..5,
        ),
    ) {
        let mut item: TokenStream = source.parse().map_err(|_| TestCaseError::fail(source.clone()))?;
        for (change, at, path) in &changes {
            item = changed(item, change, *at, path);
        }
        checked(item)?;
    }
}

//! Names, places and errors of small models, and snapshots of whole expansions.

use crate::errors::Errors;
use crate::ir::{Hole, Model, Options};
use crate::suggest::did_you_mean;
use crate::{check, expand, parse};
use proc_macro2::TokenStream;

fn tokens(source: &str) -> TokenStream {
    source.parse().expect("Rust tokens")
}

/// The expansion of a function, formatted.
fn expanded(source: &str) -> String {
    expanded_with("", source)
}

/// The same under `#[model(..)]` with arguments.
fn expanded_with(arguments: &str, source: &str) -> String {
    let file = syn::parse2(expand(tokens(arguments), tokens(source))).expect("an expansion");
    prettyplease::unparse(&file)
}

fn checked(body: &str) -> (Model, Errors) {
    let mut errors = Errors::default();
    let function = syn::parse2(tokens(&format!("fn f() {{ {body} }}"))).expect("a function");
    let options = Options {
        runtime: syn::parse_quote!(::relax_runtime),
        check: None,
    };
    let mut model = parse::model(function, options, &mut errors);
    check::model(&mut model, &mut errors);
    (model, errors)
}

/// Names of the sites of a body in reading order, those in a loop with `[]`.
fn names(body: &str) -> Vec<String> {
    let (model, errors) = checked(body);
    errors.finish().expect("no error");
    let sites = model.holes.iter().filter_map(|hole| match hole {
        Hole::Site(site) => Some(&**site),
        Hole::Return(_) => None,
    });
    let mut sites: Vec<_> = sites.collect();
    sites.sort_by_key(|site| site.place.order);
    sites
        .iter()
        .map(|site| format!("{}{}", site.name.text, "[]".repeat(site.place.loops.len())))
        .collect()
}

fn messages(body: &str) -> Vec<String> {
    let errors = checked(body).1.finish().expect_err("an error");
    errors.into_iter().map(|error| error.to_string()).collect()
}

#[test]
fn a_let_names_the_site_that_its_value_comes_from() {
    assert_eq!(names("let x = sample!(D::new());"), ["x"]);
    assert_eq!(names("let mut x: f64 = sample!(d);"), ["x"]);
    assert_eq!(names("let x = (&sample!(d)).to_owned()?;"), ["x"]);
    assert_eq!(names("let x = sample!(d) as f64;"), ["x"]);
    assert_eq!(names("let x = { f(); sample!(d) };"), ["x"]);
    assert_eq!(names("let x = plate!(n => { sample!(d) });"), ["", "x"]);
    assert_eq!(names("let r#type = param!(0.0);"), ["type"]);
    assert_eq!(names("let _h = sample!(d);"), ["h"]);
    assert_eq!(names("let x; x = sample!(d);"), ["x"]);
    assert_eq!(names("let x = relax_runtime::sample!(d);"), ["x"]);
}

#[test]
fn an_explicit_name_wins() {
    assert_eq!(names("let x = sample!(d, name = \"y\");"), ["y"]);
    assert_eq!(names("f(vec![sample!(d, name = \"a\"); 3]);"), ["a"]);
}

#[test]
fn a_destructured_call_is_named_after_the_model() {
    assert_eq!(names("let (a, b) = call!(prior(3));"), ["prior"]);
    assert_eq!(
        names("let Pair { a, b } = call!(self.net.prior::<f64>());"),
        ["prior"]
    );
    assert_eq!(names("let z = call!(prior(3));"), ["z"]);
}

#[test]
fn implicit_names_are_numbered_around_the_others() {
    let body = "observe!(d, x); observe!(d, &x[0]); observe!(d, self.x.clone()); \
                observe!(d, 0.3); observe!(d, data.1); let obs = sample!(d);";
    assert_eq!(names(body), ["x", "x#2", "x#3", "obs#2", "data", "obs"]);
    assert_eq!(
        names("cost!(a); cost!(b); cost!(c, name = \"kl\");"),
        ["cost", "cost#2", "kl"]
    );
    assert_eq!(names("plate!(n => { plate!(m, {}) })"), ["", ""]);
}

#[test]
fn exclusive_branches_share_names() {
    assert_eq!(
        names("let x = if a { sample!(d) } else if b { sample!(e) } else { sample!(f) };"),
        ["x", "x", "x"]
    );
    assert_eq!(
        names("match k { 0 => { let x = sample!(d); } _ => { let x = sample!(e); } }"),
        ["x", "x"]
    );
    assert_eq!(
        names("if a { observe!(d, x) } else { observe!(e, x) }"),
        ["x", "x"]
    );
    assert_eq!(
        messages("if a { let x = sample!(d); } let x = sample!(d);").len(),
        1
    );
    assert_eq!(
        messages("if a { let x = sample!(d); } if b { let x = sample!(d); }").len(),
        1
    );
}

#[test]
fn sites_of_a_loop_are_indexed() {
    let body = "for i in range(param!(1.0, name = \"n\")) { let x = sample!(d); } \
                while sample!(d, name = \"go\") { cost!(1.0); } \
                loop { let y = sample!(d); } let z = sample!(d);";
    assert_eq!(names(body), ["n", "x[]", "go[]", "cost[]", "y[]", "z"]);
}

/// Naming takes time in proportion to a function's length: comparing all names with each other, the
/// sizes here would take minutes.
#[test]
fn long_functions_are_named_soon() {
    let straight = names(&"cost!(x); observe!(d, y);".repeat(1_000));
    assert_eq!(straight[1_998..], ["cost#1000", "y#1000"]);
    let chained = names(&format!("{} {{}}", "if a { cost!(x) } else ".repeat(2_000)));
    assert!(chained.len() == 2_000 && chained.iter().all(|name| name == "cost"));
}

#[test]
fn every_error_is_reported_at_once() {
    let body = "sample!(Bernoulli(0.5)); let x = sample!(Norml(0.0)); observe!(d); \
                let f = || sample!(d); let x = sample!(d);";
    assert_eq!(messages(body).len(), 5);
}

#[test]
fn macros_of_others_and_nested_models_are_left_alone() {
    assert_eq!(names("my_macro!(sample!(d)); rand::draw!(d);"), [""; 0]);
    assert_eq!(names("#[model] fn g() { sample!(d); }"), [""; 0]);
    assert_eq!(names("println!(\"{type}\", type = 3);"), [""; 0]);
}

#[test]
fn near_words_are_suggested() {
    let names = || ["Bernoulli", "Categorical", "Normal"];
    assert_eq!(
        did_you_mean("bernouli", names()),
        "; did you mean `Bernoulli`?"
    );
    assert_eq!(
        did_you_mean("Catagorical", names()),
        "; did you mean `Categorical`?"
    );
    assert_eq!(did_you_mean("Poisson", names()), "");
}

#[test]
fn expands_sprinkler() {
    insta::assert_snapshot!(expanded(
        "/// Wet grass.
         pub fn sprinkler(wet: bool) {
             let rain = sample!(Bernoulli(0.2));
             let sprinkler = sample!(Bernoulli(if rain { 0.01 } else { 0.4 }));
             let p = match (rain, sprinkler) { (true, true) => 0.99, _ => 0.001 };
             observe!(Bernoulli(p), wet);
         }"
    ));
}

#[test]
fn expands_decoder() {
    insta::assert_snapshot!(expanded(
        "fn decoder<'a, T: Network>(&self, x: &'a Tensor, mut net: T) -> Tensor where T: Clone {
             let bias = param!(Tensor::zeros([784]));
             let noise = sample!(Normal(scale = 1.0, loc = 0.0), estimator = Reinforce, context = x);
             cost!(net.penalty());
             plate!(x.rows(), of = 50_000 => {
                 let h = sample!(Bernoulli(logits = net.prior()));
                 observe!(Bernoulli(logits = net.forward(&h) + &bias), x);
                 h
             })
         }"
    ));
}

#[test]
fn expands_loop() {
    insta::assert_snapshot!(expanded(
        "fn walk(steps: usize) -> usize {
             let mut state = 0;
             for _ in 0..steps {
                 let step = sample!(Categorical(probs(state)));
                 if step == 0 { return state; }
                 state += step;
             }
             println!(\"{}\", sample!(my_dist, name = \"last\"));
             state
         }"
    ));
}

#[test]
fn expands_submodel() {
    insta::assert_snapshot!(expanded(
        "fn pair(p: f64) -> (bool, bool) {
             let first = call!(coin(p));
             let (a, b) = call!(twice(p), name = \"rest\");
             (first, a && b)
         }"
    ));
}

#[test]
fn expands_result() {
    insta::assert_snapshot!(expanded(
        "fn parsed(text: &str) -> Result<f64> {
             if text.is_empty() { return Ok(0.0); }
             let scale: f64 = text.parse()?;
             let x = sample!(Normal(0.0, scale));
             Ok(x)
         }"
    ));
}

#[test]
fn expands_exclusive_branches() {
    insta::assert_snapshot!(expanded(
        "fn branches(fair: bool) {
             let coin = if fair { sample!(Bernoulli(0.5)) } else { sample!(Bernoulli(0.9)) };
             match coin { true => return, false => observe!(Bernoulli(0.5), coin) }
         }"
    ));
}

#[test]
fn expands_error_beside_a_stub() {
    insta::assert_snapshot!(expanded(
        "async fn coin(p: f64) -> Result<bool> { let coin = sample!(Bernouli(p)); Ok(coin) }"
    ));
}

#[test]
fn expands_check() {
    insta::assert_snapshot!(expanded_with(
        "check(true, &data()?, guide = structured(), draws = 2_000)",
        "fn sprinkler(wet: bool, x: &Tensor) { observe!(Bernoulli(0.2), wet); }"
    ));
}

/// Arguments without keywords belong to every constructor that begins with the same parameters.
#[test]
fn constructors_share_their_first_parameters() {
    let called = |family: &str| {
        let code = expanded(&format!("fn f() {{ let k = sample!({family}); }}"));
        let code: String = code.split_whitespace().collect();
        let start = code.find("Binomial::").expect("a constructor");
        code[start..]
            .chars()
            .take_while(|c| *c != ')')
            .collect::<String>()
    };
    for (family, wanted) in [
        ("Binomial(10, 0.5)", "Binomial::probs(10,0.5"),
        ("Binomial(10, logits = x)", "Binomial::logits(10,x"),
        (
            "Binomial(logits = x, total_count = 10)",
            "Binomial::logits(10,x",
        ),
    ] {
        assert_eq!(called(family), wanted);
    }
    let (_, errors) = checked("let k = sample!(NegativeBinomial(2.0, mean = 3.0));");
    let error = errors.finish().expect_err("it takes no total").to_string();
    assert!(error.contains("exclude each other"), "{error}");
}

#[test]
fn a_distribution_may_be_a_parameter() {
    let of = |base: &str| {
        expanded(&format!(
            "fn f() {{ let k = sample!(ZeroInflated(g, {base})); }}"
        ))
    };
    let code: String = of("Poisson(log_rate = x + 1.0)")
        .split_whitespace()
        .collect();
    assert!(
        code.contains("ZeroInflated::gate(g,::relax_runtime::dist::Poisson::log_rate(x+1.0)"),
        "{code}"
    );
    assert!(of("Poisson(rat = x)").contains("did you mean `rate`"));
}

/// Numbers and distributions that have been swapped.
#[test]
fn a_distribution_is_no_number() {
    let refused = |family: &str| {
        let (_, errors) = checked(&format!("let k = sample!({family});"));
        errors.finish().expect_err(family).to_string()
    };
    let of_gate = refused("ZeroInflated(Poisson(r), p)");
    assert!(
        of_gate
            .contains("write `ZeroInflated(gate, base)` or `ZeroInflated(gate = .., base = ..)`"),
        "{of_gate}"
    );
    for (family, wanted) in [
        (
            "ZeroInflated(Poisson::rate(r), p)",
            "`ZeroInflated(gate, base)`",
        ),
        (
            "ZeroInflated(base = p, gate = (Poisson(r)))",
            "this argument is `gate`",
        ),
        (
            "Truncated(0.0, Normal(0.0, 1.0), 2.0)",
            "`Truncated(base, low, high)`",
        ),
        (
            "Mixture(Normal(x, 1.0), w)",
            "`Mixture(weights, components)`",
        ),
        ("Normal(Gamma(1.0, 1.0), 1.0)", "`let loc = sample!(..)`"),
    ] {
        let error = refused(family);
        assert!(error.contains(wanted), "{error}");
    }
    // Functions that only have such a name before theirs may return a number.
    let (_, errors) = checked("let k = sample!(Normal(Beta::middle(x), self::Gamma(2.0)));");
    errors.finish().expect("numbers");
}

#[test]
fn factors_are_named_as_costs_are() {
    let body = "factor!(-1.0); factor!(x); cost!(y); factor!(z, name = \"energy\");";
    assert_eq!(names(body), ["factor", "factor#2", "cost", "energy"]);
    let code = expanded("fn f(x: f64) { factor!(-x); }");
    assert!(code.contains(".factor("), "{code}");
}

//! What models return and how their errors leave them, names of sites in loops and at run time, models behind pointers,
//! and models produced by `macro_rules!`.

use std::error::Error as StdError;
use std::fmt;

use relax_runtime::model::Run;
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error, names};

type Outcome<T> = Result<T>;

fn load(path: &str) -> Outcome<f64> {
    Err(Error::Model(format!("{path} is missing")))
}

/// An error of the user's, which is made of the runtime's.
#[derive(Debug)]
enum Mine {
    Relax(Error),
    Odd(u8),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::Relax(error)
    }
}

impl fmt::Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relax(error) => write!(f, "relax: {error}"),
            Self::Odd(x) => write!(f, "{x} is odd"),
        }
    }
}

impl StdError for Mine {}

/// An error that cannot leave its thread.
#[derive(Debug)]
struct Local(std::rc::Rc<str>);

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Local {}

impl From<Error> for Local {
    fn from(error: Error) -> Self {
        Self(error.to_string().into())
    }
}

macro_rules! failing {
    ($($name:ident($p:ident) -> $returned:ty, $fails:expr;)*) => {$(
        #[model]
        fn $name($p: f64) -> $returned {
            let b = sample!(Bernoulli($p));
            cost!(if b { 1.0 } else { 0.0 });
            $fails
        }
    )*};
}

failing! {
    written(p) -> Result<f64>, load("written");
    alias(p) -> Outcome<f64>, load("alias");
    boxed(p) -> std::result::Result<f64, Box<dyn StdError>>, Err("boxed is missing".into());
    shared(p) -> std::result::Result<f64, Box<dyn StdError + Send + Sync>>, Err("shared is missing".into());
    io(p) -> std::io::Result<f64>, Err(std::io::Error::other("io is missing"));
    mine(p) -> std::result::Result<f64, Mine>, Err(Mine::Odd(3));
    local(p) -> std::result::Result<f64, Local>, Err(Local("local is missing".into()));
}

#[test]
fn an_error_of_the_model_itself_ends_its_run_however_it_is_spelt() {
    fn trained(program: &dyn Program) -> String {
        let run = Minimize::new(program).steps(1).progress(false).run();
        run.map(drop).expect_err("the model fails").to_string()
    }
    let said: [(&dyn Program, &str); 7] = [
        (&written(0.5), "written is missing"),
        (&alias(0.5), "alias is missing"),
        (&boxed(0.5), "boxed is missing"),
        (&shared(0.5), "shared is missing"),
        (&io(0.5), "io is missing"),
        (&mine(0.5), "3 is odd"),
        (&local(0.5), "local is missing"),
    ];
    for (program, said) in said {
        assert_says(&trained(program), &[said]);
    }
}

/// The error of a site keeps its type and place, whatever the model returns.
#[test]
fn an_error_of_a_site_leaves_every_model() {
    let failed: [Result<()>; 9] = [
        Simulation::seeded(1).run(&written(2.0)).map(drop),
        Simulation::seeded(1).run(&alias(2.0)).map(drop),
        Simulation::seeded(1).run(&boxed(2.0)).map(drop),
        Simulation::seeded(1).run(&shared(2.0)).map(drop),
        Simulation::seeded(1).run(&io(2.0)).map(drop),
        Simulation::seeded(1).run(&mine(2.0)).map(drop),
        Simulation::seeded(1).run(&local(2.0)).map(drop),
        Simulation::seeded(1).run(&maybe(&[2.0], 0)).map(drop),
        Simulation::seeded(1).run(&game(2.0)).map(drop),
    ];
    for failed in failed {
        let error = failed.expect_err("2 is no probability");
        assert!(matches!(error, Error::Site { .. }), "{error}");
        assert_says(&error.to_string(), &["language.rs", "probs", "2"]);
    }
}

#[model]
fn maybe(ps: &[f64], i: usize) -> Option<bool> {
    let p = *ps.get(i)?;
    let b = sample!(Bernoulli(p));
    if !b {
        return None;
    }
    Some(b)
}

#[test]
fn nothing_is_an_output_and_no_error() -> Result<()> {
    let output = |model| Ok::<_, Error>(Simulation::seeded(1).run(&model)?.output);
    assert_eq!(output(maybe(&[1.0], 0))?, Some(true));
    assert_eq!(output(maybe(&[1.0], 3))?, None);
    assert_eq!(output(maybe(&[0.0], 0))?, None);
    Ok(())
}

mod match_of_a_game {
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub enum Result {
        Win,
        Loss,
    }
}

/// A value of a type that happens to be called so.
#[model]
fn game(p: f64) -> match_of_a_game::Result {
    let won = sample!(Bernoulli(p));
    if won {
        return match_of_a_game::Result::Win;
    }
    match_of_a_game::Result::Loss
}

#[model]
fn read(path: &str) -> std::result::Result<f64, Box<dyn StdError>> {
    let scale: f64 = std::fs::read_to_string(path)?.trim().parse()?;
    let x = sample!(Normal(0.0, scale));
    Ok(x)
}

#[test]
fn question_marks_mean_what_they_mean_in_the_function() -> Result<()> {
    assert_eq!(
        Simulation::seeded(1).run(&game(1.0))?.output,
        match_of_a_game::Result::Win
    );
    assert_says(
        &error(Simulation::seeded(1).run(&read("/no/such/file"))),
        &["No such file"],
    );
    // What stands inside the `Result` is the output; behind an alias, the alias.
    let run: Result<Run<f64>> = Simulation::seeded(1).run(&fine());
    let aliased: Result<Run<Outcome<f64>>> = Simulation::seeded(1).run(&fine_alias());
    assert_eq!(run?.output, 1.0);
    assert_eq!(aliased?.output?, 1.0);
    let sent: std::result::Result<(), Box<dyn StdError + Send + Sync>> =
        (|| Ok(Simulation::seeded(1).run(&written(2.0)).map(drop)?))();
    assert!(sent.is_err());
    Ok(())
}

#[model]
fn returned<T: Clone>(x: T) -> T {
    x
}

#[test]
fn a_type_parameter_hides_no_error() -> Result<()> {
    assert_eq!(Simulation::seeded(1).run(&returned(1.0))?.output, 1.0);
    let hidden = Simulation::seeded(1).run(&returned(load("hidden")));
    assert_says(&error(hidden.map(drop)), &["type parameter"]);
    Ok(())
}

#[model]
fn fine() -> Result<f64> {
    Ok(1.0)
}

#[model]
fn fine_alias() -> Outcome<f64> {
    Ok(1.0)
}

/// A weight stands in those iterations alone that switch it on.
#[model]
fn spike_and_slab(ys: &[f64]) {
    for &y in ys {
        let on = sample!(Bernoulli(0.5));
        let w = if on {
            sample!(Normal(0.0, 2.0), name = "beta")
        } else {
            0.0
        };
        observe!(Normal(w, 0.3), y);
    }
}

#[test]
fn a_site_in_a_loop_has_the_number_of_its_iteration() -> Result<()> {
    let model = spike_and_slab(&[0.0, 3.0, -3.0]);
    let choices = substitute(&model, "on[0]", false)
        .and("on[1]", true)
        .and("on[2]", false);
    let run = Simulation::seeded(1).run(&choices)?;
    let expected = ["on[0]", "y[0]", "on[1]", "beta[1]", "y[1]", "on[2]", "y[2]"];
    assert_eq!(names(&run.trace), expected);

    // With y = 0: N(0 | 0, .3) against N(0 | 0, √(2² + .3²)).
    let fit = Svi::new(&model)
        .steps(4_000)
        .seed(1)
        .progress(false)
        .run()?;
    let wanted = 0.3 / (0.3 + (4.0f64 + 0.09).sqrt());
    assert_near(fit.posterior().mean("on[0]")?, wanted, 0.06);
    assert!(fit.posterior().mean("on[1]")? > 0.97);
    assert!(fit.posterior().mean("on[2]")? > 0.97);
    Ok(())
}

#[model]
fn loops(n: usize) -> Vec<f64> {
    let mut seen = Vec::new();
    'rows: for i in 0..n {
        if i == 1 {
            continue;
        }
        for j in 0..n {
            if i == 2 && j == 1 {
                continue 'rows;
            }
            let x = sample!(Normal(0.0, 1.0));
            seen.push(x);
        }
        let part = call!(inner());
        seen.push(part);
    }
    let mut left = 2;
    while sample!(Normal(0.0, 1.0), name = "go") > -1e9 && left > 0 {
        left -= 1;
        if left == 1 {
            continue;
        }
        cost!(1.0);
    }
    let last = loop {
        let y = sample!(Normal(0.0, 1.0));
        if y < 1e9 {
            break y;
        }
    };
    seen.push(last);
    for k in [3, 1] {
        let z = sample!(Normal(0.0, 1.0), name = format!("z of {k}"));
        seen.push(z);
    }
    seen
}

#[model]
fn inner() -> f64 {
    let w = sample!(Normal(0.0, 1.0));
    w
}

#[test]
fn all_kinds_of_loops_count() -> Result<()> {
    let run = Simulation::seeded(1).run(&loops(3))?;
    let expected = [
        "x[0][0]",
        "x[0][1]",
        "x[0][2]",
        "part[0]/w",
        "x[2][0]",
        "go[0]",
        "go[1]",
        "cost[1]",
        "go[2]",
        "y[0]",
        "z of 3",
        "z of 1",
    ];
    assert_eq!(names(&run.trace), expected);
    assert_eq!(run.output.len(), 8);
    Ok(())
}

#[model]
fn labelled(label: &str) {
    let _x = sample!(Normal(0.0, 1.0), name = label);
    let _y = sample!(Normal(0.0, 1.0), name = "twice");
}

#[test]
fn names_at_run_time_are_checked() -> Result<()> {
    let run = |label: &str| {
        Simulation::seeded(1)
            .run(&labelled(label))
            .map(|run| run.trace)
    };
    assert_eq!(names(&run("beta[3]")?), ["beta[3]", "twice"]);
    assert_says(&error(run("")), &["cannot be named ``", "language.rs"]);
    assert_says(&error(run("a/b")), &["cannot be named `a/b`"]);
    assert_says(&error(run("twice")), &["second site", "`twice`"]);
    Ok(())
}

macro_rules! models {
    ($($name:ident, $dist:expr, $site:literal, $rows:expr, $body:block;)*) => {$(
        #[model]
        fn $name() -> f64 {
            let outer = sample!($dist, name = $site);
            plate!($rows => $body);
            let part = call!($crate::language::inner());
            outer + part
        }
    )*};
}

models! {
    narrow, Normal(0.0, 0.1), "heads", 1 + 1, {
        let h = sample!(Normal(Tensor::scalar(0.0), 1.0));
        cost!(&h);
    };
}

macro_rules! both {
    ($name:ident, $model:expr) => {
        #[model]
        fn $name() -> bool {
            let (a, b) = call!($model);
            a && b
        }
    };
}

#[model]
fn pair() -> (bool, bool) {
    let a = sample!(Bernoulli(0.5));
    let b = sample!(Bernoulli(0.5));
    (a, b)
}

both!(both_heads, pair());

#[test]
fn fragments_of_macro_rules_are_looked_into() -> Result<()> {
    let trace = Simulation::seeded(1).run(&narrow())?.trace;
    assert_eq!(names(&trace), ["heads", "h", "cost", "part/w"]);
    let trace = Simulation::seeded(1).run(&both_heads())?.trace;
    assert_eq!(names(&trace), ["pair/a", "pair/b"]);
    Ok(())
}

#[model]
fn conditional(
    _: &Tensor,
    p: f64,
    #[cfg(any())] missing: u64,
    #[cfg(not(any()))] present: u64,
) -> u64 {
    #[cfg(any())]
    let b = sample!(Bernoulli(0.0));
    #[cfg(not(any()))]
    let b = sample!(Bernoulli(p));
    let __relax_hole = u64::from(b);
    __relax_hole + present
}

#[test]
fn conditions_of_compilation_choose_sites_and_arguments() -> Result<()> {
    let unused = Tensor::scalar(0.0);
    let model = conditional(&unused, 1.0, 1);
    assert_eq!(Simulation::seeded(1).run(&model)?.output, 2);
    Ok(())
}

#[model]
fn all_of(parts: &[Box<dyn Model<Output = f64>>], shared: &dyn Model<Output = f64>) -> f64 {
    let mut sum = 0.0;
    for part in parts {
        let y = call!(part);
        sum += y;
    }
    let z = call!(*shared);
    sum + z
}

#[model]
fn twice(part: &impl Model<Output = f64>) -> f64 {
    let y = call!(part);
    let z = call!(part);
    y + z
}

#[test]
fn models_run_behind_pointers() -> Result<()> {
    let parts: Vec<Box<dyn Model<Output = f64>>> = vec![Box::new(inner()), Box::new(fine())];
    let shared: std::rc::Rc<dyn Model<Output = f64>> = std::rc::Rc::new(inner());
    let trace = Simulation::seeded(1).run(&all_of(&parts, &*shared))?.trace;
    assert_eq!(names(&trace), ["y[0]/w", "z/w"]);
    assert_eq!(
        names(&Simulation::seeded(1).run(&twice(&shared))?.trace),
        ["y/w", "z/w"]
    );
    Ok(())
}

/// A block of rows has a value like any other.
#[model]
fn values_of_plates(n: usize) -> Result<f64> {
    let ones = || Tensor::ones([n], &Device::cpu());
    let sum = plate!(n => { 1.0 }) + plate!(n => { 2.0 });
    let _ = 1.0 - plate!(n => { 1.0 });
    let item = plate!(n => { ones().sum_all().item() })?;
    let Some(x) = plate!(n => { Some(1.0) }) else {
        return Ok(0.0);
    };
    let less = plate!(n => { 1.0 }) < 2.0 && !plate!(n => { false });
    let text = plate!(n => { 1.0f64 }).to_string();
    if less && text == "1" {
        plate!(n => { ones() }).check()?;
    }
    Ok(-plate!(n => { sum + f64::from(item) + x }))
}

#[test]
fn plates_are_expressions() -> Result<()> {
    assert_eq!(
        Simulation::seeded(1).run(&values_of_plates(2))?.output,
        -6.0
    );
    Ok(())
}

/// A constructor of the user's own, whose name is nearly one of the library's.
#[allow(non_snake_case)]
fn Normals(scale: f64) -> Result<Normal<f64>> {
    Normal::new(0.0, scale)
}

#[model]
fn wide() -> f64 {
    let x = sample!(self::Normals(1e6));
    x
}

#[test]
fn constructors_that_are_called_by_their_path_are_the_users() -> Result<()> {
    let x = Simulation::seeded(1).run(&wide())?.output;
    assert!(x.abs() > 1e3, "{x}");
    Ok(())
}

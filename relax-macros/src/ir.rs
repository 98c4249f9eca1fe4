//! A model as plain data: the user's function with its macros taken out of the body.

use proc_macro2::Span;
use syn::{Block, Expr, ExprReturn, Ident, ItemFn, Path};

/// Name of the macro that marks in the body what was taken out: `__relax_hole!(index)`.
pub const HOLE: &str = "__relax_hole";

/// A function annotated with `#[model]`.
pub struct Model {
    /// The arguments of `#[model(..)]`.
    pub options: Options,
    /// The function; [`HOLE`]s in its body refer to `holes`.
    pub function: ItemFn,
    /// What was taken out of the body, and out of other parts that were taken out.
    pub holes: Vec<Hole>,
}

/// The arguments of `#[model(..)]`.
pub struct Options {
    /// The path under which the generated code finds the runtime.
    pub runtime: Path,
    /// The test that `check(..)` asks for.
    pub check: Option<Check>,
}

/// `check(values.., guide = model, draws = n)`
pub struct Check {
    /// The word `check` where the user wrote it.
    pub keyword: Ident,
    /// The values of the function's arguments.
    pub values: Vec<Expr>,
    /// The guide, if not an automatic one.
    pub guide: Option<Expr>,
    /// Number of draws.
    pub draws: Option<Expr>,
}

/// A part of the body that code is generated for.
pub enum Hole {
    /// A `return` of the model itself.
    Return(ExprReturn),
    /// One of the macros.
    Site(Box<Site>),
}

/// One use of a macro.
pub struct Site {
    /// The macro's name where the user wrote it, or the name that it stands for.
    pub keyword: Ident,
    /// The macro's path as the user wrote it.
    pub path: Path,
    /// Which macro it is, with its arguments.
    pub kind: Kind,
    /// Its name in the trace.
    pub name: Name,
    /// The site's place in the body.
    pub place: Place,
}

/// A macro with its arguments.
pub enum Kind {
    /// `sample!(dist, estimator = .., context = ..)`
    Sample {
        /// Distribution drawn from.
        dist: Dist,
        /// The user's choice of an estimator.
        estimator: Option<Expr>,
        /// What the surrogate may depend on.
        context: Option<Expr>,
    },
    /// `observe!(dist, value)`
    Observe {
        /// Distribution of the data.
        dist: Dist,
        /// The data.
        value: Expr,
    },
    /// `param!(init, constraint)`
    Param {
        /// The first value.
        init: Expr,
        /// The set that its values stay in.
        constraint: Option<Constraint>,
    },
    /// `cost!(value)`
    Cost(Expr),
    /// `factor!(log_weight)`
    Factor(Expr),
    /// `plate!(rows, of = total => { body })`
    Plate(Plate),
    /// `call!(model)`
    Call(Expr),
}

/// `positive`, or `interval(low, high)`.
pub struct Constraint {
    /// Its name.
    pub name: Ident,
    /// The runtime's name for it.
    pub variant: &'static str,
    /// Its arguments, the ends of an interval.
    pub arguments: Vec<Expr>,
}

/// Independent rows.
pub struct Plate {
    /// Rows present.
    pub rows: Expr,
    /// Rows that they are a subsample of.
    pub total: Option<Expr>,
    /// What is independent.
    pub body: Block,
}

/// The distribution of a site.
pub enum Dist {
    /// One of the library's, by its parameters.
    Family(Family),
    /// Any expression whose value is a distribution.
    Value(Expr),
}

/// `Normal(loc, scale = s)`
pub struct Family {
    /// Name of the distribution.
    pub name: Ident,
    /// Its parameters, by keyword where one is given.
    pub arguments: Vec<(Option<Ident>, Expr)>,
}

/// The name of a site and where it comes from.
pub struct Name {
    /// The name; empty if it is computed at run time.
    pub text: String,
    /// What computes it at run time.
    pub computed: Option<Expr>,
    /// The token that an error about the name points at.
    pub span: Span,
    /// Who chose it.
    pub origin: Origin,
}

/// How a name was chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The user, by `name = "..."`.
    Literal,
    /// The user's code, while it runs: `name = format!(..)`.
    Computed,
    /// The user, by a `let` or an assignment.
    Binding,
    /// The macro: numbered where it is taken.
    Implicit,
    /// By the user, or not at all: plates of one name share their rows, a plate without a name has its own.
    Rows,
    /// Not at all: an error.
    Missing,
}

/// The place of a site.
#[derive(Clone)]
pub struct Place {
    /// Position in the order of reading.
    pub order: usize,
    /// The loops around it, outermost first.
    pub loops: Vec<Loop>,
    /// Every `if` or `match` around it, outermost first.
    pub branches: Vec<Branch>,
    /// Every `#[cfg(..)]` of a statement around it, as text.
    pub cfgs: Vec<String>,
    /// The innermost thing around it that may not contain a site.
    pub barrier: Option<Barrier>,
}

impl Place {
    /// Whether no run can reach both places.
    pub fn excludes(&self, other: &Self) -> bool {
        let branches = self.branches.iter().zip(&other.branches);
        let branched = branches
            .take_while(|(a, b)| a.of == b.of)
            .any(|(a, b)| a.to < b.from || b.to < a.from);
        branched || self.may_be_left_out_with(other)
    }

    /// Whether the two have different conditions, of which it is not known here which holds: a run detects a name that
    /// is taken.
    pub fn may_be_left_out_with(&self, other: &Self) -> bool {
        let mut cfgs = self.cfgs.iter().zip(&other.cfgs);
        cfgs.any(|(a, b)| a != b)
    }
}

/// A loop around a site.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Loop {
    /// Its number in the order of reading.
    pub number: usize,
    /// Whether the site is in the condition of a `while`, before the body of the iteration.
    pub in_condition: bool,
}

/// A branch of an `if` with all its `else if`, or of a `match`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Branch {
    /// The number of the `if` or `match`.
    pub of: usize,
    /// The first branch that may be taken by a run that gets here.
    pub from: usize,
    /// The last one.
    pub to: usize,
}

/// What may not contain a site.
#[derive(Clone, Copy)]
pub enum Barrier {
    /// A closure.
    Closure,
    /// A function or another item defined in the body.
    Item,
    /// An `async` block.
    Async,
    /// A `const` block.
    Const,
}

//! Turns the user's syntax tree into a [`Model`]: every macro is taken out of the body, together with its
//! place and what it is bound to.

use crate::errors::Errors;
use crate::ir::{
    Barrier, Branch, Dist, HOLE, Hole, Kind, Loop, Model, Options, Origin, Place, Site,
};
use crate::naming::{self, Binding, name, site_name};
use crate::syntax::{self, Piece, plain_identifier};
use proc_macro2::{Literal, Span, TokenStream};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{
    AttrStyle, Attribute, Block, Expr, ExprIf, ExprMacro, ExprMatch, Ident, Item, ItemFn, Local,
    Macro, Stmt, parse_quote,
};

/// Reads a function.
pub fn model(mut function: ItemFn, options: Options, errors: &mut Errors) -> Model {
    let place = Place {
        order: 0,
        loops: Vec::new(),
        branches: Vec::new(),
        cfgs: Vec::new(),
        barrier: None,
    };
    let mut reader = Reader {
        holes: Vec::new(),
        errors,
        runtime: &options.runtime,
        place,
        binding: Binding::None,
    };
    reader.visit_block_mut(&mut function.block);
    let holes = reader.holes;
    // `#![allow(..)]` at the head of the body.
    function
        .attrs
        .iter_mut()
        .for_each(|attribute| attribute.style = AttrStyle::Outer);
    Model {
        function,
        holes,
        options,
    }
}

struct Reader<'e> {
    holes: Vec<Hole>,
    errors: &'e mut Errors,
    runtime: &'e syn::Path,
    place: Place,
    binding: Binding,
}

impl Reader<'_> {
    /// Visits an expression whose value is the value of the one around it.
    fn bound(&mut self, binding: &Binding, expr: &mut Expr) {
        self.binding = binding.clone();
        self.visit_expr_mut(expr);
    }

    fn bound_block(&mut self, binding: &Binding, block: &mut Block) {
        self.binding = binding.clone();
        self.visit_block_mut(block);
    }

    /// Visits something in another place, and comes back.
    fn elsewhere(&mut self, enter: impl FnOnce(&mut Place), visit: impl FnOnce(&mut Self)) {
        let here = self.place.clone();
        enter(&mut self.place);
        visit(self);
        let order = self.place.order;
        self.place = Place { order, ..here };
    }

    fn branch(&mut self, branch: Branch, visit: impl FnOnce(&mut Self)) {
        self.elsewhere(|place| place.branches.push(branch), visit);
    }

    /// Visits a part of a loop.
    fn in_loop(&mut self, part: Loop, visit: impl FnOnce(&mut Self)) {
        self.elsewhere(|place| place.loops.push(part), visit);
    }

    /// Reads the body of a loop, and, if it contains a site, makes the loop count: returns what to put
    /// before it.
    fn read_loop(
        &mut self,
        number: usize,
        condition: Option<&mut Expr>,
        body: &mut Block,
    ) -> Option<Stmt> {
        let known = self.holes.len();
        if let Some(condition) = condition {
            let part = Loop {
                number,
                in_condition: true,
            };
            self.in_loop(part, |reader| reader.visit_expr_mut(condition));
        }
        let part = Loop {
            number,
            in_condition: false,
        };
        self.in_loop(part, |reader| reader.visit_block_mut(body));
        let counts = |hole: &Hole| matches!(hole, Hole::Site(site) if site.place.barrier.is_none());
        if !self.holes[known..].iter().any(counts) {
            return None;
        }
        let (counter, iteration) = (naming::counter(number), naming::iteration(number));
        let runtime = self.runtime;
        body.stmts.insert(
            0,
            parse_quote!(let #iteration = #runtime::plumbing::next(&mut #counter);),
        );
        Some(parse_quote!(let mut #counter = 0;))
    }

    fn behind(&mut self, barrier: Barrier, visit: impl FnOnce(&mut Self)) {
        self.elsewhere(|place| place.barrier = Some(barrier), visit);
    }

    /// The next number: of a site in reading order, or of an `if` or `match`.
    fn next(&mut self) -> usize {
        self.place.order += 1;
        self.place.order
    }

    /// Reads an `if` with all its `else if`, which are the branches of one choice.
    fn read_if(&mut self, binding: &Binding, first: &mut ExprIf) {
        let of = self.next();
        let mut link = first;
        for from in 0.. {
            // A later condition is evaluated where no earlier branch has been taken.
            let to = usize::MAX;
            self.branch(Branch { of, from, to }, |reader| {
                reader.visit_expr_mut(&mut link.cond);
            });
            let to = from;
            self.branch(Branch { of, from, to }, |reader| {
                reader.bound_block(binding, &mut link.then_branch);
            });
            let Some((_, otherwise)) = &mut link.else_branch else {
                return;
            };
            match &mut **otherwise {
                Expr::If(next) => link = next,
                otherwise => {
                    let (from, to) = (from + 1, usize::MAX);
                    let last = Branch { of, from, to };
                    return self.branch(last, |reader| reader.bound(binding, otherwise));
                }
            }
        }
    }

    fn read_match(&mut self, binding: &Binding, expr: &mut ExprMatch) {
        let of = self.next();
        self.visit_expr_mut(&mut expr.expr);
        for (from, arm) in expr.arms.iter_mut().enumerate() {
            // A guard runs before another arm may be taken, so it excludes none.
            self.visit_pat_mut(&mut arm.pat);
            let to = from;
            self.branch(Branch { of, from, to }, |reader| {
                reader.bound(binding, &mut arm.body);
            });
        }
    }

    fn read_macro(&mut self, binding: Binding, expr: &mut ExprMacro) {
        let Some(keyword) = syntax::keyword(&expr.mac) else {
            return self.read_standard_macro(&mut expr.mac);
        };
        let order = self.next();
        match syntax::site(&keyword, &expr.mac) {
            Ok((mut kind, given)) => {
                let mut name = name(&keyword, &kind, given, &binding);
                if let Some(computed) = &mut name.computed {
                    self.visit_expr_mut(computed);
                }
                self.read_kind(&binding, &mut kind);
                let place = Place {
                    order,
                    ..self.place.clone()
                };
                let site = Site {
                    keyword,
                    path: expr.mac.path.clone(),
                    kind,
                    name,
                    place,
                };
                expr.mac = self.dig(Hole::Site(Box::new(site)));
            }
            Err(error) => self.errors.push(error),
        }
    }

    fn read_kind(&mut self, binding: &Binding, kind: &mut Kind) {
        match kind {
            Kind::Sample {
                dist,
                estimator,
                context,
            } => {
                self.read_dist(dist);
                estimator
                    .iter_mut()
                    .chain(context)
                    .for_each(|expr| self.visit_expr_mut(expr));
            }
            Kind::Observe { dist, value } => {
                self.read_dist(dist);
                self.visit_expr_mut(value);
            }
            Kind::Param { init, constraint } => {
                self.visit_expr_mut(init);
                let arguments = constraint.iter_mut().flat_map(|c| &mut c.arguments);
                arguments.for_each(|expr| self.visit_expr_mut(expr));
            }
            Kind::Cost(value) | Kind::Factor(value) | Kind::Call(value) => {
                self.visit_expr_mut(value);
            }
            Kind::Plate(plate) => {
                self.visit_expr_mut(&mut plate.rows);
                plate
                    .total
                    .iter_mut()
                    .for_each(|total| self.visit_expr_mut(total));
                self.bound_block(binding, &mut plate.body);
            }
        }
    }

    fn read_dist(&mut self, dist: &mut Dist) {
        match dist {
            Dist::Family(family) => {
                family
                    .arguments
                    .iter_mut()
                    .for_each(|(_, value)| self.visit_expr_mut(value));
            }
            Dist::Value(value) => self.visit_expr_mut(value),
        }
    }

    /// Reads `vec![sample!(..)]`; other macros keep their tokens, whatever they mean.
    fn read_standard_macro(&mut self, invocation: &mut Macro) {
        let Some(mut pieces) = syntax::standard_macro(invocation) else {
            return;
        };
        let found = self.holes.len();
        let mut tokens = TokenStream::new();
        for piece in &mut pieces {
            match piece {
                Piece::Expr(expr) => {
                    self.visit_expr_mut(expr);
                    expr.to_tokens(&mut tokens);
                }
                Piece::Tokens(other) => other.to_tokens(&mut tokens),
            }
        }
        if self.holes.len() > found {
            invocation.tokens = tokens;
        }
    }

    /// Keeps a part of the body, and returns what to leave in its place.
    fn dig(&mut self, hole: Hole) -> Macro {
        self.holes.push(hole);
        Macro {
            path: Ident::new(HOLE, Span::call_site()).into(),
            bang_token: syn::Token![!](Span::call_site()),
            delimiter: syn::MacroDelimiter::Paren(syn::token::Paren::default()),
            tokens: TokenStream::from(proc_macro2::TokenTree::from(Literal::usize_unsuffixed(
                self.holes.len() - 1,
            ))),
        }
    }
}

impl VisitMut for Reader<'_> {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        let binding = std::mem::take(&mut self.binding);
        match expr {
            Expr::Paren(e) => self.bound(&binding, &mut e.expr),
            Expr::Group(e) => self.bound(&binding, &mut e.expr),
            Expr::Reference(e) => self.bound(&binding, &mut e.expr),
            Expr::Try(e) => self.bound(&binding, &mut e.expr),
            Expr::Cast(e) => self.bound(&binding, &mut e.expr),
            Expr::MethodCall(e) => {
                self.bound(&binding, &mut e.receiver);
                e.args
                    .iter_mut()
                    .for_each(|argument| self.visit_expr_mut(argument));
            }
            Expr::Block(e) => self.bound_block(&binding, &mut e.block),
            Expr::Unsafe(e) => self.bound_block(&binding, &mut e.block),
            Expr::If(e) => self.read_if(&binding, e),
            Expr::Match(e) => self.read_match(&binding, e),
            Expr::Macro(e) => self.read_macro(binding, e),
            Expr::Assign(e) => {
                self.visit_expr_mut(&mut e.left);
                let binding = plain_identifier(&e.left).cloned().map(Binding::Variable);
                self.bound(&binding.unwrap_or_default(), &mut e.right);
            }
            Expr::ForLoop(e) => {
                self.visit_expr_mut(&mut e.expr);
                let number = self.next();
                let counter = self.read_loop(number, None, &mut e.body);
                count(counter, expr);
            }
            Expr::While(e) => {
                let number = self.next();
                let counter = self.read_loop(number, Some(&mut e.cond), &mut e.body);
                count(counter, expr);
            }
            Expr::Loop(e) => {
                let number = self.next();
                let counter = self.read_loop(number, None, &mut e.body);
                count(counter, expr);
            }
            Expr::Closure(e) => {
                self.behind(Barrier::Closure, |reader| {
                    reader.visit_expr_mut(&mut e.body)
                });
            }
            Expr::Async(e) => {
                self.behind(Barrier::Async, |reader| {
                    reader.visit_block_mut(&mut e.block)
                });
            }
            Expr::Const(e) => {
                self.behind(Barrier::Const, |reader| {
                    reader.visit_block_mut(&mut e.block)
                });
            }
            Expr::Return(e) if self.place.barrier.is_none() => {
                visit_mut::visit_expr_return_mut(self, e);
                let attrs = std::mem::take(&mut e.attrs);
                let mac = self.dig(Hole::Return(e.clone()));
                *expr = Expr::Macro(ExprMacro { attrs, mac });
            }
            other => visit_mut::visit_expr_mut(self, other),
        }
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        let binding = std::mem::take(&mut self.binding);
        let last = block.stmts.len().saturating_sub(1);
        for (i, statement) in block.stmts.iter_mut().enumerate() {
            if let Stmt::Macro(call) = statement {
                let expr = ExprMacro {
                    attrs: std::mem::take(&mut call.attrs),
                    mac: call.mac.clone(),
                };
                let semi = call
                    .semi_token
                    .or_else(|| (i < last).then(Default::default));
                *statement = Stmt::Expr(Expr::Macro(expr), semi);
            }
            match statement {
                Stmt::Expr(expr, None) if i == last => self.bound(&binding, expr),
                other => self.visit_stmt_mut(other),
            }
        }
    }

    fn visit_stmt_mut(&mut self, statement: &mut Stmt) {
        let cfgs = cfgs(statement);
        if cfgs.is_empty() {
            return visit_mut::visit_stmt_mut(self, statement);
        }
        self.elsewhere(
            |place| place.cfgs.extend(cfgs),
            |reader| visit_mut::visit_stmt_mut(reader, statement),
        );
    }

    fn visit_local_mut(&mut self, local: &mut Local) {
        let Some(init) = &mut local.init else { return };
        let known = self.holes.len();
        let binding = Binding::of(&local.pat);
        self.bound(&binding, &mut init.expr);
        if let Some((_, diverge)) = &mut init.diverge {
            self.visit_expr_mut(diverge);
        }
        // A site matters even if its value is not used.
        if let Binding::Variable(variable) = binding
            && self.holes[known..]
                .iter()
                .any(|hole| is_bound_to(hole, &variable))
        {
            local.attrs.push(quiet());
        }
    }

    fn visit_item_mut(&mut self, item: &mut Item) {
        self.behind(Barrier::Item, |reader| {
            visit_mut::visit_item_mut(reader, item)
        });
    }

    fn visit_item_fn_mut(&mut self, function: &mut ItemFn) {
        if !is_model(&function.attrs) {
            visit_mut::visit_item_fn_mut(self, function);
        }
    }

    fn visit_impl_item_fn_mut(&mut self, function: &mut syn::ImplItemFn) {
        if !is_model(&function.attrs) {
            visit_mut::visit_impl_item_fn_mut(self, function);
        }
    }
}

/// Puts the counter of a loop before it.
fn count(counter: Option<Stmt>, around: &mut Expr) {
    if let Some(counter) = counter {
        *around = parse_quote!({ #counter #around });
    }
}

/// The conditions under which a statement is compiled.
fn cfgs(statement: &Stmt) -> Vec<String> {
    let attributes: &[Attribute] = match statement {
        Stmt::Local(local) => &local.attrs,
        Stmt::Expr(Expr::Macro(call), _) => &call.attrs,
        Stmt::Expr(Expr::Block(block), _) => &block.attrs,
        Stmt::Expr(Expr::Assign(assign), _) => &assign.attrs,
        Stmt::Expr(Expr::If(branch), _) => &branch.attrs,
        Stmt::Expr(Expr::ForLoop(each), _) => &each.attrs,
        Stmt::Macro(call) => &call.attrs,
        _ => &[],
    };
    let conditions = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"));
    conditions
        .map(|cfg| cfg.to_token_stream().to_string())
        .collect()
}

fn is_model(attributes: &[Attribute]) -> bool {
    let named_model = |path: &syn::Path| path.segments.last().is_some_and(|s| s.ident == "model");
    attributes
        .iter()
        .any(|attribute| named_model(attribute.path()))
}

fn is_bound_to(hole: &Hole, variable: &Ident) -> bool {
    let Hole::Site(site) = hole else { return false };
    site.name.origin == Origin::Binding && site.name.text == site_name(variable)
}

fn quiet() -> Attribute {
    syn::parse_quote!(#[allow(unused_variables)])
}

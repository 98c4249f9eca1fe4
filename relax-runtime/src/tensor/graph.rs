//! Reverse mode: a graph of nodes, each holding the backward operation of one tensor operation.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::rc::{Rc, Weak};

use smallvec::SmallVec;

use super::grad::Outputs;
use super::native::{self, memory::Numbers};
use super::parameter::State;
use super::slot::{Slot, Tables};
use super::storage::Data;
use super::{Device, Inner, Shape, Tensor};
use crate::error::{Error, Result};

/// A trained parameter's identity, which its leaf keeps so that a search of the graph finds it.
pub(super) struct Leaf {
    pub(super) parameter: Weak<State>,
    pub(super) shape: Shape,
}

/// A list with one element per operand of an operation.
type PerOperand<T> = SmallVec<[T; 3]>;

/// The result of one recorded operation, or a leaf.
pub(super) struct Node<B: ?Sized = dyn Backward> {
    /// Increases along every edge from parent to child.
    pub(super) id: u64,
    /// Number of elements of the result.
    pub(super) len: usize,
    /// Aligned with the operation's operands; `None` for an untracked one.
    pub(super) parents: PerOperand<Option<Rc<Node>>>,
    pub(super) leaf: Option<Box<Leaf>>,
    /// The last search that reached the node, and the node's place in what it found.
    found: Cell<(u64, usize)>,
    /// Whether the operation has run.
    used_up: Cell<bool>,
    /// Where the result's engine keeps its gradient, if the pass does not.
    pub(super) slot: Option<Box<dyn Slot>>,
    backward: B,
}

/// A backward operation. Runs once.
pub(super) trait Backward {
    /// Takes the gradient of the result, unless that is in a slot, and adds to the operands' gradients.
    fn run(&self, gradient: &mut Gradient, sinks: &mut Sinks<'_>) -> Result<()>;
}

/// The backward operation of a leaf.
impl Backward for () {
    fn run(&self, _: &mut Gradient, _: &mut Sinks<'_>) -> Result<()> {
        Ok(())
    }
}

/// A backward function. It is dropped with everything it has saved as soon as it has run.
pub(super) struct Once<F>(Cell<Option<F>>);

impl<F: FnOnce(&mut Gradient, &mut Sinks<'_>) -> Result<()>> Once<F> {
    pub(super) fn new(run: F) -> Self {
        Self(Cell::new(Some(run)))
    }
}

impl<F: FnOnce(&mut Gradient, &mut Sinks<'_>) -> Result<()>> Backward for Once<F> {
    fn run(&self, gradient: &mut Gradient, sinks: &mut Sinks<'_>) -> Result<()> {
        match self.0.take() {
            Some(run) => run(gradient, sinks),
            None => Ok(()),
        }
    }
}

/// The gradient of an operation's result.
pub(super) struct Gradient {
    pub(super) values: Numbers,
    /// Whether the gradient was requested, so that no operand's gradient may take its memory.
    pub(super) kept: bool,
}

impl Deref for Gradient {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

/// A number that no earlier call in this thread has returned; starts at 1.
fn next_id() -> u64 {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    LAST.set(LAST.get() + 1);
    LAST.get()
}

impl<B: Backward + 'static> Node<B> {
    fn build(
        parents: PerOperand<Option<Rc<Node>>>,
        len: usize,
        leaf: Option<Box<Leaf>>,
        slot: Option<Box<dyn Slot>>,
        backward: B,
    ) -> Rc<Node> {
        Rc::new(Self {
            id: next_id(),
            len,
            parents,
            leaf,
            slot,
            found: Cell::default(),
            used_up: Cell::new(false),
            backward,
        })
    }

    /// The result of an operation, whose operands have these nodes.
    #[inline]
    pub(super) fn result<'a>(
        operands: impl Iterator<Item = Option<&'a Rc<Node>>>,
        len: usize,
        slot: Option<Box<dyn Slot>>,
        backward: B,
    ) -> Rc<Node> {
        let mut parents = PerOperand::new();
        // Not `collect`, which allocates first.
        for node in operands {
            parents.push(node.cloned());
        }
        Self::build(parents, len, None, slot, backward)
    }
}

impl Node {
    pub(super) fn leaf(len: usize, leaf: Option<Leaf>, slot: Option<Box<dyn Slot>>) -> Rc<Self> {
        Node::build(PerOperand::new(), len, leaf.map(Box::new), slot, ())
    }

    /// Whether the backward operation has run.
    pub(super) fn is_used_up(&self) -> bool {
        self.used_up.get()
    }

    /// The backward operation, which counts as used up from now on.
    pub(super) fn use_up(&self) -> &dyn Backward {
        self.used_up.set(true);
        &self.backward
    }

    /// The place where a search put the node.
    fn place(&self, search: u64) -> Option<usize> {
        let (found_by, place) = self.found.get();
        (found_by == search && place != LEFT_OUT).then_some(place)
    }

    fn parents(&self) -> impl Iterator<Item = &Rc<Node>> {
        self.parents.iter().flatten()
    }
}

impl<B: ?Sized> Drop for Node<B> {
    fn drop(&mut self) {
        release(&mut self.parents);
    }
}

/// Releases long chains of nodes without recursing along all of them.
fn release(parents: &mut PerOperand<Option<Rc<Node>>>) {
    const DEEPEST: usize = 64;
    thread_local! {
        static DEPTH: Cell<usize> = const { Cell::new(0) };
        // Never dropped, so that it still exists for tensors held by other thread-local values.
        static POSTPONED: RefCell<ManuallyDrop<Vec<Rc<Node>>>> =
            const { RefCell::new(ManuallyDrop::new(Vec::new())) };
    }
    let depth = DEPTH.get();
    if depth == DEEPEST {
        let parents = parents.drain(..).flatten();
        POSTPONED.with_borrow_mut(|postponed| postponed.extend(parents));
        return;
    }
    DEPTH.set(depth + 1);
    parents.clear();
    if depth == 0 {
        while let Some(node) = POSTPONED.with_borrow_mut(|postponed| postponed.pop()) {
            drop(node);
        }
    }
    DEPTH.set(depth);
}

/// The part of a graph that a search has found.
pub(super) struct ReversePass<'a> {
    search: u64,
    /// In order, children last.
    pub(super) found: Vec<Found<'a>>,
}

/// A node of a pass.
pub(super) struct Found<'a> {
    pub(super) node: &'a Node,
    /// Whether it is one of the targets.
    pub(super) is_target: bool,
    /// Whether it is one of the targets or depends on one.
    reaches: bool,
}

/// The place of a node that a search reached and left out.
const LEFT_OUT: usize = usize::MAX;

impl<'a> ReversePass<'a> {
    /// Finds all nodes that `outputs` depend on and whose id is at least `oldest`. The search does
    /// not visit the nodes of `constants`, or anything behind them.
    pub(super) fn find(
        outputs: &Outputs<'a>,
        oldest: u64,
        constants: &[&Tensor],
        is_target: impl Fn(&Node) -> bool,
    ) -> Self {
        /// The size of a small model's graph.
        const USUAL: usize = 64;
        let search = next_id();
        for constant in constants {
            if let Ok(Some(node)) = constant.0.as_ref().map(|inner| &inner.node) {
                node.found.set((search, LEFT_OUT));
            }
        }
        let mut found = Vec::with_capacity(USUAL);
        let meet = |found: &mut Vec<Found<'a>>, node: &'a Node| {
            if node.id >= oldest && node.found.get().0 != search {
                node.found.set((search, LEFT_OUT));
                let (is_target, reaches) = (is_target(node), false);
                found.push(Found {
                    node,
                    is_target,
                    reaches,
                });
            }
        };
        for (output, _) in outputs {
            output.node.iter().for_each(|node| meet(&mut found, node));
        }
        let mut next = 0;
        while let Some(child) = found.get(next).map(|found| found.node) {
            child.parents().for_each(|node| meet(&mut found, node));
            next += 1;
        }
        found.sort_unstable_by_key(|found| found.node.id);
        let mut pass = Self { search, found };
        for place in 0..pass.found.len() {
            let Found {
                node, is_target, ..
            } = pass.found[place];
            node.found.set((search, place));
            pass.found[place].reaches =
                is_target || node.parents().any(|parent| pass.needs(parent));
        }
        pass
    }

    /// The place where the search put a node.
    pub(super) fn place(&self, node: &Node) -> Option<usize> {
        node.place(self.search)
    }

    /// The gradients of the operands of a node's operation, among those by place and in tables.
    pub(super) fn sinks<'s>(
        &'s self,
        node: &'s Node,
        gradients: &'s mut [Numbers],
        tables: &'s mut Tables,
    ) -> Sinks<'s> {
        Sinks {
            gradients,
            tables,
            pass: self,
            node,
        }
    }

    /// Whether a node's gradient is needed.
    pub(super) fn needs(&self, node: &Node) -> bool {
        self.place(node)
            .is_some_and(|place| self.found[place].reaches)
    }

    /// The nodes whose backward operations have to run, children first, each with its place.
    pub(super) fn work(&self) -> impl Iterator<Item = (usize, &'a Node)> {
        let nodes = self.found.iter().map(|found| found.node).enumerate().rev();
        nodes.filter(|(_, node)| node.parents().any(|parent| self.needs(parent)))
    }

    /// Fails if a part of the graph is used up: checked before anything runs, so that a rejected
    /// pass leaves the graph as it was.
    pub(super) fn check(&self) -> Result<()> {
        match self.work().find(|(_, node)| node.used_up.get()) {
            None => Ok(()),
            Some(_) => Err(Error::Autodiff(
                "this part of the graph was differentiated before, and its backward operations \
                 are used up; run the forward pass again, or request all gradients in one call"
                    .into(),
            )),
        }
    }
}

/// Gradients of the operands of an operation.
pub(super) struct Sinks<'a> {
    /// Buffers by place; a buffer that nothing has been added to is empty.
    gradients: &'a mut [Numbers],
    /// Gradients without a buffer have a slot in one of these.
    pub(super) tables: &'a mut Tables,
    pass: &'a ReversePass<'a>,
    /// The operation's result.
    node: &'a Node,
}

impl Sinks<'_> {
    /// Place and length of operand `i`, where its gradient is needed.
    #[inline]
    fn operand(&self, i: usize) -> Option<(usize, usize)> {
        let parent = self.node.parents[i].as_ref()?;
        let place = self.pass.place(parent)?;
        self.pass.found[place]
            .reaches
            .then_some((place, parent.len))
    }

    /// The buffer to add the gradient of operand `i` to, or `None` where it is not needed.
    pub(super) fn get(&mut self, i: usize) -> Option<&mut [f32]> {
        let (buffer, fresh) = self.get_or_fresh(i)?;
        if fresh {
            buffer.fill(0.0);
        }
        Some(buffer)
    }

    /// As [`get`](Self::get), and whether nothing has been added to the buffer: its numbers are then
    /// meaningless, and all of them must be overwritten.
    pub(super) fn get_or_fresh(&mut self, i: usize) -> Option<(&mut [f32], bool)> {
        let (place, len) = self.operand(i)?;
        let buffer = &mut self.gradients[place];
        let fresh = buffer.is_empty();
        if fresh {
            *buffer = native::memory::numbers(len);
        }
        Some((buffer, fresh))
    }

    /// Adds `f` of the elements at each place to the gradient of operand `i`, where it is needed.
    pub(super) fn add<const N: usize>(
        &mut self,
        i: usize,
        elements: [&[f32]; N],
        f: impl Fn([f32; N]) -> f32 + Copy + Sync,
    ) {
        let Some((place, _)) = self.operand(i) else {
            return;
        };
        let buffer = &mut self.gradients[place];
        if buffer.is_empty() {
            *buffer = native::memory::numbers(elements[0].len());
            native::pointwise::set(buffer, elements, f);
        } else {
            native::pointwise::add_pointwise(buffer, elements, f);
        }
    }

    /// Adds `f` of the result's gradient `g` and of the elements at each place to the gradient of
    /// operand `i`, where it is needed. This is the last use of `g`, whose memory may be reused for the operand's.
    pub(super) fn pass<const N: usize>(
        &mut self,
        i: usize,
        g: &mut Gradient,
        elements: [&[f32]; N],
        f: impl Fn(f32, [f32; N]) -> f32 + Copy + Sync,
    ) {
        if self.operand(i).is_some() {
            self.pass_changed(i, g, |g| native::pointwise::change(g, elements, f));
        }
    }

    /// As [`pass`](Self::pass), with `change` applied to `g`.
    pub(super) fn pass_changed(
        &mut self,
        i: usize,
        g: &mut Gradient,
        change: impl FnOnce(&mut [f32]),
    ) {
        let Some((place, _)) = self.operand(i) else {
            return;
        };
        let mut values = match g.kept {
            true => native::memory::copy_numbers(g),
            false => std::mem::take(&mut g.values),
        };
        change(&mut values);
        self.give(place, values);
    }

    /// Adds `values` to the gradient of operand `i`, where it is needed.
    pub(super) fn add_owned(&mut self, i: usize, values: Vec<f32>) {
        let values = Numbers::from_vec(values);
        match self.operand(i) {
            Some((place, _)) => self.give(place, values),
            None => native::memory::give_numbers(values),
        }
    }

    fn give(&mut self, place: usize, values: Numbers) {
        let buffer = &mut self.gradients[place];
        if buffer.is_empty() {
            *buffer = values;
        } else {
            native::add(buffer, &values);
            native::memory::give_numbers(values);
        }
    }

    /// The numbers of the result's gradient, if they are in a slot.
    pub(super) fn read_own(&mut self) -> Result<Option<Vec<f32>>> {
        let Some(slot) = &self.node.slot else {
            return Ok(None);
        };
        let gradient = Inner::constant(self.node.len.into(), slot.read(self.tables)?);
        dispatch!(read(&gradient)).map(Some)
    }

    /// Adds numbers from another device to the gradient of operand `i`, which is on `device`, where
    /// it is needed.
    pub(super) fn add_moved(&mut self, i: usize, values: Vec<f32>, device: &Device) -> Result<()> {
        let slot = self.node.parents[i].as_ref().map(|parent| &parent.slot);
        match slot {
            Some(Some(slot)) if self.wants(i) => {
                slot.add(self.tables, Some(&Data::upload(values, device)?))
            }
            _ => {
                self.add_owned(i, values);
                Ok(())
            }
        }
    }

    /// Whether the gradient of operand `i` is needed.
    pub(super) fn wants(&self, i: usize) -> bool {
        self.operand(i).is_some()
    }
}

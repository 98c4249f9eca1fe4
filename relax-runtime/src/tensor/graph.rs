//! Reverse mode: a graph of nodes, each holding the backward operation of one tensor operation.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::rc::{Rc, Weak};

use smallvec::SmallVec;

use super::grad::Outputs;
use super::parameter::State;
use super::{Shape, Tensor, cpu};
use crate::error::{Error, Result};

/// A trained parameter's identity, kept by its leaf so that the graph can be searched for it.
pub(super) struct Leaf {
    pub(super) parameter: Weak<State>,
    #[cfg(feature = "cuda")]
    pub(super) flat: Option<super::gpu::Flat>,
    pub(super) shape: Shape,
}

/// A list as long as an operation has operands.
type PerOperand<T> = SmallVec<[T; 3]>;

/// The result of one recorded operation, or a leaf.
pub(super) struct Node {
    /// Grows along every edge from parent to child.
    pub(super) id: u64,
    /// Number of elements of the result.
    pub(super) len: usize,
    /// Aligned with the operation's operands; `None` for an untracked one.
    pub(super) parents: PerOperand<Option<Rc<Node>>>,
    /// `None` once the operation has run.
    pub(super) backward: RefCell<Option<Backward>>,
    pub(super) leaf: Option<Leaf>,
    /// The last search that came by, and the node's place among what it found.
    found: Cell<(u64, usize)>,
}

/// A backward operation on the CPU: gets the gradient of the result, adds to the operands'.
type CpuBackward = dyn FnOnce(&mut Gradient, &mut Sinks<'_>) -> Result<()>;

/// The gradient of an operation's result.
pub(super) struct Gradient {
    pub(super) values: Vec<f32>,
    /// Whether somebody asked for it, so that no operand's gradient may take its place.
    pub(super) kept: bool,
}

impl Deref for Gradient {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

/// The backward operation of a node, on the device of its result.
pub(super) enum Backward {
    Cpu(Box<CpuBackward>),
    #[cfg(feature = "cuda")]
    Cuda(Vec<super::recorder::Op<super::device::Gpu>>),
}

/// A number that no earlier call in this thread returned; from 1.
fn next_id() -> u64 {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    LAST.set(LAST.get() + 1);
    LAST.get()
}

impl Node {
    fn build(
        parents: PerOperand<Option<Rc<Node>>>,
        len: usize,
        backward: Option<Backward>,
        leaf: Option<Leaf>,
    ) -> Rc<Self> {
        Rc::new(Self {
            id: next_id(),
            len,
            parents,
            backward: RefCell::new(backward),
            leaf,
            found: Cell::default(),
        })
    }

    pub(super) fn leaf(len: usize, leaf: Option<Leaf>) -> Rc<Self> {
        Self::build(PerOperand::new(), len, None, leaf)
    }

    pub(super) fn result(
        parents: PerOperand<Option<Rc<Node>>>,
        len: usize,
        backward: Backward,
    ) -> Rc<Self> {
        Self::build(parents, len, Some(backward), None)
    }

    /// Where a search put the node.
    fn place(&self, search: u64) -> Option<usize> {
        let (found_by, place) = self.found.get();
        (found_by == search && place != LEFT_OUT).then_some(place)
    }

    fn parents(&self) -> impl Iterator<Item = &Rc<Node>> {
        self.parents.iter().flatten()
    }
}

/// Releases long chains of nodes without recursing along all of them.
impl Drop for Node {
    fn drop(&mut self) {
        const DEEPEST: usize = 64;
        thread_local! {
            static DEPTH: Cell<usize> = const { Cell::new(0) };
            // Never dropped, so that it is there for tensors that other thread-local values hold.
            static POSTPONED: RefCell<ManuallyDrop<Vec<Rc<Node>>>> =
                const { RefCell::new(ManuallyDrop::new(Vec::new())) };
        }
        let depth = DEPTH.get();
        if depth == DEEPEST {
            let parents = self.parents.drain(..).flatten();
            POSTPONED.with_borrow_mut(|postponed| postponed.extend(parents));
            return;
        }
        DEPTH.set(depth + 1);
        self.parents.clear();
        if depth == 0 {
            while let Some(node) = POSTPONED.with_borrow_mut(|postponed| postponed.pop()) {
                drop(node);
            }
        }
        DEPTH.set(depth);
    }
}

/// The part of a graph that a search has found.
pub(super) struct Pass<'a> {
    search: u64,
    /// Children last.
    pub(super) nodes: Vec<&'a Node>,
    /// For each node, whether it is one of the targets.
    pub(super) targets: Vec<bool>,
    /// For each node, whether it is one of the targets or depends on one.
    reaches: Vec<bool>,
}

/// The place of a node that a search saw and left out.
const LEFT_OUT: usize = usize::MAX;

impl<'a> Pass<'a> {
    /// Finds all nodes that `outputs` depend on and whose id is at least `oldest`. The search does
    /// not look at, or beyond, the nodes of `constants`.
    pub(super) fn find(
        outputs: &Outputs<'a>,
        oldest: u64,
        constants: &[&Tensor],
        is_target: impl Fn(&Node) -> bool,
    ) -> Self {
        let search = next_id();
        for constant in constants {
            if let Ok(Some(node)) = constant.0.as_ref().map(|inner| &inner.node) {
                node.found.set((search, LEFT_OUT));
            }
        }
        let roots = outputs
            .iter()
            .filter_map(|(output, _)| output.node.as_deref());
        let mut pending: Vec<&Node> = roots.collect();
        let mut nodes = Vec::with_capacity(pending.len());
        while let Some(node) = pending.pop() {
            if node.id >= oldest && node.found.get().0 != search {
                node.found.set((search, LEFT_OUT));
                nodes.push(node);
                pending.extend(node.parents().map(Rc::as_ref));
            }
        }
        nodes.sort_unstable_by_key(|node| node.id);
        let mut pass = Self {
            search,
            targets: nodes.iter().map(|node| is_target(node)).collect(),
            reaches: Vec::with_capacity(nodes.len()),
            nodes,
        };
        for (place, node) in pass.nodes.iter().enumerate() {
            node.found.set((search, place));
            let reached = pass.targets[place] || node.parents().any(|parent| pass.needs(parent));
            pass.reaches.push(reached);
        }
        pass
    }

    /// Where the search put a node.
    pub(super) fn place(&self, node: &Node) -> Option<usize> {
        node.place(self.search)
    }

    /// The buffers of the operands of a node's operation, among those by place.
    pub(super) fn sinks<'s>(&'s self, node: &'s Node, gradients: &'s mut [Vec<f32>]) -> Sinks<'s> {
        Sinks {
            gradients,
            search: self.search,
            reaches: &self.reaches,
            node,
        }
    }

    /// Whether a node's gradient is wanted.
    pub(super) fn needs(&self, node: &Node) -> bool {
        self.place(node).is_some_and(|place| self.reaches[place])
    }

    /// The nodes whose backward operations are to run, children first, each with its place.
    pub(super) fn work(&self) -> impl Iterator<Item = (usize, &'a Node)> {
        let nodes = self.nodes.iter().copied().enumerate().rev();
        nodes.filter(|(_, node)| node.parents().any(|parent| self.needs(parent)))
    }

    /// An error if a part of the graph is used up: checked before anything runs, so that a refused
    /// pass leaves the graph as it was.
    pub(super) fn check(&self) -> Result<()> {
        match self
            .work()
            .find(|(_, node)| node.backward.borrow().is_none())
        {
            None => Ok(()),
            Some(_) => Err(Error::Autodiff(
                "this part of the graph was differentiated before, and its backward operations \
                 are used up; run the forward pass again, or ask for all gradients in one call"
                    .into(),
            )),
        }
    }

    /// The backward operations to run, in their order.
    #[cfg(feature = "cuda")]
    pub(super) fn take_backward(&self) -> impl Iterator<Item = Backward> {
        self.work()
            .filter_map(|(_, node)| node.backward.borrow_mut().take())
    }
}

/// Gradient buffers of the operands of an operation on the CPU.
pub(super) struct Sinks<'a> {
    /// Buffers by place; one that nothing has reached is empty.
    gradients: &'a mut [Vec<f32>],
    search: u64,
    /// By place, whether a gradient is needed.
    reaches: &'a [bool],
    /// The operation's result.
    node: &'a Node,
}

impl Sinks<'_> {
    /// Place and length of operand `i`, where its gradient is needed.
    fn operand(&self, i: usize) -> Option<(usize, usize)> {
        let parent = self.node.parents[i].as_ref()?;
        let place = parent.place(self.search)?;
        self.reaches[place].then_some((place, parent.len))
    }

    /// The buffer to add the gradient of operand `i` to, or `None` where it is not needed.
    pub(super) fn get(&mut self, i: usize) -> Option<&mut [f32]> {
        let (buffer, fresh) = self.get_or_fresh(i)?;
        if fresh {
            buffer.fill(0.0);
        }
        Some(buffer)
    }

    /// As [`get`](Self::get), and whether nothing has reached the buffer: its numbers then mean
    /// nothing, and all of them are to be overwritten.
    pub(super) fn get_or_fresh(&mut self, i: usize) -> Option<(&mut [f32], bool)> {
        let (place, len) = self.operand(i)?;
        let buffer = &mut self.gradients[place];
        let fresh = buffer.is_empty();
        if fresh {
            *buffer = cpu::memory::take(len);
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
            *buffer = cpu::pointwise::pointwise(elements, f);
        } else {
            cpu::pointwise::add_pointwise(buffer, elements, f);
        }
    }

    /// Adds `f` of the result's gradient `g` and of the elements at each place to the gradient of
    /// operand `i`, where it is needed. The last use of `g`, whose memory may become the operand's.
    pub(super) fn pass<const N: usize>(
        &mut self,
        i: usize,
        g: &mut Gradient,
        elements: [&[f32]; N],
        f: impl Fn(f32, [f32; N]) -> f32 + Copy + Sync,
    ) {
        if self.operand(i).is_some() {
            self.pass_changed(i, g, |g| cpu::pointwise::change(g, elements, f));
        }
    }

    /// As [`pass`](Self::pass), with what `change` makes of `g`.
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
            true => cpu::memory::copy(g),
            false => std::mem::take(&mut g.values),
        };
        change(&mut values);
        self.give(place, values);
    }

    /// Adds `values` to the gradient of operand `i`, where it is needed.
    pub(super) fn add_owned(&mut self, i: usize, values: Vec<f32>) {
        match self.operand(i) {
            Some((place, _)) => self.give(place, values),
            None => cpu::memory::give(values),
        }
    }

    fn give(&mut self, place: usize, values: Vec<f32>) {
        let buffer = &mut self.gradients[place];
        if buffer.is_empty() {
            *buffer = values;
        } else {
            cpu::add(buffer, &values);
            cpu::memory::give(values);
        }
    }

    /// Whether the gradient of operand `i` is needed.
    pub(super) fn wants(&self, i: usize) -> bool {
        self.operand(i).is_some()
    }
}

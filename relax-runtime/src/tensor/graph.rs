//! Reverse mode: a graph of nodes, each holding the backward operation of one tensor operation.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use smallvec::SmallVec;

use super::dispatch::Data;
use super::parameter::State;
use super::{Inner, Parameter, Shape, Tensor, cpu};
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
    id: u64,
    /// Number of elements of the result.
    len: usize,
    /// Aligned with the operation's operands; `None` for an untracked one.
    parents: PerOperand<Option<Rc<Node>>>,
    /// `None` once the operation has run.
    backward: RefCell<Option<Backward>>,
    leaf: Option<Leaf>,
    /// The last search that came by, and the node's place among what it found.
    found: Cell<(u64, usize)>,
}

/// A backward operation on the CPU: gets the gradient of the result, adds to the operands'.
type CpuBackward = dyn FnOnce(&[f32], &mut Sinks<'_>) -> Result<()>;

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
            static POSTPONED: RefCell<Vec<Rc<Node>>> = const { RefCell::new(Vec::new()) };
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
            while let Some(node) = POSTPONED.with_borrow_mut(Vec::pop) {
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
    nodes: Vec<&'a Node>,
    /// For each node, whether it is one of the targets.
    targets: Vec<bool>,
    /// For each node, whether it is one of the targets or depends on one.
    reaches: Vec<bool>,
}

/// The place of a node that a search saw and left out.
const LEFT_OUT: usize = usize::MAX;

impl<'a> Pass<'a> {
    /// Finds all nodes that `outputs` depend on and whose id is at least `oldest`. The search does
    /// not look at, or beyond, the nodes of `constants`.
    fn find(
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
    fn place(&self, node: &Node) -> Option<usize> {
        let (search, place) = node.found.get();
        (search == self.search && place != LEFT_OUT).then_some(place)
    }

    /// Whether a node's gradient is wanted.
    fn needs(&self, node: &Node) -> bool {
        self.place(node).is_some_and(|place| self.reaches[place])
    }

    /// The nodes whose backward operations are to run, children first, each with its place.
    fn work(&self) -> impl Iterator<Item = (usize, &'a Node)> {
        let nodes = self.nodes.iter().copied().enumerate().rev();
        nodes.filter(|(_, node)| node.parents().any(|parent| self.needs(parent)))
    }

    /// An error if a part of the graph is used up: checked before anything runs, so that a refused
    /// pass leaves the graph as it was.
    fn check(&self) -> Result<()> {
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
    /// Place and length for each operand whose gradient is needed.
    operands: PerOperand<Option<(usize, usize)>>,
}

impl Sinks<'_> {
    /// The buffer to add the gradient of operand `i` to, or `None` where it is not needed.
    pub(super) fn get(&mut self, i: usize) -> Option<&mut [f32]> {
        let (place, len) = self.operands[i]?;
        let buffer = &mut self.gradients[place];
        buffer.resize(len, 0.0);
        Some(buffer)
    }

    /// Adds an element each to the gradient of operand `i`, where it is needed; without a pass
    /// over zeros if they are the first.
    pub(super) fn add(&mut self, i: usize, elements: impl Iterator<Item = f32>) {
        let Some((place, _)) = self.operands[i] else {
            return;
        };
        let buffer = &mut self.gradients[place];
        cpu::vectorised(|| {
            if buffer.is_empty() {
                buffer.extend(elements);
            } else {
                buffer
                    .iter_mut()
                    .zip(elements)
                    .for_each(|(sum, x)| *sum += x);
            }
        });
    }
}

/// Outputs with a node, and their cotangents.
pub(super) type Outputs<'a> = [(&'a Inner, Option<&'a Inner>)];

/// A tensor whose gradient is asked for.
pub(super) struct Target<'a> {
    node: &'a Node,
    #[cfg(feature = "cuda")]
    pub(super) flat: Option<&'a super::gpu::Flat>,
    pub(super) shape: Shape,
}

/// Checks the outputs and keeps those with a node.
fn tracked<'a>(
    outputs: &[(&'a Tensor, Option<&'a Tensor>)],
) -> Result<Vec<(&'a Inner, Option<&'a Inner>)>> {
    let mut found: Vec<(&Inner, Option<&Inner>)> = Vec::with_capacity(outputs.len());
    for (output, cotangent) in outputs {
        let output = output.inner()?;
        let cotangent = cotangent.map(Tensor::inner).transpose()?;
        if let Some(cotangent) = cotangent {
            if cotangent.shape != output.shape {
                return Err(Error::Autodiff(format!(
                    "grad: the cotangent has shape {}, its output {}",
                    cotangent.shape, output.shape
                )));
            }
            same_device(output, cotangent)?;
        }
        if let Some((first, _)) = found.first() {
            same_device(first, output)?;
        }
        if output.node.is_some() {
            found.push((output, cotangent));
        }
    }
    Ok(found)
}

fn same_device(a: &Inner, b: &Inner) -> Result<()> {
    if a.device == b.device {
        return Ok(());
    }
    Err(Error::Autodiff(format!(
        "grad: tensors are on {} and {}; move one with `to_device`",
        a.device, b.device
    )))
}

/// Seeds the outputs, runs the pass, and reads the gradient of each target; no node twice.
fn backpropagate(
    pass: &Pass<'_>,
    outputs: &Outputs<'_>,
    targets: &[Target<'_>],
) -> Result<Vec<Tensor>> {
    pass.check()?;
    match outputs[0].0.data {
        Data::Cpu(_) => backpropagate_cpu(pass, outputs, targets),
        #[cfg(feature = "cuda")]
        Data::Cuda(_) => super::gpu::backpropagate(pass, outputs, targets),
    }
}

fn backpropagate_cpu(
    pass: &Pass<'_>,
    outputs: &Outputs<'_>,
    targets: &[Target<'_>],
) -> Result<Vec<Tensor>> {
    let mut gradients = vec![Vec::new(); pass.nodes.len()];
    for (output, cotangent) in outputs {
        let place = output.node.as_ref().and_then(|node| pass.place(node));
        let Some(gradient) = place.map(|place| &mut gradients[place]) else {
            continue;
        };
        match cotangent.map(|cotangent| &cotangent.data) {
            Some(Data::Cpu(cotangent)) if gradient.is_empty() => {
                gradient.extend_from_slice(cpu::slice(cotangent));
            }
            Some(Data::Cpu(cotangent)) => cpu::add(gradient, cpu::slice(cotangent)),
            #[cfg(feature = "cuda")]
            Some(Data::Cuda(_)) => {}
            None => {
                gradient.resize(output.shape.numel(), 0.0);
                gradient.iter_mut().for_each(|g| *g += 1.0);
            }
        }
    }
    for (place, node) in pass.work() {
        let Some(Backward::Cpu(backward)) = node.backward.borrow_mut().take() else {
            continue;
        };
        let gradient = std::mem::take(&mut gradients[place]);
        if gradient.is_empty() {
            continue;
        }
        let operand = |parent: &Option<Rc<Node>>| {
            let parent = parent.as_ref().filter(|parent| pass.needs(parent))?;
            Some((pass.place(parent)?, parent.len))
        };
        let mut sinks = Sinks {
            gradients: &mut gradients,
            operands: node.parents.iter().map(operand).collect(),
        };
        backward(&gradient, &mut sinks)?;
        if pass.targets[place] {
            gradients[place] = gradient;
        }
    }
    let read = |target: &Target<'_>| {
        let place = pass.place(target.node);
        let mut gradient = place.map_or_else(Vec::new, |at| std::mem::take(&mut gradients[at]));
        gradient.resize(target.shape.numel(), 0.0);
        let device = outputs[0].0.device.clone();
        Tensor::new(Inner::constant(
            target.shape,
            Data::Cpu(gradient.into()),
            device,
        ))
    };
    Ok(targets.iter().map(read).collect())
}

/// Reverse-mode derivative: for each tensor of `wrt`, the derivative of
/// Σ_i ⟨cotangent_i, output_i⟩; a cotangent of `None` means ones.
///
/// `wrt` may hold leaves and intermediate results; one that no output depends on gets zeros.
/// Backward operations run once: a second call over the same part of the graph is an error, over
/// a disjoint part it is not.
///
/// # Errors
/// The error carried by a poisoned tensor; [`Error::Autodiff`] for a cotangent of another shape,
/// tensors on several devices, an untracked tensor in `wrt`, or a graph that was used up.
pub fn grad(outputs: &[(&Tensor, Option<&Tensor>)], wrt: &[&Tensor]) -> Result<Vec<Tensor>> {
    let wrt = wrt.iter().map(|t| t.inner()).collect::<Result<Vec<_>>>()?;
    let outputs = tracked(outputs)?;
    let mut targets: Vec<Target<'_>> = Vec::with_capacity(wrt.len());
    // For each tensor of `wrt` the target that it is.
    let mut which: Vec<usize> = Vec::with_capacity(wrt.len());
    for (i, target) in wrt.iter().enumerate() {
        let Some(node) = target.node.as_deref() else {
            return Err(Error::Autodiff(format!(
                "grad: tensor {i} of `wrt` is a constant; make it a leaf with `leaf()` before \
                 computing with it"
            )));
        };
        let known = targets.iter().position(|other| other.node.id == node.id);
        which.push(known.unwrap_or(targets.len()));
        if known.is_none() {
            targets.push(Target {
                node,
                #[cfg(feature = "cuda")]
                flat: super::gpu::flat(&target.data),
                shape: target.shape,
            });
        }
    }
    let Some((first, _)) = outputs.first() else {
        return Ok(wrt.iter().map(|t| t.zeros()).collect());
    };
    for target in &wrt {
        same_device(first, target)?;
    }
    let mut ids: Vec<u64> = targets.iter().map(|target| target.node.id).collect();
    ids.sort_unstable();
    let oldest = ids.first().copied().unwrap_or(u64::MAX);
    let is_target = |node: &Node| ids.binary_search(&node.id).is_ok();
    let pass = Pass::find(&outputs, oldest, &[], is_target);
    let read = backpropagate(&pass, &outputs, &targets)?;
    Ok(which.into_iter().map(|i| read[i].clone()).collect())
}

/// As [`grad`], with respect to every parameter that the outputs depend on. A parameter read
/// through several leaves gets the sum; one that no handle refers to any more is left out.
///
/// # Errors
/// As [`grad`].
pub fn grad_parameters(outputs: &[(&Tensor, Option<&Tensor>)]) -> Result<Vec<(Parameter, Tensor)>> {
    grad_parameters_around(outputs, &[])
}

/// As [`grad_parameters`], with the intermediate results `constants` taken as constants.
///
/// # Errors
/// As [`grad`].
pub(crate) fn grad_parameters_around(
    outputs: &[(&Tensor, Option<&Tensor>)],
    constants: &[&Tensor],
) -> Result<Vec<(Parameter, Tensor)>> {
    let outputs = tracked(outputs)?;
    if outputs.is_empty() {
        return Ok(Vec::new());
    }
    let pass = Pass::find(&outputs, 0, constants, |node| node.leaf.is_some());
    let leaves = pass
        .nodes
        .iter()
        .filter_map(|&node| Some((node, node.leaf.as_ref()?)));
    let (living, targets): (Vec<Parameter>, Vec<Target<'_>>) = leaves
        .filter_map(|(node, leaf)| {
            let target = Target {
                node,
                #[cfg(feature = "cuda")]
                flat: leaf.flat.as_ref(),
                shape: leaf.shape,
            };
            Some((Parameter::living(&leaf.parameter)?, target))
        })
        .unzip();
    let read = backpropagate(&pass, &outputs, &targets)?;
    let mut gradients: Vec<(Parameter, Tensor)> = Vec::with_capacity(read.len());
    for (parameter, gradient) in living.into_iter().zip(read) {
        let known = |(other, _): &&mut (Parameter, Tensor)| other.key() == parameter.key();
        match gradients.iter_mut().find(known) {
            Some((_, sum)) => *sum = &*sum + &gradient,
            None => gradients.push((parameter, gradient)),
        }
    }
    Ok(gradients)
}

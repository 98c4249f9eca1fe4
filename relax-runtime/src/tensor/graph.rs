//! Reverse mode: a graph of nodes, each holding the backward operations that dfdx recorded for
//! one tensor operation on our implementation of its `Tape` trait.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use dfdx::tensor::{Gradients, HasErr, Merge, NoneTape, Storage, Tape};

use super::dispatch::{Backend, Data};
use super::{Inner, Parameter, Shape, Tensor};
use crate::error::{Error, Result};

/// One backward operation. The flags say which of the node's parents need a gradient; dfdx's own
/// operations ignore them, ours skip the work.
pub(super) type Op<D> =
    Box<dyn FnOnce(&mut Gradients<f32, D>, &[bool]) -> Result<(), <D as HasErr>::Err>>;

/// dfdx's tape of a single operation: keeps its backward operations in order, or drops them when
/// no operand is tracked.
///
/// Public because [`Tensor::apply_module`] hands tensors with this tape to dfdx modules.
pub struct Recorder<D: Storage<f32>> {
    ops: Option<Vec<Op<D>>>,
}

impl<D: Storage<f32>> Recorder<D> {
    pub(super) fn new(recording: bool) -> Self {
        Self {
            ops: recording.then(Vec::new),
        }
    }

    /// An empty tape that records if this one does: for an operand that is used twice.
    #[cfg(feature = "cuda")]
    pub(super) fn beside(&self) -> Self {
        Self::new(self.ops.is_some())
    }

    pub(super) fn into_ops(self) -> Vec<Op<D>> {
        self.ops.unwrap_or_default()
    }

    /// Records an operation of our own.
    pub(super) fn push(&mut self, op: Op<D>) {
        if let Some(ops) = &mut self.ops {
            ops.push(op);
        }
    }
}

impl<D: Storage<f32>> Default for Recorder<D> {
    fn default() -> Self {
        Self { ops: None }
    }
}

impl<D: Storage<f32>> Tape<f32, D> for Recorder<D> {
    const OWNS_TAPE: bool = true;

    fn add_backward_op<F>(&mut self, operation: F)
    where
        F: 'static + FnOnce(&mut Gradients<f32, D>) -> Result<(), D::Err>,
    {
        if let Some(ops) = &mut self.ops {
            ops.push(Box::new(move |gradients, _| operation(gradients)));
        }
    }
}

impl<D: Storage<f32>> Merge<NoneTape> for Recorder<D> {
    fn merge(self, _: NoneTape) -> Self {
        self
    }
}

impl<D: Storage<f32>> Merge<Self> for Recorder<D> {
    fn merge(self, other: Self) -> Self {
        let ops = match (self.ops, other.ops) {
            (Some(mut ops), Some(more)) => {
                ops.extend(more);
                Some(ops)
            }
            (ops, more) => ops.or(more),
        };
        Self { ops }
    }
}

/// A trained parameter's identity, kept by its leaf so that the graph can be searched for it.
pub(super) struct Leaf {
    pub(super) key: u64,
    pub(super) data: Data,
    pub(super) shape: Shape,
}

/// The result of one recorded operation, or a leaf.
pub(super) struct Node {
    /// Grows along every edge from parent to child.
    id: u64,
    /// Aligned with the operation's operands; `None` for an untracked one.
    parents: Vec<Option<Rc<Node>>>,
    /// `None` once the operations have run.
    backward: RefCell<Option<Backward>>,
    leaf: Option<Leaf>,
}

/// Backward operations of a node, on the device of its result.
pub(super) enum Backward {
    Cpu(Vec<Op<dfdx::tensor::Cpu>>),
    #[cfg(feature = "cuda")]
    Cuda(Vec<Op<super::device::Gpu>>),
}

impl Node {
    fn build(
        parents: Vec<Option<Rc<Node>>>,
        backward: Option<Backward>,
        leaf: Option<Leaf>,
    ) -> Rc<Self> {
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        let id = NEXT.get();
        NEXT.set(id + 1);
        Rc::new(Self {
            id,
            parents,
            backward: RefCell::new(backward),
            leaf,
        })
    }

    pub(super) fn leaf(leaf: Option<Leaf>) -> Rc<Self> {
        Self::build(Vec::new(), None, leaf)
    }

    pub(super) fn result(parents: Vec<Option<Rc<Node>>>, backward: Backward) -> Rc<Self> {
        Self::build(parents, Some(backward), None)
    }

    fn parents(&self) -> impl Iterator<Item = &Rc<Node>> {
        self.parents.iter().flatten()
    }
}

/// Releases long chains of nodes with a loop, where the derived drop would recurse.
impl Drop for Node {
    fn drop(&mut self) {
        let mut released: Vec<Rc<Node>> = self.parents.drain(..).flatten().collect();
        while let Some(node) = released.pop() {
            if let Some(mut node) = Rc::into_inner(node) {
                released.extend(node.parents.drain(..).flatten());
            }
        }
    }
}

/// All nodes that `roots` depend on and whose id is at least `oldest`, by ascending id: parents
/// before children. The search does not look at, or beyond, the nodes whose id is in `seen`.
fn ancestors<'a>(
    roots: impl Iterator<Item = &'a Rc<Node>>,
    oldest: u64,
    mut seen: HashSet<u64>,
) -> Vec<&'a Node> {
    let mut pending: Vec<&Node> = roots.map(Rc::as_ref).collect();
    let mut found = Vec::new();
    while let Some(node) = pending.pop() {
        if node.id >= oldest && seen.insert(node.id) {
            found.push(node);
            pending.extend(node.parents().map(Rc::as_ref));
        }
    }
    found.sort_unstable_by_key(|node| node.id);
    found
}

/// The part of a graph that a backward pass has to run.
struct Pass<'a> {
    /// Children last.
    nodes: Vec<&'a Node>,
    /// Whether a node is one of the targets or depends on one.
    reaches: HashMap<u64, bool>,
}

impl<'a> Pass<'a> {
    fn plan(nodes: Vec<&'a Node>, is_target: impl Fn(&Node) -> bool) -> Self {
        let mut reaches = HashMap::with_capacity(nodes.len());
        for node in &nodes {
            let reached = is_target(node)
                || node
                    .parents()
                    .any(|parent| reaches.get(&parent.id) == Some(&true));
            reaches.insert(node.id, reached);
        }
        Self { nodes, reaches }
    }

    /// For each operand of `node`, whether it needs a gradient.
    fn needs(&self, node: &Node) -> Vec<bool> {
        let needs = |parent: &Rc<Node>| self.reaches.get(&parent.id) == Some(&true);
        node.parents
            .iter()
            .map(|p| p.as_ref().is_some_and(needs))
            .collect()
    }

    fn run<D: Backend>(&self, gradients: &mut Gradients<f32, D>) -> Result<()> {
        let work: Vec<(&Node, Vec<bool>)> = (self.nodes.iter().rev())
            .map(|&node| (node, self.needs(node)))
            .filter(|(_, needs)| needs.contains(&true))
            .collect();
        // Checked before anything runs, so that a refused pass leaves the graph as it was.
        if work
            .iter()
            .any(|(node, _)| node.backward.borrow().is_none())
        {
            return Err(Error::Autodiff(
                "this part of the graph was differentiated before, and its backward operations \
                 are used up; run the forward pass again, or ask for all gradients in one call"
                    .into(),
            ));
        }
        for (node, needs) in work {
            let backward = node.backward.borrow_mut().take();
            for op in backward
                .and_then(D::ops)
                .unwrap_or_default()
                .into_iter()
                .rev()
            {
                op(gradients, &needs).map_err(D::error)?;
            }
        }
        Ok(())
    }
}

type Outputs<'a> = [(&'a Tensor, Option<&'a Tensor>)];

/// Outputs with a node, checked, and their cotangents.
fn tracked<'a>(outputs: &Outputs<'a>) -> Result<Vec<(&'a Inner, Option<&'a Inner>)>> {
    let mut found: Vec<(&Inner, Option<&Inner>)> = Vec::new();
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

/// Seeds the outputs, runs the pass, and reads the gradient of each target.
fn backpropagate<D: Backend>(
    pass: &Pass<'_>,
    outputs: &[(&Inner, Option<&Inner>)],
    targets: &[(&Data, Shape)],
) -> Result<Vec<Tensor>> {
    let mut gradients = Gradients::<f32, D>::leaky();
    for (output, cotangent) in outputs {
        let Some(flat) = D::flat(&output.data) else {
            continue;
        };
        D::seed(
            &mut gradients,
            flat,
            cotangent.and_then(|c| D::flat(&c.data)),
        )
        .map_err(D::error)?;
    }
    pass.run(&mut gradients)?;
    (targets.iter())
        .filter_map(|(data, shape)| Some((D::flat(data)?, *shape)))
        .map(|(flat, shape)| {
            let gradient = D::gradient(&mut gradients, flat).map_err(D::error)?;
            Ok(Tensor::new(Inner::constant(
                shape,
                D::wrap(gradient),
                outputs[0].0.device.clone(),
            )))
        })
        .collect()
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
    let mut ids = HashMap::new();
    for (i, target) in wrt.iter().enumerate() {
        let Some(node) = &target.node else {
            return Err(Error::Autodiff(format!(
                "grad: tensor {i} of `wrt` is a constant; make it a leaf with `leaf()` before \
                 computing with it"
            )));
        };
        ids.entry(node.id).or_insert(i);
    }
    let Some((first, _)) = outputs.first() else {
        return Ok(wrt.iter().map(|t| t.zeros()).collect());
    };
    for target in &wrt {
        same_device(first, target)?;
    }
    let oldest = ids.keys().copied().min().unwrap_or(u64::MAX);
    let roots = outputs
        .iter()
        .filter_map(|(output, _)| output.node.as_ref());
    let nodes = ancestors(roots, oldest, HashSet::new());
    let pass = Pass::plan(nodes, |node| ids.contains_key(&node.id));

    // Reading a gradient moves it out of dfdx's table, so each node is read once.
    let mut places: Vec<usize> = ids.values().copied().collect();
    places.sort_unstable();
    let targets: Vec<_> = places
        .iter()
        .map(|&i| (&wrt[i].data, wrt[i].shape))
        .collect();
    let read = on_backend!(&first.data, D => backpropagate::<D>(&pass, &outputs, &targets))?;
    let by_place: HashMap<usize, Tensor> = places.into_iter().zip(read).collect();
    Ok((wrt.iter())
        .filter_map(|target| target.node.as_ref())
        .map(|node| by_place[&ids[&node.id]].clone())
        .collect())
}

/// All nodes that `outputs` depend on other than through `constants`.
fn all_nodes<'a>(outputs: impl Iterator<Item = &'a Inner>, constants: &[&Tensor]) -> Vec<&'a Node> {
    let roots = outputs.filter_map(|output| output.node.as_ref());
    let id = |t: &&Tensor| Some(t.inner().ok()?.node.as_ref()?.id);
    ancestors(roots, 0, constants.iter().filter_map(id).collect())
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
    let Some((first, _)) = outputs.first() else {
        return Ok(Vec::new());
    };
    let nodes = all_nodes(outputs.iter().map(|(output, _)| *output), constants);
    let leaves: Vec<&Leaf> = nodes.iter().filter_map(|node| node.leaf.as_ref()).collect();
    let targets: Vec<_> = leaves.iter().map(|leaf| (&leaf.data, leaf.shape)).collect();
    let pass = Pass::plan(nodes.clone(), |node| node.leaf.is_some());
    let read = on_backend!(&first.data, D => backpropagate::<D>(&pass, &outputs, &targets))?;

    let mut gradients: Vec<(u64, Tensor)> = Vec::with_capacity(read.len());
    for (leaf, gradient) in leaves.iter().zip(read) {
        match gradients.iter_mut().find(|(key, _)| *key == leaf.key) {
            Some((_, sum)) => *sum = &*sum + &gradient,
            None => gradients.push((leaf.key, gradient)),
        }
    }
    Ok(gradients
        .into_iter()
        .filter_map(|(key, gradient)| Some((Parameter::of(key)?, gradient)))
        .collect())
}

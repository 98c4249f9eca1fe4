//! Derivatives of outputs, by traversing the graph backward.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::cases::lose;
use super::graph::{Gradient, Node, ReversePass};
use super::native::{self, Buffer, memory, memory::Numbers};
use super::slot::Tables;
use super::storage::Data;
use super::{Inner, Parameter, Provenance, Shape, Tensor};
use crate::error::{Error, Result};

/// A list with one element per output.
type PerOutput<T> = SmallVec<[T; 4]>;

/// Gradients of parameters, and of other tensors.
type Gradients = (Vec<(Parameter, Tensor)>, Vec<Tensor>);

/// Outputs with a node, and their cotangents.
pub(super) type Outputs<'a> = [(&'a Inner, Option<&'a Inner>)];

/// A tensor whose gradient is requested.
struct Target<'a> {
    node: &'a Node,
    shape: Shape,
}

/// Checks the outputs and keeps those with a node.
fn tracked<'a>(
    outputs: &[(&'a Tensor, Option<&'a Tensor>)],
) -> Result<PerOutput<(&'a Inner, Option<&'a Inner>)>> {
    let mut found: PerOutput<(&Inner, Option<&Inner>)> = PerOutput::with_capacity(outputs.len());
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
            if cotangent.device() != output.device() {
                return Err(Error::Autodiff(format!(
                    "grad: the cotangent is on {}, its output on {}; move one with `to_device`",
                    cotangent.device(),
                    output.device()
                )));
            }
        }
        if output.node.is_some() {
            found.push((output, cotangent));
        }
    }
    Ok(found)
}

/// Seeds the outputs, runs the pass, and reads the gradient of each target; no node is run twice.
fn backpropagate(
    pass: &ReversePass<'_>,
    outputs: &Outputs<'_>,
    targets: &[Target<'_>],
) -> Result<Vec<Tensor>> {
    pass.check()?;
    let mut gradients: Vec<Numbers> = pass.found.iter().map(|_| Numbers::new()).collect();
    let mut tables = Tables::default();
    for (output, cotangent) in outputs {
        let Some(node) = &output.node else { continue };
        let cotangent = cotangent.map(|cotangent| &cotangent.data);
        if let Some(slot) = &node.slot {
            slot.add(&mut tables, cotangent)?;
            continue;
        }
        let Some(gradient) = pass.place(node).map(|place| &mut gradients[place]) else {
            continue;
        };
        match cotangent.and_then(Data::native) {
            Some(cotangent) if gradient.is_empty() => {
                *gradient = memory::copy_numbers(native::slice(cotangent));
            }
            Some(cotangent) => native::add(gradient, native::slice(cotangent)),
            None => {
                if gradient.is_empty() {
                    *gradient = memory::zeros(output.shape.numel());
                }
                gradient.iter_mut().for_each(|g| *g += 1.0);
            }
        }
    }
    for (place, node) in pass.work() {
        let mut gradient = Gradient {
            values: std::mem::take(&mut gradients[place]),
            kept: pass.found[place].is_target,
        };
        let backward = node.use_up();
        if gradient.is_empty() && node.slot.is_none() {
            continue;
        }
        let sinks = &mut pass.sinks(node, &mut gradients, &mut tables);
        backward.run(&mut gradient, sinks)?;
        if gradient.kept {
            gradients[place] = gradient.values;
        } else {
            memory::give_numbers(gradient.values);
        }
    }
    let read = |target: &Target<'_>| {
        let data = match &target.node.slot {
            Some(slot) => slot.read(&mut tables)?,
            None => {
                let place = pass.place(target.node);
                let taken = place.map(|place| std::mem::take(&mut gradients[place]));
                let reached = taken.filter(|gradient| !gradient.is_empty());
                let zeros = || memory::zeros(target.shape.numel());
                Data::Native(reached.unwrap_or_else(zeros).into())
            }
        };
        Ok(Tensor::new(Inner::constant(target.shape, data)))
    };
    let read = targets.iter().map(read).collect();
    // Gradients of outputs that depend on no target.
    gradients.into_iter().for_each(memory::give_numbers);
    read
}

/// Reverse-mode derivatives: for each tensor of `wrt`, the derivative of
/// Σ_i ⟨cotangent_i, output_i⟩; a cotangent of `None` means ones.
///
/// `wrt` may hold leaves and intermediate results; one that no output depends on gets zeros.
/// Backward operations run once: a second call over the same part of the graph is an error, but
/// not over a disjoint part. The gradients are constants, and come from the random sites that the
/// outputs came from.
///
/// ```
/// use relax_runtime::{Result, Tensor, grad};
/// # fn main() -> Result<()> {
/// let x = Tensor::from_slice(&[1.0, 2.0]).leaf();
/// assert_eq!(grad(&[(&x.square(), None)], &[&x])?[0].to_vec()?, [2.0, 4.0]);
///
/// // The gradient of a tangent is a second derivative: that of x³ is 6x.
/// let moving = x.with_tangent(&x.ones_like());
/// let slope = (moving.square() * &moving).tangent().expect("x has a tangent");
/// assert_eq!(slope.to_vec()?, [3.0, 12.0]);
/// assert_eq!(grad(&[(&slope, None)], &[&x])?[0].to_vec()?, [6.0, 12.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The error carried by a poisoned tensor; [`Error::Autodiff`] for a cotangent of another shape,
/// a cotangent on another device, an untracked tensor in `wrt`, or a graph that was used up.
pub fn grad(outputs: &[(&Tensor, Option<&Tensor>)], wrt: &[&Tensor]) -> Result<Vec<Tensor>> {
    let all = outputs.iter().flat_map(|&(x, weight)| [Some(x), weight]);
    let mut all = all.flatten().chain(wrt.iter().copied());
    if all.any(Tensor::has_cases) {
        lose();
    }
    let wrt = wrt.iter().map(|t| t.inner()).collect::<Result<Vec<_>>>()?;
    let outputs = tracked(outputs)?;
    let (ids, targets) = distinct(&wrt)?;
    if outputs.is_empty() {
        return Ok(wrt.iter().map(|t| t.zeros()).collect());
    }
    let oldest = ids.first().copied().unwrap_or(u64::MAX);
    let is_target = |node: &Node| ids.binary_search(&node.id).is_ok();
    let pass = ReversePass::find(&outputs, oldest, &[], is_target);
    let read = backpropagate(&pass, &outputs, &targets)?;
    let sources = outputs
        .iter()
        .flat_map(|&(output, cotangent)| [Some(output), cotangent]);
    let sources = sources.flatten().filter_map(|x| x.provenance.as_ref());
    let provenance = Provenance::union(sources);
    let from_sites = |gradient: &Tensor| match &provenance {
        Some(provenance) => gradient.with_provenance(provenance.clone()).severed(),
        None => gradient.clone(),
    };
    let of = |target: &&Inner| {
        let id = target.node.as_ref().map_or(u64::MAX, |node| node.id);
        from_sites(&read[ids.partition_point(|&other| other < id)])
    };
    Ok(wrt.iter().map(of).collect())
}

/// The nodes of tensors whose gradients are requested, in the order of their ids, each once.
fn distinct<'a>(wrt: &[&'a Inner]) -> Result<(Vec<u64>, Vec<Target<'a>>)> {
    let mut targets: Vec<Target<'_>> = Vec::with_capacity(wrt.len());
    for (i, target) in wrt.iter().enumerate() {
        let Some(node) = target.node.as_deref() else {
            return Err(Error::Autodiff(format!(
                "grad: tensor {i} of `wrt` is a constant; make it a leaf with `leaf()` before \
                 computing with it"
            )));
        };
        targets.push(Target {
            node,
            shape: target.shape,
        });
    }
    targets.sort_unstable_by_key(|target| target.node.id);
    targets.dedup_by_key(|target| target.node.id);
    let ids = targets.iter().map(|target| target.node.id).collect();
    Ok((ids, targets))
}

/// As [`grad`], with respect to every [`Parameter`] that the outputs depend on. A parameter read
/// through several leaves gets the sum; one without any remaining handle is left out.
///
/// # Errors
/// As [`grad`].
pub fn grad_parameters(outputs: &[(&Tensor, Option<&Tensor>)]) -> Result<Vec<(Parameter, Tensor)>> {
    grad_parameters_around(outputs, &[])
}

/// As [`grad_parameters`], with the intermediate results `constants` treated as constants.
///
/// # Errors
/// As [`grad`].
pub(crate) fn grad_parameters_around(
    outputs: &[(&Tensor, Option<&Tensor>)],
    constants: &[&Tensor],
) -> Result<Vec<(Parameter, Tensor)>> {
    let found = tracked(outputs)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(gradients) = of_parameters_alone(outputs, constants) {
        return Ok(gradients);
    }
    Ok(of_parameters_and(&found, constants, &[])?.0)
}

/// As [`grad_parameters_around`], and also with respect to the tensors of `wrt`, in one pass.
///
/// # Errors
/// As [`grad`].
pub(crate) fn grad_parameters_and(
    outputs: &[(&Tensor, Option<&Tensor>)],
    constants: &[&Tensor],
    wrt: &[&Tensor],
) -> Result<Gradients> {
    let outputs = tracked(outputs)?;
    let wrt = wrt.iter().map(|t| t.inner()).collect::<Result<Vec<_>>>()?;
    match outputs.is_empty() {
        true => Ok((Vec::new(), wrt.iter().map(|t| t.zeros()).collect())),
        false => of_parameters_and(&outputs, constants, &wrt),
    }
}

fn of_parameters_and(
    outputs: &Outputs<'_>,
    constants: &[&Tensor],
    wrt: &[&Inner],
) -> Result<Gradients> {
    let (ids, further) = distinct(wrt)?;
    let is_target = |node: &Node| node.leaf.is_some() || ids.binary_search(&node.id).is_ok();
    let pass = ReversePass::find(outputs, 0, constants, is_target);
    let nodes = pass.found.iter().map(|found| found.node);
    let leaves = nodes.filter_map(|node| Some((node, node.leaf.as_ref()?)));
    let (living, mut targets): (Vec<Parameter>, Vec<Target<'_>>) = leaves
        .filter_map(|(node, leaf)| {
            let target = Target {
                node,
                shape: leaf.shape,
            };
            Some((Parameter::living(&leaf.parameter)?, target))
        })
        .unzip();
    targets.extend(further);
    let mut read = backpropagate(&pass, outputs, &targets)?;
    let further = read.split_off(living.len());
    let of = |target: &&Inner| {
        let id = target.node.as_ref().map_or(u64::MAX, |node| node.id);
        further[ids.partition_point(|&other| other < id)].clone()
    };
    let by_tensor = wrt.iter().map(of).collect();
    Ok((by_parameter(living.into_iter().zip(read)), by_tensor))
}

/// Whether the graphs of two lists of tensors have an operation in common, so that they cannot both be
/// traversed.
pub(crate) fn share_operations(a: &[&Tensor], b: &[&Tensor]) -> Result<bool> {
    let operations = |tensors: &[&Tensor]| -> Result<Vec<u64>> {
        let outputs: Vec<_> = tensors.iter().map(|t| (*t, None)).collect();
        let outputs = tracked(&outputs)?;
        let pass = ReversePass::find(&outputs, 0, &[], |_| false);
        let nodes = pass.found.iter().map(|found| found.node);
        Ok(nodes
            .filter(|n| !n.parents.is_empty())
            .map(|n| n.id)
            .collect())
    };
    // In the order of their ids.
    let (a, b) = (operations(a)?, operations(b)?);
    Ok(b.iter().any(|id| a.binary_search(id).is_ok()))
}

/// The gradients of outputs that are parameters themselves, in this project's own engine: their cotangents, without
/// a search of the graph. `None` where an output is anything else.
fn of_parameters_alone(
    outputs: &[(&Tensor, Option<&Tensor>)],
    constants: &[&Tensor],
) -> Option<Vec<(Parameter, Tensor)>> {
    if constants.iter().any(|constant| constant.is_tracked()) {
        return None;
    }
    let mut found: PerOutput<(u64, Parameter, Tensor)> = PerOutput::with_capacity(outputs.len());
    for (output, cotangent) in outputs {
        let output = output.inner().ok()?;
        let Some(node) = output.node.as_deref() else {
            continue;
        };
        let leaf = node.leaf.as_ref()?;
        let gradient = match cotangent {
            Some(cotangent) => {
                cotangent.inner().ok()?.data.native()?;
                cotangent.kept()
            }
            None => {
                let ones = Buffer::full(output.data.native()?.as_slice().len(), 1.0);
                Tensor::new(Inner::constant(output.shape, Data::Native(ones)))
            }
        };
        if let Some(parameter) = Parameter::living(&leaf.parameter) {
            found.push((node.id, parameter, gradient));
        }
    }
    if !found.is_sorted_by_key(|(node, ..)| *node) {
        found.sort_by_key(|(node, ..)| *node);
    }
    let pairs = found
        .into_iter()
        .map(|(_, parameter, gradient)| (parameter, gradient));
    Some(by_parameter(pairs))
}

/// One gradient per parameter: the sum of those that belong to it.
pub(crate) fn by_parameter(
    pairs: impl IntoIterator<Item = (Parameter, Tensor)>,
) -> Vec<(Parameter, Tensor)> {
    /// Up to this many are found faster one by one.
    const FEW: usize = 32;
    let pairs = pairs.into_iter();
    let mut places: FxHashMap<u64, usize> = FxHashMap::default();
    let mut gradients: Vec<(Parameter, Tensor)> = Vec::with_capacity(pairs.size_hint().0);
    let mut largest = None;
    for (parameter, gradient) in pairs {
        let key = parameter.key();
        // Mostly they come in the order in which they were made.
        let is_new = largest < Some(key);
        largest = largest.max(Some(key));
        let known = match gradients.len() > FEW {
            _ if is_new => None,
            true => {
                let new = gradients.iter().enumerate().skip(places.len());
                places.extend(new.map(|(at, (parameter, _))| (parameter.key(), at)));
                places.get(&key).copied()
            }
            false => gradients.iter().position(|(other, _)| other.key() == key),
        };
        match known {
            Some(at) => gradients[at].1 = &gradients[at].1 + &gradient,
            None => gradients.push((parameter, gradient)),
        }
    }
    gradients
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters get one gradient each, in whatever order they come.
    #[test]
    fn gradients_of_a_parameter_are_added_up() -> Result<()> {
        let parameters: Vec<_> = (0..50)
            .map(|i| Parameter::new(Tensor::scalar(i as f32)))
            .collect();
        let order = (0..50).chain([7, 49, 3]).chain((0..50).rev());
        let pairs = order.map(|i| (parameters[i].clone(), Tensor::scalar(1.0)));
        for pairs in [pairs.clone().collect::<Vec<_>>(), pairs.rev().collect()] {
            let gradients = by_parameter(pairs);
            assert_eq!(gradients.len(), 50);
            for (parameter, gradient) in gradients {
                let twice = [3, 7, 49]
                    .iter()
                    .any(|&i| parameters[i].key() == parameter.key());
                assert_eq!(gradient.item()?, if twice { 3.0 } else { 2.0 });
            }
        }
        Ok(())
    }
}

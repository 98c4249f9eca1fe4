//! The tensor of this crate: run-time shape and device, f32.
//!
//! Two engines hold the numbers and compute with them: `native`, this project's own on the CPU, and
//! `dfdx`, on dfdx's CPU and, in a build with the feature `cuda`, on NVIDIA GPUs. The first is the
//! default on the CPU, because small models would spend most of their time on the reference counts and tables of
//! dfdx's tensors. An operation is declared once, in `ops`: its checks, its tangent rule and one call
//! to the engine of its operands.
//!
//! The module adds run-time ranks with NumPy's broadcasting, a graph that can be differentiated from
//! any outputs with any cotangents ([`grad`]), and forward-mode tangents carried by the values
//! themselves, so that [`grad`] of a tangent is an exact mixed second derivative.
//!
//! No operation panics on a wrong shape. Its result is *poisoned*: it carries the error with the
//! caller's line, every operation on it passes that error on, and reading it returns the error.
//!
//! A tensor has a node of the graph, a node has tensors, and both hold an engine's numbers: `graph`, `grad`,
//! `parameter`, `together`, `provenance`, `storage`, `slot`, `engine` and this file form one data structure, and
//! depend on each other.

// The macros of these modules are used by all that follow.
#[macro_use]
mod storage;
#[macro_use]
pub(crate) mod native;
#[macro_use]
mod element;

#[cfg(all(test, feature = "dfdx"))]
mod agreement;
mod cases;
mod device;
#[cfg(feature = "dfdx")]
mod dfdx;
mod engine;
mod grad;
mod graph;
mod moved;
mod op;
mod ops;
mod parameter;
mod provenance;
mod read;
mod rounding;
mod shape;
mod shared;
mod site_set;
mod slot;
mod text;
mod together;

use std::panic::Location;
use std::rc::{Rc, Weak};

pub(crate) use cases::{AllCases, Choice, Choices, Collecting, broadcast, each_apart};
pub use device::Device;
#[cfg(feature = "dfdx")]
pub use dfdx::{Recorder, Traced};
pub(crate) use element::Element;
#[cfg(all(test, feature = "dfdx"))]
pub(crate) use engine::taken_reads;
pub(crate) use grad::{
    by_parameter, grad_parameters_and, grad_parameters_around, share_operations,
};
pub use grad::{grad, grad_parameters};
pub use native::simd::{Simd, set_simd, simd};
pub use native::threads::{set_threads, threads};
pub(crate) use op::Op;
pub use ops::{Comparand, Scalar};
pub use parameter::Parameter;
pub(crate) use parameter::{Holding, Moving};
pub(crate) use provenance::{Origin, Provenance, Reads};
pub(crate) use rounding::Rounding;
pub use shape::{MAX_RANK, Shape};
pub(crate) use shared::Sharing;
pub use site_set::SiteSet;
pub(crate) use site_set::{Block, Word};
pub(crate) use together::Together;

use crate::error::{Error, Result};
use cases::{Cases, lose};
use engine::Engine;
use graph::{Leaf, Node};
use storage::Data;

/// An array of `f32` numbers with a run-time shape and device, and what is needed to differentiate
/// it. Cloning shares everything.
///
/// ```
/// use relax_runtime::{Result, Tensor, grad};
/// # fn main() -> Result<()> {
/// let x = Tensor::from_slice(&[1.0, 2.0, 3.0]).leaf();
/// let y = (&x * &x).sum_all() + 1.0;
/// assert_eq!(y.item()?, 15.0);
/// assert_eq!(grad(&[(&y, None)], &[&x])?[0].to_vec()?, [2.0, 4.0, 6.0]);
///
/// // Shapes that do not fit do not panic: reading the result returns the error.
/// let wrong = &x + Tensor::from_slice(&[1.0, 2.0]);
/// assert!(wrong.exp().to_vec().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tensor(Result<Rc<Inner>, Rc<Error>>);

#[derive(Clone)]
struct Inner {
    shape: Shape,
    data: Data,
    /// The value's node in the reverse-mode graph; `None` for a constant.
    node: Option<Rc<Node>>,
    /// Derivative in the direction of forward mode; does not have a tangent itself.
    tangent: Option<Tensor>,
    provenance: Option<Provenance>,
    /// The tensor at other values of choices that are summed over.
    cases: Option<Rc<Cases>>,
}

/// Construction.
impl Tensor {
    /// Makes a tensor from `values` in row-major order.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many values as the shape has elements;
    /// [`Error::Backend`] if the device cannot hold them.
    #[track_caller]
    pub fn from_vec(values: Vec<f32>, shape: impl Into<Shape>, device: &Device) -> Result<Self> {
        let shape = shape.into().in_memory("from_vec")?;
        if values.len() != shape.numel() {
            return Err(Error::Shape {
                op: "from_vec",
                problem: format!("needs {} values, not {}", shape.numel(), values.len()),
                shapes: vec![shape],
                location: Location::caller(),
            });
        }
        Self::upload(values, shape, device)
    }

    /// A vector on the CPU.
    pub fn from_slice(values: &[f32]) -> Self {
        Self::of_numbers(values, values.len().into())
    }

    /// A tensor on the CPU from as many numbers as the shape has elements.
    pub(crate) fn of_numbers(values: &[f32], shape: Shape) -> Self {
        debug_assert_eq!(values.len(), shape.numel());
        Self::new(Inner::constant(shape, Data::Native(values.into())))
    }

    /// One number, of shape `[]`, on the CPU.
    pub fn scalar(value: f32) -> Self {
        let data = Data::Native(native::Buffer::full(1, value));
        Self::new(Inner::constant(Shape::SCALAR, data))
    }

    /// The same number everywhere. Poisoned if memory could not hold the shape, as with the following constructors.
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: f32, device: &Device) -> Self {
        let shape = match shape.into().in_memory("full") {
            Ok(shape) => shape,
            Err(error) => return Self::poisoned(error),
        };
        match Data::full(shape.numel(), value, device) {
            Ok(data) => Self::new(Inner::constant(shape, data)),
            Err(error) => Self::poisoned(error),
        }
    }

    /// Zeros.
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>, device: &Device) -> Self {
        Self::full(shape, 0.0, device)
    }

    /// Ones.
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>, device: &Device) -> Self {
        Self::full(shape, 1.0, device)
    }

    /// The `n` by `n` identity matrix.
    #[track_caller]
    pub fn eye(n: usize, device: &Device) -> Self {
        let shape = match Shape::from([n, n]).in_memory("eye") {
            Ok(shape) => shape,
            Err(error) => return Self::poisoned(error),
        };
        let mut values = vec![0.0; n * n];
        values.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
        Self::upload(values, shape, device).unwrap_or_else(Self::poisoned)
    }

    /// Zeros with the shape and device of `self`, without its history.
    pub fn zeros_like(&self) -> Self {
        self.full_like(0.0)
    }

    /// Ones with the shape and device of `self`, without its history.
    pub fn ones_like(&self) -> Self {
        self.full_like(1.0)
    }

    /// One number everywhere, with the shape and device of `self`, without its history.
    pub fn full_like(&self, value: f32) -> Self {
        match &self.0 {
            Ok(inner) => Self::full(inner.shape, value, &inner.device()),
            Err(_) => self.clone(),
        }
    }

    fn upload(values: Vec<f32>, shape: Shape, device: &Device) -> Result<Self> {
        let data = Data::upload(values, device)?;
        Ok(Self::new(Inner::constant(shape, data)))
    }

    #[inline]
    fn new(inner: Inner) -> Self {
        Self(Ok(Rc::new(inner)))
    }

    /// A tensor that carries an error.
    pub(crate) fn poisoned(error: Error) -> Self {
        Self(Err(Rc::new(error)))
    }

    #[inline]
    fn inner(&self) -> Result<&Inner> {
        match &self.0 {
            Ok(inner) => Ok(inner),
            Err(error) => Err(error.as_ref().clone()),
        }
    }
}

/// Differentiation and provenance.
impl Tensor {
    /// The tensor with some fields changed, or the same poison.
    fn updated(&self, change: impl FnOnce(&mut Inner) -> Result<()>) -> Self {
        match &self.0 {
            Err(_) => self.clone(),
            Ok(inner) => {
                let mut inner = inner.as_ref().clone();
                if inner.cases.take().is_some() {
                    lose();
                }
                change(&mut inner).map_or_else(Self::poisoned, |()| Self::new(inner))
            }
        }
    }

    /// The same numbers as a new variable, to compute with and then pass to [`grad`].
    #[must_use]
    pub fn leaf(&self) -> Self {
        self.as_leaf(None)
    }

    /// A [`leaf`](Self::leaf) that [`grad_parameters`] can find.
    #[must_use]
    fn parameter_leaf(&self, parameter: &Weak<parameter::State>) -> Self {
        self.as_leaf(Some(parameter))
    }

    /// The numbers alone, to be kept beyond the run that they came from: a constant without sites,
    /// reads or rounding.
    #[must_use]
    pub(crate) fn kept(&self) -> Self {
        let constant = self.without_history();
        match constant.provenance() {
            None => constant,
            Some(_) => constant.updated(|inner| {
                inner.provenance = None;
                Ok(())
            }),
        }
    }

    fn as_leaf(&self, parameter: Option<&Weak<parameter::State>>) -> Self {
        self.updated(|inner| {
            inner.data = engine!(Data, inner.data, E => E::renewed(inner))?;
            inner.tangent = None;
            inner.node = Some(inner.leaf_node(parameter.cloned()));
            Ok(())
        })
        .severed()
    }

    /// Changes the numbers of a parameter's leaf in place, if no tensor computed from it remains;
    /// otherwise hands `change` back. The new numbers belong to no run.
    #[inline]
    fn change_leaf<F: FnOnce(&mut [f32])>(&mut self, change: F) -> Option<F> {
        let Some(inner) = self.0.as_mut().ok().and_then(Rc::get_mut) else {
            return Some(change);
        };
        match (&mut inner.data, &inner.node) {
            (Data::Native(buffer), Some(node)) if Rc::strong_count(node) == 1 => {
                change(buffer.as_mut_slice());
                inner.provenance = None;
                None
            }
            _ => Some(change),
        }
    }

    /// Whether [`grad`] can differentiate with respect to, or through, this tensor.
    pub fn is_tracked(&self) -> bool {
        self.0.as_ref().is_ok_and(|inner| inner.node.is_some())
    }

    /// The same numbers as a constant: no graph, no tangent. The sites that they came from remain
    /// known, and get estimators that do not rely on derivatives.
    #[must_use]
    pub fn detach(&self) -> Self {
        self.cut_off("detach", Self::severed)
    }

    /// As [`detach`](Self::detach), where the lost derivative would be zero.
    fn without_history(&self) -> Self {
        self.cut_off("without_history", |x| x)
    }

    /// The same numbers as a constant that comes from no site.
    pub(crate) fn numbers_alone(&self) -> Self {
        let nowhere = |x: Self| {
            let nowhere = Provenance::new(SiteSet::EMPTY, Reads::default(), None);
            x.with_provenance(nowhere)
        };
        self.cut_off("numbers_alone", nowhere)
    }

    /// The same numbers without graph and tangent, with the provenance that `known` gives them, in each case.
    fn cut_off(&self, name: &'static str, known: fn(Self) -> Self) -> Self {
        if let Ok(inner) = &self.0
            && inner.node.is_none()
            && inner.tangent.is_none()
            && inner.cases.is_none()
        {
            return known(self.clone());
        }
        let of_case = |[x]: [&Self; 1]| Some(x.cut_off(name, known));
        if let Some(out) = broadcast([self], || Some(Op::new(name, [])), of_case) {
            return known(out);
        }
        let constant = self.updated(|inner| {
            if inner.node.is_some() {
                inner.data = engine!(Data, inner.data, E => E::detached(inner));
            }
            inner.node = None;
            inner.tangent = None;
            Ok(())
        });
        known(constant)
    }

    /// The tensor with a direction to differentiate in: every operation on it carries along
    /// the directional derivative, which can itself be differentiated by [`grad`].
    #[must_use]
    #[track_caller]
    pub fn with_tangent(&self, tangent: &Tensor) -> Self {
        if let Err(error) = &tangent.0 {
            return self
                .check()
                .map_or_else(Self::poisoned, |_| Self(Err(error.clone())));
        }
        if self.check().is_ok() && self.shape() != tangent.shape() {
            return Self::poisoned(Error::Shape {
                op: "with_tangent",
                problem: "needs a tangent of the tensor's shape".into(),
                shapes: vec![self.shape(), tangent.shape()],
                location: Location::caller(),
            });
        }
        if tangent.has_cases() {
            lose();
        }
        self.updated(|inner| {
            inner.tangent = Some(tangent.primal());
            Ok(())
        })
    }

    /// The directional derivative, if the tensor depends on one with a tangent.
    pub fn tangent(&self) -> Option<Tensor> {
        if self.has_cases() {
            lose();
        }
        let tangent = self.0.as_ref().ok()?.tangent.clone();
        tangent.map(Tensor::severed)
    }

    /// The tensor without its tangent.
    #[must_use]
    pub fn primal(&self) -> Self {
        match &self.0 {
            Ok(inner) if inner.tangent.is_some() => self.updated(|inner| {
                inner.tangent = None;
                Ok(())
            }),
            _ => self.clone(),
        }
    }

    /// Marks the value as depending on random sites.
    #[must_use]
    pub(crate) fn with_provenance(&self, provenance: Provenance) -> Self {
        match &self.0 {
            Err(_) => self.clone(),
            Ok(inner) => Self::new(Inner {
                provenance: Some(provenance),
                ..Inner::clone(inner)
            }),
        }
    }

    /// The tensor, marked as having a derivative that does not tell how it depends on its sites.
    pub(crate) fn severed(self) -> Self {
        match self.0.as_ref().map(|inner| &inner.provenance) {
            Ok(Some(provenance)) if provenance.severed != provenance.sites => {
                self.with_provenance(provenance.severed())
            }
            _ => self,
        }
    }

    /// The same numbers, with the provenance that they would have if drawn with these parameters.
    pub(crate) fn drawn_with(self, parameters: &[Tensor]) -> Self {
        let known = parameters.iter().filter_map(Tensor::provenance);
        match Provenance::union(known) {
            Some(provenance) => self.with_provenance(provenance.severed()),
            None => self,
        }
    }

    /// The same numbers, marked as depending on the sites of `other`, too.
    pub(crate) fn depending_on(&self, other: &Tensor) -> Self {
        let more = other.provenance().map(Provenance::smooth);
        match Provenance::union(self.provenance().into_iter().chain(&more)) {
            Some(provenance) => self.with_provenance(provenance),
            None => self.clone(),
        }
    }

    /// The sites for which the tensor's derivative does not tell how it changes.
    pub(crate) fn severed_sites(&self) -> SiteSet {
        let inner = self.0.as_ref().ok();
        inner
            .and_then(|inner| inner.provenance.as_ref())
            .map_or(SiteSet::EMPTY, |p| p.severed.clone())
    }

    /// The random sites that the value depends on.
    pub fn sites(&self) -> SiteSet {
        self.provenance()
            .map_or(SiteSet::EMPTY, |p| p.sites.clone())
    }

    pub(crate) fn provenance(&self) -> Option<&Provenance> {
        self.0.as_ref().ok()?.provenance.as_ref()
    }
}

impl From<f32> for Tensor {
    fn from(value: f32) -> Self {
        Self::scalar(value)
    }
}

impl Inner {
    /// A leaf for the numbers.
    fn leaf_node(&self, parameter: Option<Weak<parameter::State>>) -> Rc<Node> {
        let leaf = parameter.map(|parameter| Leaf {
            parameter,
            shape: self.shape,
        });
        let slot = engine!(Data, self.data, E => E::slot(&self.data));
        Node::leaf(self.shape.numel(), leaf, slot)
    }
}

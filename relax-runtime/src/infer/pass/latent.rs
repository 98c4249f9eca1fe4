//! One random choice of an evaluation.

use std::borrow::Cow;
use std::rc::Rc;

use crate::dist::{Draws, Law};
use crate::error::{Error, Result};
use crate::model::{Plate, Weight};
use crate::tensor::{Device, Shape, SiteSet, Tensor};

/// One random choice of an objective, drawn from the law whose parameters are to be trained.
#[derive(Clone, Debug)]
pub struct Latent {
    /// Full name of its site.
    pub name: Cow<'static, str>,
    /// The law that it was drawn from: the guide's, if there is one.
    pub law: Rc<dyn Law>,
    /// The noise behind the draw.
    pub noise: Tensor,
    /// The draw.
    pub value: Tensor,
    /// The plates around the site: the model's, even if a guide draws it.
    pub plates: Rc<[Plate]>,
    /// Factor of subsampling plates.
    pub scale: f64,
    /// How much its log-probability under the guide counts, as set by handlers.
    pub(crate) weight: Option<Rc<Weight>>,
    /// Earlier choices that the law depends on.
    pub(crate) depends_on: SiteSet,
    /// Those for which the law's derivatives do not tell how it changes.
    pub(crate) severed: SiteSet,
    pub(crate) estimator: Option<Cow<'static, str>>,
    pub(crate) context: Option<Tensor>,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

impl Latent {
    /// Wraps an error with the site's name and line.
    pub(crate) fn locate(&self, error: Error) -> Error {
        error.at_site(&self.name, self.file, self.line)
    }

    /// Whether it keeps what it depends on from being relaxed.
    pub(in crate::infer) fn is_hard(&self, read: bool) -> bool {
        match self.law.draws() {
            Draws::Pathwise => false,
            Draws::Opaque | Draws::Discrete(None) => true,
            Draws::Discrete(Some(_)) => read || !self.law.takes_relaxed_values(),
        }
    }

    /// Whether the rows of its plates have different parameters, as far as can be seen without copying them from a GPU.
    pub(super) fn rows_differ(&self) -> bool {
        let rows: usize = self.plates.iter().map(|plate| plate.size).product();
        let differ = |parameter: &Tensor| {
            let differ = |numbers: &[f32]| {
                let row = numbers.len() / rows;
                let (first, others) = numbers.split_at(row);
                row * rows == numbers.len() && others.chunks(row.max(1)).any(|other| other != first)
            };
            parameter.device() != Device::cpu() || parameter.with_values(differ).unwrap_or(false)
        };
        rows > 1 && self.law.parameters().iter().any(differ)
    }

    /// Brings a term with rows of its own plates to the rows of the choice's plates: axes that both have stay, the
    /// term's others are summed, the choice's others get length 1.
    #[inline]
    pub(in crate::infer) fn align(&self, term: &Tensor, from: &[Plate]) -> Result<Tensor> {
        let pairs = from.iter().zip(&*self.plates);
        let common = pairs.take_while(|(a, b)| a.same_rows(b)).count();
        let rank = self.plates.len();
        if common == from.len() && common == rank {
            return Ok(term.clone());
        }
        let sum = if term.rank() > common {
            term.sum_from(common)
        } else {
            term.clone()
        };
        let mut shape = sum.check()?.shape().to_vec();
        shape.resize(rank, 1);
        Ok(sum.reshape(Shape::try_from(&shape[..])?))
    }

    /// The sum of terms that add up to `tensors` and, equally in every row, to `host`: one number per row.
    #[inline]
    pub(in crate::infer) fn total(&self, tensors: Option<Tensor>, host: f64) -> Result<Tensor> {
        let rows = match self.plates.is_empty() {
            true => Shape::SCALAR,
            false => {
                let sizes = self.plates.iter().map(|plate| plate.size);
                Shape::try_from(&sizes.collect::<Vec<_>>()[..])?
            }
        };
        let total = || Tensor::full(rows, host as f32, &self.law.device());
        Ok(match tensors {
            Some(sum) if sum.shape() == rows && host == 0.0 => sum,
            Some(sum) if sum.shape() == rows => sum + host as f32,
            Some(sum) => total() + sum,
            None => total(),
        })
    }
}

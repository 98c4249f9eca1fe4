//! Sums of products by index notation, built on matrix products.

use std::panic::Location;

use super::super::native::view::View;
use super::super::shape::MAX_RANK;
use super::super::{Shape, Tensor};
use crate::error::Error;

/// Named axes, and permutations of axes. Shapes that do not fit give a poisoned tensor.
impl Tensor {
    /// Permutes the axes: `x.permute(&[2, 0, 1])` puts the last of three axes first. Negative axes count
    /// from the end.
    #[track_caller]
    pub fn permute(&self, axes: &[isize]) -> Tensor {
        let (rank, shape) = (self.rank(), self.shape());
        if self.0.is_err() {
            return self.clone();
        }
        let order: Option<Vec<usize>> = axes.iter().map(|axis| shape.axis(*axis)).collect();
        let is_order =
            |order: &Vec<usize>| order.len() == rank && (0..rank).all(|axis| order.contains(&axis));
        match order.filter(is_order) {
            Some(order) => {
                let each: Vec<_> = order.into_iter().map(|axis| vec![axis]).collect();
                self.along(&each)
            }
            None => {
                let problem = format!("{axes:?} does not name each of its axes once");
                Tensor::poisoned(self.misfit("permute", problem))
            }
        }
    }

    /// The outer product of two vectors: `[n]` and `[m]` give `[n, m]`.
    #[track_caller]
    pub fn outer(&self, other: &Tensor) -> Tensor {
        match (
            self.0.is_ok() && self.rank() != 1,
            other.0.is_ok() && other.rank() != 1,
        ) {
            (false, false) => self.unsqueeze(-1) * other.unsqueeze(0),
            _ => self.misfits(other, "outer", "needs two vectors"),
        }
    }

    /// Sum of products by Einstein's convention, in NumPy's notation: `"ij,jk->ik"` is a matrix product,
    /// `"bi,bi->b"` a dot product of rows, `"ii->i"` a diagonal, `"ij->j"` a sum. Letters that are not in the output
    /// are summed over; without `->`, the output has those that occur once, in alphabetical order. Operands are
    /// multiplied from left to right, each time by matrix products.
    ///
    /// ```
    /// # use relax_runtime::{Result, Tensor};
    /// # fn main() -> Result<()> {
    /// let x = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0]).reshape([2, 2]);
    /// let square = Tensor::einsum("ij,ij->i", &[&x, &x]);
    /// assert_eq!(square.to_vec()?, [5.0, 25.0]);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn einsum(subscripts: &str, operands: &[&Tensor]) -> Tensor {
        // Taken here, since in a closure the line would be this file's.
        let location = Location::caller();
        let refuse = |problem: String| {
            Tensor::poisoned(Error::Shape {
                op: "einsum",
                problem: format!("`{subscripts}`: {problem}"),
                shapes: operands.iter().map(|x| x.shape()).collect(),
                location,
            })
        };
        let parsed = match Subscripts::of(subscripts) {
            Ok(parsed) => parsed,
            Err(problem) => return refuse(problem),
        };
        if parsed.inputs.len() != operands.len() || operands.is_empty() {
            return refuse(format!(
                "names the axes of {} operands, and {} were given",
                parsed.inputs.len(),
                operands.len()
            ));
        }
        let mut named = Vec::with_capacity(operands.len());
        for (tensor, letters) in operands.iter().zip(&parsed.inputs) {
            if tensor.0.is_err() {
                return (*tensor).clone();
            }
            match Named::of(tensor, letters) {
                Ok(operand) => named.push(operand),
                Err(problem) => return refuse(problem),
            }
        }
        for (i, first) in named.iter().enumerate() {
            for second in &named[i + 1..] {
                if let Some(refused) = first.tensor.refuse_pair(&second.tensor, "einsum") {
                    return refused;
                }
                if let Some(problem) = first.apart(second) {
                    return refuse(problem);
                }
            }
        }
        let mut all = named.into_iter();
        let Some(mut product) = all.next() else {
            return refuse("has no operands".into());
        };
        let others: Vec<Named> = all.collect();
        for (i, other) in others.iter().enumerate() {
            let later = others[i + 1..].iter().flat_map(|x| &x.letters);
            let kept: Vec<char> = parsed.output.iter().chain(later).copied().collect();
            product = match product.times(other, &kept) {
                Ok(product) => product,
                Err(problem) => return refuse(problem),
            };
        }
        product.only(&parsed.output).ordered(&parsed.output).tensor
    }

    /// The tensor whose axes run along these of its own at once: several of them give their diagonal.
    fn along(&self, axes: &[Vec<usize>]) -> Tensor {
        let own = self.shape();
        let whole = View::contiguous(own.padded());
        let (mut view, first) = (whole, MAX_RANK - axes.len());
        view.shape = [1; MAX_RANK];
        view.strides = [0; MAX_RANK];
        let mut shape = Shape::SCALAR;
        for (place, axes) in axes.iter().enumerate() {
            let strides = axes
                .iter()
                .map(|axis| whole.strides[MAX_RANK - own.rank() + axis]);
            view.shape[first + place] = axes.first().map_or(1, |axis| own[*axis]);
            view.strides[first + place] = strides.sum();
            shape = shape.join(&[view.shape[first + place]]).unwrap_or(shape);
        }
        self.viewed(view, shape)
    }
}

/// The names of axes.
struct Subscripts {
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
}

impl Subscripts {
    fn of(text: &str) -> Result<Self, String> {
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (text, None),
        };
        let letters = |part: &str| -> Result<Vec<char>, String> {
            let letters = part.chars().filter(|c| !c.is_whitespace());
            letters
                .map(|c| match c.is_alphabetic() {
                    true => Ok(c),
                    false => Err(format!("`{c}` is not a letter that names an axis")),
                })
                .collect()
        };
        let inputs = inputs.split(',').map(letters);
        let inputs: Vec<Vec<char>> = inputs.collect::<Result<_, _>>()?;
        let count = |c: char| inputs.iter().flatten().filter(|x| **x == c).count();
        let output = match output {
            Some(output) => letters(output)?,
            None => {
                let mut once: Vec<char> = inputs.iter().flatten().copied().collect();
                once.retain(|c| count(*c) == 1);
                once.sort_unstable();
                once
            }
        };
        for (i, c) in output.iter().enumerate() {
            if count(*c) == 0 {
                return Err(format!("the output's `{c}` is not an axis of an operand"));
            }
            if output[..i].contains(c) {
                return Err(format!("the output has `{c}` twice"));
            }
        }
        Ok(Self { inputs, output })
    }
}

/// A tensor with named axes.
struct Named {
    tensor: Tensor,
    letters: Vec<char>,
}

impl Named {
    /// Names the axes; axes of one name are reduced to their diagonal.
    fn of(tensor: &Tensor, names: &[char]) -> Result<Self, String> {
        let shape = tensor.shape();
        if names.len() != shape.rank() {
            let names: String = names.iter().collect();
            return Err(format!(
                "`{names}` does not name each axis of a tensor of shape {shape}"
            ));
        }
        let mut letters: Vec<char> = Vec::with_capacity(names.len());
        let mut axes: Vec<Vec<usize>> = Vec::with_capacity(names.len());
        for (axis, c) in names.iter().enumerate() {
            match letters.iter().position(|x| x == c) {
                None => {
                    letters.push(*c);
                    axes.push(vec![axis]);
                }
                Some(at) if shape[axes[at][0]] == shape[axis] => axes[at].push(axis),
                Some(at) => {
                    return Err(format!(
                        "`{c}` is the name of axes of lengths {} and {}",
                        shape[axes[at][0]], shape[axis]
                    ));
                }
            }
        }
        let tensor = match letters.len() == names.len() {
            true => tensor.clone(),
            false => tensor.along(&axes),
        };
        Ok(Self { tensor, letters })
    }

    fn len(&self, c: char) -> Option<usize> {
        let at = self.letters.iter().position(|x| *x == c)?;
        Some(self.tensor.shape()[at])
    }

    /// What is wrong, where an axis has different lengths here and there.
    fn apart(&self, other: &Self) -> Option<String> {
        let lengths = self
            .letters
            .iter()
            .map(|c| (*c, self.len(*c), other.len(*c)));
        let mut wrong = lengths.filter(|(_, own, other)| other.is_some() && own != other);
        let (c, own, other) = wrong.next()?;
        Some(format!(
            "`{c}` is the name of axes of lengths {} and {}",
            own?, other?
        ))
    }

    /// Sums over axes that are not kept.
    fn only(mut self, kept: &[char]) -> Self {
        for at in (0..self.letters.len()).rev() {
            if !kept.contains(&self.letters[at]) {
                self.tensor = self.tensor.sum(at as isize);
                self.letters.remove(at);
            }
        }
        self
    }

    fn ordered(self, letters: &[char]) -> Self {
        let place = |c: &char| self.letters.iter().position(|x| x == c).unwrap_or(0);
        let order: Vec<Vec<usize>> = letters.iter().map(|c| vec![place(c)]).collect();
        let in_order = order.iter().enumerate().all(|(i, at)| at[0] == i);
        let tensor = match in_order {
            true => self.tensor,
            false => self.tensor.along(&order),
        };
        Self {
            tensor,
            letters: letters.to_vec(),
        }
    }

    /// As a batch of matrices: axes of the batch, then of the rows, then of the columns.
    fn matrices(self, [batch, rows, columns]: [&[char]; 3]) -> Tensor {
        let ordered = self.ordered(&[batch, rows, columns].concat());
        let shape = ordered.tensor.shape();
        let count = |from: usize, axes: &[char]| -> usize {
            shape[from..from + axes.len()].iter().product()
        };
        let sizes = [
            count(0, batch),
            count(batch.len(), rows),
            count(batch.len() + rows.len(), columns),
        ];
        ordered.tensor.reshape(sizes)
    }

    /// The product, summed over axes that are not kept.
    fn times(self, other: &Self, kept: &[char]) -> Result<Self, String> {
        let with = |letters: &[char], more: &[char]| [letters, more].concat();
        let left = self.only(&with(kept, &other.letters));
        let right = Self {
            tensor: other.tensor.clone(),
            letters: other.letters.clone(),
        };
        let right = right.only(&with(kept, &left.letters));
        let of = |x: &Self, keeps: &dyn Fn(&char) -> bool| -> Vec<char> {
            x.letters.iter().filter(|c| keeps(c)).copied().collect()
        };
        let batch = of(&left, &|c| right.letters.contains(c) && kept.contains(c));
        let summed = of(&left, &|c| right.letters.contains(c) && !kept.contains(c));
        let rows = of(&left, &|c| !right.letters.contains(c));
        let columns = of(&right, &|c| !left.letters.contains(c));
        let letters = [&batch[..], &rows, &columns].concat();
        if letters.len() > MAX_RANK {
            return Err(format!(
                "an intermediate product has {} axes, more than {MAX_RANK}; give the operands in another order, or \
                 in steps",
                letters.len()
            ));
        }
        let lengths = letters.iter().map(|c| left.len(*c).or(right.len(*c)));
        let lengths: Vec<usize> = lengths.flatten().collect();
        let left = left.matrices([&batch, &rows, &summed]);
        let right = right.matrices([&batch, &summed, &columns]);
        let product = match left.matmul(&right).0 {
            Ok(inner) => Tensor(Ok(inner)),
            Err(error) => return Err(error.to_string()),
        };
        let shape = Shape::SCALAR.join(&lengths).unwrap_or(Shape::SCALAR);
        Ok(Self {
            tensor: product.reshape(shape),
            letters,
        })
    }
}

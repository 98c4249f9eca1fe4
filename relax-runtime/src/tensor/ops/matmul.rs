//! Matrix products.

use super::super::cases::each;
use super::super::engine::Product;
use super::super::native::product::products;
use super::super::op::Op;
use super::super::{Shape, Tensor};

impl Product {
    fn op(self) -> Op {
        // The rest follows from the operands' shapes; a vector and a matrix of one column give different ranks.
        let transposed = [self.transposed.0, self.transposed.1].map(u64::from);
        let rank = self.shape.rank() as u64;
        Op::new("matmul", transposed.into_iter().chain([rank]))
    }

    fn of(self, a: &Tensor, b: &Tensor) -> Tensor {
        a.lift_pair(
            b,
            || self.op(),
            |a, b| dispatch!(matmul(a, b, &self)),
            |ta, tb, [x, y, _]| match (ta, tb) {
                (Some(ta), Some(tb)) => self.of(ta, y) + self.of(x, tb),
                (Some(ta), None) => self.of(ta, y),
                (None, Some(tb)) => self.of(x, tb),
                (None, None) => Tensor::full(self.shape, 0.0, &x.device()),
            },
        )
    }
}

/// Matrix products. Shapes that do not fit give a poisoned tensor.
impl Tensor {
    /// Matrix product by NumPy's rules: the last two axes are multiplied, the axes before them
    /// broadcast, and a vector stands for one row on the left, one column on the right.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        self.product(other, (false, false), "matmul")
    }

    /// `self · otherᵀ`, without copying the transpose; both operands have two axes or more.
    #[track_caller]
    pub fn matmul_nt(&self, other: &Tensor) -> Tensor {
        self.product(other, (false, true), "matmul_nt")
    }

    /// `selfᵀ · other`, without copying the transpose; both operands have two axes or more.
    #[track_caller]
    pub fn matmul_tn(&self, other: &Tensor) -> Tensor {
        self.product(other, (true, false), "matmul_tn")
    }

    /// `self · weight + bias`: `[.., i]`, `[i, o]` and `[o]` give `[.., o]`.
    #[track_caller]
    pub fn linear(&self, weight: &Tensor, bias: &Tensor) -> Tensor {
        match self.fused_linear(weight, bias) {
            Some(out) => out,
            None => self.product(weight, (false, false), "linear") + bias,
        }
    }

    /// [`linear`](Self::linear) in one pass over the result: in this project's own engine, without tangents.
    fn fused_linear(&self, weight: &Tensor, bias: &Tensor) -> Option<Tensor> {
        let (a, w, b) = (
            self.0.as_ref().ok()?,
            weight.0.as_ref().ok()?,
            bias.0.as_ref().ok()?,
        );
        let (left, right) = (a.data.native()?, w.data.native()?);
        let start = b.data.native()?;
        let [k, n] = w.shape[..] else { return None };
        let fits = a.shape.last() == Some(&k) && b.shape[..] == [n];
        let mut operands = [a, w, b].into_iter();
        if !fits || operands.any(|x| x.tangent.is_some() || x.cases.is_some()) {
            return None;
        }
        let last = a.shape.rank() - 1;
        // The caller rejects what is too large.
        let shape = a.shape.with_axis(last, n).in_memory("linear").ok()?;
        let product = Product {
            batch: 1,
            m: a.shape.leading(last).numel(),
            k,
            n,
            transposed: (false, false),
            shape,
        };
        Some(Tensor::new(products(
            &product,
            (a, left),
            (w, right),
            Some((b, start)),
        )))
    }

    /// The product in all cases, of operands with axes in front of those of `self` and `other`.
    fn product_of_all(
        &self,
        other: &Tensor,
        [a, b]: [&Tensor; 2],
        transposed: (bool, bool),
        op: &'static str,
    ) -> Option<Tensor> {
        let is_vector = [self.rank() == 1, other.rank() == 1];
        if is_vector == [true, true] {
            let fits = transposed == (false, false) && self.shape() == other.shape();
            return fits.then(|| (a * b).sum(-1));
        }
        // A vector that was filled up is a row; one without cases is still a vector.
        let is_filled = [is_vector[0] && a.rank() > 1, is_vector[1] && b.rank() > 1];
        let column = is_filled[1].then(|| b.transpose());
        let out = a.product(column.as_ref().unwrap_or(b), transposed, op);
        Some(match is_filled {
            [true, _] => out.squeeze(-2),
            [_, true] => out.squeeze(-1),
            _ => out,
        })
    }

    #[track_caller]
    fn product(&self, other: &Tensor, transposed: (bool, bool), op: &'static str) -> Tensor {
        let of_case = |[a, b]: [&Tensor; 2]| Some(a.product(b, transposed, op));
        let numbers = [transposed.0, transposed.1].map(u64::from);
        let of_all = |[a, b]: [&Tensor; 2], _| self.product_of_all(other, [a, b], transposed, op);
        if let Some(out) = each([self, other], || Op::new(op, numbers), of_case, of_all) {
            return out;
        }
        if let Some(refused) = self.refuse_pair(other, op) {
            return refused;
        }
        let (a, b) = (self.shape(), other.shape());
        let plain = transposed == (false, false);
        let least = if plain { 1 } else { 2 };
        if a.rank() < least || b.rank() < least {
            return self.misfits(
                other,
                op,
                format!("needs at least {least} axes on each side"),
            );
        }
        // Vectors become a row and a column, and lose that axis in the result.
        let rows = if a.rank() == 1 {
            Shape::from([1, a[0]])
        } else {
            a
        };
        let cols = if b.rank() == 1 {
            Shape::from([b[0], 1])
        } else {
            b
        };
        let (lead_a, [p, q]) = last_two(rows);
        let (lead_b, [r, s]) = last_two(cols);
        let (m, k) = if transposed.0 { (q, p) } else { (p, q) };
        let (k2, n) = if transposed.1 { (s, r) } else { (r, s) };
        if k != k2 {
            let problem = format!("needs equal inner axes, not {k} and {k2}");
            return self.misfits(other, op, problem);
        }
        let Some(lead) = lead_a.broadcast(&lead_b) else {
            return self.misfits(other, op, "needs leading axes that broadcast");
        };
        let tail = match (a.rank(), b.rank()) {
            (1, 1) => vec![],
            (1, _) => vec![n],
            (_, 1) => vec![m],
            _ => vec![m, n],
        };
        let (Some(shape), Some(full_a), Some(full_b)) =
            (lead.join(&tail), lead.join(&[p, q]), lead.join(&[r, s]))
        else {
            return self.misfits(other, op, "has a result with more than four axes");
        };
        if let Err(error) = shape.in_memory(op) {
            return Tensor::poisoned(error);
        }
        // One right matrix for all: the leading axes of the left count as rows.
        if lead_b.numel() == 1 && !transposed.0 && lead == lead_a {
            let product = Product {
                batch: 1,
                m: lead.numel() * m,
                k,
                n,
                transposed,
                shape,
            };
            return product.of(self, other);
        }
        // One left matrix for many columns: as rows they form one matrix, and the left one is not copied for each.
        let is_shared = lead_a.numel() == 1 && lead == lead_b && lead.numel() > 1;
        let columns = lead.join(&[k]);
        if let (true, 1, false, Some(columns)) = (is_shared, n, transposed.0, columns) {
            let product = Product {
                batch: 1,
                m: lead.numel(),
                k,
                n: m,
                transposed: (false, true),
                shape,
            };
            return product.of(&other.reshaped(columns), self);
        }
        let product = Product {
            batch: lead.numel(),
            m,
            k,
            n,
            transposed,
            shape,
        };
        product.of(
            &self.reshaped(rows).broadcast_to(full_a),
            &other.reshaped(cols).broadcast_to(full_b),
        )
    }
}

/// Leading axes and the last two.
fn last_two(shape: Shape) -> (Shape, [usize; 2]) {
    let cut = shape.rank() - 2;
    (shape.leading(cut), [shape[cut], shape[cut + 1]])
}

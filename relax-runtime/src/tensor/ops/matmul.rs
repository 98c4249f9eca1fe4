//! Matrix products.

use super::super::cpu::matmul::{Layout, Start, product};
use super::super::cpu::{self, Buffer, sums::add_rows};
use super::super::dispatch::{Data, record_cpu};
use super::super::{Inner, Shape, Tensor};
use crate::error::Result;

/// A batch of products of `m` by `k` with `k` by `n` matrices.
#[derive(Clone, Copy)]
struct Product {
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
    /// Whether the operands are stored as the transposes of what is multiplied.
    transposed: (bool, bool),
    shape: Shape,
}

impl Product {
    /// `(m, k, n)`
    fn sizes(&self) -> (usize, usize, usize) {
        (self.m, self.k, self.n)
    }

    fn layouts(&self) -> [Layout; 3] {
        let (ta, tb) = self.transposed;
        [
            Layout::new(if ta { self.m } else { self.k }, ta),
            Layout::new(if tb { self.k } else { self.n }, tb),
            Layout::new(self.n, false),
        ]
    }

    fn run(&self, a: &Inner, b: &Inner) -> Result<Inner> {
        match (&a.data, &b.data) {
            (Data::Cpu(left), Data::Cpu(right)) => Ok(self.run_cpu((a, left), (b, right), None)),
            #[cfg(feature = "cuda")]
            (Data::Cuda(left), _) => a.record_pair(b, left, self.shape, |l, r| {
                use dfdx::shapes::Axes3;
                use dfdx::tensor_ops::{PermuteTo, ReshapeTo, TryMatMul};
                type Rank3 = (usize, usize, usize);
                let Self {
                    batch,
                    m,
                    k,
                    n,
                    transposed: (ta, tb),
                    ..
                } = *self;
                let l = match ta {
                    false => l.try_reshape_like(&(batch, m, k))?,
                    true => l
                        .try_reshape_like(&(batch, k, m))?
                        .try_permute::<Rank3, Axes3<0, 2, 1>>()?,
                };
                let r = match tb {
                    false => r.try_reshape_like(&(batch, k, n))?,
                    true => r
                        .try_reshape_like(&(batch, n, k))?
                        .try_permute::<Rank3, Axes3<0, 2, 1>>()?,
                };
                l.try_matmul(r)?.try_reshape_like(&(batch * m * n,))
            }),
            #[cfg(feature = "cuda")]
            _ => Err(crate::error::Error::Autodiff(
                "matmul: operands on two devices".into(),
            )),
        }
    }

    /// The products, added to `bias` in every row if there is one.
    fn run_cpu(
        &self,
        (a, left): (&Inner, &Buffer),
        (b, right): (&Inner, &Buffer),
        bias: Option<(&Inner, &Buffer)>,
    ) -> Inner {
        let batch = self.batch;
        let (m, k, n) = self.sizes();
        let [la, lb, lo] = self.layouts();
        let mut values = cpu::memory::take(self.batch * m * n);
        let start = bias.map_or(Start::Zero, |(_, bias)| Start::Row(cpu::slice(bias)));
        let (x, y) = (cpu::slice(left), cpu::slice(right));
        for i in 0..self.batch {
            product(
                (m, k, n),
                (&mut values[i * m * n..(i + 1) * m * n], lo, start),
                (&x[i * m * k..(i + 1) * m * k], la),
                (&y[i * k * n..(i + 1) * k * n], lb),
            );
        }
        let saved = (left.clone(), right.clone());
        let biased = bias.is_some();
        let operands = [a, b, bias.map_or(a, |(bias, _)| bias)];
        let operands = if biased { &operands } else { &operands[..2] };
        record_cpu(operands, self.shape, values, move |g, sinks| {
            if let Some(sink) = biased.then(|| sinks.get(2)).flatten() {
                add_rows(sink, g);
            }
            let (x, y) = (cpu::slice(&saved.0), cpu::slice(&saved.1));
            let start = |fresh| if fresh { Start::Zero } else { Start::Out };
            let parts = (0..batch).map(|i| (i * m * k, i * k * n, &g[i * m * n..(i + 1) * m * n]));
            if let Some((sink, fresh)) = sinks.get_or_fresh(0) {
                for (a, b, g) in parts.clone() {
                    let (sink, y) = (&mut sink[a..a + m * k], &y[b..b + k * n]);
                    product((m, n, k), (sink, la, start(fresh)), (g, lo), (y, lb.t()));
                }
            }
            if let Some((sink, fresh)) = sinks.get_or_fresh(1) {
                for (a, b, g) in parts {
                    let (sink, x) = (&mut sink[b..b + k * n], &x[a..a + m * k]);
                    product((k, m, n), (sink, lb, start(fresh)), (x, la.t()), (g, lo));
                }
            }
        })
    }

    fn of(self, a: &Tensor, b: &Tensor) -> Tensor {
        let (a, b) = a.clone().told_apart(b.clone());
        a.lift_pair(
            &b,
            |a, b| self.run(a, b),
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

    /// [`linear`](Self::linear) in one pass over the result: on the CPU, without tangents.
    fn fused_linear(&self, weight: &Tensor, bias: &Tensor) -> Option<Tensor> {
        let (a, w, b) = (
            self.0.as_ref().ok()?,
            weight.0.as_ref().ok()?,
            bias.0.as_ref().ok()?,
        );
        let (left, right) = (a.data.on_cpu()?, w.data.on_cpu()?);
        let start = b.data.on_cpu()?;
        let [k, n] = w.shape[..] else { return None };
        let fits = a.shape.last() == Some(&k) && b.shape[..] == [n];
        if !fits || [a, w, b].iter().any(|x| x.tangent.is_some()) {
            return None;
        }
        let last = a.shape.rank() - 1;
        // What is too large is the caller's to refuse.
        let shape = a.shape.with_axis(last, n).in_memory("linear").ok()?;
        let product = Product {
            batch: 1,
            m: a.shape.leading(last).numel(),
            k,
            n,
            transposed: (false, false),
            shape,
        };
        Some(Tensor::new(product.run_cpu(
            (a, left),
            (w, right),
            Some((b, start)),
        )))
    }

    #[track_caller]
    fn product(&self, other: &Tensor, transposed: (bool, bool), op: &'static str) -> Tensor {
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
            return self.misfits(other, op, "has more than four axes as a result");
        };
        if let Err(error) = shape.in_memory(op) {
            return Tensor::poisoned(error);
        }
        // One right matrix for all: the leading axes of the left are more rows.
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

//! Every operation, with operands on random shapes, at points away from kinks.

use super::{Shape, Tensor};

pub(super) type Function = Box<dyn Fn(&[Tensor]) -> Tensor>;

/// One row of the table: operand shapes, the range that their values are drawn from, the function.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) shapes: Vec<Shape>,
    pub(super) range: (f32, f32),
    pub(super) f: Function,
}

/// Numbers in a range, a few hundredths apart, in a scrambled order: reproducible, and without
/// ties, at which `max` has no derivative.
pub(super) fn spread(len: usize, range: (f32, f32), salt: u64) -> Vec<f32> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut order: Vec<usize> = (0..len).collect();
    for i in (1..len).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    let step = (range.1 - range.0) / len as f32;
    order
        .into_iter()
        .map(|i| range.0 + (i as f32 + 0.37) * step)
        .collect()
}

/// Rows of the table: `name [range]: shapes => function`.
macro_rules! cases {
    ($($name:literal [$low:expr, $high:expr] $($shape:expr),+ => |$x:ident| $f:expr;)*) => {
        vec![$(Case {
            name: $name,
            shapes: vec![$(Shape::from($shape)),+],
            range: ($low, $high),
            f: Box::new(move |$x: &[Tensor]| $f),
        }),*]
    };
}
#[allow(unused_imports, reason = "for those who have cases of their own")]
pub(super) use cases;

/// The table, for axes of lengths `a`, `b`, `c`.
pub(super) fn table(a: usize, b: usize, c: usize) -> Vec<Case> {
    cases! {
        "exp" [-1.0, 1.0] [a, b] => |x| x[0].exp();
        "ln" [0.5, 3.0] [a, b] => |x| x[0].ln();
        "ln_1p" [-0.5, 2.0] [a, b] => |x| x[0].ln_1p();
        "exp_m1" [-1.0, 1.0] [a, b] => |x| x[0].exp_m1();
        "lgamma" [0.5, 4.0] [a, b] => |x| x[0].lgamma();
        "digamma" [0.5, 4.0] [a, b] => |x| x[0].digamma();
        "trigamma" [0.8, 4.0] [a, b] => |x| x[0].polygamma(1);
        "stirling_error" [0.5, 30.0] [a, b] => |x| x[0].stirling_error();
        "unit_deviance" [0.5, 2.0] [a, b] => |x| x[0].unit_deviance();
        "erf" [-2.0, 2.0] [a, b] => |x| x[0].erf();
        "erfc" [-2.0, 2.0] [a, b] => |x| x[0].erfc();
        "sqrt" [0.5, 3.0] [a, b] => |x| x[0].sqrt();
        "square" [-2.0, 2.0] [a, b] => |x| x[0].square();
        "abs" [0.1, 2.0] [a, b] => |x| x[0].abs();
        "abs of negative" [-2.0, -0.1] [a, b] => |x| x[0].abs();
        "neg" [-2.0, 2.0] [a, b] => |x| x[0].neg();
        "recip" [0.5, 2.0] [a, b] => |x| x[0].recip();
        "powf" [0.5, 2.0] [a, b] => |x| x[0].powf(2.5);
        "powf 0" [0.5, 2.0] [a, b] => |x| x[0].powf(0.0) * &x[0];
        "powi 3" [-1.0, 1.0] [a, b] => |x| x[0].powi(3);
        "powi -2" [0.6, 2.0] [a, b] => |x| x[0].powi(-2);
        "sigmoid" [-3.0, 3.0] [a, b] => |x| x[0].sigmoid();
        "logit" [0.2, 0.8] [a, b] => |x| x[0].logit();
        "tanh" [-2.0, 2.0] [a, b] => |x| x[0].tanh();
        "relu" [0.1, 2.0] [a, b] => |x| x[0].relu();
        "relu of negative" [-2.0, -0.1] [a, b] => |x| x[0].relu();
        "elu" [0.1, 2.0] [a, b] => |x| x[0].elu(0.7);
        "elu of negative" [-2.0, -0.1] [a, b] => |x| x[0].elu(0.7);
        "leaky_relu" [0.1, 2.0] [a, b] => |x| x[0].leaky_relu(0.2);
        "leaky_relu of negative" [-2.0, -0.1] [a, b] => |x| x[0].leaky_relu(0.2);
        "softplus" [-3.0, 3.0] [a, b] => |x| x[0].softplus();
        "log_sigmoid" [-3.0, 3.0] [a, b] => |x| x[0].log_sigmoid();
        "clamp inside" [-1.0, 1.0] [a, b] => |x| x[0].clamp(-2.0, 2.0);
        "clamp outside" [1.0, 2.0] [a, b] => |x| x[0].clamp(-0.5, 0.5);
        "sign" [0.1, 1.0] [a, b] => |x| x[0].sign() * &x[0];

        "add" [-1.0, 1.0] [a, b], [a, b] => |x| &x[0] + &x[1];
        "sub" [-1.0, 1.0] [a, b], [a, b] => |x| &x[0] - &x[1];
        "mul" [-1.0, 1.0] [a, b], [a, b] => |x| &x[0] * &x[1];
        "div" [0.5, 2.0] [a, b], [a, b] => |x| &x[0] / &x[1];
        "add row" [-1.0, 1.0] [a, b], [b] => |x| &x[0] + &x[1];
        "sub scalar" [-1.0, 1.0] [a, b], [] => |x| &x[0] - &x[1];
        "mul column" [-1.0, 1.0] [a, b], [a, 1] => |x| &x[0] * &x[1];
        "div outer" [0.5, 2.0] [a, 1], [1, b] => |x| &x[0] / &x[1];
        "mul rank 3 and 2" [-1.0, 1.0] [a, 1, c], [b, 1] => |x| &x[0] * &x[1];
        "mul rank 4" [-1.0, 1.0] [a, 1, b, 1], [2, 1, c] => |x| &x[0] * &x[1];
        "x * x" [-1.0, 1.0] [a, b] => |x| &x[0] * &x[0];
        "x / x²" [0.5, 2.0] [a, b] => |x| &x[0] / (&x[0] * &x[0]);
        "x - x" [-1.0, 1.0] [a, b] => |x| x[0].sub(&x[0]) + x[0].exp();
        "maximum" [-1.0, 1.0] [a, b] => |x| x[0].maximum(&(&x[0] * 0.5 + 2.0)) * &x[0];
        "maximum of first" [1.0, 2.0] [a, b], [b] => |x| x[0].maximum(&(&x[1] * 0.1)) * &x[1];
        "minimum" [1.0, 2.0] [a, b], [b] => |x| x[0].minimum(&(&x[1] * 0.1)) * &x[0];
        "x + 2" [-1.0, 1.0] [a] => |x| &x[0] + 2.0;
        "2 - x" [-1.0, 1.0] [a] => |x| 2.0 - &x[0];
        "x * 3" [-1.0, 1.0] [a] => |x| &x[0] * 3.0;
        "x / 3" [-1.0, 1.0] [a] => |x| &x[0] / 3.0;
        "3 / x" [0.5, 2.0] [a] => |x| 3.0 / &x[0];
        "select_where" [-1.0, 1.0] [a, b], [b] => |x|
            Tensor::from_vec(vec![1.0, 0.0, 1.0, 0.0, 1.0], [5], &x[0].device())
                .unwrap_or_else(|error| panic!("{error}"))
                .slice(0, 0..x[1].len())
                .select_where(&x[0].exp(), &x[1].square());
        "select_where of one" [-1.0, 1.0] [a, b] => |x|
            x[0].detach().gt(9.0).select_where(&x[0], &x[0]).exp();

        "sum first" [-1.0, 1.0] [a, b, c] => |x| x[0].exp().sum(0);
        "sum middle" [-1.0, 1.0] [a, b, c] => |x| x[0].exp().sum(1);
        "sum last" [-1.0, 1.0] [a, b, c] => |x| x[0].exp().sum(-1);
        "sum_keepdim" [-1.0, 1.0] [a, b, c] => |x| x[0].square().sum_keepdim(1) * &x[0];
        "sum_all" [-1.0, 1.0] [a, b] => |x| x[0].exp().sum_all();
        "sum_from" [-1.0, 1.0] [a, b, c] => |x| x[0].exp().sum_from(1);
        "mean" [-1.0, 1.0] [a, b] => |x| x[0].exp().mean(0);
        "mean_all" [-1.0, 1.0] [a, b] => |x| x[0].exp().mean_all();
        "cumsum" [-1.0, 1.0] [a, b, c] => |x| x[0].exp().cumsum(1);
        "cumsum of a long axis" [-1.0, 1.0] [7] => |x| x[0].square().cumsum(-1);
        "cumprod" [-1.0, 1.0] [a, b, c] => |x| x[0].exp().cumprod(1);
        "cumprod of a long axis" [-1.0, 1.0] [7] => |x| x[0].cumprod(-1);
        "flip" [-1.0, 1.0] [a, b, c] => |x| x[0].square().flip(1);
        "quantile" [-1.0, 1.0] [a, b, c] => |x| x[0].quantile(0.3, 1).exp();
        "prod" [0.3, 1.5] [a, b, c] => |x| x[0].prod(1);
        "prod of a long axis" [-1.0, 1.0] [7] => |x| x[0].prod(0);
        "max" [-1.0, 1.0] [a, b] => |x| x[0].max(1).square();
        "max_all" [-1.0, 1.0] [a] => |x| x[0].max_all().square();
        "logsumexp" [-2.0, 2.0] [a, b, c] => |x| x[0].logsumexp(1);
        "softmax" [-2.0, 2.0] [a, b, c] => |x| x[0].softmax(1);
        "log_softmax" [-2.0, 2.0] [a, b] => |x| x[0].log_softmax(-1);
        "log_softmax of columns" [-2.0, 2.0] [a, b, c] => |x| x[0].log_softmax(1) * x[0].square();

        "reshape" [-1.0, 1.0] [a, b] => |x| x[0].reshape(a * b).exp() + x[0].sum_all();
        "transpose" [-1.0, 1.0] [a, b] => |x| x[0].transpose().exp();
        "transpose rank 3" [-1.0, 1.0] [a, b, c] => |x| x[0].transpose().exp();
        "unsqueeze, squeeze" [-1.0, 1.0] [a, b] => |x| x[0].unsqueeze(1).exp().squeeze(1);
        "slice" [-1.0, 1.0] [a, b, c] => |x| x[0].slice(1, 1..b).exp();
        "index" [-1.0, 1.0] [a, b, c] => |x| x[0].index(1, b - 1).exp();
        "broadcast_to" [-1.0, 1.0] [b, 1] => |x| x[0].broadcast_to([a, b, c]).exp();
        "concat" [-1.0, 1.0] [a, b, c], [a, 2, c] => |x|
            Tensor::concat(&[&x[0], &x[1], &x[0]], 1).exp();
        "argmax, one_hot" [-1.0, 1.0] [a, b] => |x| x[0].argmax(1).one_hot(b) * &x[0];
        "stack" [-1.0, 1.0] [a, b], [a, b] => |x| Tensor::stack(&[&x[0], &x[1]], 1).exp();
        "gather" [-1.0, 1.0] [a, b, c] => |x| x[0].gather(1, &[b - 1, 0, 0]).exp();
        "rows_at" [-1.0, 1.0] [a, b] => |x| x[0].rows_at(&[a - 1, a - 1]).exp();
        "pick" [-1.0, 1.0] [a, b] => |x|
            x[0].pick(&Tensor::full([a], (b - 1) as f32, &x[0].device())).exp();

        "matmul" [-1.0, 1.0] [a, b], [b, c] => |x| x[0].matmul(&x[1]);
        "matmul of a row" [-1.0, 1.0] [b], [b, c] => |x| x[0].matmul(&x[1]);
        "matmul of a column" [-1.0, 1.0] [a, b], [b] => |x| x[0].matmul(&x[1]);
        "matmul of vectors" [-1.0, 1.0] [a], [a] => |x| x[0].matmul(&x[1]);
        "matmul of a batch and one" [-1.0, 1.0] [2, a, b], [b, c] => |x| x[0].matmul(&x[1]);
        "matmul of one and a batch" [-1.0, 1.0] [a, b], [2, b, c] => |x| x[0].matmul(&x[1]);
        "matmul of batches" [-1.0, 1.0] [3, a, b], [3, b, c] => |x| x[0].matmul(&x[1]);
        "matmul of a batch and a vector" [-1.0, 1.0] [3, a, b], [b] => |x| x[0].matmul(&x[1]);
        "matmul_nt" [-1.0, 1.0] [a, b], [c, b] => |x| x[0].matmul_nt(&x[1]);
        "matmul_tn" [-1.0, 1.0] [b, a], [b, c] => |x| x[0].matmul_tn(&x[1]);
        "matmul_tn of batches" [-1.0, 1.0] [2, b, a], [2, b, c] => |x| x[0].matmul_tn(&x[1]);
        "gram" [-1.0, 1.0] [a, b] => |x| x[0].matmul_nt(&x[0]);
        "matmul of itself" [-1.0, 1.0] [a, a] => |x| x[0].matmul(&x[0]);
        "diagonal" [-1.0, 1.0] [2, a, a] => |x| x[0].diagonal().exp();
        "tril" [-1.0, 1.0] [a, a] => |x| x[0].tril(0).exp() * x[0].tril(-1);
        "solve_lower" [0.5, 2.0] [2, a, a], [a, b] => |x| x[0].solve_lower(&x[1]);
        "solve_lower of a batch" [0.5, 2.0] [a, a], [2, a, 1] => |x| x[0].solve_lower(&x[1]);
        "cholesky" [-1.0, 1.0] [2, a, a] => |x| {
            let square = x[0].matmul_nt(&x[0]) + Tensor::eye(a, &x[0].device());
            square.cholesky()
        };
        "triu" [-1.0, 1.0] [a, a] => |x| x[0].triu(0).exp() * x[0].triu(1);
        "solve_upper" [0.5, 2.0] [2, a, a], [a, b] => |x| x[0].solve_upper(&x[1]);
        "solve_lower of itself" [0.5, 2.0] [a, a] => |x| x[0].solve_lower(&x[0].square());
        "var and std" [-1.0, 1.0] [a, 3] => |x| x[0].var(-1, 0) + x[0].std(-1, 1);
        "min" [-1.0, 1.0] [a, b, c] => |x| x[0].min(1).exp();
        "sort" [-1.0, 1.0] [a, b, c] => |x| x[0].sort(1) * x[0].exp();
        "sort of the first axis" [-1.0, 1.0] [a, b] => |x| x[0].sort(0).square();
        "permute" [-1.0, 1.0] [a, b, c] => |x| x[0].permute(&[-1, 0, 1]).exp();
        "outer" [-1.0, 1.0] [a], [b] => |x| x[0].outer(&x[1]).tanh();
        "einsum of a product" [-1.0, 1.0] [a, b], [c, b] => |x|
            Tensor::einsum("ij,kj->ki", &[&x[0], &x[1]]).tanh();
        "einsum of a batch" [-1.0, 1.0] [2, a, b], [2, b, c] => |x|
            Tensor::einsum("nij,njk->nik", &[&x[0], &x[1]]).tanh();
        "einsum of three" [-1.0, 1.0] [a], [a, b], [b] => |x|
            Tensor::einsum("i,ij,j", &[&x[0], &x[1], &x[2]]).tanh();
        "einsum of a diagonal" [-1.0, 1.0] [a, a, b], [b, c] => |x|
            Tensor::einsum("iij,jk->i", &[&x[0], &x[1]]).tanh();

        "linear" [-1.0, 1.0] [a, b], [b, c], [c] => |x| x[0].linear(&x[1], &x[2]).tanh();
        "linear of a batch" [-1.0, 1.0] [2, a, b], [b, c], [c] => |x| x[0].linear(&x[1], &x[2]);

        "through a constant of the same buffer" [-1.0, 1.0] [a, b] => |x|
            x[0].square().reshape(a * b).exp().sum_all() * &x[0];
    }
}

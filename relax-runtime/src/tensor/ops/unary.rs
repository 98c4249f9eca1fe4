//! Elementwise functions of one tensor.

use super::super::Tensor;
use super::super::cases::broadcast;
use super::super::op::{Bits, Op};
use crate::special::Special;

/// `unary!(tensor, operation(arguments), |x, y| derivative)`: the derivative as an expression in
/// argument and result.
macro_rules! unary {
    (
        $tensor:expr,
        $run:ident($($argument:expr),*),
        |$x:pat_param, $y:pat_param| $derivative:expr
    ) => {
        $tensor.lift(
            || Op::new(stringify!($run), [$(Bits::of(&$argument)),*]),
            |x| dispatch!($run(x $(, $argument)*)),
            |direction, $x, $y| direction * $derivative,
        )
    };
}

/// Elementwise functions. They keep the shape and never fail.
impl Tensor {
    /// eˣ.
    pub fn exp(&self) -> Tensor {
        unary!(self, exp(), |_, y| y)
    }

    /// eˣ − 1, accurate near 0.
    pub fn exp_m1(&self) -> Tensor {
        unary!(self, special(Special::ExpM1), |_, y| y + 1.0)
    }

    /// Natural logarithm.
    pub fn ln(&self) -> Tensor {
        unary!(self, ln(), |x, _| x.recip())
    }

    /// log(1 + x), accurate near 0.
    pub fn ln_1p(&self) -> Tensor {
        unary!(self, ln_1p(), |x, _| (x + 1.0).recip())
    }

    /// Square root.
    pub fn sqrt(&self) -> Tensor {
        unary!(self, sqrt(), |_, y| (y * 2.0).recip())
    }

    /// x².
    pub fn square(&self) -> Tensor {
        unary!(self, square(), |x, _| x * 2.0)
    }

    /// |x|, with derivative 0 at 0.
    pub fn abs(&self) -> Tensor {
        if let Some(rounded) = self.rounded_abs() {
            return rounded;
        }
        unary!(self, abs(), |x, _| x.sign())
    }

    /// -x.
    pub fn neg(&self) -> Tensor {
        self.linear_map(|| Op::new("neg", []), |x| dispatch!(neg(x)))
    }

    /// 1 / x.
    pub fn recip(&self) -> Tensor {
        unary!(self, recip(), |_, y| y.square().neg())
    }

    /// xᵖ with a real exponent.
    pub fn powf(&self, exponent: f32) -> Tensor {
        if exponent == 0.0 {
            return self.ones_from();
        }
        unary!(self, powf(exponent), |x, _| x.powf(exponent - 1.0)
            * exponent)
    }

    /// xⁿ with an integer exponent.
    pub fn powi(&self, exponent: i32) -> Tensor {
        if exponent == 0 {
            return self.ones_from();
        }
        let below = exponent.saturating_sub(1);
        unary!(self, powi(exponent), |x, _| x.powi(below) * exponent as f32)
    }

    /// Ones with the provenance of `self`: x⁰, whose derivative is 0 even at x = 0.
    fn ones_from(&self) -> Tensor {
        let op = || Some(Op::new("ones_from", []));
        if let Some(out) = broadcast([self], op, |[x]| Some(x.ones_from())) {
            return out;
        }
        self.on_host(self.shape(), |values| vec![1.0; values.len()])
    }

    /// Logistic function 1 / (1 + e⁻ˣ).
    pub fn sigmoid(&self) -> Tensor {
        unary!(self, sigmoid(), |_, y| y - y.square())
    }

    /// Log-odds log p - log(1 - p); infinite at 0 and 1.
    pub fn logit(&self) -> Tensor {
        unary!(self, logit(), |x, _| (x * (1.0 - x)).recip())
    }

    /// Hyperbolic tangent.
    pub fn tanh(&self) -> Tensor {
        unary!(self, tanh(), |_, y| 1.0 - y.square())
    }

    /// max(x, 0), with derivative 0 at 0.
    pub fn relu(&self) -> Tensor {
        if let Some(rounded) = self.rounded_relu() {
            return rounded;
        }
        unary!(self, relu(), |x, _| x.gt(0.0))
    }

    /// x where positive, α (eˣ - 1) elsewhere; derivative α at 0.
    pub fn elu(&self, alpha: f32) -> Tensor {
        let negative = self.clamp(f32::NEG_INFINITY, 0.0).exp() - 1.0;
        self.relu() + negative * alpha
    }

    /// x where positive, slope · x elsewhere; derivative `slope` at 0.
    pub fn leaky_relu(&self, slope: f32) -> Tensor {
        self * slope + self.relu() * (1.0 - slope)
    }

    /// log(1 + eˣ): x for large x, never infinite; derivative σ(x).
    pub fn softplus(&self) -> Tensor {
        unary!(self, softplus(), |x, _| x.sigmoid())
    }

    /// log σ(x) = -softplus(-x).
    pub fn log_sigmoid(&self) -> Tensor {
        self.neg().softplus().neg()
    }

    /// x clamped to [low, high]; derivative 1 inside and at the ends, 0 outside.
    pub fn clamp(&self, low: f32, high: f32) -> Tensor {
        match self.rounded_clamp(low, high) {
            Some(rounded) => rounded,
            None => self.kept_within(low, high),
        }
    }

    /// [`clamp`](Self::clamp) that is not smoothed where kinks are rounded off: for ends that hardly
    /// any number reaches.
    pub(crate) fn kept_within(&self, low: f32, high: f32) -> Tensor {
        self.lift(
            || Op::new("clamp", [Bits::of(&low), Bits::of(&high)]),
            |x| dispatch!(clamp(x, low, high)),
            // Chosen, rather than multiplied by 0, since a direction may be infinite.
            |direction, x, _| {
                let x = x.unrounded();
                let is_outside = x.lt(low) + x.gt(high);
                is_outside.select_where(&direction.zeros_like(), direction)
            },
        )
    }

    /// ln Γ(x) for x ≥ 0, NaN below; its derivative is the [`digamma`](Self::digamma) function.
    pub fn lgamma(&self) -> Tensor {
        unary!(self, special(Special::LogGamma), |x, _| x.digamma())
    }

    /// The digamma function ψ(x) = d ln Γ(x)/dx for x ≥ 0, NaN below.
    pub fn digamma(&self) -> Tensor {
        self.polygamma(0)
    }

    /// The `order`-th derivative of the digamma function for x ≥ 0, NaN below; order 1 is the
    /// trigamma function.
    pub fn polygamma(&self, order: u32) -> Tensor {
        unary!(self, special(Special::Polygamma(order)), |x, _| x
            .polygamma(order.saturating_add(1)))
    }

    /// The error of Stirling's formula for ln Γ(x): δ(x) = ln Γ(x) − (x − ½) ln x + x − ½ ln 2π, for
    /// x ≥ 0, NaN below. Densities and masses that are written with it keep their digits for large
    /// parameters or counts (Loader, "Fast and Accurate Computation of Binomial
    /// Probabilities", 2000).
    pub fn stirling_error(&self) -> Tensor {
        self.stirling_slope(0)
    }

    /// The `order`-th derivative of [`stirling_error`](Self::stirling_error).
    fn stirling_slope(&self, order: u32) -> Tensor {
        unary!(self, special(Special::StirlingError(order)), |x, _| x
            .stirling_slope(order + 1))
    }

    /// x − 1 − ln x, accurate near 1, where it is 0: half the unit deviance of a Gamma, with which, and
    /// [`stirling_error`](Self::stirling_error), densities and masses keep their digits.
    pub fn unit_deviance(&self) -> Tensor {
        unary!(self, special(Special::UnitDeviance), |x, _| 1.0 - x.recip())
    }

    /// The error function, 2/√π ∫₀ˣ e^−t² dt.
    pub fn erf(&self) -> Tensor {
        unary!(self, special(Special::Erf), |x, _| x.bell())
    }

    /// 1 minus the error function, accurate even for large x: Φ(x) = erfc(−x/√2)/2 is the standard normal
    /// distribution function.
    pub fn erfc(&self) -> Tensor {
        unary!(self, special(Special::Erfc), |x, _| x.bell().neg())
    }

    /// 2/√π e^−x².
    fn bell(&self) -> Tensor {
        self.square().neg().exp() * std::f32::consts::FRAC_2_SQRT_PI
    }

    /// -1, 0 or 1: a constant.
    pub fn sign(&self) -> Tensor {
        self.gt(0.0) - self.lt(0.0)
    }
}

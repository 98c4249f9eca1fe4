//! Evolution strategies are a linear surrogate: the estimate from mirrored draws is the slope of a least-squares fit
//! whose Gram matrix is replaced by its expectation.

use relax_runtime::dist::Normal;
use relax_runtime::estimator::{LawProblem, differentiable, evolution_strategies};
use relax_runtime::prelude::*;

use crate::program::Outcome;

const DIMS: usize = 10;
const SCALE: f32 = 0.5;

/// A quadratic cost g·x + x·Hx/2, a number a row.
struct Quadratic {
    g: Tensor,
    h: Tensor,
}

impl Quadratic {
    fn new(seed: u64) -> Result<Self> {
        let mut stream = Key::new(seed).stream("quadratic");
        let root = stream.normals([DIMS, DIMS], &Device::cpu())? * (DIMS as f32).sqrt().recip();
        Ok(Self {
            g: stream.normals([DIMS], &Device::cpu())?,
            h: root.matmul_nt(&root),
        })
    }

    fn of(&self, x: &Tensor) -> Tensor {
        (x * &self.g + x * x.matmul(&self.h) * 0.5).sum_from(1)
    }

    /// ∇E f = Hμ + g, whatever the scale.
    fn slope(&self, mean: &Tensor) -> Result<Vec<f64>> {
        let slope = mean.matmul(&self.h).squeeze(0) + &self.g;
        Ok(slope.to_vec()?.into_iter().map(f64::from).collect())
    }
}

/// Shows the identity, and how far the estimates are from the truth.
///
/// # Errors
/// If the two estimates differ by more than rounding.
pub(crate) fn show(seed: u64) -> Outcome<()> {
    println!(
        "evolution strategies as a linear surrogate: f quadratic in {DIMS} dimensions, N(mu, {SCALE}^2)"
    );
    println!(
        "  {:>6}{:>16}{:>24}{:>24}",
        "draws", "|ES - expected|", "error, expected Gram", "error, Gram of the draws"
    );
    let f = Quadratic::new(seed)?;
    let mut stream = Key::new(seed).stream("draws");
    let mean = stream.normals([1, DIMS], &Device::cpu())?;
    let truth = f.slope(&mean)?;
    for pairs in [10, 20, 50, 200] {
        const TRIALS: usize = 20;
        let (mut widest, mut expected_error, mut drawn_error) = (0.0_f64, 0.0, 0.0);
        for _ in 0..TRIALS {
            let noise = stream.normals([pairs, 1, DIMS], &Device::cpu())?;
            let by_library = strategies(&f, &mean, &noise)?;
            let slopes = Slopes::of(&f, &mean, &noise)?;
            let gap = distance(&by_library, &slopes.expected) / norm(&slopes.expected);
            widest = widest.max(gap);
            expected_error += distance(&slopes.expected, &truth) / norm(&truth) / TRIALS as f64;
            drawn_error += distance(&slopes.drawn, &truth) / norm(&truth) / TRIALS as f64;
        }
        println!(
            "  {:>6}{widest:>16.1e}{expected_error:>24.3}{drawn_error:>24.3}",
            2 * pairs
        );
        if widest > 1e-4 {
            return Err(format!("the estimates differ by {widest:.1e} of their size").into());
        }
    }
    Ok(())
}

/// The library's estimate by μ.
fn strategies(f: &Quadratic, mean: &Tensor, noise: &Tensor) -> Outcome<Vec<f64>> {
    let scale = Tensor::full([1, DIMS], SCALE, &Device::cpu());
    let law = Normal::new(mean, &scale)?;
    let each: Vec<Tensor> = (0..noise.rows()).map(|i| noise.index(0, i)).collect();
    let problem = LawProblem {
        law: &law,
        noise: &each[0],
        further: &each[1..],
        plates: 1,
        context: None,
    };
    let cost = differentiable(|x: &Tensor| Ok(f.of(x)));
    let estimate = evolution_strategies(problem, &cost)?;
    let slope = estimate.gradients[0].to_vec()?;
    Ok(slope.into_iter().map(f64::from).collect())
}

/// Least-squares slopes (XᵀX)⁻¹Xᵀy through mirrored draws X around μ and their costs y.
struct Slopes {
    /// With XᵀX in expectation, nσ²I.
    expected: Vec<f64>,
    /// With XᵀX of the draws.
    drawn: Vec<f64>,
}

impl Slopes {
    fn of(f: &Quadratic, mean: &Tensor, noise: &Tensor) -> Outcome<Self> {
        let half = noise.reshape([noise.rows(), DIMS]) * SCALE;
        let x = Tensor::concat(&[&half, &-&half], 0);
        let y = f.of(&(&x + mean)).unsqueeze(1);
        let products = x.matmul_tn(&y);
        let gram = x.matmul_tn(&x);
        let root = gram.cholesky();
        // Backwards through Lᵀ: with rows and columns in reverse order it is lower triangular, too.
        let forwards = root.solve_lower(&products);
        let reverse: Vec<usize> = (0..DIMS).rev().collect();
        let flipped = root.transpose().gather(0, &reverse).gather(1, &reverse);
        let drawn = flipped
            .solve_lower(&forwards.gather(0, &reverse))
            .gather(0, &reverse);
        let expected = products / (x.rows() as f32 * SCALE * SCALE);
        let numbers = |x: &Tensor| -> Result<Vec<f64>> {
            Ok(x.to_vec()?.into_iter().map(f64::from).collect())
        };
        Ok(Self {
            expected: numbers(&expected)?,
            drawn: numbers(&drawn)?,
        })
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference)
}

//! Functions f1, f8 and f10 of the black-box optimization benchmark (Hansen, Finck, Ros, Auger 2009), with their least
//! value at 0.

use relax_runtime::prelude::*;

use crate::problem::{BlackBox, Space};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// f1: ‖x − x*‖².
    Sphere,
    /// f8: Rosenbrock's valley.
    Rosenbrock,
    /// f10: a rotated ellipsoid of condition 10⁶.
    Ellipsoid,
}

/// A function at a random place.
pub(crate) struct Bbob {
    function: Function,
    at: Vec<f64>,
    /// Rows are orthonormal.
    rotation: Vec<Vec<f64>>,
}

impl Bbob {
    pub(crate) fn new(function: Function, dims: usize, instance: u64) -> Self {
        let mut stream = Key::new(instance).stream("bbob");
        // f8's optimum stays away from the border.
        let widest = if function == Function::Rosenbrock {
            3.0
        } else {
            4.0
        };
        let at = (0..dims).map(|_| widest * (2.0 * stream.uniform_f64() - 1.0));
        let at = at.collect();
        let mut rotation: Vec<Vec<f64>> = Vec::new();
        for _ in 0..dims {
            let mut row: Vec<f64> = (0..dims).map(|_| stream.normal()).collect();
            for other in &rotation {
                let along = dot(&row, other);
                row.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
            }
            let length = dot(&row, &row).sqrt();
            row.iter_mut().for_each(|x| *x /= length);
            rotation.push(row);
        }
        Self {
            function,
            at,
            rotation,
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The benchmark's smooth oscillation, T_osz.
fn oscillated(x: f64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let log = x.abs().ln();
    let (c1, c2) = if x > 0.0 { (10.0, 7.9) } else { (5.5, 3.1) };
    x.signum() * (log + 0.049 * ((c1 * log).sin() + (c2 * log).sin())).exp()
}

impl BlackBox for Bbob {
    fn name(&self) -> String {
        let name = match self.function {
            Function::Sphere => "f1",
            Function::Rosenbrock => "f8",
            Function::Ellipsoid => "f10",
        };
        format!("{name}, {} dims", self.at.len())
    }

    fn space(&self) -> Space {
        Space::Reals(self.at.len())
    }

    fn cost(&self, x: &[f64]) -> f64 {
        let dims = self.at.len() as f64;
        let z: Vec<f64> = x.iter().zip(&self.at).map(|(x, at)| x - at).collect();
        match self.function {
            Function::Sphere => dot(&z, &z),
            Function::Rosenbrock => {
                let scale = (dims.sqrt() / 8.0).max(1.0);
                let z: Vec<f64> = z.iter().map(|z| scale * z + 1.0).collect();
                let pairs = z.windows(2);
                pairs
                    .map(|z| 100.0 * (z[0] * z[0] - z[1]).powi(2) + (z[0] - 1.0).powi(2))
                    .sum()
            }
            Function::Ellipsoid => {
                let rows = self.rotation.iter().enumerate();
                rows.map(|(i, row)| {
                    let weight = 1e6_f64.powf(i as f64 / (dims - 1.0));
                    weight * oscillated(dot(row, &z)).powi(2)
                })
                .sum()
            }
        }
    }

    fn optimum(&self) -> Option<f64> {
        Some(0.0)
    }
}

//! Gaussian numbers that are skewed to one side.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::dist::{
    Bijection, Distribution, Draws, Law, MeanField, Normal, Part, PerParameter, draw_shape,
};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::{Device, Shape, Tensor};

/// E √(1 + z²) of standard normal z.
const CENTRE: f32 = 1.354_530_8;
/// Beyond this, the density's terms cancel to more than f32 can resolve.
const MOST: f32 = 3.0;

/// Numbers loc + scale · u, u = z cosh s + (√(1 + z²) − c) sinh s, for standard normal z: sinh(asinh z + s) minus its
/// mean c sinh s, c = E √(1 + z²) (the sinh-arcsinh law of Jones and Pewsey, "Sinh-arcsinh distributions", Biometrika
/// 2009, with normal tails). Their mean is that of the Gaussian, which they are at s = 0.
#[derive(Clone, Debug)]
pub(super) struct Skewed {
    gaussian: Rc<dyn Law>,
    skew: Tensor,
}

/// The guide of a law, with a skew after the other parts, if it is Gaussian.
pub(super) fn skewed<'a>(guide: MeanField<'a>) -> Result<MeanField<'a>> {
    let names = guide.parts().iter().map(Part::name);
    let first = guide.first_values()?;
    if !names.eq(["loc", "log_scale"]) || guide.law(&first)?.name() != <Normal<f64>>::NAME {
        return Ok(guide);
    }
    let skew = Part::real("skew", &first[0].zeros_like());
    let parts: SmallVec<[Part; 3]> = guide.parts().iter().cloned().chain([skew]).collect();
    Ok(MeanField::new(parts, move |free| {
        Ok(Rc::new(Skewed {
            gaussian: guide.law(&free[..2])?,
            skew: free[2].clone(),
        }))
    })
    .in_units(0, |free| free[1].exp()))
}

impl Skewed {
    fn loc_and_scale(&self) -> [Tensor; 2] {
        let parameters = self.gaussian.parameters();
        [parameters[0].clone(), parameters[1].clone()]
    }

    /// cosh s and sinh s.
    fn turn(&self) -> [Tensor; 2] {
        let skew = self.skew.clamp(-MOST, MOST);
        let (up, down) = (skew.exp(), (-skew).exp());
        [(&up + &down) * 0.5, (up - down) * 0.5]
    }
}

impl Law for Skewed {
    fn name(&self) -> &'static str {
        "SkewedNormal"
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        let mut parameters = self.gaussian.parameters();
        parameters.push(self.skew.clone());
        parameters
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            gaussian: self.gaussian.with_parameters(&parameters[..2]),
            skew: parameters[2].clone(),
        })
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        let [loc, scale] = self.loc_and_scale();
        let [cosh, sinh] = self.turn();
        let standard = (value - loc) / scale;
        let moved = &standard + &sinh * CENTRE;
        let root = (moved.square() + 1.0).sqrt();
        let z = &moved * &cosh - &root * &sinh;
        let slope = cosh - moved / root * sinh;
        let gaussian = self.gaussian.log_density(value);
        gaussian + (standard.square() - z.square()) * 0.5 + slope.ln()
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        self.gaussian.noise(stream)
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        let [cosh, sinh] = self.turn();
        let root = (noise.square() + 1.0).sqrt();
        self.gaussian.draw(&(noise * cosh + (root - CENTRE) * sinh))
    }

    fn mirrored(&self, noise: &Tensor) -> Option<Tensor> {
        Some(-noise)
    }

    fn bijection(&self) -> Option<Bijection> {
        Some(Bijection::Real)
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Pathwise
    }

    fn draw_shape(&self) -> Shape {
        draw_shape(&self.parameters())
    }

    fn mean_field(&self) -> MeanField<'_> {
        self.gaussian.mean_field()
    }

    fn mean(&self) -> Tensor {
        self.gaussian.mean()
    }

    fn device(&self) -> Device {
        self.gaussian.device()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;

    /// The density integrates to 1, and draws have its mean and spread.
    #[test]
    fn draws_have_the_density() -> Result<()> {
        const POINTS: usize = 20_000;
        let spots: Vec<f32> = (0..POINTS).map(|i| i as f32 * 2e-3 - 18.0).collect();
        let spots = Tensor::from_slice(&spots);
        for skew in [-1.2, -0.3, 0.0, 0.5, 1.0] {
            let law = |shape: [usize; 1]| -> Result<Skewed> {
                let device = Device::cpu();
                Ok(Skewed {
                    gaussian: Normal::new(Tensor::full(shape, 0.7, &device), 0.9)?.law()?,
                    skew: Tensor::full(shape, skew, &device),
                })
            };
            let density = law([POINTS])?.log_density(&spots).exp() * 2e-3;
            let moment = |x: &Tensor| x.sum_all().item();
            let mean = moment(&(&density * &spots))?;
            let square = moment(&(&density * (&spots - mean).square()))?;
            assert!((moment(&density)? - 1.0).abs() < 1e-3, "{skew}");
            assert!((mean - 0.7).abs() < 2e-3, "{skew}: {mean}");
            let sampled = law([100_000])?;
            let noise = sampled.noise(&mut Key::new(1).stream("x"))?;
            let draws = sampled.draw(&noise);
            let found = draws.mean_all().item()?;
            let spread = (&draws - found).square().mean_all().item()?;
            assert!((found - mean).abs() < 0.02, "{skew}: {found} for {mean}");
            assert!(
                (spread / square - 1.0).abs() < 0.03,
                "{skew}: {spread} for {square}"
            );
        }
        Ok(())
    }
}

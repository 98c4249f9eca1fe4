//! Automatic guides that several laws share.

use std::rc::Rc;

use super::{
    Constraint, Distribution, Gamma, InverseGamma, Law, LogNormal, MeanField, Normal, Part,
    PerParameter, draw_shape,
};
use crate::error::Result;
use crate::tensor::{Shape, Tensor};

/// Range of shapes that a Gamma guide may start from: one vaguer or surer than any data has draws that
/// teach nothing.
pub(super) const FIRST_SHAPES: (f32, f32) = (1.0, 1e4);

/// How much narrower than the prior a guide of numbers starts, as a logarithm: a tenth. A few draws as wide as
/// those of a vague prior have gradients thousands of times those of the others.
pub(super) const NARROWER: f32 = -std::f32::consts::LN_10;
/// The same for a concentration, whose square root the spread follows.
pub(super) const SURER: f32 = -2.0 * NARROWER;

/// The positive number with this logarithm; positive and finite, however far training goes.
fn positive(free: &Tensor) -> Tensor {
    Constraint::Positive.value(free)
}

/// A Gaussian with its own mean and standard deviation for each element of a shape: for laws of real
/// numbers, whose posteriors are close to one as soon as there are data.
pub fn normal_guide(loc: &Tensor, scale: &Tensor, shape: Shape) -> MeanField<'static> {
    by_location(loc, scale, shape, |loc, scale| {
        Normal::new(loc, scale)?.law()
    })
    .for_draws_about(location_and_scale)
}

/// Numbers whose logarithm is Gaussian, with its own `loc` and `scale` for each element of a shape.
pub fn log_normal_guide(loc: &Tensor, scale: &Tensor, shape: Shape) -> MeanField<'static> {
    by_location(loc, scale, shape, |loc, scale| {
        LogNormal::new(loc, scale)?.law()
    })
    .for_draws_about(location_and_scale)
}

/// Gamma numbers with their own shape and mean for each element of a shape.
pub(super) fn gamma_guide(
    concentration: &Tensor,
    mean: &Tensor,
    shape: Shape,
) -> MeanField<'static> {
    by_mean(concentration, mean, shape, |shape, rate| {
        Gamma::new(shape, rate)?.law()
    })
}

/// Numbers whose reciprocals are Gamma numbers, with the shape and mean of those.
pub(super) fn inverse_gamma_guide(
    concentration: &Tensor,
    inverse_mean: &Tensor,
    shape: Shape,
) -> MeanField<'static> {
    by_mean(concentration, inverse_mean, shape, |shape, scale| {
        InverseGamma::new(shape, scale)?.law()
    })
    .for_draws_about(|loc, scale| [-loc, scale.ln() * -2.0].into_iter().collect())
}

/// The parts of a guide whose parameters are the means and standard deviations of unconstrained numbers.
pub(super) fn location_and_scale(loc: &Tensor, scale: &Tensor) -> PerParameter<Tensor> {
    [loc.clone(), scale.ln()].into_iter().collect()
}

/// Builds a law from two parameters.
type Build = fn(&Tensor, &Tensor) -> Result<Rc<dyn Law>>;

/// A law with its own location and scale for each element of a shape.
pub(super) fn by_location(
    loc: &Tensor,
    scale: &Tensor,
    shape: Shape,
    build: impl Fn(&Tensor, &Tensor) -> Result<Rc<dyn Law>> + 'static,
) -> MeanField<'static> {
    let parts = [
        Part::real("loc", loc).shaped(shape),
        Part::positive("log_scale", scale)
            .shaped(shape)
            .first_at(NARROWER),
    ];
    MeanField::new(parts, move |free| build(&free[0], &positive(&free[1])))
        .in_units(0, |free| positive(&free[1]))
}

/// A law with a mean, which earlier choices move, and a shape.
fn by_mean(
    concentration: &Tensor,
    mean: &Tensor,
    shape: Shape,
    build: Build,
) -> MeanField<'static> {
    let (least, most) = FIRST_SHAPES;
    let parts = [
        Part::positive("log_mean", mean).shaped(shape),
        Part::positive("log_concentration", &concentration.kept_within(least, most))
            .shaped(shape)
            .first_at(SURER),
    ];
    MeanField::new(parts, move |free| {
        let (mean, concentration) = (positive(&free[0]), positive(&free[1]));
        build(&concentration, &(&concentration / mean))
    })
    .in_units(0, |free| no_larger((&free[1] * -0.5).exp()))
    .for_draws_about(|loc, scale| [loc.clone(), scale.ln() * -2.0].into_iter().collect())
}

/// A law with two shapes for each element of the shape that those of the model broadcast to, by the logit of its mean
/// and the sum of the shapes: the one tells little about the other, and earlier choices move the mean.
pub(super) fn beta_guide(
    [a, b]: [&Tensor; 2],
    build: impl Fn(&Tensor, &Tensor) -> Result<Rc<dyn Law>> + 'static,
) -> MeanField<'static> {
    let shape = draw_shape(&[a.clone(), b.clone()]);
    let (least, most) = FIRST_SHAPES;
    let [a, b] = [a, b].map(|prior| prior.kept_within(least, most));
    let parts = [
        Part::real("logit_mean", &(a.ln() - b.ln())).shaped(shape),
        Part::positive("log_concentration", &(a + b)).shaped(shape),
    ];
    MeanField::new(parts, move |free| {
        let [a, b] = shapes(free);
        build(&a, &b)
    })
    // Roughly the spread of the draws' logits.
    .in_units(0, |free| {
        let [a, b] = shapes(free);
        no_larger((a.recip() + b.recip()).sqrt())
    })
    .for_draws_about(|loc, scale| {
        let share = loc.log_sigmoid() + (-loc).log_sigmoid();
        [loc.clone(), scale.ln() * -2.0 - share]
            .into_iter()
            .collect()
    })
}

/// A unit of steps that stops growing where a shape is far below 1: draws are then orders of magnitude apart, and a
/// step as wide as their spread would lead to where no other draw leads back.
fn no_larger(unit: Tensor) -> Tensor {
    const LARGEST: f32 = 2.0;
    unit.kept_within(0.0, LARGEST)
}

/// The shapes of a Beta law, from the logit of its mean and the logarithm of their sum. An outlying earlier
/// choice may move the mean by any number of logits: within these bounds the derivative, which goes as the
/// inverse square, fits in f32.
fn shapes(free: &[Tensor]) -> [Tensor; 2] {
    const LEAST: f32 = 1e-9;
    let shape = |logit: &Tensor| positive(&(&free[1] + logit.log_sigmoid()));
    [shape(&free[0]), shape(&-&free[0])].map(|shape| shape.kept_within(LEAST, f32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{
        Beta, Bijection, Dirichlet, HalfNormal, MultivariateNormal, Truncated, Uniform,
    };
    use crate::random::Key;
    use crate::tensor::{Device, grad};

    /// A shape that training has made tiny does not make steps larger and larger.
    #[test]
    fn units_stay_small_where_shapes_are_tiny() -> Result<()> {
        let one = Tensor::scalar(1.0);
        let laws: [Rc<dyn Law>; 3] = [
            Beta::new(one.clone(), 4.0)?.law()?,
            Gamma::new(one.clone(), 1.0)?.law()?,
            InverseGamma::new(one, 1.0)?.law()?,
        ];
        for law in &laws {
            let guide = law.mean_field();
            for tiny in [-3.0, -20.0, -60.0] {
                let free: Vec<Tensor> =
                    guide.parts().iter().map(|_| Tensor::scalar(tiny)).collect();
                for (_, unit) in guide.units(&free) {
                    let unit = unit.item()?;
                    assert!((0.5..=2.0).contains(&unit), "{}: {unit}", law.name());
                }
            }
        }
        Ok(())
    }

    /// The parts that a guide gives for draws around some unconstrained numbers do have such draws.
    #[test]
    fn guides_have_the_draws_that_their_parts_are_said_for() -> Result<()> {
        const DRAWS: usize = 4_000;
        let device = Device::cpu();
        let many = |x: f32| Tensor::full([DRAWS], x, &device);
        let infinite = f64::INFINITY;
        let laws: Vec<(Rc<dyn Law>, f32)> = vec![
            (Normal::new(many(1.0), 2.0)?.law()?, 0.4),
            (LogNormal::new(many(1.0), 2.0)?.law()?, -1.3),
            (HalfNormal::new(many(3.0))?.law()?, -1.3),
            (Gamma::new(many(2.0), 1.0)?.law()?, -1.3),
            (InverseGamma::new(many(2.0), 1.0)?.law()?, -1.3),
            (Beta::new(many(2.0), 1.0)?.law()?, 0.7),
            (Uniform::new(many(-2.0), 5.0)?.law()?, 0.7),
            (
                Truncated::new(Normal::new(many(3.0), 1.0)?, 0.0, infinite)?.law()?,
                -1.3,
            ),
            (
                Truncated::new(Normal::new(many(3.0), 1.0)?, 0.0, 5.0)?.law()?,
                0.7,
            ),
            (
                Truncated::new(LogNormal::new(many(0.0), 1.0)?, 0.5, infinite)?.law()?,
                -0.4,
            ),
        ];
        let moments = |free: &Tensor| -> Result<(f32, f32)> {
            let mean = free.mean_all().item()?;
            Ok((mean, (free - mean).square().mean_all().item()?.sqrt()))
        };
        for (law, at) in laws {
            let guide = law.mean_field();
            let parts = guide.about(&many(at), &many(0.1)).expect("parts");
            let guided = guide.law(&parts)?;
            let draws = guided.draw(&guided.noise(&mut Key::new(3).stream("x"))?);
            let bijection = law.bijection().expect("a bijection");
            let (mean, sd) = moments(&bijection.free(&draws))?;
            assert!((mean - at).abs() < 0.03, "{}: {mean}, not {at}", law.name());
            assert!((sd / 0.1 - 1.0).abs() < 0.1, "{}: {sd}", law.name());
        }
        let shares = Dirichlet::new(Tensor::ones([DRAWS, 3], &device))?.law()?;
        let guide = shares.mean_field();
        let at = |x: f32| Tensor::full([DRAWS, 2], x, &device);
        let guided = guide.law(&guide.about(&at(0.6), &at(0.1)).expect("parts"))?;
        let draws = guided.draw(&guided.noise(&mut Key::new(3).stream("x"))?);
        let (mean, _) = moments(&Bijection::Simplex.free(&draws))?;
        assert!((mean - 0.6).abs() < 0.03, "Dirichlet: {mean}");
        let matrix = Tensor::eye(2, &device).broadcast_to([DRAWS, 2, 2]);
        let pairs = MultivariateNormal::new(Tensor::zeros([DRAWS, 2], &device), matrix)?.law()?;
        let guide = pairs.mean_field();
        let guided = guide.law(&guide.about(&at(0.6), &at(0.1)).expect("parts"))?;
        let draws = guided.draw(&guided.noise(&mut Key::new(3).stream("x"))?);
        let (mean, sd) = moments(&draws)?;
        assert!(
            (mean - 0.6).abs() < 0.01 && (sd / 0.1 - 1.0).abs() < 0.1,
            "{mean}, {sd}"
        );
        Ok(())
    }

    /// Slopes on earlier choices take means where no prior does.
    #[test]
    fn means_far_out_have_draws_with_derivatives() -> Result<()> {
        let device = Device::cpu();
        let prior = Uniform::new(Tensor::zeros([64], &device), 10.0)?.law()?;
        let guide = prior.mean_field();
        for logit in [-200.0, -60.0, 60.0, 200.0] {
            let free = [logit, 8.0].map(|x| Tensor::full([64], x, &device).leaf());
            let law = guide.law(&free)?;
            let draw = law.draw(&law.noise(&mut Key::new(1).stream("x"))?);
            let density = law.log_density(&draw);
            let total = (draw + density).sum_all();
            for gradient in grad(&[(&total, None)], &[&free[0], &free[1]])? {
                let is_finite = gradient.peek()?.iter().all(|g| g.is_finite());
                assert!(is_finite, "{logit}: {gradient:?}");
            }
        }
        Ok(())
    }
}

//! The automatic guides of the distributions.

use relax_runtime::dist::{Bernoulli, Categorical, Distribution, Normal, OneHotCategorical};
use relax_runtime::{Device, Key, Result, Tensor, grad};

use super::{assert_near, tensor};

/// The automatic guide of a law, whatever its parameters are, draws what the law can draw and no
/// more, and its log-masses are those of what is left.
fn guides_leave_out_what_their_law_excludes(device: &Device) -> Result<()> {
    let rows = Tensor::stack(
        &[
            &tensor(device, &[0.5, 0.5, 0.0]),
            &tensor(device, &[0.0, 0.0, 1.0]),
        ],
        0,
    );
    let free = Tensor::stack(
        &[
            &tensor(device, &[0.3, -0.2, 9.0]),
            &tensor(device, &[50.0, 0.0, -50.0]),
        ],
        0,
    );
    let half = 1.0 / (1.0 + (-0.5f64).exp());
    let wanted = [[half, 1.0 - half, 0.0], [0.0, 0.0, 1.0]].concat();
    for law in [
        Categorical::probs(&rows)?.law()?,
        OneHotCategorical::probs(&rows)?.law()?,
    ] {
        let leaf = free.leaf();
        let guide = law.mean_field().law(std::slice::from_ref(&leaf))?;
        let mut found = Vec::new();
        for k in 0..3 {
            let vertex = tensor(device, &[k as f64; 2]).one_hot(3);
            found.push(guide.log_density(&guide.value_at(&vertex)).exp().to_vec()?);
        }
        for (place, wanted) in wanted.iter().enumerate() {
            let found = f64::from(found[place % 3][place / 3]);
            assert_near(law.name(), found, *wanted, 1e-6);
        }
        assert_eq!(law.excluded()?, guide.excluded()?);
        // The derivative is that of the renormalised law, and 0 by what is excluded.
        let drawn = guide.log_density(&guide.value_at(&tensor(device, &[0.0, 2.0]).one_hot(3)));
        let gradient = grad(&[(&drawn, None)], &[&leaf])?[0].to_vec()?;
        let slopes = [1.0 - half, half - 1.0, 0.0, 0.0, 0.0, 0.0];
        for (found, wanted) in gradient.into_iter().zip(slopes) {
            assert_near(law.name(), f64::from(found), wanted, 1e-6);
        }
        let draws = |i: u64| {
            guide
                .draw(&guide.noise(&mut Key::new(i).stream("k"))?)
                .to_vec()
        };
        for i in 0..50 {
            let vertex = guide.to_vertex(&Tensor::from_vec(
                draws(i)?,
                guide.draw(&free.zeros_like()).shape(),
                device,
            )?);
            let impossible = (vertex * rows.le(0.0)).sum_all().item()?;
            assert_eq!(impossible, 0.0, "{}", law.name());
        }
    }
    for (p, mean) in [(1.0, 1.0), (0.0, 0.0)] {
        for law in [
            Bernoulli::probs(p)?.law()?,
            Bernoulli::probs(Tensor::scalar(p as f32))?.law()?,
        ] {
            let guide = law.mean_field().law(&[Tensor::scalar(0.3)])?;
            assert_eq!(guide.mean().item()?, mean);
            let value = |x: f32| guide.log_density(&Tensor::scalar(x)).item();
            assert_eq!(value(mean)?, 0.0);
            assert_eq!(value(1.0 - mean)?, f32::NEG_INFINITY);
        }
    }
    Ok(())
}

fn guides_know_the_shapes_of_their_parameters(device: &Device) -> Result<()> {
    let rows = |width: usize| Tensor::zeros([3, width], device);
    let laws = [
        Bernoulli::logits(&rows(2))?.law()?,
        Bernoulli::probs(0.3)?.law()?,
        Categorical::logits(&rows(4))?.law()?,
        Categorical::probs([0.2, 0.8])?.law()?,
        OneHotCategorical::logits(&rows(4))?.law()?,
        Normal::new(&rows(2), Tensor::ones([1, 2], device))?.law()?,
        Normal::new(0.0, 1.0)?.law()?,
        Normal::new(rows(1), tensor(device, &[1.0, 2.0]))?.law()?,
    ];
    for law in laws {
        for part in law.mean_field().parts() {
            assert_eq!(part.first_value()?.shape(), part.shape(), "{}", law.name());
        }
    }
    Ok(())
}

on_every_engine!(
    guides_leave_out_what_their_law_excludes,
    guides_know_the_shapes_of_their_parameters
);

//! Training holds no more memory after many steps than after the first hundred.

use cap::Cap;
use relax_runtime::prelude::*;

#[global_allocator]
static ALLOCATOR: Cap<std::alloc::System> = Cap::new(std::alloc::System, usize::MAX);

#[model]
fn coin(target: f32) {
    let logit = param!(0.0);
    let b = sample!(Bernoulli(logits = logit));
    cost!((b - target).square());
}

#[model]
fn decoder(x: &Tensor, layer: &Linear) {
    plate!(x.rows() => {
        let h = sample!(Bernoulli(logits = Tensor::zeros([1, 3], &Device::cpu())));
        observe!(Bernoulli(logits = layer.forward(&h)), x);
    })
}

#[model]
fn encoder(x: &Tensor, layer: &Linear) {
    plate!(x.rows() => {
        let _h = sample!(Bernoulli(logits = layer.forward(x)));
    })
}

/// Bytes that `steps` steps allocate and do not give back, after a hundred others.
fn growth(steps: usize, mut step: impl FnMut() -> Result<StepReport>) -> Result<usize> {
    for _ in 0..100 {
        step()?;
    }
    let before = ALLOCATOR.allocated();
    for _ in 0..steps {
        step()?;
    }
    Ok(ALLOCATOR.allocated().saturating_sub(before))
}

/// One test, because others would allocate at the same time.
#[test]
fn memory_is_steady() -> Result<()> {
    for estimator in ["relax", "relax-free-form"] {
        let asked = relax_runtime::estimator::by_name(estimator)?;
        let mut trainer = Trainer::new(1).with_estimator(asked);
        let coin = coin(0.499);
        let grown = growth(50_000, || trainer.step(&ExpectedCost::new(&coin)))?;
        assert!(
            grown < 1024,
            "the coin by {estimator} has grown by {grown} bytes"
        );
    }

    let (mut stream, device) = (Key::new(1).stream("weights"), Device::cpu());
    let encoding = Linear::new(6, 3, &mut stream, &device)?;
    let decoding = Linear::new(3, 6, &mut stream, &device)?;
    let x = Tensor::from_vec((0..24).map(|i| (i % 2) as f32).collect(), [4, 6], &device)?;
    let mut trainer = Trainer::new(1);
    let grown = growth(2_000, || {
        trainer.step(&Elbo::new(&decoder(&x, &decoding)).guide(&encoder(&x, &encoding)))
    })?;
    assert!(grown < 1024, "the autoencoder has grown by {grown} bytes");
    Ok(())
}

//! Training holds no more memory after many steps than after the first hundred, and memory is proportional to the
//! number of sites.

use std::cell::Cell;

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

/// A coin by the coin before, which host code reads; `look` looks at the memory that the run holds.
#[model]
fn host_chain(length: usize, look: &dyn Fn()) {
    let mut last = true;
    for _ in 0..length {
        let on = sample!(Bernoulli(if last { 0.8 } else { 0.3 }));
        observe!(Bernoulli(if on { 0.9 } else { 0.2 }), true);
        last = on;
    }
    look();
}

/// A coin by all coins before, every other of which host code reads.
#[model]
fn tensor_chain(length: usize, look: &dyn Fn()) {
    let mut state = Tensor::scalar(0.0);
    for step in 0..length {
        let on = sample!(Bernoulli(logits = &state - 0.5));
        state = &state * 0.5 + &on;
        if step % 2 == 0 && on.to_bool()? {
            state = state * 0.9;
        }
        observe!(Bernoulli(logits = &state - 1.0), 1.0);
    }
    look();
}

/// A step of training, which calls the function when the model has run.
type Step<'a> = dyn Fn(&mut Trainer, &dyn Fn()) -> Result<()> + Sync + 'a;

/// Bytes a site that training holds between two steps, and when the model has run: in a thread of its own, which has no
/// memory that other trainings have left.
fn held(length: usize, step: &Step<'_>) -> [f64; 2] {
    std::thread::scope(|scope| {
        let alone = scope.spawn(|| held_here(length, step).expect("a training"));
        alone.join().expect("a thread")
    })
}

fn held_here(length: usize, step: &Step<'_>) -> Result<[f64; 2]> {
    let before = ALLOCATOR.allocated();
    let in_run = Cell::new(0);
    let asked = relax_runtime::estimator::by_name("relax-free-form")?;
    let mut trainer = Trainer::new(1).estimator(asked);
    for _ in 0..3 {
        step(&mut trainer, &|| in_run.set(ALLOCATOR.allocated()))?;
    }
    let bytes = |now: usize| now.saturating_sub(before) as f64 / length as f64;
    Ok([bytes(ALLOCATOR.allocated()), bytes(in_run.get())])
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
        let mut trainer = Trainer::new(1).estimator(asked);
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

    let of_host = |length| {
        held(length, &|trainer, look| {
            trainer
                .step(&Elbo::new(&host_chain(length, look)))
                .map(drop)
        })
    };
    let of_tensors = |length| {
        held(length, &|trainer, look| {
            trainer
                .step(&Elbo::new(&tensor_chain(length, look)))
                .map(drop)
        })
    };
    for [short, long] in [
        [of_host(500), of_host(4_000)],
        [of_tensors(500), of_tensors(4_000)],
    ] {
        for (short, long) in short.into_iter().zip(long) {
            assert!(
                long < 1.2 * short,
                "{short} bytes a site, and {long} of many"
            );
        }
    }
    Ok(())
}

//! What evaluating a relaxed draw leaves unchanged.

use std::cell::Cell;
use std::rc::Rc;

use relax_runtime::infer::{Evaluation, Guide, Proposal};
use relax_runtime::prelude::*;

/// A mean-field guide that counts the laws that it makes.
struct Counted(Rc<Cell<usize>>);

impl Guide for Counted {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        let made = Rc::clone(&self.0);
        evaluation.by_site(move |site| {
            made.set(made.get() + 1);
            site.mean_field()
        })
    }
}

fn coins() -> Result<Bernoulli<Tensor>> {
    Bernoulli::probs(Tensor::full([3], 0.4, &Device::cpu()))
}

/// Three groups of coins that have nothing to do with each other.
#[model]
fn apart(x: &Tensor) {
    for _ in 0..3 {
        let on = sample!(coins(), estimator = "rebar");
        observe!(Normal(on * 2.0, 1.0), x);
    }
}

/// Groups of which each follows the one before.
#[model]
fn chain(x: &Tensor) {
    let mut last = Tensor::zeros([3], &Device::cpu());
    for _ in 0..3 {
        let on = sample!(Bernoulli(logits = last - 0.5), estimator = "rebar");
        observe!(Normal(&on * 2.0, 1.0), x);
        last = on;
    }
}

/// Laws that were made in a step, and how often the cost was evaluated.
fn laws_of_a_step(model: &dyn Program) -> Result<(usize, usize)> {
    let made = Rc::new(Cell::new(0));
    let guide = Counted(Rc::clone(&made));
    let mut trainer = Trainer::new(1);
    let objective = Elbo::new(model).guide(&guide);
    // The first meets the sites.
    trainer.step(&objective)?;
    made.set(0);
    let report = trainer.step(&objective)?;
    Ok((made.get(), report.evaluations))
}

#[test]
fn laws_of_choices_that_stay_are_made_once() -> Result<()> {
    let x = Tensor::from_slice(&[0.3, 1.9, 0.8]);
    // Each further evaluation is at another draw of one site.
    let (made, evaluations) = laws_of_a_step(&apart(&x))?;
    assert!(evaluations > 3, "{evaluations} evaluations");
    assert_eq!(made, 3 + (evaluations - 1));
    // The guide's laws do not follow each other, so that those of a chain stay, too.
    let (made, evaluations) = laws_of_a_step(&chain(&x))?;
    assert_eq!(made, 3 + (evaluations - 1));
    Ok(())
}

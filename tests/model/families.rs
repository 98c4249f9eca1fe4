//! Guides of other families than the library's, written with its public interface.

use relax_runtime::dist::{Bernoulli, Distribution, Normal, Value};
use relax_runtime::estimator::{Enumerate, by_name};
use relax_runtime::infer::{Evaluation, Guide, MeanFieldGuide, Proposal, StructuredGuide};
use relax_runtime::prelude::*;

use crate::{assert_near, assert_says, error, wet_lawn};

/// Coins that depend on all host values before them, by tables of logits.
struct Tables;

impl Guide for Tables {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        evaluation.by_site(|site| {
            let mut row = String::from("logit");
            site.each_earlier(|entry| {
                if let Value::Bool(b) = entry.value {
                    row.push(if b { '1' } else { '0' });
                }
            });
            let logit = site.parameter(&row, || Ok(Tensor::scalar(0.0)))?;
            Bernoulli::logits(logit.get())?.law()
        })
    }
}

/// Coins over tensors, each of whose logits is linear in those before it.
struct Linear;

impl Guide for Linear {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        evaluation.by_site(|site| {
            let start = site.parameter("logit", || Ok(Tensor::scalar(0.3)))?;
            let mut logit = start.get();
            let mut found = Ok(());
            site.each_earlier(|entry| {
                if let (Some(_), Value::Tensor(b)) = (&entry.dist, &entry.value) {
                    let slope = site.parameter(&entry.name, || Ok(Tensor::scalar(-0.8)));
                    match slope {
                        Ok(slope) => logit = &logit + slope.get() * b,
                        Err(error) => found = Err(error),
                    }
                }
            });
            found?;
            Bernoulli::logits(logit)?.law()
        })
    }
}

/// Coins over tensors, by tables that the guide reads on the host.
struct Read;

impl Guide for Read {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        evaluation.by_site(|site| {
            let mut row = Ok(String::from("logit"));
            site.each_earlier(|entry| {
                if let (Some(_), Value::Tensor(b), Ok(row)) = (&entry.dist, &entry.value, &mut row)
                {
                    match b.to_vec() {
                        Ok(b) => row.push(if b[0] > 0.5 { '1' } else { '0' }),
                        Err(_) => row.push('?'),
                    }
                }
            });
            let row: Result<String> = row;
            let row = row?;
            // Rows that differ from the start, so that costs depend on what is read.
            let first = || Ok(Tensor::scalar(if row.ends_with('1') { 2.0 } else { -0.3 }));
            let logit = site.parameter(&row, first)?;
            Bernoulli::logits(logit.get())?.law()
        })
    }
}

#[model]
fn tensors() {
    let a = sample!(Bernoulli(Tensor::scalar(0.4)));
    let b = sample!(Bernoulli(logits = &a * 2.0 - 1.0));
    let c = sample!(Bernoulli(logits = &a - &b));
    observe!(Normal(&a + &b * 2.0 - &c, 0.6), 1.4);
}

/// Where a mean-field guide is far off, a guide that follows dependencies gets the posterior.
#[test]
fn a_guide_of_tables_reaches_the_posterior() -> Result<()> {
    let model = wet_lawn(true);
    let exact = exact_posterior(&model)?;
    for estimator in ["relax", "rloo", "enumerate"] {
        let fit = Svi::new(&model)
            .guide(&Tables)
            .estimator(by_name(estimator)?)
            .optimizer(Adam::new(0.05))
            .steps(1_500)
            .posterior_draws(20_000)
            .seed(1)
            .progress(false)
            .run()?;
        assert_near(fit.posterior().mean("rain")?, exact.mean("rain")?, 0.03);
        let sprinkler = fit.posterior().mean("sprinkler")?;
        assert_near(sprinkler, exact.mean("sprinkler")?, 0.03);
        let bound = fit.posterior().log_evidence();
        assert_near(bound.elbo, exact.log_evidence, 0.02);
    }
    Ok(())
}

/// Costs depend on a choice through the guide, too.
#[test]
fn guides_by_site_are_unbiased() -> Result<()> {
    let (host, tensors) = (wet_lawn(true), tensors());
    let by_tables = Elbo::new(&host).guide(&Tables);
    let by_lines = Elbo::new(&tensors).guide(&Linear);
    for estimator in ["relax", "relax-free-form", "rloo", "disarm"] {
        let known = by_name(estimator)?;
        for bound in [&by_tables, &by_lines] {
            let check = Check::new(bound).estimator(known.clone()).draws(4_000);
            check.run()?.verdict()?;
        }
    }
    // What the guide reads on the host counts, too.
    let by_reading = Elbo::new(&tensors).guide(&Read);
    for estimator in ["relax", "rloo", "disarm"] {
        let check = Check::new(&by_reading).estimator(by_name(estimator)?);
        check.draws(4_000).run()?.verdict()?;
    }
    for estimator in ["relax-relaxed-cost", "rebar", "rodeo"] {
        let known = by_name(estimator)?;
        let check = Check::new(&by_lines).estimator(known).draws(4_000);
        check.run()?.verdict()?;
    }
    Ok(())
}

/// The library's family by name is the one without a name.
#[test]
fn the_structured_guide_is_the_default() -> Result<()> {
    let model = tensors();
    let losses = |bound: Elbo<'_>| -> Result<Vec<f64>> {
        let mut trainer = Trainer::new(3).estimator(Enumerate::default());
        (0..20).map(|_| Ok(trainer.step(&bound)?.loss)).collect()
    };
    let named = losses(Elbo::new(&model).guide(&StructuredGuide))?;
    assert_eq!(named, losses(Elbo::new(&model))?);
    assert_ne!(named, losses(Elbo::new(&model).guide(&MeanFieldGuide))?);
    Ok(())
}

#[test]
fn laws_that_do_not_fit_are_refused() {
    /// Gives every site the same law.
    struct Same(fn() -> Result<std::rc::Rc<dyn relax_runtime::dist::Law>>);

    impl Guide for Same {
        fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
            let law = self.0;
            evaluation.by_site(move |_| law())
        }
    }

    let model = tensors();
    let of = |guide: Same| {
        let trained = Svi::new(&model)
            .guide(&guide)
            .steps(2)
            .progress(false)
            .run();
        error(trained.map(drop))
    };
    let normal = of(Same(|| Normal::new(Tensor::scalar(0.0), 1.0)?.law()));
    assert_says(
        &normal,
        &["site `a`", "Bernoulli is discrete", "Normal is continuous"],
    );
    let two = of(Same(|| {
        Bernoulli::logits(Tensor::from_slice(&[0.0, 1.0]))?.law()
    }));
    assert_says(&two, &["site `a`", "shape []", "shape [2]"]);
}

/// A distribution may stand at the end of a branch or a block, or among others.
#[test]
fn distributions_stand_in_branches() -> Result<()> {
    #[model]
    fn branches(kind: usize) {
        let a = sample!(if kind == 0 {
            Normal(0.0, 1.0)
        } else {
            Normal(loc = 5.0, scale = 0.1)
        });
        let b = sample!(match kind {
            0 => Poisson(1.0),
            1 => {
                let rate = 2.0;
                Poisson(rate = rate)
            }
            _ => Poisson(log_rate = 0.0),
        });
        observe!(
            Mixture([0.5, 0.5], (Normal(0.0, 1.0), Laplace(a, 1.0))),
            0.7,
            name = "x"
        );
        observe!(
            Mixture([0.5, 0.5], [Normal(0.0, 1.0), Normal(a, 2.0)]),
            0.3,
            name = "y"
        );
        cost!(b as f64);
    }
    for kind in 0..3 {
        let run = Simulation::seeded(1).run(&branches(kind))?;
        assert_eq!(
            run.trace.get("a")?.dist.as_ref().map(|d| d.name()),
            Some("Normal")
        );
    }
    Ok(())
}

//! Joint sums that continue from checkpoints.

use relax_runtime::estimator::Enumerate;
use relax_runtime::prelude::*;
use tempfile::TempDir;

use crate::joint::{lawn, mixed, nested, urns};

#[test]
fn training_resumes_bit_for_bit() -> Result<()> {
    let folder = TempDir::new().map_err(Error::user)?;
    for (name, program) in [("host", &urns(0) as &dyn Program), ("mixed", &mixed())] {
        let path = folder.path().join(name);
        let objective = Elbo::new(program);
        let fresh = || Trainer::new(5).estimator(Enumerate::default());
        let mut trainer = fresh();
        for _ in 0..4 {
            trainer.step(&objective)?;
        }
        trainer.save(&path)?;
        let mut resumed = fresh();
        resumed.step(&Elbo::new(&nested(1)))?;
        resumed.resume(&path)?;
        for _ in 0..4 {
            let (a, b) = (trainer.step(&objective)?, resumed.step(&objective)?);
            assert_eq!(a.loss.to_bits(), b.loss.to_bits());
            assert_eq!(a.evaluations, b.evaluations);
        }
        assert_eq!(trainer.plan().to_string(), resumed.plan().to_string());
        for (name, parameter) in trainer.params().all() {
            let other = resumed.params().get(&name).expect("a parameter");
            assert_eq!(parameter.get().to_vec()?, other.to_vec()?);
        }
    }
    Ok(())
}

/// A program that was once too large stays with draws after a resumption, too.
#[test]
fn a_refused_sum_resumes_bit_for_bit() -> Result<()> {
    let folder = TempDir::new().map_err(Error::user)?;
    let path = folder.path().join("large");
    let (large, small) = (nested(2), lawn(true));
    let fresh = || Trainer::new(5).estimator(Enumerate { largest: 16 });
    let mut trainer = fresh();
    trainer.step(&Elbo::new(&large))?;
    trainer.save(&path)?;
    let mut resumed = fresh();
    resumed.resume(&path)?;
    for model in [&large as &dyn Program, &small, &large] {
        let (a, b) = (
            trainer.step(&Elbo::new(model))?,
            resumed.step(&Elbo::new(model))?,
        );
        assert_eq!(a.loss.to_bits(), b.loss.to_bits());
        assert_eq!(a.evaluations, b.evaluations);
    }
    Ok(())
}

//! A guess of what each place costs: a network of the pixels there and the label.
//!
//! RELAX with c(z) = q · H(z), where q_k is the guess at place k, has two terms that move z and z̃ with θ. They are
//! those of a function that is constant except for jumps; their expectation is known, ∂/∂θ Σ p_k q_k, and replaces
//! them. Evaluating the network at all places takes about as long as the cost of this program: what it saves is
//! evaluations of the cost, which are expensive elsewhere.

use std::cell::RefCell;
use std::rc::Rc;

use relax_runtime::estimator::SiteClass;
use relax_runtime::prelude::*;
use relax_runtime::tensor::grad_parameters;

use crate::fitted::Guess;
use crate::scenes::{CLASSES, PATCH, PLACES, Scenes};

const PIXELS: usize = PATCH * PATCH;

/// The scenes of the step, which the surrogate looks at: no draw comes before them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight(Rc<RefCell<Option<(Tensor, Tensor)>>>);

impl Sight {
    /// Turns to the scenes of the next step.
    ///
    /// # Errors
    /// If no memory could hold all their patches.
    pub(crate) fn turn_to(&self, scenes: &Scenes) -> Result<()> {
        let patches = scenes.all_patches()?;
        let patches = patches.reshape([scenes.count() * PLACES, PIXELS]);
        *self.0.borrow_mut() = Some((patches, scenes.classes.clone()));
        Ok(())
    }

    /// All patches `[n · PLACES, PATCH²]`, and the labels as one-hot rows.
    fn seen(&self) -> Result<(Tensor, Tensor)> {
        let nothing = || Error::Estimator("the surrogate has no scenes; turn it to some".into());
        self.0.borrow().clone().ok_or_else(nothing)
    }
}

/// The guess, of rows of one choice each.
#[derive(Debug)]
pub(crate) struct Table {
    /// From a patch to the cost for each label.
    network: Mlp,
    sight: Sight,
}

impl Table {
    /// A network with one hidden layer that starts at zero.
    ///
    /// # Errors
    /// If no memory could hold it.
    pub(crate) fn new(hidden: usize, sight: &Sight, seed: u64) -> Result<Self> {
        let mut stream = Key::new(seed).stream("table");
        let sizes = [PIXELS, hidden, CLASSES];
        let network = Mlp::new(&sizes, Activation::Relu, &mut stream, &Device::cpu())?;
        for parameter in network.parameters().iter().rev().take(2) {
            parameter.set(parameter.get().zeros_like().detach())?;
        }
        Ok(Self {
            network: network.named("table"),
            sight: sight.clone(),
        })
    }

    /// q, `[rows, PLACES]`, a constant.
    fn costs(&self) -> Result<Tensor> {
        let (patches, classes) = self.sight.seen()?;
        let rows = classes.rows();
        let by_label = self.network.forward(&patches).detach();
        let by_label = by_label.reshape([rows, PLACES, CLASSES]);
        Ok((by_label * classes.unsqueeze(1)).sum(-1))
    }

    /// q at the places drawn, `[rows]`, differentiable in the weights.
    fn cost_of(&self, b: &Tensor) -> Result<Tensor> {
        let (patches, classes) = self.sight.seen()?;
        let places = b.argmax(-1).peek()?;
        let rows = places.into_iter().enumerate();
        let at: Vec<usize> = rows.map(|(row, k)| row * PLACES + k as usize).collect();
        let by_label = self.network.forward(&patches.rows_at(&at));
        Ok((by_label * classes).sum(-1))
    }
}

impl Guess for Table {
    const NAME: &'static str = "relax-table";
    const REASON: &'static str = "discrete: a network of the pixels says what each place costs";

    fn suits(&self, class: SiteClass) -> std::result::Result<(), String> {
        match class.draws.is_discrete() {
            true => Ok(()),
            false => Err("a table needs discrete values; use `lax`".into()),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.network.parameters()
    }

    fn value(&self, b: &Tensor) -> Result<Tensor> {
        Ok(self.cost_of(b)?.detach())
    }

    /// Σ p_k q_k.
    fn expected(&self, mean: &Tensor, _: Option<&Tensor>) -> Result<Tensor> {
        Ok((mean * self.costs()?).sum(-1))
    }

    fn learn(&self, b: &Tensor, f: &Tensor, _: &[Tensor]) -> Result<Vec<Tensor>> {
        let squares = (self.cost_of(b)? - f).square().mean_all();
        let found = grad_parameters(&[(&squares, None)])?;
        let by_parameter = self.network.parameters().into_iter().map(|parameter| {
            let own = found.iter().find(|(p, _)| p.key() == parameter.key());
            own.map_or_else(|| parameter.get().zeros_like().detach(), |(_, g)| g.clone())
        });
        Ok(by_parameter.collect())
    }
}

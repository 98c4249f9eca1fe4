//! The model of a bound, with what is summed out of it: on request, or as long as that is cheap.

use std::cell::OnceCell;
use std::rc::Rc;

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::infer::marginal::{Borrowed, Cheap, Costly, Marginalised, marginalise};
use crate::model::{GivenUp, ParamStore, Program};

/// The model of a bound.
#[derive(Clone)]
pub(super) enum Modelled<'m> {
    Given(&'m dyn Program),
    Summed(Rc<Summed<'m>>),
    /// Decided once it is known whether that is cheap.
    IfCheap(Rc<Summed<'m>>, OnceCell<Option<Rc<Cheap<Borrowed<'m>>>>>),
}

/// A model with its discrete choices summed out.
pub(super) struct Summed<'m> {
    given: &'m dyn Program,
    summed: Marginalised<Borrowed<'m>>,
    /// How many sites a run of the model reaches, once asked for.
    sites: OnceCell<Result<usize>>,
    /// That rows of its plates depend on each other, if a sum has shown it.
    tied: OnceCell<Error>,
}

/// A model as it is run in fits of some parameters.
pub(super) struct Stages<'a> {
    /// Versions given up earlier, with more summed out; the one with most is first.
    pub(super) before: SmallVec<[&'a dyn Program; 2]>,
    pub(super) now: &'a dyn Program,
}

impl<'m> Modelled<'m> {
    pub(super) fn summed(given: &'m dyn Program) -> Self {
        Self::Summed(Rc::new(Summed::new(given, marginalise(Borrowed(given)))))
    }

    pub(super) fn if_cheap(given: &'m dyn Program) -> Self {
        let summed = marginalise(Borrowed(given)).if_few_sites();
        Self::IfCheap(Rc::new(Summed::new(given, summed)), OnceCell::new())
    }

    /// The model without a sum.
    pub(super) fn given(&self) -> &'m dyn Program {
        match self {
            Self::Given(model) => *model,
            Self::Summed(both) | Self::IfCheap(both, _) => both.given,
        }
    }

    /// From now on draws all choices that were not asked to be summed out, unless that is decided already, and notes
    /// why.
    pub(super) fn draw_unless_asked(&self, why: Option<&'static str>, params: &ParamStore) {
        if let Self::IfCheap(both, cheap) = self {
            cheap.get_or_init(|| {
                if let Some(why) = why {
                    params.note(both.given.model_name(), || Costly::Asked(why));
                }
                None
            });
        }
    }

    pub(super) fn stages(&self, params: &ParamStore, may_integrate: bool) -> Stages<'_> {
        let alone = |now| Stages {
            before: SmallVec::new(),
            now,
        };
        let both = match self {
            Self::Given(model) => return alone(*model),
            Self::Summed(both) => return alone(&both.summed),
            Self::IfCheap(both, _) => both,
        };
        let Some(cheap) = self.cheap(params, may_integrate) else {
            return alone(both.given);
        };
        let less = |given_up| -> &dyn Program {
            match cheap.less(given_up) {
                Some(summed) => summed,
                None => both.given,
            }
        };
        let now = params.given_up_of(both.given.model_name());
        let mut stages = alone(less(now));
        if now > GivenUp::Nothing {
            stages.before.push(less(GivenUp::Nothing));
        }
        if now > GivenUp::Integrals && cheap.has_integrals() {
            stages.before.push(less(GivenUp::Integrals));
        }
        stages
    }

    /// The sum to take if that is cheap, with the initial values of parameters: it is the same in all fits.
    fn cheap(&self, params: &ParamStore, may_integrate: bool) -> Option<&Cheap<Borrowed<'m>>> {
        let Self::IfCheap(both, cheap) = self else {
            return None;
        };
        let find = || {
            let sites = both.sites(params).as_ref().ok().copied();
            match both.summed.if_cheap(&params.fresh(), may_integrate, sites) {
                Ok(cheap) => Some(Rc::new(cheap)),
                Err(why) => {
                    if let Costly::Tied(error) = &why {
                        both.tied.get_or_init(|| error.clone());
                    }
                    params.note(both.given.model_name(), || why);
                    None
                }
            }
        };
        cheap.get_or_init(find).as_deref()
    }

    /// The sum that is currently taken unasked, if any.
    fn found(&self) -> Option<&Cheap<Borrowed<'m>>> {
        match self {
            Self::IfCheap(_, cheap) => cheap.get()?.as_deref(),
            Self::Given(_) | Self::Summed(_) => None,
        }
    }

    /// Stops sums that were not asked for, after an error; returns whether there was one.
    pub(super) fn leave_sum(&self, error: &Error, params: &ParamStore) -> bool {
        let name = self.given().model_name();
        params.note(name, || Costly::Refused(error.cause().to_string()));
        self.found().is_some() && params.give_up(name, GivenUp::Sum)
    }

    /// Stops integrals that were not asked for, if the error may come from one; returns whether there was one. Data on
    /// another device are a different matter.
    pub(super) fn leaves_integrals(&self, error: &Error, params: &ParamStore) -> bool {
        let name = self.given().model_name();
        !matches!(error.cause(), Error::Device { .. })
            && self.found().is_some_and(Cheap::has_integrals)
            && params.give_up(name, GivenUp::Integrals)
    }

    /// # Errors
    /// If a sum has shown that rows of its plates depend on each other.
    pub(super) fn expect_rows_apart(&self) -> Result<()> {
        match self {
            Self::IfCheap(both, _) => both.tied.get().map_or(Ok(()), |error| Err(error.clone())),
            Self::Given(_) | Self::Summed(_) => Ok(()),
        }
    }

    /// # Errors
    /// If a run of a model whose choices may be summed out or drawn does not end, which all later runs would find out
    /// just as slowly.
    pub(super) fn expect_end(&self, params: &ParamStore) -> Result<()> {
        match self {
            Self::IfCheap(both, _) => match both.sites(params) {
                Err(error) if error.is_of_endless_run() => Err(error.clone()),
                Ok(_) | Err(_) => Ok(()),
            },
            Self::Given(_) | Self::Summed(_) => Ok(()),
        }
    }
}

impl<'m> Summed<'m> {
    fn new(given: &'m dyn Program, summed: Marginalised<Borrowed<'m>>) -> Self {
        Self {
            given,
            summed,
            sites: OnceCell::new(),
            tied: OnceCell::new(),
        }
    }

    /// How many sites a run of the model reaches with its choices drawn as it states and the initial values of
    /// parameters; if it does not end with these, with the current ones.
    fn sites(&self, params: &ParamStore) -> &Result<usize> {
        let find = || match self.summed.sites_of_a_run(&params.fresh()) {
            Err(error) if error.is_of_endless_run() && !params.names().is_empty() => {
                self.summed.sites_of_a_run(params)
            }
            found => found,
        };
        self.sites.get_or_init(find)
    }
}

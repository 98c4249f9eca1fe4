//! Whether a fit can be relied on, and what to do if it cannot.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::infer::marginal::LARGEST_NODE_ERROR;
use crate::infer::posterior::{
    Contradicted, Elsewhere, FEWEST, ImportanceWeights, KnownElsewhere, LARGEST_R_HAT, Mixing,
    Narrow, Posterior, Unchained, r_hat,
};
use crate::report::{Ending, Trend};

/// What training, importance weights and a look at other places say about a fit. Prints as a sentence, and says what to
/// do about anything that is wrong. See [`Fit::verdict`](crate::infer::Fit::verdict) for an example.
///
/// It sees whether the loss has settled; how far the guide is from the posterior where it draws, by the importance
/// weights of its draws; and about places where it does not draw, what a few hundredths of the time of the fit can
/// show:
///
/// * whether draws from the laws that the model states explain the data where the guide hardly draws,
/// * whether changes of one or two discrete choices lead there from its draws, which finds neighboring modes,
/// * whether all discrete choices are the same there: all true, all false,
/// * and whether its own draws are there with numbers exchanged, mirrored or flipped: modes of the other sign, and
///   those that are the same but for the names of components.
///
/// No verdict excludes a mode that none of this leads to, such as one far away whose data only numbers near it explain.
/// Other places are not looked at if everything stands in one plate, whose rows have weights of their own, if training
/// took fewer than 500 steps, or 1,000 with discrete choices, on devices other than the CPU, and for guides of points.
/// Where it matters, compare the bounds of other seeds
/// ([`Posterior::log_evidence`](crate::infer::Posterior::log_evidence)), and the
/// [`exact_posterior`](crate::infer::exact_posterior) where there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// How training ended.
    pub ending: Ending,
    /// The largest Pareto k̂ of the importance weights, if these have a tail; also if chains draw, as the bound on the
    /// evidence rests on the weights.
    pub pareto_k: Option<f64>,
    /// Whether the draws were made by chains.
    #[serde(default)]
    pub by_chains: bool,
    /// How many independent posterior draws the draws are worth, and how many there are; `None` if the weights are not
    /// those of the posterior. Judged by correlation for chains, otherwise by weights.
    pub effective_samples: Option<(f64, usize)>,
    /// What is wrong, most serious first; empty if all is well.
    pub findings: Vec<Finding>,
}

/// Something that is wrong with a fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Finding {
    /// Training ended while the loss was falling.
    StillFalling {
        /// The decrease.
        gain: f64,
        /// The number of steps.
        steps: usize,
    },
    /// Training reached the maximum number of steps before it had settled.
    NotSettled {
        /// The number of steps.
        steps: u64,
    },
    /// There were too few steps to tell where the loss is going.
    FewSteps {
        /// The number of steps.
        steps: u64,
    },
    /// The importance weights have a heavy tail: the guide hardly draws what is likely under the posterior.
    HeavyTail {
        /// The largest k̂.
        pareto_k: f64,
        /// The largest that can be relied on.
        limit: f64,
        /// The number of rows in which it is larger, and the number of rows.
        rows: (usize, usize),
    },
    /// The draws are worth less than a fifth of their number.
    FewEffective {
        /// What they are worth.
        effective_samples: f64,
        /// The number of draws.
        draws: usize,
    },
    /// The guide's standard deviation of a number is smaller than that of its own draws with importance weights.
    Narrow {
        /// The number's site.
        site: String,
        /// The guide's standard deviation.
        guide: f64,
        /// That of the weighted draws.
        weighted: f64,
    },
    /// Importance weights move the mean of a number, or make it wider or narrower.
    Contradicted {
        /// The number's site.
        site: String,
        /// Its mean and standard deviation by the draws.
        draws: (f64, f64),
        /// Those of the weighted draws.
        weighted: (f64, f64),
    },
    /// Draws wider than the guide's, with their importance weights, have another mean or standard deviation, and no
    /// chains have drawn the posterior.
    Elsewhere {
        /// Why there are no chains.
        unchained: Unchained,
    },
    /// A site was integrated out at nodes that are far apart relative to its posterior.
    CoarseNodes {
        /// Its name.
        site: String,
        /// By how much the evidence of a row may be off.
        error: f64,
    },
    /// The chains that made the draws do not agree.
    NotMixed {
        /// The largest R̂.
        #[serde(with = "r_hat")]
        r_hat: f64,
        /// What their draws are worth.
        effective_samples: f64,
    },
    /// The chains that made the draws started from a guide that hardly draws what is likely under the posterior; it is
    /// not known whether ways from elsewhere lead there.
    FarStart {
        /// The largest k̂ of the guide's importance weights.
        pareto_k: f64,
        /// The largest that can be relied on.
        limit: f64,
    },
    /// With discrete choices held at random at first, the density was climbed to a mode with more evidence than there
    /// is around the fit.
    BetterElsewhere,
    /// Much of the posterior lies where the guide hardly draws.
    Missed {
        /// The share of the posterior at such places, as far as these were found.
        share: f64,
        /// Where these places are.
        at: Elsewhere,
    },
    /// Many trajectories of the chains diverged.
    Diverges {
        /// The number of divergent trajectories.
        divergences: usize,
        /// The number of trajectories.
        transitions: usize,
    },
    /// Nothing is known of the weights.
    NoWeights {
        /// Why.
        reason: String,
    },
}

impl Verdict {
    pub(super) fn of(ending: Ending, trend: Trend, posterior: &Posterior) -> Self {
        let mut verdict = Self {
            ending,
            pareto_k: None,
            by_chains: posterior.mixing().is_some(),
            effective_samples: None,
            findings: Vec::from_iter(unsettled(ending, trend)),
        };
        for (site, &error) in posterior.node_errors() {
            if error > LARGEST_NODE_ERROR {
                let site = site.clone();
                verdict.findings.push(Finding::CoarseNodes { site, error });
            }
        }
        if posterior.known_elsewhere() == KnownElsewhere::Better {
            verdict.findings.push(Finding::BetterElsewhere);
        }
        if let Some(missed) = posterior.missed() {
            let (share, at) = (missed.share, missed.at.clone());
            verdict.findings.push(Finding::Missed { share, at });
        }
        if let Some(mixing) = posterior.mixing() {
            verdict.look_at(mixing, posterior);
            return verdict;
        }
        match posterior.importance_weights() {
            Ok(weights) => {
                verdict.weigh(&weights);
                verdict.compare(posterior, &weights);
            }
            Err(error) => verdict.findings.push(Finding::NoWeights {
                reason: error.to_string(),
            }),
        }
        verdict
    }

    fn look_at(&mut self, mixing: &Mixing, posterior: &Posterior) {
        let draws = posterior.len();
        let Mixing {
            r_hat,
            effective_samples,
            divergences,
            transitions,
            ..
        } = *mixing;
        // Draws kept from among more can be worth no more than their own number.
        let worth = match draws < transitions {
            true => effective_samples.min(draws as f64),
            false => effective_samples,
        };
        self.effective_samples = Some((worth, draws));
        if r_hat > LARGEST_R_HAT || effective_samples < FEWEST {
            self.findings.push(Finding::NotMixed {
                r_hat,
                effective_samples,
            });
        }
        if let Ok(weights) = posterior.guide_weights()
            && let Some(pareto_k) = weights.pareto_k()
        {
            // With few draws the limit for weights is lower, but as starts all will do.
            let limit = RELIABLE;
            self.pareto_k = Some(pareto_k);
            if pareto_k > limit && posterior.known_elsewhere() == KnownElsewhere::Nothing {
                self.findings.push(Finding::FarStart { pareto_k, limit });
            }
        }
        if divergences > transitions.max(draws) / 50 {
            self.findings.push(Finding::Diverges {
                divergences,
                transitions: transitions.max(draws),
            });
        }
    }

    fn weigh(&mut self, weights: &ImportanceWeights) {
        let (effective_samples, draws) = (weights.effective_samples(), weights.draws());
        let limit = weights.pareto_k_limit();
        self.pareto_k = weights.pareto_k();
        self.effective_samples = Some((effective_samples, draws));
        let ks = weights.pareto_ks();
        let heavy = ks.iter().flatten().filter(|k| **k > limit).count();
        if let (Some(pareto_k), 1..) = (self.pareto_k, heavy) {
            let rows = (heavy, ks.len());
            self.findings.push(Finding::HeavyTail {
                pareto_k,
                limit,
                rows,
            });
        }
        if effective_samples < LEAST_WORTH * draws as f64 {
            self.findings.push(Finding::FewEffective {
                effective_samples,
                draws,
            });
        }
    }

    /// Compares the guide's spread with that of weighted draws, if these can be relied on.
    fn compare(&mut self, posterior: &Posterior, weights: &ImportanceWeights) {
        let limit = weights.pareto_k_limit();
        if self.pareto_k.is_some_and(|k| k > limit) {
            return;
        }
        if let Some(unchained) = posterior.unchained() {
            let unchained = unchained.clone();
            self.findings.push(Finding::Elsewhere { unchained });
        } else if let Ok(Some(narrow)) = posterior.narrowest(weights) {
            let Narrow {
                site,
                guide,
                weighted,
            } = narrow;
            self.findings.push(Finding::Narrow {
                site,
                guide,
                weighted,
            });
        } else if !posterior.is_weighted()
            && let Ok(Some(contradicted)) = posterior.contradicted(weights)
        {
            let Contradicted {
                site,
                draws,
                weighted,
            } = contradicted;
            self.findings.push(Finding::Contradicted {
                site,
                draws,
                weighted,
            });
        }
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

/// The largest Pareto k̂ at which the weights of many draws can be relied on.
const RELIABLE: f64 = 0.7;

/// The share of their number that draws should be worth. If log-weights are Gaussian, those worth a fifth have a
/// variance of ln 5, and the bound is 0.8 nats below the evidence: means may be off by more than a standard deviation.
const LEAST_WORTH: f64 = 0.2;

/// What to do if a guide misses values of discrete choices, and of any choices.
const SUM: &str = "sum discrete choices out (`exact_posterior`, `.marginalise()`)";
const MORE: &str =
    "train with `samples(k)` or from more `starts(n)`, and compare the bounds of other seeds";

/// What is wrong with the end of training.
fn unsettled(ending: Ending, trend: Trend) -> Option<Finding> {
    match (ending, trend) {
        (Ending::Settled(_), _) => None,
        (Ending::Ceiling(steps), _) => Some(Finding::NotSettled { steps }),
        (_, Trend::Falling { gain, steps }) => Some(Finding::StillFalling { gain, steps }),
        (Ending::Steps(steps), Trend::Unknown) => Some(Finding::FewSteps { steps }),
        _ => None,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ending)?;
        if let (Some(k), false) = (self.pareto_k, self.by_chains) {
            write!(f, "; Pareto k {k:.2}")?;
        }
        if let Some((effective, draws)) = self.effective_samples {
            let of_chains = if self.by_chains { " of chains" } else { "" };
            write!(f, "; {draws} draws{of_chains} worth {effective:.0}")?;
        }
        if self.is_good() {
            write!(f, "; good")?;
        }
        if let (Some(k), true) = (self.pareto_k.filter(|k| *k > RELIABLE), self.by_chains) {
            write!(
                f,
                "; do not rely on the bound on the evidence: the guide's weights have Pareto k {k:.2}"
            )?;
        }
        self.findings
            .iter()
            .try_for_each(|finding| write!(f, "\n- {finding}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StillFalling { gain, steps } => write!(
                f,
                "the loss was still falling, by {gain:.3} in the last {steps} steps: give more `steps`, \
                 or none, so that the run goes on until it has settled"
            ),
            Self::NotSettled { steps } => write!(
                f,
                "the loss had not settled after {steps} steps: go on from this fit, without `steps`, by \
                 `Svi::new(&model).trainer_from(fit.into_trainer()).run()`; if there are many discrete choices, sum \
                 them out (`.marginalise()`) or use `samples(k)`"
            ),
            Self::FewSteps { steps } => write!(
                f,
                "{steps} steps are too few to say whether the loss has settled: give more `steps`, or \
                 none, so that the run goes on until it has"
            ),
            Self::HeavyTail {
                pareto_k,
                limit,
                rows: (heavy, rows),
            } => {
                write!(
                    f,
                    "the importance weights have a heavy tail, with Pareto k {pareto_k:.2}"
                )?;
                if *rows > 1 {
                    write!(f, " and above {limit:.2} in {heavy} of {rows} rows")?;
                }
                // The limit rises to this with the number of draws.
                let more = match *pareto_k < 0.7 {
                    true => "more `posterior_draws`, or ",
                    false => "",
                };
                write!(
                    f,
                    ", where up to {limit:.2} is reliable: the guide hardly draws what is likely under the posterior, \
                     so that neither its means nor weighted ones can be trusted; use {more}another guide (one that \
                     follows dependencies, or a program of your own), sum discrete choices out, have chains draw \
                     what is left (`hmc(true)`), or train with `samples(k)`"
                )
            }
            Self::FewEffective {
                effective_samples,
                draws,
            } => write!(
                f,
                "{draws} draws are worth {effective_samples:.0} of the posterior: use another guide, train with \
                 `samples(k)`, or use `weighted()` with many more `posterior_draws`; {SUM}, if there are any"
            ),
            Self::Narrow {
                site,
                guide,
                weighted,
            } => write!(
                f,
                "the guide's standard deviation of `{site}` is {guide:.3}, and {weighted:.3} with importance weights: \
                 use `weighted()` with more `posterior_draws`, or another guide"
            ),
            Self::Contradicted {
                site,
                draws: (mean, sd),
                weighted: (weighted_mean, weighted_sd),
            } => write!(
                f,
                "the guide has `{site}` at {mean:.3} ± {sd:.3}, and its draws with importance weights at \
                 {weighted_mean:.3} ± {weighted_sd:.3}: use `weighted()` with more `posterior_draws`, or another guide"
            ),
            Self::Elsewhere { unchained } => write!(
                f,
                "draws wider than the guide's show that the posterior is elsewhere, wider or narrower, and {unchained}; \
                 numbers in rows, if there are any, are best written as `mean + scale * noise`"
            ),
            Self::CoarseNodes { site, error } => write!(
                f,
                "`{site}` was integrated out at nodes that are too far apart for what is left of its prior, so that the \
                 evidence of a row may be off by {:.1} %: have it drawn (`marginalise()` sums only discrete choices)",
                100.0 * error
            ),
            Self::NotMixed {
                r_hat,
                effective_samples,
            } => write!(
                f,
                "the chains do not agree, with R̂ {r_hat:.2}, and are worth {effective_samples:.0} draws: give more \
                 `posterior_draws`, or state the model in numbers that depend less on each other; chains at several \
                 modes never agree"
            ),
            Self::FarStart { pareto_k, limit } => write!(
                f,
                "the chains agree as far as they have come, but started from a guide whose importance weights have a heavy \
                 tail, with Pareto k {pareto_k:.2}, where up to {limit:.2} is reliable, and may all be in one of several \
                 modes: compare other seeds, or more `starts`"
            ),
            Self::BetterElsewhere => write!(
                f,
                "there is a mode with more evidence than around this one, as far as Gaussians tell: compare other seeds, or \
                 leave the optimizer and `starts` at their defaults, so that the fit can start there"
            ),
            Self::Missed { share, at } => {
                let share = 100.0 * share;
                write!(
                    f,
                    "about {share:.0} % of the posterior lies where the guide hardly draws: "
                )?;
                match at {
                    Elsewhere::Stated => write!(
                        f,
                        "draws from the laws that the model states are there; {SUM}, if there are any, or {MORE}"
                    ),
                    Elsewhere::Moved => write!(
                        f,
                        "changes of one or two discrete choices lead there from its draws; {SUM}, or {MORE}"
                    ),
                    Elsewhere::Alike => write!(
                        f,
                        "all discrete choices have the same value there; {SUM}, or {MORE}"
                    ),
                    Elsewhere::Turned(words) => write!(
                        f,
                        "its own draws are there with {words}; if modes are the same but for the names or the sign of \
                         components, have the model say which is which, for example by writing one as another plus a \
                         positive number, or query only what is the same at all of them; otherwise {MORE}"
                    ),
                }
            }
            Self::Diverges {
                divergences,
                transitions,
            } => write!(
                f,
                "{divergences} of {transitions} trajectories diverged where the posterior is narrower than elsewhere, so \
                 that it is not explored there; state what is narrow in units of its own, such as \
                 `mean + scale * noise`"
            ),
            Self::NoWeights { reason } => write!(f, "nothing is known about the weights: {reason}"),
        }
    }
}

//! Gradient estimators for actions, and what each of them learns beside the policy.

use relax_runtime::dist::CategoricalRelaxation;
use relax_runtime::estimator::{LawProblem, Noise, Problem, black_box, lax, relax};
use relax_runtime::optim::Optimizer;
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{FreeForm, Surrogate, VarianceGradient, Zero};
use relax_runtime::tensor::grad_parameters;

use crate::environment::Environment;
use crate::policy::Policy;
use crate::rollout::Batch;
use crate::settings::Settings;

/// What is taken off the returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Method {
    /// Nothing.
    Reinforce,
    /// The mean of the other episodes of the update, at the same time.
    Rloo,
    /// A learned value of the state.
    A2c,
    /// A surrogate of the relaxed action and the state: LAX where actions are real numbers.
    Relax,
    /// The same on what a learned value leaves.
    RelaxValue,
}

impl Method {
    pub(crate) const ALL: [Self; 5] = [
        Self::Reinforce,
        Self::Rloo,
        Self::A2c,
        Self::Relax,
        Self::RelaxValue,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reinforce => "reinforce",
            Self::Rloo => "rloo",
            Self::A2c => "a2c",
            Self::Relax => "relax",
            Self::RelaxValue => "relax-value",
        }
    }
}

/// An estimator and its critics.
pub(crate) struct Learner {
    pub(crate) method: Method,
    value: Option<(Mlp, Optimizer)>,
    surrogate: Option<(FreeForm, Optimizer)>,
    steps: usize,
}

/// An estimate of the gradient of the expected cost by the law's parameters, row by row.
pub(crate) struct Signals {
    pub(crate) theta: Vec<Tensor>,
    variance_gradient: VarianceGradient,
}

impl Learner {
    /// Critics that know nothing yet.
    pub(crate) fn new<E: Environment>(
        method: Method,
        settings: &Settings,
        key: Key,
    ) -> Result<Self> {
        let device = Device::cpu();
        let seen = Batch::context_numbers::<E>(settings.form);
        let numbers = Policy::noise_numbers(E::ACTIONS);
        let hidden = &settings.critic;
        let value = || -> Result<_> {
            let mut stream = key.stream("value");
            let sizes = [&[seen], &hidden[..], &[1]].concat();
            let network = Mlp::new(&sizes, settings.activation, &mut stream, &device)?;
            // Values start at zero, as surrogates do: random ones are worse than none.
            for parameter in network.parameters().iter().rev().take(2) {
                parameter.set(parameter.get().zeros_like().detach())?;
            }
            Ok((
                network.named("value"),
                settings.optimizer(settings.value_rate)?,
            ))
        };
        let surrogate = || -> Result<_> {
            // The mean of a continuous action is the θ that stands beside it; its scale comes with it.
            let further = match crate::rollout::is_discrete::<E>() {
                true => 0,
                false => 1,
            };
            let mut stream = key.stream("surrogate");
            let network = FreeForm::new(
                numbers,
                seen + further,
                hidden,
                settings.activation,
                &mut stream,
                &device,
            )?;
            let rate = settings.surrogate_rate;
            Ok((network.named("surrogate"), settings.optimizer(rate)?))
        };
        let (with_value, with_surrogate) = match method {
            Method::Reinforce | Method::Rloo => (false, false),
            Method::A2c => (true, false),
            Method::Relax => (false, true),
            Method::RelaxValue => (true, true),
        };
        Ok(Self {
            method,
            value: with_value.then(value).transpose()?,
            surrogate: with_surrogate.then(surrogate).transpose()?,
            steps: settings.critic_steps,
        })
    }

    /// What the critics say of states `[n, seen]`, a number a row; zeros without one.
    pub(crate) fn values(&self, context: &Tensor) -> Result<Vec<f32>> {
        match &self.value {
            Some((network, _)) => network.forward(context).detach().to_vec(),
            None => Ok(vec![0.0; context.rows()]),
        }
    }

    /// The gradient that the critics as they are make of a batch. None of them has seen it yet, which
    /// keeps the estimate unbiased.
    ///
    /// # Errors
    /// If costs or weights are not numbers any more.
    pub(crate) fn estimate(&self, batch: &Batch) -> Result<Signals> {
        let baseline = match self.method {
            Method::Rloo => batch.others.clone(),
            _ => self.values(&batch.context)?,
        };
        self.estimate_less(batch, &baseline)
    }

    fn estimate_less(&self, batch: &Batch, baseline: &[f32]) -> Result<Signals> {
        let rest = batch.cost.iter().zip(baseline).map(|(f, b)| f - b);
        let rest = Tensor::from_vec(rest.collect(), [batch.rows], &Device::cpu())?;
        let cost = black_box(|_| Ok(rest.clone()));
        let surrogate: &dyn Surrogate = match &self.surrogate {
            Some((network, _)) => network,
            None => &Zero,
        };
        match &batch.theta[..] {
            [logits] => {
                let noise = Noise::coupled(batch.noise.clone());
                let problem = Problem {
                    context: Some(&batch.context),
                    ..Problem::new(&CategoricalRelaxation, logits, &noise).rows()
                };
                let found = relax(problem, &cost, surrogate)?;
                Ok(Signals {
                    theta: vec![found.gradient],
                    variance_gradient: found.variance_gradient,
                })
            }
            theta => {
                let law = Policy::law(&theta[0], &theta[theta.len() - 1])?;
                let problem = LawProblem {
                    law: &law,
                    noise: &batch.noise,
                    further: &[],
                    plates: 1,
                    context: Some(&batch.context),
                };
                let found = lax(problem, &cost, surrogate)?;
                Ok(Signals {
                    theta: found.gradients,
                    variance_gradient: found.variance_gradient,
                })
            }
        }
    }

    /// Lets the critics learn from a batch whose gradient has been estimated: the value by the squares of
    /// what it leaves, the surrogate by the variance.
    ///
    /// # Errors
    /// As [`estimate`](Self::estimate).
    pub(crate) fn learn(&mut self, batch: &Batch, signals: Signals) -> Result<()> {
        let before = self.values(&batch.context)?;
        let mut variance_gradient = signals.variance_gradient;
        for step in 0..self.steps {
            if step > 0 && self.surrogate.is_some() {
                variance_gradient = self.estimate_less(batch, &before)?.variance_gradient;
            }
            if let Some((network, optimizer)) = &mut self.surrogate {
                let parameters = network.parameters().into_iter();
                let gradients = parameters.zip(variance_gradient.tensors());
                optimizer.update(&gradients.collect::<Vec<_>>())?;
            }
            if let Some((network, optimizer)) = &mut self.value {
                let costs = Tensor::from_vec(batch.cost.clone(), [batch.rows, 1], &Device::cpu())?;
                let loss = (network.forward(&batch.context) - costs)
                    .square()
                    .mean_all();
                optimizer.update(&grad_parameters(&[(&loss, None)])?)?;
            }
        }
        Ok(())
    }
}

//! Laws of counts of ordinary size.

use std::rc::Rc;

use relax_runtime::dist::{
    BetaBinomial, Binomial, Distribution, Geometric, Law, NegativeBinomial, OrderedLogistic,
    Poisson, ZeroInflated,
};
use relax_runtime::{Result, Stream, Tensor};
use statrs::distribution as reference;
use statrs::function::beta::ln_beta;

/// A law by its θ, and what it is to be.
pub struct Case {
    pub name: &'static str,
    pub theta: Vec<f32>,
    /// The law whose θ are these numbers, a row an event.
    pub law: fn(&Tensor) -> Result<Rc<dyn Law>>,
    /// ln p(k), host.
    pub host: fn(&[f64], usize) -> Result<f64>,
    /// p(k) by somebody else.
    pub mass: fn(&[f64], u64) -> f64,
    pub mean: fn(&[f64]) -> f64,
    /// A draw of host numbers.
    pub draw: fn(&[f64], &mut Stream) -> Result<usize>,
}

pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn column(theta: &Tensor, j: usize) -> Tensor {
    theta.index(-1, j)
}

fn binomial(total: usize, theta: Vec<f32>) -> Case {
    match total {
        1 => Case {
            name: "Binomial(1)",
            theta,
            law: |x| Binomial::logits(1, column(x, 0))?.law(),
            host: |x, k| Binomial::logits(1, x[0])?.log_prob(&k)?.total(),
            mass: |x, k| match k {
                0 => sigmoid(-x[0]),
                1 => sigmoid(x[0]),
                _ => 0.0,
            },
            mean: |x| sigmoid(x[0]),
            draw: |x, stream| Binomial::logits(1, x[0])?.sample(stream),
        },
        _ => Case {
            name: "Binomial(9)",
            theta,
            law: |x| Binomial::logits(9, column(x, 0))?.law(),
            host: |x, k| Binomial::logits(9, x[0])?.log_prob(&k)?.total(),
            mass: |x, k| {
                use reference::Discrete;
                reference::Binomial::new(sigmoid(x[0]), 9).unwrap().pmf(k)
            },
            mean: |x| 9.0 * sigmoid(x[0]),
            draw: |x, stream| Binomial::logits(9, x[0])?.sample(stream),
        },
    }
}

/// Laws of ordinary size.
pub fn cases() -> Vec<Case> {
    use reference::Discrete;
    let poisson = |theta| Case {
        name: "Poisson",
        theta,
        law: |x| Poisson::log_rate(column(x, 0))?.law(),
        host: |x, k| Poisson::log_rate(x[0])?.log_prob(&k)?.total(),
        mass: |x, k| reference::Poisson::new(x[0].exp()).unwrap().pmf(k),
        mean: |x| x[0].exp(),
        draw: |x, stream| Poisson::log_rate(x[0])?.sample(stream),
    };
    let geometric = |theta| Case {
        name: "Geometric",
        theta,
        law: |x| Geometric::logits(column(x, 0))?.law(),
        host: |x, k| Geometric::logits(x[0])?.log_prob(&k)?.total(),
        mass: |x, k| reference::Geometric::new(sigmoid(x[0])).unwrap().pmf(k + 1),
        mean: |x| (-x[0]).exp(),
        draw: |x, stream| Geometric::logits(x[0])?.sample(stream),
    };
    let negative = |theta| Case {
        name: "NegativeBinomial",
        theta,
        law: |x| NegativeBinomial::logits(column(x, 0).exp(), column(x, 1))?.law(),
        host: |x, k| {
            let law = NegativeBinomial::logits(x[0].exp(), x[1])?;
            law.log_prob(&k)?.total()
        },
        mass: |x, k| {
            let law = reference::NegativeBinomial::new(x[0].exp(), sigmoid(-x[1]));
            law.unwrap().pmf(k)
        },
        mean: |x| (x[0] + x[1]).exp(),
        draw: |x, stream| NegativeBinomial::logits(x[0].exp(), x[1])?.sample(stream),
    };
    let beta = |theta| Case {
        name: "BetaBinomial",
        theta,
        law: |x| BetaBinomial::new(column(x, 0).exp(), column(x, 1).exp(), 7)?.law(),
        host: |x, k| {
            let law = BetaBinomial::new(x[0].exp(), x[1].exp(), 7)?;
            law.log_prob(&k)?.total()
        },
        mass: |x, k| {
            let ([a, b], k) = ([x[0].exp(), x[1].exp()], k as f64);
            if k > 7.0 {
                return 0.0;
            }
            let ways = -(8.0_f64).ln() - ln_beta(k + 1.0, 8.0 - k);
            (ways + ln_beta(k + a, 7.0 - k + b) - ln_beta(a, b)).exp()
        },
        mean: |x| 7.0 * sigmoid(x[0] - x[1]),
        draw: |x, stream| BetaBinomial::new(x[0].exp(), x[1].exp(), 7)?.sample(stream),
    };
    let inflated = |theta| Case {
        name: "ZeroInflated",
        theta,
        law: |x| {
            let gate = column(x, 0).sigmoid();
            ZeroInflated::gate(gate, Poisson::log_rate(column(x, 1)))?.law()
        },
        host: |x, k| {
            let law = ZeroInflated::gate(sigmoid(x[0]), Poisson::log_rate(x[1]))?;
            law.log_prob(&k)?.total()
        },
        mass: |x, k| {
            let own = sigmoid(-x[0]) * reference::Poisson::new(x[1].exp()).unwrap().pmf(k);
            own + if k == 0 { sigmoid(x[0]) } else { 0.0 }
        },
        mean: |x| sigmoid(-x[0]) * x[1].exp(),
        draw: |x, stream| {
            ZeroInflated::gate(sigmoid(x[0]), Poisson::log_rate(x[1]))?.sample(stream)
        },
    };
    let both = |theta| Case {
        name: "ZeroInflated NegativeBinomial",
        theta,
        law: |x| {
            let base = NegativeBinomial::logits(column(x, 1).exp(), column(x, 2));
            ZeroInflated::gate(column(x, 0).sigmoid(), base)?.law()
        },
        host: |x, k| {
            let base = NegativeBinomial::logits(x[1].exp(), x[2]);
            ZeroInflated::gate(sigmoid(x[0]), base)?
                .log_prob(&k)?
                .total()
        },
        mass: |x, k| {
            let base = reference::NegativeBinomial::new(x[1].exp(), sigmoid(-x[2])).unwrap();
            sigmoid(-x[0]) * base.pmf(k) + if k == 0 { sigmoid(x[0]) } else { 0.0 }
        },
        mean: |x| sigmoid(-x[0]) * (x[1] + x[2]).exp(),
        draw: |x, stream| {
            let base = NegativeBinomial::logits(x[1].exp(), x[2]);
            ZeroInflated::gate(sigmoid(x[0]), base)?.sample(stream)
        },
    };
    let grades = |theta| Case {
        name: "OrderedLogistic",
        theta,
        law: |x| OrderedLogistic::new(column(x, 0), x.slice(-1, 1..4))?.law(),
        host: |x, k| OrderedLogistic::new(x[0], &x[1..])?.log_prob(&k)?.total(),
        mass: |x, k| {
            let below = |k: u64| match k {
                0 => 0.0,
                1..=3 => sigmoid(x[k as usize] - x[0]),
                _ => 1.0,
            };
            below(k + 1) - below(k)
        },
        mean: |x| 3.0 - x[1..].iter().map(|c| sigmoid(c - x[0])).sum::<f64>(),
        draw: |x, stream| OrderedLogistic::new(x[0], &x[1..])?.sample(stream),
    };
    vec![
        poisson(vec![-1.5]),
        poisson(vec![0.6]),
        poisson(vec![3.0]),
        binomial(1, vec![0.4]),
        binomial(9, vec![-0.8]),
        binomial(9, vec![2.5]),
        geometric(vec![-1.0]),
        geometric(vec![1.5]),
        negative(vec![-0.7, 0.5]),
        negative(vec![1.2, -0.4]),
        beta(vec![0.4, 0.9]),
        beta(vec![-0.9, -1.2]),
        inflated(vec![-0.5, 0.8]),
        both(vec![0.3, 0.4, 0.2]),
        grades(vec![0.3, -0.7, 0.1, 1.4]),
    ]
}

impl Case {
    pub fn double(&self) -> Vec<f64> {
        self.theta.iter().map(|x| f64::from(*x)).collect()
    }

    /// θ in each of some rows.
    pub fn rows(&self, n: usize) -> Tensor {
        Tensor::from_slice(&self.theta).broadcast_to([n, self.theta.len()])
    }

    /// The law of some rows, by θ as its parameter.
    pub fn of_rows(&self, n: usize) -> Result<(Rc<dyn Law>, Tensor)> {
        let law = (self.law)(&self.rows(n))?;
        let theta = law.parameters()[0].detach();
        Ok((law, theta))
    }

    /// The least number beyond which next to nothing lies.
    pub fn most(&self) -> u64 {
        let theta = self.double();
        let mut sum = 0.0;
        (0..)
            .find(|k| {
                sum += (self.mass)(&theta, *k);
                sum > 1.0 - 1e-9
            })
            .unwrap_or(0)
    }
}

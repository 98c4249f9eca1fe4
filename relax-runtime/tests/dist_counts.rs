//! Laws of counts: mass, gradients, draws and relaxation against references and definitions, one table of
//! laws for all.

use std::rc::Rc;

use relax_runtime::dist::{
    BetaBinomial, Binomial, DiscreteUniform, Distribution, Geometric, Hypergeometric, Law,
    NegativeBinomial, OrderedLogistic, Poisson, ZeroInflated,
};
use relax_runtime::{Device, Key, Result, Stream, Tensor, grad};
use statrs::distribution::{self as reference, DiscreteCDF};
use statrs::function::beta::ln_beta;
use statrs::stats_tests::chisquare::chisquare;

/// A law by its θ, and what it is to be.
struct Case {
    name: &'static str,
    theta: Vec<f32>,
    /// The law whose θ are these numbers, a row an event.
    law: fn(&Tensor) -> Result<Rc<dyn Law>>,
    /// ln p(k), host.
    host: fn(&[f64], usize) -> Result<f64>,
    /// p(k) by somebody else.
    mass: fn(&[f64], u64) -> f64,
    mean: fn(&[f64]) -> f64,
    /// A draw of host numbers.
    draw: fn(&[f64], &mut Stream) -> Result<usize>,
}

fn sigmoid(x: f64) -> f64 {
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
fn cases() -> Vec<Case> {
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
            ZeroInflated::gate(sigmoid(x[0]), base)?.log_prob(&k)?.total()
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
    fn double(&self) -> Vec<f64> {
        self.theta.iter().map(|x| f64::from(*x)).collect()
    }

    /// θ in each of some rows.
    fn rows(&self, n: usize) -> Tensor {
        Tensor::from_slice(&self.theta).broadcast_to([n, self.theta.len()])
    }

    /// The law of some rows, by θ as its parameter.
    fn of_rows(&self, n: usize) -> Result<(Rc<dyn Law>, Tensor)> {
        let law = (self.law)(&self.rows(n))?;
        let theta = law.parameters()[0].detach();
        Ok((law, theta))
    }

    /// The least number beyond which next to nothing lies.
    fn most(&self) -> u64 {
        let theta = self.double();
        let mut sum = 0.0;
        (0..).find(|k| {
            sum += (self.mass)(&theta, *k);
            sum > 1.0 - 1e-9
        }).unwrap_or(0)
    }
}

fn near(what: &str, found: f64, wanted: f64, tolerance: f64) {
    let error = (found - wanted).abs() / (1.0 + wanted.abs());
    assert!(error < tolerance, "{what}: {found} instead of {wanted}");
}

#[test]
fn masses_are_those_of_statrs() -> Result<()> {
    for case in cases() {
        let theta = case.double();
        for k in 0..=case.most().min(60) {
            let wanted = (case.mass)(&theta, k).ln();
            near(case.name, (case.host)(&theta, k as usize)?, wanted, 1e-9);
            let (law, _) = case.of_rows(1)?;
            let found = law.log_density(&Tensor::from_slice(&[k as f32])).to_vec()?[0];
            near(case.name, f64::from(found), wanted, 2e-6);
        }
        let (law, _) = case.of_rows(1)?;
        let mean = f64::from(law.mean().to_vec()?[0]);
        near(case.name, mean, (case.mean)(&theta), 1e-5);
    }
    Ok(())
}

/// By θ, and by the value between whole numbers, against differences of host numbers and of the mean of
/// two neighbours' tensors.
#[test]
fn derivatives_of_the_mass_are_its_differences() -> Result<()> {
    for case in cases() {
        for k in [0.0_f32, 1.0, 0.4] {
            let density = |theta: &Tensor, k: &Tensor| -> Result<Tensor> {
                Ok((case.law)(theta)?.log_density(k))
            };
            let (theta, k) = (case.rows(1).leaf(), Tensor::from_slice(&[k]).leaf());
            let out = density(&theta, &k)?;
            let slopes = grad(&[(&out.sum_all(), None)], &[&theta, &k])?;
            let at = |theta: &[f32], k: f32| -> Result<f64> {
                let theta = Tensor::from_vec(theta.to_vec(), [1, theta.len()], &Device::cpu())?;
                Ok(f64::from(density(&theta, &Tensor::from_slice(&[k]))?.to_vec()?[0]))
            };
            let h = 0.01;
            let here = k.to_vec()?[0];
            for j in 0..case.theta.len() {
                let moved = |by: f32| {
                    let mut theta = case.theta.clone();
                    theta[j] += by;
                    at(&theta, here)
                };
                let wanted = (moved(h)? - moved(-h)?) / f64::from(2.0 * h);
                near(case.name, f64::from(slopes[0].to_vec()?[j]), wanted, 2e-3);
            }
            if here.fract() > 0.0 {
                let by_k = at(&case.theta, here + h)? - at(&case.theta, here - h)?;
                let found = f64::from(slopes[1].to_vec()?[0]);
                near(case.name, found, by_k / f64::from(2.0 * h), 5e-3);
            }
        }
    }
    Ok(())
}

/// How often each value comes up, against its mass: the last value stands for all beyond.
fn check_frequencies(case: &Case, draws: &[f64]) {
    let theta = case.double();
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    let n = draws.len() as f64;
    let mut rest = 1.0;
    for k in 0.. {
        let mass = (case.mass)(&theta, k);
        rest -= mass;
        let count = draws.iter().filter(|x| **x == k as f64).count();
        if n * rest < 10.0 {
            found.push(draws.iter().filter(|x| **x >= k as f64).count());
            wanted.push(n * (mass + rest));
            break;
        }
        found.push(count);
        wanted.push(n * mass);
    }
    assert_eq!(found.iter().sum::<usize>(), draws.len());
    if found.len() < 2 {
        return;
    }
    let (_, p) = chisquare(&found, Some(&wanted), None).unwrap();
    assert!(p > 1e-5, "{}: p-value {p}: {found:?} {wanted:?}", case.name);
}

#[test]
fn draws_have_their_law() -> Result<()> {
    const DRAWS: usize = 40_000;
    for case in cases() {
        let (law, theta) = case.of_rows(DRAWS)?;
        let noise = law.noise(&mut Key::new(3).stream("draws"))?;
        let draws = law.draw(&noise).to_vec()?;
        assert_eq!(draws.len(), DRAWS);
        let draws: Vec<f64> = draws.into_iter().map(f64::from).collect();
        check_frequencies(&case, &draws);
        let relaxation = law.relaxation().expect("there is one");
        let b = relaxation.hard(&relaxation.relaxed(&theta, &noise));
        let counts: Vec<f64> = law.value_at(&b).to_vec()?.into_iter().map(f64::from).collect();
        assert_eq!(counts, draws, "{}", case.name);
    }
    Ok(())
}

#[test]
fn host_draws_have_their_law() -> Result<()> {
    let mut stream = Key::new(4).stream("draws");
    for case in cases() {
        let theta = case.double();
        let draws = (0..20_000).map(|_| Ok((case.draw)(&theta, &mut stream)? as f64));
        check_frequencies(&case, &draws.collect::<Result<Vec<_>>>()?);
    }
    Ok(())
}

/// z̃ of the coupled noise is z; z̃ of any noise lies in b's step; κ is how z moves with θ while z̃ stays.
#[test]
fn relaxed_samples_keep_their_word() -> Result<()> {
    for case in cases() {
        let (law, theta) = case.of_rows(500)?;
        let relaxation = law.relaxation().expect("there is one");
        let u = law.noise(&mut Key::new(5).stream("u"))?;
        let v = law.noise(&mut Key::new(5).stream("v"))?;
        let z = relaxation.relaxed(&theta, &u);
        let b = relaxation.hard(&z);
        let coupled = relaxation.coupled_noise(&theta, &u, &b);
        let same = relaxation.conditional(&theta, &coupled, &b).to_vec()?;
        for (z, same) in z.to_vec()?.iter().zip(same) {
            near(case.name, f64::from(same), f64::from(*z), 2e-6);
        }
        let other = relaxation.conditional(&theta, &v, &b);
        assert_eq!(relaxation.hard(&other).to_vec()?, b.to_vec()?, "{}", case.name);
        let s = relaxation.squash(&z, &Tensor::scalar(0.5));
        assert!(relaxation.spans(&s)?, "{}", case.name);
        let near_b = (&s - &b).to_vec()?;
        assert!(near_b.iter().all(|d| d.abs() <= 0.5 + 1e-4), "{}", case.name);

        let kappa = relaxation.kappa(&theta, &u, &b);
        let width = theta.len() / 500;
        for j in 0..width {
            const H: f32 = 2e-3;
            let one: Vec<f32> = (0..width).map(|i| f32::from(u8::from(i == j))).collect();
            let one = Tensor::from_slice(&one).broadcast_to(theta.shape());
            let moved = |by: f32| relaxation.relaxed(&(&theta + &one * by), &u);
            let (up, down) = (moved(H), moved(-H));
            let rise = (&up - &down) / (2.0 * H);
            let pushed = relaxation.push(&theta, &kappa, &one).to_vec()?;
            let tangent = relaxation.relaxed(&theta.with_tangent(&one), &u).tangent();
            let tangent = tangent.expect("it moves").to_vec()?;
            let (first, last) = (relaxation.hard(&down).to_vec()?, relaxation.hard(&up).to_vec()?);
            let rows = rise.to_vec()?.into_iter().enumerate().step_by(width);
            for (i, rise) in rows.filter(|(i, _)| first[*i] == last[*i]) {
                near(case.name, f64::from(pushed[i]), f64::from(rise), 5e-3);
                assert_eq!(pushed[i], tangent[i]);
            }
        }
    }
    Ok(())
}

#[test]
fn scores_are_derivatives_of_the_mass() -> Result<()> {
    for case in cases() {
        let (law, theta) = case.of_rows(1)?;
        let relaxation = law.relaxation().expect("there is one");
        let h = 1e-5;
        for k in [0_u64, 1, 3] {
            // Grades have other parameters than what estimators differentiate by.
            let is_own = theta.len() == case.theta.len() && case.name != "OrderedLogistic";
            if (case.mass)(&case.double(), k) == 0.0 || !is_own {
                continue;
            }
            let b = law.to_vertex(&Tensor::from_slice(&[k as f32]));
            let score = relaxation.score(&theta, &b).to_vec()?;
            for (j, score) in score.iter().enumerate() {
                let moved = |by: f64| {
                    let mut theta = case.double();
                    theta[j] += by;
                    (case.host)(&theta, k as usize)
                };
                let wanted = (moved(h)? - moved(-h)?) / (2.0 * h);
                near(case.name, f64::from(*score), wanted, 1e-4);
            }
        }
    }
    Ok(())
}

/// Noise at the ends and rates of any size give finite numbers, and b in its own step.
#[test]
fn extremes_stay_finite() -> Result<()> {
    let ends = [0.0_f32, 2.7e-20, 1e-12, 1e-3, 0.5, -1e-3, -1e-12, -2.7e-20, 1.0, -0.0];
    let laws: Vec<(&str, Rc<dyn Law>)> = vec![
        ("rate 1e-8", Poisson::rate(Tensor::full([10], 1e-8, &Device::cpu()))?.law()?),
        ("rate 1e4", Poisson::rate(Tensor::full([10], 1e4, &Device::cpu()))?.law()?),
        ("rate 3e6", Poisson::rate(Tensor::full([10], 3e6, &Device::cpu()))?.law()?),
        ("no trials", Binomial::logits(0, Tensor::full([10], 0.3, &Device::cpu()))?.law()?),
        ("sure", Binomial::probs(7, Tensor::full([10], 1.0, &Device::cpu()))?.law()?),
        ("rare", Binomial::logits(20, Tensor::full([10], -40.0, &Device::cpu()))?.law()?),
        ("many", Binomial::logits(1_000_000, Tensor::full([10], 0.7, &Device::cpu()))?.law()?),
        ("soon", Geometric::logits(Tensor::full([10], 30.0, &Device::cpu()))?.law()?),
        ("late", Geometric::logits(Tensor::full([10], -12.0, &Device::cpu()))?.law()?),
        ("heavy", {
            let r = Tensor::full([10], 1e-3, &Device::cpu());
            NegativeBinomial::logits(r, Tensor::full([10], 5.0, &Device::cpu()))?.law()?
        }),
        ("light", {
            let r = Tensor::full([10], 1e5, &Device::cpu());
            NegativeBinomial::logits(r, Tensor::full([10], -3.0, &Device::cpu()))?.law()?
        }),
    ];
    for (name, law) in laws {
        let relaxation = law.relaxation().expect("there is one");
        let theta = law.parameters()[0].detach();
        let width = theta.len() / 10;
        let u: Vec<f32> = ends.iter().flat_map(|u| vec![*u; width]).collect();
        let u = Tensor::from_vec(u, theta.shape(), &Device::cpu())?;
        let z = relaxation.relaxed(&theta, &u);
        let b = relaxation.hard(&z);
        let kappa = relaxation.kappa(&theta, &u, &b);
        let value = law.value_at(&b);
        assert!(value.to_vec()?.iter().all(|b| *b >= 0.0 && b.fract() == 0.0));
        for x in [
            &z,
            &b,
            &kappa,
            &relaxation.squash(&z, &Tensor::scalar(0.3)),
            &relaxation.score(&theta, &b),
            &relaxation.coupled_noise(&theta, &u, &b),
            &relaxation.conditional(&theta, &u, &b),
            &law.log_density(&value),
            &law.mean(),
        ] {
            assert!(x.to_vec()?.iter().all(|x| x.is_finite()), "{name}: {x:?}");
        }
        let again = relaxation.hard(&relaxation.conditional(&theta, &u, &b));
        assert_eq!(again.to_vec()?, b.to_vec()?, "{name}");
    }
    Ok(())
}

/// The distribution function of large laws passes a quantile where statrs has it.
#[test]
fn quantiles_of_large_laws_are_right() -> Result<()> {
    let u = [1e-9_f32, 1e-4, 0.3, 0.5, 0.9, -1e-4];
    let noise = Tensor::from_slice(&u);
    let full = |x: f32| Tensor::full([u.len()], x, &Device::cpu());
    let check = |name: &str, law: Rc<dyn Law>, cdf: &dyn Fn(u64) -> f64, sf: &dyn Fn(u64) -> f64| {
        let draws = law.draw(&noise).to_vec()?;
        for (u, b) in u.iter().zip(draws) {
            let b = b as u64;
            let (passed, before) = match *u > 0.0 {
                true => (cdf(b) > f64::from(*u), cdf(b - 1) <= f64::from(*u) * (1.0 + 1e-6)),
                false => (sf(b) < -f64::from(*u), sf(b - 1) >= -f64::from(*u) * (1.0 - 1e-6)),
            };
            assert!(passed && before, "{name}: {u} gave {b}");
        }
        Ok::<_, relax_runtime::Error>(())
    };
    let poisson = reference::Poisson::new(1e4).unwrap();
    let law = Poisson::rate(full(1e4))?.law()?;
    check("Poisson", law, &|k| poisson.cdf(k), &|k| poisson.sf(k))?;
    let p = sigmoid(f64::from(-0.5_f32));
    let binomial = reference::Binomial::new(p, 500).unwrap();
    let law = Binomial::logits(500, full(-0.5))?.law()?;
    check("Binomial", law, &|k| binomial.cdf(k), &|k| binomial.sf(k))
}

#[test]
fn bad_parameters_are_an_error() {
    let errors = [
        Poisson::rate(0.0).err(),
        Poisson::rate(f64::NAN).err(),
        Poisson::log_rate(f64::INFINITY).err(),
        Poisson::rate(Tensor::from_slice(&[1.0, -2.0])).err(),
        Binomial::probs(3, 1.5).err(),
        Binomial::logits(3, f64::NAN).err(),
        Binomial::probs(Tensor::from_slice(&[-1.0]), 0.5).err(),
        Binomial::probs(Tensor::from_slice(&[1.0, 2.0]), Tensor::from_slice(&[0.5; 3])).err(),
        Geometric::probs(0.0).err(),
        NegativeBinomial::probs(0.0, 0.5).err(),
        NegativeBinomial::probs(2.0, 1.0).err(),
        NegativeBinomial::mean(-1.0, 1.0).err(),
        BetaBinomial::new(0.0, 1.0, 3).err(),
        ZeroInflated::gate(1.5, Poisson::rate(1.0)).err(),
        ZeroInflated::gate(0.5, Poisson::rate(-1.0)).err(),
        ZeroInflated::gate(0.5, DiscreteUniform::new(1, 3)).err(),
        OrderedLogistic::new(0.0, Vec::new()).err(),
        OrderedLogistic::new(0.0, [1.0, 1.0]).err(),
        OrderedLogistic::new(f64::NAN, [1.0]).err(),
        OrderedLogistic::new(Tensor::scalar(0.0), [1.0, 0.5]).err(),
        DiscreteUniform::new(4, 3).err(),
        DiscreteUniform::new(0, Tensor::from_slice(&[2.0, 3.0])).err(),
        Hypergeometric::new(3, 4, 1).err(),
        Hypergeometric::new(3, 2, 4).err(),
    ];
    for (i, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("number {i} is taken")).to_string();
        assert!(error.len() > 30, "{error}");
    }
    let outside = Binomial::probs(3, 0.5).unwrap().log_prob(&4).unwrap_err();
    assert!(outside.to_string().contains("number of trials"), "{outside}");
    let outside = Poisson::rate(Tensor::scalar(2.0)).unwrap();
    assert!(outside.log_prob(&Tensor::scalar(1.5)).is_err());
}

/// Trials may differ from row to row, and come from tensors that are relaxed.
#[test]
fn trials_may_be_tensors() -> Result<()> {
    let total = Tensor::from_slice(&[2.0, 5.0]);
    let law = Binomial::logits(&total, 0.3)?;
    assert!(law.contains(&Tensor::from_slice(&[2.0, 5.0]))?);
    assert!(!law.contains(&Tensor::from_slice(&[3.0, 5.0]))?);
    let found = law.log_prob(&Tensor::from_slice(&[1.0, 4.0]))?;
    let wanted = [(2, 1), (5, 4)].map(|(n, k)| Binomial::logits(n, 0.3)?.log_prob(&k)?.total());
    let wanted: f64 = wanted.into_iter().sum::<Result<f64>>()?;
    near("sum", found.total()?, wanted, 1e-5);
    assert!(Distribution::law(&law)?.relaxation().is_some_and(|r| r.values(1).is_none()));

    let total = Tensor::from_slice(&[4.3]).leaf();
    let density = |n: &Tensor| Ok::<_, relax_runtime::Error>(
        Binomial::logits(n, 0.3)?.law()?.log_density(&Tensor::from_slice(&[2.0])),
    );
    let slope = grad(&[(&density(&total)?, None)], &[&total])?[0].to_vec()?[0];
    let moved = |by: f32| density(&Tensor::from_slice(&[4.3 + by]))?.item();
    near("slope", f64::from(slope), f64::from((moved(0.01)? - moved(-0.01)?) / 0.02), 1e-3);
    Ok(())
}

/// Ranges and what is taken out of an urn have a table of values and their probabilities.
#[test]
fn tables_list_their_values() -> Result<()> {
    use reference::Discrete;
    let die = DiscreteUniform::new(3, 7)?;
    assert_eq!(die.values(), Some(5));
    assert_eq!((0..6).map(|k| die.nth_value(k)).collect::<Vec<_>>()[3..], [Some(6), Some(7), None]);
    for k in 0..9 {
        assert_eq!(die.contains(&k)?, (3..=7).contains(&k));
    }
    let rows = DiscreteUniform::new(Tensor::from_slice(&[3.0, 3.0]), 7)?;
    let value = Tensor::from_slice(&[3.0, 7.0]);
    near("rows", rows.log_prob(&value)?.total()?, -2.0 * 5.0_f64.ln(), 1e-6);
    let law = Distribution::law(&rows)?;
    assert_eq!(law.relaxation().and_then(|r| r.values(5)), Some(5));
    assert_eq!(law.mean().to_vec()?, [5.0, 5.0]);

    let (wanted, urn) = (reference::Hypergeometric::new(20, 8, 15).unwrap(), (20, 8, 15));
    let found = Hypergeometric::new(urn.0, urn.1, urn.2)?;
    assert_eq!(found.nth_value(0), Some(3));
    for k in 3..=8 {
        near("urn", found.log_prob(&k)?.total()?, wanted.ln_pmf(k as u64), 1e-10);
    }
    assert!(!found.contains(&2)?);
    // All are taken out.
    assert_eq!(Hypergeometric::new(5, 2, 5)?.log_prob(&2)?.total()?, 0.0);
    let sure = Distribution::law(&Hypergeometric::new(5, 2, 5)?)?;
    let noise = sure.noise(&mut Key::new(1).stream("x"))?;
    assert_eq!(sure.draw(&noise).to_vec()?, [2.0]);
    Ok(())
}

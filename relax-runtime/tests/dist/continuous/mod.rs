//! Continuous laws: densities, draws and their derivatives, over host numbers and tensors, against
//! statrs and central differences.

mod edges;

use std::fmt::Display;

use relax_runtime::dist::{
    Beta, BetaCurve, Cauchy, CauchyCurve, Continuous, Distribution, Exponential, Gamma, GammaCurve,
    Gumbel, GumbelCurve, HalfCauchy, HalfNormal, InverseGamma, Laplace, LaplaceCurve, Law,
    LogNormal, Logistic, LogisticCurve, NormalCurve, StudentCurve, StudentT, Truncated,
    TruncatedLogNormal, TruncatedShaped, Uniform,
};
use relax_runtime::{Device, Key, Result, Tensor, grad};
use statrs::distribution as reference;
use statrs::distribution::ContinuousCDF;

const DRAWS: usize = 10_000;

/// √n times the distance of the distribution functions that right draws have once in 10⁵ seeds.
const FARTHEST: f64 = 2.47;

/// Logarithm of the density, and distribution function.
struct Reference {
    ln_pdf: Box<dyn Fn(f64) -> f64>,
    cdf: Box<dyn Fn(f64) -> f64>,
}

fn of<D>(law: std::result::Result<D, impl std::fmt::Debug>) -> Reference
where
    D: reference::Continuous<f64, f64> + ContinuousCDF<f64, f64> + Clone + 'static,
{
    let law = law.unwrap();
    let other = law.clone();
    Reference {
        ln_pdf: Box::new(move |x| law.ln_pdf(x)),
        cdf: Box::new(move |x| other.cdf(x)),
    }
}

/// Of |x| where x is symmetric around 0.
fn half(whole: Reference) -> Reference {
    Reference {
        ln_pdf: Box::new(move |x| (whole.ln_pdf)(x) + 2.0_f64.ln()),
        cdf: Box::new(move |x| 2.0 * (whole.cdf)(x) - 1.0),
    }
}

fn logistic(p: &[f64]) -> Reference {
    let [loc, scale] = [p[0], p[1]];
    Reference {
        ln_pdf: Box::new(move |x| {
            let t = (x - loc) / scale;
            -t.abs() - 2.0 * (-t.abs()).exp().ln_1p() - scale.ln()
        }),
        cdf: Box::new(move |x| 1.0 / (1.0 + (-(x - loc) / scale).exp())),
    }
}

/// Between two ends.
fn truncated(whole: Reference, [low, high]: [f64; 2]) -> Reference {
    let cdf = whole.cdf;
    let below = if low.is_finite() { cdf(low) } else { 0.0 };
    let mass = if high.is_finite() { cdf(high) } else { 1.0 } - below;
    Reference {
        ln_pdf: Box::new(move |x| (whole.ln_pdf)(x) - mass.ln()),
        cdf: Box::new(move |x| (cdf(x) - below) / mass),
    }
}

/// What is looked at for each law, at each of some parameters.
trait Look {
    fn at<D: Continuous<Real = f64>>(&self, parameters: &[f64], reference: Reference)
    -> Result<()>;
}

fn each(look: &impl Look) -> Result<()> {
    for p in [[0.0, 1.0], [-1.5, 0.3], [40.0, 6.0]] {
        look.at::<Laplace<f64>>(&p, of(reference::Laplace::new(p[0], p[1])))?;
        look.at::<Gumbel<f64>>(&p, of(reference::Gumbel::new(p[0], p[1])))?;
        look.at::<Logistic<f64>>(&p, logistic(&p))?;
        look.at::<Cauchy<f64>>(&p, of(reference::Cauchy::new(p[0], p[1])))?;
    }
    for p in [[0.0, 1.0], [-1.5, 0.3], [2.0, 1.4]] {
        look.at::<LogNormal<f64>>(&p, of(reference::LogNormal::new(p[0], p[1])))?;
    }
    for p in [[0.0, 1.0], [-3.0, 5.0]] {
        look.at::<Uniform<f64>>(&p, of(reference::Uniform::new(p[0], p[1])))?;
    }
    for p in [0.3, 1.0, 20.0] {
        let normal = of(reference::Normal::new(0.0, p));
        look.at::<HalfNormal<f64>>(&[p], half(normal))?;
        let cauchy = of(reference::Cauchy::new(0.0, p));
        look.at::<HalfCauchy<f64>>(&[p], half(cauchy))?;
        look.at::<Exponential<f64>>(&[p], of(reference::Exp::new(p)))?;
    }
    for p in [[0.3, 1.0], [1.0, 2.0], [2.5, 0.1], [80.0, 3.0], [2e3, 10.0]] {
        look.at::<Gamma<f64>>(&p, of(reference::Gamma::new(p[0], p[1])))?;
    }
    for p in [[0.8, 1.0], [3.0, 2.0], [80.0, 3.0]] {
        look.at::<InverseGamma<f64>>(&p, of(reference::InverseGamma::new(p[0], p[1])))?;
    }
    for p in [
        [0.3, 0.5],
        [1.0, 1.0],
        [2.0, 5.0],
        [80.0, 3.0],
        [400.0, 900.0],
    ] {
        look.at::<Beta<f64>>(&p, of(reference::Beta::new(p[0], p[1])))?;
    }
    for p in [[0.8, 0.0, 1.0], [3.0, -1.5, 0.3], [40.0, 2.0, 6.0]] {
        let law = reference::StudentsT::new(p[1], p[2], p[0]);
        look.at::<StudentT<f64>>(&p, of(law))?;
    }
    for p in [
        [-0.5, 1.5, 0.0, 1.0],
        [2.0, 9.0, -1.0, 1.3],
        [-4.0, -2.0, 0.5, 0.8],
    ] {
        let [low, high, loc, scale] = p;
        let ends = [low, high];
        let law = of(reference::Normal::new(loc, scale));
        look.at::<Truncated<NormalCurve, f64>>(&p, truncated(law, ends))?;
        let law = of(reference::Laplace::new(loc, scale));
        look.at::<Truncated<LaplaceCurve, f64>>(&p, truncated(law, ends))?;
        let law = logistic(&[loc, scale]);
        look.at::<Truncated<LogisticCurve, f64>>(&p, truncated(law, ends))?;
        let law = of(reference::Cauchy::new(loc, scale));
        look.at::<Truncated<CauchyCurve, f64>>(&p, truncated(law, ends))?;
        let law = of(reference::Gumbel::new(loc, scale));
        look.at::<Truncated<GumbelCurve, f64>>(&p, truncated(law, ends))?;
        // Ends of the logarithm.
        let law = of(reference::LogNormal::new(loc, scale));
        let law = truncated(law, ends.map(f64::exp));
        look.at::<TruncatedLogNormal<f64>>(&p, law)?;
    }
    // Quantiles of laws with shapes take long: one of each.
    let p = [0.5, 2.0, 0.0, 0.5, 3.0, 3.0];
    let law = of(reference::Gamma::new(p[4], 1.0 / p[3]));
    look.at::<TruncatedShaped<GammaCurve, f64>>(&p, truncated(law, [p[0], p[1]]))?;
    let p = [0.2, 0.7, 0.0, 1.0, 2.0, 3.0];
    let law = of(reference::Beta::new(p[4], p[5]));
    look.at::<TruncatedShaped<BetaCurve, f64>>(&p, truncated(law, [p[0], p[1]]))?;
    let p = [-1.0, 2.5, 0.3, 1.2, 3.0, 3.0];
    let law = of(reference::StudentsT::new(p[2], p[3], p[4]));
    look.at::<TruncatedShaped<StudentCurve, f64>>(&p, truncated(law, [p[0], p[1]]))?;
    Ok(())
}

fn tensors<D: Continuous<Real = f64>>(parameters: &[f64], rows: usize) -> D::Tensors {
    let numbers = parameters
        .iter()
        .map(|&p| Tensor::full([rows], p as f32, &Device::cpu()));
    D::Tensors::of(&numbers.collect::<Vec<_>>())
}

fn wide(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_vec()?.into_iter().map(f64::from).collect())
}

fn assert_near(what: impl Display, found: f64, wanted: f64, tolerance: f64) {
    let error = (found - wanted).abs() / (1.0 + wanted.abs());
    assert!(error < tolerance, "{what}: {found} instead of {wanted}");
}

/// Standard numbers behind some draws, a list a draw.
fn standards<D: Continuous>(count: usize) -> Vec<Vec<f64>> {
    let mut stream = Key::new(5).stream(<D as Continuous>::NAME);
    let draw = |_| D::STANDARDS.iter().map(|next| next(&mut stream)).collect();
    (0..count).map(draw).collect()
}

/// The same as a law over tensors takes it.
fn noise(standards: &[Vec<f64>]) -> Result<Tensor> {
    let (kinds, count) = (standards[0].len(), standards.len());
    let numbers = (0..kinds).flat_map(|k| standards.iter().map(move |s| s[k] as f32));
    match kinds {
        1 => Tensor::from_vec(numbers.collect(), [count], &Device::cpu()),
        _ => Tensor::from_vec(numbers.collect(), [kinds, count], &Device::cpu()),
    }
}

struct Densities;

impl Look for Densities {
    fn at<D: Continuous<Real = f64>>(&self, p: &[f64], reference: Reference) -> Result<()> {
        let (law, name) = (D::of(p), <D as Continuous>::NAME);
        let values: Vec<f64> = standards::<D>(50)
            .iter()
            .map(|s| f64::from(Continuous::draw(&law, s) as f32))
            .collect();
        let narrow: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        let over_tensors = tensors::<D>(p, values.len());
        let found = Distribution::log_prob(&over_tensors, &Tensor::from_slice(&narrow))?;
        let found = match found {
            relax_runtime::dist::Number::Tensor(t) => wide(&t)?,
            other => panic!("{other:?}"),
        };
        for (&x, found) in values.iter().zip(found) {
            let wanted = (reference.ln_pdf)(x);
            let host = Distribution::log_prob(&law, &x)?.total()?;
            assert_near(format!("{name}{p:?} at {x}"), host, wanted, 1e-8);
            // What single precision keeps of the parameters moves the density by as much.
            let narrow: Vec<f64> = p.iter().map(|&p| f64::from(p as f32)).collect();
            let wanted = Continuous::log_density(&D::of(&narrow), &x);
            assert_near(format!("tensor {name}{p:?} at {x}"), found, wanted, 3e-6);
        }
        Ok(())
    }
}

#[test]
fn densities_are_those_of_statrs() -> Result<()> {
    each(&Densities)
}

struct Draws;

impl Look for Draws {
    fn at<D: Continuous<Real = f64>>(&self, p: &[f64], reference: Reference) -> Result<()> {
        let (law, name) = (D::of(p), <D as Continuous>::NAME);
        let mut stream = Key::new(3).stream("host");
        let host = (0..DRAWS)
            .map(|_| law.sample(&mut stream))
            .collect::<Result<Vec<_>>>()?;
        let over_tensors = tensors::<D>(p, DRAWS);
        let tensor = wide(&over_tensors.sample(&mut Key::new(4).stream("tensor"))?)?;
        let of_noise = over_tensors.law()?;
        let drawn = of_noise.draw(&of_noise.noise(&mut Key::new(6).stream("law"))?);
        assert!(Distribution::contains(&over_tensors, &drawn)?);
        for (what, mut draws) in [("host", host), ("tensor", tensor), ("law", wide(&drawn)?)] {
            draws.sort_by(f64::total_cmp);
            let steps = draws.iter().enumerate().map(|(i, &x)| {
                let (f, n) = ((reference.cdf)(x), DRAWS as f64);
                (f - i as f64 / n).abs().max((f - (i + 1) as f64 / n).abs())
            });
            let distance = steps.fold(0.0, f64::max) * (DRAWS as f64).sqrt();
            assert!(distance < FARTHEST, "{what} {name}{p:?}: {distance}");
        }
        Ok(())
    }
}

#[test]
fn draws_have_the_distribution_functions_of_statrs() -> Result<()> {
    each(&Draws)
}

/// A function's derivative by its `k`-th number, which is `size` large or more, and how far it may be
/// off.
fn difference(f: impl Fn(&[f64]) -> f64, at: &[f64], k: usize, size: f64) -> (f64, f64) {
    let along = |h: f64| {
        let mut moved = at.to_vec();
        moved[k] += h;
        f(&moved)
    };
    let h = 1e-4 * at[k].abs().max(size);
    let slope = |h: f64| (along(h) - along(-h)) / (2.0 * h);
    let (coarse, fine) = (slope(h), slope(0.5 * h));
    (fine, (coarse - fine).abs())
}

struct Gradients;

impl Look for Gradients {
    fn at<D: Continuous<Real = f64>>(&self, p: &[f64], _: Reference) -> Result<()> {
        let name = <D as Continuous>::NAME;
        let p: Vec<f64> = p.iter().map(|&p| f64::from(p as f32)).collect();
        let standards = standards::<D>(40);
        let leaves: Vec<Tensor> = p
            .iter()
            .map(|&p| Tensor::full([standards.len()], p as f32, &Device::cpu()).leaf())
            .collect();
        let law = D::Tensors::of(&leaves);
        let wrt: Vec<&Tensor> = leaves.iter().collect();
        let noise = noise(&standards)?;
        let draw = Law::draw(&law, &noise);
        let by_parameters = grad(&[(&draw, None)], &wrt)?;
        let x = draw.leaf();
        let density = Law::log_density(&law, &x);
        let all: Vec<&Tensor> = leaves.iter().chain([&x]).collect();
        let of_density = grad(&[(&density, None)], &all)?;
        for (i, s) in standards.iter().enumerate() {
            let rounded: Vec<f64> = s.iter().map(|&s| f64::from(s as f32)).collect();
            let mut point = p.clone();
            point.push(f64::from(x.to_vec()?[i]));
            for k in 0..p.len() {
                let draw = |p: &[f64]| Continuous::draw(&D::of(p), &rounded);
                let (wanted, slack) = difference(draw, &p, k, 0.01);
                let found = f64::from(by_parameters[k].to_vec()?[i]);
                let what = format!("draw of {name}{p:?} from {s:?} by parameter {k}");
                assert!(
                    (found - wanted).abs()
                        < 3e-5 * wanted.abs() + 1e-5 / p[k].abs().max(1.0) + 10.0 * slack,
                    "{what}: {found} instead of {wanted}"
                );
            }
            let last = p.len();
            for k in 0..=last {
                let density = |p: &[f64]| Continuous::log_density(&D::of(&p[..last]), &p[last]);
                let (wanted, slack) =
                    difference(density, &point, k, if k < last { 0.01 } else { 0.0 });
                let found = f64::from(of_density[k].to_vec()?[i]);
                // Numbers in f32 are known to a few of these.
                let moved = 1e-6 * point[k].abs().recip();
                assert!(
                    (found - wanted).abs() < 1e-4 * (wanted.abs() + moved) + 10.0 * slack + 1e-5,
                    "log-density of {name}{p:?} at {} by number {k}: {found} instead of {wanted}",
                    point[last]
                );
            }
        }
        Ok(())
    }
}

#[test]
fn gradients_are_central_differences() -> Result<()> {
    each(&Gradients)
}

struct Means;

impl Look for Means {
    fn at<D: Continuous<Real = f64>>(&self, p: &[f64], _: Reference) -> Result<()> {
        let name = <D as Continuous>::NAME;
        let leaves: Vec<Tensor> = p
            .iter()
            .map(|&p| Tensor::full([DRAWS], p as f32, &Device::cpu()).leaf())
            .collect();
        let law = D::Tensors::of(&leaves);
        let mean = Continuous::mean(&D::of(p));
        let over_tensors = wide(&Law::mean(&law))?[0];
        assert!(
            (over_tensors - mean).abs() <= 1e-5 * mean.abs() || !mean.is_finite(),
            "{name}{p:?}: {over_tensors} {mean}"
        );
        let heavy = match name {
            "Cauchy" | "HalfCauchy" => true,
            // Without a variance of the draws' derivatives.
            "StudentT" | "InverseGamma" => p[0] < 5.0,
            _ => false,
        };
        if heavy {
            return Ok(());
        }
        let draw = Law::draw(&law, &Law::noise(&law, &mut Key::new(8).stream(name))?);
        let wrt: Vec<&Tensor> = leaves.iter().collect();
        let slopes = grad(&[(&draw, None)], &wrt)?;
        for (k, slopes) in slopes.iter().enumerate() {
            let (wanted, _) = difference(|p| Continuous::mean(&D::of(p)), p, k, 0.01);
            let slopes = wide(slopes)?;
            let n = slopes.len() as f64;
            let found = slopes.iter().sum::<f64>() / n;
            let variance = slopes.iter().map(|x| (x - found).powi(2)).sum::<f64>() / (n - 1.0);
            let error = (variance / n).sqrt();
            assert!(
                (found - wanted).abs() < 4.5 * error + 1e-4 * wanted.abs() + 1e-6,
                "mean of {name}{p:?} by parameter {k}: {found} ± {error} instead of {wanted}"
            );
        }
        Ok(())
    }
}

#[test]
fn gradients_of_means_through_draws_are_exact() -> Result<()> {
    each(&Means)
}

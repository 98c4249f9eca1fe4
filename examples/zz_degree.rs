use relax_runtime::infer::marginalise;
use relax_runtime::prelude::*;

#[model]
fn poly(x: &[f64], y: &[f64]) {
    let degree = sample!(DiscreteUniform(0, 3));
    let mut c = Vec::new();
    for _ in 0..=degree {
        let coef = sample!(Normal(0.0, 2.0));
        c.push(coef);
    }
    for (x, y) in x.iter().zip(y) {
        let mean = c.iter().rev().fold(0.0, |acc, c| acc * x + c);
        observe!(Normal(mean, 0.5), *y);
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let seed: u64 = args.get(1).map_or(1, |s| s.parse().unwrap());
    let x: Vec<f64> = (0..10).map(|i| -1.0 + 2.0 * i as f64 / 9.0).collect();
    let y: Vec<f64> = x
        .iter()
        .enumerate()
        .map(|(i, x)| 0.5 + 1.0 * x + 0.6 * x * x + 0.35 * ((i * 7 % 5) as f64 - 2.0) * 0.5)
        .collect();
    let model = poly(&x, &y);
    let _ = marginalise(&model);
    let started = std::time::Instant::now();
    let mut svi = Svi::new(&model).seed(seed).progress(false);
    if args.get(2).is_some_and(|a| a == "nohmc") {
        svi = svi.hmc(false).posterior_draws(2000);
    }
    let fit = svi.run()?;
    println!("{}", fit.plan());
    println!("{}", fit.verdict());
    println!(
        "{:?} in {:?}",
        fit.posterior().log_evidence(),
        started.elapsed()
    );
    println!(
        "degree {} coef1 {:?}",
        fit.posterior().mean("degree")?,
        fit.posterior().mean("coef[1]")
    );
    println!("{}", fit.posterior().summary()?);
    Ok(())
}

//! How much variance the default estimator saves at a site of a program.

use relax_runtime::prelude::*;

/// A smooth cost of a count that host code has read.
#[model]
fn read(rate: f64, size: f64, bend: f64) {
    let log_rate = param!(rate.ln());
    let n = sample!(Poisson(log_rate = &log_rate));
    let x = (n.to_vec()?[0] as f64 - rate) / size;
    cost!(0.5 * bend * x * x + (1.5 * x).tanh());
}

fn variance(model: &dyn Program, estimator: &str) -> Result<f64> {
    let objective = ExpectedCost::new(model);
    let estimator = relax_runtime::estimator::by_name(estimator)?;
    let check = Check::new(&objective).draws(3_000).warm_up(2_000);
    let table = check.estimator(estimator).run()?;
    table.verdict()?;
    Ok(table.site("n").expect("it is there").variance)
}

#[test]
fn a_site_varies_less_than_under_reinforce() -> Result<()> {
    for (rate, size) in [(0.2, 0.5), (4.0, 2.0), (1e4, 100.0)] {
        for bend in [0.0, 1.0] {
            let model = read(rate, size, bend);
            let share = variance(&model, "relax")? / variance(&model, "reinforce")?;
            println!("rate {rate}, bend {bend}: {share:.3}");
            assert!(share < 0.5, "rate {rate}, bend {bend}: {share}");
        }
    }
    Ok(())
}

//! In which year did disasters in coal mines become rarer? See `support/coal.rs`.

use crate::coal::{coal, data, known};
use crate::known::{fit, near};
use crate::program::Outcome;

pub(crate) fn run() -> Outcome<()> {
    let (years, disasters) = data();
    let fit = fit(&coal(&years, &disasters))?;
    let [change, early, late] = known().map(|(mean, _)| mean);
    let posterior = fit.posterior();
    near(
        "year of the change, from 1851",
        posterior.mean("change")?,
        change,
        0.3,
    )?;
    near(
        "disasters a year before",
        posterior.mean("early")?,
        early,
        0.04,
    )?;
    near(
        "disasters a year from then on",
        posterior.mean("late")?,
        late,
        0.02,
    )
}

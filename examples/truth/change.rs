//! In which year did disasters in coal mines become rarer? See `support/coal.rs`.

use crate::coal::{coal, data, known};
use crate::program::Outcome;
use crate::table::Table;

pub(crate) fn all(table: &mut Table) -> Outcome<()> {
    let name = "coal";
    if table.wants(name) {
        let (years, disasters) = data();
        let fit = table.fit(name, &coal(&years, &disasters))?;
        let [change, early, late] = known();
        let known = [
            ("change", 0, change.0, change.1),
            ("early", 0, early.0, early.1),
            ("late", 0, late.0, late.1),
        ];
        table.spreads(name, &fit, &known)?;
    }
    Ok(())
}

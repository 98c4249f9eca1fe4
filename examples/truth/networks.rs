//! Bayesian networks with some variables known.

use std::path::Path;

use crate::bif::Network;
use crate::model::network;
use crate::program::Outcome;
use crate::table::{Known, Table};

/// A network, its evidence, ln p(evidence), and probabilities of values given it.
type Case<'a> = (
    &'a str,
    &'a [(&'a str, &'a str)],
    f64,
    &'a [(&'a str, &'a str, f64)],
);

const CASES: [Case<'_>; 5] = [
    (
        "asia",
        &[("xray", "yes"), ("dysp", "yes")],
        -2.649_733,
        &[
            ("tub", "yes", 0.113_933),
            ("lung", "yes", 0.621_253),
            ("bronc", "yes", 0.681_869),
            ("smoke", "yes", 0.785_610),
            ("asia", "yes", 0.013_984),
        ],
    ),
    (
        "cancer",
        &[("Xray", "positive"), ("Dyspnoea", "True")],
        -2.716_499,
        &[("Cancer", "True", 0.102_919), ("Smoker", "True", 0.348_532)],
    ),
    (
        "survey",
        &[("T", "train")],
        -1.269_909,
        &[("R", "small", 0.352_356)],
    ),
    (
        "alarm",
        &[
            ("HRBP", "HIGH"),
            ("CVP", "LOW"),
            ("BP", "LOW"),
            ("SAO2", "LOW"),
            ("PRESS", "HIGH"),
            ("EXPCO2", "LOW"),
        ],
        -4.280_160,
        &[
            ("HYPOVOLEMIA", "TRUE", 0.152_575),
            ("LVFAILURE", "TRUE", 0.575_278),
            ("ANAPHYLAXIS", "TRUE", 0.019_664),
            ("INTUBATION", "NORMAL", 0.939_080),
            ("KINKEDTUBE", "TRUE", 0.037_549),
            ("DISCONNECT", "TRUE", 0.080_907),
            ("PULMEMBOLUS", "TRUE", 0.011_923),
            ("INSUFFANESTH", "TRUE", 0.100_073),
        ],
    ),
    (
        "insurance",
        &[
            ("PropCost", "Million"),
            ("MedCost", "Million"),
            ("ILiCost", "Million"),
            ("GoodStudent", "True"),
        ],
        -12.817_345,
        &[
            ("Age", "Adolescent", 1.0),
            ("Accident", "Moderate", 0.079_375),
            ("Accident", "Severe", 0.920_625),
        ],
    ),
];

pub(crate) fn all(table: &mut Table, folder: &Path) -> Outcome<()> {
    for (name, evidence, log, marginals) in CASES {
        if !table.wants(name) {
            continue;
        }
        let net = Network::read(&folder.join(format!("{name}.bif")))?;
        let value = |variable: &str, value: &str| {
            let place = net
                .place(variable)
                .ok_or(format!("no variable `{variable}`"))?;
            let values = net.variables[place].values.iter();
            let at = values.into_iter().position(|known| known == value);
            Ok::<_, String>((place, at.ok_or(format!("`{variable}` has no `{value}`"))?))
        };
        let mut given = vec![None; net.variables.len()];
        for (variable, known) in evidence {
            let (place, at) = value(variable, known)?;
            given[place] = Some(at);
        }
        let fit = table.fit(name, &network(&net, &given))?;
        let bound = fit.posterior().log_evidence().elbo;
        table.row(name, "ln p(evidence)", (bound, 0.0), &Known::Evidence(log));
        for (variable, wanted, p) in marginals {
            let (place, at) = value(variable, wanted)?;
            let found = fit.posterior().means(&net.variables[place].name)?[at];
            let what = format!("{variable} {wanted}");
            table.row(name, &what, (found, 0.0), &Known::Probability(*p));
        }
    }
    Ok(())
}

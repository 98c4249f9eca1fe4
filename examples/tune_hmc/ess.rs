//! Effective sample sizes.

/// The effective sample size of the mean over all draws of chains of equal length: Geyer's initial
/// monotone sequence on autocorrelations that compare within and between chains (Vehtari, Gelman,
/// Simpson, Carpenter, Bürkner 2021, equations 10 to 13). Negative autocorrelations may make it larger
/// than the number of draws, up to that times its log10.
pub(crate) fn effective_size(chains: &[Vec<f64>]) -> f64 {
    let (m, n) = (chains.len() as f64, chains[0].len() as f64);
    let means: Vec<f64> = chains.iter().map(|x| mean(x)).collect();
    let centred: Vec<Vec<f64>> = chains
        .iter()
        .zip(&means)
        .map(|(x, mean)| x.iter().map(|x| x - mean).collect())
        .collect();
    // Mean over chains of the autocovariance, by n − 1 as within a variance.
    let covariance = |lag: usize| {
        let of = |x: &Vec<f64>| x.iter().zip(&x[lag..]).map(|(a, b)| a * b).sum::<f64>();
        centred.iter().map(of).sum::<f64>() / (m * (n - 1.0))
    };
    let within = covariance(0);
    let grand = mean(&means);
    let between = means.iter().map(|x| (x - grand).powi(2)).sum::<f64>() / (m - 1.0).max(1.0);
    let total = within * (n - 1.0) / n + between;
    let correlation = |lag: usize| 1.0 - (within - covariance(lag)) / total;
    let mut sum = 0.0;
    let mut least = f64::INFINITY;
    for lag in (0..chains[0].len() - 1).step_by(2) {
        let first = if lag == 0 { 1.0 } else { correlation(lag) };
        let pair = (first + correlation(lag + 1)).min(least);
        if pair <= 0.0 {
            break;
        }
        least = pair;
        sum += pair;
    }
    let time = (2.0 * sum - 1.0).max(1.0 / (m * n).log10());
    m * n / time
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

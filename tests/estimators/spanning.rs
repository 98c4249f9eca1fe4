//! Random spanning trees by earliest clocks, and the clocks given a tree, right and wrong.
//!
//! Each edge of the complete graph of four vertices has an exponential clock with its own rate w, and Kruskal's
//! algorithm takes edges in the order of their clocks, leaving out those that would close a cycle. What it does, edge
//! by edge, is a trace. There are 96 traces: three edges in six orders for each of 16 trees. Given the trace, the gaps
//! between arrivals are exponential at the sum R of the rates of the edges that could be taken, and at the moment an
//! edge drops out, its clock still has its whole time to run.

use relax_runtime::{Key, Stream};

const EDGES: [(usize, usize); 6] = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
const RATES: [f64; 6] = [0.5, 1.7, 0.9, 2.4, 0.6, 1.2];
/// A statistic of the clocks t: Σ a ln t.
const WEIGHTS: [f64; 6] = [0.8, -0.5, 1.1, 0.4, -0.9, 0.7];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Clocks {
    Right,
    /// Gaps of E·R for E/R.
    Multiplied,
    /// R over both directions of each edge.
    Twice,
}

impl Clocks {
    /// By what a standard exponential number is multiplied for a gap.
    fn gap(self, sum: f64) -> f64 {
        match self {
            Self::Right => 1.0 / sum,
            Self::Multiplied => sum,
            Self::Twice => 0.5 / sum,
        }
    }
}

/// An edge that is taken, the sum of the rates of those that could be, and what drops out with it.
#[derive(Clone, Debug)]
struct Step {
    taken: usize,
    sum: f64,
    dropped: Vec<usize>,
}

/// Which edges join two of the components.
fn admissible(component: [usize; 4]) -> Vec<usize> {
    let joins = |&edge: &usize| component[EDGES[edge].0] != component[EDGES[edge].1];
    (0..EDGES.len()).filter(joins).collect()
}

fn take(component: [usize; 4], taken: usize) -> (Step, [usize; 4]) {
    let before = admissible(component);
    let (from, to) = (component[EDGES[taken].0], component[EDGES[taken].1]);
    let joined = component.map(|c| if c == from { to } else { c });
    let after = admissible(joined);
    let dropped = before
        .iter()
        .filter(|&&e| e != taken && !after.contains(&e));
    let step = Step {
        taken,
        sum: before.iter().map(|&edge| RATES[edge]).sum(),
        dropped: dropped.copied().collect(),
    };
    (step, joined)
}

/// All traces with their probabilities.
fn traces(component: [usize; 4]) -> Vec<(f64, Vec<Step>)> {
    let edges = admissible(component);
    if edges.is_empty() {
        return vec![(1.0, Vec::new())];
    }
    let of = |edge| {
        let (step, joined) = take(component, edge);
        let share = RATES[edge] / step.sum;
        let rest = traces(joined).into_iter();
        rest.map(move |(p, steps)| (share * p, [vec![step.clone()], steps].concat()))
    };
    edges.into_iter().flat_map(of).collect()
}

/// The clocks given a trace; `standard` gives the standard exponential numbers.
fn clocks(steps: &[Step], kind: Clocks, mut standard: impl FnMut() -> f64) -> [f64; 6] {
    let (mut now, mut clocks) = (0.0, [0.0; 6]);
    for step in steps {
        now += standard() * kind.gap(step.sum);
        clocks[step.taken] = now;
        for &edge in &step.dropped {
            clocks[edge] = now + standard() / RATES[edge];
        }
    }
    clocks
}

const APART: [usize; 4] = [0, 1, 2, 3];

/// Over all traces the clocks' means are 1/w, which they are drawn with. As a mean is linear, that given a
/// trace is what the means of the exponential numbers give.
#[test]
fn conditional_clocks_by_enumeration() {
    let traces = traces(APART);
    assert_eq!(traces.len(), 96);
    assert!((traces.iter().map(|(p, _)| p).sum::<f64>() - 1.0).abs() < 1e-12);
    let off = |kind: Clocks| {
        let mut means = [0.0; 6];
        for (p, steps) in &traces {
            let clocks = clocks(steps, kind, || 1.0);
            means
                .iter_mut()
                .zip(clocks)
                .for_each(|(mean, t)| *mean += p * t);
        }
        let off = means
            .iter()
            .zip(RATES)
            .map(|(mean, rate)| (mean * rate - 1.0).abs());
        off.fold(0.0, f64::max)
    };
    assert!(off(Clocks::Right) < 1e-12);
    assert!(off(Clocks::Multiplied) > 1.0 && off(Clocks::Twice) > 0.1);
}

fn exponential(stream: &mut Stream) -> f64 {
    -(1.0 - stream.uniform_f64()).ln()
}

/// The mean difference of the statistic between clocks and clocks drawn anew given their trace, in standard
/// errors.
fn z(kind: Clocks) -> f64 {
    const DRAWS: u32 = 20_000;
    let mut stream = Key::new(11).stream("clocks");
    let statistic = |clocks: &[f64; 6]| {
        let terms = clocks.iter().zip(WEIGHTS).map(|(t, a)| a * t.ln());
        terms.sum::<f64>()
    };
    let (mut sum, mut square) = (0.0, 0.0);
    for _ in 0..DRAWS {
        let drawn = RATES.map(|rate| exponential(&mut stream) / rate);
        let (mut component, mut steps) = (APART, Vec::new());
        let mut order: Vec<usize> = (0..EDGES.len()).collect();
        order.sort_by(|&a, &b| drawn[a].total_cmp(&drawn[b]));
        for edge in order {
            if admissible(component).contains(&edge) {
                let (step, joined) = take(component, edge);
                component = joined;
                steps.push(step);
            }
        }
        let again = clocks(&steps, kind, || exponential(&mut stream));
        let apart = statistic(&again) - statistic(&drawn);
        sum += apart;
        square += apart * apart;
    }
    let draws = f64::from(DRAWS);
    let mean = sum / draws;
    mean / ((square / draws - mean * mean) / draws).sqrt()
}

/// A surrogate of the clocks adds nothing on average only if they have, given the trace, the law of the
/// trace's clocks.
#[test]
fn conditional_clocks_by_draws() {
    let found = [Clocks::Right, Clocks::Multiplied, Clocks::Twice].map(z);
    println!("K5: {found:.1?} standard errors: right, rate multiplied, edges counted twice");
    assert!(found[0].abs() < 3.5, "{found:?}");
    assert!(found[1].abs() > 10.0 && found[2].abs() > 10.0, "{found:?}");
}

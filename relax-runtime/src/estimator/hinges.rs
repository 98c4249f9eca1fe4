//! A sum of leaky rectifiers of one number, sorted by where they bend: a piecewise linear function, so
//! that a point costs a search among the bends and not a term for each unit.

/// Slope of the rectifier below zero.
const LEAK: f64 = 0.3;

/// A unit w · leaky(slope · x + offset), with two output weights w.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) slope: f64,
    pub(super) offset: f64,
    pub(super) weights: [f64; 2],
}

impl Unit {
    /// Where the unit bends, and whether it is in its upper piece to the right of that.
    fn bend(&self) -> (f32, bool) {
        if self.slope == 0.0 {
            let everywhere = self.offset > 0.0;
            return (
                if everywhere {
                    f32::NEG_INFINITY
                } else {
                    f32::INFINITY
                },
                true,
            );
        }
        ((-self.offset / self.slope) as f32, self.slope > 0.0)
    }

    /// The unit with another activation's slope, as a line.
    fn line(&self, slope: f64) -> Line {
        Line {
            slope: self.weights.map(|w| w * slope * self.slope),
            start: self.weights.map(|w| w * slope * self.offset),
        }
    }
}

/// a + `times` b.
fn plus(a: [f64; 2], b: [f64; 2], times: f64) -> [f64; 2] {
    [a[0] + times * b[0], a[1] + times * b[1]]
}

/// Both outputs as linear functions.
#[derive(Clone, Copy, Default)]
struct Line {
    slope: [f64; 2],
    start: [f64; 2],
}

impl Line {
    fn plus(self, other: Self, times: f64) -> Self {
        Self {
            slope: plus(self.slope, other.slope, times),
            start: plus(self.start, other.start, times),
        }
    }
}

/// Both outputs of a layer of units.
pub(super) struct Hinges {
    units: Vec<Unit>,
    /// Sorted.
    bends: Vec<f32>,
    /// The unit of each bend, and whether its upper piece is to the right.
    bending: Vec<(usize, bool)>,
    /// To the left of the first bend, between it and the second, and so on.
    lines: Vec<Line>,
}

/// Derivatives by a unit's slope, offset and output weights.
#[derive(Clone, Copy, Default)]
pub(super) struct UnitSlopes {
    pub(super) slope: f64,
    pub(super) offset: f64,
    pub(super) weights: [f64; 2],
}

impl Hinges {
    /// The sum of units and of two constants.
    pub(super) fn new(units: Vec<Unit>, constants: [f64; 2]) -> Self {
        let mut bends: Vec<(f32, usize, bool)> = units
            .iter()
            .enumerate()
            .map(|(unit, it)| {
                let (bend, rises) = it.bend();
                (bend, unit, rises)
            })
            .collect();
        bends.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut line = Line {
            slope: [0.0; 2],
            start: constants,
        };
        for &(_, unit, rises) in &bends {
            line = line.plus(units[unit].line(if rises { LEAK } else { 1.0 }), 1.0);
        }
        let mut lines = Vec::with_capacity(bends.len() + 1);
        lines.push(line);
        for &(_, unit, rises) in &bends {
            let change = units[unit].line(1.0 - LEAK);
            line = line.plus(change, if rises { 1.0 } else { -1.0 });
            lines.push(line);
        }
        Self {
            bends: bends.iter().map(|bend| bend.0).collect(),
            bending: bends
                .iter()
                .map(|&(_, unit, rises)| (unit, rises))
                .collect(),
            units,
            lines,
        }
    }

    /// Both outputs.
    pub(super) fn value(&self, x: f32) -> [f32; 2] {
        let Line { slope, start } = self.lines[self.piece(x)];
        let at = f64::from(x);
        [0, 1].map(|k| (slope[k] * at + start[k]) as f32)
    }

    /// How many units bend below x.
    fn piece(&self, x: f32) -> usize {
        self.bends.partition_point(|&bend| bend < x)
    }

    /// Derivatives for each unit of Σ over points x of both outputs times `cotangents`, and those by the
    /// constants.
    pub(super) fn pull(&self, x: &[f32], cotangents: [&[f32]; 2]) -> (Vec<UnitSlopes>, [f64; 2]) {
        let mut sums = vec![Moments::default(); self.lines.len()];
        for ((&x, &first), &second) in x.iter().zip(cotangents[0]).zip(cotangents[1]) {
            sums[self.piece(x)].add(x, [first, second]);
        }
        let all = sums
            .iter()
            .fold(Moments::default(), |sum, &more| sum.plus(more, 1.0));
        let mut slopes = vec![UnitSlopes::default(); self.units.len()];
        let mut left = Moments::default();
        for (&(unit, rises), &more) in self.bending.iter().zip(&sums) {
            left = left.plus(more, 1.0);
            let upper = if rises { all.plus(left, -1.0) } else { left };
            let weighted = Moments::default().plus(all, LEAK).plus(upper, 1.0 - LEAK);
            slopes[unit] = weighted.pull(&self.units[unit]);
        }
        (slopes, all.cotangents)
    }
}

/// Sums over points of both cotangents, alone and times x.
#[derive(Clone, Copy, Default)]
struct Moments {
    cotangents: [f64; 2],
    times_x: [f64; 2],
}

impl Moments {
    fn add(&mut self, x: f32, cotangents: [f32; 2]) {
        for (k, cotangent) in cotangents.into_iter().enumerate() {
            self.cotangents[k] += f64::from(cotangent);
            self.times_x[k] += f64::from(cotangent) * f64::from(x);
        }
    }

    fn plus(self, other: Self, times: f64) -> Self {
        Self {
            cotangents: plus(self.cotangents, other.cotangents, times),
            times_x: plus(self.times_x, other.times_x, times),
        }
    }

    /// Where the sums are weighted by the slope of a unit's activation.
    fn pull(&self, unit: &Unit) -> UnitSlopes {
        let by_outputs = |sums: [f64; 2]| unit.weights[0] * sums[0] + unit.weights[1] * sums[1];
        UnitSlopes {
            slope: by_outputs(self.times_x),
            offset: by_outputs(self.cotangents),
            weights: [0, 1]
                .map(|k| unit.slope * self.times_x[k] + unit.offset * self.cotangents[k]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Hinges, LEAK, Unit, UnitSlopes};

    /// Units that rise and fall, bend at one place, are constant, or bend out of reach.
    fn units() -> Vec<Unit> {
        let unit = |slope, offset, first, second| Unit {
            slope,
            offset,
            weights: [first, second],
        };
        vec![
            unit(1.5, -0.75, 0.3, -1.0),
            unit(-2.0, 1.0, 0.7, 0.2),
            unit(0.5, 2.0, -1.1, 0.4),
            unit(-0.25, -3.0, 0.9, 1.3),
            unit(0.0, 0.8, 0.6, -0.5),
            unit(0.0, -0.8, 0.6, -0.5),
            unit(1e-30, 1.0, 0.1, 0.1),
        ]
    }

    const POINTS: [f32; 8] = [-40.0, -13.0, -4.0, -3.9, 0.0, 0.49, 0.51, 25.0];
    const COTANGENTS: [[f32; 8]; 2] = [
        [0.3, -1.0, 2.0, 0.7, -0.2, 0.9, 1.1, -0.4],
        [1.0, 0.4, -0.6, 0.2, 0.8, -1.3, 0.5, 0.1],
    ];

    fn activation(unit: &Unit, x: f32) -> (f64, f64) {
        let sum = unit.slope * f64::from(x) + unit.offset;
        let slope = if sum > 0.0 { 1.0 } else { LEAK };
        (slope * sum, slope)
    }

    #[test]
    fn outputs_are_the_sum_of_the_units() {
        let hinges = Hinges::new(units(), [0.25, -0.5]);
        for x in POINTS {
            let sum = units().iter().fold([0.25, -0.5], |sum, unit| {
                [0, 1].map(|k| sum[k] + unit.weights[k] * activation(unit, x).0)
            });
            let value = hinges.value(x);
            for k in [0, 1] {
                assert!(
                    (f64::from(value[k]) - sum[k]).abs() < 1e-5,
                    "{x}: {value:?}, {sum:?}"
                );
            }
        }
    }

    #[test]
    fn derivatives_are_sums_over_units_and_points() {
        let (slopes, constants) =
            Hinges::new(units(), [0.0; 2]).pull(&POINTS, [&COTANGENTS[0], &COTANGENTS[1]]);
        for k in [0, 1] {
            let total: f64 = COTANGENTS[k].iter().map(|&c| f64::from(c)).sum();
            assert!((constants[k] - total).abs() < 1e-12);
        }
        for (unit, found) in units().iter().zip(slopes) {
            let mut right = UnitSlopes::default();
            for (i, &x) in POINTS.iter().enumerate() {
                let (height, slope) = activation(unit, x);
                for k in [0, 1] {
                    let cotangent = f64::from(COTANGENTS[k][i]);
                    right.slope += cotangent * unit.weights[k] * slope * f64::from(x);
                    right.offset += cotangent * unit.weights[k] * slope;
                    right.weights[k] += cotangent * height;
                }
            }
            for (found, right) in [
                (found.slope, right.slope),
                (found.offset, right.offset),
                (found.weights[0], right.weights[0]),
                (found.weights[1], right.weights[1]),
            ] {
                assert!(
                    (found - right).abs() < 1e-9 * right.abs().max(1.0),
                    "{found} for {right}"
                );
            }
        }
    }

    #[test]
    fn numbers_that_are_none_are_passed_on() {
        let broken = Unit {
            slope: 1.0,
            offset: f64::NAN,
            weights: [1.0, 1.0],
        };
        assert!(Hinges::new(vec![broken], [0.0; 2]).value(1.0)[0].is_nan());
        assert!(Hinges::new(units(), [0.0; 2]).value(f32::NAN)[0].is_nan());
    }
}

//! How far the arguments of a cost's kinks have moved.

use crate::error::Result;
use crate::tensor::{Device, Rounding, Shape, Tensor};

/// Running means of |ẋ| for the arguments x of a cost's kinks, in the order in which an evaluation
/// meets them. They come from past evaluations alone, so that the widths of the kinks' rounding are
/// constants in the current one.
#[derive(Debug, Default)]
pub(super) struct Kinks(Vec<Kink>);

/// One kink: weighted sums, one for each number of a row or a single one, and their weight.
#[derive(Debug)]
struct Kink {
    sums: Vec<f64>,
    weight: f64,
}

impl Kinks {
    /// A memory of a hundred evaluations.
    const DECAY: f64 = 0.99;

    /// The rounding of the next evaluation, whose tensors start with these rows.
    pub(super) fn rounding(&self, rows: Shape, device: &Device) -> Result<Rounding> {
        let known = self.0.iter().map(|Kink { sums, weight }| {
            let means: Vec<f32> = sums.iter().map(|sum| (sum / weight) as f32).collect();
            let len = means.len();
            Tensor::from_vec(means, len, device)
        });
        Ok(Rounding::new(rows, known.collect::<Result<_>>()?))
    }

    /// Takes in what an evaluation has met.
    pub(super) fn learn(&mut self, met: &[Tensor]) -> Result<()> {
        self.0.truncate(met.len());
        for (place, moved) in met.iter().enumerate() {
            let moved = moved.peek()?;
            let fits = |kink: &&mut Kink| kink.sums.len() == moved.len();
            match self.0.get_mut(place).filter(fits) {
                // Nothing can be learned from what has overflowed.
                _ if moved.iter().any(|x| !x.is_finite()) => {}
                Some(kink) => kink.learn(&moved),
                None => {
                    let mut kink = Kink {
                        sums: vec![0.0; moved.len()],
                        weight: 0.0,
                    };
                    kink.learn(&moved);
                    self.0.truncate(place);
                    self.0.push(kink);
                }
            }
        }
        Ok(())
    }

    /// What was learned, to be saved: the number of kinks, and for each the length, the weight, and
    /// the sums.
    pub(super) fn state(&self) -> Vec<f64> {
        let mut state = vec![self.0.len() as f64];
        for Kink { sums, weight } in &self.0 {
            state.extend([sums.len() as f64, *weight]);
            state.extend(sums);
        }
        state
    }

    /// Restores saved numbers, and returns those left over, too; `None` if there are too few.
    pub(super) fn restored(saved: &[f64]) -> Option<(Self, &[f64])> {
        let (count, mut rest) = saved.split_first()?;
        let mut kinks = Vec::new();
        for _ in 0..*count as usize {
            let [len, weight, after @ ..] = rest else {
                return None;
            };
            let (sums, after) = after.split_at_checked(*len as usize)?;
            kinks.push(Kink {
                sums: sums.to_vec(),
                weight: *weight,
            });
            rest = after;
        }
        Some((Self(kinks), rest))
    }
}

impl Kink {
    fn learn(&mut self, moved: &[f32]) {
        let share = 1.0 - Kinks::DECAY;
        self.weight += share * (1.0 - self.weight);
        for (sum, &x) in self.sums.iter_mut().zip(moved) {
            *sum += share * (f64::from(x) - *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(moved: &[&[f32]]) -> Vec<Tensor> {
        moved
            .iter()
            .map(|moved| Tensor::from_slice(moved))
            .collect()
    }

    fn means(kinks: &Kinks) -> Vec<Vec<f64>> {
        let mean = |kink: &Kink| kink.sums.iter().map(|sum| sum / kink.weight).collect();
        kinks.0.iter().map(mean).collect()
    }

    #[test]
    fn means_are_right_from_the_first_evaluation() -> Result<()> {
        let mut kinks = Kinks::default();
        kinks.learn(&met(&[&[2.0, 4.0], &[1.0]]))?;
        for (found, expected) in means(&kinks).concat().iter().zip([2.0, 4.0, 1.0]) {
            assert!((found - expected).abs() < 1e-9);
        }
        kinks.learn(&met(&[&[4.0, f32::NAN], &[2.0]]))?;
        assert_eq!(means(&kinks)[0].len(), 2, "what is not finite is left out");
        assert!((means(&kinks)[0][1] - 4.0).abs() < 1e-9);
        assert!((means(&kinks)[1][0] - 1.0 - 1.0 / 1.99).abs() < 1e-9);
        Ok(())
    }

    #[test]
    fn kinks_that_come_and_go_start_anew() -> Result<()> {
        let mut kinks = Kinks::default();
        kinks.learn(&met(&[&[2.0], &[1.0, 3.0]]))?;
        kinks.learn(&met(&[&[2.0, 5.0]]))?;
        assert_eq!(means(&kinks).len(), 1);
        assert!((means(&kinks)[0][1] - 5.0).abs() < 1e-9);
        kinks.learn(&[])?;
        assert!(means(&kinks).is_empty());
        Ok(())
    }

    #[test]
    fn they_go_on_from_their_state() -> Result<()> {
        let mut kinks = Kinks::default();
        kinks.learn(&met(&[&[2.0, 4.0], &[1.0]]))?;
        let mut saved = kinks.state();
        saved.push(7.0);
        let (restored, rest) = Kinks::restored(&saved).expect("all of it");
        assert_eq!((restored.state(), rest), (kinks.state(), &[7.0][..]));
        assert!(Kinks::restored(&saved[..4]).is_none());
        Ok(())
    }
}

//! Counting through all combinations of a program's discrete choices.

use std::cell::RefCell;
use std::fmt;

use crate::dist::{Draws, Law};
use crate::error::{Error, Result};
use crate::estimator::MOST_VALUES;
use crate::random::{Key, Stream};
use crate::tensor::Tensor;

/// Counts through every combination of the values of a program's discrete choices; the values of earlier choices may
/// decide which later ones there are. Values of probability 0 are left out.
#[derive(Debug)]
pub struct Odometer {
    wheels: RefCell<Wheels>,
    probe: RefCell<Option<Probe>>,
    /// Whether all rows of a plate take the same values, so that there is one combination per row.
    in_step: bool,
    /// Number of runs beyond which enumeration is refused.
    largest: usize,
    refusal: RefCell<Option<Refusal>>,
}

/// A run at random values. The probability of such a run is one over the product of its choices' numbers of values, so
/// that the expected product is the number of combinations (Knuth 1975, "Estimating the efficiency of backtrack
/// programs").
#[derive(Debug)]
struct Probe {
    stream: Stream,
    product: usize,
}

/// Why a program cannot be enumerated.
#[derive(Clone, Debug)]
pub(in crate::infer) enum Refusal {
    /// It has more combinations than this.
    TooMany(usize),
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(largest) => {
                write!(
                    f,
                    "the program has more than {largest} combinations of discrete values"
                )
            }
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// The digits behind an [`Odometer`].
#[derive(Debug, Default)]
pub(in crate::infer) struct Wheels {
    digits: Vec<usize>,
    sizes: Vec<usize>,
    at: usize,
    combinations: usize,
    /// Digits still to come on the existing wheels: each is at least one combination.
    ahead: usize,
}

/// Default maximum number of runs: more would take too long.
pub(in crate::infer) const LARGEST: usize = MOST_VALUES;

/// Number of combinations after which the total is estimated.
const FIRST: usize = 128;

impl Odometer {
    /// At most `largest` combinations; `in_step` has all rows of a plate take the same values.
    pub(in crate::infer) fn new(in_step: bool, largest: usize) -> Self {
        Self {
            wheels: RefCell::default(),
            probe: RefCell::default(),
            in_step,
            largest,
            refusal: RefCell::default(),
        }
    }

    /// Why the program cannot be enumerated, once that has come up.
    pub(in crate::infer) fn refusal(&self) -> Option<Refusal> {
        self.refusal.borrow().clone()
    }

    fn refuse(&self, why: Refusal, otherwise: &str) -> Error {
        let message = format!("{why}; {otherwise}");
        *self.refusal.borrow_mut() = Some(why);
        Error::Enumeration(message)
    }

    fn too_many(&self) -> Error {
        self.refuse(Refusal::TooMany(self.largest), "use `Svi` instead")
    }

    /// The value of the next choice, in this many plates, in the current combination.
    pub(in crate::infer) fn choose(&self, law: &dyn Law, plates: usize) -> Result<Tensor> {
        let parameter = law.parameters().remove(0);
        let shape = parameter.check()?.shape();
        let refuse = |what: &str| {
            Err(self.refuse(
                Refusal::Other(format!("{} {what}", law.name())),
                "only programs whose random choices are all discrete can be enumerated",
            ))
        };
        let relaxation = match law.draws() {
            Draws::Discrete(Some(relaxation)) => relaxation,
            Draws::Discrete(None) => return refuse("has no relaxation to list its values"),
            Draws::Pathwise | Draws::Opaque => return refuse("is continuous"),
        };
        let width = relaxation.width(&shape);
        let Some(values) = relaxation.values(width) else {
            return refuse("has no last value, or more than can be listed");
        };
        if values > self.largest {
            return Err(self.too_many());
        }
        let vertices = relaxation.vertices(width);
        let events = shape.numel() / width.max(1);
        let rows = match self.in_step {
            true => shape[..plates.min(shape.rank())].iter().product(),
            false => 1,
        };
        let excluded = law.excluded()?;
        let allowed = |event| allowed(excluded.as_deref(), vertices.len(), events / rows, event);
        let values: Vec<Vec<usize>> = (0..events / rows).map(allowed).collect();
        let counts = values.iter().map(Vec::len);
        let size = counts.fold(1, usize::saturating_mul);
        if size > self.largest {
            return Err(self.too_many());
        }
        let mut digit = self.next_digit(size)?;
        let mut row = Vec::with_capacity(shape.numel() / rows);
        for values in &values {
            row.extend_from_slice(&vertices[values[digit % values.len()]]);
            digit /= values.len();
        }
        let values = row.repeat(rows);
        Ok(law.value_at(&Tensor::from_vec(values, shape, &parameter.device())?))
    }

    fn next_digit(&self, size: usize) -> Result<usize> {
        if let Some(probe) = &mut *self.probe.borrow_mut() {
            probe.product = probe.product.saturating_mul(size);
            // A run without end would go on until it is far beyond any limit.
            return match probe.product == usize::MAX {
                true => Err(Error::Enumeration("too many combinations".into())),
                false => Ok(probe.stream.below(size)),
            };
        }
        let mut wheels = self.wheels.borrow_mut();
        let digit = wheels.next_digit(size);
        match wheels.at_least() > self.largest {
            true => Err(self.too_many()),
            false => Ok(digit),
        }
    }

    /// Moves on to the next combination; false after the last. `run` runs the program: after the first combinations it
    /// is called several times to estimate how many are still to come.
    ///
    /// # Errors
    /// If there are certainly too many, or any error from the program.
    pub(in crate::infer) fn advance(&self, run: &mut dyn FnMut() -> Result<()>) -> Result<bool> {
        let more = self.wheels.borrow_mut().advance();
        if more && self.combinations() == FIRST && self.largest > FIRST {
            self.probe(run)?;
        }
        Ok(more)
    }

    /// Refuses a program if random runs show that it has too many combinations. One with no more than are allowed is
    /// refused wrongly with a probability below 10⁻³: by Markov's inequality 4⁻¹⁶ for the least of the estimates, and
    /// 2⁻¹⁰ for their mean.
    #[cold]
    fn probe(&self, run: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        const PROBES: u64 = 16;
        let (mut least, mut sum) = (usize::MAX, 0_usize);
        for step in 0..PROBES {
            let key = Key {
                step,
                ..Key::new(0)
            };
            *self.probe.borrow_mut() = Some(Probe {
                stream: key.stream("combinations"),
                product: 1,
            });
            let ran = run();
            let probe = self.probe.borrow_mut().take();
            let product = probe.map_or(1, |probe| probe.product);
            if product < usize::MAX {
                ran?;
            }
            least = least.min(product);
            sum = sum.saturating_add(product / PROBES as usize);
        }
        if least / 4 > self.largest || sum / 1024 > self.largest {
            return Err(self.too_many());
        }
        Ok(())
    }

    /// Number of combinations so far.
    pub(in crate::infer) fn combinations(&self) -> usize {
        self.wheels.borrow().combinations
    }

    /// Goes back to before the first combination.
    pub(in crate::infer) fn restart(&self) {
        self.wheels.borrow_mut().reset();
    }
}

/// The values of an event that are not excluded in every row; there is at least one, as probabilities add up to one.
fn allowed(excluded: Option<&[bool]>, values: usize, events: usize, event: usize) -> Vec<usize> {
    let Some(excluded) = excluded else {
        return (0..values).collect();
    };
    let mut possible = vec![false; values];
    for row in excluded.chunks(events * values) {
        let here = &row[event * values..][..values];
        possible.iter_mut().zip(here).for_each(|(p, x)| *p |= !x);
    }
    (0..values).filter(|&value| possible[value]).collect()
}

impl Wheels {
    /// The next digit of the current combination, from a wheel of this size.
    pub(in crate::infer) fn next_digit(&mut self, size: usize) -> usize {
        if self.at == self.digits.len() {
            self.digits.push(0);
            self.sizes.push(size);
            self.ahead += size - 1;
        }
        self.at += 1;
        self.digits[self.at - 1]
    }

    /// A lower bound on the number of combinations, as far as the current one has come: this detects a program that
    /// goes on forever at one of them.
    pub(in crate::infer) fn at_least(&self) -> usize {
        self.combinations + 1 + self.ahead
    }

    /// The digits of the current combination.
    pub(in crate::infer) fn digits(&self) -> &[usize] {
        &self.digits[..self.at]
    }

    /// Moves on to the next combination; false after the last.
    pub(in crate::infer) fn advance(&mut self) -> bool {
        self.combinations += 1;
        while self.digits.len() > self.at {
            self.drop_last();
        }
        self.at = 0;
        while let (Some(digit), Some(size)) = (self.digits.last_mut(), self.sizes.last()) {
            if *digit + 1 < *size {
                *digit += 1;
                self.ahead -= 1;
                return true;
            }
            self.drop_last();
        }
        false
    }

    fn drop_last(&mut self) {
        if let (Some(digit), Some(size)) = (self.digits.pop(), self.sizes.pop()) {
            self.ahead -= size - 1 - digit;
        }
    }

    /// Number of combinations so far.
    pub(in crate::infer) fn combinations(&self) -> usize {
        self.combinations
    }

    /// Starts anew.
    pub(in crate::infer) fn reset(&mut self) {
        self.digits.clear();
        self.sizes.clear();
        (self.at, self.combinations, self.ahead) = (0, 0, 0);
    }
}

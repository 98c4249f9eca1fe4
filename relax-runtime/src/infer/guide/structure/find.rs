//! Finds which earlier choices a choice depends on, by running the model.
//!
//! Each choice in turn is changed while all others stay. The terms of the model (log-densities and costs) that change
//! with it are those that it shares; choices that share a term are dependent. Summing the choices out from the last to
//! the first joins those that a choice leaves behind, as in variable elimination (Koller and Friedman 2009, section
//! 9.3). For each choice, this leaves the earlier ones on which the posterior's own conditional depends. A dependence
//! that shows at none of the states looked at is missed: the guide is then a little less flexible, but just as valid.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Follows, Parent, Structure, Values};
use crate::dist::{Draws, Form, Law, Value};
use crate::error::Result;
use crate::infer::draw::run_under;
use crate::model::{Entry, Interpreter, Kind, Message, ParamStore, Plate, Program, Trace};
use crate::random::Key;
use crate::tensor::{MAX_RANK, Tensor};

/// More choices than this are not looked at one by one.
const MOST_CHOICES: usize = 128;
/// Number of states of the others at which each choice is changed.
const STATES: u64 = 3;
/// The maximum of the same, including states on other paths.
const MOST_STATES: usize = 12;
/// Maximum number of rows of a table by the values of earlier choices, and of numbers in a table.
const MOST_ROWS: usize = 64;
const MOST_NUMBERS: usize = 1 << 16;

/// A run, and the laws from which its choices were drawn.
type Run = (Trace, LawsMet);

/// What a model's choices depend on.
///
/// # Errors
/// Any error from the model.
pub(super) fn find(model: &dyn Program, params: &ParamStore) -> Result<Structure> {
    let mut graph = Graph::default();
    let mut states: Vec<(Key, Run)> = Vec::new();
    for step in 0..STATES {
        let key = Key {
            seed: 0,
            step,
            particle: u64::MAX,
        };
        states.push((key, look(model, params, key, Given::default())?));
    }
    // Choices on other paths appear when a choice is changed, and are looked at in turn.
    let mut at = 0;
    while at < states.len() && at < MOST_STATES {
        let (key, (before, laws)) = &states[at];
        let key = *key;
        let choices: Vec<&Entry> = before.entries().iter().filter(|e| is_choice(e)).collect();
        if choices.len() > MOST_CHOICES {
            let why = format!("more than {MOST_CHOICES} choices are not looked at one by one");
            return Ok(Structure::unknown(why));
        }
        for choice in &choices {
            if let Some(law) = laws.get(&*choice.name) {
                graph.meet(choice, &**law)?;
            }
        }
        let values: FxHashMap<String, Tensor> = choices
            .iter()
            .map(|choice| Ok((choice.name.to_string(), choice.value.to_tensor()?)))
            .collect::<Result<_>>()?;
        let mut others = Vec::new();
        for choice in &choices {
            let given = Given {
                values: values.clone(),
                changed: Some(choice.name.to_string()),
                ..Given::default()
            };
            // A state that is impossible under the model tells nothing.
            if let Ok(after) = look(model, params, key, given) {
                graph.compare(&choice.name, before, &after.0);
                graph.see_laws(&after)?;
                let mut found = after.0.entries().iter().filter(|e| is_choice(e));
                if found.any(|choice| !graph.knows(&choice.name)) {
                    others.push((key, after));
                }
            }
        }
        states.extend(others);
        at += 1;
    }
    Ok(graph.structure())
}

/// Whether an entry is a choice made by a guide.
fn is_choice(entry: &Entry) -> bool {
    entry.kind == Kind::Latent && !entry.hidden && entry.dist.is_some()
}

/// Another value of a choice: the next one if there are few, or a draw.
fn other_value(law: &dyn Law, value: &Tensor, name: &str, key: Key) -> Result<Tensor> {
    /// Number of draws made until one differs.
    const TRIES: usize = 8;
    if let Draws::Discrete(Some(relaxation)) = law.draws() {
        let vertex = law.to_vertex(value);
        let values = relaxation.values_and_events(&vertex.check()?.shape()).0;
        if values <= MOST_ROWS {
            let by = 1 + key.step as usize % values.saturating_sub(1).max(1);
            let by = Tensor::full([], by as f32, &vertex.device());
            return Ok(law.value_at(&relaxation.shifted(&vertex, &by)).detach());
        }
    }
    let mut stream = key.stream(&format!("{name}/other"));
    let mut other = value.clone();
    for _ in 0..TRIES {
        other = law.draw(&law.noise(&mut stream)?).detach();
        if other.peek()? != value.peek()? {
            break;
        }
    }
    Ok(other)
}

/// Whether a law gives a value probability 0: no guide draws it, and a model may rely on that.
fn is_excluded(law: &dyn Law, value: &Tensor) -> Result<bool> {
    let density = law.log_density(value);
    density.with_values(|density| density.contains(&f32::NEG_INFINITY))
}

/// The laws that a run has met, by the names of their sites.
type LawsMet = FxHashMap<String, Rc<dyn Law>>;

/// Runs a model with given values.
fn look(model: &dyn Program, params: &ParamStore, key: Key, given: Given) -> Result<Run> {
    let given = Rc::new(given);
    let (trace, _) = run_under(&given, model, key, params)?;
    Ok((trace, given.laws.take()))
}

/// Gives choices their values, one of them changed; others are drawn.
#[derive(Default)]
struct Given {
    values: FxHashMap<String, Tensor>,
    changed: Option<String>,
    laws: RefCell<LawsMet>,
}

impl Interpreter for Given {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if message.value.is_some() {
            return Ok(());
        }
        let (law, name) = (message.law()?, &**message.full_name);
        self.laws
            .borrow_mut()
            .insert(name.to_owned(), Rc::clone(&law));
        if let Some(value) = self.values.get(name) {
            let value = match self.changed.as_deref() == Some(name) {
                true => other_value(&*law, value, name, message.key)?,
                false => value.clone(),
            };
            let possible = !is_excluded(&*law, &value)?;
            if possible && message.give(&Value::Tensor(value)).is_ok() {
                return Ok(());
            }
        }
        let noise = law.noise(&mut message.key.stream(message.name))?;
        message.value = Some(Value::Tensor(law.draw(&noise).check()?.detach()));
        Ok(())
    }
}

/// Whether a choice's guide cannot start from its law as it is, or follows the law's numbers.
fn is_moved(entry: &Entry, law: &dyn Law) -> Result<bool> {
    const NOTHING: f64 = 1e-3;
    if !law.draws().are_discrete() || entry.weight.is_some() {
        return Ok(true);
    }
    let value = entry.value.to_tensor()?;
    let guide = law.mean_field();
    let density = |law: &dyn Law| law.log_density(&value).sum_all().peek_item().map(f64::from);
    let apart = density(&*guide.law(&guide.first_values()?)?)? - density(law)?;
    Ok(apart.abs() > NOTHING)
}

/// The choices that have been met, and the terms that they share.
#[derive(Default)]
struct Graph {
    places: FxHashMap<String, usize>,
    choices: Vec<Seen>,
    /// For each term the choices that change it.
    terms: FxHashMap<String, BTreeSet<usize>>,
}

/// A choice as it was met.
struct Seen {
    parent: Parent,
    /// The rank of its guide's parameters.
    rank: usize,
    plates: Rc<[Plate]>,
    /// The number of its guide's parameters.
    free: usize,
    /// Whether its guide cannot start from its law as it is, or follows the law's numbers: its law's own dependences
    /// then count like any others.
    is_moved: bool,
    numbers: Vec<f32>,
}

impl Graph {
    fn knows(&self, choice: &str) -> bool {
        self.places.contains_key(choice)
    }

    /// Looks at the laws of the choices of a run that are known.
    fn see_laws(&mut self, (trace, laws): &Run) -> Result<()> {
        for entry in trace.entries().iter().filter(|entry| is_choice(entry)) {
            if let (Some(&place), Some(law)) =
                (self.places.get(&*entry.name), laws.get(&*entry.name))
            {
                self.choices[place].is_moved |= is_moved(entry, &**law)?;
            }
        }
        Ok(())
    }

    fn meet(&mut self, entry: &Entry, law: &dyn Law) -> Result<()> {
        let value = entry.value.to_tensor()?;
        let rows: usize = entry.plates.iter().map(|plate| plate.size).product();
        let a_row = |numbers: usize| numbers / rows.max(1);
        let values = match law.relaxation().map(|relaxation| relaxation.form()) {
            Some(Form::Coins) => Values::Coins,
            // Several categorical choices at one site are followed by their numbers.
            Some(Form::Categories) => {
                let vertex = law.to_vertex(&value).check()?.shape();
                match vertex.last() == Some(&a_row(vertex.numel())) {
                    true => Values::Category,
                    false => Values::Numbers,
                }
            }
            _ => Values::Numbers,
        };
        let numbers = values.of(law, &value).detach().peek()?;
        let guide = law.mean_field();
        let is_moved = is_moved(entry, law)?;
        if let Some(&place) = self.places.get(&*entry.name) {
            let seen = &mut self.choices[place];
            seen.is_moved |= is_moved;
            seen.numbers.extend(numbers);
            return Ok(());
        }
        let numbers_a_row = a_row(numbers.len());
        self.places
            .insert(entry.name.to_string(), self.choices.len());
        self.choices.push(Seen {
            parent: Parent {
                name: entry.name.to_string(),
                values,
                numbers: numbers_a_row,
                is_host: !matches!(entry.value, Value::Tensor(_)),
                centre: Tensor::scalar(0.0),
                spread: Tensor::scalar(1.0),
            },
            rank: guide
                .parts()
                .iter()
                .map(|part| part.shape().rank())
                .max()
                .unwrap_or(0),
            plates: Rc::clone(&entry.plates),
            free: guide.parts().iter().map(|part| part.shape().numel()).sum(),
            is_moved,
            numbers,
        });
        Ok(())
    }

    /// Notes the terms of a run that changed with a choice.
    fn compare(&mut self, changed: &str, before: &Trace, after: &Trace) {
        let Some(&place) = self.places.get(changed) else {
            return;
        };
        let names = before.entries().iter().chain(after.entries());
        let names: FxHashSet<&str> = names.map(|entry| &*entry.name).collect();
        for name in names {
            let term = |trace: &Trace| trace.find(name).and_then(term_of).map(f64::to_bits);
            if term(before) != term(after) {
                self.terms.entry(name.to_owned()).or_default().insert(place);
            }
        }
    }

    /// Sums the choices out, from the last to the first.
    fn structure(mut self) -> Structure {
        for seen in &mut self.choices {
            seen.standardise();
        }
        // Terms other than choices, and the laws of choices.
        let mut own: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); self.choices.len()];
        let mut scopes: Vec<BTreeSet<usize>> = Vec::new();
        for (name, mut scope) in std::mem::take(&mut self.terms) {
            match self.places.get(&name) {
                Some(&place) => {
                    scope.remove(&place);
                    own[place] = scope;
                }
                None => scopes.push(scope),
            }
        }
        let mut sites = FxHashMap::default();
        for place in (0..self.choices.len()).rev() {
            let (mut with, without): (Vec<_>, Vec<_>) =
                scopes.into_iter().partition(|scope| scope.contains(&place));
            scopes = without;
            let mut parents: BTreeSet<usize> = with.drain(..).flatten().collect();
            // The laws of later choices have been summed out; what is left of them is in `scopes`.
            parents.remove(&place);
            let stated: BTreeSet<usize> =
                own[place].iter().copied().filter(|&p| p < place).collect();
            let left: BTreeSet<usize> = parents.union(&stated).copied().collect();
            let any = !left.is_empty();
            if self.choices[place].is_moved {
                parents.extend(&stated);
            }
            scopes.push(left);
            let follows = Follows {
                any,
                is_host: self.choices[place].parent.is_host,
                ..self.follows(place, &parents)
            };
            sites.insert(self.choices[place].parent.name.clone(), follows);
        }
        let any = sites.values().any(|follows: &Follows| follows.any);
        Structure {
            sites,
            others: Follows {
                any,
                ..Follows::default()
            },
            unknown: None,
            looks: 1,
        }
    }

    /// The latest discrete choices in a table, as far as it goes, the others by their numbers.
    fn follows(&self, place: usize, parents: &BTreeSet<usize>) -> Follows {
        let child = &self.choices[place];
        let within = |parent: &Seen| {
            let mut pairs = parent.plates.iter().zip(&*child.plates);
            parent.plates.len() <= child.plates.len() && pairs.all(|(a, b)| a.same_rows(b))
        };
        let (mut rows, mut follows) = (1_usize, Follows::default());
        // A table needs an axis of its own, and pairs of values two.
        let has_room = child.rank < MAX_RANK && child.plates.len() + 2 <= MAX_RANK;
        for &parent in parents.iter().rev() {
            let seen = &self.choices[parent];
            if !has_room || !within(seen) {
                continue;
            }
            let more = rows.saturating_mul(seen.parent.rows().unwrap_or(usize::MAX));
            if more <= MOST_ROWS && more.saturating_mul(child.free) <= MOST_NUMBERS {
                rows = more;
                follows.table.push(seen.parent.clone());
            } else if seen.parent.numbers.saturating_mul(child.free) <= MOST_NUMBERS {
                follows.lines.push(seen.parent.clone());
            }
        }
        let followed: usize = follows.numbers().map(|parent| parent.numbers).sum();
        follows.slopes = followed * child.free;
        follows
    }
}

impl Seen {
    /// Finds where its numbers are, unless they form a vertex.
    fn standardise(&mut self) {
        if self.parent.values != Values::Numbers || self.numbers.is_empty() {
            return;
        }
        let count = self.numbers.len() as f32;
        let mean = self.numbers.iter().sum::<f32>() / count;
        let square = self.numbers.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count;
        self.parent.centre = Tensor::scalar(mean);
        self.parent.spread = Tensor::scalar(match square.sqrt() {
            spread if spread > 0.0 && spread.is_finite() => spread,
            _ => 1.0,
        });
    }
}

/// What an entry adds to the model's log-probability or cost, if anything.
fn term_of(entry: &Entry) -> Option<f64> {
    match entry.kind {
        Kind::Param => None,
        Kind::Cost | Kind::Factor => match &entry.value {
            Value::Real(x) => Some(*x),
            other => other.peek_f64s().ok().map(|numbers| numbers.iter().sum()),
        },
        Kind::Latent | Kind::Observed => entry.weighted_log_prob().ok(),
    }
}

//! Runs programs at posterior draws, for new data and new sites.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::column::Column;
use super::draws::{Draws, expect_some};
use super::record::{categories, support};
use super::weights::Weights;
use crate::dist::{Law, Value};
use crate::error::{Error, Result};
use crate::infer::draw::run_under;
use crate::model::{Entry, Interpreter, Kind, Message, ParamStore, Program, Trace};
use crate::random::{Key, Stream};
use crate::tensor::{Shape, Tensor};

/// Gives sites the values they have in a draw; other sites draw from their own distributions.
pub(super) struct Recall(BTreeMap<String, Value>);

impl Interpreter for Recall {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        match (&message.value, self.0.get(message.name)) {
            (None, Some(value)) if !message.hidden => message.give(value),
            _ => Ok(()),
        }
    }
}

/// Runs a program at a draw, of which it takes these columns; returns its trace and the values given to it.
pub(super) fn run_at(
    draws: &Draws,
    at: usize,
    gives: impl Fn(&Column) -> bool,
    program: &dyn Program,
    params: &ParamStore,
    key: Key,
) -> Result<(Trace, Rc<Recall>)> {
    let columns = draws.columns.iter().filter(|column| gives(column));
    let values = columns.filter_map(|c| Some((c.name.clone(), c.value(at)?.clone())));
    let recall = Rc::new(Recall(values.collect()));
    let (trace, _) = run_under(&recall, program, key, params)?;
    Ok((trace, recall))
}

impl Draws {
    /// Runs a program `n` times at these draws: each run takes the values of one draw for the sites of the same names,
    /// and draws the others. The result has the observed sites, drawn from their distributions (the posterior
    /// predictive distribution), and the `sample!` sites that the draw lacks. So the model itself gives data like its
    /// own, and another program with the same latent names gives predictions. Inputs of the program, such as an earlier
    /// observation, are taken as they are.
    ///
    /// Rows are known by their site's name and their number alone. New rows, as many as those that were fitted, take
    /// the values of these, such as their components in a mixture; another number of rows in a plate is an error. In a
    /// loop every round has sites of its own: those that the draw has take its values, and further ones are drawn, as
    /// in a series that goes on. To draw a site anew although its name is the same, hide it with
    /// [`block`](crate::model::block).
    ///
    /// Parameters are those that were trained.
    ///
    /// Draws of equal weight are taken in turn, evenly spread if there are more than `n`, weighted draws by
    /// [`resample`](Self::resample).
    ///
    /// ```
    /// use relax_runtime::prelude::*;
    ///
    /// #[model]
    /// fn tosses(heads: &[bool]) {
    ///     let biased = sample!(Bernoulli(0.5));
    ///     for &toss in heads {
    ///         observe!(Bernoulli(if biased { 0.9 } else { 0.5 }), toss);
    ///     }
    /// }
    ///
    /// #[model]
    /// fn next() {
    ///     let biased = sample!(Bernoulli(0.5));
    ///     let heads = sample!(Bernoulli(if biased { 0.9 } else { 0.5 }));
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let posterior = exact_posterior(&tosses(&[true; 3]))?;
    /// let predicted = posterior.predictive(&next(), &ParamStore::default(), 20_000, 1)?;
    /// let biased = posterior.mean("biased")?;
    /// let wanted = 0.9 * biased + 0.5 * (1.0 - biased);
    /// assert!((predicted.mean("heads")? - wanted).abs() < 0.02);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// New rows of a mixture, whose components are not those of the rows that were fitted:
    ///
    /// ```
    /// use relax_runtime::prelude::*;
    ///
    /// /// One row in ten is high.
    /// #[model]
    /// fn rows(x: &Tensor) {
    ///     plate!(x.rows() => {
    ///         let is_high = sample!(Bernoulli(Tensor::full(x.rows(), 0.1, &Device::cpu())));
    ///         observe!(Normal(&is_high * 10.0, 1.0), x);
    ///     })
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let x = Tensor::from_slice(&[10.2, 9.7]);
    /// let (posterior, params) = (exact_posterior(&rows(&x))?, ParamStore::default());
    /// // Both rows are high, and so are data like them.
    /// let again = posterior.predictive(&rows(&x), &params, 1_000, 1)?;
    /// assert!((again.means("x")?[0] - 10.0).abs() < 0.3);
    /// let new = block(rows(&x), |name| name == "is_high");
    /// let predicted = posterior.predictive(&new, &params, 4_000, 1)?;
    /// assert!((predicted.means("x")?[0] - 1.0).abs() < 0.4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If `n` is 0, if only single sites are known and there are no draws, or whatever goes wrong in the program; a
    /// draw's value that a site cannot take is an error at the site.
    /// [`Error::UnknownParameter`](crate::Error::UnknownParameter) for a parameter of the program that is not among
    /// `params`, if there are any, unless a choice decides whether it is reached.
    pub fn predictive(
        &self,
        program: &dyn Program,
        params: &ParamStore,
        n: usize,
        seed: u64,
    ) -> Result<Draws> {
        expect_some("predictive draws", n)?;
        let draws = match (&self.weights, self.count) {
            (Weights::Equal, 1..) => self.cycled(n),
            _ => self.resample(n, seed)?,
        };
        let params = params.as_trained();
        let mut columns = Columns::default();
        for draw in 0..n {
            let key = predictive_key(seed, draw);
            let (trace, recall) = run_at(&draws, draw, |_| true, program, &params, key)?;
            for entry in trace.entries() {
                match entry.kind {
                    Kind::Observed => columns.add(draw, entry, drawn_anew(entry, key)?)?,
                    Kind::Latent if !given(&recall, entry) => {
                        columns.add(draw, entry, kept(&entry.value))?;
                    }
                    _ => {}
                }
            }
        }
        Ok(Self::of_equal(columns.all, n))
    }
}

/// The observed values of a program at the first of the draws.
pub(super) fn observed(draws: &Draws, program: &dyn Program, params: &ParamStore) -> Result<Draws> {
    draws.expect_whole_draws()?;
    let (trace, _) = run_at(
        draws,
        0,
        |_| true,
        program,
        &params.as_trained(),
        predictive_key(0, 0),
    )?;
    let mut columns = Columns::default();
    for entry in trace.entries() {
        if entry.kind == Kind::Observed {
            columns.add(0, entry, kept(&entry.value))?;
        }
    }
    Ok(Draws::of_equal(columns.all, 1))
}

/// The random-number key of run `draw`.
pub(super) fn predictive_key(seed: u64, draw: usize) -> Key {
    /// A particle number that nothing else uses.
    const PREDICTIVE: u64 = u64::MAX;
    Key {
        seed,
        step: draw as u64,
        particle: PREDICTIVE,
    }
}

/// Whether a site has its value from the draw.
pub(super) fn given(recall: &Recall, entry: &Entry) -> bool {
    !entry.hidden && recall.0.contains_key(&*entry.name)
}

/// Sites so far.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) all: Vec<Column>,
    by_name: BTreeMap<String, usize>,
}

impl Columns {
    /// Adds a value drawn from a site's distribution.
    fn add(&mut self, draw: usize, entry: &Entry, value: Value) -> Result<()> {
        let is_new = !self.by_name.contains_key(&*entry.name);
        let column = self.of(&entry.name);
        if let Some(dist) = &entry.dist
            && (is_new || column.lacks(&value)?)
        {
            let law = dist.law()?;
            // Several rows that share one law's parameters are several choices.
            let elements = value.shape().numel();
            let single = |values: &Vec<Vec<f64>>| values.iter().all(|v| v.len() == elements);
            let values = Some(support(&*law)?).filter(|values| !values.is_empty());
            column.take_up(categories(&*law), values.filter(single), is_new);
        }
        column.push(draw, value);
        Ok(())
    }

    /// The site of this name.
    pub(super) fn of(&mut self, name: &str) -> &mut Column {
        let all = &mut self.all;
        let at = self.by_name.entry(name.to_owned()).or_insert_with(|| {
            all.push(Column::new(name.to_owned(), None));
            all.len() - 1
        });
        &mut all[*at]
    }
}

/// A value that is kept beyond its run.
fn kept(value: &Value) -> Value {
    match value {
        Value::Tensor(t) => Value::Tensor(t.kept()),
        host => host.clone(),
    }
}

/// Draws from an observed site's distribution a value of the observed value's shape.
fn drawn_anew(entry: &Entry, key: Key) -> Result<Value> {
    let Some(dist) = &entry.dist else {
        return Ok(kept(&entry.value));
    };
    let draw = || {
        let mut stream = key.stream(&entry.name);
        if dist.is_host() {
            return dist.sample(&mut stream);
        }
        let law = dist.law()?;
        let shape = law.to_vertex(&entry.value.to_tensor()?).check()?.shape();
        let own = law.draw_shape();
        let value = match own == shape {
            true => law.draw(&law.noise(&mut stream)?),
            false => repeated(&*law, shape, &mut stream, entry)?,
        };
        if law.to_vertex(&value).check()?.shape() != shape {
            return Err(misfit(&law_name(entry)));
        }
        dist.convert(&Value::Tensor(value.kept()))
    };
    draw().map_err(|error| entry.locate(error))
}

/// One draw per row, of rows that share parameters.
fn repeated(law: &dyn Law, shape: Shape, stream: &mut Stream, entry: &Entry) -> Result<Tensor> {
    let drawn = law.draw_shape();
    let parameters = law.parameters();
    let wide = parameters.iter().map(|parameter| match parameter.shape() {
        own if own.rank() <= drawn.rank() && own.broadcast(&shape) == Some(shape) => {
            Ok(parameter.broadcast_to(shape))
        }
        // A matrix per event has one more axis.
        own => {
            let events = law.event_rank();
            let rows = shape.leading(shape.rank() - events);
            let own = &own[own.rank().saturating_sub(events + 1)..];
            let shape = rows.join(own).ok_or_else(|| misfit(&law_name(entry)))?;
            Ok(parameter.broadcast_to(shape))
        }
    });
    let wide = law.with_parameters(&wide.collect::<Result<Vec<_>>>()?);
    let at_once = wide.noise(stream).map(|noise| wide.draw(&noise));
    let fits = |value: &Tensor| {
        let vertex = law.to_vertex(value);
        vertex.check().is_ok_and(|vertex| vertex.shape() == shape)
    };
    let ahead = shape.rank().saturating_sub(drawn.rank());
    if at_once.as_ref().is_ok_and(fits) || shape[ahead..] != drawn[..] {
        return at_once;
    }
    // Parameters have axes besides those of a draw, such as the components of a mixture.
    let rows: usize = shape[..ahead].iter().product();
    let draws = (0..rows).map(|_| Ok(law.draw(&law.noise(stream)?)));
    let draws = draws.collect::<Result<Vec<_>>>()?;
    let draws = Tensor::stack(&draws.iter().collect::<Vec<_>>(), 0);
    let behind = &draws.check()?.shape()[1..];
    Ok(draws.reshape(shape.leading(ahead).join(behind).unwrap_or(shape)))
}

fn law_name(entry: &Entry) -> String {
    entry
        .dist
        .as_ref()
        .map_or(String::new(), |dist| dist.name().to_owned())
}

fn misfit(law: &str) -> Error {
    Error::Value(format!(
        "a draw of {law} does not have the shape of the data; give its parameters the data's shape, so that \
         each datum can be drawn"
    ))
}

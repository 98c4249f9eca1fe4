//! Draws in a form that can be saved: sites with shapes and numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::column::{ABSENT, Column, InDraw};
use super::draws::Draws;
use super::weights::Weights;
use crate::dist::Value;
use crate::error::{Error, Result};
use crate::tensor::{Device, Shape, Tensor};

/// Saved form of [`Draws`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedDraws {
    count: usize,
    weights: Weights,
    sites: Vec<SavedColumn>,
}

/// Saved form of a [`Column`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedColumn {
    name: String,
    values: Vec<SavedValue>,
    /// Index of each draw's value, if it has one.
    places: Vec<Option<u32>>,
    categories: Option<usize>,
    #[serde(default)]
    is_summed_out: bool,
    #[serde(default)]
    is_integrated_out: bool,
    inclusion: f64,
    #[serde(with = "numbers")]
    mean: Option<Vec<f64>>,
    support: Option<Vec<Vec<f64>>>,
    probabilities: Option<Vec<f64>>,
    #[serde(default)]
    in_draws: Vec<InDraw>,
}

/// Saved form of a [`Value`].
#[derive(Serialize, Deserialize)]
enum SavedValue {
    Bool(bool),
    Index(usize),
    Real(#[serde(with = "numbers")] f64),
    Vector(#[serde(with = "numbers")] Vec<f64>),
    Tensor {
        shape: Vec<usize>,
        #[serde(with = "numbers")]
        values: Vec<f32>,
    },
}

impl SavedValue {
    fn of(value: &Value) -> Result<Self> {
        Ok(match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Index(k) => Self::Index(*k),
            Value::Real(x) => Self::Real(*x),
            Value::Vector(x) => Self::Vector(x.clone()),
            Value::Tensor(t) => Self::Tensor {
                shape: t.shape().to_vec(),
                values: t.peek()?,
            },
        })
    }

    fn value(self) -> Result<Value> {
        Ok(match self {
            Self::Bool(b) => Value::Bool(b),
            Self::Index(k) => Value::Index(k),
            Self::Real(x) => Value::Real(x),
            Self::Vector(x) => Value::Vector(x),
            Self::Tensor { shape, values } => {
                let shape = Shape::try_from(&shape[..])?;
                Value::Tensor(Tensor::from_vec(values, shape, &Device::cpu())?)
            }
        })
    }
}

impl SavedColumn {
    fn of(column: &Column) -> Result<Self> {
        let places = column.places.iter();
        Ok(Self {
            name: column.name.clone(),
            values: column
                .values
                .iter()
                .map(SavedValue::of)
                .collect::<Result<_>>()?,
            places: places.map(|p| Some(*p).filter(|p| *p != ABSENT)).collect(),
            categories: column.categories,
            is_summed_out: column.is_summed_out,
            is_integrated_out: column.is_integrated_out,
            inclusion: column.inclusion,
            mean: column.mean.clone(),
            support: column.support.clone(),
            probabilities: column.probabilities.clone(),
            in_draws: column.in_draws.clone(),
        })
    }

    fn column(self, draws: usize) -> Result<Column> {
        let count = self.values.len();
        let fit = |place: &Option<u32>| place.is_none_or(|place| (place as usize) < count);
        let listed = self.support.as_ref().map_or(0, Vec::len);
        let known = self.probabilities.as_ref().map_or(listed, Vec::len);
        let most = self.probabilities.as_ref().map_or(usize::MAX, Vec::len);
        let is_in = |known: &InDraw| (known.draw as usize) < draws && known.numbers.len() <= most;
        let are_in = self.in_draws.iter().all(is_in);
        if self.places.len() > draws || !self.places.iter().all(fit) || known != listed || !are_in {
            return Err(unreadable(&format!("the draws of site `{}`", self.name)));
        }
        let places = self.places.into_iter();
        let values = self.values.into_iter().map(SavedValue::value);
        Ok(Column {
            name: self.name,
            values: values.collect::<Result<_>>()?,
            places: places.map(|place| place.unwrap_or(ABSENT)).collect(),
            categories: self.categories,
            is_summed_out: self.is_summed_out,
            is_integrated_out: self.is_integrated_out,
            inclusion: self.inclusion,
            mean: self.mean,
            support: self.support,
            probabilities: self.probabilities,
            in_draws: self.in_draws,
        })
    }
}

impl SavedDraws {
    fn draws(self) -> Result<Draws> {
        let count = self.count;
        let fit = match &self.weights {
            Weights::Equal => true,
            Weights::Whole(weights) => weights.len() == count,
            Weights::Rows(rows) => rows.iter().all(|weights| weights.len() == count),
        };
        if !fit {
            return Err(unreadable("their weights"));
        }
        let columns = self.sites.into_iter().map(|site| site.column(count));
        Ok(Draws::new(
            columns.collect::<Result<_>>()?,
            count,
            self.weights,
        ))
    }
}

fn unreadable(what: &str) -> Error {
    Error::Value(format!(
        "saved draws are damaged: {what} do not fit the rest"
    ))
}

impl Serialize for Draws {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let sites = self.columns.iter().map(SavedColumn::of);
        let saved = SavedDraws {
            count: self.count,
            weights: self.weights.clone(),
            sites: sites
                .collect::<Result<_>>()
                .map_err(serde::ser::Error::custom)?,
        };
        saved.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Draws {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let saved = SavedDraws::deserialize(deserializer)?;
        saved.draws().map_err(serde::de::Error::custom)
    }
}

/// Log-weights, with `null` for −∞, which JSON cannot write.
pub(super) mod log_weights {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    type Rows<T> = Vec<Vec<T>>;

    pub(in super::super) fn serialize<S: Serializer>(
        log_weights: &Rows<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let finite = |row: &Vec<f64>| {
            row.iter()
                .map(|x| Some(*x).filter(|x| x.is_finite()))
                .collect()
        };
        let rows: Rows<Option<f64>> = log_weights.iter().map(finite).collect();
        rows.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Rows<f64>, D::Error> {
        let rows = Rows::<Option<f64>>::deserialize(deserializer)?;
        let infinite = |row: Vec<Option<f64>>| {
            let numbers = row.into_iter().map(|x| x.unwrap_or(f64::NEG_INFINITY));
            numbers.collect()
        };
        Ok(rows.into_iter().map(infinite).collect())
    }
}

/// R̂, with `null` for ∞ (of a number that never moved), which JSON cannot write.
pub(in crate::infer) mod r_hat {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::infer) fn serialize<S: Serializer>(
        r_hat: &f64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let finite = Some(*r_hat).filter(|x| x.is_finite());
        finite.serialize(serializer)
    }

    pub(in crate::infer) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<f64, D::Error> {
        let finite = Option::<f64>::deserialize(deserializer)?;
        Ok(finite.unwrap_or(f64::INFINITY))
    }
}

/// Numbers, with `null` for those that are not finite, which JSON cannot write; they are read as NaN.
pub(super) mod numbers {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    /// A number, or several.
    pub(in super::super) trait Numbers: Sized {
        type Saved: Serialize + for<'de> Deserialize<'de>;

        fn saved(&self) -> Self::Saved;
        fn read(saved: Self::Saved) -> Self;
    }

    macro_rules! numbers {
        ($($float:ident)*) => {
            $(impl Numbers for $float {
                type Saved = Option<$float>;

                fn saved(&self) -> Self::Saved {
                    Some(*self).filter(|x| x.is_finite())
                }

                fn read(saved: Self::Saved) -> Self {
                    saved.unwrap_or($float::NAN)
                }
            })*
        };
    }

    numbers!(f32 f64);

    impl<T: Numbers> Numbers for Vec<T> {
        type Saved = Vec<T::Saved>;

        fn saved(&self) -> Self::Saved {
            self.iter().map(T::saved).collect()
        }

        fn read(saved: Self::Saved) -> Self {
            saved.into_iter().map(T::read).collect()
        }
    }

    impl<T: Numbers> Numbers for Option<T> {
        type Saved = Option<T::Saved>;

        fn saved(&self) -> Self::Saved {
            self.as_ref().map(T::saved)
        }

        fn read(saved: Self::Saved) -> Self {
            saved.map(T::read)
        }
    }

    impl<T: Numbers> Numbers for [T; 3] {
        type Saved = [T::Saved; 3];

        fn saved(&self) -> Self::Saved {
            self.each_ref().map(T::saved)
        }

        fn read(saved: Self::Saved) -> Self {
            saved.map(T::read)
        }
    }

    pub(in super::super) fn serialize<T: Numbers, S: Serializer>(
        numbers: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        numbers.saved().serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, T: Numbers, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        T::Saved::deserialize(deserializer).map(T::read)
    }
}

//! The rows of table 1, with the figures that the paper gives.

use std::path::Path;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde::{Deserialize, Serialize};

use crate::autoencoder::Kind;
use crate::data::Dataset;
use crate::program::Outcome;

/// A data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Images {
    Mnist,
    Omniglot,
}

/// A data set and an autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Row {
    #[serde(rename = "mnist-nl1")]
    MnistNonlinear,
    #[serde(rename = "mnist-l1")]
    MnistOneLayer,
    #[serde(rename = "mnist-l2")]
    MnistTwoLayers,
    #[serde(rename = "omniglot-nl1")]
    OmniglotNonlinear,
    #[serde(rename = "omniglot-l1")]
    OmniglotOneLayer,
    #[serde(rename = "omniglot-l2")]
    OmniglotTwoLayers,
}

impl Row {
    /// In the paper's order.
    const ALL: [Self; 6] = [
        Self::MnistNonlinear,
        Self::MnistOneLayer,
        Self::MnistTwoLayers,
        Self::OmniglotNonlinear,
        Self::OmniglotOneLayer,
        Self::OmniglotTwoLayers,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MnistNonlinear => "mnist-nl1",
            Self::MnistOneLayer => "mnist-l1",
            Self::MnistTwoLayers => "mnist-l2",
            Self::OmniglotNonlinear => "omniglot-nl1",
            Self::OmniglotOneLayer => "omniglot-l1",
            Self::OmniglotTwoLayers => "omniglot-l2",
        }
    }

    /// The autoencoder, of the paper's text, or as the public code has it.
    pub(crate) fn kind(self, published: bool) -> Kind {
        match self {
            Self::MnistNonlinear | Self::OmniglotNonlinear if published => Kind::NonlinearWide,
            Self::MnistNonlinear | Self::OmniglotNonlinear => Kind::Nonlinear,
            Self::MnistOneLayer | Self::OmniglotOneLayer => Kind::OneLayer,
            Self::MnistTwoLayers | Self::OmniglotTwoLayers => Kind::TwoLayers,
        }
    }

    /// Adam's first rate that is ours.
    pub(crate) fn rate(self) -> f32 {
        match self {
            Self::MnistNonlinear | Self::OmniglotNonlinear => 1e-3,
            _ => 4e-3,
        }
    }

    /// What each step takes off all weights, as a fraction of the rate, that is ours.
    pub(crate) fn weight_decay(self) -> f32 {
        match self {
            Self::MnistTwoLayers => 3e-3,
            _ => 1e-2,
        }
    }

    fn images(self) -> Images {
        match self {
            Self::MnistNonlinear | Self::MnistOneLayer | Self::MnistTwoLayers => Images::Mnist,
            _ => Images::Omniglot,
        }
    }

    /// Its images' folder among the data.
    pub(crate) fn folder(self) -> &'static str {
        match self.images() {
            Images::Mnist => "mnist_fixed_binarized",
            Images::Omniglot => "omniglot_fixed_binarized",
        }
    }

    /// The data set of a folder that holds all of them, or else the digits that come with the program.
    ///
    /// # Errors
    /// If there are no such files, or they are wrong.
    pub(crate) fn load(self, folder: Option<&Path>) -> Outcome<Dataset> {
        let images = self.folder();
        match (folder, self.images()) {
            (Some(folder), _) => {
                let dataset = Dataset::load(&folder.join(images))?;
                let name = images.to_owned();
                Ok(Dataset { name, ..dataset })
            }
            (None, Images::Mnist) => Ok(Dataset::embedded()?),
            (None, Images::Omniglot) => Err(format!(
                "{} needs --data, a folder with {images} in it: only digits come with the program",
                self.name()
            )
            .into()),
        }
    }

    /// The highest training ELBO of an estimator, in nats an image (table 1); nothing of those that are
    /// not in it.
    pub(crate) fn published(self, estimator: &str) -> Option<f64> {
        let [concrete, nvil, muprop, rebar, relax] = match self {
            Self::MnistNonlinear => [-102.2, -101.5, -101.1, -81.01, -78.13],
            Self::MnistOneLayer => [-111.3, -112.5, -111.7, -111.6, -111.20],
            Self::MnistTwoLayers => [-99.62, -99.6, -99.07, -98.22, -98.00],
            Self::OmniglotNonlinear => [-110.4, -109.58, -108.72, -56.76, -56.12],
            Self::OmniglotOneLayer => [-117.23, -117.44, -117.09, -116.63, -116.57],
            Self::OmniglotTwoLayers => [-109.95, -109.98, -109.55, -108.71, -108.54],
        };
        match estimator {
            "concrete" => Some(concrete),
            "nvil" => Some(nvil),
            "muprop" => Some(muprop),
            "rebar" | "rebar-published" => Some(rebar),
            name if name.starts_with("relax") => Some(relax),
            _ => None,
        }
    }
}

impl ValueEnum for Row {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

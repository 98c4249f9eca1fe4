//! Latent Dirichlet allocation (Blei, Ng and Jordan 2003): words of documents, each on a topic.

use std::path::Path;

use relax_runtime::prelude::*;
use serde::Deserialize;

use crate::program::Outcome;
use crate::table::{Known, Table, of, read};

#[derive(Deserialize)]
struct Corpus {
    #[serde(rename = "V")]
    vocabulary: usize,
    #[serde(rename = "M")]
    documents: usize,
    w: Vec<usize>,
    doc: Vec<usize>,
}

/// Each document has a share of each topic, each topic a distribution of words, and each word a topic.
#[model]
fn lda(corpus: &Corpus, topics: usize) {
    let theta = sample!(Dirichlet(Tensor::ones(
        [corpus.documents, topics],
        &Device::cpu()
    )));
    let phi = sample!(Dirichlet(Tensor::ones(
        [topics, corpus.vocabulary],
        &Device::cpu()
    )));
    let documents: Vec<usize> = corpus.doc.iter().map(|document| document - 1).collect();
    let words: Vec<f32> = corpus.w.iter().map(|&word| (word - 1) as f32).collect();
    plate!(words.len() => {
        let topic = sample!(OneHotCategorical(probs = theta.gather(0, &documents)));
        observe!(Categorical(probs = topic.matmul(&phi)), Tensor::from_slice(&words));
    })
}

pub(crate) fn all(table: &mut Table, folder: &Path) -> Outcome<()> {
    let name = "three_docs1200";
    if table.wants(name) {
        let corpus: Corpus = read(folder, "three_docs1200.json")?;
        let fit = table.fit(name, &lda(&corpus, 2))?;
        let words = corpus.vocabulary;
        let first = usize::from(of(&fit, "phi", 0)?.0 < of(&fit, "phi", words)?.0);
        let of_words = [
            [(0.44939, 0.01761), (0.54936, 0.01763), (0.00125, 0.00124)],
            [(0.00247, 0.00244), (0.00251, 0.00250), (0.99502, 0.00347)],
        ];
        for (topic, known) in of_words.into_iter().enumerate() {
            let of_topic = if topic == 0 { first } else { 1 - first };
            for (word, (mean, sd)) in known.into_iter().enumerate() {
                let found = of(&fit, "phi", of_topic * words + word)?;
                let what = format!("phi ({topic}, {word})");
                table.row(name, &what, found, &Known::Spread(mean, sd));
            }
        }
        let of_first = [(0.99749, 0.00252), (0.99750, 0.00251), (0.00250, 0.00250)];
        for (document, (mean, sd)) in of_first.into_iter().enumerate() {
            let found = of(&fit, "theta", 2 * document + first)?;
            let what = format!("theta ({document}, 0)");
            table.row(name, &what, found, &Known::Spread(mean, sd));
        }
    }
    Ok(())
}

//! Cognitive diagnosis, "DINA" (Junker and Sijtsma 2001): a student who has all skills that an item takes solves it,
//! except for slips, and one who lacks some may guess.
//!
//! Answers are generated from known skills; given what was learned about the items, Bayes' rule over the 8 sets of
//! skills says exactly what each student knows.

use relax_runtime::prelude::*;

use crate::known::{fit, near};
use crate::program::Outcome;

const STUDENTS: usize = 200;
const ITEMS: usize = 14;
const SKILLS: usize = 3;

/// Whether an item takes a skill: each set of skills is taken by two items.
fn takes(item: usize, skill: usize) -> bool {
    (item % 7 + 1) >> skill & 1 == 1
}

/// The same, `[ITEMS, SKILLS]`.
fn needs() -> Result<Tensor> {
    let all = (0..ITEMS * SKILLS).map(|at| f32::from(takes(at / SKILLS, at % SKILLS)));
    Tensor::from_vec(all.collect(), [ITEMS, SKILLS], &Device::cpu())
}

/// Probabilities of correct answers, `[STUDENTS, ITEMS]`.
fn correct(skills: &Tensor, slip: &Tensor, guess: &Tensor) -> Result<Tensor> {
    let lacks = (1.0 - skills).matmul_nt(&needs()?);
    Ok(lacks.lt(0.5).select_where(&(1.0 - slip), guess))
}

#[model]
fn diagnosis(answers: &Tensor) {
    let slip = param!(Tensor::full([ITEMS], 0.2, &Device::cpu()), unit);
    let guess = param!(Tensor::full([ITEMS], 0.2, &Device::cpu()), unit);
    let share = param!(Tensor::full([SKILLS], 0.5, &Device::cpu()), unit);
    plate!(answers.rows() => {
        let skills = sample!(Bernoulli(share.broadcast_to([answers.rows(), SKILLS])));
        observe!(Bernoulli(correct(&skills, &slip, &guess)?), answers);
    })
}

/// Skills of students, and their answers.
#[model]
fn school() -> (Tensor, Tensor) {
    let skills = sample!(Bernoulli(Tensor::full(
        [STUDENTS, SKILLS],
        0.6,
        &Device::cpu()
    )));
    let answers = sample!(Bernoulli(correct(
        &skills,
        &Tensor::full([ITEMS], 0.1, &Device::cpu()),
        &Tensor::full([ITEMS], 0.15, &Device::cpu()),
    )?));
    (skills, answers)
}

/// P(skill | answers) by Bayes' rule.
fn bayes(answers: &[f32], [slip, guess, share]: &[Vec<f32>; 3]) -> [f64; SKILLS] {
    let coin = |p: f32, heads: bool| f64::from(if heads { p } else { 1.0 - p });
    let (mut total, mut has) = (0.0, [0.0; SKILLS]);
    for set in 0..1_usize << SKILLS {
        let knows = |skill: usize| set >> skill & 1 == 1;
        let mut weight: f64 = (0..SKILLS)
            .map(|skill| coin(share[skill], knows(skill)))
            .product();
        for (item, &answer) in answers.iter().enumerate() {
            let able = (0..SKILLS).all(|skill| knows(skill) || !takes(item, skill));
            let p = if able { 1.0 - slip[item] } else { guess[item] };
            weight *= coin(p, answer > 0.5);
        }
        total += weight;
        (0..SKILLS)
            .filter(|&skill| knows(skill))
            .for_each(|skill| has[skill] += weight);
    }
    has.map(|weight| weight / total)
}

pub(crate) fn run() -> Outcome<()> {
    let (skills, answers) = Simulation::seeded(1).run(&school())?.output;
    let fit = fit(&diagnosis(&answers))?;
    let found = fit.posterior().means("skills")?;

    let fitted = [fit.param("slip")?, fit.param("guess")?, fit.param("share")?];
    let mean = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
    near("mean slip", mean(&fitted[0]), 0.1, 0.03)?;
    near("mean guess", mean(&fitted[1]), 0.15, 0.03)?;
    let answers = answers.to_vec()?;
    let known: Vec<f64> = answers
        .chunks(ITEMS)
        .flat_map(|row| bayes(row, &fitted))
        .collect();
    let apart = found
        .iter()
        .zip(&known)
        .map(|(found, known)| (found - known).abs());
    near(
        "largest error of P(skill | answers)",
        apart.fold(0.0, f64::max),
        0.0,
        1e-3,
    )?;
    let right = found
        .iter()
        .zip(skills.to_vec()?)
        .filter(|(p, has)| (**p > 0.5) == (*has > 0.5));
    near(
        "share of skills recovered",
        right.count() as f64 / found.len() as f64,
        1.0,
        0.08,
    )
}

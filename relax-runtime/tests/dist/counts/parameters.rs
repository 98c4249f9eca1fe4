//! Parameters that cannot be, those that are tensors, and values that are listed.

use std::rc::Rc;

use relax_runtime::dist::{
    BetaBinomial, Binomial, BinomialFamily, CountFamily, DiscreteUniform, Distribution, Geometric,
    Hypergeometric, Law, Mixture, Multinomial, NegativeBinomial, Number, OrderedLogistic, Part,
    Poisson, Repeat, Truncated, ZeroInflated,
};
use relax_runtime::{Device, Error, Key, Result, Shape, Tensor, grad};
use statrs::distribution as reference;

use super::near;

#[test]
fn bad_parameters_are_an_error() {
    let errors = [
        Poisson::rate(0.0).err(),
        Poisson::rate(f64::NAN).err(),
        Poisson::log_rate(f64::INFINITY).err(),
        Poisson::rate(Tensor::from_slice(&[1.0, -2.0])).err(),
        Binomial::probs(3, 1.5).err(),
        Binomial::logits(3, f64::NAN).err(),
        Binomial::probs(Tensor::from_slice(&[-1.0]), 0.5).err(),
        Binomial::probs(
            Tensor::from_slice(&[1.0, 2.0]),
            Tensor::from_slice(&[0.5; 3]),
        )
        .err(),
        Geometric::probs(0.0).err(),
        NegativeBinomial::probs(0.0, 0.5).err(),
        NegativeBinomial::probs(2.0, 1.0).err(),
        NegativeBinomial::mean(-1.0, 1.0).err(),
        BetaBinomial::new(0.0, 1.0, 3).err(),
        ZeroInflated::gate(1.5, Poisson::rate(1.0)).err(),
        ZeroInflated::gate(0.5, Poisson::rate(-1.0)).err(),
        ZeroInflated::gate(0.5, DiscreteUniform::new(1, 3)).err(),
        OrderedLogistic::new(0.0, Vec::new()).err(),
        OrderedLogistic::new(0.0, [1.0, 1.0]).err(),
        OrderedLogistic::new(f64::NAN, [1.0]).err(),
        OrderedLogistic::new(Tensor::scalar(0.0), [1.0, 0.5]).err(),
        DiscreteUniform::new(4, 3).err(),
        DiscreteUniform::new(0, Tensor::from_slice(&[2.0, 3.0])).err(),
        Hypergeometric::new(3, 4, 1).err(),
        Hypergeometric::new(3, 2, 4).err(),
        Hypergeometric::new(200_000, 100_000, 100_000).err(),
    ];
    for (i, error) in errors.into_iter().enumerate() {
        let error = error
            .unwrap_or_else(|| panic!("number {i} is taken"))
            .to_string();
        assert!(error.len() > 30, "{error}");
    }
    let outside = Binomial::probs(3, 0.5).unwrap().log_prob(&4).unwrap_err();
    assert!(
        outside.to_string().contains("number of trials"),
        "{outside}"
    );
    let outside = Poisson::rate(Tensor::scalar(2.0)).unwrap();
    assert!(outside.log_prob(&Tensor::scalar(1.5)).is_err());
}

/// Trials may differ from row to row, and come from tensors that are relaxed.
#[test]
fn trials_may_be_tensors() -> Result<()> {
    let total = Tensor::from_slice(&[2.0, 5.0]);
    let law = Binomial::logits(&total, 0.3)?;
    assert!(law.contains(&Tensor::from_slice(&[2.0, 5.0]))?);
    assert!(!law.contains(&Tensor::from_slice(&[3.0, 5.0]))?);
    let found = law.log_prob(&Tensor::from_slice(&[1.0, 4.0]))?;
    let wanted = [(2, 1), (5, 4)].map(|(n, k)| Binomial::logits(n, 0.3)?.log_prob(&k)?.total());
    let wanted: f64 = wanted.into_iter().sum::<Result<f64>>()?;
    near("sum", found.total()?, wanted, 1e-5);
    assert!(
        Distribution::law(&law)?
            .relaxation()
            .is_some_and(|r| r.values(1).is_none())
    );

    let wide = Binomial::logits(
        Tensor::from_slice(&[4.0]),
        Tensor::zeros([1, 2], &Device::cpu()),
    )?;
    let expanded = wide.expand(&[3])?;
    assert_eq!(
        &expanded.sample(&mut Key::new(1).stream("x"))?.shape()[..],
        [3, 2]
    );

    // Relaxed trials lie between whole numbers.
    let total = Tensor::from_slice(&[4.3]).leaf();
    let (logits, value) = (Tensor::from_slice(&[0.3]), Tensor::from_slice(&[2.0]));
    let density = |n: &Tensor| BinomialFamily.log_mass(&logits, n, &value);
    let slope = grad(&[(&density(&total), None)], &[&total])?[0].to_vec()?[0];
    let moved = |by: f32| density(&Tensor::from_slice(&[4.3 + by])).item();
    near(
        "slope",
        f64::from(slope),
        f64::from((moved(0.01)? - moved(-0.01)?) / 0.02),
        1e-3,
    );
    Ok(())
}

/// Numbers of things are whole, in tensors too, unless they are draws that estimators relax.
#[test]
fn numbers_of_trials_are_whole() -> Result<()> {
    use relax_runtime::model::relax_sites;
    use relax_runtime::prelude::{Simulation, model, observe, sample};

    let (half, two) = (Tensor::scalar(2.5), Tensor::from_slice(&[3.0, 2.5]));
    let refused = [
        Binomial::probs(&half, 0.5).err(),
        Binomial::logits(&two, Tensor::from_slice(&[0.3, 0.2])).err(),
        BetaBinomial::new(1.0, 2.0, &half).err(),
        Multinomial::probs(&half, Tensor::from_slice(&[0.5, 0.5])).err(),
        DiscreteUniform::new(&half, 7).err(),
        DiscreteUniform::new(0, &half).err(),
    ];
    for error in refused {
        let error = error.expect("it is refused");
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains("is 2.5") && said.contains("whole numbers"),
            "{said}"
        );
    }
    #[model]
    fn counted() {
        let n = sample!(Poisson(Tensor::scalar(6.0)));
        observe!(Binomial(&n, 0.4), 0.0, name = "seen");
    }
    let trace = Simulation::seeded(1)
        .run(&relax_sites(counted(), 0.5))?
        .trace;
    let n = trace.get("n")?.value.to_f64s()?[0];
    assert!(n.fract() != 0.0, "{n} is relaxed");
    // (1 − p)ⁿ.
    near(
        "none",
        trace.get("seen")?.log_prob()?.total()?,
        n * 0.6_f64.ln(),
        1e-5,
    );
    Ok(())
}

/// Ranges and what is taken out of an urn have a table of values and their probabilities.
#[test]
fn tables_list_their_values() -> Result<()> {
    use reference::Discrete;
    let die = DiscreteUniform::new(3, 7)?;
    assert_eq!(die.values(), Some(5));
    assert_eq!(
        (0..6).map(|k| die.nth_value(k)).collect::<Vec<_>>()[3..],
        [Some(6), Some(7), None]
    );
    for k in 0..9 {
        assert_eq!(die.contains(&k)?, (3..=7).contains(&k));
    }
    let rows = DiscreteUniform::new(Tensor::from_slice(&[3.0, 3.0]), 7)?;
    let value = Tensor::from_slice(&[3.0, 7.0]);
    near(
        "rows",
        rows.log_prob(&value)?.total()?,
        -2.0 * 5.0_f64.ln(),
        1e-6,
    );
    let law = Distribution::law(&rows)?;
    assert_eq!(law.relaxation().and_then(|r| r.values(5)), Some(5));
    assert_eq!(law.mean().to_vec()?, [5.0, 5.0]);

    let (wanted, urn) = (
        reference::Hypergeometric::new(20, 8, 15).unwrap(),
        (20, 8, 15),
    );
    let found = Hypergeometric::new(urn.0, urn.1, urn.2)?;
    assert_eq!(found.nth_value(0), Some(3));
    for k in 3..=8 {
        near(
            "urn",
            found.log_prob(&k)?.total()?,
            wanted.ln_pmf(k as u64),
            1e-10,
        );
    }
    assert!(!found.contains(&2)?);
    // All are taken out.
    assert_eq!(Hypergeometric::new(5, 2, 5)?.log_prob(&2)?.total()?, 0.0);
    let sure = Distribution::law(&Hypergeometric::new(5, 2, 5)?)?;
    let noise = sure.noise(&mut Key::new(1).stream("x"))?;
    assert_eq!(sure.draw(&noise).to_vec()?, [2.0]);
    Ok(())
}

/// What the parameters of a law's automatic guide are called.
fn names(law: &Rc<dyn Law>) -> Vec<String> {
    let guide = law.mean_field();
    let names = guide.parts().iter().map(Part::name);
    names.map(str::to_owned).collect()
}

/// Behind a gate, each value of a table has a logit of its own in the automatic guide.
#[test]
fn guides_of_inflated_tables_have_all_of_their_numbers() -> Result<()> {
    let laws = [
        ZeroInflated::gate(0.3, OrderedLogistic::new(0.2, [-1.0, 0.5, 1.0]))?.law()?,
        ZeroInflated::gate(0.3, DiscreteUniform::new(0, 3))?.law()?,
        ZeroInflated::gate(0.3, Hypergeometric::new(9, 3, 4))?.law()?,
    ];
    let logits = [0.4_f64, -1.0, 1.5, 0.1];
    let total: f64 = logits.iter().map(|x| x.exp()).sum();
    for law in laws {
        assert_eq!(names(&law), ["gate_logits", "logits"]);
        let guide = law.mean_field();
        let first = guide.law(&guide.first_values()?)?;
        let free = [
            Tensor::scalar(-0.5),
            Tensor::from_slice(&logits.map(|x| x as f32)),
        ];
        let moved = guide.law(&free)?;
        let open = 1.0 / (1.0 + (-0.5_f64).exp());
        for (k, logit) in logits.iter().enumerate() {
            let value = Tensor::scalar(k as f32);
            let [stated, found] = [&law, &first].map(|law| law.log_density(&value).item());
            near("first", found?.into(), stated?.into(), 1e-6);
            let gate = if k == 0 { 1.0 - open } else { 0.0 };
            let wanted = (gate + open * logit.exp() / total).ln();
            near(
                "moved",
                moved.log_density(&value).item()?.into(),
                wanted,
                1e-5,
            );
        }
    }
    Ok(())
}

/// Under these a saved guide has its numbers.
#[test]
fn guides_keep_their_names() -> Result<()> {
    let poisson = || Poisson::rate(2.0);
    let inflated = ZeroInflated::gate(0.3, poisson());
    let negative = NegativeBinomial::mean(2.0, 1.0);
    let mixture = Mixture::new([0.3, 0.7], [poisson(), poisson()])?;
    let wanted: [(Rc<dyn Law>, &[&str]); 5] = [
        (poisson()?.law()?, &["log_rate"]),
        (inflated.clone()?.law()?, &["gate_logits", "log_rate"]),
        (
            ZeroInflated::gate(0.3, negative)?.law()?,
            &["gate_logits", "log_total_count", "logits"],
        ),
        (ZeroInflated::gate(0.5, inflated)?.law()?, &["gate_logits"]),
        (mixture.law()?, &["mixture"]),
    ];
    for (law, wanted) in wanted {
        assert_eq!(names(&law), wanted);
        let guide = law.mean_field();
        let numbers = guide.parts().iter().map(|part| part.shape().numel());
        assert_eq!(numbers.sum::<usize>(), law.parameters()[0].len());
        let value = Tensor::scalar(1.0);
        let found = guide.law(&guide.first_values()?)?.log_density(&value);
        let stated = law.log_density(&value).item()?;
        near("guide", found.item()?.into(), stated.into(), 1e-6);
    }
    Ok(())
}

/// Checks that a log-mass over numbers, of the law, over tensors and of rows is `wanted`, or −∞ where that is.
fn has_mass(
    host: Result<impl Repeat<Value = usize>>,
    tensors: Result<impl Distribution<Value = Tensor>>,
    leaf: &Tensor,
    k: usize,
    wanted: f64,
) -> Result<()> {
    let (host, tensors) = (host?, tensors?);
    let same = |what: &str, found: f64, wanted: f64| match wanted.is_finite() {
        true => near(what, found, wanted, 1e-5),
        false => assert_eq!(found, wanted, "{what} at {k}"),
    };
    same("host", host.log_prob(&k)?.total()?, wanted);
    let value = Tensor::scalar(k as f32).leaf();
    let Number::Tensor(found) = tensors.log_prob(&value)? else {
        panic!("a host number");
    };
    same("tensors", found.item()?.into(), wanted);
    for slope in grad(&[(&found, None)], &[leaf, &value])? {
        assert!(slope.item()?.is_finite());
    }
    let guide = host.law()?;
    let guide = guide.mean_field();
    let guide = guide.law(&guide.first_values()?)?;
    for law in [host.law()?, tensors.law()?, guide] {
        same("law", law.log_density(&value).item()?.into(), wanted);
        if let Some(excluded) = law.excluded()? {
            let first = law
                .relaxation()
                .and_then(|r| r.counts())
                .map_or(0, |all| *all.start());
            assert_eq!(excluded[k - first], wanted == f64::NEG_INFINITY, "{k}");
        }
    }
    let rows = host.repeated(1)?.expand(&[2])?;
    let both = Tensor::from_slice(&[k as f32; 2]);
    same("rows", rows.log_prob(&both)?.total()?, 2.0 * wanted);
    Ok(())
}

/// At probabilities of exactly 0 and 1 a single count is left.
#[test]
fn probabilities_may_be_certain() -> Result<()> {
    const NEVER: f64 = f64::NEG_INFINITY;
    for p in [0.0, 1.0] {
        let leaf = Tensor::scalar(p as f32).leaf();
        let sure = 5 * p as usize;
        for k in 0..=5 {
            let wanted = if k == sure { 0.0 } else { NEVER };
            let tensors = Binomial::probs(5, &leaf);
            has_mass(Binomial::probs(5, p), tensors, &leaf, k, wanted)?;
            let inflated = match (k, sure) {
                (0, 0) => 0.0,
                (0, _) => 0.25_f64.ln(),
                _ => wanted + 0.75_f64.ln(),
            };
            let tensors = ZeroInflated::gate(0.25, Binomial::probs(5, &leaf));
            let host = ZeroInflated::gate(0.25, Binomial::probs(5, p));
            has_mass(host, tensors, &leaf, k, inflated)?;
            let (low, high) = (sure.min(3), sure.max(2));
            if (low..=high).contains(&k) {
                let tensors = Truncated::new(Binomial::probs(5, &leaf), low, high);
                let host = Truncated::new(Binomial::probs(5, p), low, high);
                has_mass(host, tensors, &leaf, k, wanted)?;
            }
        }
        assert!(Binomial::probs(5, p)?.excludes_values());
        let mixed = Mixture::new(
            [0.5, 0.5],
            [Binomial::probs(5, p), Binomial::probs(5, 1.0 - p)],
        )?;
        for (k, wanted) in [(0, 0.5_f64.ln()), (2, NEVER), (5, 0.5_f64.ln())] {
            let found = [
                mixed.log_prob(&k)?.total()?,
                mixed
                    .law()?
                    .log_density(&Tensor::scalar(k as f32))
                    .item()?
                    .into(),
            ];
            for found in found {
                match wanted == NEVER {
                    true => assert_eq!(found, NEVER),
                    false => near("mixed", found, wanted, 1e-5),
                }
            }
        }
    }
    let leaf = Tensor::scalar(1.0).leaf();
    for (k, wanted) in [(0, 0.0), (1, NEVER), (7, NEVER)] {
        has_mass(
            Geometric::probs(1.0),
            Geometric::probs(&leaf),
            &leaf,
            k,
            wanted,
        )?;
    }
    // Some rows are certain, and others are not; between two values masses stay finite.
    let leaf = Tensor::from_slice(&[0.0, 0.5, 1.0]).leaf();
    let rows = Binomial::probs(2, &leaf)?;
    let Number::Tensor(found) = rows.log_prob(&Tensor::from_slice(&[1.0; 3]))? else {
        panic!("a host number");
    };
    assert_eq!(found.index(0, 0).item()?, f32::NEG_INFINITY);
    near("open", found.index(0, 1).item()?.into(), 0.5_f64.ln(), 1e-6);
    assert_eq!(found.index(0, 2).item()?, f32::NEG_INFINITY);
    let slopes = grad(&[(&found, None)], &[&leaf])?[0].to_vec()?;
    assert!(slopes.iter().all(|x| x.is_finite()), "{slopes:?}");
    let between = rows
        .law()?
        .log_density(&Tensor::from_slice(&[0.5, 0.5, 1.5]));
    assert!(between.to_vec()?.iter().all(|x| x.is_finite()));
    // One less rounds to the total itself.
    let many = Binomial::probs(16_777_220, Tensor::scalar(1.0))?;
    let all = many.log_prob(&Tensor::scalar(16_777_220.0))?.total()?;
    near("large", all, 0.0, 1e-6);
    // What logits say is as improbable as they say.
    let improbable = Binomial::logits(1, -200.0)?;
    near("logits", improbable.log_prob(&1)?.total()?, -200.0, 1e-9);
    Ok(())
}

/// A law whose parameters are scalars is repeated for every row, however many parameters it has.
#[test]
fn scalars_are_repeated_for_every_row() -> Result<()> {
    let [one, two] = [1.0, 2.0].map(|x| Tensor::scalar(x).leaf());
    macro_rules! check {
        ($($law:expr),+ $(,)?) => {$(
            let law = $law?;
            let single = law.log_prob(&Tensor::scalar(2.0))?.total()?;
            for plates in [&[3][..], &[3, 4]] {
                let rows = law.clone().expand(plates)?;
                let shape = Shape::try_from(plates)?;
                let value = Tensor::full(shape, 2.0, &Device::cpu());
                let wanted = single * shape.numel() as f64;
                near("rows", rows.log_prob(&value)?.total()?, wanted, 1e-5);
                let law = rows.law()?;
                let draw = law.draw(&law.noise(&mut Key::new(1).stream("x"))?);
                assert_eq!(draw.shape(), shape);
            }
        )+};
    }
    check!(
        Poisson::rate(&two),
        NegativeBinomial::mean(&two, 2.0),
        BetaBinomial::new(&two, &one, 5),
        ZeroInflated::gate(0.25, Poisson::rate(&two)),
        Truncated::new(NegativeBinomial::mean(&two, 2.0), 1, f64::INFINITY),
        OrderedLogistic::new(&one, [-1.0, 0.5, 2.0]),
    );
    Ok(())
}

/// What a gate of exactly 0 or 1 rules out adds nothing to what is left, however improbable that is.
#[test]
fn gates_may_be_certain() -> Result<()> {
    let rate = 500.0_f64;
    let three = rate.ln() * 3.0 - rate - 6.0_f64.ln();
    for (gate, k, wanted) in [
        (0.0, 0, -rate),
        (0.0, 3, three),
        (1.0, 0, 0.0),
        (1.0, 3, f64::NEG_INFINITY),
        (1e-30, 0, 1e-30_f64.ln()),
    ] {
        let leaf = Tensor::scalar(gate as f32).leaf();
        let tensors = ZeroInflated::gate(&leaf, Poisson::rate(Tensor::scalar(rate as f32)));
        let host = ZeroInflated::gate(gate, Poisson::rate(rate));
        has_mass(host, tensors, &leaf, k, wanted)?;
    }
    // Beside zeros of the gate, those of a law that hardly ever has any do not count.
    for rate in [1e3, 1e6, 1e9] {
        let wanted = 0.25_f64.ln();
        let host = ZeroInflated::gate(0.25, Poisson::rate(rate))?;
        near("host", host.log_prob(&0)?.total()?, wanted, 1e-12);
        let gate = Tensor::scalar(0.25).leaf();
        let tensors = ZeroInflated::gate(&gate, Poisson::rate(Tensor::scalar(rate as f32)))?;
        let Number::Tensor(found) = tensors.log_prob(&Tensor::scalar(0.0))? else {
            panic!("a host number");
        };
        near("tensors", found.item()?.into(), wanted, 1e-6);
        let slope = grad(&[(&found, None)], &[&gate])?[0].item()?;
        near("slope", slope.into(), 4.0, 1e-5);
    }
    // A gate that is no more than improbable is neither.
    let host = ZeroInflated::gate(1e-100, Poisson::rate(rate))?;
    near("host", host.log_prob(&0)?.total()?, 1e-100_f64.ln(), 1e-9);
    Ok(())
}

/// Masses of large urns keep their digits, and no sum of their numbers overflows.
#[test]
fn urns_may_be_large() -> Result<()> {
    for (total, marked, wanted) in [
        (10_usize.pow(12), 300, -3.592_805_790_018_7),
        (10_usize.pow(12), 250, -9.700_453_489_064_37),
        (10_usize.pow(15), 300, -3.592_805_790_518_2),
        (10_usize.pow(15), 250, -9.700_453_483_569_87),
    ] {
        let urn = Hypergeometric::new(total, total / 10 * 3, 1_000)?;
        near("urn", urn.log_prob(&marked)?.total()?, wanted, 1e-11);
    }
    let all = Hypergeometric::new(usize::MAX, usize::MAX, 100)?;
    assert_eq!(all.nth_value(0), Some(100));
    assert_eq!(all.log_prob(&100)?.total()?, 0.0);
    // As many values as a table may have, and one more.
    let most = Hypergeometric::new(131_070, 65_535, 65_535)?;
    assert_eq!(most.values(), Some(65_536));
    let error = Hypergeometric::new(131_072, 65_536, 65_536).unwrap_err();
    let error = error.to_string();
    for word in ["draws is 65536", "0 to 65536", "draw fewer"] {
        assert!(error.contains(word), "`{error}` does not say `{word}`");
    }
    Ok(())
}

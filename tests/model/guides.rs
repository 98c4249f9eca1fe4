//! Guides written by hand: what they must have in common with their model.

use relax_runtime::prelude::*;

use crate::{assert_says, error, short};

#[test]
fn guide_and_model_must_agree() {
    #[model]
    fn model(rows: usize) {
        let a = sample!(Bernoulli(Tensor::scalar(0.5)));
        plate!(rows, {
            let x = sample!(Normal(&a, 1.0));
            observe!(Normal(&x, 1.0), x.ones_like(), name = "data");
        });
    }
    #[model]
    fn guide(mistake: &'static str) {
        let p = param!(0.0);
        match mistake {
            "missing" => {}
            "law" => drop(sample!(Normal(&p, 1.0), name = "a")),
            "shape" => {
                let p = Tensor::zeros([2], &Device::cpu()) + &p;
                drop(sample!(Bernoulli(logits = p), name = "a"));
            }
            _ => drop(sample!(Bernoulli(logits = &p), name = "a")),
        }
        let rows = if mistake == "plates" { 2 } else { 3 };
        let of = if mistake == "scale" { 30 } else { rows };
        plate!(rows, of = of => {
            if mistake == "kind" {
                drop(sample!(Bernoulli(logits = &p), name = "x"));
            } else {
                let x = sample!(Normal(&p, 1.0));
                if mistake == "observing" {
                    observe!(Normal(&x, 1.0), x.ones_like(), name = "seen");
                }
            }
        });
        if mistake == "paying" {
            cost!(1.0, name = "fee");
        }
        if mistake == "extra" {
            let _other = sample!(Bernoulli(0.5), name = "other");
        }
    }
    let model = model(3);
    let refused = |mistake| error(short(&model).guide(&guide(mistake)).step());
    assert!(short(&model).guide(&guide("none")).run().is_ok());
    assert_says(
        &refused("missing"),
        &["site `a`", "the guide has no site", "`x`"],
    );
    assert_says(&refused("extra"), &["the guide samples `other`"]);
    assert_says(&refused("plates"), &["site `x`", "[3]", "[2]"]);
    assert_says(
        &refused("observing"),
        &["site `seen`", "guide cannot observe"],
    );
    assert_says(
        &refused("paying"),
        &["site `fee`", "guide cannot have costs"],
    );
    assert_says(
        &refused("scale"),
        &["site `x`", "by 1 in the model", "by 10"],
    );
    let kinds = ["site `x`", "Normal is continuous", "Bernoulli is discrete"];
    assert_says(&refused("kind"), &kinds);
    assert_says(&refused("law"), &["site `a`", "outside the support"]);
    assert_says(&refused("shape"), &["site `a`", "shape []", "[2]"]);
}

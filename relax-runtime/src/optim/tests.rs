//! Steps of the rules, with and without units, joint and single, saved and restored.

use super::*;
use crate::tensor::{Device, Shape};

fn descend(rule: impl Rule + 'static, steps: usize) -> f32 {
    let parameter = Parameter::new(Tensor::scalar(3.0)).named("x");
    let mut optimizer = Optimizer::new(rule).unwrap();
    for _ in 0..steps {
        let gradient = (parameter.get() * 2.0).detach();
        optimizer.update(&[(parameter.clone(), gradient)]).unwrap();
    }
    parameter.get().item().unwrap()
}

#[test]
fn every_rule_descends_a_parabola() {
    assert!(descend(Sgd::new(0.1), 100).abs() < 1e-3);
    assert!(descend(Sgd::new(0.02).momentum(0.9), 300).abs() < 1e-3);
    assert!(descend(Adam::new(0.05), 600).abs() < 1e-2);
    assert!(descend(RmsProp::new(0.01), 800).abs() < 2e-2);
}

#[test]
fn the_first_step_of_adam_has_the_size_of_the_learning_rate() {
    let moved = 3.0 - descend(Adam::new(0.05), 1);
    assert!((moved - 0.05).abs() < 1e-5, "{moved}");
}

/// By hand: m = .1 g and v = .001 g² are corrected to g and g².
#[test]
fn a_large_epsilon_makes_steps_proportional_to_small_gradients() -> Result<()> {
    let moved = |g: f32| -> Result<f32> {
        let parameter = Parameter::new(Tensor::scalar(0.0)).named("x");
        let mut optimizer = Optimizer::new(Adam::new(0.1).epsilon(1e-3))?;
        optimizer.update(&[(parameter.clone(), Tensor::scalar(g))])?;
        Ok(-parameter.get().item()?)
    };
    for g in [1e-6, 1e-3, 1.0] {
        let expected = 0.1 * g / (g + 1e-3);
        assert!((moved(g)? / expected - 1.0).abs() < 1e-4, "{g}");
    }
    Ok(())
}

/// Without a gradient x decays to x (1 - .1 · .3)ⁿ; with one, the step besides the decay is that of Adam.
#[test]
fn weights_decay_beside_the_steps_of_adam() -> Result<()> {
    let after = |rule: Adam, g: f32, steps: i32| -> Result<f32> {
        let parameter = Parameter::new(Tensor::scalar(2.0)).named("x");
        let mut optimizer = Optimizer::new(rule)?;
        for _ in 0..steps {
            optimizer.update(&[(parameter.clone(), Tensor::scalar(g))])?;
        }
        parameter.get().item()
    };
    let adam = Adam::new(0.1);
    let decayed = after(adam.weight_decay(0.3), 0.0, 7)?;
    assert!(
        (decayed / (2.0 * 0.97_f32.powi(7)) - 1.0).abs() < 1e-5,
        "{decayed}"
    );
    let (with, without) = (after(adam.weight_decay(0.3), 5.0, 1)?, after(adam, 5.0, 1)?);
    assert!(
        (without - with - 2.0 * 0.03).abs() < 1e-6,
        "{with}, {without}"
    );
    Ok(())
}

#[test]
fn nothing_is_left_of_a_gradient_that_was_long_ago() {
    fn left(rule: impl Rule + 'static) -> Vec<f32> {
        let parameter = Parameter::new(Tensor::scalar(3.0)).named("x");
        let mut optimizer = Optimizer::new(rule).unwrap();
        for step in 0..3_000 {
            let gradient = Tensor::scalar(if step == 0 { 1.0 } else { 0.0 });
            optimizer.update(&[(parameter.clone(), gradient)]).unwrap();
        }
        let memory = optimizer.state().unwrap().remove("x").unwrap();
        memory.slots.concat()
    }
    assert_eq!(left(Adam::new(0.1).betas(0.9, 0.95)), [0.0, 0.0]);
    assert_eq!(left(RmsProp::new(0.1).decay(0.95)), [0.0]);
    assert_eq!(left(Sgd::new(0.1).momentum(0.9)), [0.0]);
}

#[test]
fn steps_are_in_units_where_no_rule_was_chosen() -> Result<()> {
    let moved = |optimizer: &mut Optimizer| -> Result<f32> {
        let parameter = Parameter::new(Tensor::scalar(3.0)).named("x");
        parameter.set_unit(&Tensor::scalar(100.0))?;
        optimizer.update(&[(parameter.clone(), Tensor::scalar(0.7))])?;
        Ok(3.0 - parameter.get().item()?)
    };
    let mut unasked = Optimizer::default();
    assert!(unasked.take_units());
    assert!((moved(&mut unasked)? - 1.0).abs() < 1e-4);
    // A rate that is given is meant as it is, and the decay is of the value itself.
    unasked.set_rule(Adam::new(0.01).weight_decay(0.5))?;
    assert!(!unasked.is_in_units());
    assert!((moved(&mut unasked)? - 0.01 - 3.0 * 0.005).abs() < 1e-5);
    let mut chosen = Optimizer::new(Adam::new(0.01))?;
    assert!(!chosen.take_units());
    assert!((moved(&mut chosen)? - 0.01).abs() < 1e-5);
    Ok(())
}

#[test]
fn another_rate_goes_on_with_what_is_remembered() -> Result<()> {
    let parameter = Parameter::new(Tensor::scalar(3.0)).named("x");
    let mut optimizer = Optimizer::new(Sgd::new(0.1).momentum(0.5))?;
    let moved = |optimizer: &mut Optimizer, gradient: f32| -> Result<f32> {
        let before = parameter.get().item()?;
        optimizer.update(&[(parameter.clone(), Tensor::scalar(gradient))])?;
        Ok(before - parameter.get().item()?)
    };
    assert!((moved(&mut optimizer, 1.0)? - 0.1).abs() < 1e-6);
    optimizer.set_rule(Sgd::new(0.01).momentum(0.5))?;
    assert!((moved(&mut optimizer, 1.0)? - 0.015).abs() < 1e-6);
    let error = optimizer.set_rule(Adam::new(0.1)).unwrap_err().to_string();
    assert!(error.contains("Adam") && error.contains("SGD"), "{error}");
    assert!(optimizer.set_rule(Sgd::new(f32::NAN)).is_err());
    Ok(())
}

#[test]
fn restoring_the_state_continues_bit_for_bit() {
    let parameter = Parameter::new(Tensor::scalar(3.0)).named("x");
    let mut optimizer = Optimizer::new(Adam::new(0.1)).unwrap();
    let gradient = Tensor::scalar(0.7);
    optimizer
        .update(&[(parameter.clone(), gradient.clone())])
        .unwrap();
    let copy = Parameter::new(parameter.get().detach()).named("x");
    let mut resumed = Optimizer::new(Adam::new(0.1)).unwrap();
    resumed.restore(optimizer.state().unwrap());
    optimizer
        .update(&[(parameter.clone(), gradient.clone())])
        .unwrap();
    resumed.update(&[(copy.clone(), gradient)]).unwrap();
    assert_eq!(parameter.get().item().unwrap(), copy.get().item().unwrap());
    assert_eq!(optimizer.state().unwrap(), resumed.state().unwrap());
}

#[test]
fn joint_updates_are_single_ones_bit_for_bit() -> Result<()> {
    const GRADIENT: [f32; 4] = [0.7, -0.2, 1e-3, 5.0];
    let parameters = || {
        let a = Parameter::new(Tensor::from_slice(&[3.0, -1.0, 0.5])).named("a");
        [a, Parameter::new(Tensor::scalar(2.0)).named("b")]
    };
    let singly = |optimizer: &mut Optimizer, [a, b]: &[Parameter; 2]| {
        let (of_a, of_b) = (
            Tensor::from_slice(&GRADIENT[..3]),
            Tensor::scalar(GRADIENT[3]),
        );
        optimizer.update(&[(a.clone(), of_a), (b.clone(), of_b)])
    };
    let values = |[a, b]: &[Parameter; 2]| -> Result<Vec<f32>> {
        Ok([a.get().peek()?, b.get().peek()?].concat())
    };
    let (one, two) = (parameters(), parameters());
    let mut single = Optimizer::new(Adam::new(0.1))?;
    let mut joint = Optimizer::new(Adam::new(0.1))?;
    for step in 0..6 {
        singly(&mut single, &one)?;
        match step {
            3 => singly(&mut joint, &two)?,
            _ => joint.update_all(&two, None, &GRADIENT)?,
        }
        assert_eq!(values(&one)?, values(&two)?, "step {step}");
        assert_eq!(single.state()?, joint.state()?, "step {step}");
        if step == 1 {
            let state = joint.state()?;
            joint = Optimizer::new(Adam::new(0.1))?;
            joint.restore(state);
        }
    }
    let before = values(&two)?;
    assert!(joint.update_all(&two, None, &[1.0; 3]).is_err());
    let error = joint
        .update_all(&two, None, &[1.0, 1.0, 1.0, f32::NAN])
        .unwrap_err();
    assert!(error.to_string().contains("`b`"), "{error}");
    assert_eq!(values(&two)?, before, "a refused gradient moves nothing");
    Ok(())
}

/// Small parameters that come again and again are moved in one go, with the same numbers as one by one; also
/// where others come in between, or a gradient is wrong.
#[test]
fn many_small_parameters_move_as_each_alone_does() -> Result<()> {
    const COUNT: usize = 40;
    let make = || -> Vec<Parameter> {
        let value = |i: usize| Tensor::from_slice(&vec![i as f32; 1 + i % 3]);
        let make = |i: usize| Parameter::new(value(i)).named(&format!("p{i}"));
        (0..COUNT).map(make).collect()
    };
    let gradient = |step: usize, i: usize| -> Tensor {
        let number = |j: usize| ((step * 7 + i * 3 + j) % 11) as f32 - 5.3;
        Tensor::from_slice(&(0..1 + i % 3).map(number).collect::<Vec<_>>())
    };
    let (one, all) = (make(), make());
    let mut single = Optimizer::new(Averaged::of(RmsProp::new(0.1)))?;
    let mut many = Optimizer::new(Averaged::of(RmsProp::new(0.1)))?;
    for step in 0..20 {
        let skipped = (step == 8).then_some(3);
        let here = (0..COUNT).filter(|i| Some(*i) != skipped);
        for i in here.clone() {
            single.update(&[(one[i].clone(), gradient(step, i))])?;
        }
        let pairs: Vec<_> = here.map(|i| (all[i].clone(), gradient(step, i))).collect();
        many.update(&pairs)?;
        assert_eq!(many.joint.is_some(), (4..8).contains(&step), "step {step}");
        for (a, b) in one.iter().zip(&all) {
            assert_eq!(a.get().peek()?, b.get().peek()?, "step {step}");
        }
        assert_eq!(single.state()?, many.state()?, "step {step}");
        if step == 6 {
            let mut wrong = pairs.clone();
            wrong[17].1 = Tensor::full(wrong[17].1.shape(), f32::NAN, &Device::cpu());
            let error = many.update(&wrong).expect_err("no number").to_string();
            assert!(error.contains("`p17`"), "{error}");
            wrong[17].1 = Tensor::zeros([9], &Device::cpu());
            assert!(many.update(&wrong).is_err(), "another length");
            assert_eq!(single.state()?, many.state()?, "nothing is remembered");
        }
    }
    // A list that names a parameter twice moves it twice.
    let pairs: Vec<_> = [0, 1, 0].map(|i| (all[i].clone(), gradient(0, i))).into();
    (0..8).try_for_each(|_| many.update(&pairs))?;
    assert!(many.joint.is_none());
    assert_eq!(many.state()?["p0"].step, 20 + 16);
    Ok(())
}

/// A rule that looks at a whole parameter gets one at a time.
#[test]
fn rules_that_are_not_elementwise_see_each_parameter_alone() -> Result<()> {
    #[derive(Debug)]
    struct Normalised;

    impl Rule for Normalised {
        fn kind(&self) -> String {
            "Normalised".into()
        }

        fn slots(&self) -> usize {
            0
        }

        fn apply(&self, _: Step, x: &mut [f32], g: &[f32], _: &mut [Vec<f32>]) {
            let norm = g.iter().map(|g| g * g).sum::<f32>().sqrt();
            x.iter_mut().zip(g).for_each(|(x, g)| *x -= g / norm);
        }

        fn check(&self) -> Result<()> {
            Ok(())
        }
    }

    let pair = [0.0, 0.0].map(|x| Parameter::new(Tensor::scalar(x)));
    let mut optimizer = Optimizer::new(Normalised)?;
    for _ in 0..8 {
        let gradients = pair.clone().map(|p| (p, Tensor::scalar(3.0)));
        optimizer.update(&gradients)?;
        optimizer.update_all(&pair, None, &[5.0, 5.0])?;
    }
    for parameter in &pair {
        assert_eq!(parameter.get().item()?, -16.0);
    }
    Ok(())
}

#[test]
fn senseless_settings_are_refused() {
    for rate in [f32::NAN, 0.0, -1.0, f32::INFINITY] {
        let error = Optimizer::new(Adam::new(rate)).unwrap_err().to_string();
        assert!(error.contains("learning rate"), "{error}");
        assert!(Optimizer::new(Sgd::new(rate)).is_err());
        assert!(Optimizer::new(RmsProp::new(rate)).is_err());
    }
    assert!(Optimizer::new(Adam::new(0.1).betas(1.0, 0.9)).is_err());
    assert!(Optimizer::new(Adam::new(0.1).epsilon(0.0)).is_err());
    assert!(Optimizer::new(Adam::new(0.1).weight_decay(10.0)).is_ok());
    for weight_decay in [-0.1, 10.1, f32::NAN] {
        let rule = Adam::new(0.1).weight_decay(weight_decay);
        let error = Optimizer::new(rule).unwrap_err().to_string();
        assert!(error.contains("weight decay"), "{error}");
    }
}

#[test]
fn a_gradient_of_the_wrong_size_is_an_error() {
    let parameter = Parameter::new(Tensor::scalar(3.0));
    let gradient = Tensor::zeros(Shape::from([2]), &Device::cpu());
    let mut optimizer = Optimizer::new(Adam::new(0.1)).unwrap();
    assert!(optimizer.update(&[(parameter, gradient)]).is_err());
}

/// On another device the same steps are taken there, and go on from what a file says.
#[test]
#[cfg(feature = "dfdx")]
fn steps_away_from_the_cpu_are_the_same() -> Result<()> {
    type Build = fn() -> Result<Optimizer>;
    let builds: [Build; 6] = [
        || Optimizer::new(Adam::new(0.1)),
        || Optimizer::new(Adam::new(0.1).weight_decay(0.5).epsilon(0.01)),
        || Optimizer::new(Averaged::of(Adam::new(0.1))),
        || Optimizer::new(RmsProp::new(0.05)),
        || Optimizer::new(Sgd::new(0.1).momentum(0.9)),
        || Ok(Optimizer::default()),
    ];
    let gradients = [
        [0.7, -0.2],
        [1e-3, 5.0],
        [0.0, -3.0],
        [0.4, 0.4],
        [1e6, 0.0],
    ];
    for build in builds {
        let (mut here, mut there) = (build()?, build()?);
        let on = |device: &Device| -> Result<Parameter> {
            let parameter = Parameter::new(Tensor::from_vec(vec![3.0, -1.0], [2], device)?);
            parameter.set_unit(&Tensor::from_slice(&[100.0, 0.1]))?;
            Ok(parameter.named("x"))
        };
        let (x, y) = (on(&Device::cpu())?, on(&Device::dfdx())?);
        assert_eq!(here.take_units(), there.take_units());
        // Of some averages only every eighth step counts.
        for (step, gradient) in gradients.iter().cycle().take(20).enumerate() {
            let gradient = Tensor::from_slice(gradient);
            here.update(&[(x.clone(), gradient.clone())])?;
            there.update(&[(y.clone(), gradient.to_device(&Device::dfdx())?)])?;
            assert_eq!(y.device(), Device::dfdx());
            assert!(there.memory.is_empty() && there.away.len() == 1);
            for (x, y) in x.get().peek()?.iter().zip(y.get().peek()?) {
                assert!(
                    (x - y).abs() < 1e-5 * (1.0 + x.abs()),
                    "{x} and {y} at {step}"
                );
            }
            if step == 2 {
                let state = there.state()?;
                assert_eq!(state["x"].step, 3);
                there.restore(state);
            }
        }
        let slots = |optimizer: &Optimizer| Ok::<_, Error>(optimizer.state()?["x"].slots.concat());
        for (x, y) in slots(&here)?.iter().zip(slots(&there)?) {
            assert!((x - y).abs() < 1e-5 * (1.0 + x.abs()), "{x} and {y}");
        }
        let before = (y.get().peek()?, there.state()?);
        for wrong in [f32::NAN, f32::INFINITY] {
            let wrong = Tensor::from_slice(&[0.0, wrong]).to_device(&Device::dfdx())?;
            let error = there.update(&[(y.clone(), wrong)]).expect_err("not finite");
            assert!(error.to_string().contains("`x`"), "{error}");
        }
        assert_eq!(
            (y.get().peek()?, there.state()?),
            before,
            "nothing was moved"
        );
    }
    Ok(())
}

/// Gradients that a rule's numbers cannot hold are refused there, too.
#[test]
#[cfg(feature = "dfdx")]
fn overflow_away_from_the_cpu_moves_nothing() -> Result<()> {
    let x = Parameter::new(Tensor::full([2], 1.0, &Device::dfdx())).named("x");
    let mut optimizer = Optimizer::new(Adam::new(0.1))?;
    let mut push = |g: f32| optimizer.update(&[(x.clone(), Tensor::full([2], g, &Device::dfdx()))]);
    push(1.0)?;
    let before = x.get().peek()?;
    let error = push(1e20).expect_err("its square is too large").to_string();
    assert!(
        error.contains("`x`") && error.contains("too large"),
        "{error}"
    );
    assert_eq!(x.get().peek()?, before);
    push(1.0)
}

/// What is remembered goes with a parameter from one device to the other and back.
#[test]
#[cfg(feature = "dfdx")]
fn memory_goes_where_its_parameter_goes() -> Result<()> {
    let place = |device: &Device| Tensor::from_vec(vec![3.0, -1.0], [2], device);
    let (there, here) = (Device::dfdx(), Device::cpu());
    let both = [place(&here)?, place(&here)?].map(|value| Parameter::new(value).named("x"));
    let [staying, moving] = both;
    let mut optimizers = [
        Optimizer::new(Adam::new(0.1))?,
        Optimizer::new(Adam::new(0.1))?,
    ];
    for (step, device) in [&here, &there, &there, &here, &here]
        .into_iter()
        .enumerate()
    {
        moving.set(moving.get().detach().to_device(device)?)?;
        let gradient = Tensor::from_slice(&[0.7 - 0.4 * step as f32, 1e-3]);
        let numbers = gradient.peek()?;
        let [one, other] = &mut optimizers;
        one.update(&[(staying.clone(), gradient.clone())])?;
        match step {
            // By way of the joint memory.
            0 => other.update_all(std::slice::from_ref(&moving), None, &numbers)?,
            _ => other.update(&[(moving.clone(), gradient.to_device(device)?)])?,
        }
        for (x, y) in staying.get().peek()?.iter().zip(moving.get().peek()?) {
            assert!((x - y).abs() < 1e-5, "{x} and {y} at {step}");
        }
        assert_eq!(other.state()?["x"].step, step as u64 + 1);
    }
    Ok(())
}

/// What one rule has remembered means nothing to another.
#[test]
fn a_restored_state_of_another_rule_begins_anew() -> Result<()> {
    let parameter = Parameter::new(Tensor::scalar(3.0)).named("x");
    let pull = |optimizer: &mut Optimizer, gradient: f32| {
        optimizer.update(&[(parameter.clone(), Tensor::scalar(gradient))])
    };
    let mut adam = Optimizer::new(Adam::new(0.1))?;
    (0..50).try_for_each(|_| pull(&mut adam, 1.0))?;
    let mut averaged = Optimizer::new(Averaged::of(Adam::new(0.1)))?;
    averaged.restore(adam.state()?);
    assert!(averaged.average_of(&parameter)?.is_none());
    pull(&mut averaged, 1.0)?;
    let average = averaged.average_of(&parameter)?;
    let average = average.map(|average| average.item()).transpose()?;
    assert_eq!(average, Some(parameter.get().item()?));
    assert_eq!(averaged.state()?["x"].step, 1);
    Ok(())
}

//! Operations on all cases of choices, compared with the same operations on each case.

use super::*;
use crate::tensor::{Device, Shape, grad};

fn choice(variable: usize, values: &[f32], here: usize) -> Tensor {
    let tensors = AllCases::apart(values.iter().map(|&x| Tensor::scalar(x)));
    let choice = Choice {
        variable,
        size: values.len(),
    };
    Tensor::of_choice(choice, &Rc::new(tensors), here).expect("a sound tensor")
}

fn numbers(x: &Tensor) -> Vec<f32> {
    let cases = x.cases().expect("it has cases");
    let all = cases.all.each().map(|x| x.item().expect("a number"));
    all.collect()
}

#[test]
fn operations_are_made_for_each_combination() {
    let collecting = Collecting::start();
    let (a, b) = (choice(3, &[1.0, 2.0], 1), choice(1, &[10.0, 20.0, 30.0], 0));
    let sum = &a + &b;
    // The choice with the smaller number changes last.
    assert_eq!(numbers(&sum), [11.0, 12.0, 21.0, 22.0, 31.0, 32.0]);
    assert_eq!(sum.cases().map(|cases| cases.here), Some(1));
    assert_eq!(numbers(&(&sum * &a)), [11.0, 24.0, 21.0, 44.0, 31.0, 64.0]);
    assert_eq!(
        numbers(&a.gt(1.5).select_where(&b, &sum))[..3],
        [11.0, 10.0, 21.0]
    );
    let both = Tensor::stack(&[&a, &b], 0).logsumexp(0);
    let wanted = |a: f32, b: f32| (a.exp() + b.exp()).ln();
    assert!((numbers(&both)[3] - wanted(2.0, 20.0)).abs() < 1e-5);
    assert!(!collecting.are_lost());
}

#[test]
fn equal_operations_are_made_once_for_choices_of_the_same_values() {
    let _collecting = Collecting::start();
    let a = choice(0, &[1.0, 2.0], 0);
    let cases = a.cases().expect("it has cases");
    let like = Choice {
        variable: 7,
        size: 2,
    };
    let b = Tensor::of_choice(like, &cases.all, 1).expect("a sound tensor");
    let list = |x: &Tensor| x.cases().map(Cases::address);
    assert_eq!(list(&a.exp()), list(&b.exp()));
    assert_ne!(list(&a.exp()), list(&a.ln()));
    // Of one choice with itself, and of two.
    assert_eq!(numbers(&(&a - &a)), [0.0, 0.0]);
    assert_eq!(numbers(&(&a - &b)), [0.0, -1.0, 1.0, 0.0]);
    assert_eq!(numbers(&(&b - &a)), [0.0, 1.0, -1.0, 0.0]);
}

#[test]
fn what_differs_between_cases_for_host_code_is_lost() {
    let collecting = Collecting::start();
    let a = choice(0, &[1.0, 2.0], 0);
    assert!(a.tells(|x| x[0] > 0.0).is_ok_and(|told| told));
    assert!(!collecting.are_lost());
    assert!(a.tells(|x| x[0] > 1.5).is_ok_and(|told| !told));
    assert!(collecting.are_lost());
    drop(collecting);
    for look in [
        (|x: &Tensor| x.item().is_ok()) as fn(&Tensor) -> bool,
        |x| x.leaf().check().is_ok(),
        |x| x.with_tangent(&Tensor::scalar(1.0)).check().is_ok(),
        |x| x.peek().is_ok(),
    ] {
        let collecting = Collecting::start();
        assert!(look(&a));
        assert!(collecting.are_lost());
    }
    let collecting = Collecting::start();
    let wide = (0..7).fold(a, |sum, variable| sum + choice(variable + 1, &[0.0; 4], 0));
    assert!(
        wide.check().is_ok() && collecting.are_lost(),
        "too many combinations"
    );
}

/// A choice with this many values, each of which has its own numbers, of this shape.
fn choice_of(variable: usize, size: usize, shape: impl Into<Shape>, here: usize) -> Tensor {
    let shape = shape.into();
    let of_value = |value: usize| {
        let number = |i: usize| ((value * 7 + i * 3 + variable) % 11) as f32 * 0.31 - 1.2;
        Tensor::of_numbers(&(0..shape.numel()).map(number).collect::<Vec<_>>(), shape)
    };
    let values = Rc::new(AllCases::apart((0..size).map(of_value)));
    Tensor::of_choice(Choice { variable, size }, &values, here).expect("sound tensors")
}

/// Compares each case of an operation's result with the operation on the operands' own tensors: values, and the
/// gradients of weighted sums.
#[track_caller]
fn expect_cases(operands: &[&Tensor], f: &dyn Fn(&[Tensor]) -> Tensor, is_together: bool) {
    let leaf = Tensor::from_slice(&[0.7]).leaf();
    let moved = |x: &Tensor| x * &leaf;
    let weigh = |x: &Tensor, case: usize| {
        let weight = |i: usize| ((case * 5 + i) % 7) as f32 - 2.5;
        let weights: Vec<f32> = (0..x.len()).map(weight).collect();
        (x * Tensor::of_numbers(&weights, x.shape())).sum_all()
    };
    let collecting = Collecting::start();
    let with_cases: Vec<Tensor> = operands.iter().map(|x| moved(x)).collect();
    let out = f(&with_cases);
    assert!(!collecting.are_lost(), "{:?}", out.check().err());
    let cases = out.cases().expect("it has cases");
    assert_eq!(cases.all.if_one().is_some(), is_together);
    drop(collecting);
    let mut values: SmallVec<[usize; 4]> = SmallVec::from_elem(0, cases.choices.len());
    let (mut found_sum, mut wanted_sum) = (Tensor::scalar(0.0), Tensor::scalar(0.0));
    for case in 0..cases.all.count() {
        let mut rest = case;
        for (value, choice) in values.iter_mut().zip(&cases.choices).rev() {
            (*value, rest) = (rest % choice.size, rest / choice.size);
        }
        let own = operands.iter().map(|x| match x.cases() {
            None => moved(x),
            Some(own) => {
                let [choice] = own.choices[..] else {
                    unreachable!("operands are choices")
                };
                let at = cases.choices.iter().position(|other| *other == choice);
                moved(own.all.at(values[at.expect("its choice")]))
            }
        });
        let wanted = f(&own.collect::<Vec<_>>());
        let found = cases.all.at(case);
        assert_eq!(found.shape(), wanted.shape());
        let pairs = (
            found.to_vec().expect("numbers"),
            wanted.to_vec().expect("numbers"),
        );
        for (found, wanted) in pairs.0.iter().zip(&pairs.1) {
            let near = (found - wanted).abs() < 1e-5 * wanted.abs().max(1.0);
            assert!(
                near || found.to_bits() == wanted.to_bits(),
                "{case}: {found}, not {wanted}"
            );
        }
        found_sum = found_sum + weigh(found, case);
        wanted_sum = wanted_sum + weigh(&wanted, case);
    }
    if wanted_sum.is_tracked() {
        let slope = |sum: &Tensor| {
            let slope = grad(&[(sum, None)], &[&leaf]).expect("a gradient");
            slope[0].item().expect("a number")
        };
        let (found, wanted) = (slope(&found_sum), slope(&wanted_sum));
        assert!(
            (found - wanted).abs() < 1e-4 * wanted.abs().max(1.0),
            "{found}, not {wanted}"
        );
    }
}

#[test]
fn operations_on_all_cases_at_once_are_those_of_each() {
    type Function<'a> = &'a dyn Fn(&[Tensor]) -> Tensor;
    let one: [Function<'_>; 43] = [
        &|x| x[0].exp() + x[0].square().ln_1p(),
        &|x| x[0].sum(0),
        &|x| x[0].sum(-1) / 3.0,
        &|x| x[0].sum_keepdim(1),
        &|x| x[0].sum_from(1),
        &|x| x[0].sum_all(),
        &|x| x[0].reshape([2, 6]).exp(),
        &|x| x[0].transpose(),
        &|x| x[0].unsqueeze(1),
        &|x| x[0].unsqueeze(-1).squeeze(-1),
        &|x| x[0].slice(0, 1..3),
        &|x| x[0].index(1, 2),
        &|x| x[0].index(-2, 1).broadcast_to([2, 4]),
        &|x| x[0].gather(1, &[3, 0, 0]),
        &|x| x[0].flip(0),
        &|x| x[0].slice(1, 0..3).diagonal(),
        &|x| x[0].log_softmax(0),
        &|x| x[0].softmax(-1),
        &|x| x[0].logsumexp(1),
        &|x| x[0].max(0),
        &|x| x[0].min(-1),
        &|x| x[0].argmax(1),
        &|x| x[0].argmin(0),
        &|x| x[0].max_all(),
        &|x| x[0].sort(1),
        &|x| x[0].argsort(-2),
        &|x| x[0].quantile(0.3, 1),
        &|x| x[0].cumsum(0),
        &|x| x[0].prod(1),
        &|x| x[0].powf(0.0),
        &|x| x[0].slice(1, 0..3).tril(0),
        &|x| {
            let half = x[0].slice(1, 0..3).tril(0);
            let own = half.matmul_nt(&half) + Tensor::eye(3, &x[0].device()) * 2.0;
            own.cholesky()
        },
        &|x| {
            let own = x[0].slice(1, 0..3).tril(0) + Tensor::eye(3, &x[0].device()) * 4.0;
            own.solve_lower(&x[0])
        },
        &|x| x[0].abs().powf(1.5),
        &|x| x[0].clamp(-0.5, 0.5),
        &|x| x[0].gt(0.1),
        &|x| x[0].detach() * &x[0],
        &|x| x[0].var(1, 1),
        &|x| Tensor::concat(&[&x[0], &Tensor::ones([3, 2], &x[0].device())], 1),
        &|x| Tensor::stack(&[&x[0], &x[0].exp()], 0),
        &|x| x[0].gt(0.0).select_where(&x[0].exp(), &Tensor::scalar(2.0)),
        &|x| x[0].matmul_nt(&Tensor::ones([2, 4], &x[0].device())),
        &|x| x[0].argmax(1).one_hot(4),
    ];
    for (number, f) in one.into_iter().enumerate() {
        println!("of one, {number}");
        expect_cases(&[&choice_of(3, 9, [3, 4], 4)], f, true);
        // A choice with as many values as two tensors with fewer values have together.
        let sum = |x: &[Tensor]| f(&[&x[0] + &x[1]]);
        let (a, b) = (choice_of(3, 3, [3, 4], 1), choice_of(1, 4, [4], 0));
        expect_cases(&[&a, &b], &sum, true);
    }
    let two: [(Function<'_>, Shape, Shape); 17] = [
        (&|x| &x[0] - &x[1], [3, 4].into(), [4].into()),
        (&|x| &x[0] / x[1].exp(), [].into(), [3, 4].into()),
        (&|x| x[0].maximum(&x[1]), [3, 1].into(), [1, 4].into()),
        (
            &|x| x[0].ge(&x[1]).select_where(&x[1], &x[0]),
            [4].into(),
            [4].into(),
        ),
        (&|x| x[0].matmul(&x[1]), [3, 4].into(), [4, 2].into()),
        (&|x| x[0].matmul(&x[1]), [4].into(), [4, 2].into()),
        (&|x| x[0].matmul(&x[1]), [3, 4].into(), [4].into()),
        (&|x| x[0].matmul(&x[1]), [4].into(), [4].into()),
        (&|x| x[0].matmul_nt(&x[1]), [3, 4].into(), [2, 4].into()),
        (&|x| x[0].matmul_tn(&x[1]), [4, 3].into(), [4, 2].into()),
        (&|x| x[0].pick(&x[1].gt(0.0)), [3, 4].into(), [3].into()),
        (&|x| x[0].dot_from(&x[1], 1), [3, 4].into(), [3, 4].into()),
        (
            &|x| x[0].coin_log_mass_from(&x[1].gt(0.0), 1),
            [3, 4].into(),
            [4].into(),
        ),
        (
            &|x| Tensor::concat(&[&x[0], &x[1]], -1),
            [3, 4].into(),
            [3, 2].into(),
        ),
        (
            &|x| Tensor::stack(&[&x[1], &x[0]], 1),
            [3].into(),
            [3].into(),
        ),
        (
            &|x| Tensor::einsum("ij,jk->ki", &[&x[0], &x[1]]),
            [3, 4].into(),
            [4, 2].into(),
        ),
        (
            &|x| {
                x[0].expanded(
                    &x[1].detach(),
                    |x, y| f64::from(x * x * y),
                    |x, y| [x * x * y, 2.0 * x * y, 2.0 * y].map(f64::from),
                )
            },
            [3, 4].into(),
            [4].into(),
        ),
    ];
    for (number, (f, a, b)) in two.into_iter().enumerate() {
        println!("of two, {number}");
        let (first, second) = (choice_of(2, 3, a, 1), choice_of(5, 4, b, 0));
        expect_cases(&[&first, &second], f, true);
        // Operands with the same choice, and one without any.
        expect_cases(&[&choice_of(2, 8, a, 1), &choice_of(2, 8, b, 1)], f, true);
        let plain = choice_of(5, 1, b, 0).of_this_case();
        expect_cases(&[&choice_of(2, 8, a, 1), &plain], f, true);
        let plain = choice_of(5, 1, a, 0).of_this_case();
        expect_cases(&[&plain, &choice_of(2, 8, b, 1)], f, true);
    }
    // More axes than are possible for two choices, and for one.
    let f: Function<'_> = &|x| &x[0] * &x[1];
    expect_cases(
        &[&choice_of(2, 3, [2, 3, 4], 1), &choice_of(5, 4, [4], 0)],
        f,
        true,
    );
    expect_cases(
        &[&choice_of(2, 3, [2, 1, 3, 4], 1), &choice_of(5, 4, [4], 0)],
        f,
        false,
    );
    // Few cases are done one by one.
    expect_cases(
        &[&choice_of(2, 3, [4], 1), &choice_of(5, 2, [4], 0)],
        f,
        false,
    );
}

#[test]
fn a_case_that_counts_for_nothing_has_no_derivative() {
    let _collecting = Collecting::start();
    let values = Rc::new(AllCases::apart(
        (0..8).map(|value| Tensor::scalar(value as f32)),
    ));
    let choice = Choice {
        variable: 0,
        size: 8,
    };
    let x = Tensor::of_choice(choice, &values, 3).expect("sound tensors");
    let leaf = Tensor::scalar(2.0).leaf();
    // ln and √ have no finite derivative at 0, the value of the first case.
    let out = (&leaf * &x).ln() + (&leaf * &x).sqrt() + (&leaf * &x).powf(0.5);
    let all = out
        .cases()
        .and_then(|cases| cases.all.if_one())
        .expect("all at once")
        .clone();
    let weights = Tensor::from_slice(&[0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    let slope = grad(&[(&all, Some(&weights))], &[&leaf]).expect("a gradient");
    let wanted = [1.0_f32, 4.0]
        .map(|x| 0.5 + (x / 2.0).sqrt())
        .iter()
        .sum::<f32>();
    let found = slope[0].item().expect("a number");
    assert!((found - wanted).abs() < 1e-5, "{found}, not {wanted}");
}

#[test]
fn eight_cases_of_a_vector_are_no_matrix() {
    let _collecting = Collecting::start();
    let vector =
        choice(0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 0) * Tensor::ones([8], &Device::cpu());
    for refused in [vector.cholesky(), vector.solve_lower(&vector)] {
        let error = refused.check().expect_err("a vector is refused");
        assert!(error.to_string().contains("square matrices"), "{error}");
    }
}

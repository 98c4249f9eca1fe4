//! Programs with few discrete choices. Programs with a plate make all their choices inside it, so a plate of many equal
//! rows amounts to that many independent draws of the program with one row.

use relax_runtime::prelude::*;

fn zeros(shape: impl Into<Shape>) -> Tensor {
    Tensor::zeros(shape, &Device::cpu())
}

/// Numbers that the rows of a plate share.
fn row(numbers: &[f32]) -> Tensor {
    row_on(&Device::cpu(), numbers)
}

fn row_on(device: &Device, numbers: &[f32]) -> Tensor {
    Tensor::from_vec(numbers.to_vec(), [1, numbers.len()], device).unwrap()
}

fn dot(b: &Tensor, weights: &[f32]) -> Tensor {
    let weights = Tensor::from_vec(weights.to_vec(), [weights.len()], &b.device());
    (b * weights.unwrap()).sum(-1)
}

#[model]
pub fn coin(rows: usize, of: usize) {
    let theta = param!(0.4);
    plate!(rows, of = of => {
        let b = sample!(Bernoulli(logits = &theta));
        cost!((&b - 0.2).square());
    });
}

/// A cost in which the coins interact, and which depends on a parameter directly.
#[model]
pub fn coins(device: Device, rows: usize, of: usize) {
    let theta = param!(row_on(&device, &[0.4, -1.1, 1.7]));
    let weights = param!(row_on(&device, &[0.9, -1.4, 0.6]));
    plate!(rows, of = of => {
        let b = sample!(Bernoulli(logits = &theta));
        cost!(((&b * &weights).sum(-1) - 0.3).square() + b.index(-1, 0) * b.index(-1, 2));
    });
}

#[model]
pub fn index(device: Device, rows: usize, of: usize) {
    let theta = param!(row_on(&device, &[0.3, -0.7, 1.2, 0.1]));
    plate!(rows, of = of => {
        let k = sample!(Categorical(logits = &theta));
        cost!((&k - 1.3).square());
    });
}

#[model]
pub fn one_hot(device: Device, rows: usize, of: usize) {
    let theta = param!(row_on(&device, &[0.3, -0.7, 1.2, 0.1]));
    plate!(rows, of = of => {
        let b = sample!(OneHotCategorical(logits = &theta));
        cost!((dot(&b, &[0.2, 1.5, -0.4, 0.9]) - 0.5).square() + b.index(-1, 3));
    });
}

#[model]
pub fn two_coins(rows: usize, of: usize) {
    let first = param!(0.4);
    let slope = param!(1.3);
    let second = param!(-0.6);
    plate!(rows, of = of => {
        let a = sample!(Bernoulli(logits = &first));
        cost!((&a - 0.6).square());
        let b = sample!(Bernoulli(logits = &a * &slope + &second));
        cost!((&a + &b * 2.0 - 0.7).square());
    });
}

/// An index that depends on a one-hot vector: the first cannot be relaxed because the second
/// cannot.
#[model]
pub fn vector_then_index(rows: usize, of: usize) {
    let theta = param!(row(&[0.3, -0.4, 0.5]));
    let table = param!(row(&[0.3, -0.7, 1.2, 0.1, -0.5, 0.6]).reshape([3, 2]));
    plate!(rows, of = of => {
        let a = sample!(OneHotCategorical(logits = &theta));
        let k = sample!(Categorical(logits = a.matmul(&table)));
        cost!((dot(&a, &[0.3, -1.0, 0.8]) + &k * 1.5 - 0.4).square());
    });
}

/// A loop in which every coin depends on the one before, with costs on the way.
#[model]
pub fn chain(rows: usize, of: usize) {
    let slope = param!(1.1);
    let bias = param!(-0.4);
    plate!(rows, of = of => {
        let mut last = zeros([1]);
        for step in 0..3 {
            let h = sample!(Bernoulli(logits = &last * &slope + &bias));
            cost!((&h + &last - 0.3 * (step as f32 + 1.0)).square());
            last = h;
        }
    });
}

/// More coins than a [`SiteSet`](relax_runtime::tensor::SiteSet) has bits of its own for, of which
/// the last cost something. A coin's mean is linear in that of the coin before.
#[model]
pub fn long_chain(rows: usize) {
    let slope = param!(0.4);
    let bias = param!(0.3);
    plate!(rows => {
        let mut last = zeros([1]);
        for step in 0..140 {
            let h = sample!(Bernoulli(&last * &slope + &bias));
            if step >= 120 {
                cost!((&h - 0.2).square());
            }
            last = h;
        }
    });
}

/// A plate in a plate, the inner one a subsample.
#[model]
pub fn nested(rows: usize) {
    let theta = param!(0.3);
    let slope = param!(1.1);
    let bias = param!(-0.4);
    plate!(rows => {
        let a = sample!(Bernoulli(logits = &theta));
        cost!((&a - 0.3) * 0.5);
        plate!(2, of = 5 => {
            let b = sample!(Bernoulli(logits = (&a * &slope + &bias).unsqueeze(-1)));
            cost!((&b + a.unsqueeze(-1) - 0.6).square());
        });
    });
}

/// A choice outside a plate that the plate's rows depend on.
#[model]
pub fn shared_coin() {
    let theta = param!(0.3);
    let slope = param!(1.1);
    let a = sample!(Bernoulli(logits = &theta));
    plate!(2, of = 5 => {
        let b = sample!(Bernoulli(logits = &a * &slope));
        cost!((&b + &a - 0.6).square());
    });
}

/// Rows that meet in a cost outside their plate.
#[model]
pub fn meeting_rows() {
    let theta = param!(Tensor::from_slice(&[0.7, 0.2, -0.4]));
    let total;
    plate!(3 => {
        let b = sample!(Bernoulli(logits = &theta));
        total = dot(&b, &[0.9, -1.4, 0.6]);
    });
    cost!((total - 0.3).square());
}

/// Coins that are read by the host, which decides what is drawn next.
#[model]
pub fn decision() {
    let first = param!(0.2);
    let second = param!(0.5);
    let third = param!(Tensor::from_slice(&[0.2, -0.5, 0.4]));
    let a = sample!(Bernoulli(logits = &first));
    if a.to_bool()? {
        let b = sample!(Bernoulli(logits = &second));
        cost!((&b - 0.3).square() * 2.0);
    } else {
        let k = sample!(Categorical(logits = &third));
        cost!([0.7, -0.2, 1.1][k.to_index()?]);
    }
}

/// A coin that the host reads on some paths, and that can be relaxed on the others.
#[model]
pub fn sometimes_read() {
    let first = param!(0.2);
    let second = param!(-0.5);
    let gate = sample!(Bernoulli(logits = &first));
    let b = sample!(Bernoulli(logits = &second));
    if gate.to_bool()? {
        cost!(if b.to_bool()? { 1.4 } else { -0.2 });
    } else {
        cost!((&b - 0.8).square());
    }
}

/// Draws until a coin fails, at most three times; each coin's odds depend on how many came before.
#[model]
pub fn run_of_coins() {
    let theta = param!(Tensor::from_slice(&[0.7, 0.2, -0.4]));
    let mut length = 0;
    while length < 3 {
        let go = sample!(Bernoulli(logits = theta.index(0, length)));
        if !go.to_bool()? {
            break;
        }
        length += 1;
        cost!((length as f64 - 1.6).powi(2));
    }
    cost!(0.4 * length as f64);
}

#[model]
pub fn pair_model(rows: usize, of: usize) {
    let weight = param!(1.2);
    plate!(rows, of = of => {
        let a = sample!(Bernoulli(logits = Tensor::scalar(0.3)));
        let b = sample!(Bernoulli(logits = &a * 1.5 - 0.5));
        observe!(Bernoulli(logits = &a * &weight + &b * 2.0 - 1.0), Tensor::ones([rows], &Device::cpu()));
    });
}

#[model]
pub fn pair_guide(rows: usize, of: usize) {
    let first = param!(0.9);
    let slope = param!(-0.7);
    let second = param!(-0.8);
    plate!(rows, of = of => {
        let a = sample!(Bernoulli(logits = &first));
        let _b = sample!(Bernoulli(logits = &a * &slope + &second), name = "b");
    });
}

/// A mixture over an index and a one-hot vector, for automatic guides.
#[model]
pub fn mixture(rows: usize) {
    plate!(rows => {
        let k = sample!(Categorical(logits = Tensor::from_slice(&[0.5, -0.2, 0.1]).reshape([1, 3])));
        let s = sample!(OneHotCategorical(logits = Tensor::from_slice(&[0.2, -0.4]).reshape([1, 2])));
        let loc = &k * 0.7 + dot(&s, &[-0.5, 0.9]);
        observe!(Normal(loc, 0.8), Tensor::full([rows], 0.6, &Device::cpu()));
    });
}

/// A coin with coins in a plate of its own, for automatic guides.
#[model]
pub fn nested_mixture(rows: usize) {
    plate!(rows => {
        let a = sample!(Bernoulli(logits = Tensor::full([1], 0.4, &Device::cpu())));
        plate!(2 => {
            let b = sample!(Bernoulli(logits = (&a * 1.2 - 0.3).unsqueeze(-1)));
            observe!(Normal(&b + a.unsqueeze(-1) * 0.5, 0.9), Tensor::full([rows, 2], 0.6, &Device::cpu()));
        });
    });
}

/// A coin that the rows of a plate share, for automatic guides.
#[model]
pub fn shared_mixture() {
    let a = sample!(Bernoulli(logits = Tensor::scalar(0.4)));
    plate!(2 => {
        let b = sample!(Bernoulli(logits = (&a * 1.2 - 0.3).unsqueeze(-1)));
        observe!(Normal(&b + &a * 0.5, 0.9), Tensor::full([2], 0.6, &Device::cpu()));
    });
}

/// A cost beside an observation.
#[model]
pub fn costly() {
    let b = sample!(Bernoulli(0.3));
    observe!(Bernoulli(if b { 0.9 } else { 0.2 }), true);
    cost!(if b { 1.0 } else { 0.0 });
}

/// A choice outside the plate that stands for more rows than it has.
#[model]
pub fn loose_subsample() {
    let a = sample!(Bernoulli(logits = Tensor::scalar(0.4)));
    plate!(2, of = 10 => {
        observe!(Normal(&a, 0.9), Tensor::full([2], 0.6, &Device::cpu()));
    });
}

#[model]
pub fn loose_guide() {
    let theta = param!(0.0);
    let _a = sample!(Bernoulli(logits = &theta), name = "a");
}

/// As [`host_normal`], over tensors.
#[model]
pub fn tensor_normal(rows: usize) {
    plate!(rows => {
        let x = sample!(Normal(Tensor::scalar(0.0), 1.0));
        observe!(Normal(&x, 1.0), Tensor::ones([rows], &Device::cpu()));
    });
}

/// Host coins, for automatic guides.
#[model]
pub fn sprinkler() {
    let rain = sample!(Bernoulli(0.2));
    let sprinkler = sample!(Bernoulli(if rain { 0.1 } else { 0.4 }));
    let p = match (rain, sprinkler) {
        (true, true) => 0.99,
        (true, false) => 0.8,
        (false, true) => 0.9,
        _ => 0.05,
    };
    observe!(Bernoulli(p), true);
}

/// Host choices of which some appear on some paths only, in a loop.
#[model]
pub fn paths() {
    let mut score = 0.0;
    for _ in 0..2 {
        let step = sample!(Bernoulli(0.5 + 0.2 * score));
        if step {
            let kind = sample!(Categorical([0.2, 0.3, 0.5]));
            score += [0.4, -0.5, 1.0][kind];
        }
    }
    observe!(Normal(score, 0.7), 0.8);
}

/// A coin and a continuous choice that depends on it.
#[model]
pub fn coin_and_normal(device: Device, rows: usize, of: usize) {
    let theta = param!(Tensor::full([], 0.3, &device));
    let slope = param!(0.8);
    let scale = param!(0.6);
    plate!(rows, of = of => {
        let b = sample!(Bernoulli(logits = &theta));
        let x = sample!(Normal(&b * &slope, &scale));
        cost!((&x * &b + &x * 0.5 - 0.4).square());
    });
}

/// A continuous choice whose draw could be differentiated, with the score function nevertheless.
#[model]
pub fn scored_normal(rows: usize, of: usize) {
    let loc = param!(0.9);
    let scale = param!(0.6);
    plate!(rows, of = of => {
        let x = sample!(Normal(&loc, &scale), estimator = "reinforce");
        cost!((&x - 0.4).square());
    });
}

/// A continuous choice that the host holds, for an automatic guide.
#[model]
pub fn host_normal() {
    let x = sample!(Normal(0.0, 1.0));
    observe!(Normal(x, 1.0), 1.0);
}

/// More choices than can be enumerated.
#[model]
pub fn many_vectors(rows: usize) {
    let theta = param!(zeros([1, 16, 3]));
    plate!(rows => {
        let b = sample!(OneHotCategorical(logits = &theta));
        cost!((dot(&b, &[0.2, 1.5, -0.4]).sum(-1) - 0.5).square());
    });
}

/// A continuous choice on which host control flow depends, and with it another choice.
#[model]
pub fn threshold() {
    let loc = param!(0.0);
    let scale = param!(1.0);
    let theta = param!(0.0);
    let x = sample!(Normal(&loc, &scale));
    if x.item()? > 0.3 {
        let b = sample!(Bernoulli(logits = &theta));
        cost!((&b - 0.2).square() * 3.0);
    } else {
        cost!(0.2);
    }
}

/// Rows of a continuous choice that meet in a number of the host's.
#[model]
pub fn host_sum() {
    let loc = param!(0.3);
    let scale = param!(0.6);
    let total;
    plate!(2 => {
        let x = sample!(Normal(&loc, &scale));
        total = x.sum_all().item()?;
    });
    cost!((f64::from(total) - 0.4).powi(2));
}

/// One coin, its price, and what it says to the program that calls it.
#[model]
fn priced(theta: &Tensor, price: f32) -> Tensor {
    let b = sample!(Bernoulli(logits = theta));
    cost!((&b - 0.3).square() * price);
    b
}

/// A model that runs another one twice, the second time on the first one's choice.
#[model]
pub fn calls(rows: usize) {
    let theta = param!(0.4);
    let slope = param!(-0.9);
    plate!(rows => {
        let first = call!(priced(&theta, 0.5));
        let second = call!(priced(&(&first * &slope + 0.6), 1.5));
        cost!((&first + &second * 2.0 - 0.8).square());
    });
}

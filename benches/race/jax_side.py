"""Trains the discrete autoencoder of one linear layer in JAX, a line of JSON an epoch.

    python jax_side.py --data FOLDER --estimator relax|rloo|disarm --rate R --beta2 B --weight-decay W
                       [--batch N] [--until ELBO] [--cpu-seconds N] [--iterates]

The model, batches, first weights' law, Adam, its falling rate, the decay and the averages of weights are those of the
example program `table1`. An epoch is one compiled scan over batches that are on the device already. Estimators: RELAX
(Grathwohl et al. 2018) with the relaxed cost and a network of two hidden layers, and coupled noise, so that one
evaluation of the surrogate serves z and z̃; RLOO with four draws (Kool, van Hoof, Welling 2019); DisARM (Dong, Mnih,
Tucker 2020).
"""

import math
import time

from sides import HIDDEN, LATENTS, PIXELS, SURROGATE_DECAY, Digits, options, race, share

# Before JAX counts the cores.
given = options(__doc__, ["relax", "rloo", "disarm"])
BATCH = given.batch

import jax
import jax.numpy as jnp

digits = Digits(given)
mean, bias = digits.mean, digits.bias


def layer(key, ins, outs):
    most = (6 / (ins + outs)) ** 0.5
    return jax.random.uniform(key, (ins, outs), minval=-most, maxval=most), jnp.zeros(outs)


def apply(weights, x):
    return x @ weights[0] + weights[1]


def bernoulli(b, logits):
    return jnp.sum(b * logits - jax.nn.softplus(logits), -1)


def cost(theta, x, b, logits):
    """-ELBO of choices, hard or relaxed."""
    pixels = apply(theta["decoder"], 2 * b - 1) + bias
    return bernoulli(b, logits) - bernoulli(b, theta["prior"]) - bernoulli(x, pixels)


def logit(u):
    u = jnp.clip(u, 1e-6, 1 - 1e-6)
    return jnp.log(u) - jnp.log1p(-u)


def network(phi, x, z):
    # The image's part of the first layer has no second derivatives.
    hidden = jax.nn.relu(apply(phi["of_z"], z) + x @ phi["of_x"])
    return apply(phi["out"], jax.nn.relu(apply(phi["middle"], hidden)))[:, 0]


def relax(theta, phi, x, key):
    u = jnp.clip(jax.random.uniform(key, (BATCH, LATENTS)), 1e-6, 1 - 1e-6)

    def forward(theta):
        logits = apply(theta["encoder"], x - mean)
        b = jax.lax.stop_gradient((logits + logit(u) > 0).astype(jnp.float32))
        costs = cost(theta, x, b, logits)
        return (costs.mean(), logits), (costs, b)

    (_, logits), back, (costs, b) = jax.vjp(forward, theta, has_aux=True)
    score, off = b - jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)
    z = logits + logit(u)
    # The derivative of z less that of z̃ by the logits, where the noise of z̃ is the one that makes it z.
    moves = jnp.where(b > 0, off / u, (1 - off) / (1 - u))

    def squares(phi):
        def surrogate(z):
            relaxed = jax.nn.sigmoid(z / jnp.exp(phi["log_temperature"]))
            out = cost(theta, x, relaxed, logits) + network(phi["network"], x - mean, z)
            return out.sum(), out

        slope, c = jax.grad(surrogate, has_aux=True)(z)
        g = (costs - phi["eta"] * c)[:, None] * score + phi["eta"] * moves * slope
        decay = sum(jnp.sum(w**2) for w in jax.tree.leaves(phi["network"]))
        return jnp.mean((g / BATCH) ** 2) + 0.5 * SURROGATE_DECAY * decay, g / BATCH

    slopes_of_phi, g = jax.grad(squares, has_aux=True)(phi)
    return back((jnp.ones(()), g))[0], slopes_of_phi, -costs.mean()


def scored(draws, weights):
    """An estimator of several draws: the costs' gradient, and `weights` of the logits' for them."""

    def estimate(theta, phi, x, key):
        def forward(theta):
            logits = apply(theta["encoder"], x - mean)
            bs = draws(jax.lax.stop_gradient(logits), key)
            costs = jax.vmap(lambda b: cost(theta, x, b, logits))(bs)
            return (costs.mean(), logits), (costs, bs)

        (_, logits), back, (costs, bs) = jax.vjp(forward, theta, has_aux=True)
        return back((jnp.ones(()), weights(costs, bs, logits) / BATCH))[0], phi, -costs.mean()

    return estimate


def four(logits, key):
    u = jax.random.uniform(key, (4, BATCH, LATENTS))
    return (u < jax.nn.sigmoid(logits)).astype(jnp.float32)


def leave_one_out(costs, bs, logits):
    apart = (costs - costs.mean(0)) / 3
    return jnp.einsum("kb,kbl->bl", apart, bs - jax.nn.sigmoid(logits))


def antithetic(logits, key):
    u, p = jax.random.uniform(key, (BATCH, LATENTS)), jax.nn.sigmoid(logits)
    return jnp.stack([u < p, 1 - u < p]).astype(jnp.float32)


def disarm(costs, bs, logits):
    return 0.5 * (costs[0] - costs[1])[:, None] * (bs[0] - bs[1]) * jax.nn.sigmoid(jnp.abs(logits))


ESTIMATORS = {"relax": relax, "rloo": scored(four, leave_one_out), "disarm": scored(antithetic, disarm)}
estimate = ESTIMATORS[given.estimator]


def adam(slopes, memory, step, values, rate, beta2, decay):
    first, second = memory
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, slopes)
    second = jax.tree.map(lambda m, g: beta2 * m + (1 - beta2) * g * g, second, slopes)

    def moved(value, m, v):
        root = jnp.sqrt(v / -jnp.expm1(step * math.log(beta2))) + 1e-8
        return (1 - rate * decay) * value - rate * (m / (1 - 0.9**step)) / root

    return jax.tree.map(moved, values, first, second), (first, second)


keys = jax.random.split(jax.random.key(given.seed), 6)
theta = {
    "encoder": layer(keys[0], PIXELS, LATENTS),
    "decoder": layer(keys[1], LATENTS, PIXELS),
    "prior": jnp.zeros(LATENTS),
}
phi = {
    "network": {
        "of_x": layer(keys[2], PIXELS, HIDDEN)[0],
        "of_z": layer(keys[3], LATENTS, HIDDEN),
        "middle": layer(keys[4], HIDDEN, HIDDEN),
        "out": layer(keys[5], HIDDEN, 1),
    },
    "log_temperature": jnp.log(0.5),
    "eta": jnp.ones(()),
} if given.estimator == "relax" else {}
zeros = lambda tree: (jax.tree.map(jnp.zeros_like, tree), jax.tree.map(jnp.zeros_like, tree))


def averaged(average, theta, number):
    if given.iterates:
        return theta
    part = jnp.where(number <= 8, 1.0, share(number))
    moved = lambda: jax.tree.map(lambda a, x: a + part * (x - a), average, theta)
    return jax.lax.cond((number <= 8) | (number % 8 == 0), moved, lambda: average)


@jax.jit
def steps(state, order, key, rate, data):
    def step(state, at):
        theta, phi, average, of_theta, of_phi, number = state
        batch, key = at
        slopes, slopes_of_phi, elbo = estimate(theta, phi, data[batch], key)
        number = number + 1
        theta, of_theta = adam(slopes, of_theta, number, theta, rate, given.beta2, given.weight_decay)
        phi, of_phi = adam(slopes_of_phi, of_phi, number, phi, rate, 0.999, 0.0)
        average = averaged(average, theta, number)
        return (theta, phi, average, of_theta, of_phi, number), elbo

    state, elbos = jax.lax.scan(step, state, (order, jax.random.split(key, len(order))))
    return state, elbos.mean()


@jax.jit
def elbo_of(theta, data):
    logits = apply(theta["encoder"], data - mean)
    u = jax.random.uniform(jax.random.key(0), logits.shape)
    return -cost(theta, data, (u < jax.nn.sigmoid(logits)).astype(jnp.float32), logits).mean()


state = (theta, phi, theta, zeros(theta), zeros(phi), jnp.zeros((), jnp.int32))
train, validation = jnp.asarray(digits.train), jnp.asarray(digits.validation)
key = jax.random.key(given.seed + 1)
order = jnp.zeros((digits.steps_an_epoch, BATCH), jnp.int32)
began = time.monotonic()
compiled = steps.lower(state, order, key, jnp.float32(0), train).compile()
compiling = time.monotonic() - began


def epoch(order, number, rate):
    global state
    state, elbo = compiled(state, jnp.asarray(order), jax.random.fold_in(key, number), jnp.float32(rate), train)
    return float(elbo)


race(given, digits, epoch, lambda: float(elbo_of(state[2], validation)), compiling)

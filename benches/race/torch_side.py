"""Trains the discrete autoencoder of one linear layer in PyTorch, a line of JSON an epoch.

    python torch_side.py --data FOLDER --estimator relax|rloo --rate R --beta2 B --weight-decay W
                         [--batch N] [--until ELBO] [--cpu-seconds N] [--iterates]

As `jax_side.py`, with the same model, batches, estimators, Adam, falling rate, decay and averages. A step, with gradients
of both orders and Adam, is one compiled graph (`torch.compile` of functions of `torch.func`).
"""

import time

from sides import HIDDEN, LATENTS, PIXELS, SURROGATE_DECAY, Digits, options, race, share

given = options(__doc__, ["relax", "rloo"])
BATCH = given.batch

import torch
import torch.nn.functional as F
from torch.func import grad, vjp
from torch.utils._pytree import tree_leaves, tree_map

torch.set_num_threads(1)
# As XLA does.
torch.set_flush_denormal(True)
torch.manual_seed(given.seed)
digits = Digits(given)
train, validation = torch.from_numpy(digits.train), torch.from_numpy(digits.validation)
mean, bias = torch.from_numpy(digits.mean), torch.from_numpy(digits.bias)


def layer(ins, outs):
    most = (6 / (ins + outs)) ** 0.5
    return torch.empty(ins, outs).uniform_(-most, most), torch.zeros(outs)


def apply(weights, x):
    return x @ weights[0] + weights[1]


def bernoulli(b, logits):
    return (b * logits - F.softplus(logits)).sum(-1)


def cost(theta, x, b, logits):
    """-ELBO of choices, hard or relaxed."""
    pixels = apply(theta["decoder"], 2 * b - 1) + bias
    return bernoulli(b, logits) - bernoulli(b, theta["prior"]) - bernoulli(x, pixels)


def logit(u):
    u = u.clamp(1e-6, 1 - 1e-6)
    return torch.log(u) - torch.log1p(-u)


def network(phi, x, z):
    hidden = F.relu(apply(phi["of_z"], z) + x @ phi["of_x"])
    return apply(phi["out"], F.relu(apply(phi["middle"], hidden)))[:, 0]


def relax(theta, phi, x):
    u = torch.rand(BATCH, LATENTS).clamp(1e-6, 1 - 1e-6)

    def forward(theta):
        logits = apply(theta["encoder"], x - mean)
        b = (logits.detach() + logit(u) > 0).float()
        costs = cost(theta, x, b, logits)
        return (costs.mean(), logits), (costs.detach(), b)

    (_, logits), back, (costs, b) = vjp(forward, theta, has_aux=True)
    logits = logits.detach()
    score, off = b - torch.sigmoid(logits), torch.sigmoid(-logits)
    z = logits + logit(u)
    # The derivative of z less that of z̃ by the logits, where the noise of z̃ is the one that makes it z.
    moves = torch.where(b > 0, off / u, (1 - off) / (1 - u))

    def squares(phi):
        def surrogate(z):
            relaxed = torch.sigmoid(z / phi["log_temperature"].exp())
            out = cost(theta, x, relaxed, logits) + network(phi["network"], x - mean, z)
            return out.sum(), out

        slope, c = grad(surrogate, has_aux=True)(z)
        g = (costs - phi["eta"] * c)[:, None] * score + phi["eta"] * moves * slope
        decay = sum((w**2).sum() for w in tree_leaves(phi["network"]))
        return ((g / BATCH) ** 2).mean() + 0.5 * SURROGATE_DECAY * decay, (g / BATCH).detach()

    slopes_of_phi, g = grad(squares, has_aux=True)(phi)
    return back((torch.ones(()), g))[0], slopes_of_phi, -costs.mean()


def rloo(theta, phi, x):
    u = torch.rand(4, BATCH, LATENTS)

    def loss(theta):
        logits = apply(theta["encoder"], x - mean)
        b = (u < torch.sigmoid(logits.detach())).float()
        costs = cost(theta, x, b, logits)
        apart = (costs - costs.mean(0)).detach() / 3
        return costs.mean() + (apart * bernoulli(b, logits)).sum(0).mean(), costs.detach().mean()

    slopes, mean_cost = grad(loss, has_aux=True)(theta)
    return slopes, phi, -mean_cost


estimate = {"relax": relax, "rloo": rloo}[given.estimator]


def step(theta, phi, memory, x, rate, corrections):
    of_theta, of_phi, elbo = estimate(theta, phi, x)
    with torch.no_grad():
        values, slopes = tree_leaves((theta, phi)), tree_leaves((of_theta, of_phi))
        ours, of_surrogate = (given.beta2, given.weight_decay, corrections[1]), (0.999, 0.0, corrections[2])
        settings = [ours] * len(tree_leaves(theta)) + [of_surrogate] * len(tree_leaves(phi))
        for value, slope, (beta2, decay, correction), first, second in zip(values, slopes, settings, *memory):
            first.mul_(0.9).add_(0.1 * slope)
            second.mul_(beta2).add_((1 - beta2) * slope * slope)
            value.mul_(1 - rate * decay)
            value.sub_(rate * (first / corrections[0]) / ((second / correction).sqrt() + 1e-8))
    return elbo


def elbo_of(theta):
    logits = apply(theta["encoder"], validation - mean)
    u = torch.rand(logits.shape, generator=torch.Generator().manual_seed(0))
    return -cost(theta, validation, (u < torch.sigmoid(logits)).float(), logits).mean().item()


theta = {"encoder": layer(PIXELS, LATENTS), "decoder": layer(LATENTS, PIXELS), "prior": torch.zeros(LATENTS)}
phi = {
    "network": {
        "of_x": layer(PIXELS, HIDDEN)[0],
        "of_z": layer(LATENTS, HIDDEN),
        "middle": layer(HIDDEN, HIDDEN),
        "out": layer(HIDDEN, 1),
    },
    "log_temperature": torch.tensor(0.5).log(),
    "eta": torch.ones(()),
} if given.estimator == "relax" else {}
memory = tuple([torch.zeros_like(x) for x in tree_leaves((theta, phi))] for _ in range(2))
compiled = torch.compile(step)
taken = 0
average = theta if given.iterates else tree_map(torch.clone, theta)


def take(batch, rate):
    global taken
    taken += 1
    corrections = torch.tensor([1 - 0.9**taken, 1 - given.beta2**taken, 1 - 0.999**taken])
    elbo = compiled(theta, phi, memory, train[batch], torch.tensor(rate), corrections)
    if not given.iterates and (taken <= 8 or taken % 8 == 0):
        moved = 1 if taken <= 8 else share(taken)
        torch._foreach_lerp_(tree_leaves(average), tree_leaves(theta), moved)
    return elbo


def epoch(order, number, rate):
    elbos = [take(torch.from_numpy(batch), rate) for batch in order]
    return torch.stack(elbos).mean().item()


# At a rate of 0 nothing moves; what Adam remembers of it is forgotten.
began = time.monotonic()
for _ in range(3):
    take(torch.arange(BATCH), 0.0)
compiling = time.monotonic() - began
taken = 0
tree_map(lambda x: x.zero_(), memory)
race(given, digits, epoch, lambda: elbo_of(average), compiling)

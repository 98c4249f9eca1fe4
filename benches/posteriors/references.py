"""References for the data sets that come without one, by NUTS of models whose discrete variables are summed
out by hand.

    python benches/posteriors/references.py FOLDER [NAME ...]

FOLDER holds `posteriordb/*.json`; it needs numpyro and jax. Written independently of the models that the
example program `truth` fits: an animal's history counts once for all animals that have it, its random effect is
integrated on a grid, states are summed out by the forward recursion, topics word by word.
Four chains of float64; after each number stands its Monte Carlo error, the standard deviation over the root of
the effective draws, and at the end the largest split R-hat.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import MCMC, NUTS, init_to_value

# A standard normal effect of an animal: points and log-weights of the trapezoid rule.
EFFECT = np.linspace(-8.0, 8.0, 321)
LOG_WEIGHT = -0.5 * EFFECT**2 - np.log(np.sum(np.exp(-0.5 * EFFECT**2)))


def histories(y):
    """The distinct histories, and how many animals have each."""
    counts = Counter(map(tuple, y))
    return np.array(list(counts)), np.array(list(counts.values()))


def capture(data, by_time, by_animal, by_behaviour=False, most_sigma=5.0):
    """Capture and recapture: logit p = time + sigma effect + gamma seen before."""
    y = np.array(data["y"])
    occasions = int(data["T"])
    if y.ndim == 1:
        # Only how often: any order is as likely, up to a constant.
        y = np.array([[1] * k + [0] * (occasions - k) for k in y])
    y, animals = histories(y)
    before = np.pad(y, ((0, 0), (1, 0)))[:, :-1]
    never = (y.sum(1) == 0).astype(float)

    def model():
        omega = numpyro.sample("omega", dist.Uniform(0.0, 1.0))
        p = numpyro.sample("p", dist.Uniform(0.0, 1.0).expand([occasions if by_time else 1]).to_event(1))
        logit = jnp.broadcast_to(jnp.log(p) - jnp.log1p(-p), (occasions,))
        logit = jnp.broadcast_to(logit, y.shape)
        if by_behaviour:
            logit = logit + numpyro.sample("gamma", dist.Normal(0.0, 10.0)) * before
        if by_animal:
            sigma = numpyro.sample("sigma", dist.Uniform(0.0, most_sigma))
            logit = logit + (sigma * EFFECT)[:, None, None]
            seen = (y * logit - jax.nn.softplus(logit)).sum(-1)
            seen = logsumexp(seen + LOG_WEIGHT[:, None], axis=0)
        else:
            seen = (y * logit - jax.nn.softplus(logit)).sum(-1)
        there = jnp.log(omega) + seen
        either = jnp.where(never > 0, jnp.logaddexp(there, jnp.log1p(-omega)), there)
        numpyro.deterministic("how many", (animals * jnp.exp(there - either)).sum())
        numpyro.factor("histories", (animals * either).sum())

    return model, None


def hidden_markov(data):
    """Three states; normals in each. Wide proper priors stand for the flat ones."""
    y = jnp.array(data["y"])
    k = data["K"]

    def model():
        first = numpyro.sample("first", dist.Dirichlet(jnp.ones(k)))
        rows = numpyro.sample("rows", dist.Dirichlet(jnp.ones((k, k))).to_event(1))
        mu = numpyro.sample("mu", dist.Normal(0.0, 100.0).expand([k]).to_event(1))
        sigma = numpyro.sample("sigma", dist.HalfNormal(100.0).expand([k]).to_event(1))
        emitted = dist.Normal(mu, sigma).log_prob(y[:, None])

        def step(log, emitted):
            return logsumexp(log[:, None] + jnp.log(rows), axis=0) + emitted, None

        log, _ = jax.lax.scan(step, jnp.log(first) + emitted[0], emitted[1:])
        numpyro.factor("y", logsumexp(log))

    order = np.sort(np.quantile(data["y"], (np.arange(k) + 0.5) / k))
    start = {"mu": jnp.array(order), "sigma": jnp.full(k, 1.0), "rows": jnp.full((k, k), 1 / k)}
    return model, start


def topics(data):
    """Two topics; documents are counts of words."""
    counts = np.zeros((data["M"], data["V"]))
    for document, word in zip(data["doc"], data["w"]):
        counts[document - 1, word - 1] += 1

    def model():
        theta = numpyro.sample("theta", dist.Dirichlet(jnp.ones((data["M"], 2))).to_event(1))
        phi = numpyro.sample("phi", dist.Dirichlet(jnp.ones((2, data["V"]))).to_event(1))
        # The first topic is the one with more of the first word.
        first = jnp.argsort(-phi[:, 0])
        numpyro.deterministic("phi in order", phi[first])
        numpyro.deterministic("theta in order", theta[:, first])
        numpyro.deterministic("words", theta @ phi)
        numpyro.factor("words seen", (counts * jnp.log(theta @ phi)).sum())

    # Of the ways to make two topics of three documents of a word each, one is e^134 times as likely as others.
    phi = jnp.array([[0.45, 0.54, 0.01], [0.01, 0.01, 0.98]])
    theta = jnp.array([[0.99, 0.01], [0.99, 0.01], [0.01, 0.99]])
    return model, {"phi": phi, "theta": theta}


def mixture(data):
    """Any number of normals. Which component is which does not show in the density of what comes next, nor
    whether two of them say the same."""
    y = jnp.array(data["y"])
    k = data["K"]

    def model():
        theta = numpyro.sample("theta", dist.Dirichlet(jnp.ones(k)))
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0).expand([k]).to_event(1))
        sigma = numpyro.sample("sigma", dist.Uniform(0.0, 10.0).expand([k]).to_event(1))
        log_density = lambda x: logsumexp(jnp.log(theta) + dist.Normal(mu, sigma).log_prob(x[:, None]), axis=-1)
        numpyro.factor("data", log_density(y).sum())
        numpyro.deterministic("ln density at", log_density(jnp.array(POINTS)))

    quantiles = np.quantile(np.asarray(y), (np.arange(k) + 0.5) / k)
    return model, {"theta": np.full(k, 1.0 / k), "mu": quantiles, "sigma": np.full(k, 2.0)}


POINTS = [-12.0, -8.0, -4.0, 0.0, 3.0, 6.0]

MODELS = {
    "Mt_data": lambda data: capture(data, True, False),
    "Mh_data": lambda data: capture(data, False, True),
    "Mth_data": lambda data: capture(data, True, True),
    "Mtbh_data": lambda data: capture(data, True, True, True, 3.0),
    "three_docs1200": topics,
    "hmm_gaussian_simulated": hidden_markov,
    "normal_5": mixture,
}


def main():
    jax.config.update("jax_enable_x64", True)
    folder = Path(sys.argv[1]) / "posteriordb"
    for name in sys.argv[2:] or MODELS:
        model, start = MODELS[name](json.loads((folder / f"{name}.json").read_text()))
        kernel = NUTS(model, **({"init_strategy": init_to_value(values=start)} if start else {}))
        # A step of the forward recursion takes as long as 1,000 of the others.
        draws = {"hmm_gaussian_simulated": 500, "normal_5": 1_000}.get(name, 5_000)
        mcmc = MCMC(kernel, num_warmup=min(draws, 1_000), num_samples=draws, num_chains=4, chain_method="sequential", progress_bar=False)
        mcmc.run(jax.random.PRNGKey(1))
        worst = 0.0
        for site, values in mcmc.get_samples(group_by_chain=True).items():
            values = np.asarray(values).reshape(*values.shape[:2], -1)
            for at in range(values.shape[-1]):
                x = values[..., at]
                error = x.std() / np.sqrt(effective_sample_size(x))
                worst = max(worst, float(split_gelman_rubin(x)))
                print(f"{name} {site}[{at}] {x.mean():.5f} ± {x.std():.5f} ({error:.5f})")
        print(f"{name}: largest R-hat {worst:.4f}", flush=True)


if __name__ == "__main__":
    main()

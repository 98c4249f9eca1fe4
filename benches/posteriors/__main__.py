"""Time to the right posterior, beside NumPyro's enumeration with NUTS.

    python benches/posteriors FOLDER

FOLDER holds `networks/asia.bif` and `posteriordb/*.json`. It needs numpyro, jax and funsor, and the example
program `truth` built for release. Both sides write the models with their discrete variables. NumPyro sums
these out and samples the rest by NUTS (500 warm-up steps, 1,000 draws); Asia, which has nothing to sample, is
inferred by 5,000 exact draws. Each model runs in a process of its own, imports not counted: the first time
with compilation, the second with the compiled program and another seed.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRUTH = ROOT / "target/release/examples/truth"

# What is known: mean and standard deviation, as `truth` has it.
KNOWN = {
    "hmm_example": {"stay": (0.6666, 0.1012), "leave": (0.0731, 0.0284), "low": (3.0215, 0.2244), "high": (8.8273, 0.1106)},
    "low_dim_gauss_mix": {"mu low": (-2.7335, 0.0420), "mu high": (2.8698, 0.0546), "share low": (0.6215, 0.0155)},
    "M0": {"omega": (0.42346, 0.03869), "p": (0.49697, 0.03816)},
    "coal": {"early": (3.06623, 0.28484), "late": (0.93606, 0.11784)},
    "asia": {"tub": (0.113933, None), "lung": (0.621253, None), "bronc": (0.681869, None)},
}

# Disasters in coal mines by year, as in `examples/support/coal.rs`.
DISASTERS = [
    4, 5, 4, 0, 1, 4, 3, 4, 0, 6, 3, 3, 4, 0, 2, 6, 3, 3, 5, 4, 5, 3, 1, 4, 4, 1, 5, 5, 3, 4, 2, 5, 2, 2, 3, 4, 2,
    1, 3, 2, 2, 1, 1, 1, 1, 3, 0, 0, 1, 0, 1, 1, 0, 0, 3, 1, 0, 3, 2, 2, 0, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0, 2, 1, 0,
    0, 0, 1, 1, 0, 2, 3, 3, 1, 1, 2, 1, 1, 1, 1, 2, 4, 2, 0, 0, 1, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1,
]


def numpyro_side(name, folder):
    """Runs one model twice: seconds of each, and what the first found."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import numpyro
    import numpyro.distributions as dist
    from numpyro.contrib.control_flow import scan
    from numpyro.contrib.funsor import config_enumerate, infer_discrete
    from numpyro.infer import MCMC, NUTS, init_to_median
    from numpyro.ops.indexing import Vindex

    read = lambda file: json.loads((folder / "posteriordb" / file).read_text())

    def hmm():
        y = jnp.array(read("hmm_example.json")["y"])

        def model():
            theta = numpyro.sample("theta", dist.Dirichlet(jnp.ones((2, 2))).to_event(1))
            mu = numpyro.sample("mu", dist.Normal(jnp.array([3.0, 10.0]), 1.0).to_event(1))

            def step(carry, y):
                state, t = carry
                probs = jnp.where(t == 0, jnp.full(2, 0.5), theta[state])
                state = numpyro.sample("state", dist.Categorical(probs), infer={"enumerate": "parallel"})
                numpyro.sample("y", dist.Normal(mu[state], 1.0), obs=y)
                return (state, t + 1), None

            scan(step, (0, 0), y)

        def found(draws):
            # Which state is which is for whoever reads the draws to see.
            low = int(draws["mu"][:, 0].mean() > draws["mu"][:, 1].mean())
            return {
                "stay": draws["theta"][:, low, low],
                "leave": draws["theta"][:, 1 - low, low],
                "low": draws["mu"][:, low],
                "high": draws["mu"][:, 1 - low],
            }

        return model, found

    def mixture():
        y = jnp.array(read("low_dim_gauss_mix.json")["y"])

        def model():
            share = numpyro.sample("share", dist.Beta(5.0, 5.0))
            mu = numpyro.sample("mu", dist.TransformedDistribution(dist.Normal(jnp.zeros(2), 2.0).to_event(1), dist.transforms.OrderedTransform()))
            sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([2]).to_event(1))
            with numpyro.plate("rows", len(y)):
                second = numpyro.sample("second", dist.Bernoulli(1.0 - share), infer={"enumerate": "parallel"})
                numpyro.sample("y", dist.Normal(mu[second], sigma[second]), obs=y)

        def found(draws):
            return {"mu low": draws["mu"][:, 0], "mu high": draws["mu"][:, 1], "share low": draws["share"]}

        return model, found

    def capture():
        y = jnp.array(read("M0_data.json")["y"])

        def model():
            omega = numpyro.sample("omega", dist.Uniform(0.0, 1.0))
            p = numpyro.sample("p", dist.Uniform(0.0, 1.0))
            with numpyro.plate("animals", y.shape[0]):
                there = numpyro.sample("there", dist.Bernoulli(omega), infer={"enumerate": "parallel"})
                numpyro.sample("y", dist.Bernoulli(p * there[..., None]).to_event(1), obs=y)

        return model, lambda draws: {"omega": draws["omega"], "p": draws["p"]}

    def coal():
        years = jnp.arange(len(DISASTERS))

        def model():
            early = numpyro.sample("early", dist.Exponential(1.0))
            late = numpyro.sample("late", dist.Exponential(1.0))
            change = numpyro.sample("change", dist.DiscreteUniform(0, len(DISASTERS) - 1), infer={"enumerate": "parallel"})
            with numpyro.plate("years", len(DISASTERS)):
                numpyro.sample("disasters", dist.Poisson(jnp.where(years < change, early, late)), obs=jnp.array(DISASTERS))

        return model, lambda draws: {"early": draws["early"], "late": draws["late"]}

    if name == "asia":

        def model():
            asia = numpyro.sample("asia", dist.Bernoulli(0.01))
            tub = numpyro.sample("tub", dist.Bernoulli(jnp.where(asia == 1, 0.05, 0.01)))
            smoke = numpyro.sample("smoke", dist.Bernoulli(0.5))
            lung = numpyro.sample("lung", dist.Bernoulli(jnp.where(smoke == 1, 0.1, 0.01)))
            bronc = numpyro.sample("bronc", dist.Bernoulli(jnp.where(smoke == 1, 0.6, 0.3)))
            either = jnp.maximum(tub, lung)
            numpyro.sample("xray", dist.Bernoulli(jnp.where(either == 1, 0.98, 0.05)), obs=1)
            dysp = jnp.where(bronc == 1, jnp.where(either == 1, 0.9, 0.8), jnp.where(either == 1, 0.7, 0.1))
            numpyro.sample("dysp", dist.Bernoulli(dysp), obs=1)

        enumerated = config_enumerate(model)

        def draw(key):
            guide = numpyro.handlers.trace(infer_discrete(numpyro.handlers.seed(enumerated, key), first_available_dim=-1, rng_key=key))
            trace = guide.get_trace()
            return {site: trace[site]["value"] for site in ("tub", "lung", "bronc")}

        draws_of = jax.jit(jax.vmap(draw))

        def run(seed):
            draws = draws_of(jax.random.split(jax.random.PRNGKey(seed), 5_000))
            return {site: np.asarray(values, dtype=float) for site, values in draws.items()}

    else:
        model, found = {"hmm_example": hmm, "low_dim_gauss_mix": mixture, "M0": capture, "coal": coal}[name]()
        # From the priors' medians, as which state is which depends on where it starts.
        mcmc = MCMC(NUTS(model, init_strategy=init_to_median), num_warmup=500, num_samples=1_000, progress_bar=False)

        def run(seed):
            mcmc.run(jax.random.PRNGKey(seed))
            return {what: np.asarray(values) for what, values in found(mcmc.get_samples()).items()}

    seconds, first = [], None
    for seed in (1, 2):
        start = time.perf_counter()
        draws = run(seed)
        seconds.append(time.perf_counter() - start)
        first = first or {what: (float(x.mean()), float(x.std())) for what, x in draws.items()}
    print(json.dumps({"seconds": seconds, "found": first}))


def distance(name, found):
    """The largest distance of a mean from what is known, in standard deviations or as a probability."""
    return max(abs(found[what][0] - mean) / (sd or 1.0) for what, (mean, sd) in KNOWN[name].items())


def ours(name, folder):
    """Seconds of the fit, and what it found."""
    out = subprocess.run([TRUTH, "--data", folder, "--only", name], capture_output=True, text=True, check=True).stdout
    seconds = float(re.search(r", ([\d.]+) s\b", out, re.M)[1])
    number = r"(-?[\d.]+)"
    found = {}
    for what in KNOWN[name]:
        row = re.search(rf"^  {re.escape(what)}[a-z 0()]* +{number}(?: ± {number})?  known", out, re.M)
        found[what] = (float(row[1]), float(row[2] or 0.0))
    return seconds, found


def main():
    folder = Path(sys.argv[1]).resolve()
    if len(sys.argv) > 2:
        return numpyro_side(sys.argv[2], folder)
    print("| model | relax, s | largest miss | NumPyro with compilation, s | without, s | largest miss | times |")
    print("|---|---|---|---|---|---|---|")
    for name in KNOWN:
        seconds, found = ours(name, folder)
        out = subprocess.run([sys.executable, Path(__file__).parent, folder, name], capture_output=True, text=True, check=True)
        theirs = json.loads(out.stdout.splitlines()[-1])
        first, second = theirs["seconds"]
        print(
            f"| {name} | {seconds:.3f} | {distance(name, found):.3f} | {first:.1f} | {second:.1f} "
            f"| {distance(name, theirs['found']):.3f} | {first / seconds:.1f} |"
        )


if __name__ == "__main__":
    main()

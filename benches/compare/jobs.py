"""What is compared: jobs of the bench, the peers' programs for the same model, and targets."""

from dataclasses import dataclass, field

# Kinds of peers, each a column of the table.
PLAIN, JAX, TORCH = "plain", "jax", "torch"


@dataclass(frozen=True)
class Peer:
    """A program of the peers' folder."""

    name: str
    arguments: tuple
    kinds: tuple
    env: tuple = ()


@dataclass(frozen=True)
class Comparison:
    """Jobs of the bench beside the peers that do the same work."""

    jobs: tuple
    peers: tuple
    # How many times faster than the peers of a kind a job is to be.
    targets: dict = field(default_factory=dict)
    # The floor's name in the output of the peers' `floor.py`: estimator and batch.
    floor: tuple = ()


# Times the floor that a step may take.
FLOOR_TARGET = 2.0
# Times faster that two threads are to be than one, and the job that shows it.
THREADS_TARGET = 1.7
THREADS_JOB = "L1 relax batch 512"
SCALING = tuple("L1 relax batch %d" % b for b in (24, 50, 100, 200, 512, 1024, 2048, 4096))
# Jobs that take many steps, to see whether memory grows: quick and full.
STEADY = (("toy relax", 100_000, 100_000), ("sprinkler enumerate", 20_000, 100_000),
          ("L1 relax batch 24", 2_000, 100_000))
# CPUs that other programs may take before a number is marked as disturbed.
QUIET = 0.25

# glibc maps and unmaps blocks over 32 MiB at every step unless told otherwise.
NO_MMAP = (("MALLOC_MMAP_THRESHOLD_", "4000000000"), ("MALLOC_TRIM_THRESHOLD_", "8000000000"),
           ("MALLOC_TOP_PAD_", "536870912"))


def vae(library, mode, model, estimator, batch, surrogate="ref", env=()):
    """A peer for one of the autoencoders."""
    kinds = {"jit": (PLAIN, JAX)}.get(mode, (JAX,)) if library == "jax" else (TORCH,)
    if library == "jax" and (surrogate, env) != ("ref", ()):
        kinds = (JAX,)
    name = "%s %s%s%s" % ({"jax": "JAX", "torch": "PyTorch"}[library], mode,
                          ", tuned" if surrogate == "tuned" else "", ", no mmap" if env else "")
    arguments = ("vae_%s.py" % library, "--mode", mode, "--model", model, "--est", estimator,
                 "--batch", str(batch), "--surr", surrogate)
    return Peer(name, arguments, kinds, env)


def autoencoders(quick):
    """Every autoencoder that has peers."""
    def variants(model, batch):
        at = (model, "relax", batch)
        yield vae("jax", "jit", *at)
        yield vae("jax", "scan", *at, surrogate="tuned")
        if not quick or batch == 24:
            yield vae("torch", "fused", *at, surrogate="tuned")
        if quick:
            return
        yield vae("jax", "jitd", *at, surrogate="tuned")
        yield vae("jax", "scan", *at)
        yield vae("torch", "compile", *at, surrogate="tuned")
        if batch == 512:
            yield vae("jax", "jit", *at, env=NO_MMAP)

    for batch, plain in ((24, 3.0), (100, 2.0), (512, 2.0)):
        jobs = tuple("L1 relax%s batch %d" % (by, batch) for by in ("", " by logits"))
        yield Comparison(jobs, tuple(variants("L1", batch)), {PLAIN: plain, JAX: 1.5},
                         ("relax-coupled", batch))
    for model in ("L2", "NL1"):
        yield Comparison(("%s relax batch 24" % model,), tuple(variants(model, 24)),
                         {PLAIN: 2.0, JAX: 2.0})
    if quick:
        return
    for batch in (24, 100, 512):
        for estimator, floor in (("rebar", "rebar-coupled"), ("reinforce", "reinforce"),
                                 ("nvil", None)):
            at = ("L1", estimator, batch)
            peers = (vae("jax", "jit", *at), vae("jax", "scan", *at), vae("torch", "eager", *at))
            yield Comparison(("L1 %s batch %d" % (estimator, batch),), peers,
                             floor=(floor, batch) if floor else ())


def small(quick):
    """The small models."""
    def toy(peer, name, kinds):
        return Peer(name, ("toy.py", "--peer", peer), kinds)

    def ppl(model):
        def peer(name, label, kinds):
            return Peer(label, ("ppl.py", "--peer", name, "--model", model), kinds)
        return (peer("pyro", "Pyro", (TORCH,)),
                peer("numpyro-jit", "NumPyro jit", (PLAIN,)),
                peer("numpyro-scan", "NumPyro scan", (JAX,)))

    toys = [toy("jax-jit", "JAX jit", (PLAIN,)), toy("jax-scan", "JAX scan", (JAX,))]
    if not quick:
        toys.append(toy("torch-compile", "PyTorch compile", (TORCH,)))
    yield Comparison(("toy relax 1-10-1", "toy relax free-form", "toy relax"), tuple(toys),
                     {PLAIN: 10.0, JAX: 1.0})
    targets = {TORCH: 100.0, PLAIN: 3.0, JAX: 1.0}
    yield Comparison(("sprinkler enumerate", "sprinkler relax"), ppl("sprinkler"), targets)
    yield Comparison(("mixture summed", "mixture enumerate", "mixture relax"), ppl("gmm"), targets)


def comparisons(quick):
    """Everything that is compared."""
    yield from small(quick)
    yield from autoencoders(quick)

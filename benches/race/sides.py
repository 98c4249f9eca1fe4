"""What the Python sides share: options, data, and the loop over epochs."""

import argparse
import gzip
import json
import os
import time
from pathlib import Path

import numpy as np

LATENTS, PIXELS, HIDDEN = 200, 784, 200
# Of the weights of RELAX's network.
SURROGATE_DECAY = 1e-3


def options(description, estimators):
    """Those of the command line. From then on the process has one core, as the other sides have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--estimator", choices=estimators, required=True)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--until", type=float, default=-115.0)
    parser.add_argument("--cpu-seconds", type=float, default=float("inf"))
    parser.add_argument("--rate", type=float, required=True, help="Adam's, at first")
    parser.add_argument("--iterates", action="store_true", help="look at the last weights, not at their averages")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--beta2", type=float, required=True, help="Adam's, for the model")
    parser.add_argument("--weight-decay", type=float, required=True, help="what a step takes off, over the rate")
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return given


class Digits:
    """MNIST, binarised once, and the logits of its mean."""

    def __init__(self, given):
        def images(name):
            with gzip.open(given.data / "mnist_fixed_binarized" / name) as file:
                numbers = np.frombuffer(file.read(), np.uint8, offset=16)
            return numbers.reshape(-1, PIXELS).astype(np.float32)

        self.train, self.validation = images("train-images-idx3-ubyte.gz"), images("valid-images-idx3-ubyte.gz")
        self.mean = self.train.mean(0)
        clipped = np.clip(self.mean, 1e-3, 1 - 1e-3)
        self.bias = np.log(clipped / (1 - clipped))
        self.steps_an_epoch = len(self.train) // given.batch


def share(step):
    """How much of the way to the weights after a step their average moves, as in the library's `Averaged`."""
    return 17 / (step // 8 + 16)


def race(given, digits, epoch, bound, compiling):
    """Trains until the target, a line of JSON an epoch. `epoch` takes the batches' places, its number and Adam's rate,
    and tells the mean ELBO of its steps, `bound` that of the validation images."""
    random = np.random.default_rng(given.seed)
    steps = digits.steps_an_epoch
    wall = cpu = 0.0
    number = 0
    while True:
        number += 1
        order = random.permutation(len(digits.train))[: steps * given.batch].reshape(-1, given.batch)
        rate = given.rate / (1 + (number - 1) * steps / 200_000)
        began = time.monotonic(), time.process_time()
        elbo = epoch(order, number, rate)
        wall, cpu = wall + time.monotonic() - began[0], cpu + time.process_time() - began[1]
        reached = bound()
        print(json.dumps({
            "epoch": number, "step": number * steps, "train": elbo, "validation": reached,
            "seconds": wall, "cpu_seconds": cpu, "compiling": compiling,
        }), flush=True)
        if reached >= given.until or cpu > given.cpu_seconds or not np.isfinite(reached):
            break

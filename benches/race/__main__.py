"""How long until a validation ELBO on MNIST, one linear layer, beside JAX and PyTorch.

    python benches/race --data DIR --out FOLDER [--jax PYTHON] [--torch PYTHON]
                        [--sides relax,rloo,disarm,jax-relax,...] [--until -115] [--cpu-seconds N]
                        [--rate R] [--beta2 B] [--weight-decay W] [--batch N] [--iterates]

DIR is the folder that the example program `table1` takes, which must be built for release; PYTHON, interpreters that
have jax, or torch. Each side runs in a process of its own on one core, one after the other, until it is there or has
used so many seconds; what it has reached after each epoch stays in FOLDER, and what is there already is not run again.
All train the same model by batches of 24 with Adam at the same falling rate, 0.004 at first, β₂ = 0.99999 and a decay
of the weights of 0.01, and look at the same averages of them; with --iterates at the last weights, and then the rate is
0.002 at first, β₂ = 0.999, and nothing decays. Other numbers can be given. Compilation and evaluations are not counted.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target"))
TABLE1 = TARGET / "release/examples/table1"
SIDES = ["relax", "rloo", "disarm", "jax-relax", "jax-rloo", "jax-disarm", "torch-relax", "torch-rloo"]
TARGETS = [-130.0, -125.0, -120.0, -117.0, -116.0, -115.0, -114.5, -114.0]


def python_side(side, options, path):
    library, estimator = side.split("-")
    command = [
        getattr(options, library), HERE / f"{library}_side.py", "--data", options.data, "--estimator", estimator,
        "--rate", options.rate, "--beta2", options.beta2, "--weight-decay", options.weight_decay,
        "--batch", options.batch, "--until", options.until, "--cpu-seconds", options.cpu_seconds,
    ]
    command += ["--iterates"] * options.iterates
    with path.open("w") as out:
        subprocess.run([str(word) for word in command], stdout=out, check=True)


def our_side(estimator, options, path):
    folder = path.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted race has left
    command = [
        TABLE1, "--data", options.data, "--rows", "mnist-l1", "--estimators", estimator, "--steps", "2000000",
        "--learning-rate", options.rate, "--beta2", options.beta2, "--weight-decay", options.weight_decay,
        "--batch", options.batch, "--until", options.until, "--checkpoint-every", "20830", "--out", folder, "--draws", "1",
    ] + ["--iterates"] * options.iterates
    run = subprocess.Popen(
        [str(word) for word in command], env={**os.environ, "RELAX_THREADS": "1"}, stdout=subprocess.DEVNULL
    )
    try:
        while run.poll() is None:
            time.sleep(2)
            epochs = curve(folder)
            if epochs and epochs[-1]["cpu_seconds"] > options.cpu_seconds:
                break
    finally:
        run.terminate()
        run.wait()
    if run.returncode > 0:
        sys.exit(f"{estimator}: table1 ended with {run.returncode}")
    path.write_text("".join(json.dumps(epoch) + "\n" for epoch in curve(folder)))


def curve(folder):
    found = list(folder.glob("*/curve.csv"))
    if not found:
        return []
    with found[0].open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("cpu_seconds")]
    names = ["epoch", "step", "train", "validation", "seconds", "cpu_seconds"]
    return [{name: float(row[name]) for name in names} for row in rows]


def table(options):
    targets = [target for target in TARGETS if target <= options.until]
    print("| side | " + " | ".join(f"{target:g}" for target in targets) + " | CPU ms a step | best | compiling, s |")
    print("|---" * (len(targets) + 4) + "|")
    for path in sorted(options.out.glob("*.jsonl")):
        side = path.stem
        epochs = [json.loads(line) for line in path.read_text().splitlines()]
        if not epochs:
            continue
        cells = []
        for target in targets:
            first = next((epoch for epoch in epochs if epoch["validation"] >= target), None)
            cells.append(f"{first['step']:,.0f}, {first['cpu_seconds']:,.0f} s" if first else "–")
        last, best = epochs[-1], max(epoch["validation"] for epoch in epochs)
        compiling = f"{last['compiling']:.0f}" if "compiling" in last else "–"
        each = f"{1000 * last['cpu_seconds'] / last['step']:.2f}"
        print(f"| {side} | " + " | ".join(cells) + f" | {each} | {best:.2f} | {compiling} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jax", default=sys.executable)
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--rate", type=float)
    parser.add_argument("--beta2", type=float)
    parser.add_argument("--weight-decay", type=float)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--iterates", action="store_true")
    parser.add_argument("--until", type=float, default=-115.0)
    parser.add_argument("--cpu-seconds", type=float, default=3600.0)
    options = parser.parse_args()
    usual = {"rate": 0.002, "beta2": 0.999, "weight_decay": 0.0} if options.iterates else {
        "rate": 0.004, "beta2": 0.99999, "weight_decay": 0.01
    }
    for name, number in usual.items():
        if getattr(options, name) is None:
            setattr(options, name, number)
    options.out.mkdir(parents=True, exist_ok=True)
    for side in options.sides.split(","):
        if side not in SIDES:
            parser.error(f"no side `{side}`; there are {', '.join(SIDES)}")
        kind = "-iterates" if options.iterates else ""
        numbers = f"{options.batch}-{options.rate}-{options.beta2}-{options.weight_decay}"
        path = options.out / f"{side}-{numbers}{kind}.jsonl"
        if path.exists() or options.data is None:
            continue
        print(f"{side} ...", file=sys.stderr, flush=True)
        side_of = python_side if "-" in side else our_side
        unfinished = path.with_suffix(".part")
        side_of(side, options, unfinished)
        unfinished.rename(path)
    table(options)


if __name__ == "__main__":
    main()

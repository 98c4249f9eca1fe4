"""Measures this project's bench and the same models in PyTorch, JAX, Pyro and NumPyro side by
side, job by job, so that noise of the machine meets all alike.

    python3 benches/compare --peers PEERS --python PYTHON [--quick]

prints tables in Markdown and writes every measurement as a line of JSON to `--out`; `--readme`
also puts the first table into README.md and all of them into docs/speed.md. `--from FILE` makes
them from the lines of an earlier run.
"""

import argparse
import datetime
import json
import os
import platform
import sys

import table
from jobs import QUIET, SCALING, STEADY, comparisons
from runner import Bench, Missing, Peers, say

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def options():
    parser = argparse.ArgumentParser(prog="compare", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=os.path.join(ROOT, "..", "shared", "bench", "peers"),
                        help="folder of the peers' programs")
    parser.add_argument("--python", default=sys.executable, help="a Python with the peers' packages")
    parser.add_argument("--quick", action="store_true",
                        help="fewer peers and shorter blocks: about ten minutes instead of an hour")
    parser.add_argument("--threads", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--only", default="", help="only comparisons with a job that holds this")
    parser.add_argument("--rounds", type=int, default=1, help="how often each thing is measured")
    parser.add_argument("--no-floor", action="store_true", help="leaves out the floor")
    parser.add_argument("--out", default=os.path.join(ROOT, "target", "compare.jsonl"))
    parser.add_argument("--from", dest="source", metavar="FILE", help="measures nothing")
    parser.add_argument("--readme", action="store_true",
                        help="rewrites the tables in README.md and docs/speed.md")
    return parser.parse_args()


def machine():
    """The machine, in words."""
    cpu, memory = platform.processor() or platform.machine(), ""
    try:
        with open("/proc/cpuinfo") as f:
            fields = dict(line.split(":", 1) for line in f if ":" in line)
        fields = {k.strip(): v.strip() for k, v in fields.items()}
        cpu = "%s (family %s, model %s)" % (fields["model name"], fields["cpu family"],
                                            fields["model"])
        cpu += ", AVX-512" if "avx512f" in fields["flags"] else ", AVX2"
        with open("/proc/meminfo") as f:
            memory = ", %.0f GiB" % (int(f.readline().split()[1]) / 2 ** 20)
    except (OSError, KeyError, ValueError):
        pass
    return "%d cores of %s%s, %s %s" % (os.cpu_count(), cpu, memory, platform.system(),
                                        platform.machine())


def libraries(rows):
    """The peers' libraries with their versions."""
    versions = {}
    for row in rows:
        versions.update(row.get("versions", {}))
    return ", ".join("%s %s" % pair for pair in sorted(versions.items()))


class Run:
    """One run of everything that is wanted, each result written as soon as it is there."""

    def __init__(self, o):
        blocks, seconds = (3, 0.2) if o.quick else (9, 0.5)
        self.o, self.rows = o, []
        self.peers = Peers(os.path.abspath(o.peers), o.python, blocks, seconds, any_noise=o.quick)
        self.bench = Bench(ROOT, blocks, seconds, any_noise=o.quick)
        os.makedirs(os.path.dirname(os.path.abspath(o.out)), exist_ok=True)
        self.out = open(o.out, "w")

    def add(self, row):
        self.rows.append(row)
        self.out.write(json.dumps(row) + "\n")
        self.out.flush()
        if "job" in row:
            result = row.get("error") or table.duration(row["median"])
            say("%-28s %d threads  %-22s %s" % (row["job"], row["threads"], row["who"], result))

    def side_by_side(self, comparison, threads):
        jobs, peers = list(comparison.jobs), list(comparison.peers)
        while jobs or peers:
            if jobs:
                self.add(self.bench.measure(jobs.pop(0), threads))
            if peers:
                self.add(self.peers.measure(peers.pop(0), comparison.jobs[0], threads))

    def all(self):
        o = self.o
        date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        self.add(dict(who="about", date=date, machine=machine(), quick=o.quick))
        wanted = [c for c in comparisons(o.quick) if any(o.only in job for job in c.jobs)]
        for row in self.peers.imports():
            self.add(row)
        for _ in range(o.rounds):
            for comparison in wanted:
                for threads in o.threads:
                    self.side_by_side(comparison, threads)
            done = {job for c in wanted for job in c.jobs}
            for job in SCALING:
                if o.only in job and job not in done:
                    for threads in o.threads:
                        self.add(self.bench.measure(job, threads))
        for job, quick, full in STEADY:
            if o.only in job:
                row = self.bench.measure(job, 1, quick if o.quick else full)
                self.add(dict(row, steady=True))
        if not o.no_floor and any(c.floor for c in wanted):
            for threads in o.threads[-1:] if o.quick else o.threads:
                for row in self.peers.floor(threads):
                    self.add(row)


def report(rows):
    """The first table for the README, and all tables for docs/speed.md."""
    results = table.Results(rows)
    about = next((r for r in rows if r.get("who") == "about"), None)
    if about is None:
        raise Missing("the lines say nothing of the run; give the file of an earlier run")
    every = list(comparisons(about["quick"]))
    head = ["%s, %s; %s. Medians%s; × says how many times as long the peer takes, at the floor how "
            "many times the floor this library takes."
            % (about["date"], about["machine"], libraries(rows),
               " of a quick run" if about["quick"] else "")]
    if any((r.get("others") or 0) > QUIET for r in rows):
        head.append("\\* Not to be relied on: other programs took more than %g CPUs." % QUIET)
    head.append(table.speed(results, every))
    rest = [table.scaling(results), table.memory(results, every)]
    failed = ["Failed: %s, %s." % (row["who"], row.get("job", "")) for row in results.errors()]
    return "\n\n".join(head + failed), "\n\n".join(head + rest + failed)


def rewrite(name, text):
    """Puts tables between the marks of a document."""
    path = os.path.join(ROOT, name)
    with open(path) as f:
        document = f.read()
    if BEGIN not in document or END not in document:
        raise Missing("%s has no %s and %s to write between" % (name, BEGIN, END))
    before, after = document.split(BEGIN)[0], document.split(END)[1]
    with open(path, "w") as f:
        f.write("%s%s\n%s\n%s%s" % (before, BEGIN, text, END, after))


def main():
    o = options()
    if o.source:
        with open(o.source) as f:
            rows = [json.loads(line) for line in f]
    else:
        run = Run(o)
        run.all()
        rows = run.rows
    first, whole = report(rows)
    if o.readme:
        rewrite("README.md", first)
        rewrite(os.path.join("docs", "speed.md"), whole)
    every, results = list(comparisons(o.quick)), table.Results(rows)
    print("\n\n".join([whole, table.others(results, every), table.targets(results, every)]))


if __name__ == "__main__":
    try:
        main()
    except (Missing, OSError) as error:
        sys.exit("error: %s" % error)

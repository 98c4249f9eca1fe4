"""Runs one program at a time, and keeps what it prints as lines of JSON."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from jobs import QUIET

PACKAGES = ("torch", "jax", "optax", "numpyro", "pyro", "funsor")
# A program that is not finished by then counts as failed.
LIMIT_SECONDS = 900


class Missing(Exception):
    """Something that has to be there before anything can run."""


@dataclass
class Outcome:
    """What a program printed, how it ended, and what it took."""

    out: str
    err: str
    code: int
    # The most memory that it held, in KiB.
    peak_kib: int
    # CPUs that other programs took meanwhile; None where the system does not tell.
    others: float

    def lines(self):
        """The lines of JSON that it printed."""
        return lines(self.out)

    def complaint(self):
        """The end of what it said when it failed."""
        return (self.err.strip() or self.out.strip())[-300:]


def busy_seconds():
    """CPU seconds that all programs, and other virtual machines, have taken so far."""
    try:
        with open("/proc/stat") as f:
            user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def run(command, cwd, env=(), one_cpu=False):
    """Runs a program to its end, for at most `LIMIT_SECONDS`."""
    def pin():
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, cwd=cwd, env=dict(os.environ, **dict(env)), stdout=out,
                                   stderr=err, text=True, preexec_fn=pin if one_cpu else None)
        started, busy = time.monotonic(), busy_seconds()
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - started > LIMIT_SECONDS:
                process.kill()
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        others = None
        if busy is not None:
            others = busy_seconds() - busy - usage.ru_utime - usage.ru_stime
            others = round(max(0.0, others) / (time.monotonic() - started), 2)
        out.seek(0)
        err.seek(0)
        return Outcome(out.read(), err.read(), process.returncode, usage.ru_maxrss, others)


def lines(output):
    """The lines of JSON in what a program printed."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def wait_quiet(limit=30):
    """Waits until other programs leave the machine alone, as the peers' programs do."""
    end = time.monotonic() + limit
    while time.monotonic() < end and busy_seconds() is not None:
        busy, started = busy_seconds(), time.monotonic()
        time.sleep(0.5)
        if busy_seconds() - busy < QUIET * (time.monotonic() - started):
            return


class Bench:
    """This project's bench."""

    def __init__(self, root, blocks, seconds, any_noise):
        build = ["cargo", "bench", "--bench", "steps", "--no-run", "--message-format=json"]
        built = subprocess.run(build, cwd=root, stdout=subprocess.PIPE, text=True, check=False)
        if built.returncode:
            raise Missing("the bench does not build; see cargo's message above")
        programs = [d["executable"] for d in lines(built.stdout)
                    if d.get("target", {}).get("name") == "steps" and d.get("executable")]
        self.program, self.root, self.any_noise = programs[-1], root, any_noise
        self.settings = ["--blocks", str(blocks), "--seconds", str(seconds)]

    def measure(self, job, threads, steps=0):
        """One job's line, with the peak of the whole process."""
        command = [self.program, "--exact", job, "--json", "--threads", str(threads),
                   "--steps", str(steps), *self.settings]
        if not self.any_noise:
            wait_quiet()
        done = run(command, self.root, one_cpu=threads == 1)
        row = dict(who="relax", job=job, threads=threads)
        if done.code or not done.lines():
            return dict(row, error=done.complaint())
        d = done.lines()[-1]
        return dict(row, median=d["median"], min=d["min"], steps=d["steps"],
                    resident_kib=d["resident_kib"], grown_kib=d["grown_kib"],
                    losses=[d["loss_first"], d["loss_last"]], others=done.others,
                    peak_kib=d["peak_kib"] or done.peak_kib)


class Peers:
    """The peers' programs."""

    def __init__(self, folder, python, blocks, seconds, any_noise):
        if not os.path.isfile(os.path.join(folder, "peers_common.py")):
            raise Missing("%s: no such folder of peer programs; name it with --peers" % folder)
        self.folder, self.python = folder, python
        probe = "import importlib.util as u\nprint(*[p for p in %r if u.find_spec(p) is None])"
        try:
            done = run([python, "-c", probe % (PACKAGES,)], folder)
        except OSError as error:
            raise Missing("%s cannot be run (%s); name a Python with --python"
                          % (python, error)) from error
        if done.code:
            raise Missing("%s fails: %s" % (python, done.complaint()))
        if done.out.strip():
            names = ", ".join(done.out.split())
            raise Missing("%s lacks %s; install the packages that %s names, or name another Python "
                          "with --python" % (python, names, os.path.join(folder, "README.md")))
        self.env = dict(PEERS_BLOCKS=str(blocks), PEERS_BLOCK_S=str(seconds))
        if any_noise:
            self.env.update(PEERS_QUIET="99")

    def _run(self, arguments, threads, env=()):
        command = [self.python, *arguments, "--threads", str(threads)]
        return run(command, self.folder, env=dict(self.env, **dict(env)))

    def measure(self, peer, job, threads):
        """One peer's line, in microseconds a step."""
        row = dict(who=peer.name, kinds=peer.kinds, job=job, threads=threads)
        done = self._run(peer.arguments, threads, peer.env)
        found = [d for d in done.lines() if "median" in d]
        if done.code or not found:
            return dict(row, error=done.complaint())
        d = found[-1]
        unit = {"ms/step": 1e3, "us/step": 1.0}[d["unit"]]
        return dict(row, median=d["median"] * unit, min=d["min"] * unit, versions=d["versions"],
                    others=done.others, peak_kib=done.peak_kib)

    def floor(self, threads):
        """The lines of `floor.py` that say what the products of a step need."""
        done = self._run(("floor.py",), threads)
        found = [dict(who="floor", est=d["est"], batch=d["batch"], threads=threads,
                      median=d["floor_ms_best_measured_sgemm"] * 1e3, others=done.others)
                 for d in done.lines() if "floor_ms_best_measured_sgemm" in d]
        if done.code or not found:
            found.append(dict(who="floor", threads=threads, error=done.complaint()))
        return found

    def imports(self):
        """The memory that a library takes before it does anything."""
        for name, modules in (("PyTorch", "torch"), ("JAX", "jax, optax, jax.numpy")):
            done = run([self.python, "-c", "import %s" % modules], self.folder)
            yield dict(who="import", library=name, peak_kib=done.peak_kib)


def say(text):
    """Progress, apart from the table."""
    print(text, file=sys.stderr, flush=True)

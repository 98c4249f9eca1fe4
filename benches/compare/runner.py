"""Runs one program at a time, and keeps what it prints as lines of JSON."""

import json
import os
import subprocess
import sys
import tempfile
import time

PACKAGES = ("torch", "jax", "optax", "numpyro", "pyro", "funsor")
# A program that is not finished by then counts as failed.
LIMIT_SECONDS = 900


class Missing(Exception):
    """Something that has to be there before anything can run."""


def run(command, cwd, env=(), one_cpu=False):
    """Runs a program; its output, its exit code, and the most memory it held, in KiB."""
    def pin():
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, cwd=cwd, env=dict(os.environ, **dict(env)), stdout=out,
                                   stderr=err, text=True, preexec_fn=pin if one_cpu else None)
        started = time.monotonic()
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - started > LIMIT_SECONDS:
                process.kill()
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return out.read(), err.read(), process.returncode, usage.ru_maxrss


def lines(output):
    """The lines of JSON in what a program printed."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


class Bench:
    """This project's bench."""

    def __init__(self, root, blocks, seconds):
        build = ["cargo", "bench", "--bench", "steps", "--no-run", "--message-format=json"]
        built = subprocess.run(build, cwd=root, stdout=subprocess.PIPE, text=True, check=False)
        if built.returncode:
            raise Missing("the bench does not build; see cargo's message above")
        programs = [d["executable"] for d in lines(built.stdout)
                    if d.get("target", {}).get("name") == "steps" and d.get("executable")]
        self.program, self.root = programs[-1], root
        self.settings = ["--blocks", str(blocks), "--seconds", str(seconds)]

    def measure(self, job, threads, steps=0):
        """One job's line, with the peak of the whole process."""
        command = [self.program, "--exact", job, "--json", "--steps", str(steps)] + self.settings
        env = {"RELAX_THREADS": str(threads)}
        out, err, code, peak = run(command, self.root, env, one_cpu=threads == 1)
        found = lines(out)
        if code or not found:
            return dict(who="relax", job=job, threads=threads, error=err.strip()[-300:])
        d = found[-1]
        return dict(who="relax", job=job, threads=threads, median=d["median"], min=d["min"],
                    peak_kib=peak, steps=d["steps"], resident_kib=d["resident_kib"],
                    grown_kib=d["grown_kib"], losses=[d["loss_first"], d["loss_last"]])


class Peers:
    """The peers' programs."""

    def __init__(self, folder, python, blocks, seconds, any_noise):
        if not os.path.isfile(os.path.join(folder, "peers_common.py")):
            raise Missing("%s: no such folder of peer programs; name it with --peers" % folder)
        self.folder, self.python = folder, python
        probe = "import importlib.util as u\nprint(*[p for p in %r if u.find_spec(p) is None])"
        try:
            out, err, code, _ = run([python, "-c", probe % (PACKAGES,)], folder)
        except OSError as error:
            raise Missing("%s cannot be run (%s); name a Python with --python"
                          % (python, error)) from error
        if code:
            raise Missing("%s fails: %s" % (python, err.strip()[-300:]))
        if out.strip():
            names = ", ".join(out.split())
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
        out, err, code, peak = self._run(peer.arguments, threads, peer.env)
        found = [d for d in lines(out) if "median" in d]
        if code or not found:
            return dict(row, error=err.strip()[-300:] or out.strip()[-300:])
        d = found[-1]
        unit = {"ms/step": 1e3, "us/step": 1.0}[d["unit"]]
        return dict(row, median=d["median"] * unit, min=d["min"] * unit, peak_kib=peak,
                    contended=d["contended"] and d["set_aside"] > 0, versions=d["versions"])

    def floor(self, threads):
        """The lines of `floor.py` that say what the products of a step need."""
        out, err, code, _ = self._run(("floor.py",), threads)
        found = [dict(who="floor", est=d["est"], batch=d["batch"], threads=threads,
                      median=d["floor_ms_best_measured_sgemm"] * 1e3)
                 for d in lines(out) if "floor_ms_best_measured_sgemm" in d]
        if code or not found:
            found.append(dict(who="floor", threads=threads, error=err.strip()[-300:]))
        return found

    def imports(self):
        """The memory that a library takes before it does anything."""
        for name, modules in (("PyTorch", "torch"), ("JAX", "jax, optax, jax.numpy")):
            _, _, _, peak = run([self.python, "-c", "import %s" % modules], self.folder)
            yield dict(who="import", library=name, peak_kib=peak)


def say(text):
    """Progress, apart from the table."""
    print(text, file=sys.stderr, flush=True)

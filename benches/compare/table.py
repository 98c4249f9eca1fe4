"""Markdown tables of what was measured, with the targets."""

import statistics

from jobs import (FLOOR_TARGET, GROWTH_SLACK, JAX, PLAIN, SCALING, SCALING_SLACK, THREADS_JOB,
                  THREADS_TARGET, TORCH)


class Results:
    """The measurements, several of the same thing as their median."""

    def __init__(self, rows):
        self.rows = rows

    def threads(self):
        """The thread counts that were measured."""
        return sorted({r["threads"] for r in self.rows if "threads" in r})

    def own(self, job, threads, field="median"):
        """A number of one of the bench's jobs."""
        return _median(r.get(field) for r in self.rows
                       if r["who"] == "relax" and r["job"] == job and r["threads"] == threads
                       and not r.get("steady"))

    def peers(self, job, threads, kind):
        """Name to row of the peers of a kind."""
        found = {}
        for r in self.rows:
            if kind in r.get("kinds", ()) and r["job"] == job and r["threads"] == threads:
                found.setdefault(r["who"], []).append(r)
        return {name: dict(median=_median(r.get("median") for r in rows),
                           peak_kib=_median(r.get("peak_kib") for r in rows),
                           contended=any(r.get("contended") for r in rows))
                for name, rows in found.items()}

    def fastest(self, job, threads, kind):
        """Name and row of the fastest peer of a kind."""
        timed = [(row["median"], name, row)
                 for name, row in self.peers(job, threads, kind).items() if row["median"]]
        return min(timed, key=lambda t: t[0])[1:] if timed else (None, None)

    def floor(self, estimator, batch, threads):
        """What the products of a step take."""
        return _median(r.get("median") for r in self.rows if r["who"] == "floor"
                       and (r.get("est"), r.get("batch"), r["threads"]) == (estimator, batch, threads))

    def errors(self):
        """What failed."""
        return [r for r in self.rows if "error" in r]


def _median(numbers):
    known = [n for n in numbers if n is not None]
    return statistics.median(known) if known else None


def duration(us):
    """Microseconds, readable."""
    if us is None:
        return "–"
    value, unit = (us, "µs") if us < 1000 else (us / 1000, "ms")
    return "%.3g %s" % (value, unit) if value < 100 else "%.0f %s" % (value, unit)


def _mib(kib):
    return "–" if kib is None else "%.0f MiB" % (kib / 1024)


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _verdict(checks):
    """"met", or the targets that were missed: pairs of a text and whether it holds."""
    known = [(text, holds) for text, holds in checks if holds is not None]
    missed = [text for text, holds in known if not holds]
    if not known:
        return ""
    return "met" if not missed else "missed: " + ", ".join(missed)


def speed(results, comparisons):
    """Each job beside the peers."""
    rows = []
    for comparison in comparisons:
        for place, job in enumerate(comparison.jobs):
            for threads in results.threads():
                ours = results.own(job, threads)
                if ours is None:
                    continue
                cells, checks = [], []
                for kind, word in ((PLAIN, "jitted"), (JAX, "fastest JAX"), (TORCH, "PyTorch")):
                    name, row = results.fastest(comparison.jobs[0], threads, kind)
                    if row is None:
                        cells.append("–")
                        continue
                    ratio = row["median"] / ours
                    busy = "*" if row["contended"] else ""
                    label = "" if kind == PLAIN else "%s: " % name
                    cells.append("%s%s%s (%.3g×)" % (label, duration(row["median"]), busy, ratio))
                    target = comparison.targets.get(kind)
                    if target:
                        checks.append(("%s %.2g× of %g×" % (word, ratio, target), ratio >= target))
                floor = results.floor(*comparison.floor, threads) if comparison.floor else None
                cells.append("–" if floor is None else
                             "%s (%.2g×)" % (duration(floor), ours / floor))
                if floor and comparison.targets:
                    checks.append(("floor %.2g× of %g×" % (ours / floor, FLOOR_TARGET),
                                   ours <= FLOOR_TARGET * floor))
                rows.append([job, str(threads), "**%s**" % duration(ours)] + cells
                            + [_verdict(checks) if place == 0 else ""])
    head = ["job", "threads", "relax", "jitted JAX or NumPyro", "fastest JAX or NumPyro",
            "fastest PyTorch, or Pyro", "floor", "targets"]
    return _table(head, rows)


def memory(results, comparisons):
    """Peaks of whole processes, and growth over many steps."""
    imports = {r["library"]: r["peak_kib"] for r in results.rows if r["who"] == "import"}
    rows = []
    threads = max(results.threads(), default=1)
    for comparison in comparisons:
        job = comparison.jobs[0]
        ours = results.own(job, threads, "peak_kib")
        _, peer = results.fastest(job, threads, TORCH)
        if ours is None or peer is None:
            continue
        rows.append([job, _mib(ours), _mib(peer["peak_kib"]),
                     "met" if ours < peer["peak_kib"] else "missed"])
    text = _table(["job", "relax", "fastest PyTorch, or Pyro", "below it"], rows)
    note = ", ".join("%s %s" % (name, _mib(kib)) for name, kib in imports.items())
    if note:
        text += "\n\nOf these, importing the library alone takes: %s." % note
    steady = [[r["job"], "{:,}".format(r["steps"]), _mib(r["resident_kib"]),
               "%+.1f MiB" % (r["grown_kib"] / 1024),
               "met" if r["grown_kib"] <= GROWTH_SLACK else "missed"]
              for r in results.rows if r.get("steady") and "error" not in r]
    if steady:
        text += "\n\n" + _table(["job", "steps", "resident", "growth after the first 100",
                                 "no growth"], steady)
    return text


def scaling(results):
    """How time grows with the batch, and falls with threads."""
    counts, rows = results.threads(), []
    first = {t: results.own(SCALING[0], t) for t in counts}
    for job in SCALING:
        batch = int(job.split()[-1])
        times = {t: results.own(job, t) for t in counts}
        if None in times.values():
            continue
        each = [["%s" % duration(us), duration(us / batch)] for us in times.values()]
        checks = [("%d threads %+.0f %%" % (t, 100 * (us / batch / (first[t] / 24) - 1)),
                   us / batch <= (1 + SCALING_SLACK) * first[t] / 24)
                  for t, us in times.items() if first[t]]
        gain = times[1] / times[2] if 1 in times and 2 in times else None
        faster = "–" if gain is None else "%.2f×" % gain
        if job == THREADS_JOB and gain is not None:
            checks.append(("two threads %.2g× of %g×" % (gain, THREADS_TARGET),
                           gain >= THREADS_TARGET))
        rows.append([str(batch)] + [cell for pair in each for cell in pair]
                    + [faster, _verdict(checks)])
    head = ["batch"]
    for t in counts:
        word = "%d thread%s" % (t, "" if t == 1 else "s")
        head += ["a step, " + word, "an image, " + word]
    return _table(head + ["two threads against one", "targets"], rows)

"""Markdown tables of what was measured, and which targets are met."""

import statistics

from jobs import FLOOR_TARGET, JAX, PLAIN, QUIET, SCALING, THREADS_JOB, THREADS_TARGET, TORCH


class Results:
    """The measurements, several of the same thing as their median."""

    def __init__(self, rows):
        self.rows = rows

    def threads(self):
        """The thread counts that were measured."""
        return sorted({r["threads"] for r in self.rows if "threads" in r})

    def own(self, job, threads):
        """One of the bench's jobs."""
        return _together([r for r in self.rows
                          if r["who"] == "relax" and r["job"] == job and r["threads"] == threads
                          and not r.get("steady")])

    def peers(self, job, threads, kind):
        """Name to row of the peers of a kind."""
        found = {}
        for r in self.rows:
            if kind in r.get("kinds", ()) and r["job"] == job and r["threads"] == threads:
                found.setdefault(r["who"], []).append(r)
        return {name: _together(rows) for name, rows in found.items()}

    def fastest(self, job, threads, kind):
        """Name and row of the fastest peer of a kind."""
        timed = [(row["median"], name, row)
                 for name, row in self.peers(job, threads, kind).items() if row["median"]]
        return min(timed, key=lambda t: t[0])[1:] if timed else (None, None)

    def floor(self, estimator, batch, threads):
        """What the products of a step take."""
        return _together([r for r in self.rows if r["who"] == "floor" and (
            r.get("est"), r.get("batch"), r["threads"]) == (estimator, batch, threads)])

    def errors(self):
        """What failed."""
        return [r for r in self.rows if "error" in r]


def _together(rows):
    """Several measurements of the same thing as one."""
    def median(field):
        known = [r[field] for r in rows if r.get(field) is not None]
        return statistics.median(known) if known else None

    return dict(median=median("median"), peak_kib=median("peak_kib"),
                disturbed=any((r.get("others") or 0) > QUIET for r in rows))


def duration(us):
    """Microseconds, readable."""
    if us is None:
        return "–"
    value, unit = (us, "µs") if us < 1000 else (us / 1000, "ms")
    return "%s %s" % (_number(value), unit)


def _number(x):
    return "%.3g" % x if x < 100 else "%.0f" % x


def _threads(count):
    return "1 thread" if count == 1 else "%d threads" % count


def _time(row):
    """A row's time, marked where other programs disturbed it."""
    return duration(row["median"]) + ("\\*" if row["disturbed"] else "")


def _mib(kib):
    return "–" if kib is None else "%.0f MiB" % (kib / 1024)


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def speed(results, comparisons):
    """Each comparison's first job beside the peers."""
    rows = []
    for comparison in comparisons:
        for threads in results.threads():
            own = results.own(comparison.jobs[0], threads)
            if own["median"] is not None:
                cells, _ = _beside(results, comparison, own["median"], threads)
                rows.append([comparison.jobs[0], str(threads), "**%s**" % _time(own), *cells])
    head = ["job", "threads", "relax", "jitted JAX or NumPyro", "fastest JAX or NumPyro",
            "fastest PyTorch, or Pyro", "floor"]
    return _table(head, rows)


def others(results, comparisons):
    """The jobs that have a better one for the same model."""
    jobs = [job for comparison in comparisons for job in comparison.jobs[1:]]
    rows = [[job, str(threads), _time(results.own(job, threads))] for job in jobs
            for threads in results.threads() if results.own(job, threads)["median"] is not None]
    return _table(["job", "threads", "relax"], rows)


def targets(results, comparisons):
    """A line for each target: the job, what was reached, and whether that is enough."""
    lines = []
    for comparison in comparisons:
        for threads in results.threads():
            own = results.own(comparison.jobs[0], threads)["median"]
            checks = [] if own is None else _beside(results, comparison, own, threads)[1]
            lines += ["%-4s  %s, %s: %s" % ("met" if holds else "MISS", comparison.jobs[0],
                                            _threads(threads), text) for text, holds in checks]
    one, two = (results.own(THREADS_JOB, t)["median"] for t in (1, 2))
    if one and two:
        lines.append("%-4s  %s: two threads %.2f× of %g×" % (
            "met" if one / two >= THREADS_TARGET else "MISS", THREADS_JOB, one / two,
            THREADS_TARGET))
    return "\n".join(lines)


def _beside(results, comparison, own, threads):
    """The cells beside a job that takes `own` microseconds, and what holds of the targets."""
    cells, checks = [], []
    for kind, word in ((PLAIN, "jitted"), (JAX, "fastest JAX"), (TORCH, "PyTorch")):
        name, row = results.fastest(comparison.jobs[0], threads, kind)
        if row is None:
            cells.append("–")
            continue
        ratio, target = row["median"] / own, comparison.targets.get(kind)
        label = "" if kind == PLAIN else "%s: " % name
        cells.append("%s%s (%s×)" % (label, _time(row), _number(ratio)))
        if target:
            checks.append(("%s %s× of %g×" % (word, _number(ratio), target), ratio >= target))
    floor = results.floor(*comparison.floor, threads) if comparison.floor else None
    if floor is None or floor["median"] is None:
        return cells + ["–"], checks
    times = own / floor["median"]
    cells.append("%s (%s×)" % (_time(floor), _number(times)))
    if comparison.targets:
        checks.append(("floor %s× of %g×" % (_number(times), FLOOR_TARGET), times <= FLOOR_TARGET))
    return cells, checks


def memory(results, comparisons):
    """Peaks of whole processes, and growth over many steps."""
    imports = {r["library"]: r["peak_kib"] for r in results.rows if r["who"] == "import"}
    rows = []
    threads = max(results.threads(), default=1)
    for comparison in comparisons:
        job = comparison.jobs[0]
        ours = results.own(job, threads)["peak_kib"]
        peaks = [row["peak_kib"] for row in results.peers(job, threads, TORCH).values()]
        least = min((peak for peak in peaks if peak), default=None)
        if ours is None or least is None:
            continue
        rows.append([job, _mib(ours), _mib(least)])
    text = _table(["peak memory", "relax", "least of PyTorch, or Pyro"], rows)
    note = ", ".join("%s %s" % (name, _mib(kib)) for name, kib in imports.items())
    if note:
        text += "\n\nOf these, importing the library alone takes: %s." % note
    steady = [[r["job"], "{:,}".format(r["steps"]), _mib(r["resident_kib"]),
               "%+.1f MiB" % (r["grown_kib"] / 1024)]
              for r in results.rows if r.get("steady") and "error" not in r]
    if steady:
        text += "\n\n" + _table(["memory over many steps", "steps", "resident",
                                 "growth after the first 100"], steady)
    return text


def scaling(results):
    """How time grows with the batch, and falls with threads."""
    counts, rows = results.threads(), []
    for job in SCALING:
        batch = int(job.split()[-1])
        own = {t: results.own(job, t) for t in counts}
        times = {t: row["median"] for t, row in own.items()}
        if None in times.values():
            continue
        each = [[_time(row), duration(row["median"] / batch)] for row in own.values()]
        gain = times[1] / times[2] if 1 in times and 2 in times else None
        faster = "–" if gain is None else "%.2f×" % gain
        rows.append([str(batch)] + [cell for pair in each for cell in pair] + [faster])
    head = ["batch"]
    for t in counts:
        head += ["a step, " + _threads(t), "an image, " + _threads(t)]
    return _table(head + ["two threads against one"], rows)

"""Tests without mutation: how long each takes, whether it passes, and which lines of the mutated files it comes by."""

import hashlib
import json
import time

import process
import targets


def baseline(place, work, wanted, workers, say):
    """Run tests unchanged.

    Args:
        place: copy of the repository.
        work: folder; what was found stays there until a file changes.
        wanted: test files, or single tests.
        workers: how many at a time.
        say: is told.

    Returns:
        {test: {"cost", "cold": s, "lines": {path: set}}} of all tests that pass.
    """
    held = targets.files(place)
    rows = {}

    def files(test):
        paths = [path for path, (_, tests) in held.items() if test in tests]
        texts = [test, *((place / path).read_text() for path in (test.split("::")[0], *paths))]
        key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
        traced, timed = work / f"lines-{key}.json", work / f"times-{key}.json"
        if not traced.exists():
            yield from process.done(process.start(place, traced, [test], traced=paths))
        cold = {name: row for name, row in json.loads(traced.read_text())["tests"].items() if row[1]}
        if not timed.exists():  # in the order in which mutants are given to them
            order = sorted(cold, key=lambda name: cold[name][0])
            yield from process.done(process.start(place, timed, [test], order))
        warm = {name: row for name, row in json.loads(timed.read_text())["tests"].items() if row[1]}
        rows.update({name: {"cost": row[0], "cold": cold[name][0], "lines": cold[name][2]} for name, row in warm.items()})
        say(f"{test}: {len(warm)} tests, {sum(row[0] for row in warm.values()):.0f} s")

    interleaved(map(files, wanted), workers)
    for row in rows.values():
        lines = {}
        for path, line in row["lines"]:
            lines.setdefault(path, set()).add(line)
        row["lines"] = lines
    return rows


def interleaved(jobs, workers):
    """Run generators, so many at a time; each yields while it waits."""
    jobs, active = iter(jobs), []
    while True:
        while len(active) < workers and (job := next(jobs, None)) is not None:
            active.append(job)
        if not active:
            return
        for job in list(active):
            try:
                next(job)
            except StopIteration:
                active.remove(job)
        time.sleep(0.02)


def _of(name, wanted):
    """Whether a test belongs to one of these test files or tests."""
    return any(name == some or name.startswith((some + "::", some + "[")) for some in wanted)


def choose(mutant, wanted, rows, budget):
    """The tests for a mutant, cheapest first: those that come by its statement, up to `budget` seconds.

    A constant of a module is held by all of its tests, the default of an argument by those that come by the function.

    Returns:
        (list of tests, their cold time in s).
    """
    near = {name: row["lines"].get(mutant.path) for name, row in rows.items() if _of(name, wanted)}
    near = {name: lines for name, lines in near.items() if lines}
    first, last = mutant.body or (mutant.first, mutant.last)
    names = [name for name, lines in near.items() if any(first <= line <= last for line in lines)]
    if mutant.at_import and mutant.body is None:
        names = [name for name in rows if _of(name, wanted)]  # those that only read a table come by no line of it
    names.sort(key=lambda name: (name not in near, rows[name]["cost"]))
    kept, cost = [], 0.0
    for name in names:
        if kept and cost + rows[name]["cost"] > budget:
            break
        kept.append(name)
        cost += rows[name]["cost"]
    return kept, sum(rows[name]["cold"] for name in kept)

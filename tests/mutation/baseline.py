"""Tests without mutation: how long each takes, whether it passes, and which lines of the mutated files it comes by."""

import hashlib
import json
import time
from collections import deque
from pathlib import Path

import process
import targets


def baseline(root, work, place, wanted, workers, say):
    """Run tests unchanged.

    Args:
        root: of the repository.
        work: folder; what was found stays there until a file changes.
        place: copy of the repository.
        wanted: test files, or single tests.
        workers: how many at a time.
        say: is told.

    Returns:
        {test: {"cost", "cold": s, "lines": {path: set}}} of all tests that pass.
    """
    held = targets.files(root)
    code = hashlib.sha256(b"".join((Path(root) / path).read_bytes() for path in held)).hexdigest()
    rows, todo = {}, deque()
    for test in wanted:
        key = hashlib.sha256((code + test + (Path(root) / test.split("::")[0]).read_text()).encode()).hexdigest()[:24]
        kept = work / f"baseline-{key}.json"
        if kept.exists():
            rows.update(json.loads(kept.read_text()))
        else:
            todo.append((test, kept))

    def files(job):
        test, kept = job
        answer = kept.with_name(f"answer-{kept.stem}.json")
        run = process.start(place, answer, [test], traced=list(held))
        while (over := run.over()) is None:
            yield
        cold = over[1]
        run = process.start(place, answer, [test])
        while (over := run.over()) is None:
            yield
        warm, some = over[1], {}
        for name, (seconds, passed, lines) in (cold or {"tests": {}})["tests"].items():
            after = (warm or {"tests": {}})["tests"].get(name)
            if passed and after and after[1]:
                some[name] = {"cost": after[0], "cold": seconds, "lines": lines}
        kept.write_text(json.dumps(some))
        rows.update(some)
        say(f"{test}: {len(some)} tests, {sum(r['cost'] for r in some.values()):.0f} s")

    interleaved((files(job) for job in todo), workers)
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

    A statement that runs at import (a constant, a default) is held by all tests that come by the file (the function).

    Returns:
        (list of tests, their cold time in s).
    """
    near = {name: row["lines"].get(mutant.path) for name, row in rows.items() if _of(name, wanted)}
    near = {name: lines for name, lines in near.items() if lines}
    first, last = mutant.body or (mutant.first, mutant.last)
    names = [name for name, lines in near.items() if any(first <= line <= last for line in lines)]
    if not names and mutant.at_import and mutant.body is None:
        names = list(near)
    names.sort(key=lambda name: rows[name]["cost"])
    kept, cost = [], 0.0
    for name in names:
        if kept and cost + rows[name]["cost"] > budget:
            break
        kept.append(name)
        cost += rows[name]["cost"]
    return kept, sum(rows[name]["cold"] for name in kept)

"""Mutation testing of neighbour lists, cutoffs, readers, integrators and networks of hops: how many small mistakes do the tests notice?

    python tests/mutation/run.py --out results.jsonl                 375 mutants, seed 26; goes on where it was stopped
    python tests/mutation/run.py --out results.jsonl --score         the score of what is there, and the survivors
    python tests/mutation/run.py --out results.jsonl --again         those that survived, once more, after a new test

Each mutant is one process that runs the tests of the module which come by the changed line, cheapest first, until one
fails. A mutant is killed by a failing test, by a crash, and by more than three times the usual time plus 20 s.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import baseline
import process
import targets

ROOT = Path(__file__).resolve().parents[2]
SURVIVORS = Path(__file__).with_name("survivors.md")
KILLED = ("killed", "crashed", "timeout")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one for each mutant; appended to")
    parser.add_argument("--count", type=int, default=375)
    parser.add_argument("--seed", type=int, default=26)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budget", type=float, default=10.0, help="s of tests for a mutant, as they run unchanged")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "jaxpot-mutation")
    parser.add_argument("--score", action="store_true", help="run nothing")
    parser.add_argument("--only", default="", help="mutants with this in their name")
    parser.add_argument("--again", action="store_true", help="run survivors again")
    arguments = parser.parse_args()
    total = targets.everything(ROOT)
    chosen = targets.sample(total, arguments.count, arguments.seed)
    known = results(arguments.out)
    if not arguments.score:
        missing = [
            (group, mutant) for group, mutant in chosen
            if arguments.only in mutant.name
            and (mutant.name not in known or (arguments.again and known[mutant.name]["status"] not in KILLED))
        ]
        run(missing, arguments)
        known = results(arguments.out)
    report(total, [(group, known[mutant.name]) for group, mutant in chosen if mutant.name in known])


def results(path):
    """The last result of each mutant."""
    rows = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return {row["name"]: row for row in rows}


def run(missing, arguments):
    """Run mutants, each in a process of its own, and append what becomes of them."""
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    process.preload(work / "programs")
    held = targets.files(ROOT)
    slots = [work / f"copy-{os.getpid()}-{k}" for k in range(arguments.workers)]
    for slot in slots:
        process.copied(ROOT, slot, held)
    sources = {path: (slots[0] / path).read_text() for path in held}  # whatever becomes of the working tree
    wanted = sorted({test for _, mutant in missing for test in held[mutant.path][1]})
    rows = baseline.baseline(slots[0], work, wanted, arguments.workers, say)
    begin, done = time.monotonic(), 0

    def job(group, mutant):
        nonlocal done
        tests, cold = baseline.choose(mutant, held[mutant.path][1], rows, arguments.budget)
        status, by, seconds = "uncovered", None, 0.0
        if tests:
            slot = slots.pop()
            source = sources[mutant.path]
            (slot / mutant.path).write_text(mutant.applied(source))
            test_files = list(dict.fromkeys(name.split("::")[0] for name in tests))
            limit = 3.0 * cold + 20.0
            answer = work / f"answer-{slot.name}.json"
            under_way = process.start(slot, answer, test_files, tests, limit=limit, stop=True)
            while (over := under_way.over()) is None:
                yield
            code, answer, seconds = over
            (slot / mutant.path).write_text(source)
            slots.append(slot)
            if answer is None:
                status = "timeout" if under_way.timed_out(seconds) else "crashed"
            else:
                by = answer["failed"]
                status = "killed" if by or code else "survived"
        row = {"name": mutant.name, "group": group, "status": status, "by": by, "tests": len(tests), "s": round(seconds, 1)}
        with arguments.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        done += 1
        say(f"{done}/{len(missing)} {(time.monotonic() - begin) / 60:.1f} min  {status:9} {mutant.name}")

    try:
        baseline.interleaved((job(*one) for one in missing), arguments.workers)
    finally:
        for slot in slots:
            shutil.rmtree(slot, ignore_errors=True)


def say(text):
    print(text, flush=True)


def equivalent():
    """Names of mutants that `survivors.md` explains as equivalent."""
    lines = SURVIVORS.read_text().splitlines() if SURVIVORS.exists() else ()
    return {line.split("`")[1] for line in lines if line.startswith("- = `")}


def report(total, rows):
    """Print survivors and scores."""
    same = equivalent()
    for _, row in rows:
        if row["status"] not in KILLED:
            say(f"{row['status']:9}{' =' if row['name'] in same else '  '} {row['name']}")
    say(f"\n{'group':13}{'mutants':>8}{'run':>6}{'killed':>8}{'score':>8}{'without equivalent':>20}{'s each':>8}")
    weighted = []
    for group in [*total, "all"]:
        some = [row for name, row in rows if group in (name, "all")]
        if not some:
            continue
        killed = sum(row["status"] in KILLED for row in some)
        real = len(some) - sum(row["name"] in same and row["status"] not in KILLED for row in some)
        count = len(total[group]) if group in total else sum(map(len, total.values()))
        if group in total:
            weighted.append((count, killed / len(some)))
        say(
            f"{group:13}{count:8}{len(some):6}{killed:8}{killed / len(some):8.1%}{killed / real:20.1%}"
            f"{sum(row['s'] for row in some) / len(some):8.1f}"
        )
    if weighted:
        share = sum(n * score for n, score in weighted) / sum(n for n, _ in weighted)
        say(f"of all mutants, if each group is as its sample: {share:.1%}")


if __name__ == "__main__":
    sys.exit(main())

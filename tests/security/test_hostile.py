"""Row 16 of the reliability scoreboard: of the files that mean harm none acts, and all are refused or read as they stand.

Each is read in a process of its own kind (`guarded.py`), in which an audit hook tells of whatever is executed, connected
to, written, or read outside of the folder of the file; within 2 s and 200 MB + 4 times the size of the files.

`pytest -m slow -n 0 -s tests/security/test_hostile.py` reads all of them, and shows the figures.
"""

import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import CANARY, OUTSIDE, SECRET, code_in_files
from hostile_models import harmful_models
from hostile_networks import harmful_networks
from hostile_state import harmful_state
from hostile_structures import harmful_structures

HERE = Path(__file__).parent
SAMPLE = 15  # of so many cases one is read in the shorter form
# Each was wrong once: a process that died or waited, an untyped error, memory, a link that was followed, a raw escape.
MENDED = (
    "a name with escapes", "fit: a header of many signs", "fit: an array of 400 MB, compressed", "fit: encrypted",
    "fit: of an unknown method", "fit: shape (999999999,)", "fit: words that nest", "json: positions of 16 GB",
    "load a link to a device", "load a pipe", "meam: a.library.meam: a long line",
    "meam: a.library.meam: a pipe", "n2p2: scaling.data: a link outside", "n2p2: scaling.data: a pipe",
    "read x.db: shell", "read x.pdb: pickle of protocol 0", 
    "recipe 'xxxxxxxxxxxxxxxxxxxx'", "recipe: a number of many digits", "recipe: deep keys", "recipe: deep lists",
    "recipe: many keys", "sparse points: a bz2 bomb", "sparse points: a link to a file outside", "traj: info of 16 GB",
    "sparse points: an xz bomb", "sparse points: an xz of a large window", "traj: the same item many times",
    "tree, load: arrays over each other", "tree, load: the same array a thousand times", "trials: a pipe",
    "trials: deep nesting", "x.vasp: whole number 0 is 999999999", "x.xyz.gz: a bomb of frames", "x.xyz.xz: zeros",
    "xml: a long attribute", "xml: encoding UTF-7", "xml: deep nesting of a section", "x.xyz.gz: a byte changed",
)
LONGEST = 3000  # characters of a message


def all_cases(scratch):
    cases = [
        *code_in_files(), *harmful_models(scratch), *harmful_networks(scratch / "networks"), *harmful_structures(),
        *harmful_state(),
    ]
    twice = [name for name, count in collections.Counter(case.name for case in cases).items() if count > 1]
    assert not twice, twice
    return cases


def outcomes(cases, folder):
    """What became of the cases: {name: what `guarded.py` told}. A process that dies is followed by another."""
    (folder / "work").mkdir()
    left, told = {}, {}
    for k, case in enumerate(cases):
        inside = folder / f"{k:04d}" / "inside"
        inside.mkdir(parents=True)
        (inside.parent / OUTSIDE).write_text(SECRET)
        left[case.name] = json.dumps([case.name, case.reader, case.write(inside), str(inside)])
    while left:
        (folder / "jobs").write_text("\n".join(left.values()))
        process = subprocess.run(
            [sys.executable, HERE / "guarded.py", folder / "jobs"], cwd=folder / "work", stdin=subprocess.DEVNULL,
            capture_output=True, text=True,
        )
        begun = None
        for answer in map(json.loads, process.stdout.splitlines()):
            begun = answer.get("begins")
            if begun is None:
                told[answer["name"]] = answer
                del left[answer["name"]]
        assert begun is not None or not left, process.stderr[-3000:]
        if begun is not None:
            told[begun] = {"kind": f"the process ended with {process.returncode}", "reason": process.stderr[-500:]}
            del left[begun]
    return told


def complaints(case, told):
    """What is wrong with an outcome, in words."""
    kind, reason = told["kind"], told["reason"]
    if not (kind.endswith("Error") or kind.startswith("value")) or kind.startswith("untyped"):
        return [f"{kind}: {reason[:200]}"]
    wrong = [*told["acts"], *(f"{character} in a message" for character in told["raw"])]
    if "not finite" in kind or (case.refused and kind.startswith("value")):
        wrong.append(kind)
    if told["memory"] > told["limit"]:
        wrong.append(f"{told['memory'] / 1e6:.0f} MB")
    if told["length"] > LONGEST:
        wrong.append(f"a message of {told['length']} characters")
    if SECRET in reason and SECRET not in str(case.files.values()):
        wrong.append(f"tells what stands in another file: {reason}")
    return wrong


def check(cases, folder):
    told = outcomes(cases, folder)
    wrong = {case.name: complaints(case, told[case.name]) for case in cases}
    wrong = {name: what for name, what in wrong.items() if what}
    kinds = collections.Counter(answer["kind"] for answer in told.values())
    print(f"\n{len(cases)} files, {sum(n for kind, n in kinds.items() if kind.endswith('Error'))} refused, slowest "
          f"{max(answer.get('seconds', 0.0) for answer in told.values()):.1f} s, most memory "
          f"{max(answer.get('memory', 0.0) for answer in told.values()) / 1e6:.0f} MB, {len(wrong)} wrong: {dict(kinds)}")
    assert not list(folder.rglob(CANARY)), "code in a file has been run"
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())


@pytest.mark.slow
def test_a_sample_of_hostile_files_does_nothing(tmp_path):
    (tmp_path / "scratch").mkdir()
    cases = {case.name: case for case in all_cases(tmp_path / "scratch")}
    names = [*MENDED, *list(cases)[5::SAMPLE]]
    check([cases[name] for name in dict.fromkeys(names)], tmp_path)


@pytest.mark.slow
def test_row_16_no_hostile_file_acts(tmp_path):
    (tmp_path / "scratch").mkdir()
    cases = all_cases(tmp_path / "scratch")
    assert len(cases) >= 500
    check(cases, tmp_path)

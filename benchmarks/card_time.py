"""How long does a property card take: at first, and with the programs that the first run has kept?

    python benchmarks/card_time.py [--rounds 3]
    python benchmarks/card_time.py --quartz 20      the card of a crystal of nine atoms, so many times in a row

Commands as a user gives them, each in a process of its own, with a cache of programs that begins empty; the best of the
rounds, in seconds. Goal on two free cores: at most 30 s at first, below 6 s from then on. Cards of quartz, with
LAMMPS's `SiO.tersoff`, once waited for ever: each has to end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

from ase.spacegroup import crystal
from lammps_peer import potentials_folder

PATIENCE = 600.0  # s
CARDS = (
    ("sw-silicon", "diamond:Si"),
    ("cleri-rosato-copper", "hcp:Cu"),
    ("finnis-sinclair-vanadium", "bcc:V"),
)


def seconds(model, structure, folder, cache):
    """Wall and processor time of one card."""
    line = [sys.executable, "-m", "jaxpot", "card", model, "--structure", structure, "--out", folder, "--quiet"]
    before, start = os.times(), time.monotonic()
    environment = os.environ | {"XDG_CACHE_HOME": cache}
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env=environment, timeout=PATIENCE)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - start, used


def quartz(count):
    """Print how long each of so many cards of alpha quartz takes; raises when one fails, or does not end."""
    atoms = crystal(
        ("Si", "O"), [(0.4697, 0.0, 0.0), (0.4135, 0.2669, 0.1191)], spacegroup=152,
        cellpar=(4.913, 4.913, 5.405, 90, 90, 120),
    )
    times = []
    with tempfile.TemporaryDirectory() as root:
        file, folder, cache = (os.path.join(root, name) for name in ("quartz.xyz", "card", "cache"))
        atoms.write(file)
        for k in range(count):
            times.append(seconds(str(potentials_folder() / "SiO.tersoff"), file, folder, cache)[0])
            print(f"card {k + 1} of {count}: {times[-1]:.1f} s", flush=True)
    print(f"{count} of {count} ended; mean {sum(times) / count:.1f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quartz", type=int, metavar="N", help="cards of quartz in a row instead")
    options = parser.parse_args()
    if options.quartz:
        quartz(options.quartz)
        return
    print("| card | first, s (processor) | again, s (processor) |\n|---|---|---|")
    for model, structure in CARDS:
        first, again = [], []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as root:
                run = (model, structure, os.path.join(root, "card"), os.path.join(root, "cache"))
                first.append(seconds(*run))
                again.append(seconds(*run))
        shown = (f"{min(times)[0]:.1f} ({min(times)[1]:.1f})" for times in (first, again))
        print(f"| {model} {structure} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()

"""How long does a property card take: at first, and with the programs that the first run has kept?

    python benchmarks/card_time.py [--rounds 3]

Commands as a user gives them, each in a process of its own, with a cache of programs that begins empty; the best of the
rounds, in seconds. Goal on two free cores: at most 30 s at first, below 6 s from then on.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

CARDS = (
    ("sw-silicon", "diamond:Si"),
    ("cleri-rosato-copper", "hcp:Cu"),
    ("finnis-sinclair-vanadium", "bcc:V"),
)


def seconds(model, structure, folder, cache):
    """Wall and processor time of one card."""
    line = [sys.executable, "-m", "jaxpot", "card", model, "--structure", structure, "--out", folder, "--quiet"]
    before, start = os.times(), time.monotonic()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"XDG_CACHE_HOME": cache})
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - start, used


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
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

"""Cards of crystals with many atoms come to an end: they once waited for ever, on two cores."""

import os
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms

PATIENCE = 900.0  # s; a card takes a minute


def polytype(stacking, a=3.84):
    """Silicon with its double layers stacked like this, two atoms each."""
    height = a * np.sqrt(2.0 / 3.0)
    places = {"A": (0.0, 0.0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    scaled = []
    for k, letter in enumerate(stacking):
        scaled += [(*places[letter], k / len(stacking)), (*places[letter], (k + 0.75) / len(stacking))]
    cell = [a, a, height * len(stacking), 90, 90, 120]
    return Atoms(f"Si{len(scaled)}", scaled_positions=scaled, cell=cell, pbc=True)


@pytest.mark.slow
@pytest.mark.parametrize("stacking", ["ABCACB", "ABCABCACBC"], ids=["12 atoms", "20 atoms"])
def test_a_card_comes_to_an_end(stacking, tmp_path):
    polytype(stacking).write(tmp_path / "crystal.xyz")
    line = [sys.executable, "-m", "jaxpot", "card", "sw-silicon", "--structure", "crystal.xyz", "--out", "card"]
    for _ in range(3):
        done = subprocess.run(  # raises when the time is up
            [*line, "--no-defects", "--quiet"], cwd=tmp_path, env=os.environ, timeout=PATIENCE, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()
        assert (tmp_path / "card" / "thermal.png").exists()

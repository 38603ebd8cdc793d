"""The repulsion that fades: its formula by hand, by pairs of elements, and what is refused."""

import math

import numpy as np
import pytest
from environments import pair_energy

from jaxpot.errors import DataError
from jaxpot.potentials import FadedZBL
from jaxpot.potentials.zbl import AMPLITUDES, DECAYS


def written_down(r, z1, z2, inner, outer, amplitudes=AMPLITUDES, decays=DECAYS):
    x = r * 2.134563 * (z1**0.23 + z2**0.23)
    phi = sum(c * math.exp(-d * x) for c, d in zip(amplitudes, decays, strict=True))
    t = min(max((r - inner) / (outer - inner), 0.0), 1.0)
    return 14.399645 * z1 * z2 / r * phi * (0.5 + 0.5 * math.cos(math.pi * t))


@pytest.mark.parametrize("r", [0.4, 0.95, 1.4, 1.99, 2.2])
def test_formula(r):
    potential = FadedZBL(("Cu", "O"), 0.9, 2.0)
    found = 2.0 * pair_energy(potential, r, "Cu", "O")
    assert found == pytest.approx(written_down(r, 29, 8, 0.9, 2.0) if r < 2.0 else 0.0, rel=1e-12)


def test_pairs_of_elements_of_their_own():
    amplitudes, decays = np.arange(1.0, 13.0).reshape(3, 4) / 10.0, np.arange(12.0, 0.0, -1.0).reshape(3, 4) / 5.0
    potential = FadedZBL(("Cu", "O"), (0.5, 0.6, 0.7), (1.9, 2.0, 2.1), amplitudes, decays)
    numbers = {"Cu": 29, "O": 8}
    for k, (one, other) in enumerate((("Cu", "Cu"), ("O", "Cu"), ("O", "O"))):
        expected = written_down(
            1.3, numbers[one], numbers[other], potential.inner[k], potential.outer[k], amplitudes[k], decays[k]
        )
        assert 2.0 * pair_energy(potential, 1.3, one, other) == pytest.approx(expected, rel=1e-12)
    assert potential.cutoff == 2.1 and potential.kinks == (0.5, 0.6, 0.7, 1.9, 2.0, 2.1)


def test_what_is_refused():
    for arguments, message in (
        ((2.0, 1.0), "expected 0 <= inner < outer, got 2 and 1"), ((-1.0, 1.0), "expected 0 <= inner < outer"),
        (((0.1, 0.2), 1.0), "inner: expected a number, or one for each of 3 pairs; got 2"),
        ((0.1, 1.0, (1.0, 2.0)), r"amplitudes: expected shape \(4,\) or \(3, 4\), got \(2,\)"),
    ):
        with pytest.raises(DataError, match=message):
            FadedZBL(("Cu", "O"), *arguments)

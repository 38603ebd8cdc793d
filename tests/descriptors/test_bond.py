"""Bonds as a descriptor: the sums written out, what is seen from both ends, and refusals."""

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.basis.fades import fade
from jaxpot.core.graph import connect
from jaxpot.descriptors import Bond
from jaxpot.errors import DataError


def test_its_components_are_the_sums_written_out():
    atoms = bulk("SiC", "zincblende", a=4.4) * (2, 2, 1)
    atoms.rattle(0.1, seed=0)
    structure, bond = jp.Structure.of(atoms), Bond(3.4, ("Si", "C"), ("Si", "C"), 3, 2, 2, nearest=1.2)
    found = connect(structure, jp.neighbors(structure, 3.4)).environments()
    one = int(np.flatnonzero(np.asarray(found.number) == 14)[0])
    row = [np.asarray(a)[one] for a in (found.x, found.y, found.z, found.distances, found.numbers)]
    environment = jp.Environment(*row, np.asarray(found.number)[one])
    vectors, weights = map(np.asarray, bond.instances(environment))
    r, numbers, ties = row[3], row[4], np.stack(row[:3], -1)
    count, falls = np.count_nonzero(r < 3.4), lambda r: float(fade("poly2", r * r, 3.4))
    assert vectors.shape == (len(r), bond.dimension) == (len(r), 3 + 2 * 2 * 3)

    def shell(r, m, most):
        width = (3.4 - 1.2) / most
        return np.exp(-(((r - 1.2 - m * width) / width) ** 2))

    for j in range(count):
        expected = [shell(r[j], n, 3) for n in range(3)]
        for degree in range(3):
            for z in (6, 14):
                for m in range(2):
                    expected.append(sum(
                        falls(r[k]) * shell(r[k], m, 2) * (ties[j] @ ties[k] / (r[j] * r[k])) ** degree
                        for k in range(count) if k != j and numbers[k] == z
                    ))
        np.testing.assert_allclose(vectors[j], expected, atol=1e-12)
        assert weights[j] == pytest.approx(falls(r[j]) if numbers[j] == 6 else 0.0)
    assert count > 4 and not weights[count:].any()


@pytest.mark.parametrize(
    "change, said",
    [
        ({"cutoff": -1.0}, "cutoff"), ({"radial": 0}, "radial"), ({"degree": -1}, "degree"), ({"around": 0.5}, "around"),
        ({"nearest": 4.0}, "must lie below the cutoff"), ({"fade": "linear"}, "fade: expected one of"),
        ({"elements": "SiC"}, "elements: expected those"), ({"elements": ("Si", "Ge")}, "Ge is not among the species"),
    ],
)
def test_what_is_no_descriptor(change, said):
    with pytest.raises(DataError, match=said):
        Bond(**({"cutoff": 3.4, "species": ("Si", "C")} | change))

"""The primitive cell of a crystal, whatever cell it is given in."""

import time

import numpy as np
from ase.build import bulk

import jaxpot as jp
from jaxpot.report.crystal import primitive


def test_a_large_supercell_is_made_small_at_once():
    small = bulk("NaCl", "rocksalt", a=5.64)
    large = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (6, 6, 6)  # 1,728 atoms, 41,472 operations
    begin = time.monotonic()
    found = primitive(jp.Structure.of(large))
    assert time.monotonic() - begin < 10.0
    assert sorted(found.symbols) == ["Cl", "Na"]
    assert abs(np.linalg.det(found.cell) - small.get_volume()) < 1e-9
    fractional = np.asarray(found.fractional)
    np.testing.assert_allclose(np.abs(fractional[1] - fractional[0]) % 1.0, 0.5, atol=1e-9)


def test_what_has_no_translations_stays_as_it_is():
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    atoms.rattle(0.05, seed=0)
    structure = jp.Structure.of(atoms)
    assert primitive(structure) is structure

"""As few components as energies allow, and what is told about it."""

import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.descriptors import SOAP
from jaxpot.errors import DataError, JaxpotWarning
from jaxpot.kernels import DotProduct
from jaxpot.readouts.compaction import compact

FILE = Path(__file__).parents[1] / "formats" / "files" / "gap" / "plain.xml"
WIDE = SOAP(8, 4, 4.0)  # three of eight Gaussians lie beyond the cutoff


def vectors(soap, count, rng):
    """SOAP vectors of random neighbours."""
    found = []
    for _ in range(count):
        v = rng.normal(size=(12, 3))
        v *= rng.uniform(1.5, 4.0, size=12)[:, None] / np.linalg.norm(v, axis=1)[:, None]
        atoms = np.concatenate([np.zeros((1, 3)), v])
        structure = jp.Structure(atoms, np.zeros((3, 3)), ["Si"] * 13, pbc=False)
        environments = jp.core.graph.connect(structure, jp.neighbors(structure, 4.0)).environments()
        first = jax.tree.map(lambda a: a[0], environments)
        found.append(np.asarray(soap.instances(first)[0][0]))
    return np.array(found)


@pytest.fixture(scope="module")
def points():
    return vectors(WIDE, 12, np.random.default_rng(0))


def test_components_that_only_tails_reach_are_left_out(points):
    kernel, weights = DotProduct(2), np.linspace(-1.0, 1.0, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        soap, short = compact(WIDE, kernel, points, weights)
    exact = WIDE.replace(compact=True)
    assert short.shape == (12, soap.dimension) and soap.dimension < exact.dimension < WIDE.dimension
    np.testing.assert_allclose(kernel.matrix(short, short), kernel.matrix(points, points), rtol=0, atol=1e-14)


def test_vectors_that_no_atom_has_keep_what_they_need():
    rng = np.random.default_rng(1)
    odd = rng.normal(size=(12, WIDE.dimension))
    odd[:, -1] = 0.0
    odd /= np.linalg.norm(odd, axis=1)[:, None]
    soap, _ = compact(WIDE, DotProduct(2), odd, np.ones(12))
    assert soap.dimension == WIDE.replace(compact=True).dimension


def test_what_is_allowed_is_told(points):
    weights = 1e3 * np.linspace(-1.0, 1.0, 12)
    with pytest.warns(JaxpotWarning, match=r"change by up to .* eV \(allowed 1.0e-02 eV\)"):
        soap, short = compact(WIDE, DotProduct(2), points, weights, 1e-2)
    change = (short @ short.T) ** 2 @ weights - (points @ points.T) ** 2 @ weights
    assert 1e-9 < np.abs(change).max() <= 1e-2
    assert soap.dimension < compact(WIDE, DotProduct(2), points, weights)[0].dimension


def test_by_load():
    with pytest.warns(JaxpotWarning, match="sparse points change by up to"):
        assert len(jp.load(FILE, tolerance=1e-9).terms) == 2
    with pytest.raises(DataError, match="no use for tolerance=0.1: leave that out"):
        jp.load(FILE.parents[1] / "two_kinds.sw", tolerance=0.1)
    for wrong in (-1.0, "x", np.nan):
        with pytest.raises(DataError, match="tolerance: expected an energy in eV"):
            jp.load(FILE, tolerance=wrong)

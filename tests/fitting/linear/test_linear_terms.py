"""Sparse points of each config type, and given ones: atoms of the data."""

import dataclasses

import jax
import numpy as np
import pytest
from oracle import silicon

import jaxpot as jp
from jaxpot.core.graph import connect
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.fitting.linear.terms import GAPTerm, sparse_points

SOAP = GAPTerm(jp.descriptors.SOAP(3, 2, cutoff=3.2), jp.kernels.DotProduct(2))
PAIR = GAPTerm(jp.descriptors.Pair(3.2), jp.kernels.SquaredExponential(0.5), name="term 2")


@pytest.fixture(scope="module")
def data():
    found = silicon(6)
    return found, prepare_frames([f.structure for f in found], 3.2)


def test_each_config_type_has_its_own_number(data):
    counts = {"cold": 3, "hot": 7}
    vectors, places = sparse_points(dataclasses.replace(SOAP, n_sparse=counts), *data, seed=0)
    types = [data[0][int(frame)].config_type for frame in places[:, 0]]
    assert {name: types.count(name) for name in counts} == counts and len(vectors) == 10


def test_given_atoms_become_sparse_points(data):
    pairs = ((0, 3), (4, 7))
    vectors, places = sparse_points(dataclasses.replace(SOAP, environments=pairs), *data, seed=0)
    assert [tuple(place[:2]) for place in places] == list(pairs)
    structure = data[0][4].structure
    listed = jp.neighbors(structure, 3.2)
    row = int(np.flatnonzero(np.asarray(listed.centers) == 7)[0])
    environment = jax.tree.map(lambda a: a[row], connect(structure, listed).environments())
    expected, _ = SOAP.descriptor.instances(environment)
    np.testing.assert_allclose(vectors[1], expected[0], atol=1e-12)


def test_all_pairs_of_given_atoms_become_sparse_points(data):
    vectors, places = sparse_points(dataclasses.replace(PAIR, environments=((1, 0),)), *data, seed=0)
    found = jp.neighbors(data[0][1].structure, 3.2)
    row = np.flatnonzero(np.asarray(found.centers) == 0)[0]
    assert len(vectors) == int(np.asarray(found.counts)[row]) and set(places[:, 1]) == {0}


@pytest.mark.parametrize(("changes", "message"), [
    ({"n_sparse": {"warm": 3}}, "term 2, sparse points: no frame has the config type 'warm'; there are cold, hot"),
    ({"environments": ((0, 8),)}, "term 2, environments: there is no atom 8 in frame 0"),
    ({"environments": ((6, 0),)}, "there is no atom 0 in frame 6"),
])
def test_what_is_not_there_is_named(data, changes, message):
    with pytest.raises(jp.errors.DataError, match=message):
        sparse_points(dataclasses.replace(PAIR, **changes), *data, seed=0)

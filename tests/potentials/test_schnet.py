"""SchNet is the formula of its paper, atom by atom and neighbour by neighbour."""

import itertools

import jax
import numpy as np
import pytest
from models import biased, molecule

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.potentials import SchNet
from jaxpot.potentials.schnet import shifted_softplus

CELL = np.array([[3.1, 0.0, 0.0], [0.4, 2.9, 0.0], [-0.2, 0.3, 3.3]])


def small(hops=2):
    network = biased(SchNet.random(3, ("C", "Si"), 3.2, (5,), hops, 6, (4, 3), 12.0))
    return network.replace(scale=np.array([0.7, 1.3]), shift=np.array([-2.0, -1.5]))


def ssp(x):
    return np.log(0.5 * np.exp(x) + 0.5)


def envelope(x):
    return 1.0 - 28.0 * x**6 + 48.0 * x**7 - 21.0 * x**8


def written_out(network, structure):
    """Energy of each atom by loops over atoms, periodic images and hops."""
    positions, cell = np.asarray(structure.positions), np.asarray(structure.cell)
    kinds = [network.species.index(z) for z in np.asarray(structure.numbers)]
    images = list(itertools.product(range(-2, 3), repeat=3)) if any(structure.pbc) else [(0, 0, 0)]
    x = [np.asarray(network.embedding)[kind] for kind in kinds]
    for layer in network.interactions:
        new = []
        for i, here in enumerate(positions):
            message = np.zeros(layer.sent.shape[1])
            for (j, other), image in itertools.product(enumerate(positions), images):
                r = np.linalg.norm(other + np.array(image) @ cell - here)
                if 1e-9 < r < network.cutoff:
                    w = np.array([
                        np.exp(-((r - mu) ** 2) / (2.0 * network.gaussian_width**2)) for mu in network.gaussian_centers
                    ])
                    for n, (kernel, bias) in enumerate(zip(layer.filters, layer.filter_biases, strict=True)):
                        w = np.asarray(bias) + w @ np.asarray(kernel)
                        w = w if n == len(layer.filters) - 1 else ssp(w)
                    message = message + (x[j] @ np.asarray(layer.sent)) * w * envelope(r / network.cutoff)
            inner = ssp(message @ np.asarray(layer.received) + np.asarray(layer.received_bias))
            new.append(x[i] + inner @ np.asarray(layer.update) + np.asarray(layer.update_bias))
        x = new
    energies = []
    for state, kind in zip(x, kinds, strict=True):
        inner = ssp(state @ np.asarray(network.readout_kernel) + np.asarray(network.readout_bias))
        energies.append(network.scale[kind] * (inner @ np.asarray(network.readout)) + network.shift[kind])
    return np.array(energies)


@pytest.mark.parametrize("hops", [0, 2])
def test_energies_are_the_formula_of_the_paper(hops):
    rng = np.random.default_rng(0)
    crystal = jp.Structure(rng.uniform(size=(3, 3)) @ CELL, CELL, ["C", "Si", "Si"])
    cluster = jp.Structure(1.8 * rng.normal(size=(4, 3)), np.eye(3), ["Si", "C", "C", "Si"], pbc=False)
    for structure in (crystal, cluster):
        energies = written_out(small(hops), structure)
        np.testing.assert_allclose(jp.site_energies(small(hops), structure), energies, rtol=1e-12, atol=1e-12)


def test_the_shifted_softplus_is_zero_at_zero_and_does_not_overflow():
    assert float(shifted_softplus(0.0)) == pytest.approx(0.0, abs=1e-16)
    assert float(shifted_softplus(1.3)) == pytest.approx(ssp(1.3), rel=1e-14)
    assert float(shifted_softplus(1000.0)) == pytest.approx(1000.0 - np.log(2.0))
    assert float(shifted_softplus(-1000.0)) == pytest.approx(-np.log(2.0))


def test_an_isolated_atom_has_an_energy_of_its_own_and_no_force():
    network = small()
    pair = jp.Structure(np.array([[0.0, 0, 0], [3.3, 0, 0]]), np.eye(3), ["C", "Si"], pbc=False)
    result = jp.evaluate(network, pair)
    np.testing.assert_allclose(result.energies, written_out(network, pair), rtol=1e-12)
    assert not np.any(result.forces)
    assert network.reach == 2 * network.cutoff


def test_layers_begin_with_numbers_of_the_order_of_one():
    network = SchNet.random(0, ("C", "Si"), 4.0, (64,), 3)
    assert 0.5 < np.mean(np.square(network.embedding)) < 2.0
    assert all(not np.any(b) for layer in network.interactions for b in (*layer.filter_biases, layer.update_bias))
    structure = jp.Structure(np.array([[0.0, 0, 0], [0.25, 0.25, 0.25]]) * 5.0, 2.5 * (1 - np.eye(3)), ["C", "Si"])
    assert 0.1 < np.sqrt(np.mean(np.square(jp.site_energies(network, structure)))) < 10.0


def test_what_does_not_fit_is_refused():
    network = small()
    layer = network.interactions[1]
    with pytest.raises(DataError, match=r"embedding: expected an array of shape \(2, 1\), got \(\)"):
        network.replace(embedding=1.0)
    with pytest.raises(DataError, match="SchNet knows C, Si, .*contains Ge"):
        jp.evaluate(network, molecule(["Si", "Ge"], 2.0))
    with pytest.raises(DataError, match=r"SchNet: embedding: expected an array of shape \(2, 5\), got \(3, 5\)"):
        network.replace(embedding=np.ones((3, 5)))
    with pytest.raises(DataError, match=r"interaction 1: received: expected an array of shape \(5, 5\), got \(4, 5\)"):
        network.replace(interactions=(layer, layer.replace(received=np.ones((4, 5)))))
    with pytest.raises(DataError, match=r"interaction 0: filters\[1\]: expected an array of shape \(4, 3\), got \(3, 4\)"):
        kernels = (layer.filters[0], layer.filters[1].T, layer.filters[2])
        network.replace(interactions=(layer.replace(filters=kernels),))
    with pytest.raises(DataError, match="filters: expected one layer or more and a bias for each, got 3 matrices and 2"):
        layer.replace(filter_biases=layer.filter_biases[:2])
    with pytest.raises(DataError, match=r"channels: expected one whole number in a tuple, as \(32,\), got \(8, 4\)"):
        SchNet.random(0, ("C",), channels=(8, 4))
    with pytest.raises(DataError, match="cutoff: expected a positive length in A"):
        network.replace(cutoff=-1.0)


def test_it_is_the_same_behind_a_file(tmp_path):
    network, structure = small(), molecule(["Si", "C", "C", "Si"], 2.0)
    jp.save(network, tmp_path / "x.model")
    again = jp.load(tmp_path / "x.model")
    assert jax.tree.structure(again) == jax.tree.structure(network)
    assert float(jp.energy(again, structure)) == float(jp.energy(network, structure))

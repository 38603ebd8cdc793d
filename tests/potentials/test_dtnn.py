"""DTNN is the formula of its paper, atom by atom and neighbour by neighbour, with an envelope."""

import itertools

import numpy as np
import pytest
from models import biased, molecule

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.potentials import DTNN

CELL = np.array([[3.1, 0.0, 0.0], [0.4, 2.9, 0.0], [-0.2, 0.3, 3.3]])


def small(hops=2):
    network = biased(DTNN.random(3, ("C", "Si"), 3.2, (5,), hops, 6, (4,), 2.0))
    return network.replace(scale=np.array([0.7, 1.3]), shift=np.array([-2.0, -1.5]))


def written_out(network, structure):
    """Energy of each atom by loops over atoms, periodic images and hops."""
    positions, cell = np.asarray(structure.positions), np.asarray(structure.cell)
    kinds = [network.species.index(z) for z in np.asarray(structure.numbers)]
    images = list(itertools.product(range(-2, 3), repeat=3)) if any(structure.pbc) else [(0, 0, 0)]
    w_cf, w_df, w_fc = (np.asarray(a).T for a in (network.state_factors, network.distance_factors, network.messages))
    b_1, b_2, mu = (np.asarray(a) for a in (network.state_bias, network.distance_bias, network.gaussian_centers))
    c = [np.asarray(network.embedding)[kind] for kind in kinds]
    for _ in range(network.hops):
        new = []
        for i, here in enumerate(positions):
            total = c[i]
            for (j, other), image in itertools.product(enumerate(positions), images):
                r = np.linalg.norm(other + np.array(image) @ cell - here)
                if 1e-9 < r < network.cutoff:
                    d = np.exp(-((r - mu) ** 2) / (2.0 * float(network.gaussian_width) ** 2))
                    v = np.tanh(w_fc @ ((w_cf @ c[j] + b_1) * (w_df @ d + b_2)))
                    x = r / network.cutoff
                    total = total + v * (1.0 - 28.0 * x**6 + 48.0 * x**7 - 21.0 * x**8)
            new.append(total)
        c = new
    energies = []
    for state, kind in zip(c, kinds, strict=True):
        o = np.tanh(np.asarray(network.readout_kernel).T @ state + np.asarray(network.readout_bias))
        energies.append(network.scale[kind] * (o @ np.asarray(network.readout)) + network.shift[kind])
    return np.array(energies)


@pytest.mark.parametrize("hops", [0, 2])
def test_energies_are_the_formula_of_the_paper(hops):
    rng = np.random.default_rng(0)
    crystal = jp.Structure(rng.uniform(size=(3, 3)) @ CELL, CELL, ["C", "Si", "Si"])
    cluster = jp.Structure(1.8 * rng.normal(size=(4, 3)), np.eye(3), ["Si", "C", "C", "Si"], pbc=False)
    for structure in (crystal, cluster):
        energies = written_out(small(hops), structure)
        np.testing.assert_allclose(jp.site_energies(small(hops), structure), energies, rtol=1e-12, atol=1e-12)


def test_an_isolated_atom_has_an_energy_of_its_own_and_no_force():
    network = small()
    pair = jp.Structure(np.array([[0.0, 0, 0], [3.3, 0, 0]]), np.eye(3), ["C", "Si"], pbc=False)
    result = jp.evaluate(network, pair)
    np.testing.assert_allclose(result.energies, written_out(network, pair), rtol=1e-12)
    assert not np.any(result.forces)
    assert network.reach == 2 * network.cutoff


def test_layers_begin_with_numbers_of_the_order_of_one():
    network = DTNN.random(0, ("C", "Si"), 4.0, (64,), 3)
    structure = jp.Structure(np.array([[0.0, 0, 0], [0.25, 0.25, 0.25]]) * 5.0, 2.5 * (1 - np.eye(3)), ["C", "Si"])
    assert 0.5 < np.mean(np.square(network.embedding)) < 2.0 and not np.any(network.state_bias)
    assert 0.1 < np.sqrt(np.mean(np.square(jp.site_energies(network, structure)))) < 10.0


def test_what_does_not_fit_is_refused():
    network = small()
    with pytest.raises(DataError, match=r"embedding: expected an array of shape \(2, 1\), got \(\)"):
        network.replace(embedding=1.0)
    with pytest.raises(DataError, match="DTNN knows C, Si, .*contains Ge"):
        jp.evaluate(network, molecule(["Si", "Ge"], 2.0))
    with pytest.raises(DataError, match=r"DTNN: messages: expected an array of shape \(4, 5\), got \(5, 4\)"):
        network.replace(messages=network.messages.T)
    with pytest.raises(DataError, match=r"DTNN: shift: expected an array of shape \(2,\), got \(1,\)"):
        network.replace(shift=np.zeros(1))
    with pytest.raises(DataError, match=r"channels: expected one whole number in a tuple, as \(32,\), got \(8, 4\)"):
        DTNN.random(0, ("C",), channels=(8, 4))
    with pytest.raises(DataError, match=r"hidden: expected one whole number in a tuple"):
        DTNN.random(0, ("C",), hidden=(32, 32))
    with pytest.raises(DataError, match="hops must be a whole number of at least 0, got 1.5"):
        jp.energy(network.replace(hops=1.5), molecule(["Si", "C"], 2.0))

"""MACE against its equations written out, its invariances, its body order, and weights that do not fit."""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import molecule
from scipy.spatial.transform import Rotation

import jaxpot as jp
from jaxpot.basis.coupling import coupling
from jaxpot.basis.harmonics import real_harmonics
from jaxpot.basis.symmetric_products import products_of, symmetric_couplings
from jaxpot.core.graph import Environment, connect
from jaxpot.potentials import MACE

SPECIES = ("C", "Si")
CLUSTER = molecule(["Si", "C", "C", "Si"], 2.0)


def small(hops=2, correlation=3, seed=1, **options):
    """Two channels of scalars and one of vectors, with a scale and a shift."""
    network = MACE.random(seed, SPECIES, 3.4, (2, 1), hops, 3, (3,), 4.0, correlation, harmonics=2, readout=3, **options)
    return network.replace(scale=np.array([2.0, 1.5]), shift=np.array([-1.0, 0.5]))


def silu(x):
    return x / (1.0 + np.exp(-x))


def through(layers, x):
    for matrix in layers[:-1]:
        x = silu(x @ np.asarray(matrix))
    return x @ np.asarray(layers[-1])


def written_out(network, structure):
    """Site energies by the equations, with loops over atoms, neighbours, paths and products."""
    positions = np.asarray(structure.positions)
    elements = [network.species.index(int(z)) for z in structure.numbers]
    atoms, p = range(len(positions)), network.envelope[1]
    states = [[np.asarray(network.embedding)[e][None, :]] for e in elements]
    energies = np.zeros(len(positions))
    for layer in network.layers:
        following = []
        for i in atoms:
            size = layer.received[0].shape[1]
            sums = {
                (a, b, c): 0.0 for a in range(len(layer.sent)) for b in range(3)
                for c in range(abs(a - b), min(a + b, 2) + 1) if (a + b + c) % 2 == 0
            }
            for j in atoms:
                vector, r = positions[j] - positions[i], np.linalg.norm(positions[j] - positions[i])
                if i == j or r >= network.cutoff:
                    continue
                x = r / network.cutoff
                envelope = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
                radial = np.asarray(network.amplitude * jnp.sin(network.frequencies * r)) / r * envelope
                weights = through(layer.radial, radial)
                harmonics = [np.sqrt(4 * np.pi) * np.asarray(y)[0] for y in real_harmonics(2, *(vector / r)[:, None])]
                for a, b, c in sums:
                    sent = states[j][a] @ np.asarray(layer.sent[a])
                    weight, weights = np.split(weights, [sent.shape[1]])
                    symbols = np.sqrt(2 * c + 1) * coupling(a, b, c)
                    sums[a, b, c] = sums[a, b, c] + weight * np.einsum("abc,au,b->cu", symbols, sent, harmonics[b])
            parts = [
                np.concatenate([value for path, value in sums.items() if path[2] == degree], axis=1) @ np.asarray(matrix)
                for degree, matrix in enumerate(layer.received)
            ]
            leaving = []
            for to, mixed in enumerate(layer.mixed):
                message = np.zeros((2 * to + 1, size))
                labels = products_of(network.harmonics, to, network.correlation)
                for (degrees, number), weight in zip(labels, np.asarray(layer.products[to])[elements[i]], strict=True):
                    for u in range(size):
                        value = symmetric_couplings(degrees, to)[number]
                        for degree in degrees:
                            value = np.tensordot(parts[degree][:, u], value, 1)
                        message[:, u] += weight[u] * value
                leaving.append(message @ np.asarray(mixed))
            for to, matrix in enumerate(layer.own):
                leaving[to] = leaving[to] + states[i][to] @ np.asarray(matrix)[elements[i]]
            energies[i] += through(layer.readout, leaving[0])[0, 0]
            following.append(leaving)
        states = following
    return np.asarray(network.scale)[elements] * energies + np.asarray(network.shift)[elements]


def test_energies_are_those_of_the_equations():
    network = small()
    np.testing.assert_allclose(jp.site_energies(network, CLUSTER), written_out(network, CLUSTER), rtol=1e-12)


def test_turned_mirrored_and_permuted_structures_have_the_same_energy():
    network = small()
    energy = float(jp.energy(network, CLUSTER))
    positions = np.asarray(CLUSTER.positions)
    rotation = Rotation.from_euler("zyx", [0.3, 1.1, -0.7]).as_matrix()
    for matrix in (rotation, np.diag([1.0, 1.0, -1.0]), -rotation):
        other = CLUSTER.replace(positions=positions @ matrix.T)
        assert abs(float(jp.energy(network, other)) - energy) < 1e-12
    order = [2, 0, 3, 1]
    other = jp.Structure(positions[order], CLUSTER.cell, np.asarray(CLUSTER.numbers)[order], pbc=False)
    assert abs(float(jp.energy(network, other)) - energy) < 1e-12


def of_subsets(network, count):
    """Sum over subsets of neighbours, with signs, of the energy of an atom: zero if its body order is at most `count`."""
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(count, 3))
    vectors *= (1.6 + 0.3 * np.arange(count) / count)[:, None] / np.linalg.norm(vectors, axis=1, keepdims=True)
    subsets = np.array([*product((0, 1), repeat=count)])
    numbers = jnp.asarray(np.resize([6, 14], count))

    def energy(chosen):
        x, y, z = jnp.where(chosen[:, None], vectors, 3.0 * vectors).T  # those left out are beyond the cutoff
        environment = Environment(x, y, z, jnp.sqrt(x * x + y * y + z * z), numbers, jnp.asarray(14))
        others = jax.vmap(lambda number: network.shown(network.start(environment.replace(number=number))))(numbers)
        return network.site_energy(environment, network.step(0, environment, network.start(environment), others))

    energies = np.asarray(jax.jit(jax.vmap(energy))(subsets.astype(bool)))
    signs = (-1.0) ** (count - subsets.sum(1))
    return float(signs @ energies), float(np.abs(energies).max())


@pytest.mark.parametrize("correlation", [1, 2, 3])
def test_a_hop_with_a_linear_readout_sees_as_many_neighbours_at_once_as_products_have_factors(correlation):
    network = small(hops=1, correlation=correlation)
    layer = network.layers[0]
    network = network.replace(layers=(layer.replace(readout=(np.array([[0.7], [0.4]]),)),))
    together, size = of_subsets(network, correlation)
    assert abs(together) > 1e-5 * size
    together, size = of_subsets(network, correlation + 1)
    assert abs(together) < 1e-12 * size


def test_what_leaves_a_layer_has_a_mean_square_of_about_one():
    """Sums over neighbours, states and energies of 26 neighbours, of which most see each other."""
    networks = [MACE.random(seed, SPECIES, 5.0, (8, 8), 2, 8, (16,), 26.0) for seed in range(9)]
    rng = np.random.default_rng(0)
    cell = 10.0 * np.eye(3)
    grid = np.stack(np.meshgrid(*3 * [np.arange(4)], indexing="ij"), -1).reshape(-1, 3) * 2.5
    structure = jp.Structure(grid + rng.normal(scale=0.2, size=grid.shape), cell, rng.choice([6, 14], len(grid)))
    graph = connect(structure, jp.neighbors(structure, 5.0))
    environments = graph.environments()

    @jax.jit
    @jax.vmap
    def mean_squares(network):
        """Of sums over neighbours in each hop, of scalars between the hops, and of the energies before their scale."""
        state, sums = graph.on_atoms(jax.vmap(network.start)(environments)), []
        for hop in range(2):
            others = graph.at_neighbors(network.shown(state))
            parts = jax.vmap(partial(network.sums_over_neighbors, hop))(environments, others)
            sums.append(sum(jnp.mean(part**2) for part in parts) / len(parts))
            rows = jax.tree.map(lambda a: a[graph.centers], state)
            state = graph.on_atoms(jax.vmap(partial(network.step, hop))(environments, rows, others))
            if hop == 0:
                scalars = jnp.mean(state["shown"][0] ** 2)
        energies = jax.vmap(network.site_energy)(environments, jax.tree.map(lambda a: a[graph.centers], state))
        return sums, scalars, jnp.mean(energies**2)

    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
    sums, scalars, energies = jax.tree.map(jnp.median, mean_squares(together))
    assert all(0.02 < float(one) < 1.0 for one in sums) and 0.2 < float(scalars) < 2.0 and 0.2 < float(energies) < 5.0


def test_weights_that_do_not_fit_are_refused():
    network = small()
    layer = network.layers[0]

    def with_layer(**changes):
        return network.replace(layers=(layer.replace(**changes), network.layers[1]))

    products = (layer.products[0][:, 1:], layer.products[1])
    for changes, message in [
        ({"products": products}, r"layer 0, products: expected arrays of shapes \[\(2, 9, 2\), .* got \[\(2, 8, 2\)"),
        ({"radial": (layer.radial[0], layer.radial[1][:, 1:])}, r"layer 0, radial: expected .* got"),
        ({"received": layer.received[:2]}, r"layer 0: .* 3 matrices `received`.* got .* 2 matrices"),
        ({"own": (layer.own[0][:1],)}, r"layer 0, own: expected arrays of shapes \[\(2, 2, 2\)\], got \[\(1, 2, 2\)\]"),
        ({"readout": (np.ones((2, 2)),)}, r"layer 0, readout: expected arrays of shapes \[\(2, 1\)\], got"),
        ({"mixed": ()}, r"mixed: expected at least one array, each of 2 axes; got shapes \[\]"),
        ({"sent": (np.ones(2),)}, r"sent: expected at least one array, each of 2 axes"),
    ]:
        with pytest.raises(jp.errors.DataError, match=message):
            with_layer(**changes)
    with pytest.raises(jp.errors.DataError, match=r"scalars alone to leave the last; got 1 and channels \(2, 1\)"):
        network.replace(layers=network.layers[:1])
    with pytest.raises(jp.errors.DataError, match=r"shift: expected 1 axes, the first of 2 elements; got shape \(1,\)"):
        network.replace(shift=np.zeros(1))
    with pytest.raises(jp.errors.DataError, match="envelope: expected one of polynomial, xplor, got 'box'"):
        network.replace(envelope=("box", 1))
    for wrong in (("polynomial", 6e308), ("polynomial", 0.5), ("xplor", network.cutoff)):
        with pytest.raises(jp.errors.DataError, match=f"envelope: expected {wrong[0]} with a number from"):
            network.replace(envelope=wrong)
    with pytest.raises(jp.errors.DataError, match="correlation: expected 1 to 3 factors of a product, got 4"):
        small(correlation=4)
    with pytest.raises(jp.errors.DataError, match="channels: expected at least one of each degree, got"):
        MACE.random(0, SPECIES, channels=(2, 0))
    with pytest.raises(jp.errors.DataError, match="hops: expected at least 1, got 0"):
        small(hops=0)


def test_an_element_that_it_does_not_know_is_refused():
    with pytest.raises(jp.errors.JaxpotError, match="Ge"):
        jp.energy(small(), CLUSTER.replace(numbers=[14, 6, 6, 32]))

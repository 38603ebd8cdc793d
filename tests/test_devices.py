"""Devices that share the atoms give the numbers of one device, whatever is asked of them.

How many devices a CPU is must be said before JAX starts: this file runs itself in a process of its own.
"""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from jax.sharding import AxisType, PartitionSpec

import jaxpot as jp
from jaxpot.core.devices import sharing, sum_shares
from jaxpot.potentials import Constants, LennardJones, NequIP, StillingerWeber
from jaxpot.units import fs

jax.config.update("jax_enable_x64", True)  # here too: there is no conftest.py in a process of its own
DEVICES = 3
SILICON = StillingerWeber.silicon()
POTENTIAL = LennardJones(0.04, 2.2, 3.5, shift="smooth") + Constants({"Si": -1.0})


@pytest.mark.thorough
def test_devices_share_the_atoms():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"
    subprocess.run([sys.executable, __file__], env={**os.environ, "XLA_FLAGS": flags}, check=True, timeout=300)


def test_one_device_shares_nothing():
    assert sharing() == 1
    rows = jnp.arange(4.0)
    assert "shard_map" not in str(jax.make_jaxpr(lambda rows: sum_shares(jnp.sum, rows))(rows))


def crystal(repeats, seed=0):
    atoms = bulk("Si", cubic=True) * repeats
    atoms.rattle(0.1, seed=seed)
    return jp.Structure.of(atoms)


def mesh(kind=AxisType.Auto, name="atoms"):
    return jax.make_mesh((DEVICES,), (name,), axis_types=(kind,))


EVALUATE = jax.jit(jp.evaluate)


def everything(structure, neighbors):
    def pull(scale):
        return jnp.sum(jp.forces(scale * POTENTIAL, structure, neighbors)[:, 0] ** 2)

    return {
        "evaluate": EVALUATE(POTENTIAL, structure, neighbors),
        "virials": jp.virials(POTENTIAL, structure, neighbors),
        "slope of the energy": jax.jit(jax.grad(jp.energy))(POTENTIAL, structure, neighbors),
        "slopes of forces": jax.jit(jax.vmap(jax.value_and_grad(pull)))(jnp.arange(1.0, 4.0)),
    }


def differ(one, other):
    """Largest difference, relative to the largest element of each array."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(np.abs(np.asarray(a) - np.asarray(b)).max() / max(np.abs(np.asarray(a)).max(), 1e-12) for a, b in pairs)


def check_equal_numbers():
    structure = crystal((2, 2, 1))  # 32 atoms: not a multiple of three
    arguments = (structure, jp.neighbors(structure, POTENTIAL.cutoff))
    one = everything(*arguments)
    with jax.set_mesh(mesh()):
        shared = everything(*arguments)
        assert sharing() == DEVICES and "all_reduce" in EVALUATE.lower(POTENTIAL, *arguments).as_text()
        assert differ(shared["evaluate"], EVALUATE(POTENTIAL, *arguments)) == 0.0
    with jax.set_mesh(mesh(AxisType.Explicit)):
        explicit = {"evaluate": EVALUATE(POTENTIAL, *arguments)}
    for found in (shared, explicit):
        for name, values in found.items():
            assert differ(one[name], values) < 1e-13, (name, differ(one[name], values))


def check_fewer_atoms_than_devices():
    structure = jp.Structure.of(bulk("Si"))
    one = jp.evaluate(POTENTIAL, structure)
    with jax.set_mesh(mesh()):
        assert differ(one, jp.evaluate(POTENTIAL, structure)) < 1e-13


def check_the_rest_runs_as_before():
    """What is made of shared forces, and what every device computes whole, in meshes of both types."""
    structure = crystal((1, 1, 1))
    vector = np.random.default_rng(0).normal(size=(8, 3))
    posterior = jp.Posterior.of(SILICON, {"epsilon": 0.02, "sigma": 0.003})
    dynamics = jp.md.Langevin(SILICON, 1.0 * fs, 300.0, 0.01 / fs)

    def results():
        spread = jp.std(posterior, structure).parametric
        return {
            "energy": jp.energy(SILICON, structure),
            "product with the Hessian": jp.hessian_vector_product(SILICON, structure, vector),
            "bars": (spread.energy, spread.forces),
            "relaxation": jp.relax(SILICON, structure, fmax=1e-8).structure.positions,
            "dynamics": jp.md.run(dynamics, structure, 30, key=1).state.structure.positions,
        }

    one = results()
    for kind in (AxisType.Auto, AxisType.Explicit):
        with jax.set_mesh(mesh(kind)):
            for name, values in results().items():
                assert differ(one[name], values) < 1e-9, (name, kind, differ(one[name], values))


def check_bad_values_reach_every_result():
    structure = crystal((1, 1, 1))
    neighbors = jp.neighbors(structure, POTENTIAL.cutoff)
    together = structure.moved(structure.positions.at[1].set(structure.positions[0]))
    with jax.set_mesh(mesh()):
        found = EVALUATE(POTENTIAL, together, neighbors)
        assert all(np.isnan(np.asarray(leaf)).all() for leaf in jax.tree.leaves(found))


def check_other_meshes_are_left_alone():
    with jax.set_mesh(mesh(name="replicas")):
        assert sharing() == 1
    # Inside a map over the axis every device has its own structure already.
    structure = crystal((1, 1, 1))
    neighbors = jp.neighbors(structure, POTENTIAL.cutoff)
    scales = jnp.arange(1.0, 1.0 + DEVICES)
    expected = [jp.energy(scale * POTENTIAL, structure, neighbors) for scale in scales]

    def own(scale, structure, neighbors):
        assert sharing() == 1
        return jp.evaluate(scale[0] * POTENTIAL, structure, neighbors).energy[None]

    specs = (PartitionSpec("atoms"), PartitionSpec(), PartitionSpec())
    each = jax.shard_map(own, mesh=mesh(), in_specs=specs, out_specs=specs[0], check_vma=False)
    np.testing.assert_allclose(jax.jit(each)(scales, structure, neighbors), expected, rtol=1e-13)


def check_training():
    """Batches of three, and a last one of one frame: some devices have nothing to do then."""
    oracle = jp.potentials.StillingerWeber.silicon()
    pair = jp.Structure([[0, 0, 0], [1.36, 1.36, 1.36]], 2.72 * (1 - np.eye(3)), ["Si", "Si"])
    data = jp.draw_dataset(oracle, pair.repeated((2, 1, 1)), 10, displacements=(0.1,))
    vector = np.random.default_rng(0).normal(size=(4, 3))
    products = [jp.HessianProduct(
        data[0].structure, vector, jp.hessian_vector_product(oracle, data[0].structure, vector), 1.0
    )]
    recipe = jp.NetworkRecipe(
        cutoff=1.6, radial=3, angular=2, hidden=(6,), epochs=5, batch=3, validation=0.3, rate=0.01, members=2
    )

    def trained(**options):
        return jp.train(data, recipe, seed=1, curvatures=products, **options)

    def predicted(result):
        """What training determines: weights of inputs that hardly vary in the data follow from rounding."""
        return [jp.evaluate(result.potential, frame.structure) for frame in data[:4]]

    networks = [NequIP.random(seed, ("Si",), 3.4, (3, 2), 1, 3, (3,), 4.0) for seed in (0, 1)]
    for options, kind in (({}, AxisType.Explicit), ({"start": networks}, AxisType.Auto)):
        one = trained(**options)
        with jax.set_mesh(mesh(kind)):
            shared = trained(**options)
        assert differ(predicted(one), predicted(shared)) < 1e-4  # single precision
        np.testing.assert_allclose(one.history, shared.history, rtol=1e-4)


if __name__ == "__main__":
    assert jax.device_count() == DEVICES
    check_equal_numbers()
    check_fewer_atoms_than_devices()
    check_the_rest_runs_as_before()
    check_bad_values_reach_every_result()
    check_other_meshes_are_left_alone()
    check_training()

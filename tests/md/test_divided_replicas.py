"""Replicas that devices divide go the same way as on one device, to the last bit, with checkpoints that go on anywhere.

How many devices a CPU is must be said before JAX starts: this file runs itself in a process of its own.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest
from ase.build import bulk
from jax.sharding import AxisType

import jaxpot as jp
from jaxpot.md import host, many, replicas
from jaxpot.units import fs

jax.config.update("jax_enable_x64", True)  # here too: there is no conftest.py in a process of its own
DEVICES = 8
DYNAMICS = jp.md.Langevin(jp.potentials.LennardJones(0.0104, 3.4, 6.0), 2.0 * fs, 30.0, 0.01 / fs)
LADDER = (20.0, 40.0, 60.0, 90.0)  # three devices have two, two and none, two threads two each


def in_its_own_process(*checks):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"
    command = [sys.executable, __file__, *(check.__name__ for check in checks)]
    subprocess.run(command, env={**os.environ, "XLA_FLAGS": flags}, check=True, timeout=600)


def test_replicas_on_three_devices():
    in_its_own_process(check_three_devices)


@pytest.mark.thorough
def test_replicas_on_other_meshes():
    in_its_own_process(check_more_devices_than_replicas, check_atoms_and_systems, check_lists_made_anew)


@pytest.mark.thorough
def test_checkpoints_go_on_with_other_devices():
    in_its_own_process(check_checkpoints, check_a_replica_that_breaks)


def mesh(devices, kind=AxisType.Auto, name="systems"):
    return jax.set_mesh(jax.make_mesh((devices,), (name,), axis_types=(kind,)))


def argon():
    atoms = bulk("Ar", cubic=True)
    atoms.rattle(0.1, seed=0)
    return jp.Structure.of(atoms)


def simulated(temperatures=LADDER, steps=60, **more):
    ensembles = [DYNAMICS.replace(temperature=t) for t in temperatures]
    tables = [[jp.md.Thermo(20)] for _ in temperatures]
    found = jp.md.run_many(ensembles, argon(), steps, tables, key=3, **more)
    return found.states, [table.rows for (table,) in found.observers]


def tempered(steps=60, **more):
    found = jp.md.temper(DYNAMICS, argon(), steps, LADDER, 12, [[jp.md.Thermo(20)] for _ in LADDER], key=1, **more)
    assert found.accepted.sum()
    return found.states, [table.rows for (table,) in found.observers], found.order, found.energies


def same_bits(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


@contextmanager
def noted_programs():
    """For each call of the program: how many parts there are, on how many devices, and whether these divide one."""
    call, seen = many.advanced, set()

    def noted(ensembles, parts, upto, *rest):
        text = replicas._advance.lower(ensembles[0], parts[0], upto).as_text()
        after = call(ensembles, parts, upto, *rest)
        seen.add((len(parts), len(after[0].state.step.devices()), "all_gather" in text))
        return after

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many, "advanced", noted)
        patch.setattr(many, "cores", lambda: 2)
        yield seen


def check_three_devices():
    with noted_programs() as seen:
        one = simulated(), tempered()
    assert seen == {(2, 1, False)}
    with mesh(3), noted_programs() as seen:
        assert same_bits(one, (simulated(), tempered()))
    assert seen == {(1, 3, True)}


def check_more_devices_than_replicas():
    one = simulated()
    with mesh(DEVICES, AxisType.Explicit):
        assert same_bits(one, simulated())
    with mesh(DEVICES, name="others"):
        assert same_bits(one, simulated())


def check_atoms_and_systems():
    """Whole systems go before parts of them; a mesh with atoms alone leaves replicas as they are."""
    one = simulated()
    with jax.set_mesh(jax.make_mesh((2, 2), ("systems", "atoms"), axis_types=(AxisType.Explicit,) * 2)):
        two = simulated()
    with mesh(2, name="atoms"):
        three = simulated()
    for other in (two, three):  # the first forces are those of devices that share the atoms
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
    with jax.set_mesh(jax.make_mesh((2, 2), ("systems", "atoms"), axis_types=(AxisType.Explicit,) * 2)):
        for result in jp.evaluate_many(DYNAMICS.potential, [argon()] * 3):
            np.testing.assert_allclose(result.forces, jp.forces(DYNAMICS.potential, argon()), rtol=0, atol=1e-12)


def check_lists_made_anew():
    """Hot replicas leave a narrow list many times: it is made anew for each that needs it, on all devices."""
    hot = {"temperatures": (5.0, 5.0, 300.0, 400.0), "steps": 150, "skin": 0.2, "wide_skin": 0.3}
    (one, _), made = simulated(**hot), []
    make = many.neighbour_lists.build
    with mesh(3), pytest.MonkeyPatch.context() as patch:
        patch.setattr(many.neighbour_lists, "build", lambda *a, **k: made.append(1) or make(*a, **k))
        other, _ = simulated(**hot)
    assert len(made) > 12
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a.structure.positions, b.structure.positions, rtol=0, atol=1e-9)


class Interrupts(Exception):
    pass


def cut_off(simulate, path, step):
    """Begin a run whose checkpoint is left at a step."""
    look = jp.md.Thermo.look

    def stop(self, dynamics, state):
        if int(state.step) >= step:
            raise Interrupts
        return look(self, dynamics, state)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupts):
        patch.setattr(jp.md.Thermo, "look", stop)
        simulate(steps=120, checkpoint=path)
    assert path.exists()


def check_checkpoints():
    host._EVERY, host._SHARE = 0.0, 1e9  # at every look
    for simulate in (simulated, tempered):
        whole = simulate(steps=120)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.checkpoint"
            cut_off(simulate, path, 40)  # on one device
            with mesh(2):
                cut_off(simulate, path, 80)
            with mesh(DEVICES):
                assert same_bits(whole, simulate(steps=120, checkpoint=path))
            with mesh(2):
                cut_off(simulate, path, 60)
            assert same_bits(whole, simulate(steps=120, checkpoint=path)) and not path.exists()
    check_parts_become_others()


def check_parts_become_others():
    """Threads have a part each, a mesh has one, and what was cut goes on uncut or the reverse."""
    whole = simulated(steps=120)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "run.checkpoint"

        patch.setattr(many, "cores", lambda: 2)
        cut_off(simulated, path, 60)
        with mesh(2), noted_programs() as seen:
            cut_off(simulated, path, 100)
        assert seen == {(1, 2, True)}
        with noted_programs() as seen:
            assert same_bits(whole, simulated(steps=120, checkpoint=path))
        assert seen == {(2, 1, False)}


def check_a_replica_that_breaks():
    ensembles = [DYNAMICS.replace(time_step=dt * fs) for dt in (2, 2, 900)]
    with mesh(2), pytest.warns(jp.errors.JaxpotWarning), pytest.raises(jp.errors.SimulationError, match="^replica 2, "):
        jp.md.run_many(ensembles, argon(), 100, key=1)


if __name__ == "__main__":
    assert jax.device_count() == DEVICES
    for check in sys.argv[1:]:
        globals()[check]()

"""Devices that share the atoms, or divide the systems, give the numbers of one device: every model of the contract.

How many devices a CPU is must be said before JAX starts: this file runs itself in a process of its own for each number.
"""

import math
import os
import subprocess
import sys
from itertools import pairwise

import jax
import numpy as np
import pytest
from jax.sharding import AxisType

if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)  # there is no conftest.py in a process of its own

from models import MODELS

import jaxpot as jp
from jaxpot.checks import prepare
from jaxpot.observables import evaluation
from jaxpot.observables.evaluation import _evaluate
from jaxpot.potentials.base import has_plan, terms_of
from jaxpot.potentials.shared_sums import SharedSums

# One of each way: rows in one pass, hops, a sum of rows and of what is computed in one piece.
FEW = ("stillinger-weber, two elements", "two hops, a molecule", "ions")
HOPS = ("two hops with angles", "two hops, a molecule", "nequip", "mace, two elements", "schnet, two elements")
ROUNDING = 1e-12  # of the largest element, or of 0.1 eV, eV/A or eV/A^3


def in_its_own_process(devices, names):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    command = [sys.executable, __file__, str(devices), *names]
    subprocess.run(command, env={**os.environ, "XLA_FLAGS": flags}, check=True, timeout=3000)


def test_a_few_models_on_two_devices():
    in_its_own_process(2, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 8])
def test_every_model(devices):
    in_its_own_process(devices, MODELS)


def mesh(devices, axis):
    return jax.set_mesh(jax.make_mesh((devices,), (axis,), axis_types=(AxisType.Auto,)))


def disturbed(structure, seed=0):
    chance = np.random.default_rng(seed)
    moved = structure.moved(np.asarray(structure.positions) + 0.05 * chance.normal(size=structure.positions.shape))
    strain = 0.03 * chance.normal(size=(3, 3))
    return moved.strained(0.5 * (strain + strain.T)) if any(structure.pbc) else moved


def repeated(structure):
    """Some four times as many atoms, if they can be."""
    return structure.repeated([2 if periodic else 1 for periodic in structure.pbc[:2]] + [1])


def check_equal(name, one, other):
    """Arrays of two evaluations; NaN, the stress of what has no volume, is at the same places."""
    for field in ("energy", "energies", "forces", "stress"):
        a, b = (np.asarray(getattr(result, field)) for result in (one, other))
        assert np.array_equal(np.isnan(a), np.isnan(b)) and np.isfinite(a).any() != (field == "stress" and np.isnan(a).all())
        off, scale = np.nanmax(np.abs(a - b), initial=0.0), max(np.nanmax(np.abs(a), initial=0.0), 0.1)
        assert off <= ROUNDING * scale, (name, len(one.forces), field, off / scale)


def check_shared(name, devices):
    """Rows: fewer than devices, too."""
    make, structure, *_ = MODELS[name]
    potential = make()
    for one in (structure, repeated(structure)):
        moved = disturbed(one)
        alone = jp.evaluate(potential, moved)
        with mesh(devices, "atoms"):
            check_equal(name, alone, jp.evaluate(potential, moved))


def check_divided(name, devices):
    """Systems: more and fewer than devices, of two sizes; in programs that divide them, but for those with plans."""
    make, structure, *_ = MODELS[name]
    systems = [disturbed(one, seed) for seed in range(3) for one in (structure, repeated(structure))]
    alone, programs = jp.evaluate_many(make(), systems), []
    stacked = evaluation._evaluate_stacked

    def noted(potential, structures, lists, volume):
        programs.append(stacked.lower(potential, structures, lists, volume).as_text())
        return stacked(potential, structures, lists, volume)

    with mesh(devices, "systems"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_evaluate_stacked", noted)
        for one, other in zip(alone, jp.evaluate_many(make(), systems), strict=True):
            check_equal(name, one, other)
    assert bool(programs) != any(has_plan(term) for term in terms_of(make())), name
    assert all("all_gather" in program for program in programs), name


# Which program it is.


def inner_programs(equation):
    for value in equation.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            one = getattr(one, "jaxpr", one)
            if hasattr(one, "eqns"):
                yield one


def walked(program, shared=False):
    """(equation, whether devices share it) of a program, and of all programs inside."""
    for equation in program.eqns:
        yield equation, shared
        for inner in inner_programs(equation):
            yield from walked(inner, shared or equation.primitive.name == "shard_map")


def check_hops_are_shared(name, devices):
    """Every layer is a map over devices that ends in a sum over them, and rows of neighbours exist in such maps alone."""
    make, structure, *_ = MODELS[name]
    potential, moved = make(), disturbed(repeated(repeated(structure)))
    with mesh(devices, "atoms"):
        prepared = prepare(potential, moved, None)
        program = jax.make_jaxpr(_evaluate)(*prepared, True).jaxpr
        text = _evaluate.lower(*prepared, True).as_text()
    equations = list(walked(program))
    maps = [next(inner_programs(one)) for one, _ in equations if one.primitive.name == "shard_map"]
    assert len(maps) == 2 * potential.hops + 3, "forward: start and hops; backwards: energies, hops and start"
    for one in maps:
        sums = [equation for equation in one.eqns if equation.primitive.name.startswith("psum")]
        assert sums and set(one.outvars) <= {out for equation in sums for out in equation.outvars}
    assert text.count("all_reduce") >= len(maps)
    rows, capacity = prepared[2].others.shape
    lengths = {True: set(), False: set()}
    for equation, shared in equations:
        for shape in (out.aval.shape for out in equation.outvars if np.issubdtype(out.aval.dtype, np.floating)):
            lengths[shared] |= {m for m, places in pairwise(shape) if places == capacity and m not in (1, 3)}
    assert not lengths[False] and lengths[True] == {math.ceil(rows / devices)} - {1, 3}, (name, rows, lengths)


def check_sums_are_shared(name, devices):
    """Addends with sums over all atoms: the sums, what they are for, and the way back are summed over devices."""
    make, structure, *_ = MODELS[name]
    with mesh(devices, "atoms"):
        program = jax.make_jaxpr(_evaluate)(*prepare(make(), disturbed(structure), None), True).jaxpr
    maps = [one for one, _ in walked(program) if one.primitive.name == "shard_map"]
    assert len(maps) >= 3, name


def check_hops_otherwise(name, devices):
    """Virials and heat flux of models of several hops."""
    make, structure, *_ = MODELS[name]
    potential, moved = make(), disturbed(repeated(structure))
    velocities = np.random.default_rng(1).normal(size=moved.positions.shape)
    alone = jp.virials(potential, moved), *jp.heat_flux(potential, moved, velocities)
    with mesh(devices, "atoms"):
        shared = jp.virials(potential, moved), *jp.heat_flux(potential, moved, velocities)
    for a, b in zip(alone, shared, strict=True):
        assert np.abs(a - b).max() <= ROUNDING * max(np.abs(a).max(), 0.1), name


def main(devices, *names):
    assert jax.device_count() == int(devices)
    for name in names:
        check_shared(name, int(devices))
        check_divided(name, int(devices))
        if name in HOPS:
            check_hops_are_shared(name, int(devices))
        if any(isinstance(term, SharedSums) for term in terms_of(MODELS[name][0]())):
            check_sums_are_shared(name, int(devices))
        if MODELS[name][0]().has_hops:
            check_hops_otherwise(name, int(devices))


if __name__ == "__main__":
    main(*sys.argv[1:])

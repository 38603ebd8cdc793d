"""Rows 1-6 and 19 of the reliability scoreboard: exact energies in any cell, no silent truncation,
invariances, derivatives, no NaN where there is a value, continuity, and few compilations.

Fast forms run by default; the long ones are marked `slow`.
"""

import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import MODELS

import jaxpot as jp
from jaxpot.core.neighbors import neighbors
from jaxpot.errors import CapacityError, GeometryError
from jaxpot.observables import evaluate_many
from jaxpot.potentials import LennardJones, SecondMoment, StillingerWeber
from jaxpot.testing import CHECKS, check

sys.path[:0] = [str(Path(__file__).parents[1] / "core")]
from image_sum import image_pairs, pair_energy, random_case  # noqa: E402

EVENT = "/jax/core/compile/backend_compile_duration"
_compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **kwargs: _compiled.append(kwargs.get("fun_name")) if event == EVENT else None
)
SILICON, COPPER = StillingerWeber.silicon(), SecondMoment.copper()
# The cutoff is a static field; cases of row 1 are scaled to it, so that one program serves all.
CUTOFF = 3.0
PAIRS = LennardJones(0.3, 1.1, CUTOFF, shift="energy")


def lennard_jones(r, epsilon=0.3, sigma=1.1, cutoff=CUTOFF):
    def v(r):
        return 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)

    return v(r) - v(cutoff)


# Row 1. The energy in any cell against an explicit sum over images.

_site_energies = jax.jit(jp.site_energies)


def one_shape(positions, cell, pbc):
    """A structure and its list with the shapes of (nearly) all others; site energies do not depend on pbc."""
    structure = jp.Structure(positions, cell, np.full(len(positions), 14), pbc=pbc).padded(8)
    listed = neighbors(structure, CUTOFF, rows=8)
    capacity = 192 if listed.capacity <= 192 else 1024
    listed = neighbors(structure, CUTOFF, rows=8, capacity=capacity)
    listed = listed.replace(shifts=np.asarray(listed.shifts, np.int32), pbc=(True, True, True))
    return structure.replace(pbc=True), listed


def check_cells(count, seed):
    rng = np.random.default_rng(seed)
    wrong, tried, before = [], 0, len(_compiled)
    while tried < count:
        positions, cell, pbc, cutoff = random_case(rng)
        positions, cell = positions * CUTOFF / cutoff, cell * CUTOFF / cutoff
        distances = np.linalg.norm(image_pairs(positions, cell, pbc, CUTOFF)[1], axis=1)
        if distances.min(initial=1.0) < 0.3:
            continue  # nothing but the rounding of r^-12 would be compared
        tried += 1
        expected, scale = pair_energy(positions, cell, pbc, CUTOFF, lennard_jones)
        found = float(np.sum(_site_energies(PAIRS, *one_shape(positions, cell, pbc))))
        # Atoms 100 cells away are known to 1e-16 of their positions: that much no list can mend.
        steep = np.abs(24 * 0.3 * (2 * (1.1 / distances) ** 12 - (1.1 / distances) ** 6) / distances).sum()
        if not abs(found - expected) <= 1e-12 * scale + 4e-16 * np.abs(positions).max(initial=1.0) * steep:
            wrong.append((tried, pbc, found, expected, scale))
    return wrong, len(_compiled) - before


def test_row_1_energy_in_arbitrary_cells():
    wrong, compiles = check_cells(250, seed=11)
    assert not wrong, wrong[:3]
    assert compiles <= 4


@pytest.mark.slow
@pytest.mark.parametrize("count, seed", [(1000, 12), (20000, 13)])
def test_row_1_energy_in_many_arbitrary_cells(count, seed):
    wrong, compiles = check_cells(count, seed)
    assert not wrong, (len(wrong), wrong[:3])
    assert compiles <= 4


def test_row_1_chunk_remainders():
    """Sizes that leave every kind of remainder in the blocks of rows, against the energies of copies."""
    one = jp.Structure(np.zeros((1, 3)), 2.6 * np.eye(3), [14])
    expected = float(jp.energy(PAIRS, one))
    for repeats in ((3, 1, 1), (7, 7, 7), (11, 9, 7)):
        many = one.repeated(repeats)
        listed = neighbors(many, CUTOFF, capacity=64)
        assert float(jp.energy(PAIRS, many, listed)) / len(many) == pytest.approx(expected, rel=1e-12)


# Row 2. No list is ever too short without a word.


def test_row_2_no_silent_truncation():
    assert sequences(40, seed=21) > 40


@pytest.mark.slow
def test_row_2_no_silent_truncation_long():
    assert sequences(500, seed=22) > 500


def sequences(count, seed):
    """Systems that grow, shrink, compress and swap; the list of an earlier step is kept as long as it is valid."""
    rng, refused = np.random.default_rng(seed), 0
    kept = {}
    for _ in range(count):
        n = int(rng.integers(1, 9))
        fractional, cell = rng.random((8, 3)), 9.0 * np.eye(3)
        listed = None
        for _ in range(6):
            step = rng.integers(6)
            if step == 0:
                n = min(8, n + 1)
            elif step == 1:
                n = max(1, n - 1)
            elif step == 2:
                cell = cell * rng.uniform(0.6, 1.3)
            elif step == 3:
                fractional = rng.permutation(fractional)
            elif step == 4:
                fractional = fractional + rng.normal(scale=0.01, size=(8, 3))
            else:
                cell = cell @ (np.eye(3) + 0.1 * rng.normal(size=(3, 3)))
            x = fractional[:n] @ cell
            distances = np.linalg.norm(image_pairs(x, cell, (True,) * 3, CUTOFF)[1], axis=1)
            if distances.min(initial=1.0) < 0.4 or len(distances) > 1500:
                break
            expected, scale = pair_energy(x, cell, (True,) * 3, CUTOFF, lennard_jones)
            numbers = np.where(np.arange(8) < n, 14, 0)
            structure = jp.Structure(np.concatenate([x, np.zeros((8 - n, 3))]), cell, numbers, np.ones(8))
            tolerance = 1e-10 * scale + 1e-13
            if listed is not None:
                traced = float(_evaluate(PAIRS, structure, listed).energy)
                try:
                    eager = float(jp.evaluate(PAIRS, structure, listed).energy)
                except CapacityError as error:
                    assert "outgrown" in str(error) and np.isnan(traced)
                    refused += 1
                    listed = None
                else:
                    assert abs(eager - expected) <= tolerance and abs(traced - expected) <= tolerance
            if listed is None:
                skin = float(rng.choice([0.2, 1.0]))
                # A capacity too small is an error that says how much is needed.
                with pytest.raises(CapacityError, match="give at least"):
                    found = neighbors(structure, CUTOFF, skin, rows=8)
                    kept["most"] = int(np.asarray(found.counts).max())
                    neighbors(structure, CUTOFF, skin, rows=8, capacity=kept["most"] - 1)
                listed = neighbors(structure, CUTOFF, skin, rows=8, capacity=1024)
                listed = listed.replace(shifts=np.asarray(listed.shifts, np.int32))
                fresh = float(_evaluate(PAIRS, structure, listed).energy)
                assert abs(fresh - expected) <= tolerance
    return refused


_evaluate = jax.jit(jp.evaluate)


def test_row_2_a_cell_that_shrinks_inside_a_compiled_loop():
    """Each energy of a compression under `lax.scan` is that of a fresh list, or NaN from some point on."""
    crystal = diamond()
    listed = neighbors(crystal, SILICON.cutoff, skin=0.6)
    strains = -jnp.linspace(0.0, 0.35, 36)

    @jax.jit
    def compress(potential, listed):
        def step(_, e):
            return None, jp.energy(potential, crystal.strained(e * jnp.eye(3)), listed)

        return jax.lax.scan(step, None, strains)[1]

    found = np.asarray(compress(SILICON, listed))
    fresh = [
        float(r.energy) for r in evaluate_many(SILICON, [crystal.strained(e * jnp.eye(3)) for e in strains])
    ]
    valid = np.isfinite(found)
    np.testing.assert_allclose(found[valid], np.array(fresh)[valid], rtol=1e-12)
    assert 5 < valid.sum() < 30 and not valid[valid.argmin() :].any()


@pytest.mark.parametrize("what", ["atom added", "atom removed", "periodicity"])
def test_row_2_a_list_of_other_atoms(what):
    """Found by this test: the positions agree, the list does not."""
    x = np.array([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]])
    full, part = (jp.Structure(x, 6 * np.eye(3), numbers, np.ones(3)) for numbers in ([14] * 3, [14, 14, 0]))
    if what == "periodicity":
        with pytest.raises(jp.errors.DataError, match="built for pbc"):
            jp.energy(PAIRS, full.replace(pbc=False), neighbors(full, CUTOFF))
        return
    structure, other = (full, part) if what == "atom added" else (part, full)
    listed = neighbors(other, CUTOFF)
    with pytest.raises(CapacityError, match="another structure"):
        jp.energy(PAIRS, structure, listed)
    result = _evaluate(PAIRS, structure, listed)
    assert np.isnan(result.energy) and np.isnan(result.forces).all() and np.isnan(result.stress).all()


# Rows 3, 4 and 6 are what the contract measures for every model (tests/contracts); here with 50 directions.


def diamond(a=5.43, repeats=(1, 1, 1)):
    primitive = jp.Structure(np.array([[0, 0, 0], [a / 4] * 3]), a / 2 * (1 - np.eye(3)), [14, 14])
    return primitive.repeated(repeats)


def copper():
    return jp.Structure(np.zeros((1, 3)), 3.615 / 2 * (1 - np.eye(3)), [29]).repeated((1, 1, 2))


LONG = {"stillinger-weber": (SILICON, diamond()), "second moment": (COPPER, copper())}
ROWS = ("forces", "stress", "derivatives", "invariance", "extensivity")


@pytest.mark.parametrize("name", LONG)
def test_rows_3_and_4(name):
    """50 random directions: forces and stress to 1e-8, Hessian to 1e-7; invariances."""
    potential, structure = LONG[name]
    rest = [key for key in CHECKS if key not in ROWS]
    report = check(potential, structure, directions=50, seed=4, skip=rest)
    measured = {o.name: o.measured for o in report.outcomes}
    assert measured["forces: -dE/dr"] < 1e-8 and measured["stress: dE/dstrain / V"] < 1e-8
    assert measured["derivatives: d2E/dr2"] < 1e-7


def test_row_3_supercells():
    potential, structure = LONG["stillinger-weber"]
    repeats = [(1, 1, 1), (2, 2, 2), (2, 4, 1), (4, 4, 4)]
    results = evaluate_many(potential, [structure.repeated(r) for r in repeats])
    per_atom = [float(r.energy) / len(r.energies) for r in results]
    np.testing.assert_allclose(per_atom, per_atom[0], rtol=1e-13)
    for result in results:
        np.testing.assert_allclose(result.stress, results[0].stress, atol=1e-14)
        assert np.abs(result.forces).max() < 1e-12


def test_row_3_unimodular_cells():
    """Other choices of lattice vectors, up to absurdly sheared ones."""
    rng = np.random.default_rng(5)
    crystal = jp.Structure(
        rng.random((6, 3)) * 4.0, 4.2 * np.eye(3) + 0.3 * rng.normal(size=(3, 3)), [14] * 6
    )
    structures = [crystal]
    for _ in range(30):
        choice = np.eye(3, dtype=int)
        for _ in range(6):
            i, j = rng.permutation(3)[:2]
            choice[i] += rng.integers(-1, 2) * choice[j]
        steps = rng.integers(-50, 51, (6, 3))
        cell = np.asarray(crystal.cell)
        structures.append(crystal.moved(np.asarray(crystal.positions) + steps @ cell, choice @ cell))
    results = evaluate_many(PAIRS, structures)
    scale, largest = np.abs(results[0].energies).sum(), np.abs(results[0].forces).max()
    for result in results[1:]:
        assert abs(result.energy - results[0].energy) < 1e-11 * scale
        assert np.abs(result.forces - results[0].forces).max() < 1e-10 * largest
        assert np.abs(result.stress - results[0].stress).max() < 1e-10 * np.abs(results[0].stress).max()


# Row 5. No NaN where there is a value, and no value where there is none.


@partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
def _all_orders(potential, structure, listed, v, w):
    def along(x):
        return jp.hessian_vector_product(potential, structure.moved(x), v, listed)

    return jp.evaluate(potential, structure, listed), jax.jvp(along, (structure.positions,), (w,))


def corpus(count, rng, cutoff, n=4):
    """Collinear, planar, symmetric and random groups; distances at the cutoff to the last bit; empty ones."""
    for k in range(count):
        radii = (
            rng.choice([0.5, 0.62, 0.999999, 1.0, np.nextafter(1, 0), np.nextafter(1, 2), 1.3], n) * cutoff
        )
        kind = k % 5
        if kind == 0:  # on a line, at both sides
            points = np.outer(radii * rng.choice([-1, 1], n), np.eye(3)[k % 3])
        elif kind == 1:  # along the axes
            points = radii[:, None] * np.eye(3)[rng.integers(3, size=n)] * rng.choice([-1, 1], (n, 1))
        elif kind == 2:  # collinear but for the last bit
            points = np.outer(radii, [0.6, 0.0, 0.8]) * (1 + 1e-16 * rng.normal(size=(n, 1)))
        elif kind == 3:  # corners of cubes
            points = rng.integers(0, 3, (n, 3)) * radii[:1]
        else:
            points = rng.normal(size=(n, 3)) * cutoff
        points[0] = 0.0
        numbers = np.ones(n, int)
        numbers[int(rng.integers(1, n + 1)) :] = 0
        numbers[0] = 1
        yield points, numbers


def check_no_nan(potential, elements, count, seed):
    rng = np.random.default_rng(seed)
    bad, refused, done = [], 0, 0
    for points, present in corpus(count, rng, potential.cutoff):
        cell = (8.0 * potential.cutoff + 10.0) * np.eye(3)
        numbers = np.resize(elements, len(points)) * present
        structure = jp.Structure(points, cell, numbers, np.ones(len(points)))
        apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(len(points))
        apart = apart[np.ix_(present > 0, present > 0)]
        try:
            listed = neighbors(structure, potential.cutoff, capacity=4)
        except GeometryError as error:
            assert apart.min() < 1e-4 and "apart" in str(error)
            refused += 1
            continue
        if apart.min() < 0.3 * potential.cutoff:
            continue
        listed = (
            listed if len(listed.centers) == 4 else neighbors(structure, potential.cutoff, capacity=4, rows=4)
        )
        results = _all_orders(potential, structure, listed, *rng.normal(size=(2, 4, 3)))
        done += 1
        if not all(np.isfinite(np.asarray(a)).all() for a in jax.tree.leaves(results)):
            bad.append((points, present))
    return bad, refused, done


@pytest.mark.parametrize("potential, number", [(SILICON, 14), (COPPER, 29), (PAIRS, 18)])
def test_row_5_no_nan(potential, number):
    bad, refused, done = check_no_nan(potential, number, 150, seed=51)
    assert not bad, bad[0]
    assert refused > 5 and done > 80


# Every form of the classical potentials; networks and Gaussian processes have the contract's special places.
CLASSICAL = [
    "lj, slope shifted", "lj, smooth, two elements", "zbl, named elements", "stillinger-weber",
    "stillinger-weber, two elements", "second moment", "second moment, two elements", "finnis-sinclair",
    "finnis-sinclair, two elements", "eam", "eam, two elements", "eam, densities of pairs", "eam, mixed from two files",
    "glue", "morse, two elements", "morse, smooth", "buckingham, force shifted, two elements", "soft spheres, smooth",
    "soft spheres, two elements", "wang-frenkel, two elements", "wang-frenkel, smoother", "tersoff, two elements",
    "tersoff, triplets of two elements", "meam, two elements",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSICAL)
def test_row_5_no_nan_long(name):
    make, structure, *_ = MODELS[name]
    bad, _, done = check_no_nan(make(), np.unique(structure.numbers), 3000, seed=52)
    assert not bad, (len(bad), bad[0])
    assert done > 1600


@pytest.mark.parametrize("potential, number", [(SILICON, 14), (COPPER, 29), (PAIRS, 18)])
def test_row_5_atoms_at_one_point(potential, number):
    x = np.array([[0.0, 0, 0], [2.5, 0, 0], [0, 2.5, 0], [2.4, 2.4, 0]])
    structure = jp.Structure(x, 20.0 * np.eye(3), [number] * 4)
    listed = neighbors(structure, potential.cutoff, skin=6.0, capacity=4)
    together = structure.moved(structure.positions.at[1].set(structure.positions[0]))
    for function in (jp.energy, jp.forces, jp.stress, jp.evaluate, jp.site_energies, jp.virials):
        with pytest.raises(GeometryError, match="atoms 0 .* and 1 .* apart"):
            function(potential, together)
    result, (second, _) = _all_orders(potential, together, listed, np.ones((4, 3)), np.ones((4, 3)))
    assert np.isnan(result.energy) and np.isnan(result.forces).all() and np.isnan(result.stress).all()
    assert np.isnan(second).all()


# Row 19. Compilations.


def crowd(count, largest, seed):
    rng = np.random.default_rng(seed)
    structures = []
    for n in rng.integers(1, largest + 1, count):
        side = int(np.ceil(n ** (1 / 3)))
        grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), -1).reshape(-1, 3)[:n] * 2.5
        x = grid + rng.normal(scale=0.1, size=grid.shape)
        structures.append(jp.Structure(x, (2.5 * side + rng.uniform(0, 0.3)) * np.eye(3), np.full(n, 14)))
    return structures


def check_compilations(count, largest, allowed):
    structures = crowd(count, largest, seed=191)
    potential = 1.0 * SILICON
    jax.clear_caches()  # whatever ran before: the small programs of preparing lists count, too
    before = len(_compiled)
    results = evaluate_many(potential, structures)
    assert len(_compiled) - before <= allowed, _compiled[before:]
    assert [len(r.forces) for r in results] == [len(s) for s in structures]
    for k in (count // 2,):
        alone = jp.evaluate(SILICON, structures[k])
        np.testing.assert_allclose(results[k].forces, alone.forces, atol=1e-10)


def test_row_19_compilations():
    check_compilations(60, 30, allowed=6)


@pytest.mark.slow
def test_row_19_compilations_of_1000_structures():
    check_compilations(1000, 500, allowed=12)

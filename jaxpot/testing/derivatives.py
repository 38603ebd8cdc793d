"""Derivatives, invariances, extensivity and padding: checks on a rattled copy of the structure."""

from collections.abc import Iterator

import jax
import numpy as np

from jaxpot.testing.subject import (
    SKIN,
    NotAsked,
    Subject,
    evaluate_once,
    orders_two_and_three,
    worse,
)


def forces(s: Subject) -> Iterator[tuple]:
    """Forces against differences of the energy."""
    forces, x = s.reference.forces, np.asarray(s.padded.positions)
    if not s.interacts:
        yield "zero without interaction", np.abs(forces).max(), 0.0
        return
    limit = 1e-8 if s.potential.smoothness >= 2 else 1e-7
    worst = 0.0
    for _ in range(s.directions):
        d = s.direction()
        slope = s.difference(lambda t, d=d: s.evaluate(s.padded.moved(x + t * d), s.listed).energy, 0.02)
        scale = max(np.linalg.norm(forces) * np.linalg.norm(d) / np.sqrt(3 * s.n), 1e-9)
        worst = worse(worst, np.abs(slope + np.sum(forces * d)) / scale)
    yield "-dE/dr", worst, limit
    yield "not all zero", float(s.f_scale <= 1e-8), 0.0, f"largest {s.f_scale:.2g} eV/A"
    yield "sum to zero", np.abs(forces.sum(0)).max() / s.f_scale, 1e-10
    yield "site energies add up", abs(s.reference.energies.sum() - s.reference.energy) / s.e_scale, 1e-13


def stress_tensor(s: Subject) -> Iterator[tuple]:
    if not s.periodic:
        raise NotAsked("the structure is not periodic along three axes")
    stress = s.reference.stress
    if not s.interacts:
        yield "zero without interaction", np.abs(stress).max(), 0.0
        return
    x, cell = np.asarray(s.padded.positions), np.asarray(s.padded.cell)
    volume, worst = abs(np.linalg.det(cell)), 0.0
    for _ in range(s.directions):
        e = s.rng.normal(size=(3, 3))
        e = (e + e.T) / np.abs(e + e.T).sum()

        def strained(t, e=e):
            deform = np.eye(3) + t * e
            return s.evaluate(s.padded.moved(x @ deform, cell @ deform), s.listed).energy

        slope = s.difference(strained, 0.01)
        scale = volume * np.linalg.norm(stress) * np.linalg.norm(e)
        worst = worse(worst, np.abs(slope - volume * np.sum(stress * e)) / scale)
    yield "dE/dstrain / V", worst, 1e-8 if s.potential.smoothness >= 2 else 1e-7
    yield "not all zero", float(s.s_scale <= 1e-12), 0.0, f"largest {s.s_scale:.2g} eV/A^3"
    yield "symmetric", np.abs(stress - stress.T).max() / s.s_scale, 1e-14


def higher_derivatives(s: Subject) -> Iterator[tuple]:
    """Hessian-vector products against differences of forces; symmetry; acoustic sum; third order."""
    zero = np.zeros((s.size, 3))
    if not s.interacts:
        product = orders_two_and_three(s.potential, s.padded, s.listed, s.direction(), zero)[0]
        yield "zero without interaction", np.abs(product).max(), 0.0
        return
    x = np.asarray(s.padded.positions)
    smooth = s.potential.smoothness
    columns, differ, third = [], 0.0, 0.0
    for k in range(max(2, s.directions // 2)):
        v, w = s.direction(), s.direction()
        product, change = map(np.asarray, orders_two_and_three(s.potential, s.padded, s.listed, v, w))
        columns.append((v, product))
        if not (np.isfinite(product).all() and np.isfinite(change).all()):
            differ = third = np.nan
            continue
        slope = s.difference(lambda t, v=v: -s.evaluate(s.padded.moved(x + t * v), s.listed).forces, 0.02)
        differ = worse(differ, np.abs(product - slope).max() / np.abs(product).max())
        if smooth >= 3 and k < 2:
            slope = s.difference(
                lambda t, v=v, w=w: np.asarray(
                    orders_two_and_three(s.potential, s.padded.moved(x + t * w), s.listed, v, zero)[0]
                ),
                0.02,
            )
            third = worse(third, np.abs(change - slope).max() / np.abs(change).max())
    yield "d2E/dr2", differ, 1e-7 if smooth >= 2 else 1e-5
    yield "d3E/dr3", third, 1e-6
    scale = max(np.abs(product).max() for _, product in columns)
    (u, hu), (v, hv) = columns[:2]
    yield "symmetric", abs(np.sum(u * hv) - np.sum(v * hu)) / (scale * np.abs(u).sum()), 1e-11
    worst = 0.0
    for axis in range(3):
        shift = zero.copy()
        shift[: s.n, axis] = 1.0
        product = orders_two_and_three(s.potential, s.padded, s.listed, shift, zero)[0]
        worst = worse(worst, np.abs(product).max() / scale)
    yield "acoustic sum", worst, 1e-11


def _compare(s, label, structure, *, rotation=None, order=None, copies=1, tight=False):
    """Energy, forces and stress of an equivalent structure against the reference."""
    found = s.evaluate(structure)
    rotation = np.eye(3) if rotation is None else rotation
    order = np.arange(s.n) if order is None else order
    expected = np.tile(s.reference.forces[: s.n] @ rotation, (copies, 1))[order]
    e_limit, f_limit = (1e-14, 1e-13) if tight else (1e-11, 1e-10)
    yield f"{label}, energy", abs(found.energy / copies - s.reference.energy) / s.e_scale, e_limit
    yield f"{label}, forces", np.abs(found.forces[: len(expected)] - expected).max() / s.f_scale, f_limit
    if s.periodic:
        stress = rotation.T @ s.reference.stress @ rotation
        yield f"{label}, stress", np.abs(found.stress - stress).max() / s.s_scale, f_limit


def invariance(s: Subject) -> Iterator[tuple]:
    if not s.interacts:
        raise NotAsked("no interaction")
    r, x, cell = s.rattled, np.asarray(s.rattled.positions), np.asarray(s.rattled.cell)
    yield from _compare(s, "translation by 1e4 A", r.moved(x + 1e4 * np.array([0.6, -0.64, 0.48])))
    rotation, upper = np.linalg.qr(s.rng.normal(size=(3, 3)))
    rotation = rotation * np.linalg.det(rotation)
    yield from _compare(s, "rotation", r.moved(x @ rotation, cell @ rotation), rotation=rotation)
    given = [
        s.evaluate(s.given.moved(np.asarray(s.given.positions) @ q, np.asarray(s.given.cell) @ q)).forces
        @ q.T
        for q in (np.eye(3), rotation)
    ]
    # Equal distances are sorted by their rounding: a model must not care.
    yield "rotation of the structure as given", np.abs(given[1] - given[0]).max() / s.f_scale, 1e-10
    mirror = rotation @ np.diag([1.0, 1.0, -1.0])
    yield from _compare(s, "mirror image", r.moved(x @ mirror, cell @ mirror), rotation=mirror)
    order = s.rng.permutation(s.n)
    yield from _compare(s, "permutation", r.take(order), order=order)
    if s.pbc.any():
        steps = s.rng.integers(-100, 101, size=x.shape) * s.pbc
        yield from _compare(s, "lattice translations", r.moved(x + steps @ cell))
    if s.pbc.sum() > 1:
        a, b = np.flatnonzero(s.pbc)[:2]
        swapped, sheared = cell.copy(), cell.copy()
        swapped[[a, b]] = cell[[b, a]]
        sheared[a] += cell[b]
        yield from _compare(s, "left-handed cell", r.moved(x, swapped))
        yield from _compare(s, "another choice of the cell", r.moved(x, sheared))


def extensivity(s: Subject) -> Iterator[tuple]:
    """Twice the crystal, or two copies far apart, have twice the energy."""
    x = np.asarray(s.rattled.positions)
    if s.pbc.any():
        a = int(np.flatnonzero(s.pbc)[0])
        repeats = np.ones(3, int)
        repeats[a] = 2
        double = s.rattled.repeated(repeats)
    else:
        if not np.isfinite(s.potential.reach):
            raise NotAsked("atoms at any distance interact")
        shift = 10.0 * s.potential.reach + 2.0 * np.abs(x).max() + 50.0
        double = s.rattled.take(np.tile(np.arange(s.n), 2))
        double = double.moved(np.concatenate([x, x + [shift, 0.0, 0.0]]))
    yield from _compare(s, "twice the system", double, copies=2)


def padding(s: Subject) -> Iterator[tuple]:
    """The same numbers without padding, with another skin, and with longer rows."""
    listed = s.list_of(s.rattled, SKIN + 0.6)
    found = jax.tree.map(np.asarray, evaluate_once(s.potential, s.rattled, listed))
    yield "none, and a longer list, energy", abs(found.energy - s.reference.energy) / s.e_scale, 1e-14
    worst = np.abs(found.forces - s.reference.forces[: s.n]).max() / s.f_scale
    yield "none, and a longer list, forces", worst, 1e-12
    yield "padded atoms feel nothing", np.abs(s.reference.forces[s.n :]).max(initial=0.0), 0.0
    yield "padded atoms have no energy", np.abs(s.reference.energies[s.n :]).max(initial=0.0), 0.0

"""How smooth a potential is: distances scanned for jumps, and the cutoff approached from both sides."""

import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.structure import Structure
from jaxpot.observables import energy
from jaxpot.testing.subject import NotAsked, Subject

_SCAN_POINTS, _ZOOM_POINTS, _ZOOMS = 1537, 193, 5


@jax.jit
def _scan(potential, structure, neighbors, direction, distances):
    """E, dE/dr and d2E/dr2 with atom 1 at `distances` along `direction`: (3, number of distances)."""

    def value(r):
        positions = structure.positions.at[1].set(structure.positions[0] + r * direction)
        return energy(potential, structure.moved(positions), neighbors)

    def slope(r):
        return jax.jvp(value, (r,), (jnp.ones_like(r),))[1]

    def all_three(r):
        return jnp.stack([value(r), *jax.jvp(slope, (r,), (jnp.ones_like(r),))])

    return jax.vmap(all_three, out_axes=1)(distances)


def smoothness(s: Subject) -> Iterator[tuple]:
    """Distances scanned for jumps; and the limits from both sides at the cutoff."""
    smooth, cutoff = s.potential.smoothness, s.potential.cutoff
    if not s.interacts or smooth < 0:
        raise NotAsked("no interaction" if not s.interacts else "declared to jump (smoothness -1)")
    names, units = ("energy", "force", "second derivative"), ("eV", "eV/A", "eV/A^2")
    floors = (1e-12, 1e-10, 1e-6)
    for order in range(min(smooth, 2) + 1):
        worst, where, jump, place = 0.0, "", 0.0, ""
        for scan, label in _probes(s):
            delta = 1e-7
            below = 2 * scan(cutoff - delta) - scan(cutoff - 2 * delta)
            above = 2 * scan(cutoff + delta) - scan(cutoff + 2 * delta)
            at_cutoff = np.abs(above - below)[order, 0]
            if not at_cutoff <= worst:
                worst, where = at_cutoff, label
            largest, at = _jumps(scan, min(0.8 * s.nearest, 0.6 * cutoff), cutoff + 0.1, order, s.jump)
            if not largest <= jump:
                jump, place = largest, f"at r = {at:.6f} A, {label}"
        declared = f"declared smoothness {smooth}"
        kind = f"{names[order]} ({units[order]})"
        yield (
            f"{kind} at the cutoff",
            worst,
            max(floors[order], s.jump),
            f"{declared}; {where}" if where else "",
        )
        yield f"{kind} anywhere, relative", jump, 1e-6, f"{declared}; {place}" if place else ""


def _probes(s):
    """Functions r -> (E, E', E'') for every pair of elements, alone and beside a third atom."""
    cutoff = s.potential.cutoff
    direction, aside = np.array([0.36, 0.48, 0.8]), np.array([0.8, -0.6, 0.0])
    middle = 0.5 * (cutoff + 0.8 * s.nearest)
    for a, b in itertools.combinations_with_replacement(s.species(), 2):
        for third in (0, a):
            positions = np.array([np.zeros(3), middle * direction, s.nearest * aside, np.zeros(3)])
            # Where atoms at any distance interact, images are seen, which is as smooth.
            cell = np.eye(3) * (10.0 * cutoff + 20.0 if np.isfinite(s.potential.reach) else 2.0 * cutoff)
            numbers = np.array([a, b, third, 0])
            probe = Structure(positions, cell, numbers, masses=np.ones(4), pbc=s.given.pbc, **s.data_of(numbers))
            listed = s.list_of(probe, cutoff + 2.0, capacity=None if np.isinf(s.potential.reach) else 4, rows=4)

            def scan(r, probe=probe, listed=listed):
                r = np.atleast_1d(np.asarray(r, float))
                points = np.pad(r, (0, -len(r) % _ZOOM_POINTS), mode="edge").reshape(-1, _ZOOM_POINTS)
                values = [_scan(s.potential, probe, listed, direction, part) for part in points]
                return np.concatenate(values, axis=1)[:, : len(r)]

            yield scan, f"{symbol(a)}-{symbol(b)}" + (" beside a third atom" if third else " alone")


def _jumps(scan, start, end, order, forgiven):
    """The largest jump of E, E' or E'', relative to the values beside it, and where; NaN counts as a jump.

    Fourth differences of a smooth function vanish with the fourth power of the step, those of a jump stay.
    """
    points = np.linspace(start, end, _SCAN_POINTS)
    for _ in range(_ZOOMS + 1):
        f = scan(points)[order]
        if np.isnan(f).any():
            return np.nan, points[np.isnan(f).argmax()]
        step = points[1] - points[0]
        fourth = np.abs(f[:-4] - 4.0 * f[1:-3] + 6.0 * f[2:-2] - 4.0 * f[3:-1] + f[4:]) / 3.0
        beside = np.max([np.abs(f[k : len(f) - 4 + k]) for k in range(5)], axis=0)
        size = np.maximum(fourth - forgiven, 0.0) / (beside + 1e-3)
        k = int(size.argmax())
        found, place = size[k], points[k + 2]
        points = np.linspace(place - 4.0 * step, place + 4.0 * step, _ZOOM_POINTS)
    return found, place

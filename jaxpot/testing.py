"""The contract every potential keeps, as one call: prove a model of your own.

    import jaxpot.testing
    print(jaxpot.testing.check(my_potential, structure))

All structures are padded to one size, so that a check costs a handful of compiled programs. The limits are
those of double precision; what a model declares (`smoothness`, `species`, `local`) decides what is asked.
"""

import itertools
import os
import tempfile
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.graph import connect
from jaxpot.core.neighbors import neighbors as build_neighbors
from jaxpot.core.neighbors import round_capacity
from jaxpot.core.save import load_tree, save
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotError
from jaxpot.observables import energy, evaluate, hessian_vector_product, round_atoms
from jaxpot.potentials.base import Potential, parameter_names

LARGEST = 32  # atoms
_SKIN = 0.15  # A
_SCAN_POINTS = 193
# What the code of a model may raise. It is reported as a failure of the check that met it.
_MODEL_ERRORS = (JaxpotError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Outcome:
    """One line of a report: what was measured, what is allowed, and whether it held ("n/a": not asked)."""

    name: str
    status: str  # passed, failed, n/a
    measured: float | None = None
    limit: float | None = None
    note: str = ""


@dataclass(frozen=True)
class ContractReport:
    """What `check` found: `.passed`, `.failures`, `.outcomes`; printed as a table."""

    model: str
    outcomes: tuple = field(default=())

    @property
    def failures(self):
        """The outcomes that failed."""
        return tuple(o for o in self.outcomes if o.status == "failed")

    @property
    def passed(self):
        """Whether nothing failed."""
        return not self.failures

    def __str__(self):
        lines = [f"Contract of {self.model}: {'passed' if self.passed else f'{len(self.failures)} FAILED'}"]
        for o in self.outcomes:
            numbers = "" if o.measured is None else f"{o.measured:9.1e} (limit {o.limit:.0e})"
            lines.append(f"  {o.status:6}  {o.name:50} {numbers:26} {o.note}".rstrip())
        return "\n".join(lines)


class ContractError(JaxpotError, AssertionError):
    """A potential breaks the contract; `.report` holds everything that was found."""

    def __init__(self, report):
        super().__init__(str(ContractReport(report.model, report.failures)))
        self.report = report


class _NotAsked(Exception):
    """A check that has no meaning for this model or structure."""


def check(potential, structure, *, directions=8, seed=0, jump=0.0, skip=(), raises=True):
    """Prove that a potential keeps the contract on a structure and on what can be made from its atoms.

    Covers: forces and stress are the derivatives of the energy, and not all zero; second and third
    derivatives; symmetry and acoustic sums of the Hessian; invariance to translation, rotation, mirror
    images, permutation, lattice translations, other choices of the cell, padding, skin and capacity;
    extensivity; smoothness as declared; finite values and three finite derivatives for isolated, distant,
    collinear and symmetric atoms and at the cutoff; jit = eager, vmap = loop, float32 close to float64;
    gradients of the parameters; saving; refusal of unknown elements.

    Args:
        potential: any `Potential`, local or not.
        structure: a small `Structure` or `ase.Atoms` (at most 32 atoms), best with all of the model's
            elements. It is rattled and strained before derivatives are taken.
        directions: how many random directions the derivatives are taken along.
        seed: of the random numbers.
        jump: eV and eV/A; jumps up to this are forgiven, such as a published table's rounding at its end.
        skip: names of checks, as in `CHECKS`, that are left out.
        raises: whether a failure raises; otherwise the report is returned.

    Returns:
        `ContractReport`.

    Raises:
        ContractError: (a `JaxpotError` and an `AssertionError`) listing what failed.
        DataError: not a potential, too many atoms, or an unknown name in `skip`.
    """
    unknown = set(skip) - set(CHECKS)
    if unknown:
        raise DataError(f"skip: unknown names {sorted(unknown)}; expected some of {sorted(CHECKS)}")
    subject = _Subject(potential, structure, directions, seed, jump)
    outcomes = []
    for name, function in CHECKS.items():
        if name in skip:
            outcomes.append(Outcome(name, "n/a", note="left out on request"))
            continue
        try:
            for label, measured, limit, *note in function(subject):
                status = "passed" if measured <= limit else "failed"
                outcomes.append(Outcome(f"{name}: {label}", status, float(measured), limit, *note))
        except _NotAsked as reason:
            outcomes.append(Outcome(name, "n/a", note=str(reason)))
        except _MODEL_ERRORS as error:
            first = (str(error).splitlines() or [""])[0]
            outcomes.append(Outcome(name, "failed", note=f"{type(error).__name__}: {first}"))
    report = ContractReport(repr(potential), tuple(outcomes))
    if raises and not report.passed:
        raise ContractError(report)
    return report


# Programs that run a few times only are compiled without optimisation, in a quarter of the time.
_quickly = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
_evaluate = jax.jit(evaluate)
_evaluate_once = _quickly(evaluate)
_parameter_gradient = _quickly(jax.grad(energy))
_batched = _quickly(jax.vmap(evaluate, in_axes=(None, 0, 0)))
_connect = _quickly(connect)


@_quickly
def _orders_two_and_three(potential, structure, neighbors, v, w):
    """Hv, and its derivative along w."""
    def along(x):
        return hessian_vector_product(potential, structure.moved(x), v, neighbors)

    return jax.jvp(along, (structure.positions,), (w,))


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


class _Subject:
    """The potential, and structures of one padded size made from the one that was given."""

    def __init__(self, potential, structure, directions, seed, jump=0.0):
        if not isinstance(potential, Potential):
            raise DataError(f"expected a jaxpot potential as the first argument, got {type(potential).__name__}")
        structure = Structure.of(structure)
        if not 1 <= len(structure) <= LARGEST:
            raise DataError(f"expected a structure of 1 to {LARGEST} atoms, got {len(structure)}")
        if len(structure) == 1:  # whose force is zero by symmetry
            if not any(structure.pbc):
                raise DataError("expected a crystal, or at least two atoms: a single atom tells nothing about forces")
            structure = structure.repeated(np.where(np.cumsum(structure.pbc) == 1, structure.pbc, 0) + 1)
        self.potential, self.given = potential, structure
        self.directions, self.jump = directions, jump
        self.rng = np.random.default_rng(seed)
        self.pbc = np.array(structure.pbc)
        self.periodic = bool(self.pbc.all())
        self.size = round_atoms(2 * len(structure) + 1)
        self.interacts = potential.cutoff > 0
        self.capacity = None
        everything = [structure, structure.strained(-0.03 * jnp.eye(3))]
        lists = [build_neighbors(s, potential.cutoff, _SKIN) for s in everything]
        self.capacity = round_capacity(int(1.2 * max(s.capacity for s in lists)) + 4)
        self.nearest = self._nearest(lists[0])
        self.rattled = self._rattle()
        self.padded, self.listed = self.prepare(self.rattled)
        self.reference = self.evaluate(self.padded, self.listed)
        self.n = len(structure)
        self.e_scale = max(np.abs(self.reference.energies).sum(), 1e-12)
        self.f_scale = max(np.abs(self.reference.forces).max(), 1e-12)
        self.s_scale = max(np.abs(self.reference.stress).max(), 1e-12) if self.periodic else np.nan

    def _nearest(self, listed):
        lengths = np.asarray(_connect(self.given, listed).distances)[:, 0]
        found = lengths[np.asarray(listed.counts) > 0].min(initial=np.inf)
        cutoff = self.potential.cutoff
        return float(found) if found < cutoff else 0.5 * cutoff if cutoff else 2.0

    def _rattle(self):
        """Atoms displaced and the cell strained; no pair close to the cutoff, where models may jump."""
        best, gap = None, -1.0
        for _ in range(20):
            strain = self.rng.normal(scale=0.01, size=(3, 3))
            moved = self.given.strained(strain if self.pbc.any() else np.zeros((3, 3)))
            kicks = self.rng.normal(scale=0.03 * self.nearest, size=moved.positions.shape)
            moved = moved.moved(np.asarray(moved.positions) + kicks, np.asarray(moved.cell))
            listed = build_neighbors(moved, self.potential.cutoff, _SKIN, capacity=self.capacity)
            r = np.asarray(_connect(moved, listed).distances)[np.asarray(listed.real)]
            found = np.abs(r - self.potential.cutoff)[r < self.potential.cutoff + _SKIN].min(initial=1.0)
            if found > gap:
                best, gap = moved, found
        return best

    def prepare(self, structure, dtype=np.float64):
        """The structure padded, and its list, with the shapes of all the others."""
        padded = structure.padded(self.size)
        if dtype != np.float64:
            cast = {k: np.asarray(getattr(padded, k), dtype) for k in ("positions", "cell", "masses")}
            padded = padded.replace(**cast)
        listed = build_neighbors(
            padded, self.potential.cutoff, _SKIN, capacity=self.capacity, rows=self.size
        )
        return padded, listed

    def evaluate(self, padded, listed=None, potential=None):
        """`Evaluation` in NumPy."""
        if listed is None:
            padded, listed = self.prepare(padded)
        return jax.tree.map(np.asarray, _evaluate(potential or self.potential, padded, listed))

    def cluster(self, positions, numbers):
        """Atoms in vacuum, in a cell so large that no image is seen."""
        length = 4.0 * self.potential.cutoff + 2.0 * np.abs(positions).max(initial=0.0) + 20.0
        return Structure(np.asarray(positions, float), np.eye(3) * length, np.asarray(numbers), pbc=self.given.pbc)

    def direction(self):
        """A random direction in the space of positions, largest component 1, nothing on padding."""
        d = np.zeros((self.size, 3))
        d[: self.n] = self.rng.normal(size=(self.n, 3))
        return d / np.abs(d).max()

    def species(self):
        """The elements of the structure."""
        return sorted(set(np.asarray(self.given.numbers).tolist()) - {0})

    def difference(self, function, h):
        """df/dt at 0 by Richardson-extrapolated central differences (Ridders); smaller steps at kinks."""
        levels = 8 if self.potential.smoothness >= 3 else 13
        table, best, error = [], None, np.inf
        for k in range(levels):
            step = h * 2.0**-k
            row = [(function(step) - function(-step)) / (2.0 * step)]
            for m, previous in enumerate(table):
                row.append(row[m] + (row[m] - previous) / (4.0 ** (m + 1) - 1.0))
                found = np.max(np.abs(row[-1] - row[-2]) + np.abs(row[-1] - previous))
                if found < error:
                    best, error = row[-1], found
            if best is None:
                best = row[0]
            table = row[:4]
        return best


def _forces(s):
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
        worst = _worse(worst, np.abs(slope + np.sum(forces * d)) / scale)
    yield "-dE/dr", worst, limit
    yield "not all zero", float(s.f_scale <= 1e-8), 0.0, f"largest {s.f_scale:.2g} eV/A"
    yield "sum to zero", np.abs(forces.sum(0)).max() / s.f_scale, 1e-10
    yield "site energies add up", abs(s.reference.energies.sum() - s.reference.energy) / s.e_scale, 1e-13


def _stress(s):
    if not s.periodic:
        raise _NotAsked("the structure is not periodic along three axes")
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
        worst = _worse(worst, np.abs(slope - volume * np.sum(stress * e)) / scale)
    yield "dE/dstrain / V", worst, 1e-8 if s.potential.smoothness >= 2 else 1e-7
    yield "not all zero", float(s.s_scale <= 1e-12), 0.0, f"largest {s.s_scale:.2g} eV/A^3"
    yield "symmetric", np.abs(stress - stress.T).max() / s.s_scale, 1e-14


def _hessian(s):
    """Hessian-vector products against differences of forces; symmetry; acoustic sum; third order."""
    zero = np.zeros((s.size, 3))
    if not s.interacts:
        product = _orders_two_and_three(s.potential, s.padded, s.listed, s.direction(), zero)[0]
        yield "zero without interaction", np.abs(product).max(), 0.0
        return
    x = np.asarray(s.padded.positions)
    smooth = s.potential.smoothness
    columns, differ, third = [], 0.0, 0.0
    for k in range(max(2, s.directions // 2)):
        v, w = s.direction(), s.direction()
        product, change = map(np.asarray, _orders_two_and_three(s.potential, s.padded, s.listed, v, w))
        columns.append((v, product))
        if not (np.isfinite(product).all() and np.isfinite(change).all()):
            differ = third = np.nan
            continue
        slope = s.difference(lambda t, v=v: -s.evaluate(s.padded.moved(x + t * v), s.listed).forces, 0.02)
        differ = _worse(differ, np.abs(product - slope).max() / np.abs(product).max())
        if smooth >= 3 and k < 2:
            slope = s.difference(
                lambda t, v=v, w=w: np.asarray(
                    _orders_two_and_three(s.potential, s.padded.moved(x + t * w), s.listed, v, zero)[0]
                ),
                0.02,
            )
            third = _worse(third, np.abs(change - slope).max() / np.abs(change).max())
    yield "d2E/dr2", differ, 1e-7 if smooth >= 2 else 1e-5
    yield "d3E/dr3", third, 1e-6
    scale = max(np.abs(product).max() for _, product in columns)
    (u, hu), (v, hv) = columns[:2]
    yield "symmetric", abs(np.sum(u * hv) - np.sum(v * hu)) / (scale * np.abs(u).sum()), 1e-11
    worst = 0.0
    for axis in range(3):
        shift = zero.copy()
        shift[: s.n, axis] = 1.0
        product = _orders_two_and_three(s.potential, s.padded, s.listed, shift, zero)[0]
        worst = _worse(worst, np.abs(product).max() / scale)
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


def _invariance(s):
    if not s.interacts:
        raise _NotAsked("no interaction")
    r, x, cell = s.rattled, np.asarray(s.rattled.positions), np.asarray(s.rattled.cell)
    yield from _compare(s, "translation by 1e4 A", r.moved(x + 1e4 * np.array([0.6, -0.64, 0.48])))
    rotation, upper = np.linalg.qr(s.rng.normal(size=(3, 3)))
    rotation = rotation * np.linalg.det(rotation)
    yield from _compare(s, "rotation", r.moved(x @ rotation, cell @ rotation), rotation=rotation)
    mirror = rotation @ np.diag([1.0, 1.0, -1.0])
    yield from _compare(s, "mirror image", r.moved(x @ mirror, cell @ mirror), rotation=mirror)
    order = s.rng.permutation(s.n)
    permuted = Structure(x[order], cell, np.asarray(r.numbers)[order], np.asarray(r.masses)[order], r.pbc)
    yield from _compare(s, "permutation", permuted, order=order)
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


def _extensivity(s):
    """Twice the crystal, or two copies far apart, have twice the energy."""
    x, cell = np.asarray(s.rattled.positions), np.asarray(s.rattled.cell)
    shift = 10.0 * s.potential.cutoff + 2.0 * np.abs(x).max() + 50.0
    if s.pbc.any():
        a = int(np.flatnonzero(s.pbc)[0])
        repeats = np.ones(3, int)
        repeats[a] = 2
        double = s.rattled.repeated(repeats)
    else:
        both = np.concatenate([x, x + [shift, 0.0, 0.0]])
        double = Structure(both, cell, np.tile(np.asarray(s.rattled.numbers), 2), pbc=s.rattled.pbc)
    yield from _compare(s, "twice the system", double, copies=2)


def _padding(s):
    """The same numbers without padding, with another skin, and with longer rows."""
    listed = build_neighbors(s.rattled, s.potential.cutoff, _SKIN + 0.6)
    found = jax.tree.map(np.asarray, _evaluate_once(s.potential, s.rattled, listed))
    yield "none, and a longer list, energy", abs(found.energy - s.reference.energy) / s.e_scale, 1e-14
    worst = np.abs(found.forces - s.reference.forces[: s.n]).max() / s.f_scale
    yield "none, and a longer list, forces", worst, 1e-12
    yield "padded atoms feel nothing", np.abs(s.reference.forces[s.n:]).max(initial=0.0), 0.0
    yield "padded atoms have no energy", np.abs(s.reference.energies[s.n:]).max(initial=0.0), 0.0


def _smoothness(s):
    """Distances scanned for jumps, by bisection; and the limits from both sides at the cutoff."""
    smooth, cutoff = s.potential.smoothness, s.potential.cutoff
    if not s.interacts or smooth < 0:
        raise _NotAsked("no interaction" if not s.interacts else "declared to jump (smoothness -1)")
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
            found, at = _largest_jump(scan, min(0.8 * s.nearest, 0.6 * cutoff), cutoff + 0.1, order, s.jump)
            if not found <= jump:
                jump, place = found, f"at r = {at:.6f} A, {label}"
        declared = f"declared smoothness {smooth}"
        kind = f"{names[order]} ({units[order]})"
        yield f"{kind} at the cutoff", worst, max(floors[order], s.jump), f"{declared}; {where}" if where else ""
        yield f"{kind} anywhere, relative", jump, 1e-6, f"{declared}; {place}" if place else ""


def _probes(s):
    """Functions r -> (E, E', E'') for every pair of elements, alone and beside a third atom."""
    cutoff = s.potential.cutoff
    direction, aside = np.array([0.36, 0.48, 0.8]), np.array([0.8, -0.6, 0.0])
    middle = 0.5 * (cutoff + 0.8 * s.nearest)
    for a, b in itertools.combinations_with_replacement(s.species(), 2):
        for third in (0, a):
            positions = np.array([np.zeros(3), middle * direction, s.nearest * aside, np.zeros(3)])
            cell = np.eye(3) * (10.0 * cutoff + 20.0)
            probe = Structure(positions, cell, np.array([a, b, third, 0]), masses=np.ones(4), pbc=s.given.pbc)
            listed = build_neighbors(probe, cutoff, cutoff + 2.0, capacity=4, rows=4)

            def scan(r, probe=probe, listed=listed):
                r = np.atleast_1d(np.asarray(r, float))
                points = np.full(_SCAN_POINTS, r[-1])
                points[: len(r)] = r
                return np.asarray(_scan(s.potential, probe, listed, direction, points))[:, : len(r)]

            yield scan, f"{symbol(a)}-{symbol(b)}" + (" beside a third atom" if third else " alone")


def _largest_jump(scan, start, end, order, forgiven):
    """The largest jump relative to the values beside it, and where; NaN counts as a jump."""
    points = np.linspace(start, end, _SCAN_POINTS)
    left, right = points[:-1], points[1:]
    values = scan(points)[order]
    f_left, f_right = values[:-1], values[1:]
    for _ in range(36):
        middle = 0.5 * (left + right)
        f = scan(middle)[order]
        go_left = np.abs(f - f_left) > np.abs(f_right - f)
        right, f_right = np.where(go_left, middle, right), np.where(go_left, f, f_right)
        left, f_left = np.where(go_left, left, middle), np.where(go_left, f_left, f)
    size = np.maximum(np.abs(f_right - f_left) - forgiven, 0.0)
    size = size / (np.maximum(np.abs(f_left), np.abs(f_right)) + 1e-3)
    size = np.where(np.isnan(values[:-1]), np.nan, size)
    k = int(np.argmax(np.where(np.isnan(size), np.inf, size)))
    return size[k], left[k]


def _special_places(s):
    """Isolated, distant, collinear, symmetric atoms and the cutoff: values and three derivatives finite."""
    rc, d = s.potential.cutoff or 3.0, s.nearest
    kinds = s.species()
    x, y, z = np.eye(3)
    shapes = {
        "an isolated atom": [0 * x],
        "a pair beyond the cutoff": [0 * x, 1.5 * rc * x],
        "a pair at the cutoff": [0 * x, rc * z],
        "a pair one ulp within": [0 * x, np.nextafter(rc, 0) * y],
        "a pair one ulp beyond": [0 * x, np.nextafter(rc, 9 * rc) * y],
        "a pair near the cutoff": [0 * x, (rc - 1e-6) * x],
        "a pair": [0 * x, d * x],
        "three in a row": [-d * z, 0 * z, d * z],
        "four in a row, two at the cutoff": [0 * x, d * x, rc * x, (d + rc) * x],
        "a right angle": [0 * x, d * x, d * y],
        "an equilateral triangle": [0 * x, d * x, d * (0.5 * x + 0.75**0.5 * y)],
        "a tetrahedron": [d * (x + y + z), d * (x - y - z), d * (y - x - z), d * (z - x - y)],
        "an octahedron": [0 * x, d * x, -d * x, d * y, -d * y, d * z, -d * z],
    }
    alone, bad = {}, []
    worst_force, worst_energy = 0.0, 0.0
    for (label, points), shift in itertools.product(shapes.items(), range(len(kinds))):
        if len(points) > s.size:
            continue
        numbers = [kinds[(k + shift) % len(kinds)] for k in range(len(points))]
        padded, listed = s.prepare(s.cluster(np.array(points) + 0.1, numbers))
        result = s.evaluate(padded, listed)
        v, w = s.rng.normal(size=(2, s.size, 3))
        second, third = _orders_two_and_three(s.potential, padded, listed, v, w)
        arrays = {"energy": result.energies, "forces": result.forces, "second": second, "third": third}
        if s.periodic:
            arrays["stress"] = result.stress
        for name, array in arrays.items():
            if not np.isfinite(np.asarray(array)).all():
                bad.append(f"{name} {'derivatives ' if name in ('second', 'third') else ''}of {label}")
        if len(points) == 1:
            alone[numbers[0]] = float(result.energy)
        if label in ("an isolated atom", "a pair beyond the cutoff"):
            worst_force = _worse(worst_force, np.abs(result.forces).max())
            worst_energy = _worse(worst_energy, abs(result.energy - sum(alone[z] for z in numbers)))
    yield "all finite to third order", float(len(bad)), 0.0, "; ".join(dict.fromkeys(bad))
    yield "forces on atoms far apart", worst_force, 0.0
    yield "energy of atoms far apart is the sum", worst_energy, 1e-12
    given = s.evaluate(s.given)
    yield "the structure as given", float(not np.isfinite(given.forces).all()), 0.0


def _execution(s):
    """jit against eager evaluation of the model's own function, vmap against a loop."""
    potential = s.potential
    graph = jax.tree.map(np.asarray, _connect(s.padded, s.listed))
    with jax.disable_jit():
        if potential.local:
            rows = [jax.tree.map(lambda a, k=k: jnp.asarray(a[k]), graph.environments()) for k in range(2)]
            eager = np.array([float(potential.site_energy(row)) for row in rows])
        else:
            eager = np.asarray(potential.site_energies(jax.tree.map(jnp.asarray, graph)))[: s.n]
    expected = s.reference.energies[: len(eager)]
    yield "jit = eager", np.abs(eager - expected).max() / s.e_scale, 1e-13
    others = [s.prepare(s.given), (s.padded, s.listed)]
    stacked, lists = (jax.tree.map(lambda *a: np.stack(a), *pair) for pair in zip(*others, strict=True))
    batch = jax.tree.map(np.asarray, _batched(potential, stacked, lists))
    worst = 0.0
    for k, (padded, listed) in enumerate(others):
        single = s.evaluate(padded, listed)
        worst = _worse(worst, np.abs(batch.energies[k] - single.energies).max() / s.e_scale)
        worst = _worse(worst, np.abs(batch.forces[k] - single.forces).max() / s.f_scale)
    yield "vmap = loop", worst, 1e-12


def _single_precision(s):
    single = jax.tree.map(np.asarray, _evaluate_once(s.potential, *s.prepare(s.rattled, np.float32)))
    wrong = [k for k in ("energy", "energies", "forces") if getattr(single, k).dtype != np.float32]
    note = f"{', '.join(wrong)} came back in another precision" if wrong else ""
    yield "results are float32", float(len(wrong)), 0.0, note
    yield "energy", abs(single.energy - s.reference.energy) / s.e_scale, 1e-5
    if s.interacts:
        yield "forces", np.abs(single.forces - s.reference.forces).max() / s.f_scale, 1e-3


def _parameters(s):
    """Gradients of the energy by every array leaf, against differences."""
    leaves, tree = jax.tree.flatten(s.potential)
    names = parameter_names(s.potential)
    if not leaves:
        raise _NotAsked("the potential has no parameters")
    whole = [name for name, leaf in zip(names, leaves, strict=True) if not jnp.issubdtype(leaf.dtype, jnp.floating)]
    if whole:
        raise DataError(f"parameters must be floating (jax.grad fails on integers): {', '.join(whole)}")
    gradients = jax.tree.leaves(_parameter_gradient(s.potential, s.padded, s.listed))
    for k, (name, leaf, gradient) in enumerate(zip(names, leaves, gradients, strict=True)):
        leaf, gradient = np.asarray(leaf), np.asarray(gradient)
        if not np.isfinite(gradient).all():
            yield f"{name} finite", np.nan, 0.0
            continue
        silent = "" if gradient.any() else "it changes nothing here: give a structure on which it has an effect"
        yield f"{name} not zero", float(bool(silent)), 0.0, silent
        direction = np.where(leaf != 0, np.abs(leaf), 1e-2) * s.rng.uniform(0.5, 1.5, leaf.shape)

        def shifted(t, k=k, leaf=leaf, direction=direction):
            changed = [*leaves[:k], leaf + t * direction, *leaves[k + 1:]]
            return s.evaluate(s.padded, s.listed, jax.tree.unflatten(tree, changed)).energy

        slope = s.difference(shifted, 0.01)
        scale = max(np.abs(gradient * direction).sum(), 1e-3 * s.e_scale)
        limit = 1e-8 if s.potential.smoothness >= 2 else 1e-6
        yield f"dE/d {name}", abs(slope - np.sum(gradient * direction)) / scale, limit


def _saving(s):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "potential.jaxpot")
        save(s.potential, path)
        loaded = load_tree(path)
    same = jax.tree.structure(loaded) == jax.tree.structure(s.potential)
    yield "same class and static fields", float(not same), 0.0
    found = s.evaluate(s.padded, s.listed, loaded)
    yield "same energy, to the bit", abs(found.energy - s.reference.energy), 0.0


def _refusal(s):
    """Elements the potential does not know: a typed error, and NaN where nothing can be raised."""
    if s.potential.species is None:
        raise _NotAsked("the potential knows every element")
    unknown = next(z for z in range(118, 0, -1) if z not in s.potential.species)
    numbers = np.asarray(s.padded.numbers).copy()
    numbers[0] = unknown
    wrong = s.padded.replace(numbers=numbers)
    try:
        energy(s.potential, wrong, s.listed)
        refused = False
    except JaxpotError:
        refused = True
    yield "typed error", float(not refused), 0.0, "" if refused else f"{symbol(unknown)} was accepted"
    result = s.evaluate(wrong, s.listed)
    finite = np.isfinite(result.energy) or np.isfinite(result.forces).any()
    yield "NaN under jit", float(finite), 0.0


def _worse(a, b):
    """The larger of two errors; NaN is the largest."""
    return b if not b <= a else a


CHECKS = {
    "forces": _forces,
    "stress": _stress,
    "derivatives": _hessian,
    "invariance": _invariance,
    "extensivity": _extensivity,
    "padding": _padding,
    "smoothness": _smoothness,
    "special places": _special_places,
    "execution": _execution,
    "single precision": _single_precision,
    "parameters": _parameters,
    "saving": _saving,
    "refusal": _refusal,
}

"""The free energy of a quasi-harmonic crystal around one of its states: minima, derivatives, and what follows.

Static enthalpy and dynamical matrices are expanded to second order in the strains that keep the symmetry, with the ions
at the minimum of the static energy (`_Jets`); the derivatives of F(e, T) = E(e) + F_vib(e, T) + p V at e = 0 are those
of the expansion.
"""

from collections.abc import Sequence
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.hermitian import eigh
from jaxpot.core import linalg
from jaxpot.core.precision import is_traced, to_device
from jaxpot.core.pytree import Node, pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import ConvergenceError
from jaxpot.potentials.base import Potential
from jaxpot.properties.blocks import Blocks
from jaxpot.properties.coordinates import frozen, more_coordinates, symmetric_coordinates
from jaxpot.properties.gruneisen import mode_parameters
from jaxpot.properties.harmonic import require_real_modes
from jaxpot.properties.kinks import ANALYTIC, how_to_smooth
from jaxpot.properties.modes import mode_free_energy, mode_heat_capacity, zero_modes
from jaxpot.properties.phonons import mesh_points
from jaxpot.properties.second_order import SKIN, Route, route
from jaxpot.properties.settling import Settling
from jaxpot.properties.strained_ions import at_rest, displacements_at_rest, expanded, near_rest, static_expansion
from jaxpot.properties.trace_functions import mesh_average
from jaxpot.typing import Array, ArrayLike, Mesh, Number

_TOLERANCE = 1e-11  # strain
_STEPS = 30
_SHARED = 2e-3  # strain of the differences where matrices around one state serve others as well
_STATES = 20  # at which matrices of the mesh are computed, about
_NEAR = 1e-3  # strain of the differences by which rough potentials' properties follow the state
_ASIDE = 2e-3  # A, displacement of ions in differences
_OR_ROUGH = {True: "", False: ", or the potential jumps there (a neighbour shell crosses its cutoff or a knot)"}


class QuasiHarmonic:
    """The free energy of one crystal as a function of its symmetric strains, around any of its states."""

    def __init__(
        self, potential: Potential, structure: Structure, mesh: Mesh, smooth: bool, step: float, pressure: Number,
        way: Route | None = None,
    ) -> None:
        self.potential, self.smooth, self.pressure = potential, smooth, pressure
        self.traced = is_traced(potential, structure)
        self.start = frozen(structure)
        self.fixed = frozen(potential)
        strains, moves = symmetric_coordinates(self.start, potential.mirrors)
        # Programs that differentiate the ions' displacements serve any that contain these.
        moves = more_coordinates(self.start, moves) if self.traced else moves
        self.strains, self.moves = map(to_device, (strains, moves))
        self.settling = Settling(self.fixed, self.start, moves)
        self.blocks: Blocks | None = None  # of a state near the present one
        q, weights = mesh_points(self.start, mesh, potential.mirrors)
        if way is None:
            waves = _STATES * len(q)
            way = route(self.fixed, self.start, skin=SKIN, what="thermal expansion", waves=waves)[1]
        self.way = jax.device_put(way)
        self.listed = self.way.listed
        # Of several hops matrices cost so much that those around one state serve the states near it.
        self.shares = not smooth and any(known is not None for known in self.way.meshes)
        self.step = max(step, _SHARED) if self.shares and potential.smoothness >= ANALYTIC else step
        self.sampled: dict[bool, tuple[Structure, list[Array]]] = {}  # by whether the potential is differentiated
        self.q = np.asarray(q)
        self.mesh = tuple(map(to_device, (self.q, np.asarray(weights), zero_modes(q))))

    def jets(self, potential: Potential, structure: Structure, shared: bool = True) -> "_Jets":
        """Static enthalpy and dynamical matrices around a structure, to second order in the strains.

        Args:
            shared: whether matrices around a state near it may serve: its ions are at the minimum.
        """
        found = self.energy_jets(potential, structure, shared)
        if not self.pressure:
            return found
        slope, curvature = _work(self.pressure, structure, self.strains)
        return found.replace(slope=found.slope + slope, curvature=found.curvature + curvature)

    def energy_jets(self, potential: Potential, structure: Structure, shared: bool = True) -> "_Jets":
        """Static energy and dynamical matrices around a structure, to second order in the strains."""
        path = (potential, structure, self.listed, self.strains, self.moves)
        if self.smooth:
            return _jets(potential, structure, self.way, self.strains, self.moves, self.mesh[0])
        points, fit = _stencil(len(self.strains), self.step)
        expansion = self.way.at(potential, structure)
        traced = is_traced(potential)
        by_derivatives = traced and len(self.moves) > 0  # of the ions' places by the potential, too
        blocks = None if by_derivatives else expansion.blocks(self.strains)
        place = self._place(traced, structure) if shared else None
        if place is None:
            # Not one program for all: that of site Hessians is there, and takes long to compile.
            def strained(e):
                if blocks is None:
                    return near_rest(*path, e)
                return self.settling.strained(structure, blocks, self.strains, e, to_rest=False)

            expansions = [self.way.at(potential, strained(point)) if point.any() else expansion for point in points]
            samples = [expansion.dynamical_matrix(self.mesh[0]) for expansion in expansions]
            place = jnp.zeros(len(self.strains)), jnp.eye(len(self.strains))
            if self.shares and shared and not is_traced(structure):
                self.sampled[traced] = structure, samples
        else:
            samples = self.sampled[traced][1]
        if blocks is None or (len(self.moves) and not shared):
            static = static_expansion(*path)
        elif not len(self.moves):  # no displacement keeps the symmetry
            static = blocks.slope, blocks.by_strain
        else:
            self.blocks = blocks
            static = blocks.slope, to_device(self.settling.curvature(blocks))
        return _Jets(*static, *_polynomial(fit, samples, *place))

    def _place(self, traced, structure):
        """Strains e0 (m,) from the state whose matrices are known, and de0/de (m, m); None where that is too far."""
        if traced not in self.sampled or is_traced(structure):
            return None
        deformation = np.linalg.solve(np.asarray(self.sampled[traced][0].cell), np.asarray(structure.cell))
        strains = np.asarray(self.strains)
        e0 = np.einsum("kab,ab->k", strains, deformation - np.eye(3))
        if np.abs(e0).max() > self.step:
            return None
        return e0, np.einsum("kab,lab->kl", strains, deformation @ strains)

    def minimum(self, structure: Structure, temperature: Number) -> "tuple[Structure, _Jets]":
        """The structure at the minimum of the free energy, by Newton's method (concrete), and the jets around it."""
        for _ in range(_STEPS):
            jets = self.jets(self.fixed, structure)
            found = _derivatives(jets, temperature, *self.mesh[1:], vibrating=True)
            if not np.isfinite(np.asarray(found.gradient)).all():
                self.explain(structure)
            step = -np.linalg.solve(np.asarray(found.second), np.asarray(found.gradient))
            if np.linalg.eigvalsh(np.asarray(found.second))[0] <= 0 or np.abs(step).max() > 0.2:
                break
            if np.abs(step).max() < _TOLERANCE:
                return structure, jets
            structure = self.moved(structure, step * min(1.0, 0.02 / np.abs(step).max()))
        remedies = [how_to_smooth(self.fixed), "ask for lower temperatures" if temperature > 0 else ""]
        raise ConvergenceError(
            f"no minimum of the quasi-harmonic free energy was found at {float(temperature):.6g} K: the crystal is "
            f"beyond its limit of stability{_OR_ROUGH[self.smooth]}" + "".join(f"; {r}" for r in remedies if r)
        )

    def foreseen(self, structure: Structure, rows: Sequence, temperatures: ArrayLike) -> Structure:
        """About the structure at the last of the temperatures, from the one before and the expansion so far.

        By the second-order rule of Adams and Bashforth: a good start saves half of Newton's steps.
        """
        if not rows or self.traced:
            return structure
        past, by_kelvin = np.asarray(temperatures), [np.asarray(row[3]) for row in rows[-2:]]
        ahead, slope = past[-1] - past[-2], by_kelvin[-1]
        if len(rows) > 1 and past[-2] != past[-3]:
            slope = slope + 0.5 * ahead * (slope - by_kelvin[-2]) / (past[-2] - past[-3])
        basis = np.asarray(self.strains).reshape(len(self.strains), -1)
        return self.moved(structure, np.linalg.lstsq(basis.T, ahead * slope.ravel(), rcond=None)[0])

    def explain(self, structure: Structure) -> None:
        """Name the imaginary mode behind a free energy that is not a number."""
        matrices = self.way.at(self.fixed, structure).dynamical_matrix(self.mesh[0])
        require_real_modes(matrices, self.q, self.mesh[2])
        raise ConvergenceError("the free energy is not finite: the neighbour list or the crystal has broken down")

    def row(
        self, structure: Structure, temperature: Number, method: str, jets: "_Jets | None" = None
    ) -> tuple[Array, ...]:
        """Cell, volume, alpha, tensor, bulk modulus, heat capacities and gamma at one state, with jets around it."""
        jets = self.jets(self.fixed, structure) if jets is None else jets
        found = _derivatives(jets, temperature, *self.mesh[1:], vibrating=method != "gruneisen_v0")
        if not is_traced(found) and not np.isfinite(np.asarray(found.heat_capacity)):
            self.explain(structure)
        mixed = found.mixed if method == "free_energy" else _mixed_from_modes(jets, temperature, *self.mesh[1:])
        return _describe(found, mixed, structure, temperature, self.strains)

    def traced_row(self, structure: Structure, temperature: Number, method: str) -> tuple[Array, ...]:
        """The same as a function of the potential, with the state that follows: de/dp = -(d2F/de de)^-1 d2F/de dp."""
        jets, vibrating = self._jets_that_follow(structure), method != "gruneisen_v0"
        fixed = _derivatives(self.jets(self.fixed, structure), temperature, *self.mesh[1:], vibrating=vibrating)
        live = _derivatives(jets, temperature, *self.mesh[1:], vibrating=vibrating)
        step = -linalg.solve(fixed.second, live.gradient - jax.lax.stop_gradient(live.gradient))
        if self.smooth:
            here = at_rest(self.potential, structure, self.listed, self.strains, self.moves, step)
            return self.row(here, temperature, method, self.jets(self.potential, here))
        # Jets around a state that depends on the potential would need derivatives that a rough potential has not got.
        row = self.row(structure, temperature, method, jets)
        for unit, size in zip(np.eye(len(self.strains)), step, strict=True):
            ahead, behind = (
                self.row(self.moved(structure, sign * _NEAR * unit), temperature, method) for sign in (1.0, -1.0)
            )
            row = jax.tree.map(lambda r, a, b, x=size: r + x * (a - b) / (2.0 * _NEAR), row, ahead, behind)
        return row

    def _jets_that_follow(self, structure):
        """Jets around a structure whose ions follow the potential to the minimum of its static energy, to first order.

        By differences where matrices of a rough potential have no derivatives by displacements.
        """
        if not len(self.moves):
            return self.jets(self.potential, structure)
        still = jnp.zeros(len(self.strains), structure.cell.dtype)
        lists = self.listed, self.strains, self.moves
        if self.smooth:
            return self.jets(self.potential, at_rest(self.potential, structure, *lists, still))
        jets = self.jets(self.potential, structure)
        away = displacements_at_rest(self.potential, structure, *lists, still)
        for move, size in zip(self.moves, away - jax.lax.stop_gradient(away), strict=True):
            ahead, behind = (
                self.jets(self.fixed, structure.moved(structure.positions + sign * _ASIDE * move), shared=False)
                for sign in (1.0, -1.0)
            )
            jets = jax.tree.map(lambda j, a, b, x=size: j + x * (a - b) / (2.0 * _ASIDE), jets, ahead, behind)
        return jets

    def moved(self, structure: Structure, e: ArrayLike) -> Structure:
        """The structure strained by e, ions following."""
        if self.smooth:
            return at_rest(self.fixed, structure, self.listed, self.strains, self.moves, jnp.asarray(e))
        if self.blocks is None:
            self.blocks = self.way.at(self.fixed, structure).blocks(self.strains)
        return self.settling.strained(structure, self.blocks, self.strains, np.asarray(e))


@pytree
class _Jets(Node):
    """To second order in the strains e (m,): energy slope (m,), curvature (m, m) of E(e), eV; the dynamical
    matrices D (nq, N, N), their first (nq, N, N, m) and second derivatives (nq, N, N, m, m)."""

    slope: jax.Array
    curvature: jax.Array
    matrices: jax.Array
    first: jax.Array
    second: jax.Array


@pytree
class _Derivatives(Node):
    gradient: jax.Array  # dF/de (m,)
    second: jax.Array  # d2F/de de (m, m)
    mixed: jax.Array  # d2F/de dT (m,)
    heat_capacity: jax.Array  # at fixed cell, ()


@jax.jit
def _describe(found, mixed, structure, temperature, strains):
    volume = structure.volume
    amplitudes = -linalg.solve(found.second, mixed)
    tensor = jnp.tensordot(amplitudes, strains, 1)
    trace = jnp.trace(strains, axis1=1, axis2=2)
    bulk = 1.0 / (volume * trace @ linalg.solve(found.second, trace))
    expansion = jnp.trace(tensor)
    warm = found.heat_capacity > 0
    gamma = expansion * volume * bulk / jnp.where(warm, found.heat_capacity, 1.0)
    constant_pressure = found.heat_capacity + temperature * amplitudes @ found.second @ amplitudes
    return (
        structure.cell, volume, expansion / 3.0, tensor, bulk, found.heat_capacity, constant_pressure,
        jnp.where(warm, gamma, jnp.nan),
    )


@jax.jit
def _work(pressure, structure, strains):
    """Slope and curvature of p V along the strains; the ions have no part in it."""
    def work(e):
        return pressure * structure.strained(jnp.tensordot(e, strains, 1)).volume

    slope, curvature, _ = expanded(work, jnp.zeros(strains.shape[0], structure.cell.dtype))
    return slope, curvature


@jax.jit
def _jets(potential, structure, way, strains, moves, q):
    def matrices_at(e):
        return way.at(potential, near_rest(potential, structure, way.listed, strains, moves, e)).dynamical_matrix(q)

    first, second, matrices = expanded(matrices_at, jnp.zeros(strains.shape[0], structure.cell.dtype))
    return _Jets(*static_expansion(potential, structure, way.listed, strains, moves), matrices, first, second)


@partial(jax.jit, static_argnums=0)
def _polynomial(fit, samples, e0, by_strain):
    """Value, first and second derivatives at e = 0 of the polynomial through samples, at e0 + by_strain e."""
    samples = jnp.stack(samples)
    zero = jnp.zeros(len(by_strain), samples.real.dtype)
    first, second, matrices = expanded(lambda e: fit(samples, e0 + by_strain @ e), zero)
    return matrices, first, second


@partial(jax.jit, static_argnames="vibrating")
def _derivatives(jets, temperature, weights, zeros, *, vibrating):
    """Derivatives of F(e, T) at e = 0; without `vibrating`, second and gradient are those of E alone."""
    origin = jnp.zeros(jets.slope.shape[0], jets.slope.dtype)

    def vibration(e, temperature):
        # D(e) to second order has the same first and second derivatives at e = 0 as D(e) itself.
        matrices = jets.matrices + jets.first @ e + 0.5 * (jets.second @ e) @ e
        return mesh_average(mode_free_energy, matrices, weights, temperature, exclude=zeros)

    gradient, second = jets.slope, jets.curvature
    push = jax.jacfwd(vibration)
    if vibrating:
        gradient = gradient + push(origin, temperature)
        second = second + jax.jacfwd(push)(origin, temperature)
    mixed = jax.jacfwd(push, argnums=1)(origin, temperature)
    heat = mesh_average(mode_heat_capacity, jets.matrices, weights, temperature, exclude=zeros)
    return _Derivatives(gradient, 0.5 * (second + second.T), mixed, heat)


@jax.jit
def _mixed_from_modes(jets, temperature, weights, zeros):
    """d2F/de_k dT = -sum_modes c_v gamma_k, mode by mode; the route that knows nothing of traces."""
    heat = _mode_heat(jets.matrices, zeros, temperature)

    def along(change):
        _, gamma = mode_parameters(jets.matrices, change, zeros)
        return -jnp.sum(weights[:, None] * jnp.where(jnp.isfinite(gamma), gamma, 0.0) * heat)

    return jnp.stack([along(jets.first[..., k]) for k in range(jets.first.shape[-1])])


def _mode_heat(matrices, zeros, temperature):
    w2, _ = jax.vmap(eigh)(matrices)
    known = jnp.arange(w2.shape[1]) >= zeros[:, None]
    heat = jax.vmap(jax.vmap(lambda x: mode_heat_capacity(x, temperature)))(jnp.where(known, w2, 1.0))
    return jnp.where(known, heat, 0.0)


@lru_cache
def _stencil(m, step):
    """Strains (p, m) around 0, and the polynomial through values there: fit(values (p, ...), e (m,)).

    One strain: degree 4 through five points up to twice the step; several: degree 2 (central differences).
    """
    if m == 1:
        points = step * np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
        powers = [(k,) for k in range(5)]
    else:
        steps = [np.zeros(m)]
        for i in range(m):
            steps += [np.eye(m)[i], -np.eye(m)[i]]
            steps += [sign * (np.eye(m)[i] + np.eye(m)[j]) for j in range(i) for sign in (1.0, -1.0)]
        points = step * np.array(steps)
        powers = [(0,) * m] + [tuple(np.eye(m, dtype=int)[i]) for i in range(m)]
        powers += [tuple(np.eye(m, dtype=int)[i] + np.eye(m, dtype=int)[j]) for i in range(m) for j in range(i + 1)]
    table = np.array([[np.prod((x / step) ** np.array(p)) for p in powers] for x in points])
    inverse = np.linalg.pinv(table)  # of several strains: least squares, exact in the even part

    def fit(values, e):
        terms = [jnp.prod(jnp.stack([(e[i] / step) ** int(p) for i, p in enumerate(power) if p] or [e[0] * 0 + 1.0]))
                 for power in powers]
        return jnp.tensordot(jnp.stack(terms) @ inverse, values, 1)

    return points, fit

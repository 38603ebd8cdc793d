"""The search for a minimum: a quasi-Newton method over atoms and cell.

References:
    D. C. Liu, J. Nocedal, On the limited memory BFGS method, Math. Program. 45, 503 (1989).
    D. Packwood et al., A universal preconditioner for simulating condensed phase materials, J. Chem. Phys. 144, 164109
    (2016).
"""

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

import jax
import numpy as np

from jaxpot.checks import checked_neighbors, round_atoms
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.precision import to_device
from jaxpot.core.structure import Structure
from jaxpot.core.symmetry import space_group
from jaxpot.errors import ConvergenceError
from jaxpot.observables import evaluate, evaluate_by_strain
from jaxpot.potentials.base import Potential
from jaxpot.typing import Array, Number

_FEW = 16  # atoms
_MANY = 3000  # atoms, whose metric is a matrix of 72 MB
_SKIN = 0.8  # A
_LONGEST = 0.15  # A; no atom moves further in one step
_FLAT = 1e-8  # of the energy: smaller changes are not looked at
_MEMORY = 40
_MOST = 10_000  # evaluations
_PATIENCE = 300  # evaluations without progress
_CLIMB = 10.0  # roundings of the energy above the lowest that a search may stay
_LESS = 0.99  # of the residual: less is progress
_DECAY = 3.0  # of the stiffness of bonds with their length, in units of the longest one
_STAY = 0.01  # of the mean stiffness: what holds an atom in its place


_Result = TypeVar("_Result")
Asking = Generator[Structure, tuple[float, np.ndarray, np.ndarray], _Result]
Minimum = tuple[Array, Array, float, float, int]


class Search:
    """L-BFGS on the host over displacements (n, 3) and amplitudes of the strains that are free.

    The strains are scaled by a length so that both kinds of coordinates are about equally stiff. More than a few atoms
    are as stiff as their `PairMetric` says.

    Args:
        strains: (s, 3, 3) symmetric and orthogonal to each other, none if the cell is held.
        pressure: eV/A^3; 0 unless the structure has a volume.
        symmetry: keep the space group of the start.
    """

    def __init__(
        self, potential: Potential, start: Structure, strains: np.ndarray, pressure: Number, symmetry: bool
    ) -> None:
        self.potential, self.start, self.strains, self.pressure = potential, start, strains, pressure
        self.group = space_group(start, mirrors=potential.mirrors) if symmetry else None
        self.n = len(start)
        self.size = round_atoms(self.n)
        self.length = 2.0 * max(self.n, 1) ** 0.5  # A
        self.listed: Neighbors | None = None
        self.count = 0

    def split(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = z[: 3 * self.n].reshape(self.n, 3)
        return np.tensordot(z[3 * self.n:] / self.length, self.strains, 1), u

    def evaluate(self, z: np.ndarray) -> Asking[tuple[float, np.ndarray, float]]:
        """Enthalpy (eV), its gradient by z, and the residual that is compared with fmax."""
        strain, u = self.split(z)
        deformation = np.eye(3) + strain
        if np.linalg.det(deformation) < 0.05:
            return np.inf, np.zeros_like(z), np.inf
        now = self.start.moved(
            to_device((np.asarray(self.start.positions) + u) @ deformation),
            to_device(np.asarray(self.start.cell) @ deformation),
        )
        value, forces, pull = yield now
        if self.group is not None:
            forces = np.asarray(self.group.symmetrize_vectors(forces))
            pull = np.asarray(self.group.symmetrize_tensor(pull))
        by_displacement = -forces @ deformation.T
        gradient = np.zeros_like(z)
        gradient[: 3 * self.n] = by_displacement.ravel()
        residual = np.abs(forces).max(initial=0.0)
        if len(self.strains):
            work = self.pressure * abs(np.linalg.det(np.asarray(now.cell))) if self.pressure else 0.0
            pull = pull + work * np.eye(3)  # dH/dstrain of the present structure
            by_strain = np.linalg.solve(deformation, pull)
            gradient[3 * self.n:] = np.einsum("kij,ij->k", self.strains, by_strain) / self.length
            residual = max(residual, np.abs(np.einsum("kij,ij->k", self.strains, pull)).max() / self.n)
            value += work
        self.count += 1
        return value, gradient, residual

    def evaluate_structure(self, now: Structure) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy, forces (n, 3) and dE/dstrain (3, 3)."""
        padded = now.padded(self.size)
        extent = self.potential.extent()
        if self.listed is None or not bool(self.listed.covers(padded, extent)):
            # A collapsing trial step may fail here with a typed error, which says what came together.
            listed = checked_neighbors(self.potential, padded, skin=_SKIN, rows=self.size)
            if self.size <= _FEW:  # longer rows cost such a crystal nothing, and all its volumes share a program
                listed = listed.in_rows_of(max(32, 1 << (listed.capacity - 1).bit_length()))
            self.listed = jax.device_put(listed)
        if len(self.strains) and not all(now.pbc):
            result = jax.device_get(evaluate_by_strain(self.potential, padded, self.listed))
            return float(result.energy), result.forces[: self.n], result.stress
        result = jax.device_get(evaluate(self.potential, padded, self.listed))
        pull = result.stress * abs(np.linalg.det(np.asarray(now.cell))) if len(self.strains) else np.zeros((3, 3))
        return float(result.energy), result.forces[: self.n], pull

    def metric(self) -> Callable[[np.ndarray], np.ndarray]:
        """A function of gradients that about undoes second derivatives, up to a factor."""
        if not _FEW < self.n <= _MANY:
            return lambda gradient: gradient
        if self.listed is None:  # evaluated elsewhere
            self.listed = checked_neighbors(self.potential, self.start.padded(self.size), skin=_SKIN, rows=self.size)
        return PairMetric(self.start, self.listed, self.strains / self.length)

    def run(self, fmax: float, steps: int | None, callback: Callable[..., object] | None) -> Minimum:
        """Strain, displacements, enthalpy, residual and number of evaluations at the end; arguments of `asking`."""
        search = self.asking(fmax, steps, callback)
        try:
            structure = next(search)
            while True:
                structure = search.send(self.evaluate_structure(structure))
        except StopIteration as end:
            return end.value

    def asking(self, fmax: float, steps: int | None, callback: Callable[..., object] | None) -> Asking[Minimum]:
        """The search as a generator: it yields structures, and is sent energy, forces (n, 3) and dE/dstrain (3, 3).

        Args:
            steps: the most evaluations; None: as long as the energy or the residual falls.

        Returns:
            Strain, displacements, enthalpy, residual and number of evaluations at the end.
        """
        z, patient = np.zeros(3 * self.n + len(self.strains)), steps is None
        steps = _MOST if steps is None else steps
        value, gradient, residual = yield from self.evaluate(z)
        if not np.isfinite(value):
            raise ConvergenceError(f"the energy of the starting structure is {value}")
        metric, scale = self.metric(), 1.0 / 30.0
        history: list[tuple] = []
        lowest, smallest, since = value, residual, self.count
        while residual > fmax and self.count < steps:
            if value < lowest - _FLAT * max(abs(value), 1.0) or residual < _LESS * smallest:
                lowest, smallest, since = min(lowest, value), min(smallest, residual), self.count
            elif patient and self.count > since + _PATIENCE:
                break
            if callback:
                callback(self.count, value, residual)
            direction = -two_loops(gradient, history, lambda g: scale * metric(g))  # noqa: B023
            if gradient @ direction >= 0:
                history, direction = [], -scale * metric(gradient)
            direction *= min(1.0, _LONGEST / np.abs(direction).max())
            step, accepted = 1.0, None
            while self.count < steps:
                trial = yield from self.evaluate(z + step * direction)
                # Near the minimum the energy is flat to rounding (that of a GAP with large weights is 1e-8 eV): there
                # the gradient decides, as in W. W. Hager, H. Zhang, SIAM J. Optim. 16, 170 (2005), equation 2.5.
                # Not far above the lowest energy: many steps along a crease would climb it.
                rounding = _FLAT * max(abs(value), 1.0)
                most = min(value + 1e-4 * step * (gradient @ direction), lowest + _CLIMB * rounding) + rounding
                if trial[0] <= most and (
                    trial[0] < value - rounding or trial[1] @ direction <= abs(gradient @ direction)
                ):
                    accepted = trial
                    break
                step *= 0.3
                if step < 1e-8:
                    break
            if accepted is None:
                if not history:
                    break
                history = []
                continue
            s, y = step * direction, accepted[1] - gradient
            if s @ y > 1e-14 * np.linalg.norm(s) * np.linalg.norm(y):
                history = [*history[1 - _MEMORY:], (s, y)]
                scale = (s @ y) / (y @ metric(y))
            z = z + s
            value, gradient, residual = accepted
        if callback:
            callback(self.count, value, residual)
        strain, u = self.split(z)
        return to_device(strain), to_device(u), value, residual, self.count


def two_loops(gradient: np.ndarray, history: Sequence, first: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The L-BFGS estimate of (second derivative)^-1 times the gradient; `first` is the estimate without a history."""
    q, weights = gradient.copy(), []
    for s, y in reversed(history):
        a = (s @ q) / (s @ y)
        q -= a * y
        weights.append(a)
    q = first(q)
    for (s, y), a in zip(history, reversed(weights), strict=True):
        q += s * (a - (y @ q) / (s @ y))
    return q


class PairMetric:
    """Springs between neighbours, exp(-3 r / r_nn): how stiff atoms and strains are, up to a factor.

    Q(u, e) = 1/2 sum over pairs of w_ij (u_i - u_j)^2 + 1/2 sum w_ij (r_ij e)^2

    Long waves are as soft as they should be, at any size of the cell, and strains as stiff as the springs that they
    stretch.

    Args:
        structure: as it is at the start.
        listed: a list of it, padded or not.
        strains: (s, 3, 3) by unit amplitude.
    """

    def __init__(self, structure: Structure, listed: Neighbors, strains: np.ndarray) -> None:
        n, positions, cell = len(structure), np.asarray(structure.positions), np.asarray(structure.cell)
        listed = jax.tree.map(np.asarray, listed)
        filled = (np.arange(listed.capacity) < listed.counts[:, None]) & listed.real[:, None]
        first, second = np.broadcast_to(listed.centers[:, None], filled.shape)[filled], listed.others[filled]
        vectors = positions[second] - positions[first] + listed.shifts[:, filled].T @ cell
        lengths = np.linalg.norm(vectors, axis=1)
        nearest = np.full(n, np.inf)
        np.minimum.at(nearest, first, lengths)
        bond = nearest[np.isfinite(nearest)].max(initial=1e-30)
        weights = np.exp(-_DECAY * (np.maximum(lengths / bond, 0.8) - 1.0))
        springs = np.zeros((n, n))
        np.subtract.at(springs, (first, second), weights)
        np.add.at(springs, (first, first), weights)
        mean = np.trace(springs) / n or 1.0
        self.atoms = np.linalg.inv(springs / mean + _STAY * np.eye(n))
        stretches = np.einsum("pa,kab->kpb", vectors, strains)
        stiffness = 0.5 * np.einsum("kpa,lpa,p->kl", stretches, stretches, weights / mean)
        self.strains = np.linalg.pinv(stiffness)

    def __call__(self, gradient: np.ndarray) -> np.ndarray:
        n = len(self.atoms)
        moves = self.atoms @ gradient[: 3 * n].reshape(n, 3)
        return np.concatenate([moves.ravel(), self.strains @ gradient[3 * n:]])

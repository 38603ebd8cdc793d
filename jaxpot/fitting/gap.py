"""The steps of fitting a GAP: sparse points, what is left to fit, rows, weights. `run.fit` takes them."""

import time
from dataclasses import dataclass

import numpy as np

from jaxpot.descriptors.base import Descriptor
from jaxpot.fitting.describe import describe
from jaxpot.fitting.design import design_rows, linear_terms
from jaxpot.fitting.linear import Accumulator, covariance_factor
from jaxpot.fitting.sparsify import choose_points
from jaxpot.kernels.base import Kernel
from jaxpot.observables import evaluate_many
from jaxpot.potentials.base import Sum
from jaxpot.potentials.described import Described
from jaxpot.readouts.sparse_gp import SparseGP


@dataclass(frozen=True)
class GAPTerm:
    """One Gaussian process of a GAP before it is fitted.

    Args:
        descriptor: what it sees.
        kernel: covariance of two vectors.
        n_sparse: number of sparse points.
        delta: standard deviation of the energy it gives, eV.
        sparse_method: see `choose_points`.
        points: sparse points given, (M, d), instead of a choice.
    """

    descriptor: Descriptor
    kernel: Kernel
    n_sparse: int = 1000
    delta: float = 1.0
    sparse_method: str = "cur"
    points: np.ndarray | None = None


@dataclass(frozen=True)
class Sigmas:
    """Standard deviations of the targets where a frame gives none of its own.

    Args:
        energy: eV/atom; a total energy of N atoms has sqrt(N) times this, as in gap_fit.
        forces: eV/A.
        stress: eV/A^3; None: stresses are not fitted.
    """

    energy: float = 0.001
    forces: float = 0.05
    stress: float | None = None


def sparse_potential(terms, dataset, prepared, seed=0, progress=None):
    """The sum of the terms with their sparse points, and weights that are zero."""
    described = []
    for k, term in enumerate(terms):
        points = term.points
        if points is None:
            if progress:
                progress(f"choosing {term.n_sparse} sparse points of term {k + 1}")
            points = _chosen(term, prepared, seed + k)
        readout = SparseGP(term.kernel, points, np.zeros(len(points)), float(term.delta))
        species = tuple(dataset.species)
        described.append(Described(term.descriptor, readout, species))
    return described[0] if len(described) == 1 else Sum.of(*described)


def _chosen(term, prepared, seed):
    limit = max(1, _MOST_VECTORS // len(prepared))
    vectors, _, _ = describe(term.descriptor, prepared, limit, seed)
    return vectors[choose_points(vectors, term.n_sparse, term.sparse_method, kernel=term.kernel, seed=seed)]


_MOST_VECTORS = 200_000


def residuals(dataset, baseline=None):
    """Targets less e0 and the baseline: lists of energies (eV, or None), forces and stresses (or None)."""
    e0 = np.array([sum(dataset.e0[int(z)] for z in f.numbers) for f in dataset])
    energies = [None if f.energy is None else f.energy - e for f, e in zip(dataset, e0, strict=True)]
    forces, stresses = [f.forces for f in dataset], [f.stress for f in dataset]
    if baseline is not None:
        for k, found in enumerate(evaluate_many(baseline, [f.structure for f in dataset])):
            energies[k] = None if energies[k] is None else energies[k] - float(found.energy)
            forces[k] = None if forces[k] is None else forces[k] - found.forces
            stresses[k] = None if stresses[k] is None else stresses[k] - found.stress
    return energies, forces, stresses


def accumulate(potential, dataset, prepared, targets, sigmas, factors, groups=None, progress=None,
               checkpoint=None):
    """Moments of all rows. `groups` names the group of a frame (a fold, say): keys are (kind, group)."""
    accumulator = Accumulator(factors)
    done = 0 if checkpoint is None else checkpoint.restore(accumulator)
    last = time.monotonic()
    for k, (frame, (structure, neighbors)) in enumerate(zip(dataset, prepared, strict=True)):
        if k < done:
            continue
        energy, forces, stress = (column[k] for column in targets)
        group = None if groups is None else groups[k]
        rows = design_rows(potential, structure, neighbors)
        n = len(frame)
        if energy is not None:
            sigma = (frame.sigma_energy or sigmas.energy) * np.sqrt(n)
            accumulator.add(("energy", group), rows.energy[None], [energy], sigma)
        if forces is not None:
            found = np.asarray(rows.forces)[:n].reshape(3 * n, -1)
            accumulator.add(("forces", group), found, forces.reshape(-1), frame.sigma_forces or sigmas.forces)
        if stress is not None and sigmas.stress is not None:
            found = np.asarray(rows.stress)[_VOIGT]
            accumulator.add(("stress", group), found, stress[_VOIGT], frame.sigma_stress or sigmas.stress)
        if progress and time.monotonic() - last > 5.0:
            last = time.monotonic()
            progress(f"rows of {k + 1} of {len(dataset)} frames")
        if checkpoint is not None:
            checkpoint.offer(k + 1, accumulator)
    if checkpoint is not None:
        checkpoint.complete(len(dataset), accumulator)
    return accumulator.finish()


_VOIGT = (np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1]))


def factors_of(potential, jitter=1e-10):
    """Cholesky factors of the terms' sparse points, and the jitter of each."""
    found = [covariance_factor(term.readout.point_covariance(0.0), jitter) for term in linear_terms(potential)]
    return [f for f, _ in found], [j for _, j in found]


def with_weights(potential, weights):
    """The potential with other weights, a list with those of each term."""
    filled = [
        term.replace(readout=term.readout.replace(weights=own))
        for term, own in zip(linear_terms(potential), weights, strict=True)
    ]
    return filled[0] if len(filled) == 1 else Sum.of(*filled)

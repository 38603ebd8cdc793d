"""A posterior that also knows what its sparse points cannot see near given structures."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxpot.core import linalg
from jaxpot.core.structure import Structure
from jaxpot.data.descriptor_vectors import descriptor_vectors
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.errors import DataError
from jaxpot.potentials.base import Sum, summands
from jaxpot.potentials.described import leaves_residual
from jaxpot.potentials.posterior import Posterior
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.typing import StructureLike
from jaxpot.uncertainty.deviations import padded_std
from jaxpot.uncertainty.inflation import Inflation
from jaxpot.uncertainty.linear_terms import can_be_widened, factor_of, site_features, uncertain_terms

_MOST = 4000  # environments that points are chosen from, of each term
_CONDITION = 1e-6  # of the largest singular value: directions below change site energies too little
_LOOKED_AT = 12  # structures that tell how far from the data they are
_ENOUGH = 1e-4  # of the largest residual variance: no more points are chosen below that


def widened(posterior: Posterior, structures: Sequence[StructureLike], count: int = 200, seed: int = 0) -> Posterior:
    """The posterior with more points, where structures have environments that its sparse points do not span.

    A sparse Gaussian process is f(x) = k_M(x) alpha + r(x), r being the residual with the prior covariance
    R = k - k_M (K_MM + jitter)^-1 k_M^T, independent of alpha. Of r, too, what its values at points Z tell is a sum
    of kernels, r(x) = R(x, Z) R_ZZ^-1 r_Z: the same potential with the points M and Z, the same mean, and a
    covariance with the residual in it. Whatever is derived from that (forces, elastic constants, draws) has bars
    that grow away from data.

    Of structures away from the data a calibrated posterior says more (`Inflation`): their energies have the variance
    U^2 beside s_E^2 (times the factor of properties), U^2 = (g - 1) s_E^2 + phi r ((sum_i s_i)^2 - s_E^2). That is
    brought in as one more direction, along which the site energies of all these structures move together, by
    U s_i / sum_i s_i as nearly as the points can; `std` does not add it once more, and neither does a second call: give
    all structures in one, or those that are far first.

    Args:
        posterior: `Posterior` of weights that the energy is linear in, some of them those of Gaussian processes.
        structures: those of interest, distorted as the property distorts them.
        count: of points, at most, for each term. They are chosen one after the other, always where most is left.
        seed: of the environments looked at, where there are many.

    Returns:
        `Posterior`; the potential has the same energies.

    Raises:
        DataError: no Gaussian process among the terms, or other parameters than weights.

    References:
        L. Csato, M. Opper, Neural Comput. 14, 641 (2002), section 3; J. Quinonero-Candela, C. E. Rasmussen,
        J. Mach. Learn. Res. 6, 1939 (2005), section 5.
    """
    pairs = uncertain_terms(posterior)
    if pairs is None or not can_be_widened(posterior):
        raise DataError("only the weights of Gaussian processes leave a residual; this posterior has other parameters")
    given, potential = [Structure.of(s) for s in structures], posterior.potential
    prepared = prepare_frames(given, potential.cutoff, inner_cutoffs(potential))
    replaced, rows, further, begin = {}, [], [], 0
    for term, jitter in pairs:
        of_weights = np.asarray(posterior.factor[begin : begin + term.n_features])
        begin += term.n_features
        if not leaves_residual(term):
            rows.append((of_weights, np.zeros((len(of_weights), 0)), np.zeros((0, 0))))
            further.append(0)
            continue
        vectors, _ = descriptor_vectors(term.descriptor, prepared, max(1, _MOST // len(prepared)), seed)
        points, on_old, on_new = _new_points(term.readout, np.asarray(factor_of(term.readout, jitter)), vectors, count)
        replaced[id(term)] = _with_points(term, points)
        rows.append((of_weights, on_old, on_new))
        further.append(len(points))
    cuts, width = np.cumsum([0, *further]), posterior.factor.shape[1]
    factor = []
    for (of_weights, on_old, on_new), start, end in zip(rows, cuts[:-1], cuts[1:], strict=True):
        block = np.zeros((len(of_weights) + end - start, width + cuts[-1]))
        block[: len(of_weights), :width] = of_weights
        block[: len(of_weights), width + start : width + end] = float(posterior.inflation) * on_old
        block[len(of_weights) :, width + start : width + end] = float(posterior.inflation) * on_new
        factor.append(block)
    parts = [replaced.get(id(term), term) for term in summands(potential)]
    wide = posterior.replace(potential=Sum.or_one(parts), factor=jnp.asarray(np.concatenate(factor)))
    terms = [(replaced.get(id(term), term), *row[1:]) for (term, _), row in zip(pairs, rows, strict=True)]
    return _away(wide, posterior, terms, [(*ready, len(s)) for ready, s in zip(prepared, given, strict=True)])


def _away(wide, posterior, terms, structures):
    """A widened posterior with what its calibration says of structures away from the data.

    Args:
        wide, posterior: with and without more points.
        terms: of each, it with its points, and what these add to the weights of old and new points.
        structures: triples (padded structure, its list, number of atoms).
    """
    inflation = Inflation.of(posterior)
    if inflation.far == 1.0 and inflation.alike == 0.0:
        return wide
    looked_at = [structures[k] for k in np.unique(np.linspace(0, len(structures) - 1, _LOOKED_AT).astype(int))]
    plain, moves = posterior.replace(calibration={}), []
    for ready in looked_at:
        bar = padded_std(plain, *ready).epistemic
        total = bar.energies.sum()
        more = inflation.variance(bar.energy, total, len(bar.energies)) - bar.energy**2
        moves.append(np.sqrt(more) * bar.energies / total if more > 0.0 else np.zeros(len(bar.energies)))
    if not np.concatenate(moves).any() or wide.factor.shape == posterior.factor.shape:  # nowhere, or no new points
        return wide
    direction = _together(terms, looked_at, np.concatenate(moves))
    factor = jnp.concatenate([wide.factor, direction[:, None]], axis=1)
    return wide.replace(factor=factor, calibration=Inflation.told(wide.calibration))


def _together(terms, structures, moves):
    """Weights that move the site energies of structures by what is given, as nearly as new points can: (P,)."""
    blocks = [np.concatenate([on_old, on_new]) for _, on_old, on_new in terms]
    k = int(np.argmax([block.shape[1] for block in blocks]))  # the term that tells environments apart
    rows = [
        np.asarray(site_features((terms[k][0],), structure, neighbors))[:n] @ blocks[k]
        for structure, neighbors, n in structures
    ]
    along = np.linalg.lstsq(np.concatenate(rows), moves, rcond=_CONDITION)[0]
    return np.concatenate([block @ along if j == k else np.zeros(len(block)) for j, block in enumerate(blocks)])


def widened_near(posterior: Posterior, crystal: StructureLike, count: int = 100, seed: int = 0) -> Posterior:
    """`widened` by a crystal strained and disturbed by as much as its properties ask for.

    Strains of about 1 %, displacements of 0.02, 0.05 and 0.1 A, twelve of each, in cells of 16 atoms or more.
    """
    rng = np.random.default_rng(seed)
    crystal = Structure.of(crystal)
    cell = crystal.repeated((max(1, round((16.0 / len(crystal)) ** (1.0 / 3.0))),) * 3)
    structures = []
    for amplitude in np.repeat([0.02, 0.05, 0.1], 12):
        strain = 0.01 * rng.normal(size=(3, 3)) + rng.uniform(-0.015, 0.015) * np.eye(3)
        moved = cell.moved(cell.positions + amplitude * rng.normal(size=(len(cell), 3)))
        structures.append(moved.strained(0.5 * (strain + strain.T)))
    return widened(posterior, structures, count, seed)


def _new_points(readout, factor, vectors, count):
    """Points (m, d), and what their values add to the weights of old and new points: (M, m), (m, m)."""
    scale = float(readout.delta) ** 2
    mixed = np.asarray(readout.features(jnp.asarray(vectors), jnp.eye(len(vectors))))  # (N, M)
    half = np.asarray(linalg.solve_lower(factor, mixed.T))  # (M, N)
    left = scale * np.asarray(readout.kernel.diagonal(jnp.asarray(vectors))) - (half * half).sum(0)
    chosen, steps, largest = [], np.zeros((0, len(vectors))), left.max(initial=0.0)
    floor = max(_ENOUGH * largest, 1e-12 * scale)
    while len(chosen) < count and len(vectors) and left.max() > floor:
        k = int(left.argmax())
        column = scale * np.asarray(readout.kernel.matrix(jnp.asarray(vectors[k : k + 1]), jnp.asarray(vectors)))[0]
        column = column - half[:, k] @ half - steps[:, k] @ steps
        steps = np.concatenate([steps, (column / np.sqrt(left[k]))[None]])
        left = left - steps[-1] ** 2
        chosen.append(k)
    root = steps[:, chosen].T  # R_ZZ = root root^T, lower
    on_new = np.linalg.inv(root).T
    on_old = -np.asarray(linalg.solve_lower(factor, half[:, chosen] @ on_new, transposed=True))
    return vectors[chosen], on_old, on_new


def _with_points(term, points):
    readout = term.readout
    weights = readout.point_weights
    return term.replace(readout=readout.replace(
        points=jnp.concatenate([readout.points, jnp.asarray(points)]),
        weights=jnp.concatenate([readout.weights, jnp.zeros(len(points))]),
        point_weights=None if weights is None else jnp.concatenate([weights, jnp.ones(len(points))]),
    ))

"""How uncertain energies, forces and stresses are: the variance of a posterior, by its parts."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import checked_neighbors, prepare_padded
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import pytree
from jaxpot.core.structure import Structure
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.data.predictions import KINDS
from jaxpot.fitting.linear.rows import design_rows
from jaxpot.observables import Evaluation, evaluate
from jaxpot.potentials.committee import averaged_members
from jaxpot.potentials.described import leaves_residual
from jaxpot.potentials.posterior import Posterior, check_posterior
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.typing import StructureLike
from jaxpot.uncertainty.inflation import Inflation
from jaxpot.uncertainty.linear_terms import (
    can_be_widened,
    inverse_factor,
    refuse_single,
    site_features,
    uncertain_terms,
)
from jaxpot.uncertainty.residual import rows_and_residuals

_ROUNDING = 1e-12  # of the largest share
_FEW = 8  # directions that are propagated one by one: for a committee of 4 twice as fast as rows of the design matrix


@pytree
class Deviations:
    """Standard deviations, an `Evaluation` for each part and for their sums: result of `std`.

    parametric: of the parameters, given the data. residual: of what the sparse points cannot represent, the prior's
    where data are far (zero where features represent all that the prior allows). noise: of labels about the
    potential, as the fit took it where a frame gives none of its own: sqrt(N) sigma for the energy of N atoms (zero for
    kinds that were not fitted). With the factors of the posterior's calibration, if it has one: see `Inflation`.
    """

    parametric: Evaluation
    residual: Evaluation
    noise: Evaluation

    @property
    def epistemic(self) -> Evaluation:
        """Of the energy surface: parametric and residual."""
        return _together(self.parametric, self.residual)

    @property
    def total(self) -> Evaluation:
        """Of a label: all three."""
        return _together(self.parametric, self.residual, self.noise)


def std(posterior: Posterior, structure: StructureLike) -> Deviations:
    """Standard deviations of the energy, the site energies, each force and stress component.

    For a quantity q = a . w that is linear in the weights, those of a sparse Gaussian process with covariance k,

        parametric^2 = a C C^T a^T,  residual^2 = L_q L'_q k(x, x') - a (K_MM + jitter)^-1 a^T,

    L_q being what makes q of the process (a sum over atoms, a derivative by a position or a strain): together the
    variance of the deterministic training conditional. Forces and stresses have residuals, too, and their bars grow
    away from all data as those of energies do. Other linear models have the parametric part, and so have other
    posteriors, by forward-mode derivatives.

    On the host, not under jit. Costs, for n atoms: the rows of the design matrix, 3 n M R multiply-adds for the
    parametric and 3 n M^2 / 2 for the residual part of the forces.

    Args:
        posterior: `Posterior`.
        structure: `Structure` or `ase.Atoms`; double precision.

    Returns:
        `Deviations`; stresses are NaN unless the structure is periodic along all axes.

    Raises:
        DataError: no posterior.
        PrecisionError: single precision.

    References:
        J. Quinonero-Candela, C. E. Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005), equation 20.
    """
    check_posterior(posterior)
    n, (_, structure, neighbors) = prepare_padded(posterior.potential, structure, None)
    refuse_single(structure)
    return padded_std(posterior, structure, neighbors, n)


def std_many(
    posterior: Posterior, structures: Sequence[StructureLike], progress: Callable[..., None] | None = None
) -> list[Deviations]:
    """`std` of many structures, with few programs: a list, in the order given.

    Args:
        posterior: `Posterior`.
        structures: `Structure`s or `ase.Atoms`.
        progress: called with (number done, all).
    """
    check_posterior(posterior)
    given, potential = [Structure.of(s) for s in structures], posterior.potential
    for structure in given:
        refuse_single(structure)
        checked_neighbors(potential, structure)
    found = []
    for structure, ready in zip(
        given, prepare_frames(given, potential.cutoff, inner_cutoffs(potential)), strict=True
    ):
        found.append(padded_std(posterior, *ready, len(structure)))
        if progress:
            progress(len(found), len(given))
    return found


def padded_std(posterior: Posterior, structure: Structure, neighbors: Neighbors, n: int) -> Deviations:
    """`std` of the first n atoms of a padded structure with its list."""
    return _deviations(*padded_variances(posterior, structure, neighbors), posterior, structure, n)


def padded_variances(
    posterior: Posterior, structure: Structure, neighbors: Neighbors
) -> tuple[Evaluation, Evaluation | None]:
    """Variances of a padded structure by the parameters and by the residual, before any factor of a calibration.

    Returns:
        Two `Evaluation`s, eV^2 and so on; None for the second where there is no residual.
    """
    pairs = uncertain_terms(posterior)
    averaged = _averaged(posterior, pairs)
    if averaged is not None:
        return jax.tree.map(_square_sum, _spread_of_members(*averaged, structure, neighbors)), None
    few = posterior.factor.shape[1] <= _FEW and not can_be_widened(posterior)
    if pairs is None or few:
        return jax.tree.map(_square_sum, _spread_of_any(posterior, structure, neighbors)), None
    rows, residuals = [], []
    for term, jitter in pairs:
        if leaves_residual(term):
            row, residual = rows_and_residuals(term, inverse_factor(term.readout, jitter), structure, neighbors)
            residuals.append(residual)
        else:
            row = _rows_of(term, structure, neighbors)
        rows.append(row)
    parametric = _variances_of(tuple(rows), posterior.factor)
    if not residuals:
        return parametric, None
    return parametric, jax.tree.map(lambda *parts: posterior.inflation**2 * sum(map(np.asarray, parts)), *residuals)


def _averaged(posterior, pairs):
    """The networks that a potential averages, as a `Committee`, and the factor (M, R) of their shares.

    None where something else is uncertain, or the shares of a network are not the same for all elements.
    """
    averaged = averaged_members(posterior.potential)
    if not pairs or averaged is None or averaged[1] != posterior.mask:
        return None
    shares = np.asarray(posterior.factor).reshape(len(pairs), -1, posterior.factor.shape[1])
    # Where they do not add up to zero, what the members share would enter.
    if (shares != shares[0]).any() or np.abs(shares[0].sum(0)).max() > _ROUNDING * np.abs(shares).max():
        return None
    return averaged[0], shares[0]


def _rows_of(term, structure, neighbors):
    """Rows of the design matrix of one term, an `Evaluation` with the weights behind."""
    rows = design_rows(term, structure, neighbors)
    return Evaluation(rows.energy, site_features((term,), structure, neighbors), rows.forces, rows.stress)


def _deviations(parametric, residual, posterior, structure, n):
    """`Deviations` of variances of padded arrays."""
    def stripped(found):
        energies, forces = np.asarray(found.energies)[:n], np.asarray(found.forces)[:n]
        return Evaluation(float(found.energy), energies, forces, np.asarray(found.stress))

    parametric = stripped(parametric)
    residual = jax.tree.map(np.zeros_like, parametric) if residual is None else stripped(residual)
    sigma = {kind: float(posterior.sigmas.get(kind, 0.0)) ** 2 for kind in KINDS}
    noise = Evaluation(
        n * sigma["energy"], np.full(n, sigma["energy"]), np.full((n, 3), sigma["forces"]),
        np.full((3, 3), sigma["stress"] if all(structure.pbc) else np.nan),
    )
    labels = {kind: float(np.asarray(posterior.calibration.get(kind, (1.0, 1.0)))[1]) for kind in KINDS}
    aleatoric = Evaluation(labels["energy"], labels["energy"], labels["forces"], labels["stress"])
    bars = jax.tree.map(lambda *parts: np.sqrt(sum(parts)), parametric, residual)
    epistemic = _factors(Inflation.of(posterior), bars)

    def scaled(variances, factors):
        return jax.tree.map(lambda v, f: f * np.sqrt(v), variances, factors)

    return Deviations(scaled(parametric, epistemic), scaled(residual, epistemic), scaled(noise, aleatoric))


def _factors(inflation, bars):
    """Factors of epistemic deviations, an `Evaluation`."""
    n = len(bars.energies)
    away = inflation.away(bars.energy, n)

    def ratio(inflated, bar):
        return inflated / np.where(bar > 0.0, bar, 1.0)

    return Evaluation(
        float(ratio(inflation.energy(bars.energy, bars.energies.sum(), n), bars.energy)),
        inflation.factors.get("energy", 1.0), ratio(inflation.others("forces", bars.forces, away), bars.forces),
        ratio(inflation.others("stress", bars.stress, away), bars.stress),
    )


def _together(*parts):
    return jax.tree.map(lambda *own: np.sqrt(sum(np.square(a) for a in own)), *parts)


@jax.jit
def _variances_of(rows, factor):
    return jax.tree.map(lambda *parts: _square_sum(jnp.tensordot(jnp.concatenate(parts, -1), factor, 1)), *rows)


def _square_sum(array):
    return jnp.sum(array * array, axis=-1)


@jax.jit
def _spread_of_members(committee, shares, structure, neighbors):
    """`_spread_of_any` of what is linear in the shares of members: what these have in common is computed once."""
    def spread(members):
        return jnp.tensordot(members - jnp.mean(members, axis=0), shares, axes=(0, 0))

    return jax.tree.map(spread, evaluate(committee, structure, neighbors))


@jax.jit
def _spread_of_any(posterior, structure, neighbors):
    """Derivatives of an `Evaluation` by z, an axis (R,) behind each array."""
    def along(direction):
        return jax.jvp(
            lambda z: evaluate(posterior.at(z), structure, neighbors),
            (jnp.zeros(posterior.factor.shape[1]),), (direction,),
        )[1]

    found = jax.lax.map(along, jnp.eye(posterior.factor.shape[1]))
    return jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1), found)

"""Signals that need no fit: how far outside of what it was trained on a model is asked to work."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import prepare_padded
from jaxpot.core.pytree import pytree, static
from jaxpot.core.structure import Structure
from jaxpot.data.descriptor_vectors import vectors_of
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, terms_of
from jaxpot.potentials.described import is_graded, leaves_residual
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.typing import StructureLike
from jaxpot.uncertainty.linear_terms import site_features

_RANK = 1e-6  # of the largest singular value: smaller ones are rounding and are left out
_SETTLED = 1.02  # the largest grade of a training environment when the exchange ends


@pytree
class ActiveSet:
    """The training environments that span the largest volume of site features, and what grades others by them.

    potential: with terms that are linear in weights. basis (M, r): the features' principal directions; inverse
    (r, r): of the features of the active environments in them. places: (frame, atom) of each.
    """

    potential: Potential
    basis: jax.Array
    inverse: jax.Array
    places: tuple = static(default=())

    @classmethod
    def of(
        cls, potential: Potential, structures: Sequence[StructureLike], progress: Callable[..., None] | None = None
    ) -> "ActiveSet":
        """Choose the active environments of training structures by MaxVol.

        Args:
            potential: a GAP, a linear model, networks (the last layer counts), an expansion of embedded densities (a
                linear one of the same components counts), or a sum that contains one. Energies of elements and
                parameters that the energy is not linear in, such as the radial coefficients of moment tensors, do not
                count; in MLIP they do.
            structures: those it was fitted to.
            progress: called with a sentence.

        Raises:
            DataError: no term that is linear in weights, or no structures.
        """
        terms, given = _terms(potential), [Structure.of(s) for s in structures]
        if not terms or not given:
            raise DataError(
                "an active set needs a potential with a term that is linear in its weights (a GAP, a linear model, "
                f"networks), and structures; got {potential!r} and {len(given)} structures"
            )
        parts, places = [], []
        for k, (structure, neighbors) in enumerate(
            prepare_frames(given, potential.cutoff, inner_cutoffs(potential))
        ):
            n = len(given[k])
            parts.append(np.asarray(site_features(terms, structure, neighbors))[:n])
            places += [(k, atom) for atom in range(n)]
            if progress and k % 20 == 19:
                progress(f"environments of {k + 1} of {len(given)} structures")
        rows = np.concatenate(parts)
        _, size, directions = np.linalg.svd(rows, full_matrices=False)
        basis = directions[size > _RANK * size[0]].T
        chosen = _max_volume(rows @ basis)
        inverse = np.linalg.inv(rows[chosen] @ basis)
        return cls(potential, jnp.asarray(basis), jnp.asarray(inverse), tuple(places[i] for i in chosen))

    def grades(self, structure: StructureLike) -> np.ndarray:
        """Extrapolation grade of each atom, (n,): up to 1 within what the active environments span.

        gamma = max_j |(b A^-1)_j|, b the features of the atom, A those of the active environments

        References:
            E. V. Podryabinkin, A. V. Shapeev, Comput. Mater. Sci. 140, 171 (2017), equation 9.
            S. A. Goreinov et al., How to find a good submatrix, in Matrix Methods: Theory, Algorithms, Applications
            (2010).
        """
        n, (_, structure, neighbors) = prepare_padded(self.potential, structure, None)
        rows = site_features(_terms(self.potential), structure, neighbors)
        return np.asarray(jnp.max(jnp.abs(rows @ self.basis @ self.inverse), axis=1))[:n]

    def distances(self, structure: StructureLike) -> np.ndarray:
        """Distance of each atom to the nearest sparse point in the space of the kernel, (n,), without unit.

        d^2 = min_s [k(x, x) + k(s, s) - 2 k(x, s)], of the terms with one vector an atom that of the nearest

        Raises:
            DataError: no Gaussian process with one vector an atom.
        """
        terms = tuple(term for term in _terms(self.potential) if leaves_residual(term) and term.one_vector)
        if not terms:
            raise DataError("a distance to sparse points needs a descriptor with one vector an atom (SOAP)")
        n, (_, structure, neighbors) = prepare_padded(self.potential, structure, None)
        return np.asarray(_distances(terms, structure, neighbors))[:n]


def _terms(potential):
    if not isinstance(potential, Potential):
        raise DataError(f"expected a jaxpot potential as the first argument, got {type(potential).__name__}")
    return tuple(term for term in terms_of(potential) if is_graded(term))


@jax.jit
def _distances(terms, structure, neighbors):
    best = jnp.full(len(structure), jnp.inf)
    for term in terms:
        vectors, weights = vectors_of(term.descriptor, structure, neighbors)
        kernel, points = term.readout.kernel, term.readout.points
        x = vectors[:, 0]
        square = kernel.diagonal(x) + jnp.min(kernel.diagonal(points)[None] - 2.0 * kernel.matrix(x, points), axis=1)
        found = jnp.sqrt(jnp.maximum(square, 0.0))
        best = best.at[neighbors.centers].min(jnp.where(weights[:, 0] != 0.0, found, jnp.inf))
    return best


def _max_volume(rows):
    """Indices of r of the rows (N, r) that span nearly the largest volume: no other would enlarge it by 2 %."""
    left, chosen = rows.copy(), []
    for _ in range(rows.shape[1]):
        k = int(np.argmax((left * left).sum(1)))
        chosen.append(k)
        unit = left[k] / np.linalg.norm(left[k])
        left -= np.outer(left @ unit, unit)
    chosen = np.array(chosen)
    shares = rows @ np.linalg.inv(rows[chosen])
    while True:  # each exchange enlarges the volume by 2 % or more: it ends
        row, column = np.unravel_index(np.argmax(np.abs(shares)), shares.shape)
        if abs(shares[row, column]) <= _SETTLED:
            return chosen
        change = shares[row].copy()
        change[column] -= 1.0
        shares -= np.outer(shares[:, column], change / shares[row, column])
        chosen[column] = row

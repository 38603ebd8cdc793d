"""Radial functions of moment tensors that fit the data: the one thing of an MTP that its energy is not linear in.

The rows of a fit that is linear in the weights get further columns, derivatives of the energy by the coefficients of the
radial functions. Least squares of all of them are one step of Gauss and Newton, whose sums are those of any other fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.graph import Environment, species_index
from jaxpot.core.pytree import pytree
from jaxpot.data.dataset import Dataset
from jaxpot.data.descriptor_vectors import vectors_of
from jaxpot.data.padded_frames import Prepared
from jaxpot.data.targets import Sigmas, fit_targets
from jaxpot.descriptors.base import Descriptor
from jaxpot.descriptors.moment_tensors import MomentTensors
from jaxpot.fitting.linear import hyperparameters
from jaxpot.fitting.linear.accumulate import accumulate
from jaxpot.fitting.linear.moments import solution, weighted
from jaxpot.fitting.linear.recipe import REFINED, Recipe
from jaxpot.fitting.linear.terms import FeatureTerm, prior_factors, unfitted_potential
from jaxpot.potentials.base import Potential, Sum, summands
from jaxpot.readouts.linear import Linear
from jaxpot.typing import Array, ArrayField


@pytree
class RadialSlopes(Descriptor):
    """Derivatives of an energy that is linear in moment tensors by the coefficients of its radial functions: one vector.

    Args:
        moments: the moment tensors.
        coefficients: of their scalars, (d,) eV.
    """

    moments: MomentTensors
    coefficients: ArrayField

    one_vector = True
    cutoff = property(lambda self: self.moments.cutoff)
    species = property(lambda self: self.moments.species)
    smoothness = property(lambda self: self.moments.smoothness)
    dimension = property(lambda self: self.moments.radial.size)

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """The vector, (1, d) in the order of `radial`, and its weight, (1,)."""
        vector = jax.grad(lambda own: self._energy(environment, own))(self._own(environment))
        return self._whole(environment, vector.ravel())[None], jnp.ones(1, vector.dtype)

    def jacobian(self, environment: Environment) -> tuple[Array, Array, Array, Array, Array]:
        """As of every descriptor: coefficient by coefficient forwards, through the forces."""
        vector, weight = self.instances(environment)

        def pulls(own):
            return jax.grad(lambda x, y, z: self._energy(_moved(environment, x, y, z), own), argnums=(0, 1, 2))(
                environment.x, environment.y, environment.z
            )

        changes = jax.jacfwd(pulls)(self._own(environment))
        places = len(environment.x)
        change = jnp.stack([self._whole(environment, c.reshape(places, -1)) for c in changes], 1)
        return vector, weight, jnp.arange(places)[None], change[None], jnp.zeros((1, places, 3), change.dtype)

    def _own(self, environment):
        """Coefficients of the radial functions of this atom, (elements, functions, polynomials)."""
        own = species_index(self.moments.species, environment.number)
        return self.moments.radial.at[own].get(mode="promise_in_bounds")

    def _energy(self, environment, own):
        radial = jnp.broadcast_to(own, self.moments.radial.shape)
        return self.moments.replace(radial=radial).projected(environment, self.coefficients)

    def _whole(self, environment, values):
        """Derivatives by the coefficients of all elements: zero by those of other atoms."""
        count = len(self.moments.species)
        if count == 1:
            return values
        own = jnp.arange(count) == species_index(self.moments.species, environment.number)
        return (own[:, None] * values[..., None, :]).reshape(*values.shape[:-1], -1)


def _moved(environment, x, y, z):
    return environment.replace(x=x, y=y, z=z, distances=jnp.sqrt(x * x + y * y + z * z))


def refined(
    recipe: Recipe, dataset: Dataset, baseline: Potential | None = None, seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Recipe:
    """Recipe whose moment tensors have radial functions that fit a data set; as it is without any.

    Minimises sum_i (y_i - a_i(C) . w)^2 / sigma_i^2 + |w|^2 + |C - C_0|^2 / tau^2, with the best weights w for each C, by
    the method of Levenberg and Marquardt. C_0 are polynomials that are orthonormal over the distances that occur. Terms
    without sparse points take part with their a priori deltas; stresses do not.

    Args:
        recipe: of terms of which some are moment tensors.
        dataset, baseline: as for `fit_linear`.
        seed: of the choice of frames, of larger data sets.
        say: called with a sentence about what is being done.

    References:
        G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10, 413 (1973): variable projection; L. Kaufman, BIT 15, 49 (1975).
    """
    for k, table in enumerate(recipe.terms):
        if table["descriptor"] == "mtp" and REFINED not in table:
            recipe = _with_own_radial(recipe, k, dataset, baseline, seed, say)
    return recipe


def _with_own_radial(recipe, k, dataset, baseline, seed, say):
    def with_radial(term):
        term_table = recipe.terms[k] | {
            REFINED: np.asarray(term.descriptor.radial).tolist(), "scales": list(term.scales),
        }
        return replace(recipe, terms=(*recipe.terms[:k], term_table, *recipe.terms[k + 1 :]))

    seen = dataset[_some_frames(dataset, seed)]
    terms = [term for term in recipe.linear_terms(dataset) if not term.has_points]
    (own,) = (n for n, term in enumerate(terms) if term.name == f"term {k + 1}")
    potential = unfitted_potential(terms, seen, [], seed)
    prepared = Prepared.for_potential([frame.structure for frame in seen], potential)
    term = cast(FeatureTerm, terms[own])
    descent = _Descent(terms, own, seen, prepared, fit_targets(seen, baseline), replace(recipe.sigmas, stress=None))
    term = replace(term, scales=scales_of(cast(MomentTensors, term.descriptor), prepared))
    radial, before = descent.go(term, say)
    descriptor = cast(MomentTensors, term.descriptor).replace(radial=radial)
    return with_radial(replace(term, descriptor=descriptor, scales=scales_of(descriptor, prepared)))


def _some_frames(dataset, seed):
    """Frames with about as many atoms as a refinement needs."""
    order = np.random.default_rng(seed).permutation(len(dataset))
    atoms = np.cumsum([len(dataset[int(n)]) for n in order])
    return np.sort(order[: 1 + np.searchsorted(atoms, _MOST_ATOMS)])


def scales_of(descriptor: MomentTensors, prepared: Sequence) -> tuple[float, ...]:
    """One over the root mean square of each component over the atoms of some frames."""
    square, count = 0.0, 0
    for structure, neighbors in prepared[:: max(1, len(prepared) // _MOST_FRAMES)]:
        vectors, weights = map(np.asarray, vectors_of(descriptor, structure, neighbors))
        square, count = square + (weights[..., None] * vectors**2).sum((0, 1)), count + weights.sum()
    size = np.sqrt(square / count)
    return tuple(np.where(size > 0.0, 1.0 / np.where(size > 0.0, size, 1.0), 1.0).tolist())


class _Descent:
    def __init__(self, terms, own, dataset, prepared, targets, sigmas):
        self.terms, self.own = terms, own
        self.data = dataset, prepared, targets, sigmas

    def go(self, term, say):
        start = np.asarray(term.descriptor.radial)
        radial, weights = start, np.zeros(term.descriptor.dimension)
        damping, best = 1e-2, None
        for step in range(_MOST_STEPS):
            gram, cross, square = self._sums(replace(term, descriptor=term.descriptor.replace(radial=radial)), weights)
            width = len(cross) - radial.size
            off = (radial - start).ravel()
            linear = solution(gram[:width, :width], cross[:width]).mean
            loss = square - cross[:width] @ linear + off @ off / _PRIOR**2
            say(f"radial functions: step {step}, misfit {loss:.6g}")
            if step > 1 and loss > best[0]:
                damping *= 8.0
                if damping > 1e4:
                    break
            else:
                gain = np.inf if best is None else 1.0 - loss / best[0]
                best = loss, radial, gram, cross, linear
                damping = max(damping / 8.0, 1e-6)
                if gain < _WORTHWHILE and step > 1:
                    break
            _, radial, gram, cross, linear = best
            off = (radial - start).ravel()
            matrix, right = gram.copy(), cross.copy()
            diagonal = np.diag(gram)
            extra = np.concatenate([np.ones(width), 1.0 / _PRIOR**2 + damping * diagonal[width:]])
            right[width:] -= off / _PRIOR**2
            matrix[np.diag_indices(len(matrix))] += extra
            found = np.linalg.solve(matrix, right)
            radial = radial + found[width:].reshape(radial.shape)
            begin = sum(t.descriptor.dimension for t in self.terms[: self.own])
            weights = found[begin : begin + term.descriptor.dimension]
        return best[1], best[0]

    def _sums(self, term, weights):
        dataset, prepared, targets, sigmas = self.data
        terms = [term if n == self.own else other for n, other in enumerate(self.terms)]
        potential = unfitted_potential(terms, dataset, prepared)
        readout = terms[self.own].readout()
        slopes = FeatureTerm(RadialSlopes(term.descriptor, np.asarray(readout.delta) * weights), Linear)
        whole = Sum.or_one([*summands(potential), *summands(unfitted_potential([slopes], dataset, prepared))])
        moments = accumulate(whole, dataset, prepared, targets, sigmas, prior_factors(whole)[0])
        gram, cross = weighted(moments, dict.fromkeys(moments, 1.0))
        return np.asarray(gram), np.asarray(cross), sum(float(part.square) for part in moments.values())


_MOST_ATOMS = 4000
_MOST_FRAMES = 50
_MOST_STEPS = 30
_PRIOR = 10.0
_WORTHWHILE = 2e-3

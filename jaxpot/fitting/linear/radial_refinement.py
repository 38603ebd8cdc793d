"""Radial functions of moment tensors that fit the data: the one thing of an MTP that its energy is not linear in.

The rows of a fit that is linear in the weights get further columns, derivatives of the energy by the coefficients of
the radial functions. Least squares of all are one step of Gauss and Newton, whose sums are those of any other fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

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
from jaxpot.fitting.linear.accumulate import accumulate
from jaxpot.fitting.linear.kinds.mtp import REFINED, SCALES
from jaxpot.fitting.linear.moments import solution, weighted
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.linear.terms import FeatureTerm, prior_factors, without_points
from jaxpot.potentials.base import Potential
from jaxpot.readouts.linear import Linear
from jaxpot.typing import AnyArray, Array, ArrayField


@pytree
class RadialSlopes(Descriptor):
    """Derivatives of an energy, linear in moment tensors, by the coefficients of its radial functions: one vector.

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
        vector = jax.grad(lambda radial: self._energy(environment, radial))(self._of_atom(environment))
        return self._whole(environment, vector.ravel())[None], jnp.ones(1, vector.dtype)

    def jacobian(self, environment: Environment) -> tuple[Array, Array, Array, Array, Array]:
        """Vector and its derivatives by the neighbours, coefficient by coefficient forwards, through the forces."""
        vector, weight = self.instances(environment)

        def pulls(radial):
            return jax.grad(lambda x, y, z: self._energy(_moved(environment, x, y, z), radial), argnums=(0, 1, 2))(
                environment.x, environment.y, environment.z
            )

        changes = jax.jacfwd(pulls)(self._of_atom(environment))
        places = len(environment.x)
        change = jnp.stack([self._whole(environment, c.reshape(places, -1)) for c in changes], 1)
        return vector, weight, jnp.arange(places)[None], change[None], jnp.zeros((1, places, 3), change.dtype)

    def _of_atom(self, environment):
        """Coefficients of the radial functions of this atom, (elements, functions, polynomials)."""
        kind = species_index(self.moments.species, environment.number)
        return self.moments.radial.at[kind].get(mode="promise_in_bounds")

    def _energy(self, environment, of_atom):
        radial = jnp.broadcast_to(of_atom, self.moments.radial.shape)
        return self.moments.replace(radial=radial).projected(environment, self.coefficients)

    def _whole(self, environment, values):
        """Derivatives by the coefficients of all elements: zero by those of other atoms."""
        count = len(self.moments.species)
        if count == 1:
            return values
        is_kind = jnp.arange(count) == species_index(self.moments.species, environment.number)
        return (is_kind[:, None] * values[..., None, :]).reshape(*values.shape[:-1], -1)


def _moved(environment, x, y, z):
    return environment.replace(x=x, y=y, z=z, distances=jnp.sqrt(x * x + y * y + z * z))


def refined(
    recipe: Recipe, dataset: Dataset, baseline: Potential | None = None, seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Recipe:
    """Recipe whose moment tensors have radial functions that fit a data set; as it is without any.

    Minimises sum_i (y_i - a_i(C) . w)^2 / sigma_i^2 + |w|^2, with the best weights w for each C, by steps of Levenberg
    and Marquardt, as long as they pay, from polynomials that are orthonormal over the distances that occur. Higher
    levels have the radial functions of level 16, and further polynomials beyond these. Terms without sparse points take
    part with their a priori deltas; stresses do not.

    Args:
        recipe: of terms of which some are moment tensors.
        dataset, baseline: as for `fit_linear`; of large data sets some frames are enough for so few numbers.
        seed: of the choice of these.
        say: called with a sentence about what is being done.

    References:
        G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10, 413 (1973); L. Kaufman, BIT 15, 49 (1975): separable problems.
    """
    for k, table in enumerate(recipe.terms):
        if table["descriptor"] == "mtp" and REFINED not in table:
            begin = _with_table(recipe, k, {"level": min(table["level"], _LEVEL)})
            seen = _some_frames(dataset, seed)
            lower, whole = (_Problem.of(form, k, seen, baseline) for form in (begin, recipe))
            moments = whole.begin(_descended(lower, lower.begin(), say).radial)
            changes = {REFINED: np.asarray(moments.radial).tolist(), SCALES: list(scales_of(moments, whole.prepared))}
            recipe = _with_table(recipe, k, changes)
    return recipe


def _with_table(recipe, k, changes):
    return replace(recipe, terms=(*recipe.terms[:k], recipe.terms[k] | changes, *recipe.terms[k + 1 :]))


def _some_frames(dataset, seed):
    """Frames with about as many atoms as so few numbers ask for."""
    order = np.random.default_rng(seed).permutation(len(dataset))
    counts = np.cumsum([len(dataset[int(n)]) for n in order])
    some = dataset[np.sort(order[: 1 + np.searchsorted(counts, _ATOMS)])]
    return some if some.species == dataset.species else dataset


def scales_of(descriptor: MomentTensors, prepared: Sequence) -> tuple[float, ...]:
    """One over the root mean square of each component over the atoms of some frames, (d,)."""
    square, count = np.zeros(descriptor.dimension), 0.0
    for structure, neighbors in prepared[:: max(1, len(prepared) // _MOST_FRAMES)]:
        vectors, weights = map(np.asarray, vectors_of(descriptor, structure, neighbors))
        square, count = square + (weights[..., None] * vectors**2).sum((0, 1)), count + weights.sum()
    size = np.sqrt(square / count)
    return tuple((1.0 / np.where(size > 0.0, size, 1.0)).tolist())


class _Problem(NamedTuple):
    """Least squares of a data set by some terms, of which `number` is the one with moment tensors."""

    terms: list
    number: int
    dataset: Dataset
    prepared: Prepared
    targets: tuple
    sigmas: Sigmas

    @classmethod
    def of(cls, recipe, k, dataset, baseline):
        terms = [term for term in recipe.linear_terms(dataset) if not term.has_points]
        (number,) = (n for n, term in enumerate(terms) if term.name == f"term {k + 1}")
        prepared = Prepared.for_potential(
            [frame.structure for frame in dataset], without_points(terms, dataset.species)
        )
        sigmas = replace(recipe.sigmas, stress=None)
        return cls(terms, number, dataset, prepared, fit_targets(dataset, baseline), sigmas)

    def begin(self, first: AnyArray | None = None) -> MomentTensors:
        """Moment tensors before a fit; the first radial functions may be given."""
        descriptor = cast(MomentTensors, self.terms[self.number].descriptor)
        if first is None:
            return descriptor
        radial = np.array(descriptor.radial)
        radial[:, :, : first.shape[2]] = first
        return descriptor.replace(radial=radial)

    def columns(self) -> slice:
        """Columns of the weights of the moment tensors."""
        first = sum(term.descriptor.dimension for term in self.terms[: self.number])
        return slice(first, first + self.terms[self.number].descriptor.dimension)

    def sums(self, descriptor, scales, weights):
        """Gram matrix, cross products and sum of squares; with weights, the last columns are `RadialSlopes`."""
        term = replace(self.terms[self.number], descriptor=descriptor, scales=scales)
        terms = [*self.terms[: self.number], term, *self.terms[self.number + 1 :]]
        if weights is not None:
            coefficients = np.asarray(term.readout().delta) * weights
            terms.append(FeatureTerm(RadialSlopes(descriptor, coefficients), Linear))
        potential = without_points(terms, self.dataset.species)
        factors, _ = prior_factors(potential)
        moments = accumulate(potential, self.dataset, self.prepared, self.targets, self.sigmas, factors)
        return *weighted(moments, dict.fromkeys(moments, 1.0)), sum(float(part.square) for part in moments.values())


def _descended(problem, descriptor, say):
    """Moment tensors after as many steps as lower the misfit."""
    scales = scales_of(descriptor, problem.prepared)
    gram, cross, _ = problem.sums(descriptor, scales, None)
    weights, width, damping = solution(gram, cross).mean[problem.columns()], len(cross), _DAMPING
    best, lowest = None, []
    for step in range(_STEPS + 1):
        gram, cross, square = problem.sums(descriptor, scales, weights)
        misfit = square - cross[:width] @ solution(gram[:width, :width], cross[:width]).mean
        say(f"radial functions: {descriptor.dimension} scalars, step {step} of at most {_STEPS}, misfit {misfit:.5g}")
        if best is None or misfit < best[0]:
            best, damping = (misfit, descriptor, gram, cross), max(damping / _FACTOR, _LEAST)
        else:
            damping *= _FACTOR
        lowest.append(best[0])
        if step > _SPAN and lowest[-1] > (1.0 - _WORTHWHILE) * lowest[-1 - _SPAN]:
            break
        _, descriptor, gram, cross = best
        # What damps is a prior of the change, in units of what the rows know of each coefficient.
        spread = np.concatenate([np.ones(width), (damping * (1.0 + np.diag(gram)[width:])) ** -0.5])
        change = spread * solution(gram, cross, spread).mean
        weights = change[problem.columns()]
        radial = np.asarray(descriptor.radial) + change[width:].reshape(descriptor.radial.shape)
        descriptor = descriptor.replace(radial=radial)
    return best[1]


_LEVEL = 16  # highest whose moments are refined; radial functions of these serve higher ones as well
_STEPS, _ATOMS = 40, 2500
_SPAN, _WORTHWHILE = 8, 0.02  # steps that together lower the misfit by less than this share are the last
_DAMPING, _LEAST, _FACTOR = 4e-2, 1e-6, 4.0
_MOST_FRAMES = 50  # for the sizes of components

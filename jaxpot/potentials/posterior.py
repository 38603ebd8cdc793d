"""`Posterior`: a potential whose parameters are known only as well as data tell; and draws from it."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.numbers import as_whole
from jaxpot.core.precision import as_float
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.potentials.committee import Committee, mask_named, named_leaves, names_masked, stacked_axes
from jaxpot.typing import Array, ArrayField, ArrayLike, Number


@pytree
class Posterior(Node):
    """A Gaussian distribution of some of the parameters of a potential.

    theta = mean + factor @ z, z standard normal: the covariance of theta is factor factor^T.

    A fit makes one (`jp.fit(...).posterior`); `Posterior.of` makes one of a potential and a covariance.

    Args:
        potential: the potential at the mean.
        factor: (P, R); theta are the uncertain arrays, flattened, one after the other.
        sigmas: kind of label ("energy" in eV/atom, "forces" in eV/A, "stress" in eV/A^3) -> standard deviation of
            the labels about the best potential of this form.
        inflation: () what the residual of the prior is multiplied with, see `scaled`.
        calibration: what frames that were left out say of the bars (`jp.calibrate`): kind of label -> (2,), factors of
            its epistemic part and of its noise; "property" -> (), factor of draws and of bars of properties; "away" ->
            (4 + 2 L,), of structures away from the data, with L levels (`jaxpot.uncertainty.inflation`).
        ranges: what the training data cover: "volume_per_atom" -> (2,) A^3, the least and the most of their crystals;
            "site_deviation" -> (2,) eV, of familiar atoms (`jp.unfamiliar_atoms`), once calibrated.
        mask: for each array of the potential, in the order of `jax.tree.leaves`, whether it is uncertain.
        jitters: for each of the uncertain arrays that are the weights of a Gaussian process, the part of the mean
            variance of its sparse points that the fit has added to their covariance; None for others.
    """

    potential: Potential
    factor: ArrayField
    sigmas: dict
    inflation: ArrayField = 1.0  # type: ignore[assignment]  # an array, once made
    calibration: dict = field(default_factory=dict)
    ranges: dict = field(default_factory=dict)
    mask: tuple = static(default=())
    jitters: tuple = static(default=())

    former_fields = {"parameters": "mask"}  # of files

    @classmethod
    def upgraded(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fields of a file, where the mask may be names, and the rows of the factor in the order of these."""
        names, potential = values["mask"], values["potential"]
        mask = mask_named(potential, names)
        if names == mask:
            return values
        order = [names.index(name) for name in names_masked(potential, mask)]
        factor = _reordered(potential, names, order, values["factor"])
        return {**values, "mask": mask, "factor": factor, "jitters": tuple(values["jitters"][k] for k in order)}

    @classmethod
    def of(
        cls, potential: Potential, deviations: Mapping[str, ArrayLike], correlation: ArrayLike | None = None
    ) -> "Posterior":
        """A potential and how well its parameters are known.

        Args:
            potential: any potential.
            deviations: name of a parameter -> its standard deviation, a number or an array of its shape.
            correlation: (P, P) matrix between all of them, flattened one after the other; None: independent.

        Raises:
            DataError: a parameter that is not there, a wrong shape, negative deviations, or no correlation matrix.
        """
        leaves = named_leaves(potential)
        if not isinstance(deviations, Mapping) or not deviations:
            raise DataError("deviations: expected a dict from names of parameters to standard deviations")
        parts = []
        for name, given in deviations.items():
            if name not in leaves:
                raise DataError(f"there is no parameter {name!r}; {potential!r} has {', '.join(leaves)}")
            given, shape = np.asarray(as_float(given, f"deviation of {name}")), jnp.shape(leaves[name])
            if given.shape not in ((), shape) or (given < 0.0).any():
                raise DataError(f"deviation of {name}: expected {shape or 'a number'}, not negative, got {given}")
            parts.append(np.broadcast_to(given, shape).ravel())
        flat = np.concatenate(parts)
        factor = np.diag(flat)
        if correlation is not None:
            factor = flat[:, None] * _root(np.asarray(as_float(correlation, "correlation")), len(flat))
        names = list(deviations)
        mask = mask_named(potential, names)
        order = [names.index(name) for name in names_masked(potential, mask)]
        factor = _reordered(potential, names, order, jnp.asarray(factor))
        return cls(potential, factor, {}, mask=mask, jitters=(None,) * len(order))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the uncertain arrays, as `jaxpot.potentials.base.parameter_names` gives them."""
        return names_masked(self.potential, self.mask)

    @property
    def mean(self) -> Array:
        """The parameters at the mean, (P,)."""
        leaves = zip(jax.tree.leaves(self.potential), self.mask, strict=True)
        return jnp.concatenate([jnp.ravel(leaf) for leaf, uncertain in leaves if uncertain])

    def with_parameters(self, theta: Array) -> Potential:
        """The potential with other parameters, (P,)."""
        leaves, structure = jax.tree.flatten(self.potential)
        begin = 0
        for k, uncertain in enumerate(self.mask):
            if uncertain:
                size = jnp.size(leaves[k])
                leaves[k] = jnp.reshape(theta[begin : begin + size], jnp.shape(leaves[k]))
                begin += size
        return jax.tree.unflatten(structure, leaves)

    @property
    def property_factor(self) -> Number:
        """() what bars of properties are multiplied with: 1, or the calibration's."""
        return self.calibration.get("property", 1.0)

    def at(self, z: Array) -> Potential:
        """The potential at mean + factor @ z."""
        return self.with_parameters(self.mean + self.factor @ z)

    def scaled(self, number: Number) -> "Posterior":
        """The same with all that is uncertain about the potential, parameters and residual, times a number."""
        return self.replace(factor=self.factor * number, inflation=self.inflation * number)

    def sample(self, key: Any, count: int) -> Committee:
        """Draws: a `Committee` of potentials.

        Args:
            key: of `jax.random`, or a seed.
            count: how many.
        """
        count = as_whole(count, "count", 1, 10**6)
        key = jax.random.key(key) if isinstance(key, int) else key
        z = jax.random.normal(key, (count, self.factor.shape[1]), self.factor.dtype)
        draws = self.mean + self.property_factor * (z @ self.factor.T)
        axes = stacked_axes(self.potential, self.mask)
        return Committee(jax.vmap(self.with_parameters, out_axes=axes)(draws), self.mask)

    def __repr__(self) -> str:
        return f"Posterior of {self.factor.shape[0]} parameters of {self.potential!r}"


def check_posterior(value: Any) -> None:
    """Refuse what is no posterior."""
    if not isinstance(value, Posterior):
        raise DataError(f"expected a Posterior (jp.fit(...).posterior, jp.Posterior.of), got {type(value).__name__}")


def _reordered(potential, names, order, factor):
    """Rows of a factor of the arrays `names`, taken in another order of these."""
    leaves = named_leaves(potential)
    ends = np.cumsum([jnp.size(leaves[name]) for name in names])
    rows = [np.arange(ends[k] - jnp.size(leaves[names[k]]), ends[k]) for k in order]
    return factor[np.concatenate(rows)]


def _root(correlation, size):
    """A square root of a correlation matrix, (P, P)."""
    if correlation.shape != (size, size) or not np.allclose(correlation, correlation.T, atol=1e-10):
        raise DataError(f"correlation: expected a symmetric matrix ({size}, {size}), got {correlation.shape}")
    values, vectors = np.linalg.eigh(correlation)
    if not np.allclose(correlation.diagonal(), 1.0) or values[0] < -1e-10:
        raise DataError(
            "correlation: expected ones on the diagonal and no negative eigenvalue, got "
            f"{correlation.diagonal().min():.4g} to {correlation.diagonal().max():.4g} and {values[0]:.3g}"
        )
    return vectors * np.sqrt(np.maximum(values, 0.0))

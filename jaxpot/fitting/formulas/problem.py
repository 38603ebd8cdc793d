"""Objective of the fit of a formula: `Target`s, and labels and targets together as residuals with their derivatives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.data.predictions import KINDS
from jaxpot.errors import DataError, JaxpotError
from jaxpot.fitting.formulas.parameters import potential_at, remade
from jaxpot.fitting.formulas.residuals import residuals, without_constants
from jaxpot.potentials.base import Potential


@dataclass(frozen=True, eq=False)
class Target:
    """Measured number, or several, that a potential should reproduce.

    Adds ((function(potential) - value) / sigma)^2 to the cost, for each number.

    Args:
        name: for tables and messages.
        function: of a potential, to numbers () or (k,), differentiable by its parameters: properties of this package
            are, a relaxation before them included.
        value: what it should be, in the same units.
        sigma: which deviation counts as one; a number, or one for each.

    Silicon's lattice constant in A, and three elastic constants in GPa:

        def properties(potential):
            crystal = jp.relax(potential, bulk("Si"), cell=True).structure
            c = jp.elastic_constants(potential, crystal)
            return jnp.stack([(4.0 * crystal.volume) ** (1 / 3), *(k / jp.units.GPa for k in (c.c11, c.c12, c.c44))])

        jp.Target("a0 C11 C12 C44", properties, [5.431, 166.0, 64.0, 80.0], [0.005, 5.0, 5.0, 5.0])

    Raises:
        DataError: numbers that are not finite, a sigma that is not positive, or no function.
    """

    name: str
    function: Callable
    value: np.ndarray
    sigma: np.ndarray

    def __post_init__(self):
        if not callable(self.function):
            raise DataError(f"{self.name}: expected a function of a potential, got {self.function!r}")
        try:
            value, sigma = np.asarray(self.value, float), np.asarray(self.sigma, float)
            sigma = np.broadcast_to(sigma, value.shape)
        except (TypeError, ValueError) as error:
            raise DataError(f"{self.name}: value and sigma: expected numbers of one shape, got {self.value!r} and "
                            f"{self.sigma!r}") from error
        if not np.isfinite(value).all() or not value.size:
            raise DataError(f"{self.name}: value: expected finite numbers, got {self.value!r}")
        if not (np.isfinite(sigma) & (sigma > 0.0)).all():
            raise DataError(f"{self.name}: sigma: expected positive numbers, got {self.sigma!r}")
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "sigma", sigma)

    def residual(self, potential: Potential) -> jax.Array:
        """Deviations from the values in units of sigma, in a row."""
        value = self.function(potential)
        if jnp.shape(value) != self.value.shape:
            raise Misused(f"target {self.name}: the function returns numbers of shape {jnp.shape(value)}, the value "
                           f"is of shape {self.value.shape}")
        return jnp.ravel((value - self.value) / self.sigma)


class Misused(DataError):
    """Target that will not do for any parameters: no start is to blame."""


class Problem:
    """Residuals of labels and targets as functions of y, on the host; None where there are none, with the `reason`."""

    def __init__(self, parameters: Any, labels: Any, targets: Any) -> None:
        self.parameters, self.labels, self.targets = parameters, labels, targets
        self.reason = ""

    def residuals(self, y: jax.Array) -> np.ndarray | None:
        return self._complete(self._residuals(y))

    def cost(self, y: jax.Array) -> float:
        residuals = self.residuals(y)
        return np.inf if residuals is None else float(residuals @ residuals)

    def _residuals(self, y):
        try:
            potential = potential_at(self.parameters, y)
            remade(potential)
            parts = [] if self.labels is None else [np.asarray(_label_residuals(y, self.parameters, self.labels))]
            return [*parts, *(np.asarray(t.residual(potential)) for t in self.targets)]
        except Misused:
            raise
        except JaxpotError as error:
            self.reason = str(error)
            return None

    def jacobian(self, y: jax.Array) -> np.ndarray | None:
        """(N, P)."""
        try:
            parts = [] if self.labels is None else [np.asarray(_label_slopes(y, self.parameters, self.labels))]
            return self._complete([*parts, *(self._slopes(t, y) for t in self.targets)])
        except Misused:
            raise
        except JaxpotError as error:
            self.reason = str(error)
            return None

    def _slopes(self, target, y):
        try:
            _, push = jax.linearize(lambda y: target.residual(potential_at(self.parameters, y)), jnp.asarray(y))
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
            raise Misused(
                f"target {target.name}: the function cannot be differentiated: a number of it has become one of Python "
                "or NumPy on the way (float(...), np....); use jax.numpy"
            ) from error
        # Forwards, and one by one: the reverse pass through the derivatives of a property takes minutes to compile, and
        # under vmap every program that the function calls is compiled anew.
        slopes = np.stack([np.asarray(push(unit)) for unit in np.eye(len(y))], axis=1)
        if not slopes.any():
            raise Misused(f"target {target.name}: no derivative by any parameter that is free is other than zero: "
                           "the function must be one of its argument, differentiable on the way")
        return slopes

    def _complete(self, parts):
        """Parts below each other, all finite."""
        if parts is None:
            return None
        names = [*([] if self.labels is None else ["labels"]), *(f"target {t.name}" for t in self.targets)]
        for name, part in zip(names, parts, strict=True):
            if not np.isfinite(part).all():
                self.reason = f"{name}: not all numbers are finite"
                return None
        return np.concatenate(parts)

    def kinds(self) -> dict:
        """Kind -> (where its numbers are among the residuals, how many they are); those of targets last."""
        kinds, begin = {}, 0
        if self.labels is not None:
            slices, counts = self.labels.slices(), self.labels.counts()
            kinds, begin = {kind: (slices[kind], counts[kind]) for kind in counts}, slices[KINDS[-1]].stop
        return kinds | ({"targets": (slice(begin, None), 0)} if self.targets else {})

    def shares(self, residuals: np.ndarray) -> dict:
        """Kind -> part of the cost."""
        return {kind: float(np.sum(residuals[part] ** 2)) for kind, (part, _) in self.kinds().items()}


@jax.jit
def _label_residuals(y, parameters, labels):
    return without_constants(residuals(parameters.at(y), labels), labels)


@jax.jit
def _label_slopes(y, parameters, labels):
    return jax.jacfwd(_label_residuals)(y, parameters, labels)

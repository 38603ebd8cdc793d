"""A readout that embeds densities, each linear in the vectors of a descriptor: Finnis and Sinclair's form."""

import math

import jax
import jax.numpy as jnp

from jaxpot.basis.radial_bases import inner_fade
from jaxpot.core.graph import Environment
from jaxpot.core.numbers import as_number, as_positive
from jaxpot.core.precision import as_float, product
from jaxpot.core.pytree import put, pytree, static
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError
from jaxpot.readouts.base import Readout
from jaxpot.typing import ArrayField

FORMS = ("FinnisSinclair", "FinnisSinclairShiftedScaled")
_STEEP = 1e6  # of the form FinnisSinclair: below 1e-6 it is linear


@pytree
class EmbeddedDensities(Readout):
    """E = f(q) sum_p a_p F_p(rho_p) + q of densities rho_p = beta_p . x.

    FinnisSinclair has F = s ((1 - g) |rho|^m + w^(1 - m) g |rho|) with s the sign of rho, g = exp(-(w |rho|)^3) and
    w = 10^6; FinnisSinclairShiftedScaled F = s ((|rho| + u)^m - v) with u = m^(-1 / (m - 1)) e^-|rho| and
    v = m^(-m / (m - 1)) e^-|rho|; both are rho where m is 1. With a core, q is the last component of x and f a
    polynomial that falls from 1 to 0 between q_0 - d and q_0; otherwise q is 0 and f is 1.

    Args:
        weights: beta, (P, d).
        form: FinnisSinclair or FinnisSinclairShiftedScaled.
        factors, exponents: a_p in eV and m_p > 0, of each density.
        core: (q_0, d) in eV, or None.

    References:
        Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021), equations 3 and 4, and documentation of pacemaker.
    """

    weights: ArrayField
    form: str = static(default=FORMS[0])
    factors: tuple = static(default=(1.0,))
    exponents: tuple = static(default=(1.0,))
    core: tuple | None = static(default=None)

    def __post_init__(self) -> None:
        put(self, "weights", as_float(self.weights, "weights"))
        put(self, "factors", tuple(as_number(a, "factors") for a in self.factors))
        put(self, "exponents", tuple(as_positive(m, "exponents") for m in self.exponents))
        if self.form not in FORMS:
            raise DataError(f"form: expected {' or '.join(FORMS)}, got {self.form!r}")
        count = len(self.factors)
        if self.weights.ndim != 2 or len(self.exponents) != count or len(self.weights) != count:
            raise DataError(
                f"expected weights (P, d), P factors and P exponents, got {self.weights.shape}, {count} and "
                f"{len(self.exponents)}"
            )
        if self.core is not None:
            cut, width = self.core
            put(self, "core", (as_number(cut, "core"), as_positive(width, "core")))

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.weights.shape[1] + (self.core is not None)

    @property
    def smoothness(self) -> int:
        """Powers below 1 are smooth where the density is not zero; there, all but whole ones have few derivatives."""
        if self.form == FORMS[0] and any(m not in (1.0, 3.0, 5.0) for m in self.exponents):
            return 1 if all(m >= 1.0 for m in self.exponents) else 0
        return 1 if any(m != 1.0 for m in self.exponents) else 99

    @property
    def is_graded(self) -> bool:
        return True

    def grading(self, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        """The components that the densities are linear in, (d,): features of a linear expansion of the same terms.

        References:
            Y. Lysogorskiy, A. Bochkarev, M. Mrovec, R. Drautz, Phys. Rev. Mater. 7, 043801 (2023): grades of nonlinear
            expansions by the linear part.
        """
        return product(weights, vectors)[: self.weights.shape[1]]

    def energy(self, vectors: jax.Array, weights: jax.Array) -> jax.Array:
        """E of the weighted vector (1, d), (1,): () eV."""
        x = vectors[0]
        densities = product(self.weights, x[: self.weights.shape[1]])
        return weights[0] * self._embedded(densities, x[-1])

    def energy_of(self, descriptor: Descriptor, environment: Environment) -> jax.Array:
        if not descriptor.projects:
            return super().energy_of(descriptor, environment)
        projections = descriptor.projections(environment, self.weights)
        return descriptor.describes(environment.number) * self._embedded(projections, projections[-1])

    def _embedded(self, densities, core):
        """E of densities, and of the core where there is one."""
        embed = _steep_power if self.form == FORMS[0] else _shifted_power
        terms = [a * embed(densities[p], m) for p, (a, m) in enumerate(zip(self.factors, self.exponents, strict=True))]
        total = sum(terms[1:], start=terms[0])
        if self.core is not None:
            cut, width = self.core
            total = total * inner_fade(core, cut, width) + core
        return total


def _steep_power(density, exponent):
    """s |rho|^m, made linear below 1e-6."""
    if exponent == 1.0:
        return density
    size = jnp.abs(density)
    small = size * _STEEP < 30.0 ** (1.0 / 3.0)  # as PACE: beyond, g is dropped
    safe = jnp.where(size > 1e-10, size, 1.0)
    g = jnp.where(small, jnp.exp(-(jnp.where(small, safe, 0.0) * _STEEP) ** 3), 0.0)
    scale = _STEEP ** (1.0 - exponent)
    power = (1.0 - g) * safe**exponent + scale * g * safe
    return jnp.where(size > 1e-10, jnp.sign(density) * power, scale * density)


def _shifted_power(density, exponent):
    """s ((|rho| + u)^m - v)."""
    if abs(exponent - 1.0) < 1e-10:
        return density
    size = jnp.abs(density)
    decay = jnp.exp(-size)
    inverse = 1.0 / exponent
    u = math.pow(inverse, inverse / (1.0 - inverse)) * decay
    v = math.pow(inverse, 1.0 / (1.0 - inverse)) * decay
    return jnp.where(density < 0.0, -1.0, 1.0) * ((u + size) ** exponent - v)

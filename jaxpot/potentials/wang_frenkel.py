"""The potential of Wang, Ramirez-Hinestrosa, Dobnikar and Frenkel."""

import jax.numpy as jnp

from jaxpot.basis.cutoffs import inside
from jaxpot.core.graph import Environment
from jaxpot.core.numbers import as_whole
from jaxpot.core.precision import concrete
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.pair_ends import Pairs, put_pairs
from jaxpot.potentials.parameters import check_positive
from jaxpot.typing import Array, ArrayField


@pytree
class WangFrenkel(Pairs):
    """Wang-Ramirez-Hinestrosa-Dobnikar-Frenkel pairs: like Lennard-Jones, but they end by themselves.

    E = sum over pairs with r < rc of v(r),
    v(r) = epsilon alpha [(sigma/r)^(2 mu) - 1] [(rc/r)^(2 mu) - 1]^(2 nu)
    alpha = 2 nu (rc/sigma)^(2 mu) [(1 + 2 nu) / (2 nu ((rc/sigma)^(2 mu) - 1))]^(2 nu + 1)

    The depth of the well is epsilon, and v is zero at sigma. At rc the first 2 nu - 1 derivatives vanish.

    Args:
        epsilon: eV. A number serves every element; an (S, S) symmetric array goes with `species`; a dict holds
            pairs, {("Ar", "Kr"): ...}.
        sigma: A, given like epsilon.
        rc: A, where the pair ends, above sigma; given like epsilon. 2 sigma makes it similar to Lennard-Jones,
            1.2 sigma suits colloids.
        nu, mu: static whole numbers.
        species: elements of the rows of the arrays; by default every element, or those of the dicts.
        cutoff: A; found from rc whenever that is known, and kept when it is traced.

    References:
        X. Wang, S. Ramirez-Hinestrosa, J. Dobnikar, D. Frenkel, Phys. Chem. Chem. Phys. 22, 10624 (2020).
        LAMMPS: `pair_style wf/cut`.
    """

    epsilon: ArrayField
    sigma: ArrayField
    rc: ArrayField
    nu: int = static(default=1)
    mu: int = static(default=1)
    species: tuple | None = static(default=None)
    cutoff: float = static(default=None)

    def __post_init__(self):
        for name in ("nu", "mu"):
            object.__setattr__(self, name, as_whole(getattr(self, name), name, 1, 100))
        put_pairs(self, ("epsilon", "sigma", "rc"))
        check_positive(self.sigma, "sigma", "A")
        sigma, rc = concrete(self.sigma), concrete(self.rc)
        if sigma is not None and rc is not None and not (rc > sigma).all():
            raise DataError(f"rc must lie above sigma, got {rc} and {sigma} A")
        if rc is not None:
            object.__setattr__(self, "cutoff", float(rc.max()))
        if self.cutoff is None:
            raise DataError("cutoff: rc is traced here, so that the cutoff cannot be found: give `cutoff`")

    @property
    def smoothness(self) -> int:
        return 2 * self.nu - 1

    def extent(self) -> float | Array:
        """The longest range of a pair, () A."""
        return jnp.max(self.rc)

    def site_energy(self, environment: Environment) -> Array:
        """Half the energy of the atom's pairs, () eV."""
        epsilon, sigma, rc = self.of_pairs(environment, "epsilon", "sigma", "rc")
        mask, r = inside(environment.distances, rc)
        two_mu, two_nu = 2 * self.mu, 2 * self.nu
        ratio = (rc / sigma) ** two_mu
        alpha = two_nu * ratio * ((1 + two_nu) / (two_nu * (ratio - 1.0))) ** (two_nu + 1)
        pair = epsilon * alpha * ((sigma / r) ** two_mu - 1.0) * ((rc / r) ** two_mu - 1.0) ** two_nu
        return 0.5 * jnp.sum(jnp.where(mask, pair, 0.0))

"""Second derivatives of the energy as targets of a fit: Hessians times displacements, and curvatures under strain."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import checked_neighbors
from jaxpot.core import linalg
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.numbers import as_number, as_positive
from jaxpot.core.structure import Structure
from jaxpot.data.padded_frames import prepare_frames
from jaxpot.errors import DataError, GeometryError
from jaxpot.fitting.linear.hyperparameters import ALWAYS
from jaxpot.fitting.linear.moments import Accumulator, Moments
from jaxpot.fitting.linear.rows import design_rows
from jaxpot.fitting.linear.stress_offsets import offset_factor
from jaxpot.observables import energy, hessian_vector_product
from jaxpot.potentials.base import Potential
from jaxpot.potentials.terms import inner_cutoffs
from jaxpot.typing import AnyArray


@dataclass(frozen=True, eq=False)
class HessianProduct:
    """Target sum_jb d2E/(dr_ia dr_jb) u_jb = p_ia.

    Linear in the weights as forces are: its rows are the exact derivative of theirs along u. The difference of the
    forces at +-h u is the same target with an error of h^2.

    Args:
        structure: `Structure` or `ase.Atoms`.
        vector: u, (n, 3) A.
        product: p, (n, 3) eV/A.
        sigma: standard deviation of the components of p, eV/A.
    """

    structure: Structure
    vector: np.ndarray
    product: np.ndarray
    sigma: float

    kind = "hessian"

    def __post_init__(self) -> None:
        object.__setattr__(self, "structure", Structure.of(self.structure))
        for name in ("vector", "product"):
            value = np.asarray(getattr(self, name), float)
            if value.shape != (len(self.structure), 3) or not np.isfinite(value).all():
                raise DataError(f"{name}: expected finite numbers ({len(self.structure)}, 3), got {value.shape}")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "sigma", as_positive(self.sigma, "sigma", "a positive number in eV/A"))

    def rows(self, potential: Potential, structure: Structure, neighbors: Neighbors) -> np.ndarray:
        """Rows (3 n, M) of a padded structure."""
        vector = np.zeros(structure.positions.shape)
        vector[: len(self.structure)] = self.vector
        changes = np.asarray(_force_changes(potential, structure, neighbors, vector))[: len(self.structure)]
        return -changes.reshape(self.vector.size, -1)

    def baseline(self, potential: Potential) -> np.ndarray:
        """Contribution of a potential that is not fitted, (3 n,)."""
        return np.asarray(hessian_vector_product(potential, self.structure, self.vector)).reshape(-1)

    def beside(self, potential: Potential | None) -> np.ndarray:
        """The product (n, 3) that is left beside a potential that is not fitted."""
        return self.product if potential is None else self.product - self.baseline(potential).reshape(-1, 3)

    @property
    def target(self) -> np.ndarray:
        """(3 n,)."""
        return self.product.reshape(-1)


@dataclass(frozen=True, eq=False)
class StrainCurvature:
    """Target d2E/(ds dt) = c of the energy after r -> r (1 + s a + t b), atoms following the strain.

    At a structure without stress, c / V is the elastic constant of the two strains with clamped ions.

    Args:
        structure: periodic along three axes.
        first, second: a and b, symmetric (3, 3).
        value: c, eV.
        sigma: eV.
    """

    structure: Structure
    first: np.ndarray
    second: np.ndarray
    value: float
    sigma: float

    kind = "strain"

    def __post_init__(self) -> None:
        object.__setattr__(self, "structure", Structure.of(self.structure))
        if not all(self.structure.pbc):
            raise GeometryError(f"a strain needs a crystal, periodic along all axes; got pbc={self.structure.pbc}")
        for name in ("first", "second"):
            value = np.asarray(getattr(self, name), float)
            if value.shape != (3, 3) or not np.allclose(value, value.T):
                raise DataError(f"{name}: expected a symmetric strain (3, 3), got {value.tolist()}")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "value", as_number(self.value, "value", "an energy in eV"))
        object.__setattr__(self, "sigma", as_positive(self.sigma, "sigma", "a positive energy in eV"))

    def rows(self, potential: Potential, structure: Structure, neighbors: Neighbors) -> np.ndarray:
        """One row (1, M)."""
        return np.asarray(_strain_row(potential, structure, neighbors, self.first, self.second))[None]

    def baseline(self, potential: Potential) -> np.ndarray:
        """Contribution of a potential that is not fitted, (1,)."""
        neighbors = checked_neighbors(potential, self.structure)
        return np.asarray(_strain_curvature(potential, self.structure, neighbors, self.first, self.second))[None]

    @property
    def target(self) -> np.ndarray:
        """(1,)."""
        return np.array([self.value])


def check_curvatures(curvatures: Sequence) -> None:
    """Refuse anything that is no such target.

    Raises:
        DataError: says what it is.
    """
    for target in curvatures:
        if not isinstance(target, HessianProduct | StrainCurvature):
            raise DataError(f"curvatures: expected HessianProduct or StrainCurvature, got {type(target).__name__}")


def curvature_moments(
    potential: Potential, curvatures: Sequence[HessianProduct | StrainCurvature], factors: Sequence[AnyArray],
    baseline: Potential | None = None, offsets: Sequence[str] = (),
) -> dict[tuple, Moments]:
    """Moments of curvatures as targets, (kind, ALWAYS) -> `Moments`; what the baseline contributes is taken off.

    The last columns, those of stress offsets, are zero.
    """
    prepared = prepare_frames([c.structure for c in curvatures], potential.cutoff, inner_cutoffs(potential))
    accumulator = Accumulator([*factors, offset_factor(offsets)] if offsets else factors)
    for curvature, ready in zip(curvatures, prepared, strict=True):
        rest = curvature.target if baseline is None else curvature.target - curvature.baseline(baseline)
        rows = np.pad(curvature.rows(potential, *ready), ((0, 0), (0, len(offsets))))
        accumulator.add((curvature.kind, ALWAYS), rows, rest, curvature.sigma)
    return accumulator.finish()


@jax.jit
def _force_changes(potential, structure, neighbors, vector):
    def forces(positions):
        return design_rows(potential, structure.moved(positions), neighbors).forces

    return jax.jvp(forces, (structure.positions,), (vector,))[1]


@jax.jit
def _strain_curvature(potential, structure, neighbors, first, second):
    def value(s, t):
        return energy(potential, structure.strained(s * first + t * second), neighbors)

    return jax.jacfwd(jax.grad(value), argnums=1)(0.0, 0.0)


@jax.jit
def _strain_row(potential, structure, neighbors, first, second):
    def slope(s):
        """dE/dt at t = 0: stress and volume of the crystal strained by s a, times b in its own coordinates."""
        strained = structure.strained(s * first)
        along = linalg.solve(jnp.eye(3) + s * first, second)
        stress = design_rows(potential, strained, neighbors).stress
        return strained.volume * jnp.einsum("ab,abm->m", along, stress)

    return jax.jvp(slope, (0.0,), (1.0,))[1]

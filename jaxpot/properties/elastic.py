"""Elastic constants: second derivatives of the energy by strain, ions relaxed."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.hermitian import eigh
from jaxpot.core import linalg
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential
from jaxpot.properties.coordinates import (
    VOIGT,
    internal_response,
    require_stable,
    voigt_basis,
)
from jaxpot.properties.crystal_axes import INDEPENDENT, CrystalAxes, crystal_axes
from jaxpot.properties.second_order import route
from jaxpot.typing import Array, ArrayLike, StructureLike

CONVENTIONS = ("birch", "brugger", "energy")


def _constant(i, j):
    return property(lambda self: self.voigt[i - 1, j - 1], doc=f"C_{i}{j} in the axes of `voigt`.")


@pytree
class ElasticConstants(Node):
    """Stiffness matrix and what follows from it; all eV/A^3 (divide by `units.GPa`).

    voigt: (6, 6), order xx yy zz yz xz xy, engineering shear strains, in the Cartesian axes of the structure.
    stress: (3, 3) Cauchy stress at which they were taken.
    rotation: (3, 3) the axes X, Y, Z of ANSI/IEEE Std 176-1987 as rows, in the axes of `voigt`.
    axes: `CrystalAxes`, from which the rotation follows.
    convention: which second derivative this is under stress (see `elastic_constants`).

    c11, c12, ... c66 are entries of `voigt`; those of tables are `independent`, or entries of `standard`.
    """

    voigt: jax.Array
    stress: jax.Array
    rotation: jax.Array
    axes: CrystalAxes = static()
    convention: str = static(default="birch")
    relaxed: bool = static(default=True)

    c11, c12, c13, c14, c15, c16 = (_constant(1, j) for j in range(1, 7))
    c22, c23, c24, c25, c26 = (_constant(2, j) for j in range(2, 7))
    c33, c34, c35, c36 = (_constant(3, j) for j in range(3, 7))
    c44, c45, c46 = (_constant(4, j) for j in range(4, 7))
    c55, c56 = (_constant(5, j) for j in range(5, 7))
    c66 = _constant(6, 6)

    @property
    def laue_class(self) -> str:
        """International symbol of the Laue class, "-3m"."""
        return self.axes.laue_class

    @property
    def standard(self) -> "ElasticConstants":
        """The same constants in the axes of ANSI/IEEE Std 176-1987, whatever those of the file are.

        C'_ijkl = R_ip R_jq R_kr R_ls C_pqrs,  R the `rotation`
        """
        return self.replace(
            voigt=rotated_stiffness(self.voigt, self.rotation),
            stress=self.rotation @ self.stress @ self.rotation.T,
            rotation=jnp.eye(3, dtype=self.rotation.dtype),
        )

    @property
    def independent(self) -> dict[str, jax.Array]:
        """The constants that symmetry leaves independent by name, in the standard axes: {"c11": (), ...} eV/A^3."""
        standard = self.standard
        return {name: getattr(standard, name) for name in INDEPENDENT[self.laue_class]}

    @property
    def compliance(self) -> Array:
        """Inverse of the stiffness, (6, 6) A^3/eV."""
        return linalg.inverse(self.voigt)

    @property
    def bulk_voigt(self) -> Array:
        """Voigt average: uniform strain."""
        return jnp.sum(self.voigt[:3, :3]) / 9.0

    @property
    def bulk_reuss(self) -> Array:
        """Reuss average: uniform stress (the bulk modulus of the single crystal under hydrostatic pressure)."""
        return 1.0 / jnp.sum(self.compliance[:3, :3])

    @property
    def bulk_hill(self) -> Array:
        return 0.5 * (self.bulk_voigt + self.bulk_reuss)

    @property
    def shear_voigt(self) -> Array:
        c = self.voigt
        normal = c[0, 0] + c[1, 1] + c[2, 2] - c[0, 1] - c[0, 2] - c[1, 2]
        return (normal + 3.0 * (c[3, 3] + c[4, 4] + c[5, 5])) / 15.0

    @property
    def shear_reuss(self) -> Array:
        s = self.compliance
        normal = s[0, 0] + s[1, 1] + s[2, 2] - s[0, 1] - s[0, 2] - s[1, 2]
        return 15.0 / (4.0 * normal + 3.0 * (s[3, 3] + s[4, 4] + s[5, 5]))

    @property
    def shear_hill(self) -> Array:
        return 0.5 * (self.shear_voigt + self.shear_reuss)

    @property
    def young(self) -> Array:
        """Young's modulus of the isotropic polycrystal (Hill)."""
        k, g = self.bulk_hill, self.shear_hill
        return 9.0 * k * g / (3.0 * k + g)

    @property
    def poisson(self) -> Array:
        """Poisson's ratio of the isotropic polycrystal (Hill)."""
        k, g = self.bulk_hill, self.shear_hill
        return (3.0 * k - 2.0 * g) / (6.0 * k + 2.0 * g)

    @property
    def eigenvalues(self) -> Array:
        """(6,) eigenvalues of the symmetrised stiffness in Mandel's (orthonormal) form; all positive where stable."""
        weight = jnp.sqrt(jnp.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0], self.voigt.dtype))
        mandel = self.voigt * weight[:, None] * weight[None, :]
        return eigh(0.5 * (mandel + mandel.T))[0]

    @property
    def stable(self) -> Array:
        """() bool, Born's criterion: every homogeneous strain costs energy."""
        return self.eigenvalues[0] > 0

    def young_along(self, direction: ArrayLike) -> Array:
        """Young's modulus along a direction (3,): 1 / S'_11."""
        d = jnp.asarray(direction, self.voigt.dtype)
        d = d / jnp.linalg.norm(d)
        s = jnp.stack([d[i] * d[j] for i, j in VOIGT])
        return 1.0 / (s @ self.compliance @ s)

    def plot(self) -> Any:
        """A matplotlib figure: the stiffness and Young's modulus by direction."""
        from jaxpot.report.elastic_plots import plot_elastic

        return plot_elastic(self)


def elastic_constants(
    potential: Potential,
    structure: StructureLike,
    relaxed: bool = True,
    convention: str = "birch",
    axes: CrystalAxes | None = None,
) -> ElasticConstants:
    """Elastic constants from exact second derivatives of the energy; ions follow the strain.

    C = (1/V) [ d2E/dn dn - L^T K^+ L ],  K = d2E/du du,  L = d2E/du dn

    with n the Lagrangian strain (Brugger) and u the internal displacements. Under a stress s the answer
    depends on what is asked, so conventions are named (they agree at zero stress):

    - "birch" (Wallace): B_ijkl = C_ijkl + (s_il d_jk + s_jl d_ik + s_ik d_jl + s_jk d_il) / 2 - s_ij d_kl,
      the change of the Cauchy stress with strain, which finite strains measure and stability asks for.
      Not symmetric (ij <-> kl) unless the stress is hydrostatic.
    - "brugger": C itself, the thermodynamic constants.
    - "energy": (1/V) d2E/de de with the symmetric small strain e of r -> r (1 + e).

    Args:
        potential, structure: a crystal whose forces vanish (see `relax`).
        relaxed: False clamps the ions.
        convention: as above.
        axes: what `crystal_axes` says of this crystal, by default found here. Give those of one crystal for all of its
            strained copies, so that a length that overtakes another does not exchange names.

    Returns:
        `ElasticConstants`, differentiable with respect to the potential: the matrix in the axes of the structure, and
        the independent constants of the Laue class in those of ANSI/IEEE Std 176-1987.

    Raises:
        ConvergenceError: the ions are not at a minimum, so that no relaxed constants exist.

    References:
        D. C. Wallace, Thermoelasticity of stressed materials and comparison of various elastic constants,
        Phys. Rev. 162, 776 (1967), equations 2.24 and 2.36.
        G. Grimvall, B. Magyari-Koepe, V. Ozolins, K. A. Persson, Rev. Mod. Phys. 84, 945 (2012).
    """
    if convention not in CONVENTIONS:
        raise DataError(f"convention {convention!r} is not known; expected one of {', '.join(CONVENTIONS)}")
    # Second derivatives of sites are a program of their own: the longest to compile, it serves phonons as well.
    structure, way = route(potential, structure, what="a stiffness")
    second = way.at(potential, structure)
    if relaxed:
        second.warn_unrelaxed("elastic constants are")
    basis = jnp.asarray(voigt_basis(), structure.cell.dtype)
    blocks = second.blocks(basis, quadratic=convention != "energy")
    voigt, stress = _constants(structure, blocks, basis, relaxed, convention)
    if relaxed and len(structure) > 1:
        require_stable(blocks.internal, "the arrangement of the ions")
    axes = crystal_axes(structure) if axes is None else axes
    rotation = axes.rotation(structure.cell)
    return ElasticConstants(voigt, stress, rotation, axes=axes, convention=convention, relaxed=relaxed)


def rotated_stiffness(voigt: jax.Array, rotation: jax.Array) -> jax.Array:
    """A stiffness matrix in other axes, C'_ijkl = R_ip R_jq R_kr R_ls C_pqrs.

    Args:
        voigt: (6, 6), symmetric or not.
        rotation: (3, 3) the new axes as rows.

    Returns:
        (6, 6).
    """
    position = np.zeros((3, 3), int)
    for k, (i, j) in enumerate(VOIGT):
        position[i, j] = position[j, i] = k
    tensor = voigt[position[:, :, None, None], position[None, None]]
    return _in_voigt_order(jnp.einsum("ip,jq,kr,ls,pqrs->ijkl", *[rotation] * 4, tensor, precision="highest"))


@partial(jax.jit, static_argnames=("relaxed", "convention"))
def _constants(structure, blocks, basis, relaxed, convention):
    weight = jnp.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0], basis.dtype)[:, None, None]
    stress = jnp.einsum("k,kij->ij", blocks.slope, basis * weight) / structure.volume
    stiffness = blocks.by_strain
    if relaxed and len(structure) > 1:
        stiffness = stiffness + blocks.coupling.T @ internal_response(blocks.internal, blocks.coupling)
    voigt = stiffness / structure.volume
    voigt = voigt + _stress_terms(stress) if convention == "birch" else 0.5 * (voigt + voigt.T)
    return voigt, stress


def _stress_terms(stress):
    """Wallace's terms that turn Brugger's constants into the derivative of the Cauchy stress, (6, 6)."""
    d = jnp.eye(3, dtype=stress.dtype)
    swap = jnp.einsum("il,jk->ijkl", stress, d) + jnp.einsum("jl,ik->ijkl", stress, d)
    swap = swap + jnp.einsum("ik,jl->ijkl", stress, d) + jnp.einsum("jk,il->ijkl", stress, d)
    return _in_voigt_order(0.5 * swap - jnp.einsum("ij,kl->ijkl", stress, d))


def _in_voigt_order(tensor):
    """(3, 3, 3, 3) -> (6, 6)."""
    first, second = np.array(VOIGT).T
    return tensor[first[:, None], second[:, None], first[None, :], second[None, :]]

"""How uncertain any number is that follows from a potential: J Sigma J^T with J by automatic differentiation."""

import math
import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.pytree import pytree
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotWarning
from jaxpot.potentials.posterior import Posterior, check_posterior
from jaxpot.properties.coordinates import deform, symmetric_coordinates
from jaxpot.properties.second_order import expander
from jaxpot.typing import PyTree, StructureLike

_FEW = 8  # directions in which derivatives are taken forwards
_BOND = 2.0  # A, about the length of a bond in what has no volume
_STEP = 1e-3  # strain, or displacement over length of a bond, of the differences by the shape of the crystal


@pytree
class Propagated:
    """A property, and how it depends on what is uncertain.

    value: the tree of arrays that the function returned; slopes: the same tree, each array with an axis (R,) behind,
    derivatives by the standard normal numbers z of the posterior.
    """

    value: object
    slopes: object

    @property
    def std(self) -> PyTree:
        """Standard deviations, a tree like `value`; NaN where the value is."""
        return jax.tree.map(lambda s: jnp.sqrt(jnp.sum(s * s, axis=-1)), self.slopes)

    @property
    def variance(self) -> PyTree:
        """Variances, a tree like `value`."""
        return jax.tree.map(lambda s: jnp.sum(s * s, axis=-1), self.slopes)

    def covariance(self, other: "Propagated | None" = None) -> np.ndarray:
        """Covariances with another property of the same posterior (or with itself), (K, L), all numbers in a row."""
        first, second = slope_rows(self.slopes), slope_rows((self if other is None else other).slopes)
        if first.shape[1] != second.shape[1]:
            raise DataError("these two were propagated from different posteriors")
        return first @ second.T


def propagate(
    posterior: Posterior, function: Callable, structure: StructureLike | None = None,
    response: np.ndarray | None = None
) -> Propagated:
    """A property at the mean of a posterior, and its derivatives by what is uncertain: to first order its covariance.

    cov(a, b) = f^2 J_a factor factor^T J_b^T,  J = dq/dtheta

    with f the posterior's calibrated factor for properties, or 1.

    Without a structure, J is the derivative of `function(potential)`, whatever that does, a relaxation included: by few
    z forwards, else backwards. With one, `function(potential, structure)` is a property of a structure at its minimum,
    which moves with the parameters:

        dq/dtheta = (dq/dtheta)_x + dq/dx dx/dtheta,   dx/dtheta = -(d2E/dx dx)^-1 d2E/dx dtheta

    with x the strains and displacements that keep the symmetry; of molecules and slabs displacements alone, the cell is
    held. dx/dtheta is exact; dq/dx, a few numbers, comes from
    central differences in x. That saves the reverse pass through the next higher derivative of the energy, whose
    program takes minutes to compile, and third derivatives, which rough potentials (GAP) do not have.

    Args:
        posterior: `Posterior`.
        function: to any tree of real arrays. NaN where a number does not exist (a Grueneisen parameter of an acoustic
            mode at Gamma): its deviation is NaN, too.
        structure: at the minimum for the mean, a crystal cell and all (`relax(..., cell=True)`).
        response: what `shape_response` returns for it, where several properties are propagated.

    Returns:
        `Propagated`.

    Raises:
        DataError: no posterior; a function without floating numbers.

    References:
        G. Imbalzano et al., J. Chem. Phys. 154, 074102 (2021); the linearised propagation of errors.
    """
    check_posterior(posterior)
    if structure is None:
        value, by_z = _jacobian(posterior, function)
    else:
        structure = Structure.of(structure)
        response = shape_response(posterior, structure) if response is None else response
        value, by_z = _jacobian(posterior, function, structure)
        if len(response):  # an atom has no shape
            by_z = by_z + _by_shape(posterior, function, structure) @ response
    arrays, form = jax.tree.flatten(value)
    slopes, begin = [], 0
    by_z = by_z * float(posterior.property_factor)
    for array in arrays:
        size = int(np.size(array))
        slopes.append(jnp.asarray(by_z[begin : begin + size].reshape(*jnp.shape(array), -1)))
        begin += size
    return Propagated(value, jax.tree.unflatten(form, slopes))


def _jacobian(posterior, function, *args):
    """The value, and its derivatives by z, (K, R); NaN where the value is.

    By a few z forwards, which keeps nothing of the computation: of models of several hops, which take too much memory
    otherwise, by as many as there are numbers. By more backwards, from each number.
    """
    def in_a_row(potential):
        value = function(potential, *args)
        if not all(jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in jax.tree.leaves(value)):
            raise DataError("the function to propagate must return real floating numbers only")
        rows = [jnp.ravel(leaf) for leaf in jax.tree.leaves(value)]
        if not rows:
            raise DataError("the function to propagate returned no numbers")
        return jnp.concatenate(rows), value

    forwards = goes_forwards(posterior, math.inf) and _forwards(posterior, in_a_row)
    row, by_z, value = forwards or _backwards(posterior, in_a_row)
    by_z[~np.isfinite(np.asarray(row))] = np.nan
    return jax.tree.map(jax.lax.stop_gradient, value), by_z


def goes_forwards(posterior: Posterior, numbers: float) -> bool:
    """Whether derivatives of so many numbers are taken forwards, by each z, instead of backwards, from each number."""
    count = posterior.factor.shape[1]
    return 0 < count and (count <= _FEW or (not posterior.potential.local and count <= numbers))


def _forwards(posterior, in_a_row):
    """The numbers, their derivatives and the value; None where these numbers are taken backwards."""
    columns = []
    for unit in np.eye(posterior.factor.shape[1]):
        row, column, value = jax.jvp(lambda z: in_a_row(posterior.at(z)), (np.zeros(len(unit)),), (unit,), has_aux=True)
        if not goes_forwards(posterior, len(row)):
            return None
        columns.append(np.asarray(column))
    return row, np.stack(columns, axis=1), value


def _backwards(posterior, in_a_row):
    row, pull, value = jax.vjp(
        lambda theta: in_a_row(posterior.with_parameters(theta)), posterior.mean, has_aux=True
    )
    unit, slopes = np.zeros(len(row)), np.zeros((len(row), posterior.factor.shape[0]))
    for k in np.flatnonzero(np.isfinite(np.asarray(row))):
        # One by one: under vmap every program that the function calls is traced and compiled anew.
        unit[k] = 1.0
        slopes[k] = np.asarray(pull(unit)[0])
        unit[k] = 0.0
    return row, slopes @ np.asarray(posterior.factor), value


def shape_response(posterior: Posterior, structure: Structure) -> np.ndarray:
    """Derivatives dx/dz of the coordinates that keep a crystal's symmetry: (strains + moves, R)."""
    strains, moves = map(jnp.asarray, symmetric_coordinates(structure, posterior.potential.mirrors))
    potential = posterior.potential
    expand = expander(potential, structure)

    def blocks(potential):
        return _shape_blocks(expand(potential), strains, moves)

    stiffness = np.asarray(blocks(potential)[1])
    _, by_z = _jacobian(posterior, lambda potential: blocks(potential)[0])
    return -np.linalg.solve(stiffness, by_z)


@jax.jit
def _shape_blocks(second, strains, moves):
    """Gradient and second derivatives of the energy by strains and moves."""
    blocks = second.blocks(strains)
    flat = moves.reshape(len(moves), 3 * len(second.structure))
    mixed = flat @ blocks.coupling
    second = jnp.block([[blocks.by_strain, mixed.T], [mixed, flat @ blocks.internal @ flat.T]])
    return jnp.concatenate([blocks.slope, flat @ blocks.pull]), second


def _by_shape(posterior, function, structure):
    """dq/dx by central differences, (K, strains + moves)."""
    strains, moves = symmetric_coordinates(structure, posterior.potential.mirrors)
    length = float(structure.volume / len(structure)) ** (1.0 / 3.0) if all(structure.pbc) else _BOND
    columns = []
    for strain, move in [(s, 0.0 * structure.positions) for s in strains] + [(np.zeros((3, 3)), m) for m in moves]:
        step = _STEP * (length if not strain.any() else 1.0)
        rows = []
        for sign in (1.0, -1.0):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", JaxpotWarning)  # said once, of the crystal itself
                there = function(posterior.potential, deform(structure, sign * step * strain, sign * step * move))
            rows.append(flat(there))
        columns.append((rows[0] - rows[1]) / (2.0 * step))
    return np.stack(columns, axis=1)


def flat(tree: PyTree) -> np.ndarray:
    """All numbers of a tree in a row."""
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(tree)])


def slope_rows(slopes: PyTree) -> np.ndarray:
    """Slopes of `Propagated`, (K, R), numbers in the order of `flat`."""
    leaves = jax.tree.leaves(slopes)
    return np.concatenate([np.asarray(leaf).reshape(-1, leaf.shape[-1]) for leaf in leaves])

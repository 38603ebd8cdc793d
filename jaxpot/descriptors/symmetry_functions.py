"""Behler's atom-centred symmetry functions."""

import math
from collections.abc import Sequence
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis import fades
from jaxpot.core.elements import atomic_number, symbol
from jaxpot.core.graph import Environment
from jaxpot.core.numbers import as_length, as_number, as_positive, as_whole
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors.base import Descriptor
from jaxpot.descriptors.pair_sums import PairSums, pair_sums
from jaxpot.errors import DataError
from jaxpot.typing import Array


class Radial(NamedTuple):
    """G = sum_j exp(-eta (r_j - shift)^2) f(r_j) over the neighbours of an element (None: all).

    eta in 1/A^2, shift and cutoff in A. weighted: each neighbour counts with its atomic number.
    """

    eta: float
    shift: float
    cutoff: float
    element: int | str | None = None
    weighted: bool = False

    def __str__(self) -> str:
        return f"radial(eta={self.eta:g}, shift={self.shift:g}, cutoff={self.cutoff:g}, {_named(self.element)})"


class Angular(NamedTuple):
    """G = 2^(1 - zeta) sum_{j < k} (1 + lambda cos theta)^zeta exp(-eta q) f(r_j) f(r_k) [f(r_jk)].

    q = (r_j - shift)^2 + (r_k - shift)^2 [+ (r_jk - shift)^2], over pairs of neighbours of two elements (None: all);
    what is in brackets is there in narrow functions only. eta in 1/A^2, shift and cutoff in A. weighted: each neighbour
    counts with its atomic number.
    """

    eta: float
    zeta: float
    sign: float
    cutoff: float
    shift: float = 0.0
    elements: tuple | None = None
    narrow: bool = True
    weighted: bool = False

    def __str__(self) -> str:
        kind = "narrow" if self.narrow else "wide"
        elements = "all" if self.elements is None else "-".join(map(_named, self.elements))
        return (
            f"{kind} angular(eta={self.eta:g}, zeta={self.zeta:g}, lambda={self.sign:g}, shift={self.shift:g}, "
            f"cutoff={self.cutoff:g}, {elements})"
        )


@pytree
class SymmetryFunctions(Descriptor):
    """A vector of symmetry functions, one for each `Radial` and `Angular`, in the order given.

    Args:
        functions: `Radial` and `Angular`.
        fade: name of the cutoff function f (see `jaxpot.basis.fades`), 0 beyond the cutoff.
        inner: radius below which f is 1, as a part of the cutoff.
        centers: elements of the atoms that are described; None: all.

    Raises:
        DataError: no functions, or numbers that have no meaning.

    References:
        J. Behler, Atom-centered symmetry functions for constructing high-dimensional neural network potentials, J.
        Chem. Phys. 134, 074106 (2011), equations 6, 8 and 9; M. Gastegger et al., J. Chem. Phys. 148, 241709 (2018),
        for weights. Conventions by comparison with n2p2.
    """

    functions: tuple = static()
    fade: str = static(default="cosine")
    inner: float = static(default=0.0)
    centers: tuple | None = static(default=None)

    one_vector = True

    def __post_init__(self):
        if self.fade not in fades.SMOOTHNESS:
            raise DataError(f"fade: expected one of {', '.join(fades.SMOOTHNESS)}, got {self.fade!r}")
        inner = as_number(self.inner, "inner", "a part of the cutoff, from 0 to below 1")
        if not 0.0 <= inner < 1.0:
            raise DataError(f"inner: expected a part of the cutoff, from 0 to below 1, got {inner:g}")
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "functions", tuple(map(_checked, self.functions)))
        if not self.functions:
            raise DataError("functions: expected at least one")
        if self.centers is not None:
            object.__setattr__(self, "centers", tuple(atomic_number(z) for z in self.centers))

    @classmethod
    def upgraded(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fields of a file, where functions are plain tuples."""
        kinds = {len(kind._fields): kind for kind in (Radial, Angular)}
        return {**values, "functions": tuple(kinds[len(function)](*function) for function in values["functions"])}

    @classmethod
    def automatic(
        cls,
        species: Sequence[str | int] | None,
        cutoff: float,
        radial: int = 10,
        angular: int = 3,
        center: str | int | None = None,
        nearest: float | None = None,
        fade: str = "poly2",
    ) -> Self:
        """A set that covers the distances at which atoms are.

        For each element `radial` functions on shells at equal distances D from `nearest` on, eta = 1 / D^2; for each
        two elements narrow functions about the centre with eta = (n^(m / n) / cutoff)^2, m = 0 to n - 1, n = `angular`,
        zeta 1, 4 and 16, and lambda -1 and 1.

        Shells where no atom is would be zero but for an atom that is too near, and that they would see as nothing else
        does: networks trained on them do not know what to make of it.

        Args:
            species: elements of the neighbours; None for one that is not named.
            cutoff: A.
            radial, angular: how many of each kind.
            center: element of the atoms described; None: all.
            nearest: A, the shortest distance between atoms that is common; a quarter of the cutoff by default.
            fade: cutoff function.

        References:
            M. Gastegger et al., J. Chem. Phys. 148, 241709 (2018), for shells; G. Imbalzano et al., J. Chem. Phys. 148,
            241730 (2018), equations 7 and 10, for widths and eta.
        """
        cutoff = as_length(cutoff, "cutoff")
        nearest = 0.25 * cutoff if nearest is None else as_length(nearest, "nearest")
        if nearest >= cutoff:
            raise DataError(f"nearest ({nearest:g} A) must lie below the cutoff ({cutoff:g} A)")
        radial, angular = as_whole(radial, "radial", 1, 100), as_whole(angular, "angular", 0, 100)
        elements = (None,) if species is None else tuple(atomic_number(z) for z in species)
        width = (cutoff - nearest) / radial
        etas = [(angular ** (m / angular) / cutoff) ** 2 for m in range(angular)]
        found: list[Radial | Angular] = [
            Radial(1.0 / width**2, nearest + k * width, cutoff, element) for element in elements for k in range(radial)
        ]
        for k, one in enumerate(elements):
            for two in elements[k:]:
                found += [
                    Angular(eta, zeta, sign, cutoff, 0.0, None if one is None else (one, two))
                    for eta in etas for zeta in (1.0, 4.0, 16.0) for sign in (-1.0, 1.0)
                ]
        return cls(tuple(found), fade, centers=None if center is None else (center,))

    @property
    def cutoff(self) -> float:
        """The longest of all, A."""
        return max(_record(f).cutoff for f in self.functions)

    @property
    def species(self) -> tuple[int, ...] | None:
        named = {z for f in self.functions for z in _elements(_record(f))}
        return None if None in named else tuple(sorted(named))

    @property
    def smoothness(self) -> int:
        zetas = [f.zeta for f in map(_record, self.functions) if isinstance(f, Angular)]
        rough = [math.ceil(zeta) - 1 for zeta in zetas if not float(zeta).is_integer()]
        return min([fades.SMOOTHNESS[self.fade], *rough])

    @property
    def kinks(self) -> tuple[float, ...] | None:
        found = {r for f in self.functions for r in fades.kinks(self.fade, _record(f).cutoff, self.inner)}
        return tuple(sorted(found))

    @property
    def dimension(self) -> int:
        return len(self.functions)

    @property
    def chunk_elements(self) -> int:
        """Neighbours in a chunk: all pairs of those of one atom are stored, so few atoms fill the cache."""
        return 768 if any(isinstance(_record(f), Angular) for f in self.functions) else 4096

    def instances(self, environment: Environment) -> tuple[Array, Array]:
        """The one vector of an environment, (1, d), and its weight (1,)."""
        # Each weight once: what comes back to it is added up before it goes through the cutoff function.
        plan, weight = self._plan(), cache(partial(self._weight, environment))
        parts = [_radial(environment, weight, *group) for group in plan.radial]
        parts += [_angular(environment, weight, *group) for group in plan.angular]
        vector = jnp.concatenate(parts)[np.array(plan.order)]
        return vector[None], jnp.asarray(self.describes(environment.number), vector.dtype)[None]

    def jacobian(self, environment: Environment) -> tuple[Array, Array, Array, Array, Array]:
        """Jacobian of any `Descriptor`, here by one reverse pass for each function: they are fewer than neighbours."""

        def vector(x, y, z):
            distances = jnp.sqrt(x * x + y * y + z * z)
            vectors, weights = self.instances(environment.replace(x=x, y=y, z=z, distances=distances))
            return vectors[0], weights

        found, pull, weights = jax.vjp(vector, environment.x, environment.y, environment.z, has_aux=True)
        # One after the other: all at once (vmap), each would compute the matrices of all pairs anew, ten times as slow.
        changes = jax.lax.map(pull, jnp.eye(len(found), dtype=found.dtype))  # (d, K) each
        vectors, changes = found[None], jnp.stack([change.T for change in changes], axis=1)[None]
        places = jnp.arange(len(environment.x))[None]
        return vectors, weights, places, changes, jnp.zeros_like(changes[..., 0])

    def _weight(self, environment, cutoff, element, weighted):
        """f of the neighbours of an element, (K,), times their atomic numbers if they are asked for."""
        found = fades.fade(self.fade, environment.distances**2, cutoff, self.inner)
        if element is not None:
            found = jnp.where(environment.numbers == element, found, 0.0)
        return found * environment.numbers if weighted else found

    def _plan(self):
        return _plan(self.functions, self.fade, self.inner)

    def __repr__(self) -> str:
        return f"SymmetryFunctions({self.dimension}, cutoff={self.cutoff:g} A)"


def _radial(environment, weight, cutoff, element, weighted, shapes):
    r = environment.distances[:, None]
    etas, shifts = np.array(shapes).T.astype(r.dtype)
    return jnp.matmul(weight(cutoff, element, weighted), jnp.exp(-etas * (r - shifts) ** 2), precision="highest")


def _angular(environment, weight, what, cutoff, elements, weighted):
    inverse = 1.0 / environment.distances
    units = jnp.stack([environment.x, environment.y, environment.z]) * inverse
    first, second = (weight(cutoff, element, weighted) for element in elements)
    return pair_sums(what, units, environment.distances, first, second).ravel()


class _Plan(NamedTuple):
    """Groups of functions that are computed together, and the place of each function in them."""

    radial: tuple
    angular: tuple
    order: tuple


@lru_cache(maxsize=256)
def _plan(functions, fade, inner):
    radial, angular = {}, {}
    for k, function in enumerate(map(_record, functions)):
        if isinstance(function, Radial):
            key = (function.cutoff, function.element, function.weighted)
            radial.setdefault(key, []).append((k, (function.eta, function.shift)))
        else:
            key = (function.cutoff, _elements(function), function.weighted, function.narrow)
            factors = (function.eta, function.shift), (function.zeta, function.sign)
            angular.setdefault(key, []).append((k, *factors))
    place, order, groups = 0, {}, []
    for key, members in radial.items():
        order.update({k: place + n for n, (k, _) in enumerate(members)})
        place += len(members)
        groups.append((*key, tuple(shape for _, shape in members)))
    products = []
    for (cutoff, elements, weighted, narrow), members in angular.items():
        first = list(dict.fromkeys(a for _, a, _ in members))
        second = list(dict.fromkeys(b for _, _, b in members))
        order.update({k: place + first.index(a) * len(second) + second.index(b) for k, a, b in members})
        place += len(first) * len(second)
        what = PairSums(narrow, elements[0] == elements[1], (fade, cutoff, inner), tuple(first), tuple(second))
        products.append((what, cutoff, elements, weighted))
    return _Plan(tuple(groups), tuple(products), tuple(order[k] for k in range(len(functions))))


def _record(function):
    """A function as it was given: files know plain tuples only."""
    kind = Radial if len(function) == len(Radial._fields) else Angular
    return function if isinstance(function, kind) else kind(*function)


def _checked(function):
    if not isinstance(function, Radial | Angular):
        raise DataError(f"functions: expected Radial and Angular, got {function!r}")
    if as_number(function.eta, "eta") < 0.0:
        raise DataError(f"eta: expected a number that is not negative, 1/A^2, got {function.eta:g}")
    changes = {
        "eta": float(function.eta), "shift": as_number(function.shift, "shift", "a length in A"),
        "cutoff": as_length(function.cutoff, "cutoff"), "weighted": bool(function.weighted),
    }
    if isinstance(function, Radial):
        return function._replace(**changes, element=_number(function.element))
    sign, zeta = as_number(function.sign, "sign (lambda)"), as_positive(function.zeta, "zeta")
    if abs(sign) > 1.0:
        raise DataError(f"sign (lambda): expected a number from -1 to 1, got {sign:g}")
    if zeta < 1.0:
        raise DataError(f"zeta: expected a number from 1 on, got {zeta:g}: forces would be infinite")
    elements = function.elements
    if elements is not None:
        if isinstance(elements, str) or len(elements) != 2:
            raise DataError(f"elements: expected two, or None for all, got {elements!r}")
        elements = tuple(sorted(atomic_number(z) for z in elements))
    return function._replace(**changes, zeta=zeta, sign=sign, elements=elements, narrow=bool(function.narrow))


def _elements(function):
    """Elements of the neighbours, None for all."""
    if isinstance(function, Radial):
        return (function.element,)
    return (None, None) if function.elements is None else function.elements


def _number(element):
    return None if element is None else atomic_number(element)


def _named(element):
    return "all" if element is None else symbol(atomic_number(element))


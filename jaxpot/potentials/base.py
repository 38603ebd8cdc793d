"""`Potential`: a value whose energy is one pure function; and the algebra of potentials.

A local potential writes `site_energy(environment)`, the energy of ONE atom. The framework maps it over
atoms in chunks that fit the cache. What decides the speed on CPUs, as measured (XLA, 2 cores,
benchmarks/speed.py): dense rows, and the gradient taken inside the chunk (`observables.evaluation`). Where
the energy itself is to be differentiated, blocks of chunks are recomputed one after the other (`map_rows`):
each block adds a whole array of derivatives, so there are few; temporaries beyond 32 MB are returned to the
system by the allocator, and every call pays page faults (2x), so there are enough.

A potential of another kind says `local = False` and writes `site_energies(graph)`, or `energy(graph)` where its
energy has no sites: a graph has the neighbours of all atoms at once, and the structure. If that is a function of the
vectors between neighbours alone, `edges_only = True` opens what needs derivatives by them (virials, heat flux). Models
that pass messages are `potentials.message_passing.MessagePassing`, which is written for ONE atom again.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxpot.core.chunks import CHUNK_ELEMENTS
from jaxpot.core.graph import Environment, Graph
from jaxpot.core.neighbors import Neighbors
from jaxpot.core.pytree import Node, pytree, static
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.typing import Array, ArrayField, ArrayLike, DTypeLike, PyTree

DECLARED = (  # static attributes: a wrapper forwards them all
    "cutoff", "species", "centers", "smoothness", "kinks", "needs", "local", "edges_only", "reach", "shorter", "skin",
    "pairwise", "double_only", "chunk_elements", "mirrors", "narrow",
)
WHY_DOUBLE = (
    "the large weights of a Gaussian process cancel, and single precision is off by 1e-3 eV an atom and more"
)


class Potential(Node):
    """Base class. Subclasses are decorated with `@pytree`: array leaves are the parameters.

    Static attributes:
        cutoff: A, the range of the interaction; neighbour lists must reach it.
        species: atomic numbers the potential knows, or None for every element.
        smoothness: number of continuous derivatives of the energy, at cutoffs, kinks and spline knots
            alike; -1 for an energy that jumps, 99 for an analytic function.
        kinks: distances in A at which a derivative of the energy jumps; None where they may be anywhere (tables).
        centers: atomic numbers of the atoms that have a site energy, where others have none; None: all.
        needs: names of the data of atoms or of the system that it reads, such as ("charges",).
        double_only: whether single precision loses so much that it is refused.
        local: whether the energy is a sum of `site_energy` over environments.
        edges_only: whether an energy that is not local depends on positions and cell through the vectors of the graph
            alone; the structure in the graph has NaN for both then.
        reach: A, how far the atoms may be whose positions change the energy of a site: the cutoff of a local potential,
            infinite for others that say nothing.
        shorter: cutoffs in A that `Environment.within` is asked for.
        skin: A, how far rows of neighbours in dynamics reach beyond the cutoff: little where long rows cost much.
        pairwise: whether a site energy is a constant and half a sum over pairs, each the same from both ends: the force
            on an atom follows from its own row then.
        offsets: names of arrays that are energies of the elements, added to each site whatever is around it.
        mirrors: whether mirror images have the same energy. Where they do not, as in networks with products of all
            parities, only the rotations of a space group are symmetries.
        has_hops: whether `by_hops` gives the energy hop by hop.
        narrow: words for features of the energy that are narrower than atoms move, which `rounded` widens; "" without.
    """

    cutoff: float
    species: tuple[int, ...] | None = None
    centers: tuple[int, ...] | None = None
    smoothness: int = 99
    needs: tuple[str, ...] = ()
    local: bool = True
    edges_only: bool = False
    shorter: tuple[float, ...] = ()
    skin: float = 0.2  # pairs and Stillinger-Weber do not care (0.15 to 0.45)
    pairwise: bool = False
    double_only: bool = False
    chunk_elements: int = CHUNK_ELEMENTS
    mirrors: bool = True
    has_hops: bool = False
    offsets: tuple[str, ...] = ()
    narrow: str = ""

    @property
    def kinks(self) -> tuple[float, ...] | None:
        return None if self.smoothness < 99 else ()

    @property
    def reach(self) -> float:
        return self.cutoff if self.local else math.inf

    def site_energy(self, environment: Environment) -> Array:
        """Energy of one atom in its environment, () eV."""
        raise NotImplementedError(f"{type(self).__name__} is not local")  # a subclass's duty

    def site_energies(self, graph: Graph) -> Array:
        """Energies of all rows of a graph, (m,) eV. Potentials that are not local write this, or `energy`."""
        if self.local:
            return jax.vmap(self.site_energy)(graph.environments())
        sites = graph.real.astype(graph.x.dtype)
        return sites * (self.energy(graph) / jnp.sum(sites))

    def energy(self, graph: Graph) -> Array:
        """Energy of all atoms together, () eV, of potentials without sites: atoms are given equal shares of it."""
        raise NotImplementedError(f"{type(self).__name__} defines neither site energies nor an energy")

    def by_hops(self, structure: Structure, listed: Neighbors) -> Any:
        """The same energy as `MessagePassing`, for what goes from atom to atom hop by hop: waves, currents of energy.

        Args:
            structure, listed: whose energy it is: a model may take from them what no atom sees by itself.
        """
        raise NotImplementedError(f"{type(self).__name__} has no hops")  # a subclass's duty

    def plan(self, structure: Structure) -> PyTree:
        """A pytree that is prepared on the host beside the neighbour list, such as the wave vectors of a sum; or None.

        It comes back as `graph.plan`, and may have a method `covers(structure)`, () bool: whether it still holds.
        """
        return None

    def extent(self) -> float | Array:
        """The distance in A beyond which nothing contributes, possibly a function of parameters."""
        return self.cutoff

    def weight_mask(self) -> "Potential | None":
        """Tree like the potential with True for the arrays that its energy is linear in, and that fits of linear models
        find; None: it has none.
        """
        return None

    def batched(self) -> "Potential":
        """The same potential as a smaller program, for many derivatives at once: slower, but compiled sooner."""
        return self

    def rounded(self) -> "Potential":
        """The potential for second derivatives, its `narrow` features widened: itself without them."""
        return self

    def needs_rounding(self, graph: Graph) -> bool | Array:
        """Whether a `narrow` feature is at this structure, () bool: second derivatives there hold nowhere else."""
        return False

    def __add__(self, other: "Potential") -> "Sum":
        return Sum.of(self, other) if isinstance(other, Potential) else NotImplemented

    def __sub__(self, other: "Potential") -> "Sum":
        return Sum.of(self, -1.0 * other) if isinstance(other, Potential) else NotImplemented

    def __mul__(self, factor: ArrayLike) -> "Scaled":
        return Scaled(self, factor) if not isinstance(factor, Potential) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> "Scaled":
        return -1.0 * self

    def __truediv__(self, divisor: Any) -> "Scaled":
        return Scaled(self, 1.0 / divisor)

    def __repr__(self) -> str:
        species = "any element" if self.species is None else f"species {self.species}"
        return f"{type(self).__name__}(cutoff={self.cutoff:.6g} A, {species})"


@pytree
class Sum(Potential):
    """The sum of several potentials; flat, and local when every term is."""

    terms: tuple
    cutoff: float = static(default=0.0)
    species: tuple | None = static(default=None)

    @classmethod
    def of(cls, *potentials: Potential) -> "Sum":
        terms = tuple(t for p in potentials for t in (p.terms if isinstance(p, Sum) else (p,)))
        known = [set(t.species) for t in terms if t.species is not None]
        species = tuple(sorted(set.intersection(*known))) if known else None
        if species == ():
            raise DataError(f"no element is known to every term of the sum {[repr(t) for t in terms]}")
        return cls(terms, max(t.cutoff for t in terms), species)

    @classmethod
    def or_one(cls, terms: Sequence[Potential]) -> Potential:
        """The sum of some terms, or the term itself where there is one."""
        return terms[0] if len(terms) == 1 else cls.of(*terms)

    @property
    def smoothness(self) -> int:
        return min(t.smoothness for t in self.terms)

    @property
    def kinks(self) -> tuple[float, ...] | None:
        return _union(t.kinks for t in self.terms)

    @property
    def local(self) -> bool:
        return all(t.local for t in self.terms)

    @property
    def edges_only(self) -> bool:
        return all(t.local or t.edges_only for t in self.terms)

    @property
    def mirrors(self) -> bool:
        return all(t.mirrors for t in self.terms)

    @property
    def reach(self) -> float:
        return max(t.reach for t in self.terms)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(sorted({name for t in self.terms for name in t.needs}))

    @property
    def skin(self) -> float:
        return min(t.skin for t in self.terms)

    @property
    def pairwise(self) -> bool:
        return all(t.pairwise for t in self.terms)

    @property
    def double_only(self) -> bool:
        return any(t.double_only for t in self.terms)

    @property
    def chunk_elements(self) -> int:
        return min(t.chunk_elements for t in self.terms)

    def site_energy(self, environment: Environment) -> Array:
        return sum(t.site_energy(environment) for t in self.terms)

    def site_energies(self, graph: Graph) -> Array:
        return sum(t.site_energies(graph) for t in self.terms)

    def energy(self, graph: Graph) -> Array:
        return jnp.sum(jnp.where(graph.real, self.site_energies(graph), 0.0))

    def batched(self) -> "Sum":
        return Sum(tuple(t.batched() for t in self.terms), self.cutoff, self.species)

    @property
    def narrow(self) -> str:
        return "; ".join(sorted({t.narrow for t in self.terms if t.narrow}))

    def rounded(self) -> "Sum":
        return Sum(tuple(t.rounded() for t in self.terms), self.cutoff, self.species)

    def needs_rounding(self, graph: Graph) -> bool | Array:
        return jnp.any(jnp.array([t.needs_rounding(graph) for t in self.terms]))

    def extent(self) -> float | Array:
        extent = self.terms[0].extent()
        for term in self.terms[1:]:
            extent = jnp.maximum(extent, term.extent())
        return extent

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms))


class Wrapped(Potential):
    """Base of what changes how one other `potential` is computed, and neither its range nor what it knows."""

    potential: Potential

    def batched(self) -> Potential:
        return self.replace(potential=self.potential.batched())

    def extent(self) -> float | Array:
        return self.potential.extent()

    def plan(self, structure: Structure) -> PyTree:
        return self.potential.plan(structure)

    def rounded(self) -> Potential:
        return self.replace(potential=self.potential.rounded())

    def needs_rounding(self, graph: Graph) -> bool | Array:
        return self.potential.needs_rounding(graph)


def _of_the_wrapped(name):
    return property(lambda self: getattr(self.potential, name))


for _name in DECLARED:
    setattr(Wrapped, _name, _of_the_wrapped(_name))


@pytree
class Scaled(Wrapped):
    """A potential times a number (a parameter like any other)."""

    potential: Potential
    factor: ArrayField

    def __post_init__(self):
        leaves = jax.tree.leaves(self.potential)
        dtype = leaves[0].dtype if leaves else None
        object.__setattr__(self, "factor", jnp.asarray(self.factor, dtype))

    def site_energy(self, environment: Environment) -> Array:
        return self.factor * self.potential.site_energy(environment)

    def site_energies(self, graph: Graph) -> Array:
        return self.factor * self.potential.site_energies(graph)

    def energy(self, graph: Graph) -> Array:
        return self.factor * self.potential.energy(graph)

    def __repr__(self) -> str:
        return f"{self.factor} * ({self.potential!r})"


def summands(potential: Potential) -> tuple[Potential, ...]:
    """Terms of a sum; a potential that is none is its only one."""
    return potential.terms if isinstance(potential, Sum) else (potential,)


def weight_mask(potential: Potential, terms: Sequence[Potential]) -> tuple[bool, ...]:
    """Mask of the arrays that some terms of a potential are linear in: a tuple of bool, as `jax.tree.leaves` orders."""
    mask: list[bool] = []
    for term in summands(potential):
        serves = any(term is one for one in terms)
        mask += jax.tree.leaves(term.weight_mask()) if serves else [False] * len(jax.tree.leaves(term))
    return tuple(mask)


def addends(potential: Potential) -> tuple[tuple[Any, Potential], ...]:
    """The terms that nested sums and factors come down to: pairs (factor, term)."""
    if isinstance(potential, Sum):
        return tuple(pair for term in potential.terms for pair in addends(term))
    if isinstance(potential, Scaled):
        return tuple((potential.factor * factor, term) for factor, term in addends(potential.potential))
    return ((1.0, potential),)


def terms_of(potential: Potential) -> tuple[Potential, ...]:
    """The terms of `addends` without their factors, which cost a program of the device where they are arrays."""
    if isinstance(potential, Sum):
        return tuple(term for part in potential.terms for term in terms_of(part))
    return terms_of(potential.potential) if isinstance(potential, Scaled) else (potential,)


def has_plan(term: Potential) -> bool:
    """Whether a term prepares something beside neighbour lists (`Potential.plan`)."""
    while isinstance(term, Wrapped):
        term = term.potential
    return type(term).plan is not Potential.plan


def _union(kinks):
    """All the distances, ascending; None if they may be anywhere."""
    kinks = list(kinks)
    return None if None in kinks else tuple(sorted({r for found in kinks for r in found}))


class OwnPrecision:
    """Mixin of potentials that decide which of their parameters are rounded to the precision of a structure."""

    def cast(self, dtype: DTypeLike) -> Any:
        """Cast this potential, as the function `cast` does."""
        raise NotImplementedError  # a subclass's duty


def cast(potential: PyTree, dtype: DTypeLike) -> Any:
    """The potential with its floating parameters in the precision of the structure."""

    def rounded(part):
        return part.cast(dtype) if isinstance(part, OwnPrecision) else jnp.asarray(part).astype(dtype)

    return jax.tree.map(rounded, potential, is_leaf=lambda part: isinstance(part, OwnPrecision))


def parameter_names(potential: PyTree) -> list[str]:
    """Names of the array leaves, e.g. `epsilon`, `terms[0].sigma`; in the order of `jax.tree.leaves`."""
    paths, _ = jax.tree_util.tree_flatten_with_path(potential)
    return [jax.tree_util.keystr(path).lstrip(".") for path, _ in paths]

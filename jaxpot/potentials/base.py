"""`Potential`: a value whose energy is one pure function; and the algebra of potentials.

A local potential writes `site_energy(environment)`, the energy of ONE atom. The framework maps it over
atoms in chunks that fit the cache. What decides the speed on CPUs, as measured (XLA, 2 cores,
benchmarks/speed.py): dense rows, and the gradient taken inside the chunk (`observables._evaluate`). Where
the energy itself is to be differentiated, blocks of chunks are recomputed one after the other (`map_rows`):
each block adds a whole array of derivatives, so there are few; temporaries beyond 32 MB are returned to the
system by the allocator, and every call pays page faults (2x), so there are enough.
"""

import jax
import jax.numpy as jnp

from jaxpot.core.graph import connect_rows, row_arrays
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError

CHUNK_ELEMENTS = 8192  # neighbours in a chunk: 64 kB an array in double precision
CHUNKS_PER_BLOCK = 8
WHY_DOUBLE = (
    "the large weights of a Gaussian process cancel, and single precision is off by 1e-3 eV an atom and more"
)


class Potential:
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
        shorter: cutoffs in A that `Environment.within` is asked for.
        skin: A, how far rows of neighbours in dynamics reach beyond the cutoff: little where long rows cost much.
        pairwise: whether a site energy is a constant and half a sum over pairs, each the same from both ends: the force
            on an atom follows from its own row then.
    """

    species = None
    centers = None
    smoothness = 99
    needs = ()
    local = True
    shorter = ()
    skin = 0.2  # pairs and Stillinger-Weber do not care (0.15 to 0.45)
    pairwise = False
    double_only = False
    chunk_elements = CHUNK_ELEMENTS

    @property
    def kinks(self):
        return None if self.smoothness < 99 else ()

    def site_energy(self, environment):
        """Energy of one atom in its environment, () eV."""
        raise NotImplementedError(f"{type(self).__name__} is not local")  # a subclass's duty

    def site_energies(self, graph):
        """Energies of all rows of a graph, (m,) eV. Potentials that are not local override this."""
        return jax.vmap(self.site_energy)(graph.environments())

    def extent(self):
        """The distance in A beyond which nothing contributes, possibly a function of parameters."""
        return self.cutoff

    def batched(self):
        """The same potential as a smaller program, for many derivatives at once: slower, but compiled sooner."""
        return self

    def __add__(self, other):
        return Sum.of(self, other) if isinstance(other, Potential) else NotImplemented

    def __sub__(self, other):
        return Sum.of(self, -1.0 * other) if isinstance(other, Potential) else NotImplemented

    def __mul__(self, factor):
        return Scaled(self, factor) if not isinstance(factor, Potential) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self):
        return -1.0 * self

    def __truediv__(self, divisor):
        return Scaled(self, 1.0 / divisor)

    def __repr__(self):
        species = "any element" if self.species is None else f"species {self.species}"
        return f"{type(self).__name__}(cutoff={self.cutoff:.6g} A, {species})"


@pytree
class Sum(Potential):
    """The sum of several potentials; flat, and local when every term is."""

    terms: tuple
    cutoff: float = static(default=0.0)
    species: tuple | None = static(default=None)

    @classmethod
    def of(cls, *potentials):
        terms = tuple(t for p in potentials for t in (p.terms if isinstance(p, Sum) else (p,)))
        known = [set(t.species) for t in terms if t.species is not None]
        species = tuple(sorted(set.intersection(*known))) if known else None
        if species == ():
            raise DataError(f"no element is known to every term of the sum {[repr(t) for t in terms]}")
        return cls(terms, max(t.cutoff for t in terms), species)

    @classmethod
    def or_one(cls, terms):
        """The sum of some terms, or the term itself where there is one."""
        return terms[0] if len(terms) == 1 else cls.of(*terms)

    @property
    def smoothness(self):
        return min(t.smoothness for t in self.terms)

    @property
    def kinks(self):
        return _union(t.kinks for t in self.terms)

    @property
    def local(self):
        return all(t.local for t in self.terms)

    @property
    def needs(self):
        return tuple(sorted({name for t in self.terms for name in t.needs}))

    @property
    def skin(self):
        return min(t.skin for t in self.terms)

    @property
    def pairwise(self):
        return all(t.pairwise for t in self.terms)

    @property
    def double_only(self):
        return any(t.double_only for t in self.terms)

    @property
    def chunk_elements(self):
        return min(t.chunk_elements for t in self.terms)

    def site_energy(self, environment):
        return sum(t.site_energy(environment) for t in self.terms)

    def site_energies(self, graph):
        return sum(t.site_energies(graph) for t in self.terms)

    def batched(self):
        return Sum(tuple(t.batched() for t in self.terms), self.cutoff, self.species)

    def extent(self):
        extent = self.terms[0].extent()
        for term in self.terms[1:]:
            extent = jnp.maximum(extent, term.extent())
        return extent

    def __repr__(self):
        return " + ".join(map(repr, self.terms))


class Wrapped(Potential):
    """Base of what changes how one other `potential` is computed, and neither its range nor what it knows."""

    cutoff = property(lambda self: self.potential.cutoff)
    species = property(lambda self: self.potential.species)
    centers = property(lambda self: self.potential.centers)
    smoothness = property(lambda self: self.potential.smoothness)
    kinks = property(lambda self: self.potential.kinks)
    needs = property(lambda self: self.potential.needs)
    local = property(lambda self: self.potential.local)
    shorter = property(lambda self: self.potential.shorter)
    skin = property(lambda self: self.potential.skin)
    pairwise = property(lambda self: self.potential.pairwise)
    double_only = property(lambda self: self.potential.double_only)
    chunk_elements = property(lambda self: self.potential.chunk_elements)

    def batched(self):
        return self.replace(potential=self.potential.batched())

    def extent(self):
        return self.potential.extent()


@pytree
class Scaled(Wrapped):
    """A potential times a number (a parameter like any other)."""

    potential: Potential
    factor: jax.Array

    def __post_init__(self):
        leaves = jax.tree.leaves(self.potential)
        dtype = leaves[0].dtype if leaves else None
        object.__setattr__(self, "factor", jnp.asarray(self.factor, dtype))

    def site_energy(self, environment):
        return self.factor * self.potential.site_energy(environment)

    def site_energies(self, graph):
        return self.factor * self.potential.site_energies(graph)

    def __repr__(self):
        return f"{self.factor} * ({self.potential!r})"


def addends(potential):
    """The terms that nested sums and factors come down to: pairs (factor, term)."""
    if isinstance(potential, Sum):
        return tuple(pair for term in potential.terms for pair in addends(term))
    if isinstance(potential, Scaled):
        return tuple((potential.factor * factor, term) for factor, term in addends(potential.potential))
    return ((1.0, potential),)


def _union(kinks):
    """All the distances, ascending; None if they may be anywhere."""
    kinks = list(kinks)
    return None if None in kinks else tuple(sorted({r for found in kinks for r in found}))


class OwnPrecision:
    """Mixin of potentials that decide which of their parameters are rounded to the precision of a structure."""

    def cast(self, dtype):
        """As the function `cast`, of this potential."""
        raise NotImplementedError  # a subclass's duty


def cast(potential, dtype):
    """The potential with its floating parameters in the precision of the structure."""

    def rounded(part):
        return part.cast(dtype) if isinstance(part, OwnPrecision) else jnp.asarray(part).astype(dtype)

    return jax.tree.map(rounded, potential, is_leaf=lambda part: isinstance(part, OwnPrecision))


def parameter_names(potential):
    """Names of the array leaves, e.g. `epsilon`, `terms[0].sigma`; in the order of `jax.tree.leaves`."""
    paths, _ = jax.tree_util.tree_flatten_with_path(potential)
    return [jax.tree_util.keystr(path).lstrip(".") for path, _ in paths]


def chunk_shape(rows, capacity, elements=CHUNK_ELEMENTS):
    """How rows are cut into chunks: (chunks, rows per chunk), covering `rows` with little to spare."""
    chunks = max(1, -(-rows * max(capacity, 1) // elements))
    return chunks, max(1, -(-rows // chunks))


def block_shape(rows, capacity, elements=CHUNK_ELEMENTS, max_blocks=None):
    """How rows are cut into blocks of chunks: (blocks, chunks per block, rows per chunk)."""
    chunks, _ = chunk_shape(rows, capacity, elements)
    blocks = max(1, -(-chunks // CHUNKS_PER_BLOCK))
    if max_blocks is not None:
        blocks = min(blocks, max_blocks)
    per_block = -(-chunks // blocks)
    size = max(1, -(-rows // (blocks * per_block)))
    return blocks, per_block, size


def cut(neighbors, blocks, size):
    """The rows of a list as (blocks, size, ...); the last block is filled with copies that are not real."""
    rows = row_arrays(neighbors)
    count = rows[0].shape[0]
    spare = blocks * size - count
    if spare:
        rows = [jnp.concatenate([a, jnp.broadcast_to(a[-1:], (spare, *a.shape[1:]))]) for a in rows]
        rows[-1] = rows[-1] & (jnp.arange(blocks * size) < count)
    return tuple(a.reshape(blocks, size, *a.shape[1:]) for a in rows)


def map_rows(function, potential, structure, neighbors, max_blocks=None):
    """Apply `function(graph of a block, per_chunk)` to blocks of rows, one after the other.

    `per_chunk(f, tree)` maps `f` over the chunks of a block, whose arrays have the rows in front.
    Returns the results stacked with the rows of all blocks in front.
    """
    blocks, chunks, size = block_shape(
        neighbors.others.shape[0], neighbors.capacity, potential.chunk_elements, max_blocks
    )

    def per_chunk(f, tree):
        if chunks == 1:
            return f(tree)
        split = jax.tree.map(lambda a: a.reshape(chunks, size, *a.shape[1:]), tree)
        return jax.tree.map(lambda a: a.reshape(chunks * size, *a.shape[2:]), jax.lax.map(f, split))

    def block(rows):
        return function(connect_rows(structure, neighbors, rows), per_chunk)

    rows = cut(neighbors, blocks, chunks * size)
    if blocks == 1:
        return block(jax.tree.map(lambda a: a[0], rows))
    stacked = jax.lax.map(jax.checkpoint(block), rows)
    return jax.tree.map(lambda a: a.reshape(blocks * a.shape[1], *a.shape[2:]), stacked)



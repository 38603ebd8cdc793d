"""Terms of a linear model before a fit: their readouts, with sparse points or without, and the priors of these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from jaxpot.core.neighbors import Neighbors
from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset
from jaxpot.data.descriptor_vectors import descriptor_vectors
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError
from jaxpot.fitting.linear.moments import covariance_factor
from jaxpot.fitting.linear.rows import linear_terms
from jaxpot.fitting.linear.sparsify import choose_points, different
from jaxpot.kernels.base import Kernel
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.described import Described
from jaxpot.readouts.base import Readout
from jaxpot.readouts.linear import Linear
from jaxpot.readouts.sparse_gp import SparseGP
from jaxpot.typing import AnyArray


@dataclass(frozen=True)
class GAPTerm:
    """One Gaussian process of a GAP before it is fitted.

    Args:
        descriptor: what it sees.
        kernel: covariance of two vectors.
        n_sparse: number of sparse points, or of those of each config type: a dict from its name.
        delta: standard deviation of the energy it gives, eV.
        sparse_method: see `choose_points`.
        environments: pairs (frame, atom) of the data set, counted from 0, instead of a choice: all vectors of these
            atoms become sparse points.
        points: sparse points given, (M, d), instead of a choice.
        name: for messages.
    """

    has_points: ClassVar[Literal[True]] = True

    descriptor: Descriptor
    kernel: Kernel
    n_sparse: int | dict = 1000
    delta: float = 1.0
    sparse_method: str = "cur"
    environments: tuple | None = None
    points: np.ndarray | None = None
    name: str = "the term"

    can_have_fewer: ClassVar[bool] = False
    components: ClassVar[None] = None
    blocks: ClassVar[None] = None

    def readout(self) -> SparseGP:
        """Readout with the points that are given, or one in the place of all, and weights that are zero."""
        width = self.descriptor.dimension
        points = np.full((1, width), width**-0.5) if self.points is None else self.points
        return SparseGP(self.kernel, points, np.zeros(len(points)), float(self.delta))


@dataclass(frozen=True)
class FeatureTerm:
    """One term of a linear model whose features ask for no sparse points, before it is fitted.

    Args:
        descriptor: what it sees.
        kind: class of the readout, with `untrained(dimension, delta)`.
        delta: standard deviation of the energy it gives, eV; with blocks, that of each.
        name: for messages.
        blocks: numbers of weights that share a scale, one block behind the other; None: all share one.
        components: how many of its components are used: others are eliminated after the fit to all; None: all.
        scales: what delta is multiplied with for each weight; None: 1.
    """

    has_points: ClassVar[Literal[False]] = False

    descriptor: Descriptor
    kind: type[Readout]
    delta: float | Sequence[float] = 1.0
    name: str = "the term"
    blocks: tuple[int, ...] | None = None
    components: int | None = None
    scales: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.components is None:
            return
        if not self.can_have_fewer:
            raise DataError(f"{self.name}: components of this descriptor, and readout, cannot be left out")
        if self.components > self.descriptor.dimension:
            raise DataError(
                f"{self.name}: expected at most {self.descriptor.dimension} components, as many as there are, got "
                f"{self.components}"
            )

    @property
    def can_have_fewer(self) -> bool:
        """Whether components can be left out."""
        return self.kind is Linear and self.descriptor.selects

    def readout(self) -> Readout:
        """Readout with weights that are zero."""
        delta = np.asarray(self.delta, float)
        delta = delta if self.blocks is None else np.repeat(delta, self.blocks)
        return self.kind.untrained(self.descriptor.dimension, delta if self.scales is None else delta * self.scales)


LinearTerm = GAPTerm | FeatureTerm


def without_points(terms: list[LinearTerm], species: tuple[int, ...]) -> Potential:
    """Sum of the terms, one sparse point in the place of all: it reaches as far, and has no use but to say so."""
    return Sum.or_one([Described(term.descriptor, term.readout(), tuple(species)) for term in terms])


def unfitted_potential(
    terms: list[LinearTerm], dataset: Dataset, prepared: Sequence[tuple[Structure, Neighbors]], seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Potential:
    """Sum of the terms with their sparse points, and weights that are zero."""
    described = []
    for k, term in enumerate(terms):
        if term.has_points and term.points is None:
            if progress:
                progress(f"sparse points of {term.name} ({k + 1} of {len(terms)})")
            term = replace(term, points=sparse_points(term, dataset, prepared, seed + k)[0])
        described.append(Described(term.descriptor, term.readout(), tuple(dataset.species)))
    return Sum.or_one(described)


def sparse_points(
    term: GAPTerm, dataset: Dataset, prepared: Sequence[tuple[Structure, Neighbors]], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the sparse points of a term: vectors (M, d), and places (M, 3) in the data, see `descriptor_vectors`.

    Raises:
        DataError: a config type, a frame or an atom that is not there, or no vectors.
    """
    if term.environments is not None:
        return _given(term, dataset, prepared)
    wanted = term.n_sparse if isinstance(term.n_sparse, dict) else {None: term.n_sparse}
    strange = [name for name in wanted if name is not None and name not in dataset.config_types]
    if strange:
        raise DataError(
            f"{term.name}, sparse points: no frame has the config type {', '.join(map(repr, strange))}; there are "
            f"{', '.join(dataset.config_types)}"
        )
    vectors, places = descriptor_vectors(term.descriptor, prepared, max(1, _MOST_VECTORS // len(prepared)), seed)
    types = np.array([frame.config_type for frame in dataset])[places[:, 0]]
    chosen = []
    for name, count in wanted.items():
        candidates = np.arange(len(vectors)) if name is None else np.flatnonzero(types == name)
        picked = choose_points(vectors[candidates], count, term.sparse_method, kernel=term.kernel, seed=seed)
        chosen.append(candidates[picked])
    unlike = different(vectors, np.concatenate(chosen))
    return vectors[unlike], places[unlike]


def _given(term, dataset, prepared):
    frames, atoms = np.array(term.environments, int).reshape(-1, 2).T
    for frame, atom in zip(frames, atoms, strict=True):
        if not 0 <= frame < len(dataset) or not 0 <= atom < len(dataset[int(frame)]):
            raise DataError(
                f"{term.name}, environments: there is no atom {atom} in frame {frame}; the data have {len(dataset)} "
                "frames (counted from 0)"
            )
    used = np.unique(frames)
    vectors, places = descriptor_vectors(term.descriptor, [prepared[k] for k in used])
    places[:, 0] = used[places[:, 0]]
    wanted = set(zip(frames.tolist(), atoms.tolist(), strict=True))
    here = np.array([(frame, atom) in wanted for frame, atom, _ in places.tolist()], bool)
    if not here.any():
        raise DataError(f"{term.name}, environments: the descriptor makes nothing of any of these atoms")
    chosen = different(vectors, np.flatnonzero(here))
    return vectors[chosen], places[chosen]


_MOST_VECTORS = 200_000


def prior_factors(potential: Potential, jitter: float = 1e-10) -> tuple[list[AnyArray], list[float | None]]:
    """Lower Cholesky factors of the prior precisions of the weights of each term, and its jitter or None."""
    factors: list[AnyArray] = []
    jitters: list[float | None] = []
    for term in linear_terms(potential):
        precision = term.readout.weight_precision()
        if precision is None:
            factors.append(np.eye(term.n_features))
            jitters.append(None)
        else:
            factor, used = covariance_factor(precision, jitter)
            factors.append(factor)
            jitters.append(used)
    return factors, jitters

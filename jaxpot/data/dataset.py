"""`Dataset`: structures with energies, forces and stresses, and the energies of isolated atoms."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from jaxpot.core.elements import name_species, symbol
from jaxpot.core.numbers import as_number, as_whole
from jaxpot.data.atomic_energies import atomic_energies, is_isolated
from jaxpot.data.frame import Frame
from jaxpot.data.labels import CONFIG_TYPE, STRESS, Keys, frames_of, refuse_incomplete
from jaxpot.data.summary import Summary, summarise
from jaxpot.errors import DataError

__all__ = ["Dataset", "Frame"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Frames to fit, with the energies that isolated atoms have.

    An integer index gives a `Frame`; a slice, an array of indices or a boolean mask gives a `Dataset` with the same
    `e0`. Nothing is changed in place.

    Args:
        frames: `Frame`s, at least one; isolated atoms are not among them, but in `e0`.
        e0: atomic number -> eV of an isolated atom, for each element of the frames at least.
        e0_origin: "isolated atoms in the data", "given", "least squares", or a sentence that names the elements.
        notes: sentences on what was seen when the data were read; shown by `summary`.

    Raises:
        DataError: no frames, or elements without an energy.
    """

    frames: tuple[Frame, ...]
    e0: dict[int, float]
    e0_origin: str
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "frames", tuple(self.frames))
        object.__setattr__(self, "notes", tuple(self.notes))
        if not self.frames:
            raise DataError("there are no frames (left)")
        strange = [f for f in self.frames if not isinstance(f, Frame)]
        if strange:
            raise DataError(f"expected Frames, got {type(strange[0]).__name__}; Dataset.of takes other things")
        e0 = {int(z): as_number(energy, f"e0 of {symbol(int(z))}", "an energy in eV") for z, energy in self.e0.items()}
        object.__setattr__(self, "e0", e0)
        missing = set(self.species) - set(e0)
        if missing:
            raise DataError(f"e0 lacks {name_species(missing)}; the frames contain {name_species(self.species)}")

    @classmethod
    def of(
        cls, items: Iterable, e0: dict | str | None = None, *, energy: str | None = "energy",
        forces: str | None = "forces", stress: str | None = STRESS, virial: str | None = None,
        config_type: str | None = CONFIG_TYPE, require: Sequence[str] = ("energy", "forces"),
    ) -> "Dataset":
        """Make a dataset from `Frame`s, or from `ase.Atoms` with the results of a calculator.

        Labels are looked for in the calculator, in `info` and in `arrays`. The rules, and the other arguments,
        are those of `read_dataset`.

        Args:
            items: `Frame`s, `ase.Atoms`, or a `Dataset` (whose e0 is found anew).
            e0: see `atomic_energies`.

        Raises:
            DataError: as for `read_dataset`.
        """
        items = list(items)
        strange = [i for i in items if not isinstance(i, Frame) and not hasattr(i, "info")]
        if strange:
            raise DataError(
                f"expected Frames or ase.Atoms, got {type(strange[0]).__name__}; a Structure becomes a Frame with "
                "Frame(structure, energy=..., forces=..., stress=...)"
            )
        keys = Keys(energy=energy, forces=forces, stress=stress, virial=virial, config_type=config_type)
        return dataset_of(items, keys, [f"frame {k}" for k in range(len(items))], e0, require)

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __repr__(self) -> str:
        return f"Dataset({len(self)} frames, {self.n_atoms} atoms, {name_species(self.species)}, e0: {self.e0_origin})"

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"frame {index} of {len(self)}")
            return self.frames[index]
        if isinstance(index, slice):
            return replace(self, frames=self.frames[index])
        return replace(self, frames=tuple(self.frames[k] for k in _indices(index, len(self))))

    @cached_property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers that occur, a sorted tuple."""
        return tuple(sorted({int(z) for frame in self.frames for z in np.unique(frame.numbers)}))

    @property
    def config_types(self) -> dict[str, int]:
        """Name -> number of frames, sorted by name."""
        return dict(sorted(Counter(frame.config_type for frame in self.frames).items()))

    @property
    def n_atoms(self) -> int:
        """Number of atoms in all frames."""
        return sum(len(frame) for frame in self.frames)

    def select(
        self, config_type: str | Iterable[str] | None = None, predicate: Callable[[Frame], bool] | None = None
    ) -> "Dataset":
        """Select the frames of one or several config types for which `predicate(frame)`, if given, holds.

        Raises:
            DataError: a config type that does not occur, or nothing is left.
        """
        return self[self._mask(config_type, predicate)]

    def exclude(
        self, config_type: str | Iterable[str] | None = None, predicate: Callable[[Frame], bool] | None = None
    ) -> "Dataset":
        """Drop the frames that `select` would select."""
        return self[~self._mask(config_type, predicate)]

    def split(self, fraction: float, seed: int) -> tuple["Dataset", "Dataset"]:
        """Two parts by chance, with the same share of every config type as nearly as whole frames allow.

        Args:
            fraction: of the frames, that go into the second part; between 0 and 1.
            seed: integer; the same seed gives the same parts.

        Returns:
            (rest, part), both `Dataset`, in the order of the frames here.

        Raises:
            DataError: one part would be empty.
        """
        fraction = as_number(fraction, "fraction", "a number between 0 and 1")
        total = round(fraction * len(self))
        if not 0.0 < fraction < 1.0 or not 0 < total < len(self):
            raise DataError(
                f"fraction: {fraction:g} of {len(self)} frames is {total}; expected a number between 0 and 1 that "
                "leaves frames on both sides"
            )
        chance = np.random.default_rng(_seed(seed))
        groups = [chance.permutation(group) for group in self._groups()]
        quotas = np.array([fraction * len(group) for group in groups])
        counts = np.floor(quotas).astype(int)
        # Largest remainders first, ties by chance: the sum is right, and no share is off by a whole frame.
        order = np.lexsort((chance.random(len(groups)), -(quotas - counts)))
        counts[order[: total - counts.sum()]] += 1
        mask = np.zeros(len(self), bool)
        for group, count in zip(groups, counts, strict=True):
            mask[group[:count]] = True
        return self[~mask], self[mask]

    def folds(self, k: int, seed: int) -> list[np.ndarray]:
        """Index arrays of k disjoint parts that cover all frames; each has its share of every config type.

        Raises:
            DataError: k is below 2 or above the number of frames.
        """
        k = as_whole(k, "k", 2, max(2, len(self)))
        if k > len(self):
            raise DataError(f"k: {k} folds of {len(self)} frames")
        chance = np.random.default_rng(_seed(seed))
        dealt = np.concatenate([chance.permutation(group) for group in self._groups()])
        return [np.sort(dealt[start::k]) for start in range(k)]

    def with_sigmas(
        self, energy: float | None = None, forces: float | None = None, stress: float | None = None,
        config_type: str | Iterable[str] | None = None,
    ) -> "Dataset":
        """Copy with other sigmas; those that are not given stay.

        Args:
            energy: eV/atom.
            forces: eV/A.
            stress: eV/A^3.
            config_type: one or several names, which the sigmas are for; by default all.

        Raises:
            DataError: a sigma that is not positive, or a config type that does not occur.
        """
        given = {"sigma_energy": energy, "sigma_forces": forces, "sigma_stress": stress}
        sigmas: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        mask = self._mask(config_type, None)
        frames = (replace(f, **sigmas) if m else f for f, m in zip(self.frames, mask, strict=True))
        return replace(self, frames=tuple(frames))

    def with_frames(self, frames: Iterable[Frame]) -> "Dataset":
        """Dataset with more frames at its end."""
        return replace(self, frames=(*self.frames, *frames))

    def ranges(self) -> dict[str, np.ndarray]:
        """Ranges of the frames, for `Posterior`: "volume_per_atom" -> (2,) A^3; empty without periodic frames.

        Frames with more than twice the median volume are free atoms and slabs in boxes: they are left out.
        """
        volumes = np.array([
            float(frame.structure.volume) / len(frame.structure) for frame in self.frames if all(frame.structure.pbc)
        ])
        if not len(volumes):
            return {}
        dense = volumes[volumes <= 2.0 * np.median(volumes)]
        return {"volume_per_atom": np.array([dense.min(), dense.max()])}

    def summary(self) -> Summary:
        """Summarise the contents, and whatever looks wrong: a `Summary`, to be printed or turned into a dict."""
        return summarise(self)

    def _groups(self):
        """Index arrays of the config types, in the order of their names."""
        types = np.array([f.config_type for f in self.frames])
        return [np.flatnonzero(types == name) for name in self.config_types]

    def _mask(self, config_type, predicate):
        names = None if config_type is None else {config_type} if isinstance(config_type, str) else set(config_type)
        unknown = (names or set()) - set(self.config_types)
        if unknown:
            raise DataError(
                f"config_type: no frame has {', '.join(sorted(map(repr, unknown)))}; there are "
                f"{', '.join(self.config_types)}"
            )
        return np.array([
            (names is None or f.config_type in names) and (predicate is None or bool(predicate(f)))
            for f in self.frames
        ])


def dataset_of(
    items: Sequence, keys: Keys, sources: Sequence[str], e0: dict | str | None = None,
    require: Sequence[str] = ("energy", "forces"),
) -> Dataset:
    """`Dataset` of `Frame`s or `ase.Atoms`: labels read, isolated atoms taken out, e0 found."""
    everything, notes = frames_of(items, keys, sources)
    isolated = [frame for frame in everything if is_isolated(frame)]
    frames = [frame for frame in everything if frame not in isolated]
    if not frames:
        raise DataError("there are no frames" + (f" besides isolated atoms ({len(isolated)})" if isolated else ""))
    read = [frame for frame, item in zip(everything, items, strict=True) if frame is not item]  # not made by the caller
    refuse_incomplete([frame for frame in read if frame not in isolated], keys, require)
    nothing = [f for f in frames if f.energy is None and f.forces is None and f.stress is None]
    if nothing:
        raise DataError(f"{len(nothing)} frames have no label at all, the first is {nothing[0].source}: leave them out")
    energies, origin = atomic_energies(frames, isolated, e0)
    if isolated:
        notes += (f"isolated atoms taken out of the frames: {len(isolated)}",)
    return Dataset(tuple(frames), energies, origin, notes)


def _indices(index, n):
    array = np.asarray(index)
    if array.dtype == bool:
        if array.shape != (n,):
            raise DataError(f"a mask of {n} booleans is expected, got shape {array.shape}")
        return np.flatnonzero(array)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise DataError(f"expected an integer, a slice, indices or a mask, got {index!r}")
    if array.size and not (-n <= array.min() and array.max() < n):
        raise IndexError(f"index {array.min()}..{array.max()} of {n} frames")
    return array.astype(int)


def _seed(seed):
    return as_whole(seed, "seed", 0, 2**63 - 1)

"""Folder of a learning run: labels, a log, the potential, and the progress of the walk.

Labels are dear: each is on the disk, with all its digits, before anything else is done with it.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxpot.core.pytree import Node, pytree
from jaxpot.core.save import load_tree, save_tree, write_atomically
from jaxpot.core.structure import Structure
from jaxpot.data.frame import Frame
from jaxpot.errors import DataError, FormatError
from jaxpot.md.state import State
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import AnyArray, FilePath

CONFIG_TYPE = "on-the-fly"
WALK, LABELS, LOG, POSTERIOR = "walk.checkpoint", "labels", "log.jsonl", "model.posterior"
FRAMES = "labels.xyz"


@pytree(name="LearningWalk", former=("jaxpot.active.record:Walk",))
class Walk(Node):
    """Progress of a run.

    state: to go on from; asked: the state whose structure waits for its label, or None; labels: how many there were
    when it asked; threshold: of the signal; settings: a digest of what the run follows from; ensemble: one of its
    dynamics.
    """

    state: State
    asked: State | None
    labels: int
    threshold: float
    settings: AnyArray
    ensemble: AnyArray


@pytree(former=("jaxpot.active.record:Chosen",))
class PoolProgress:
    """Progress of a run through a pool: candidates (numbers) in the order asked for, and the digest."""

    candidates: AnyArray
    settings: AnyArray


@pytree(name="LearningLabel", former=("jaxpot.active.record:Label",))
class Label:
    """Labelled frame, and numbers for the log."""

    structure: Structure
    energy: AnyArray
    forces: AnyArray
    stress: AnyArray | None
    numbers: dict

    @classmethod
    def of(cls, frame: Frame, **numbers: Any) -> "Label":
        """Label of a `Frame`."""
        stress = None if frame.stress is None else np.asarray(frame.stress)
        return cls(
            frame.structure, np.asarray(frame.energy), np.asarray(frame.forces), stress,
            {name: np.asarray(float(x)) for name, x in numbers.items()},
        )

    def frame(self, number: int) -> Frame:
        """The `Frame`."""
        stress = None if self.stress is None else np.asarray(self.stress)
        return Frame(
            self.structure, float(self.energy), np.asarray(self.forces), stress, CONFIG_TYPE, f"label {number}"
        )

    def text(self) -> str:
        """In extended XYZ, with all digits."""
        structure = self.structure
        head = f'{len(structure)}\nLattice="{_words(structure.cell)}" Properties=species:S:1:pos:R:3:forces:R:3 '
        head += f'energy={float(self.energy)!r} pbc="{" ".join("FT"[p] for p in structure.pbc)}"'
        if self.stress is not None:
            head += f' stress="{_words(self.stress)}"'
        rows = np.concatenate([np.asarray(structure.positions), np.asarray(self.forces)], axis=1)
        atoms = zip(structure.symbols, rows, strict=True)
        return f"{head} config_type={CONFIG_TYPE}\n" + "".join(f"{name} {_words(row)}\n" for name, row in atoms)

    def entry(self) -> dict[str, float]:
        """A line of the log."""
        return {name: float(x) for name, x in self.numbers.items()}


def _words(numbers):
    return " ".join(map(repr, np.asarray(numbers).ravel().tolist()))


class Record:
    """Folder of a run; None keeps nothing."""

    def __init__(self, folder: FilePath | None) -> None:
        self.folder = None if folder is None else os.fspath(folder)
        if self.folder is not None:
            try:
                os.makedirs(self._path(LABELS), exist_ok=True)
            except OSError as error:
                raise DataError(f"{self.folder} cannot be made: {error.strerror or error}") from error

    def _path(self, name):
        return os.path.join(self.folder, name)

    def kept(self, kind: type, settings: Any) -> Any:
        """Read the `Walk` or `PoolProgress`, whichever kind is asked for, that was kept; or None.

        Raises:
            DataError: that of another run, or labels without one.
            FormatError: a damaged file.
        """
        if self.folder is None:
            return None
        path = self._path(WALK)
        if not os.path.exists(path):
            if os.listdir(self._path(LABELS)):
                raise DataError(f"{self.folder} holds labels but no {WALK}: give an empty folder for a new run")
            return None
        found = load_tree(path)
        if not isinstance(found, Walk | PoolProgress):
            raise FormatError(f"expected the checkpoint of a learning run, found a {type(found).__name__}", path)
        if not isinstance(found, kind) or not np.array_equal(np.asarray(found.settings), settings):
            raise DataError(
                f"{self.folder} is the folder of another run (other data, start, recipe, threshold, number of steps or "
                "seed): give another one, or the same arguments"
            )
        return found

    def keep_walk(self, walk: Walk | PoolProgress) -> None:
        """Write it, atomically."""
        self._keep(walk, WALK)

    def keep_label(self, labels: Sequence[Label]) -> None:
        """Write the last of the labels; and all, in extended XYZ, and the log, for people and other programs."""
        self._keep(labels[-1], f"{LABELS}/{len(labels) - 1:05d}.frame")
        if self.folder is not None:
            text = "".join(json.dumps(label.entry()) + "\n" for label in labels)
            write_atomically(self._path(LOG), text.encode())
            write_atomically(self._path(FRAMES), "".join(label.text() for label in labels).encode())

    def keep_posterior(self, posterior: Posterior) -> None:
        """Write it, atomically: the potential of now, for every command."""
        self._keep(posterior, POSTERIOR)

    def _keep(self, tree, name):
        if self.folder is not None:
            save_tree(tree, self._path(name))

    def labels(self) -> list[Label]:
        """All labels, in order."""
        folder = self._path(LABELS)
        return [load_tree(os.path.join(folder, n)) for n in sorted(os.listdir(folder)) if n.endswith(".frame")]

    def posterior(self) -> Posterior:
        """Posterior of the last fit."""
        return load_tree(self._path(POSTERIOR))

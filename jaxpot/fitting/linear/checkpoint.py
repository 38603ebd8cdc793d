"""File from which an interrupted fit goes on: sparse points, moments and waiting rows, about once a minute.

The trials of a choice of hyperparameters are a few numbers beside gigabytes: they go into a file of their own.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxpot.core.files import file_size
from jaxpot.core.npz import check_npz
from jaxpot.core.save import write_atomically
from jaxpot.core.versions import versions
from jaxpot.data.dataset import Dataset
from jaxpot.errors import DataError, FormatError, JaxpotWarning
from jaxpot.fitting.linear.moments import Accumulator
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.linear.terms import LinearTerm
from jaxpot.potentials.base import Potential

_KIND = "jaxpot checkpoint 1"
_EVERY = 60.0  # s between two writes
_SHARE = 0.05  # of the time that writing may take
_WORTH = 5.0  # s of work after the last write that are worth one more when all rows are done
_LABELS = ("energy", "forces", "stress", "sigma_energy", "sigma_forces", "sigma_stress", "config_type")


def fingerprint(dataset: Dataset, recipe: Recipe, baseline: Potential | None, **settings: Any) -> dict:
    """Digests of all that the rows of a fit follow from, by name. Equal ones give equal rows.

    Args:
        dataset: `Dataset`.
        recipe: `Recipe`; its name does not matter.
        baseline: potential or None.
        settings: further numbers.
    """
    leaves, tree = jax.tree.flatten(baseline)
    return {
        "data": _digest([dataset.e0, *(part for frame in dataset for part in _parts(frame))]),
        "recipe": _digest([replace(recipe, name="")]),
        "baseline": _digest([tree, *leaves]),
        "versions": versions() | {"numbers": jax.numpy.zeros(()).dtype.name},
        **settings,
    }


def _parts(frame):
    structure = frame.structure
    yield from (structure.positions, structure.cell, structure.numbers, structure.pbc)
    yield from (getattr(frame, name) for name in _LABELS)


def _digest(parts):
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray | jax.Array):
            part = np.ascontiguousarray(part)
            digest.update(f"{part.dtype} {part.shape} ".encode() + part.tobytes())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\n")
    return digest.hexdigest()


class FitCheckpoint:
    """File of one fit, read when this is made.

    A file of a fit to other data, or with another recipe, is left alone until this fit has something to keep, and a
    warning says so.

    Args:
        path: of the file; it need not be there.
        fingerprint: see `fingerprint`.
        say: called with a sentence.

    Raises:
        DataError: the folder does not exist, or nothing may be written there.
        FormatError: there is a file that is no checkpoint, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike, fingerprint: dict[str, Any], say: Callable[[str], None]) -> None:
        self.path, self.say = os.fspath(path), say
        self.fingerprint = json.loads(json.dumps(fingerprint))
        self.frames, self._ours = 0, False
        self.points: list[np.ndarray] | None = None
        self._groups: dict[tuple, tuple] = {}
        self.trials: dict[tuple, Any] = {}
        self._trials_path, self._trials_ours = f"{self.path}.trials", False
        self._last, self._pause = time.monotonic(), _EVERY
        folder = os.path.dirname(os.path.abspath(self.path))
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
            raise DataError(f"checkpoint {self.path}: the folder {folder} does not exist, or it cannot be written into")
        if os.path.lexists(self.path):
            self._read()
        self._read_trials()

    def _read(self):
        try:
            check_npz(self.path)
            with np.load(self.path) as file:
                about = json.loads(str(file["about"]))
                if about["kind"] != _KIND:
                    raise ValueError(about["kind"])
                strange = [name for name, value in self.fingerprint.items() if about["fingerprint"].get(name) != value]
                if strange:
                    warnings.warn(
                        f"{self.path} was left by a fit with other {', '.join(strange)}: this one begins anew and will "
                        "replace it", JaxpotWarning, stacklevel=4,
                    )
                    return
                points = [file[f"points{k}"] for k in range(about["terms"])]
                for k, (kind, group) in enumerate(about["groups"]):
                    self._groups[kind, group] = tuple(file[f"{name}{k}"] for name in _ARRAYS)
        except _DAMAGED as error:
            raise FormatError(
                "this is no checkpoint of a fit, or a damaged one: remove it, or give another name", file=self.path
            ) from error
        self.points, self.frames, self._ours = points, about["frames"], True
        self.say(f"going on from {self.path}: sparse points and the rows of {self.frames} frames are there")

    def _read_trials(self):
        if not os.path.lexists(self._trials_path):
            return
        try:
            file_size(self._trials_path)
            with open(self._trials_path, encoding="utf-8") as file:
                about = json.load(file)
            ours, trials = about["fingerprint"] == self.fingerprint, about["trials"]
            trials = {tuple(trial): value for trial, value in trials}
        except _DAMAGED as error:
            raise FormatError(
                "these are no trials of a fit, or damaged ones: remove the file, or give the checkpoint another name",
                file=self._trials_path,
            ) from error
        if ours:  # those of another fit are replaced with the checkpoint beside them, which has said so
            self.trials, self._trials_ours = trials, True
            self.say(f"going on from {self._trials_path}: {len(trials)} trials are there")

    def offer_trials(self, trials: dict) -> None:
        """Write what trials have given, a dict, if it is time."""
        if time.monotonic() - self._last > _EVERY:
            about = {"fingerprint": self.fingerprint, "trials": list(trials.items())}
            try:
                write_atomically(self._trials_path, json.dumps(about).encode())
            except (OSError, DataError) as error:  # a full disk is no reason to give up the fit
                self.say(f"{self._trials_path} cannot be written ({error}); the fit goes on without")
            else:
                self._trials_ours = True
            self._last = time.monotonic()

    def given_points(self, terms: list[LinearTerm]) -> list[LinearTerm]:
        """Terms with the sparse points of the file, if it has any."""
        if self.points is None:
            return terms
        points = iter(self.points)
        return [replace(term, points=next(points)) if term.has_points else term for term in terms]

    def keep_points(self, points: list[np.ndarray]) -> None:
        """Keep the sparse points of each term that has any; they are written at once if their choice took long."""
        new, self.points = self.points is None, points
        if new and time.monotonic() - self._last > min(_WORTH, self._pause):
            self._write(0, {})

    def restore(self, accumulator: Accumulator) -> int:
        """Give an `Accumulator` what the file holds; returns the number of frames that are done."""
        accumulator.restore(self._groups)
        self._groups = {}
        return self.frames

    def offer(self, frames: int, accumulator: Accumulator) -> None:
        """Write if it is time; `frames` are done."""
        if time.monotonic() - self._last > self._pause:
            self._write(frames, accumulator.state())

    def complete(self, frames: int, accumulator: Accumulator) -> None:
        """Write what took long: all frames are done."""
        if frames > self.frames and time.monotonic() - self._last > min(_WORTH, self._pause):
            self._write(frames, accumulator.state())

    def remove(self) -> None:
        """Remove the files: the fit has succeeded."""
        # What another fit has left is not ours to remove.
        for path, ours in ((self.path, self._ours), (self._trials_path, self._trials_ours)):
            if ours:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def _write(self, frames, state):
        about = {
            "kind": _KIND, "fingerprint": self.fingerprint, "frames": frames, "terms": len(self.points),
            "groups": [[kind, None if group is None else int(group)] for kind, group in state],
        }
        arrays = {"about": np.array(json.dumps(about))} | {f"points{k}": p for k, p in enumerate(self.points)}
        for k, parts in enumerate(state.values()):
            arrays |= {f"{name}{k}": part for name, part in zip(_ARRAYS, parts, strict=True)}
        start = time.monotonic()
        try:
            _save(self.path, arrays)
        except OSError as error:  # a full disk is no reason to give up the fit
            self.say(f"{self.path} cannot be written ({error.strerror or error}); the fit goes on without")
        else:
            self.frames, self._ours = frames, True
            self.say(f"rows of {frames} frames kept in {self.path}" if frames else f"kept in {self.path}")
        self._last = time.monotonic()
        self._pause = max(_EVERY, (self._last - start) / _SHARE)


# What NumPy, zip files and JSON raise on files that are not what they seem: a wrong version is not implemented.
_DAMAGED = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError, NotImplementedError,
    zipfile.BadZipFile,
)
_ARRAYS = ("gram", "cross", "sums", "rows", "targets", "sigmas")


def _save(path, arrays):
    """Arrays into a file that is whole or not there; they are written one by one, without a copy of all."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), prefix=".jaxpot-")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise

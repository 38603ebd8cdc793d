"""Property cards of many crystals in one folder, one after the other: done ones stay, and a bad crystal stops no other.

Each crystal has a folder with its `card.json`, and beside it, written last, `record.json`: a checksum of all that the
card depends on, and how it ended. A run that was killed goes on where it stopped; cards are computed again where the
crystal, the model or the settings have changed, and where they have failed.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxpot.core.few_shapes import few_shapes
from jaxpot.core.programs import make_room_for_programs
from jaxpot.core.save import write_atomically
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotError
from jaxpot.report.card import Card

DONE, FAILED = "done", "failed"
# What a computation of one crystal may end with, bugs of libraries included: the others go on.
_PROBLEMS = (JaxpotError, ValueError, ArithmeticError, RuntimeError, LookupError, MemoryError, OSError)
_RECORD, _CARD = "record.json", "card.json"


@dataclass(frozen=True)
class Crystal:
    """One of many: a name that may be a folder's, and its structure, or why it has none.

    Attributes:
        name: of its folder and of its row.
        given: the file or the words that it comes from.
        structure: `Structure`; None where it could not be read, or is a prototype whose volume is to be found.
        problem: why it could not be read; empty otherwise.
    """

    name: str
    given: str
    structure: Structure | None = None
    problem: str = ""

    @property
    def atoms(self) -> int:
        """Number of atoms, 0 where that is not known."""
        return 0 if self.structure is None else len(self.structure)

    def digest(self) -> str:
        """Checksum of the structure, or of the words that stand for it."""
        digest = hashlib.sha256(f"{self.given} {self.problem}".encode())
        if self.structure is not None:
            for name in ("positions", "cell", "numbers", "masses"):
                digest.update(np.ascontiguousarray(getattr(self.structure, name)).tobytes())
            digest.update(repr(self.structure.pbc).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class ManyCards:
    """Cards of crystals in a folder.

    Args:
        folder: exists.
        crystals: with names that differ.
        make: crystal -> `Card`; raises what is wrong with it.
        about: of model and settings: another card is due where it changes.
        pictures: whether each folder gets `card.html` and its pictures, which take longer than the card itself.
    """

    folder: Path
    crystals: Sequence[Crystal]
    make: Callable[[Crystal], Card]
    about: dict[str, Any]
    pictures: bool = False

    def due(self) -> list[Crystal]:
        """Crystals without a record, smallest first: those of a size share compiled programs."""
        return sorted((crystal for crystal in self.crystals if not self._record(crystal)), key=lambda one: one.atoms)

    def forget_failures(self) -> None:
        """Remove the records of cards that have failed, so that they are due again."""
        for crystal in self.crystals:
            if self._record(crystal).get("status") == FAILED:
                (self.folder / crystal.name / _RECORD).unlink()

    def compute(self, crystals: Sequence[Crystal], progress: Callable[[int, int, str], object] | None = None) -> None:
        """Compute the cards of some of the crystals, and write each as soon as it is there.

        Args:
            progress: called with (number done, all, name of the next).
        """
        with few_shapes():
            for done, crystal in enumerate(crystals):
                if progress:
                    progress(done, len(crystals), crystal.name)
                self._compute(crystal)
                make_room_for_programs()

    def rows(self) -> list[dict[str, Any]]:
        """One for each crystal, in their order: name, status, message, and the card's document or None."""
        return [self._row(crystal) for crystal in self.crystals]

    def _compute(self, crystal):
        folder = self.folder / crystal.name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{folder}: the folder of this crystal's card cannot be made: {error.strerror}; choose another --out"
            ) from error
        record = {"key": self._key(crystal), "given": crystal.given, "status": DONE, "message": ""}
        try:
            if crystal.problem:
                record |= {"status": FAILED, "message": crystal.problem}
            else:
                self.make(crystal).write(folder, self.pictures)
        except _PROBLEMS as error:
            name = "" if isinstance(error, JaxpotError) else f"{type(error).__name__}: "
            record |= {"status": FAILED, "message": f"{name}{' '.join(str(error).split())}"}
        # Last: without it the card is computed again.
        write_atomically(folder / _RECORD, (json.dumps(record, indent=1) + "\n").encode())

    def _row(self, crystal):
        record, document = self._record(crystal), None
        status, message = record.get("status", FAILED), record.get("message", "not computed")
        if status == DONE:
            try:
                document = json.loads((self.folder / crystal.name / _CARD).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                status, message = FAILED, f"its {_CARD} cannot be read: delete the folder and start again ({error})"
        return {"name": crystal.name, "given": crystal.given, "status": status, "message": message, "card": document}

    def _record(self, crystal):
        """The record of a crystal; empty where there is none, or of something else."""
        folder = self.folder / crystal.name
        try:
            record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(record, dict) or record.get("key") != self._key(crystal):
            return {}
        return record if record.get("status") != DONE or (folder / _CARD).exists() else {}

    def _key(self, crystal):
        about = json.dumps(self.about, sort_keys=True, default=str)
        return hashlib.sha256(f"{about} {crystal.digest()} {self.pictures}".encode()).hexdigest()


def distinct_names(given: Sequence[str]) -> list[str]:
    """Names of folders for files or words, each another: without folders and endings, numbered where two are alike."""
    names: list[str] = []
    taken: set[str] = set()
    for words in given:
        name = re.sub(r"[^\w.+-]+", "_", words).strip("._") or "crystal"
        count, name = 1, name[:80]
        unique = name
        while unique.lower() in taken:
            count += 1
            unique = f"{name}-{count}"
        taken.add(unique.lower())
        names.append(unique)
    return names

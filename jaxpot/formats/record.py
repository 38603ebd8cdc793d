"""The record that each file format brings: how its files are recognised, read and written, and by which options."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from jaxpot.errors import DataError, first_few
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior


class Family(StrEnum):
    """Kinds of potentials, so that whoever has a file that is not read learns which of its kind are."""

    THREE_BODY = "three-body potentials"
    BOND_ORDER = "bond-order potentials"
    EMBEDDED_ATOM = "embedded-atom potentials"
    MACHINE_LEARNED = "machine-learned potentials"


@dataclass(frozen=True)
class Option:
    """A keyword of a reader, beside the path.

    Attributes:
        name: the keyword of `jaxpot.load`.
        about: its meaning, for the help of the commands.
        metavar: names of the words behind the flag `--name` of the commands, as in argparse; None: there is no flag.
        nargs: how many words, as in argparse.
    """

    name: str
    about: str
    metavar: str | tuple[str, ...] | None = None
    nargs: str | int | None = None


SPECIES = Option(
    "species", "the elements of the model, where its files name none or more (some GAPs, MTPs, MEAM libraries)",
    metavar="EL", nargs="+",
)


@dataclass(frozen=True)
class FileList:
    """A list of files that are one model together.

    Attributes:
        about: the files, for messages: "EAM funcfl files (.eam), one for each element".
        count: how many there must be; None: any number.
    """

    about: str
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format of potentials: a file of `jaxpot/formats` ends with its own, and `jaxpot.catalog.FORMATS` lists it.

    Attributes:
        name: for lists and messages, with the ending or the name that files have: "LAMMPS Tersoff (.tersoff)".
        read: `read(path, **options)`; with `files`, `read(*paths, **options)`.
        family: of its potentials; None: any.
        magic: first bytes that no other format has.
        endings: in lower case, of names that are of this format whatever the file looks like.
        contents: `contents(head, path)`, whether a file of any other name looks like this format. `head` are its first
            bytes, b"" for a folder.
        options: keywords of `read`.
        files: lists of files that `read` takes.
        write: `write(potential, path)`.
        written_as: in lower case, endings of the names by which `jaxpot.save` chooses `write`.
    """

    name: str
    read: Callable[..., Potential | Posterior]
    family: Family | None = None
    magic: bytes | None = None
    endings: tuple[str, ...] = ()
    contents: Callable[[bytes, str], bool] | None = None
    options: tuple[Option, ...] = ()
    files: FileList | None = None
    write: Callable[[Potential, str], None] | None = None
    written_as: tuple[str, ...] = ()

    def claims(self, head: bytes, path: str) -> bool:
        """Whether the first bytes or the name leave no doubt that a file is of this format."""
        return self.magic is not None and head.startswith(self.magic) or path.lower().endswith(self.endings)

    def recognises(self, head: bytes, path: str) -> bool:
        """Whether a file is, or looks like, one of this format."""
        return self.claims(head, path) or self.contents is not None and self.contents(head, path)

    def misfit(self, heads: Mapping[str, bytes], paths: Sequence[str]) -> str | None:
        """Why a list of files is none of this format, to follow its description; None if it is one.

        Args:
            heads: path -> its first bytes.
            paths: of the files.
        """
        strangers = [path for path in paths if not self.recognises(heads[path], path)]
        if strangers:
            return f"of which {strangers[0]} is not one"
        if self.files is not None and self.files.count not in (None, len(paths)):
            return f"of which {len(paths)} are given"
        return None

    def load(self, paths: Sequence[str], options: Mapping[str, object]) -> Potential | Posterior:
        """Read a model from its file or files.

        Raises:
            DataError: an option that the reader does not take.
            FormatError: as `read`.
        """
        taken = [option.name for option in self.options]
        unused = ", ".join(f"{name}={value!r}" for name, value in options.items() if name not in taken)
        if unused:
            hint = f" (it takes {', '.join(taken)})" if taken else ""
            raise DataError(f"{first_few(paths)}: this format has no use for {unused}: leave that out{hint}")
        return self.read(*paths, **options)

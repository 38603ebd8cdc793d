"""What a GAP file in QUIP's XML format says, read as a stream."""

from dataclasses import dataclass, field
from xml.parsers import expat

from jaxpot.core.elements import SYMBOLS
from jaxpot.core.files import file_size
from jaxpot.errors import FormatError
from jaxpot.formats.text import LARGEST, LARGEST_FILE, float_of, shown
from jaxpot.typing import FilePath

MOST_POINTS = 10_000_000
_CHUNK = 1 << 20  # bytes
_DEEPEST = 64  # published files nest 6 deep
_SECTIONS = {"Glue_params", "LJ_params", "Morse_params", "SW_params", "Tersoff_params"}


@dataclass
class Coordinate:
    """One `gpCoordinates`: its attributes, texts and sparse points."""

    attributes: dict
    line: int
    descriptor: str = ""
    theta: str = ""
    permutations: list = field(default_factory=list)
    weights: list = field(default_factory=list)
    point_weights: list = field(default_factory=list)
    inline: list = field(default_factory=list)


@dataclass
class Section:
    """An element of the parameters of a classical potential, and what is in it."""

    name: str
    attributes: dict
    line: int
    children: list = field(default_factory=list)


class Document:
    """Contents of the XML, read as a stream: the training set in it is looked at, and not kept."""

    _TEXTS = ("descriptor", "theta", "permutation", "sparseX")

    def __init__(self, path: FilePath) -> None:
        self.path = path
        self.version, self.label = None, None
        self.potentials: list[str] = []
        self.e0: dict[int, float] = {}
        self.coordinates: list[Coordinate] = []
        self.sections: list[Section] = []
        self.has_core = False
        self.isolated = True  # e0 are energies of isolated atoms
        self.announced = None
        self.trained_on = _SpeciesOfFrames()
        self._open: list = []
        self._text: list = []
        self._sections: list = []
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        file_size(path, LARGEST_FILE)
        try:
            with open(path, "rb") as file:
                # Not `ParseFile`: of a long attribute, older versions of expat look at everything again with each 2 kB.
                while chunk := file.read(_CHUNK):
                    self._parser.Parse(chunk)
                self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise FormatError(f"this is not XML that is complete: {expat.ErrorString(error.code)}",
                              path, error.lineno) from error
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror or error}", path) from error
        except FormatError:
            raise
        except (LookupError, ValueError) as error:
            raise FormatError(f"the encoding that the file declares is not read ({error})", path) from error

    def error(self, message: str, name: str | None = None, line: int | None = None) -> FormatError:
        return FormatError(message, self.path, self._parser.CurrentLineNumber if line is None else line, name)

    def number(
        self, attributes: dict[str, str], name: str, default: float | None = None, line: int | None = None
    ) -> float:
        """A finite float among attributes, in Fortran's spelling too."""
        if name not in attributes:
            if default is not None:
                return default
            raise self.error("the attribute is missing", name, line)
        return self.finite(attributes[name], name, line)

    def count(
        self, attributes: dict[str, str], name: str, most: int, default: int | None = None, line: int | None = None
    ) -> int:
        value = self.number(attributes, name, default, line)
        if value != int(value) or not 0 <= value <= most:
            raise self.error(f"expected a whole number from 0 to {most}, got {attributes[name]!r}", name, line)
        return int(value)

    def finite(self, word: str, name: str, line: int | None = None) -> float:
        try:
            return float_of(word.strip().replace("D", "E").replace("d", "e"))
        except ValueError:
            raise self.error(f"expected a finite number, up to {LARGEST:g}, got {shown(word)}", name, line) from None

    def numbers(self, text: str, name: str, line: int | None = None) -> list[float]:
        return [self.finite(word, name, line) for word in text.split()]

    def check(self) -> None:
        """Refuse a file that lacks what must be in it, once everything has been read."""
        if self.version is None:
            raise FormatError("there is no GAP in this file (no GAP_params with a gap_version)", self.path)
        if self.announced is not None and self.announced != len(self.coordinates):
            raise FormatError(
                f"{self.announced} coordinates are announced, but there are {len(self.coordinates)}",
                self.path, field="n_coordinate",
            )
        if not self.coordinates:
            raise FormatError("there are no coordinates (gpCoordinates)", self.path)

    # Handlers of the parser.

    def _refuse_doctype(self, *_):
        raise self.error("a document type declaration is refused: it could make the file grow without bound")

    def _start(self, name, attributes):
        self._open.append(name)
        if len(self._open) > _DEEPEST:
            raise self.error(f"elements are nested more than {_DEEPEST} deep", name)
        if self._sections or name in _SECTIONS:
            section = Section(name, attributes, self._parser.CurrentLineNumber)
            (self._sections[-1].children if self._sections else self.sections).append(section)
            self._sections.append(section)
            return
        if name in self._TEXTS:
            self._text = []
        if name == "Potential":
            self.potentials.append(attributes.get("init_args", ""))
        elif name == "GAP_params":
            if self.version is not None:
                raise self.error("a second GAP in one file is not read", name)
            self.version = self.number(attributes, "gap_version", 0.0)
        elif name == "GAP_data":
            if attributes.get("do_core", "F").strip().upper().startswith(("T", ".T")):
                self.has_core = True
            self.isolated = attributes.get("e0_method", "isolated") == "isolated"
        elif name == "e0":
            z = self.count(attributes, "Z", len(SYMBOLS) - 1)
            self.e0[z] = self.number(attributes, "value")
        elif name == "gpSparse":
            self.announced = self.count(attributes, "n_coordinate", 10_000)
        elif name == "gpCoordinates":
            self.coordinates.append(Coordinate(attributes, self._parser.CurrentLineNumber))
        elif name == "sparseX":
            if "gpCoordinates" not in self._open:
                raise self.error("a sparse point outside of gpCoordinates", name)
            here = self.coordinates[-1]
            if self.count(attributes, "i", MOST_POINTS) != len(here.weights) + 1:
                raise self.error(f"expected sparse point {len(here.weights) + 1}, got i={attributes['i']}", name)
            here.weights.append(self.number(attributes, "alpha"))
            here.point_weights.append(self.number(attributes, "sparseCutoff", 1.0))

    def _end(self, name):
        self._open.pop()
        if self._sections:
            self._sections.pop()
            return
        if name in self._TEXTS and self.coordinates:
            text, here = "".join(self._text).strip(), self.coordinates[-1]
            if name == "descriptor":
                here.descriptor = text
            elif name == "theta":
                here.theta = text
            elif name == "permutation":
                here.permutations.append([int(n) for n in self.numbers(text, name)])
            elif text:
                here.inline.append(self.numbers(text, name))
            self._text = []

    def _characters(self, text):
        inside = self._open[-1] if self._open else None
        if inside in self._TEXTS:
            self._text.append(text)
        elif inside == "XYZ_data":
            self.trained_on.feed(text)


class _SpeciesOfFrames:
    """The elements in frames of extended XYZ that come in pieces of text."""

    def __init__(self):
        self.numbers = set()
        self._rest, self._atoms, self._comment = "", 0, False

    def feed(self, text):
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        for line in lines:
            self._line(line.strip())

    def _line(self, line):
        if self._comment:
            self._comment = False
        elif self._atoms:
            words = line.split(None, 1)
            if words:
                if words[0] in SYMBOLS:
                    self.numbers.add(SYMBOLS.index(words[0]))
                self._atoms -= 1
        elif line.isascii() and line.isdigit():
            self._atoms, self._comment = int(line[:18]), True

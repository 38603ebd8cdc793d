"""Nequix models: `NequIP` networks with parity, a line of settings and the arrays behind it."""

import io
import json
import math
from typing import Any

import numpy as np

from jaxpot.core.elements import SYMBOLS
from jaxpot.core.files import read_bytes
from jaxpot.core.npz import array_header
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.record import Family, Format
from jaxpot.potentials.equivariant_messages import HIGHEST_DEGREE
from jaxpot.potentials.nequip import HopWidths, Interaction, NequIP
from jaxpot.typing import FilePath

SILU = 1.6765620560798837  # what e3nn_jax multiplies silu with, its quadrature in double precision
_FIXED = {"index_weights": False, "layer_norm": True, "radial_mlp_layers": 2}


def read_nequix(path: FilePath) -> NequIP:
    """Read a model.

    Constant factors (roots of numbers of inputs and of neighbours, the norm of silu) are multiplied into the weights.

    Args:
        path: of the file.

    Returns:
        `NequIP`.

    Raises:
        FormatError: a file that is damaged, or of an architecture that is not read.

    References:
        T. Koker, T. Smidt, Training a foundation model for materials on a budget, arXiv:2508.16067 (2025).
    """
    arrays, settings = _Arrays.of(path)
    species = settings.value("atomic_numbers", list)
    if not all(type(z) is int and 0 < z < len(SYMBOLS) for z in species) or sorted(species) != species:
        raise FormatError("atomic_numbers are not those of elements, ascending", path)
    cutoff, hops = settings.positive("cutoff"), int(settings.positive("n_layers"))
    highest = int(settings.value("lmax", int))
    if not 0 <= highest <= HIGHEST_DEGREE:
        raise FormatError(f"lmax={highest} is not read; expected 0 to {HIGHEST_DEGREE}", path)
    channels = _channels(settings.value("hidden_irreps", str), path)
    energies = arrays.next("atom_energies", (len(species),))
    neighbors = math.sqrt(settings.positive("avg_n_neighbors"))
    interactions, shown = [], (len(species),)
    for hop in range(hops):
        leaving = channels if hop + 1 < hops else channels[:1]
        interactions.append(_interaction(arrays, settings, hop, shown, leaving, highest, neighbors))
        shown = leaving
    readout = arrays.next("readout", (channels[0], 1))[:, 0] / math.sqrt(channels[0])
    radial = int(settings.value("radial_basis_size", int))
    scale, shift = (float(settings.value(name, (int, float))) for name in ("scale", "shift"))
    try:
        return NequIP(
            np.eye(len(species)), tuple(interactions), SILU * readout, np.full(len(species), scale), shift + energies,
            math.pi / cutoff * np.arange(1, radial + 1), np.array(2.0 / cutoff), tuple(species), cutoff,
            highest, True, ("polynomial", float(settings.value("radial_polynomial_p", (int, float)))),
        )
    except DataError as error:
        raise FormatError(str(error), path) from error


def _interaction(arrays, settings, hop, shown, leaving, highest, neighbors):
    """`Interaction` of a hop: its arrays are the next ones of the file."""
    widths = HopWidths.of(shown, leaving, highest, True)
    width, count = int(settings.value("radial_mlp_size", int)), int(settings.value("radial_basis_size", int))
    before = SILU if hop else 1.0
    radial = [
        arrays.next(f"layer {hop}, radial {k}", shape)
        for k, shape in enumerate([(count, width), (width, width), (width, sum(widths.weights))])
    ]
    sent = arrays.matrices(f"layer {hop}, linear_1", shown, shown)
    into = arrays.matrices(f"layer {hop}, linear_2", widths.received, widths.entering)
    skip = arrays.matrices(f"layer {hop}, skip", shown, widths.entering)
    norm = [arrays.next(f"layer {hop}, norm", (n,)) for n in widths.entering]
    return Interaction(
        tuple(before * w for w in skip), tuple(before * w for w in sent),
        (*radial[:-1], _in_turn(radial[-1], widths)), tuple(w / neighbors for w in into), np.zeros(shown[0]),
        np.zeros(widths.entering[0]), tuple(norm),
    )


def _in_turn(matrix, widths):
    """Columns for each path in turn, of a matrix whose columns are sorted by the degrees of the messages."""
    order = sorted(range(len(widths.paths)), key=lambda n: widths.paths[n][2])
    return widths.in_turn(matrix, order)


def _channels(text, path):
    """Channels of each degree in words such as 128x0e + 64x1o, whose parities alternate."""
    parts = [part.strip() for part in text.split("+")]
    blocks = [part.split("x") for part in parts]
    kinds = [f"{degree}{'eo'[degree % 2]}" for degree in range(len(blocks))]
    if any(len(b) != 2 or not b[0].isdigit() for b in blocks) or [b[1] for b in blocks] != kinds:
        raise FormatError(f"hidden_irreps {text!r} are not read; expected one block of each degree, as 128x0e + 64x1o",
                          path)
    return tuple(int(b[0]) for b in blocks)


class _Settings:
    """First line of a file."""

    def __init__(self, line: bytes, path: FilePath) -> None:
        try:
            table = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"the first line is not JSON ({error}); expected the settings of a Nequix model", path
                              ) from error
        if not isinstance(table, dict):
            raise FormatError("the first line holds no settings of a Nequix model", path)
        self.table, self.path = table, path
        for name, value in _FIXED.items():
            if table.get(name, value) != value:
                raise FormatError(f"{name}={table[name]!r} is not read; expected {value!r}", path)

    def value(self, name: str, kind: Any) -> Any:
        """A setting of a type."""
        value = self.table.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise FormatError(f"setting {name} is missing or not what it should be: {value!r}", self.path)
        return value

    def positive(self, name: str) -> float:
        """A number above zero."""
        number = float(self.value(name, (int, float)))
        if not 0.0 < number < math.inf:
            raise FormatError(f"setting {name}: expected a positive number, got {number:g}", self.path)
        return number


class _Arrays:
    """Arrays of a file, one after the other."""

    def __init__(self, data: bytes, path: FilePath) -> None:
        self.stream, self.path = io.BytesIO(data), path

    @classmethod
    def of(cls, path: FilePath) -> tuple["_Arrays", _Settings]:
        """Arrays and settings of a file."""
        line, _, data = read_bytes(path).partition(b"\n")
        return cls(data, path), _Settings(line, path)

    def next(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The next array, and a typed error if it is damaged or of another shape."""
        try:
            header = array_header(self.stream)
            if header.shape != shape or header.by_columns and len(shape) > 1 or header.dtype.kind != "f":
                raise FormatError(f"{name}: expected numbers {shape}, got {header.dtype} {header.shape}", self.path)
            size = math.prod(shape) * header.dtype.itemsize
            data = self.stream.read(size)
            if len(data) != size:
                raise ValueError("the file ends within it")
        except ValueError as error:
            raise FormatError(f"{name}: the array cannot be read ({error})", self.path) from error
        with np.errstate(invalid="ignore"):
            array = np.frombuffer(data, header.dtype).reshape(shape).astype(np.float64)
        if not np.isfinite(array).all():
            many = f"{np.sum(~np.isfinite(array))} of {array.size}"
            raise FormatError(f"{name}: {many} numbers are not finite", self.path)
        return array

    def matrices(self, name: str, inputs: Any, outputs: Any) -> list[np.ndarray]:
        """Matrices (inputs, outputs) of each degree that has both, over the root of the number of inputs."""
        pairs = zip(inputs, outputs, strict=False)
        return [self.next(f"{name}, l = {k}", (n, m)) / math.sqrt(n) for k, (n, m) in enumerate(pairs)]


def _contents(head, path):
    return head.startswith(b"{") and b'"cutoff"' in head and b'"atomic_numbers"' in head


FORMAT = Format(
    name="Nequix (.nqx)", read=read_nequix, family=Family.MACHINE_LEARNED, contents=_contents,
)

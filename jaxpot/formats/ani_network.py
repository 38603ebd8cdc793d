"""The networks of ANI: `ANN-X.nnf`, a text about layers that bz2 has compressed, and files of weights beside it."""

import bz2
import re
from pathlib import Path
from typing import Any

import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.files import file_size
from jaxpot.errors import FormatError
from jaxpot.formats.text import shown
from jaxpot.readouts.network import MLP

_ACTIVATIONS = {"6": "identity", "9": "celu"}
_PLAIN = {"type": "0", "btchnorm": "0"}  # another value would be another layer
_LONGEST_TEXT = 10**6  # characters of a description of layers
_LARGEST_LAYER = 10**7  # weights


def read_network(folder: Path, place: str, element: int, inputs: int, rows: np.ndarray) -> MLP:
    """Read the network of an element.

    Args:
        folder: of the model, which no path leaves.
        place: of the networks of a member in it: "train0/networks".
        element: atomic number.
        inputs: how many the network must have.
        rows: places of the inputs that are kept.

    Raises:
        FormatError: files that are missing or damaged, another number of inputs, or what is not supported.
    """
    path = inside(folder, f"{place}/ANN-{symbol(element)}.nnf")
    kernels, biases, activations = [], [], []
    for layer in _layers(path, _text(path), element, inputs):
        nodes, width = layer["nodes"], layer["blocksize"]
        weights = _numbers(path, inside(folder, f"{place}/{layer['weights']}"), nodes * width)
        kernels.append(weights.reshape(nodes, width).T)
        biases.append(_numbers(path, inside(folder, f"{place}/{layer['biases']}"), nodes))
        activations.append(_ACTIVATIONS[layer["activation"]])
    kernels[0] = kernels[0][rows]
    return MLP(tuple(kernels), tuple(biases), tuple(activations))


def inside(folder: Path, name: str) -> Path:
    """Path of a file in a folder, also where links lead: whoever sends a folder must not choose what else is read.

    Raises:
        FormatError: there is none, or it is a link out of the folder.
    """
    path = folder / name
    try:
        stays = path.resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a circle; ValueError: a zero byte in a name
        raise FormatError(f"cannot be read: {getattr(error, 'strerror', None) or error}", path) from error
    if not stays:
        raise FormatError("is a link to another folder, which is not followed: put the file itself there", path)
    return path


def _text(path):
    """The text: in the file its length, =, the end of a line, and the text compressed."""
    data = _bytes(path, _LONGEST_TEXT)
    head = re.match(rb"(\d{1,7})=\n", data)
    if head is None or int(head[1]) > _LONGEST_TEXT:
        raise FormatError(f"expected a length up to {_LONGEST_TEXT}, = and the end of a line, got {data[:12]!r}", path)
    unpacker, length = bz2.BZ2Decompressor(), int(head[1])
    try:
        text = unpacker.decompress(data[head.end():], max_length=length + 1)
    except (OSError, ValueError) as error:
        raise FormatError(f"expected text that bz2 has compressed: {error}", path) from error
    if not unpacker.eof or unpacker.unused_data or len(text) != length:
        raise FormatError(f"expected {length} characters that bz2 has compressed; it is truncated, or longer", path)
    return text.decode("latin-1")


def _bytes(path, most=None):
    file_size(path, most)
    try:
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror or error}", path) from error


def _layers(path, text, element, inputs):
    """Fields of each layer, checked: `inputsize=N; atom_net X $ layer [ nodes=...; ... ] layer [ ... ] $`."""
    head, *bodies = re.split(r"layer\s*\[", text)
    found = re.fullmatch(r"\s*inputsize=(\d{1,9});\s*atom_net\s+(\w{1,3})\s+\$\s*", head)
    if found is None:
        raise FormatError(f"expected inputsize=...; atom_net ... $, got {shown(head)}", path)
    if int(found[1]) != inputs or found[2] != symbol(element):
        raise FormatError(
            f"expected a network of {symbol(element)} with {inputs} inputs, the length of the vectors of the .params "
            f"file; got one of {found[2]} with {found[1]}", path,
        )
    layers, width = [], inputs
    for k, body in enumerate(bodies, 1):
        inner, _, rest = body.rpartition("]")
        if rest.strip(" \n\0") != ("$" if k == len(bodies) else ""):
            raise FormatError("expected ], and behind it another layer or $ at the end", path, None, f"layer {k}")
        layers.append(_layer(path, f"layer {k}", inner, width))
        width = layers[-1]["nodes"]
    if not layers or width != 1:
        raise FormatError(f"expected layers, the last of one node; got {len(layers)}, the last of {width}", path)
    return layers


def _layer(path, where, body, width):
    """Fields `name=value;` of a layer of so many inputs."""
    values: dict[str, Any] = {}
    *fields, rest = body.split(";")
    for field in (*fields, *([rest] if rest.strip() else [])):
        name, equals, value = (part.strip() for part in field.partition("="))
        if not equals or name in values:
            raise FormatError(f"expected fields name=value; each once, got {shown(field.strip())}", path, None, where)
        values[name] = value

    def refuse(name, expected):
        got = shown(values[name]) if name in values else "nothing"
        raise FormatError(f"expected {expected}; got {got}", path, None, f"{where}: {name}")

    for name in ("nodes", "blocksize"):
        if not re.fullmatch(r"[1-9][0-9]{0,6}", values.get(name, "")):
            refuse(name, "a number")
    if int(values["blocksize"]) != width:
        refuse("blocksize", f"the {width} outputs of the layer before, or inputs")
    nodes = int(values["nodes"])
    if nodes * width > _LARGEST_LAYER:
        refuse("nodes", f"at most {_LARGEST_LAYER // width}")
    if values.get("activation") not in _ACTIVATIONS:
        refuse("activation", "9 (CELU) or 6 (none)")
    for name, plain in _PLAIN.items():
        if values.get(name, plain) != plain:
            refuse(name, f"{plain}: no other is supported")
    checked = {"nodes": nodes, "blocksize": width, "activation": values["activation"]}
    for name, count in (("weights", nodes * width), ("biases", nodes)):
        file = re.fullmatch(r"FILE:([A-Za-z0-9_.-]{1,200})\[([0-9]{1,9})\]", values.get(name, ""))
        if file is None or int(file[2]) != count:
            refuse(name, f"FILE:NAME[{count}], with a name of letters, digits, dots and -")
        checked[name] = file[1]
    return checked


def _numbers(network, path, count):
    """Numbers in single precision, little-endian, (count,), in double precision."""
    size = file_size(path)
    if size != 4 * count:
        raise FormatError(f"expected {count} numbers of 4 bytes, as {network.name} says, got {size} bytes", path)
    numbers = np.frombuffer(_bytes(path), "<f4")
    finite = np.isfinite(numbers)
    if len(numbers) != count or not finite.all():
        raise FormatError(f"number {int(np.argmin(finite)) + 1} is not finite", path)
    return numbers.astype(np.float64)

"""Writing neural network potentials as folders for n2p2."""

import os
from pathlib import Path

import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.save import write_atomically
from jaxpot.descriptors.symmetry_functions import Radial, SymmetryFunctions
from jaxpot.errors import DataError
from jaxpot.formats.n2p2_settings import ACTIVATIONS, FADES, SCALING, SETTINGS, file_order
from jaxpot.potentials.base import Potential
from jaxpot.potentials.constants import apart_from_constants
from jaxpot.potentials.described import Described
from jaxpot.readouts.network import MLP
from jaxpot.readouts.neural import Neural
from jaxpot.typing import FilePath

_LETTERS = {name: letter for letter, name in ACTIVATIONS.items()}


def write_n2p2(potential: Potential, path: FilePath) -> None:
    """Write a folder in eV and A (LAMMPS: `cflength 1.0 cfenergy 1.0`), the settings last.

    Inputs are scaled with `scale_symmetry_functions_sigma`; offsets and scales of outputs go into the last layer.

    Args:
        potential: a network (`Described` with `SymmetryFunctions` and `Neural`, an `MLP`) for each element, and
            `Constants`, with factors.
        path: the folder; it is made if need be, and must hold no potential.

    Raises:
        DataError: what the format cannot express, or a folder that cannot be written.
    """
    path = Path(path)
    networks, energies = _parts(potential)
    elements = sorted(networks)
    fade, inner = _common(networks, lambda term: (term.descriptor.fade, term.descriptor.inner), "cutoff function")
    hidden = _common(networks, lambda term: len(term.readout.network.kernels) - 1, "number of layers")
    normalised = _common(networks, lambda term: term.readout.network.normalised, "normalised")
    if (path / SETTINGS).exists():
        raise DataError(f"{path / SETTINGS} exists: remove the folder or choose another name")
    head = ["# written by jaxpot", "# units: Angstrom eV", f"number_of_elements {len(elements)}"]
    head += [f"elements {' '.join(map(symbol, elements))}", f"cutoff_type {FADES.index(fade)} {inner!r}"]
    head += ["scale_symmetry_functions_sigma", "scale_min_short 0.0", "scale_max_short 1.0"]
    head += ["normalize_nodes"] if normalised else []
    head += [f"atom_energy {symbol(z)} {energies[z]!r}" for z in elements if energies.get(z, 0.0) != 0.0]
    head += [f"global_hidden_layers_short {hidden}"]
    files, scaling, functions = {}, [], []
    for place, element in enumerate(elements, 1):
        factor, term = networks[element]
        keys = [file_order(function) for function in term.descriptor.functions]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        scaling += _scaling(place, term.readout, order)
        functions += [_line(element, term.descriptor.functions[k]) for k in order]
        files[f"weights.{element:03d}.data"] = _weights(term.readout, factor, order)
        head += _layers(term.readout.network, element, first=place == 1)
    files[SCALING] = "\n".join(scaling)
    files[SETTINGS] = "\n".join([*head, *functions])
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path} cannot be made: {error.strerror or error}") from error
    for name, text in files.items():
        write_atomically(os.fspath(path / name), (text + "\n").encode())


def _parts(potential):
    """Element -> (factor, term), and the energies of atoms by element."""
    networks = {}
    energies, others = apart_from_constants(potential)
    for factor, term in others:
        if not (
            isinstance(term, Described) and isinstance(term.descriptor, SymmetryFunctions)
            and isinstance(term.readout, Neural) and isinstance(term.readout.network, MLP)
        ):
            raise DataError(
                f"{term!r} has no place in a folder of n2p2: expected Constants, and Described with SymmetryFunctions "
                "and a Neural with an MLP"
            )
        centers = term.descriptor.centers or term.species
        if centers is None or len(centers) != 1 or centers[0] in networks:
            raise DataError(f"{term!r}: expected one network for each element, the centre that its descriptor names")
        networks[centers[0]] = float(factor), term
    if not networks:
        raise DataError(f"{potential!r} has no network in it")
    missing = {z for _, term in networks.values() for z in term.species or ()} - set(networks)
    if missing:
        raise DataError(f"there is no network of {', '.join(map(symbol, sorted(missing)))}")
    return networks, energies


def _common(networks, function, what):
    found = {function(term) for _, term in networks.values()}
    if len(found) != 1:
        raise DataError(f"{what}: one for all elements is expected, got {sorted(found)}")
    return found.pop()


def _scaling(place, readout, order):
    shift, factor = np.asarray(readout.shift, float), np.asarray(readout.factor, float)
    if (factor <= 0.0).any():
        raise DataError(f"factor: expected positive numbers, got {factor.min():g}")
    lower = shift if readout.lower is None else np.array(readout.lower)
    upper = shift + 1.0 / factor if readout.upper is None else np.array(readout.upper)
    return [
        f"{place} {n} " + " ".join(repr(float(x)) for x in (lower[k], upper[k], shift[k], 1.0 / factor[k]))
        for n, k in enumerate(order, 1)
    ]


def _line(center, function):
    words = ["symfunction_short", symbol(center)]
    if function.weighted and not isinstance(function, Radial) and (function.elements or not function.narrow):
        raise DataError(f"{function}: weighted functions are narrow, and of all elements")
    if isinstance(function, Radial):
        words += ["12"] if function.weighted else ["2", _element(function, function.element)]
        words += [repr(x) for x in (function.eta, function.shift, function.cutoff)]
    elif function.weighted:
        numbers = (function.eta, function.shift, function.sign, function.zeta, function.cutoff)
        words += ["13", *map(repr, numbers)]
    else:
        words += ["3" if function.narrow else "9", *(_element(function, z) for z in function.elements or (None, None))]
        words += [repr(x) for x in (function.eta, function.sign, function.zeta, function.cutoff, function.shift)]
    return " ".join(words)


def _element(function, element):
    if element is None:
        raise DataError(f"{function}: without weights the elements of the neighbours have to be named")
    return symbol(element)


def _weights(readout, factor, order):
    network = readout.network
    kernels = [np.asarray(kernel, float) for kernel in network.kernels]
    biases = [np.asarray(bias, float) for bias in network.biases]
    if network.activations[-1] != "identity":
        if (float(readout.offset), factor * float(readout.scale)) != (0.0, 1.0):
            raise DataError("offset and scale of an output that is not linear have no place in a folder of n2p2")
    else:
        width = kernels[-1].shape[0] if network.normalised else 1.0
        scale = factor * float(readout.scale)
        kernels[-1] = kernels[-1] * scale
        biases[-1] = biases[-1] * scale + factor * float(readout.offset) * width
    kernels[0] = kernels[0][order]
    lines = []
    for kernel, bias in zip(kernels, biases, strict=True):
        lines += [f"{value!r} a" for value in kernel.ravel().tolist()] + [f"{value!r} b" for value in bias.tolist()]
    return "\n".join(lines)


def _layers(network, element, first):
    nodes = [kernel.shape[1] for kernel in network.kernels[:-1]]
    unknown = [name for name in network.activations if name not in _LETTERS]
    if unknown:
        raise DataError(f"the activation {unknown[0]!r} has no place in a folder of n2p2")
    letters = [_LETTERS[name] for name in network.activations]
    if first:
        return [f"global_nodes_short {' '.join(map(str, nodes))}", f"global_activation_short {' '.join(letters)}"]
    return [f"element_nodes_short {symbol(element)} {k} {n}" for k, n in enumerate(nodes, 1)] + [
        f"element_activation_short {symbol(element)} {k} {c}" for k, c in enumerate(letters, 1)
    ]

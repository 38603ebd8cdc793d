"""Writing neuroevolution potentials as files of GPUMD."""

import math
import os

import jax
import numpy as np

from jaxpot.basis.moment_invariants import COUPLINGS
from jaxpot.core.elements import symbol
from jaxpot.core.save import write_atomically
from jaxpot.descriptors.neuroevolution import NeuroevolutionDescriptor
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, addends
from jaxpot.potentials.described import Described
from jaxpot.potentials.faded_zbl import FadedZBL
from jaxpot.readouts.element_networks import ElementNetworks
from jaxpot.readouts.network import MLP
from jaxpot.readouts.neural import Neural
from jaxpot.typing import FilePath

_DENSE = 0.2  # atoms in an A^3, more than in diamond: GPUMD makes room for the neighbours
_OLD = COUPLINGS[:2]


def write_nep(potential: Potential, path: FilePath) -> None:
    """Write a NEP of version 3 or 4; atomically.

    Args:
        potential: a `Described` with a `NeuroevolutionDescriptor` and `ElementNetworks` or a `Neural` of one hidden
            layer of tanh, times a factor; and a `FadedZBL`, where there is one.

    Raises:
        DataError: what the format cannot express, or a file that cannot be written.
    """
    term, factor, zbl = _parts(potential)
    descriptor, readout = term.descriptor, term.readout
    species, couplings = descriptor.species, descriptor.couplings
    by_element = isinstance(readout, ElementNetworks)
    w0, b0, w1, offset, scales = _of_elements(readout) if by_element else _of_all(readout)
    version = 4 if by_element or len(species) == 1 else 3
    lines = [f"nep{version}{'' if zbl is None else '_zbl'} {len(species)} {' '.join(map(symbol, species))}"]
    tail: list = []
    if zbl is not None:
        line, tail = _zbl(zbl, species)
        lines.append(line)
    lines += [_cutoffs(descriptor)]
    shapes = zip(descriptor.radial.shape[2:], descriptor.angular.shape[2:], strict=True)
    lines += [f"{name} {a - 1} {b - 1}" for name, (a, b) in zip(("n_max", "basis_size"), shapes, strict=True)]
    flags = [2 * ("222" in couplings), *(int(name in couplings) for name in COUPLINGS[1:2])]
    if not set(couplings) <= set(_OLD):
        flags = [int(name in couplings) for name in COUPLINGS]
    lines += [f"l_max {descriptor.l_max} {' '.join(map(str, flags))}", f"ANN {w0.shape[2]} 0"]
    values = [part for k in range(len(w0)) for part in (w0[k].T, -b0[k], factor * w1[k])]
    values += [-factor * offset]
    values += [np.asarray(c).transpose(2, 3, 0, 1) for c in (descriptor.radial, descriptor.angular)]
    values += [scales, *tail]
    lines += [repr(float(x) + 0.0) for part in values for x in np.ravel(np.asarray(part, float))]
    write_atomically(os.fspath(path), ("\n".join(lines) + "\n").encode())


def _parts(potential):
    """The term with the descriptor, its factor, and the repulsion or None."""
    terms: list = []
    repulsions: list = []
    for factor, term in addends(potential):
        if isinstance(term, FadedZBL) and float(factor) == 1.0:
            repulsions.append(term)
        elif isinstance(term, Described) and isinstance(term.descriptor, NeuroevolutionDescriptor):
            terms.append((term, float(factor)))
        else:
            raise DataError(
                f"{term!r} has no place in a NEP file: expected a Described with a NeuroevolutionDescriptor, and a "
                "FadedZBL without a factor"
            )
    if len(terms) != 1 or len(repulsions) > 1:
        raise DataError(
            f"a NEP file holds one NeuroevolutionDescriptor and one FadedZBL at most, got {len(terms)} and "
            f"{len(repulsions)}"
        )
    return *terms[0], repulsions[0] if repulsions else None


def _of_elements(readout):
    """Kernels, biases, outputs, offset and scales of the inputs."""
    return tuple(
        np.asarray(a, float)
        for a in (readout.kernels, readout.biases, readout.outputs, readout.offset, readout.factor)
    )


def _of_all(readout):
    """The same of one network for all elements."""
    network = readout.network if isinstance(readout, Neural) else None
    if not isinstance(network, MLP) or network.activations != ("tanh", "identity") or network.normalised:
        raise DataError(f"{readout!r}: expected a Neural with an MLP of one hidden layer of tanh and a linear output")
    (w0, w1), (b0, b1) = jax.tree.map(lambda a: np.asarray(a, float), (network.kernels, network.biases))
    scales, scale = np.asarray(readout.factor, float), float(readout.scale)
    b0 = b0 - (np.asarray(readout.shift, float) * scales) @ w0
    return w0[None], b0[None], scale * w1.T, scale * b1[0] + float(readout.offset), scales


def _cutoffs(descriptor):
    """The radii, and for how many neighbours there is room."""
    radii = descriptor.radial_cutoffs, descriptor.angular_cutoffs
    count = max(map(len, radii))
    pairs = zip(*(r * count if len(r) == 1 else r for r in radii), strict=True)
    room = (math.ceil(_DENSE * 4.0 / 3.0 * math.pi * max(r) ** 3) for r in radii)
    return " ".join(["cutoff", *(repr(r) for pair in pairs for r in pair), *map(str, room)])


def _zbl(zbl, species):
    """The line of the repulsion, and ten numbers of each pair of elements where it has its own."""
    if zbl.species != species:
        raise DataError(f"{zbl!r}: expected the elements of the descriptor in their order, {species}")
    plain = FadedZBL(species, 0.0, 1.0)
    single = all(np.array_equal(getattr(zbl, name), getattr(plain, name)) for name in ("amplitudes", "decays"))
    if single and not isinstance(zbl.inner, tuple) and not isinstance(zbl.outer, tuple):
        return f"zbl {zbl.inner!r} {zbl.outer!r}", []
    count = len(zbl.pairs)
    columns = [np.broadcast_to(np.asarray(r, float), count) for r in (zbl.inner, zbl.outer)]
    factors = (np.broadcast_to(np.asarray(a, float), (count, 4)) for a in (zbl.amplitudes, zbl.decays))
    for amplitude, decay in zip(*(a.T for a in factors), strict=True):
        columns += [amplitude, decay]
    return "zbl 0 0", [np.stack(columns, axis=1)]

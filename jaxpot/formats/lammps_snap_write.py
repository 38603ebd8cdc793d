"""Writing SNAP potentials as LAMMPS's `.snapcoeff`, with the `.snapparam` beside it."""

import os
from pathlib import Path

import jax
import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.save import write_atomically
from jaxpot.descriptors.bispectrum import FLAGS, Bispectrum
from jaxpot.errors import DataError
from jaxpot.formats.terms_by_element import terms_by_element
from jaxpot.potentials.base import Potential
from jaxpot.readouts.linear import Linear
from jaxpot.readouts.quadratic import Quadratic
from jaxpot.typing import FilePath

_KEYWORDS = ("rcutfac", "twojmax", "rfac0", "rmin0")


def write_snap(potential: Potential, path: FilePath) -> None:
    """Write the two files, the coefficients last.

    Args:
        potential: a `Described` with a `Bispectrum` and a `Linear` or a `Quadratic` for each element, and `Constants`,
            with factors.
        path: of the coefficients; the parameters have the ending `.snapparam` in place of its own.

    Raises:
        DataError: what the format cannot express, or files that cannot be written.
    """
    terms, energies = _parts(potential)
    descriptor, quadratic = _common(terms)
    lines = ["# LAMMPS SNAP parameters, written by jaxpot UNITS: metal", ""]
    lines += [f"{name} {getattr(descriptor, name)!r}" for name in _KEYWORDS]
    lines += [f"{name} {int(getattr(descriptor, name))}" for name in FLAGS]
    lines += [f"quadraticflag {int(quadratic)}"]
    if descriptor.sinner is not None:
        lines += ["switchinnerflag 1"]
        lines += [f"{name} {' '.join(map(repr, getattr(descriptor, name)))}" for name in ("sinner", "dinner")]
    rows = [(z, np.append(energies.get(z, 0.0), terms[z][1])) for z in descriptor.species]
    coefficients = ["# LAMMPS SNAP coefficients, written by jaxpot UNITS: metal", "", f"{len(rows)} {len(rows[0][1])}"]
    for (z, values), radius, weight in zip(rows, descriptor.radii, descriptor.weights, strict=True):
        coefficients += [f"{symbol(z)} {radius!r} {weight!r}", *(repr(float(c)) for c in values)]
    for file, text in ((Path(path).with_suffix(".snapparam"), lines), (Path(path), coefficients)):
        write_atomically(os.fspath(file), ("\n".join(text) + "\n").encode())


def _parts(potential):
    """Element -> (descriptor, coefficients, whether they are quadratic), and the constants by element."""
    terms, energies = terms_by_element(potential, Bispectrum, (Linear, Quadratic), "SNAP")
    parts = {}
    for z, (factor, term) in terms.items():
        readout = term.readout
        values = factor * np.asarray(readout.delta, float) * np.asarray(readout.weights, float)
        parts[z] = term.descriptor.replace(centers=None), values, isinstance(readout, Quadratic)
    return parts, energies


def _common(terms):
    """The descriptor of all elements, and whether coefficients are quadratic."""
    (descriptor, _, quadratic), *others = terms.values()
    form = jax.tree.structure(descriptor)  # what it holds is static
    if any((jax.tree.structure(other), q) != (form, quadratic) for other, _, q in others):
        raise DataError("SNAP files hold one bispectrum for all elements, linear or quadratic for all")
    missing = [symbol(z) for z in descriptor.species if z not in terms]
    if missing:
        raise DataError(f"there are no coefficients of {', '.join(missing)}")
    return descriptor, quadratic

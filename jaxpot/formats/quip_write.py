"""Gaussian approximation potentials written in QUIP's XML format."""

import hashlib
import os
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from jaxpot.checks import check_potential
from jaxpot.core.elements import name_species, symbol
from jaxpot.core.save import write_atomically
from jaxpot.descriptors import SOAP, Pair, Triangle, Triplet
from jaxpot.errors import DataError
from jaxpot.formats.quip_write_parts import PARTS, digits, nested_sum, write_parts
from jaxpot.kernels import DotProduct, Permuted, SquaredExponential
from jaxpot.potentials.base import Potential, addends
from jaxpot.potentials.constants import Constants, knows_isolated_atoms
from jaxpot.potentials.described import leaves_residual
from jaxpot.typing import FilePath

# gap_version: the first with the conventions of today, and one before power spectra had (2 l + 1)^(-1/2).
_VERSION, _OLD_VERSION = 1426512068, 0


def write_quip_xml(potential: Potential, path: FilePath) -> None:
    """Write a GAP as QUIP reads it: an XML file, and beside it a file of sparse points for each term.

    The side files are called `<name of the XML>.sparseX.<label><number>`. The label is made from the contents,
    so that models do not overwrite each other's points, and it is what QUIP calls the model: `quippy.Potential(
    "xml_label=<label>", param_filename=path)`. Factors of terms go into delta and the weights.

    Classical terms become the parts of a `Sum` with the GAP, with their parameters in the same file.

    Args:
        potential: `Constants`, `Described` and classical terms, added up and scaled in any way. The descriptors are
            SOAP, Pair, Triplet or Triangle, the readouts `SparseGP` with a dot product or a squared exponential
            (for Triangle, `Permuted`). The classical terms are Glue, LennardJones, Morse, StillingerWeber and
            Tersoff, as far as QUIP's have the same form.
        path: the XML file; the side files come into the same folder. Everything is checked before anything
            is written, and the XML is written last.

    Raises:
        DataError: something that the format cannot express, by name, or a side file that is another model's.

    References:
        Conventions by comparison with QUIP.
    """
    check_potential(potential)
    path = os.fspath(path)
    e0, terms, others = _sort(potential)
    coordinates = [_coordinate(factor, term) for factor, term in terms]
    version = _version(terms)
    parts = write_parts(others, e0)
    contents = (version, sorted(e0.items()), coordinates, [ElementTree.tostring(section) for _, section in parts])
    label = f"GAP_{hashlib.sha256(repr(contents).encode()).hexdigest()[:16]}"
    sides = [f"{path}.sparseX.{label}{k}" for k in range(1, len(coordinates) + 1)]
    names = [os.path.basename(side) for side in sides]
    root = _xml(label, version, e0, knows_isolated_atoms(potential), coordinates, names, parts)
    ElementTree.indent(root)
    _write_sides({side: coordinate.points for side, coordinate in zip(sides, coordinates, strict=True)})
    write_atomically(path, ElementTree.tostring(root) + b"\n")


@dataclass(frozen=True)
class _Coordinate:
    """One `gpCoordinates`, in words and digits."""

    descriptor: str
    attributes: tuple
    theta: str
    weights: tuple  # (alpha, sparseCutoff)
    points: bytes
    elements: frozenset  # that the descriptor names
    dimension: int
    permutations: tuple = ()


# What is in the potential ---------------------------------------------------------------------------------


def _sort(potential):
    """Reference energies by element, the terms (factor, Described), and classical ones."""
    e0, terms, others = {}, [], []
    constants = [(float(factor), term) for factor, term in addends(potential) if isinstance(term, Constants)]
    species = potential.species
    if species is None:
        raise DataError(f"{potential!r} does not say which elements it serves: add Constants with their energies")
    for z in species:
        e0[z] = sum(factor * float(term.energies[term.species.index(z)]) for factor, term in constants)
    for factor, term in addends(potential):
        if isinstance(term, Constants):
            continue
        process = leaves_residual(term)
        if not process and type(term) not in PARTS:
            known = ", ".join(kind.__name__ for kind in PARTS)
            raise DataError(
                f"{term!r} has no place in a GAP file: expected Constants, Described with a SparseGP, or {known}"
            )
        if float(factor) == 0.0:
            raise DataError(f"{term!r} is multiplied by 0: leave it out")
        (terms if process else others).append((float(factor), term))
    if not terms:
        raise DataError(f"{potential!r} has no Gaussian process: a GAP file needs one")
    return e0, terms, others


def _version(terms):
    """The gap_version that stands for the kind of power spectrum."""
    kinds = {term.descriptor.l_weight for _, term in terms if isinstance(term.descriptor, SOAP)}
    if len(kinds) > 1:
        raise DataError("SOAPs with and without l_weight cannot stand in one GAP file: it has one gap_version")
    if kinds != {False}:
        return _VERSION
    for _, term in terms:
        several = isinstance(term.descriptor, SOAP) and len(term.descriptor.species or ()) > 1
        if several and not term.descriptor.central_reference_all_species:
            raise DataError(
                "a SOAP of several species without l_weight can be written with central_reference_all_species only: "
                "GAPs of that time had the central atom in every channel"
            )
    return _OLD_VERSION


def _coordinate(factor, term):
    descriptor, readout = term.descriptor, term.readout
    write = {SOAP: _soap, Pair: _pair, Triplet: _triplet, Triangle: _triangle}.get(type(descriptor))
    if write is None:
        raise DataError(
            f"{type(descriptor).__name__} cannot be written for QUIP; expected SOAP, Pair, Triplet or Triangle"
        )
    points, kernel = np.asarray(readout.points, np.float64), readout.kernel
    if isinstance(descriptor, SOAP) and descriptor.compact:
        points = descriptor.expand(points)
    dimension = points.shape[1]
    kind, theta = _kernel(kernel, descriptor, dimension)
    factors = np.ones(len(points)) if readout.point_weights is None else np.asarray(readout.point_weights)
    # delta^2 alpha is multiplied by the factor, the variance delta^2 by its square.
    words, elements = write(descriptor)
    return _Coordinate(
        " ".join(f"{key}={value}" if key else value for key, value in words.items()),
        (("signal_variance", digits(abs(factor) * float(readout.delta))), *kind),
        theta,
        tuple(zip(map(digits, np.asarray(readout.weights) / factor), map(digits, factors), strict=True)),
        "".join(f" {digits(x)}\n" for x in points.ravel()).encode(),
        frozenset(elements),
        dimension,
        kernel.permutations if isinstance(kernel, Permuted) else (tuple(range(dimension)),),
    )


def _kernel(kernel, descriptor, dimension):
    """Attributes, and the text of theta."""
    if isinstance(descriptor, Triangle):
        found = kernel.permutations if isinstance(kernel, Permuted) else ((0, 1, 2),)
        if set(found) != set(descriptor.permutations):
            raise DataError(
                f"a Triangle needs a kernel that does not depend on the order of like atoms: expected Permuted with "
                f"{descriptor.permutations}, got {found}"
            )
    if isinstance(kernel, Permuted):
        kernel = kernel.kernel
    elif isinstance(kernel, DotProduct):
        return (("covariance_type", "2"), ("zeta", digits(kernel.zeta))), ""
    if not isinstance(kernel, SquaredExponential):
        raise DataError(
            f"{type(kernel).__name__} is not in QUIP; expected DotProduct, SquaredExponential, or Permuted with that"
        )
    theta = np.asarray(kernel.theta)
    if theta.ndim and isinstance(descriptor, SOAP) and descriptor.compact:
        raise DataError("single lengths theta for components of a compact SOAP cannot be put in QUIP's order: give one")
    return (("covariance_type", "1"),), " ".join(map(digits, np.broadcast_to(theta, dimension)))


# Descriptors: their words, and the elements that these name -----------------------------------------------


def _soap(descriptor):
    if descriptor.centers is not None and len(descriptor.centers) != 1:
        raise DataError(f"a SOAP about {name_species(descriptor.centers)} at once: give each its own term")
    words = {
        "": "soap", "n_max": descriptor.n_max, "l_max": descriptor.l_max, **_reach(descriptor),
        "atom_sigma": float(descriptor.atom_sigma), "central_weight": float(descriptor.central_weight),
        "normalise": _flag(descriptor.normalise), "covariance_sigma0": float(descriptor.covariance_sigma0),
        "central_reference_all_species": _flag(descriptor.central_reference_all_species),
        "basis_error_exponent": float(descriptor.basis_error_exponent),
    }
    if descriptor.centers is not None:
        words["Z"] = descriptor.centers[0]
    if descriptor.species is not None:
        words |= {"n_species": len(descriptor.species), "species_Z": "{" + " ".join(map(str, descriptor.species)) + "}"}
    return words, {*(descriptor.centers or ()), *(descriptor.species or ())}


def _pair(descriptor):
    if descriptor.once:
        return _cluster(descriptor, 2, compact=False)
    return _named(descriptor, "distance_2b", ("Z1", "Z2"))


def _triplet(descriptor):
    return _named(descriptor, "angle_3b", ("Z", "Z1", "Z2"))


def _triangle(descriptor):
    return _cluster(descriptor, 3, descriptor.compact)


def _cluster(descriptor, order, compact):
    elements = descriptor.elements or (0,) * order
    if None in elements:
        raise DataError(f"clusters of {elements} are not in QUIP: expected {order} elements, or None for all")
    words = {
        "": "distance_Nb", "order": order, **_reach(descriptor), "compact_clusters": _flag(compact),
        "Z": "{" + " ".join(map(str, elements)) + "}",
    }
    return words, set(elements) - {0}


def _named(descriptor, name, keys):
    elements = [z or 0 for z in descriptor.elements or (None,) * len(keys)]
    return {"": name, **_reach(descriptor), **dict(zip(keys, elements, strict=True))}, set(elements) - {0}


def _reach(descriptor):
    return {"cutoff": descriptor.cutoff, "cutoff_transition_width": descriptor.cutoff_transition_width}


def _flag(value):
    return "T" if value else "F"


# The files ------------------------------------------------------------------------------------------------


def _xml(label, version, e0, isolated, coordinates, sides, parts):
    named = set().union(*(coordinate.elements for coordinate in coordinates))
    if not named <= set(e0):
        raise DataError(
            f"the descriptors name {name_species(sorted(named - set(e0)))}, for which the potential is not made: "
            "add its reference energy in Constants"
        )
    root = ElementTree.Element(label)
    words = [f"IP {kind} label={section.get('label')}" for kind, section in parts]
    init_args = nested_sum([*words, f"IP GAP label={label}"])
    ElementTree.SubElement(root, "Potential", label=label, init_args=init_args)
    root.extend(section for _, section in parts)
    gap = ElementTree.SubElement(root, "GAP_params", label=label, gap_version=str(version))
    data = ElementTree.SubElement(gap, "GAP_data", do_core="F", **({} if isolated else {"e0_method": "average"}))
    for z, energy in sorted(e0.items()):
        ElementTree.SubElement(data, "e0", Z=str(z), value=digits(energy))
    sparse = ElementTree.SubElement(gap, "gpSparse", label=label, n_coordinate=str(len(coordinates)), fitted="T")
    for k, (coordinate, side) in enumerate(zip(coordinates, sides, strict=True), 1):
        node = ElementTree.SubElement(
            sparse, "gpCoordinates", label=f"{label}{k}", dimensions=str(coordinate.dimension), signal_mean=digits(0),
            sparsified="T", n_permutations=str(len(coordinate.permutations)),
            n_sparseX=str(len(coordinate.weights)), sparseX_filename=side,
            sparseX_md5sum=hashlib.md5(coordinate.points, usedforsecurity=False).hexdigest(),
            **dict(coordinate.attributes),
        )
        if coordinate.theta:
            ElementTree.SubElement(node, "theta").text = coordinate.theta
        ElementTree.SubElement(node, "descriptor").text = coordinate.descriptor
        for i, permutation in enumerate(coordinate.permutations, 1):
            ElementTree.SubElement(node, "permutation", i=str(i)).text = " ".join(str(k + 1) for k in permutation)
        for i, (alpha, factor) in enumerate(coordinate.weights, 1):
            ElementTree.SubElement(node, "sparseX", i=str(i), alpha=alpha, sparseCutoff=factor)
    if not all(coordinate.elements for coordinate in coordinates):
        # Where descriptors name no elements, these are looked for in the training set: here, one frame of names.
        atoms = "".join(f"{symbol(z)} 0 0 0\n" for z in sorted(e0))
        ElementTree.SubElement(gap, "XYZ_data").text = f"\n{len(e0)}\nelements, no training set\n{atoms}"
    return root


def _write_sides(contents):
    """Write the side files; if one fails, those that are new are taken away again."""
    new = [path for path in contents if not os.path.exists(path)]
    for path in contents:
        if path not in new and open(path, "rb").read() != contents[path]:
            raise DataError(f"{path} exists and holds other points: remove it, or choose another name")
    try:
        for path in new:
            write_atomically(path, contents[path])
    except BaseException:
        for path in new:
            if os.path.exists(path):
                os.unlink(path)
        raise

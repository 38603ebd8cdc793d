"""Gaussian approximation potentials in QUIP's XML format."""

from pathlib import Path

import numpy as np

from jaxpot.core.elements import name_species
from jaxpot.core.numbers import as_number
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.quip_classical import read_classical
from jaxpot.formats.quip_descriptors import descriptor_words, read_term
from jaxpot.formats.quip_document import Document
from jaxpot.formats.quip_init_args import read_parts
from jaxpot.formats.quip_write import write_quip_xml
from jaxpot.formats.record import SPECIES, Family, Format, Option
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.described import Described
from jaxpot.potentials.parameters import species_numbers
from jaxpot.typing import Elements, FilePath


def read_quip_xml(path: FilePath, species: Elements | None = None, tolerance: float = 0.0) -> Potential:
    """Read a GAP as `gap_fit` writes it.

    The file holds reference energies e0 of the elements and any number of coordinates: a descriptor, a
    covariance, weights, and sparse points in the file itself or in files beside it. Those may be compressed
    (.xz, .bz2). A GAP may stand on a core, a classical potential that was subtracted from the data before the
    fit: QUIP adds the parts of a sum up (Glue, LJ, Morse, SW, Tersoff, with their parameters in the file).

    Args:
        path: the XML file.
        species: the elements that the model serves. Needed only where neither the descriptors nor the training
            set in the file (`XYZ_data`) name any: that there is an e0 does not make an element known. Where they
            do, some of these.
        tolerance: eV, by how much shorter SOAP vectors of each term may change site energies (`readouts.compaction`); a
            warning tells by how much they do. By default no more than rounding.

    Returns:
        A potential: `Constants`, plus one `Described` for each coordinate, plus the classical parts of the sum.

    Raises:
        FormatError: not such a file, a part that is not understood, or a missing or damaged side file.
        DataError: nothing says which elements the model serves, or others are given than the file names.

    References:
        V. L. Deringer et al., Gaussian process regression for materials and molecules, Chem. Rev. 121, 10073
        (2021). Conventions by comparison with QUIP.
    """
    document = Document(Path(path))
    document.check()
    parts = read_parts(document)
    tolerance = as_number(tolerance, "tolerance", "an energy in eV")
    if tolerance < 0.0:
        raise DataError(f"tolerance: expected an energy in eV that is not negative, got {tolerance:g}")
    pairs = [read_term(document, coordinate, tolerance) for coordinate in document.coordinates]
    known = _species(document, species)
    terms = [Described(descriptor, readout, known) for descriptor, readout in pairs]
    missing = [z for z in known if z not in document.e0]
    if missing:
        raise FormatError(f"there is no e0 for {name_species(missing)}", path, field="e0")
    constants = Constants(np.array([document.e0[z] for z in known]), known, document.isolated)
    others = [read_classical(document, kind, label, known) for kind, label in parts]
    try:
        return Sum.of(constants, *terms, *others)
    except DataError as error:
        raise FormatError(str(error), path, field="init_args") from error


def _species(document, given):
    """The elements that a file serves: named by descriptors, else by the training set, else by the user."""
    named = set()
    general = False
    for coordinate in document.coordinates:
        _, options = descriptor_words(document, coordinate)
        elements = {z for key in ("Z", "Z1", "Z2", "species_Z") for z in options.elements(key, "0")} - {0}
        general = general or not elements
        named |= elements
    if general or not named:
        named |= document.trained_on.numbers
    if given is not None:
        chosen = species_numbers(given)
        if named and not set(chosen) <= named:
            raise DataError(
                f"{document.path}: the file was made for {name_species(sorted(named))}, not for "
                f"{name_species(chosen)}: leave species out, or give some of its own"
            )
        return chosen
    if not named:
        raise DataError(
            f"{document.path}: nothing in the file says for which elements it was made (the descriptors have no Z, "
            "and there is no training set): give them, as in jp.load(path, species=['Si']) or --species Si"
        )
    return tuple(sorted(named))


def _looks_like_gap(head, path):
    return head.lstrip().startswith(b"<") and (path.lower().endswith(".xml") or b"<GAP" in head)


FORMAT = Format(
    name="GAP (QUIP's .xml)",
    family=Family.MACHINE_LEARNED,
    contents=_looks_like_gap,
    read=read_quip_xml,
    options=(
        SPECIES,
        Option("tolerance", "eV, by how much site energies may change for the sake of speed; by default by rounding"),
    ),
    write=write_quip_xml,
    written_as=(".xml",),
)

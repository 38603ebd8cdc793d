"""CIF files through ASE's parser, with an error for everything that its reader drops or makes up.

ASE keeps the atom of the largest occupancy on a shared site, reads the capitals SI as sulfur, leaves out rows that it
cannot count, and merges a site that is listed twice. None of that is what the file says.
"""

import re
import warnings

import numpy as np
from ase import Atoms
from ase.io.cif import CIFBlock, parse_cif
from ase.io.formats import open_with_compression

from jaxpot.core.distances import closest_pair
from jaxpot.core.elements import NUCLIDES, SYMBOLS
from jaxpot.core.structure import Structure
from jaxpot.errors import FormatError, GeometryError, first_few
from jaxpot.typing import FilePath

_FULL = 1e-3  # of an occupancy: how far it may be from one
_DISTINCT = 0.5  # A; no two nuclei of a crystal are closer, at any pressure that an experiment has reached
_SYMBOL, _LABEL, _OCCUPANCY = "_atom_site_type_symbol", "_atom_site_label", "_atom_site_occupancy"
_FORMULA = "_chemical_formula_sum"
_KNOWN = (*SYMBOLS[1:], *NUCLIDES)
_ORDERED = (
    "a potential needs one whole atom on each site: write an ordered supercell (or a special quasirandom structure) "
    "and read that"
)


def read_cif(path: FilePath, index: int | slice) -> list[Atoms]:
    """Crystals of a CIF file.

    Args:
        path: file name; compressed files are read as ASE reads them.
        index: a slice or an integer, of the blocks with atomic sites.

    Returns:
        list of `ase.Atoms`; deuterium and tritium are hydrogen of their masses.

    Raises:
        FormatError: a site that is shared, partly empty, without an element or listed twice; symmetry copies that
            nearly coincide; rows that cannot be read; no cell. What ASE's parser raises on other damage is its own.
    """
    with warnings.catch_warnings(record=True) as said, open_with_compression(str(path), "rb") as file:
        warnings.simplefilter("always")
        blocks = list(parse_cif(file))
    lost = [str(warning.message) for warning in said if _means_loss(str(warning.message))]
    if lost:
        raise FormatError(f"rows or columns of a table cannot be read ({lost[0]}); correct the table", file=path)
    blocks = [block for block in blocks if _SYMBOL in block or _LABEL in block]
    chosen = blocks[index] if isinstance(index, slice) else blocks[index:index + 1 or None]
    return [_Sites(block, path).atoms() for block in chosen]


def _means_loss(message):
    return message.startswith(("Wrong number", "Duplicated loop tags"))


class _Sites:
    """The atomic sites of one block: labels, elements, masses and occupancies as the file has them."""

    def __init__(self, block, path):
        self.block, self.path = block, path
        columns = {name: _column(block.get(name)) for name in (_SYMBOL, _LABEL, _OCCUPANCY)}
        texts = columns[_SYMBOL] or columns[_LABEL]
        self.labels = [str(label) for label in columns[_LABEL] or texts]
        self.elements = [self.element(k, str(text), bool(columns[_SYMBOL])) for k, text in enumerate(texts)]
        given = columns[_OCCUPANCY] or [1.0] * len(texts)
        self.occupancies = [1.0 if value in (".", "?") else value for value in given]

    def error(self, message):
        return FormatError(message, file=self.path, field=f"block {self.block.name}")

    def atoms(self):
        """The crystal, with every copy of every site, or the reason why there is none."""
        self.refuse_partial()
        self.refuse_missing()
        tags = {name: value for name, value in self.block.items() if name != _OCCUPANCY}
        tags[_SYMBOL] = ["H" if element in NUCLIDES else element for element in self.elements]
        block = CIFBlock(self.block.name, tags)
        if "_atom_site_fract_x" in block and block.get_cell().rank != 3:
            raise self.error("coordinates are fractions of a cell, and there are no six lengths and angles of one")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="scaled_positions")  # said below, with labels
            atoms = block.get_atoms()
        kinds = atoms.arrays.get("spacegroup_kinds", np.arange(len(atoms)))
        self.refuse_merged(kinds)
        self.refuse_close(atoms, kinds)
        masses = atoms.get_masses()
        for k, kind in enumerate(kinds):
            if self.elements[kind] in NUCLIDES:
                masses[k] = NUCLIDES[self.elements[kind]][1]
        atoms.set_masses(masses)
        return atoms

    def element(self, k, text, typed):
        """The element, D or T of a site."""
        symbol = _type_symbol(text) if typed else _of_label(text)
        if symbol is None:
            raise self.error(
                f"site {self.labels[k]}: {text!r} does not say which element; remove vacancies and dummy sites, and "
                f"write the element of all others into a column {_SYMBOL}"
            )
        return symbol

    def refuse_partial(self):
        """Refuse sites that are not occupied by exactly one atom."""
        partial = [
            f"{label} ({element} {value:g})" if isinstance(value, int | float) else f"{label} ({element} {value!r})"
            for label, element, value in zip(self.labels, self.elements, self.occupancies, strict=True)
            if not isinstance(value, int | float) or abs(value - 1.0) > _FULL
        ]
        if partial:
            raise self.error(f"sites are occupied in part: {first_few(partial)}; {_ORDERED}")

    def refuse_missing(self):
        """Refuse dummy sites, and hydrogen that the file speaks of without a site for it."""
        flags = _column(self.block.get("_atom_site_calc_flag")) or []
        dummies = [label for label, flag in zip(self.labels, flags, strict=False) if flag == "dum"]
        if dummies:
            raise self.error(f"dummy sites (_atom_site_calc_flag dum) are no atoms: remove {first_few(dummies)}")
        attached = _column(self.block.get("_atom_site_attached_hydrogens")) or []
        bare = [label for label, n in zip(self.labels, attached, strict=False) if isinstance(n, int) and n > 0]
        if bare:
            raise self.error(f"hydrogen attached to {first_few(bare)} has no sites (_atom_site_attached_hydrogens)")
        formula = re.findall("[A-Za-z]+", str(self.block.get(_FORMULA, "")))
        hydrogen = {"H", "D", "T"}
        if hydrogen & set(formula) and not hydrogen & set(self.elements):
            raise self.error(
                f"hydrogen is in the formula ({_FORMULA} {self.block[_FORMULA]}), but has no site: add the atoms, or "
                "correct the formula if there are none"
            )

    def refuse_merged(self, kinds):
        """Refuse sites that are left out because they are a copy of another one."""
        missing = [self.labels[k] for k in sorted(set(range(len(self.labels))) - set(kinds.tolist()))]
        if missing:
            raise self.error(
                f"{first_few(missing)}: at the place of another site, or of a symmetry copy of one; remove what is "
                "listed twice (where all atoms of the cell are listed, declare the space group P 1); if two elements "
                f"share the place, {_ORDERED}"
            )

    def refuse_close(self, atoms, kinds):
        """Refuse copies that nearly coincide."""
        try:
            closest = closest_pair(Structure.of(atoms))
        except GeometryError as error:
            raise self.error(str(error)) from error
        if closest is None or closest.distance > _DISTINCT:
            return
        names = [self.labels[kinds[k]] for k in closest.atoms]
        what = f"two copies of {names[0]}" if names[0] == names[1] else f"{names[0]} and {names[1]}"
        raise self.error(
            f"{what} are {closest.distance:.3g} A apart: give coordinates of special positions with all digits "
            f"(0.33333, not 0.333), and keep one of alternative sites; {_ORDERED}"
        )


def _type_symbol(text):
    """The element of a type symbol such as Si, SI, Cu2+ or O2-; None of anything else."""
    symbol = re.match("[A-Za-z]*", text)[0].capitalize()
    return symbol if symbol in _KNOWN else None


def _of_label(text):
    """The element that a label such as O1A or CaM2 begins with; None if there is none, or if it may be two (CA1)."""
    start = re.match("[A-Z][a-z]?(?![a-z])", text)
    symbol = start[0] if start else None
    other = re.match("[A-Za-z]{0,2}", text)[0].capitalize()
    if symbol not in _KNOWN or symbol == "T" or (other != symbol and other in _KNOWN):  # T: a tetrahedral site
        return None
    return symbol


def _column(value):
    """The values of a column; of a table of one row without loop_, that one."""
    return [value] if isinstance(value, str | int | float) else value

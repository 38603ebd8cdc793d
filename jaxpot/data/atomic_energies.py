"""Energies of isolated atoms: from the data, given, or by least squares, and never silently mixed."""

import re
from collections.abc import Sequence

import numpy as np

from jaxpot.core.elements import atomic_number, name_species, symbol
from jaxpot.core.neighbors import find_neighbors
from jaxpot.core.numbers import as_number
from jaxpot.data.frame import Frame
from jaxpot.errors import DataError, GeometryError

ISOLATED = 10.0  # A; an atom whose own images are further away than this is taken for isolated
_SAME = 1e-4  # eV; what two energies of one atom may differ by
LEAST_SQUARES = "least squares"
_NOTHING = "zero, for want of energies"


def tells_of_atoms(origin: str) -> bool:
    """True if energies of this origin (`atomic_energies`) are those of isolated atoms."""
    return not origin.startswith((LEAST_SQUARES, _NOTHING))


def is_isolated(frame: Frame) -> bool:
    """True if a frame is an isolated atom: one atom without an image closer than 10 A, or called so.

    Raises:
        DataError: it is called so (config_type `isolated_atom`, `IsolatedAtom`, ...), but has more atoms than one.
    """
    called = re.sub("[^a-z]", "", frame.config_type.lower()) in ("isolatedatom", "isolated")
    if called and len(frame) > 1:
        raise DataError(
            f"{frame.source or 'a frame'}: config_type={frame.config_type!r} says isolated atom, but there are "
            f"{len(frame)} atoms"
        )
    try:
        return called or (len(frame) == 1 and not find_neighbors(frame.structure, ISOLATED).counts.any())
    except GeometryError as error:
        raise GeometryError(f"{frame.source or 'a frame'}: {error}") from error


def atomic_energies(
    frames: Sequence[Frame], isolated: Sequence[Frame], e0: dict | str | None = None
) -> tuple[dict[int, float], str]:
    """Find the energy of an isolated atom of each element, and its origin.

    Args:
        frames: the frames without isolated atoms.
        isolated: the isolated atoms among the data.
        e0: None: isolated atoms or, where there are none at all, least squares; a dict from element (symbol or
            number) to eV, for the elements that have no isolated atom in the data; or "least squares": the e that
            minimise sum_frames (E/n - sum_z (n_z/n) e_z)^2, for one element the mean energy per atom.

    Returns:
        (dict from atomic number to eV, "isolated atoms in the data" or "given" or "least squares" or a
        combination that names the elements).

    Raises:
        DataError: energies that contradict each other, elements without an energy.
    """
    species = sorted({int(z) for frame in frames for z in np.unique(frame.numbers)})
    if isinstance(e0, str):
        if e0 != LEAST_SQUARES:
            raise DataError(f'e0: expected a dict such as {{"Si": -0.8}} (eV), "least squares" or None, got {e0!r}')
        return _least_squares(frames, species)
    isolated_energies = _from_isolated(isolated)
    given = _given(e0)
    for z in sorted(set(isolated_energies) & set(given)):
        if abs(isolated_energies[z][0] - given[z]) > _SAME:
            raise DataError(
                f"e0: {given[z]:g} eV is given for {symbol(z)}, but {isolated_energies[z][1]} is an isolated atom with "
                f"{isolated_energies[z][0]:g} eV: leave that atom out of the data or out of e0"
            )
    if not isolated_energies and e0 is None:
        return _least_squares(frames, species)
    energies = {z: energy for z, (energy, _) in isolated_energies.items()} | given
    missing = [z for z in species if z not in energies]
    if missing:
        known = f"there are some for {name_species(list(energies))}" if energies else "none is given"
        raise DataError(
            f"no energy of an isolated atom is known for {name_species(missing)} ({known}): "
            f'give e0={{"{symbol(missing[0])}": ...}} in eV, or e0="{LEAST_SQUARES}"'
        )
    return dict(sorted(energies.items())), _origin(sorted(set(isolated_energies) - set(given)), sorted(given))


def _origin(isolated, given):
    if isolated and given:
        return f"isolated atoms in the data ({name_species(isolated)}), given ({name_species(given)})"
    return "given" if given else "isolated atoms in the data"


def _from_isolated(isolated):
    """Atomic number -> (eV, where it was found)."""
    energies = {}
    for frame in isolated:
        z, where = int(frame.numbers[0]), frame.source or f"an isolated {symbol(int(frame.numbers[0]))}"
        if frame.energy is None:
            raise DataError(f"{where}: an isolated atom without an energy; remove it or give it one")
        if z in energies and abs(energies[z][0] - frame.energy) > _SAME:
            raise DataError(
                f"two energies for an isolated {symbol(z)}: {energies[z][0]!r} eV ({energies[z][1]}) and "
                f"{frame.energy!r} eV ({where}); keep one of them"
            )
        energies.setdefault(z, (frame.energy, where))
    return energies


def _given(e0):
    if e0 is None:
        return {}
    if not hasattr(e0, "items"):
        raise DataError(f'e0: expected a dict such as {{"Si": -0.8}} (eV), "least squares" or None, got {e0!r}')
    given = {}
    for element, energy in e0.items():
        z = atomic_number(element if isinstance(element, str) else int(element))
        if z in given:
            raise DataError(f"e0: {symbol(z)} is given twice")
        given[z] = as_number(energy, f"e0 of {symbol(z)}", "an energy in eV")
    return given


def _least_squares(frames, species):
    known = [frame for frame in frames if frame.energy is not None]
    if not known:
        return dict.fromkeys(species, 0.0), _NOTHING
    shares = np.array([[np.count_nonzero(f.numbers == z) / len(f) for z in species] for f in known])
    per_atom = np.array([f.energy / len(f) for f in known])
    energies, _, rank, _ = np.linalg.lstsq(shares, per_atom, rcond=1e-10)
    origin = LEAST_SQUARES
    if rank < len(species):
        origin += f" (the compositions do not tell {name_species(species)} apart: the smallest that fit)"
    return {z: float(e) for z, e in zip(species, energies, strict=True)}, origin

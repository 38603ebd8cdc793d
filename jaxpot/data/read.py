"""`read_dataset`: training data from files, under keys that are named, with nothing guessed."""

import os
from collections.abc import Sequence

import numpy as np

from jaxpot.data.dataset import Dataset, dataset_of
from jaxpot.data.labels import CONFIG_TYPE, STRESS, Keys
from jaxpot.errors import DataError
from jaxpot.io.files import read_atoms


def read_dataset(
    files: str | os.PathLike | Sequence[str | os.PathLike], energy: str | None = "energy",
    forces: str | None = "forces", stress: str | None = STRESS, virial: str | None = None,
    config_type: str | None = CONFIG_TYPE, e0: dict | str | None = None, index: str | int | slice = ":", *,
    require: Sequence[str] = ("energy", "forces"), sigma_energy: str | None = None, sigma_forces: str | None = None,
    sigma_stress: str | None = None,
) -> Dataset:
    """Read structures with their labels from extended XYZ files or anything else that ASE reads.

    Each label is read under the key that is named, in `info`, in `arrays` or among the results of a calculator:
    ASE moves `energy`, `forces` and `stress` of a file there. Where two of these places contradict each other, that
    is an error. A key that is named must occur; only the usual `stress` and `config_type` may be missing altogether.

    Signs and units are not guessed: a stress is +1/V dE/dstrain in eV/A^3 (as in ASE), a virial is -V times that, in
    eV (as in QUIP). If both are read, they must agree. Six numbers are xx yy zz yz xz xy. The stress of a frame with
    open axes has no volume to refer to; it is left out, and `notes` says so.

    Frames that are an isolated atom (one atom without an image closer than 10 A, or with a config_type such as
    `isolated_atom`) are not among the frames of the result: their energies are its `e0`.

    Args:
        files: a path or several.
        energy: key of the energy of all atoms, eV; None: not wanted.
        forces: key of the forces, eV/A; None: not wanted.
        stress: key of the stress, eV/A^3; None: not wanted.
        virial: key of a virial, eV.
        config_type: key of the name of the group that a frame belongs to; frames without it are in "default".
        e0: energies of isolated atoms: None, a dict from element to eV, or "least squares". By default those in
            the data or, if there are none at all, least squares; `Dataset.e0_origin` tells.
        index: which frames of each file, as in ASE: ":", "-1", "::10", an integer or a slice.
        require: labels, of those that are wanted, which every frame must have (isolated atoms need only an energy).
        sigma_energy: key of a sigma for the energy of one frame, eV/atom.
        sigma_forces: key of a sigma for its force components, eV/A.
        sigma_stress: key of a sigma for its stress components, eV/A^3.

    Returns:
        `Dataset`.

    Raises:
        FormatError: a file is missing or damaged; a key that is there twice; more atoms declared than there are.
        DataError: a label that is missing, not finite, of wrong shape or contradicted by another one; energies of
            isolated atoms that contradict each other or are known for some elements only.
    """
    keys = Keys(energy, forces, stress, virial, config_type, sigma_energy, sigma_forces, sigma_stress)
    atoms, sources = [], []
    for path in _paths(files):
        frames, numbers = _read(path, index)
        atoms += frames
        sources += [f"{path}, frame {k}" for k in numbers]
    return dataset_of(atoms, keys, sources, e0, require)


def _paths(files):
    if isinstance(files, str | os.PathLike):
        return [os.fspath(files)]
    paths = [os.fspath(path) for path in files]
    if not paths:
        raise DataError("files: expected the name of a file or several, got none")
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise DataError(f"files: {twice[0]} is given twice")
    return paths


def _read(path, index):
    """`ase.Atoms` of one file that are wanted, and their numbers in the file."""
    atoms = read_atoms(path, ":")
    wanted = np.arange(len(atoms))[_slice(index, len(atoms), path)]
    return [atoms[k] for k in wanted], wanted.tolist()


def _slice(index, count, path):
    try:
        if isinstance(index, slice):
            return slice(*index.indices(count))
        parts = [int(part) if part.strip() else None for part in str(index).split(":")]
        if len(parts) > 1:
            return slice(*slice(*parts).indices(count))
        first = parts[0]
        if -count <= first < count:
            return slice(first, first + 1 or None)
    except (TypeError, ValueError) as error:
        raise DataError(f'index: expected ":", "-1", "::10", an integer or a slice, got {index!r}') from error
    raise DataError(f"{path}: there is no frame {index} among {count}")

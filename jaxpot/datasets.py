"""Public data sets by name: from a folder, or downloaded once, at a pinned commit, with their checksums."""

import hashlib
import http.client
import json
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxpot import units
from jaxpot.core.save import write_atomically
from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset, Frame, dataset_of
from jaxpot.data.labels import Keys
from jaxpot.data.read import read_dataset
from jaxpot.errors import DataError, FormatError

_COMMIT = "10c427a5480c6281c15c64efaf869b03be04818f"
_ADDRESS = f"https://raw.githubusercontent.com/materialsvirtuallab/mlearn/{_COMMIT}/data"
_SPLITS = {"train": "training", "test": "test"}  # here -> in the repository
_ELEMENTS = ("Cu", "Ge", "Li", "Mo", "Ni", "Si")
_TIMEOUT = 60  # s without an answer
_VOIGT = {"yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}


@dataclass(frozen=True)
class _File:
    """Identity of a file: its sha256, or the name that git gives its contents, sha1 of "blob <size>", 0, contents."""

    most: int  # bytes
    sha256: str = ""
    blob: str = ""

    def mismatch(self, data):
        """Describe the difference, or None."""
        if self.sha256:
            kind, expected, found = "sha256", self.sha256, hashlib.sha256(data).hexdigest()
        else:
            contents = b"blob %d\0" % len(data) + data
            kind, expected, found = "git blob", self.blob, hashlib.sha1(contents).hexdigest()  # noqa: S324 (git's)
        return None if found == expected else f"{kind} {found}, expected {expected}"


_FILES = {
    ("Cu", "test"): _File(608400, "1805a315ce8d0ce4a18bb761df4c4f619909ce114d598d426015d0071edc98c2"),
    ("Cu", "train"): _File(50_000_000, blob="9804a3c4335bc6cb796d67b3e90a8f203844ab40"),
    ("Ge", "test"): _File(311848, "737ea6159c9dd27ebee7fb8ffae22f15e20466884927771248ca4f5b2cd3f093"),
    ("Ge", "train"): _File(2796663, "43dee02009a5167f94c7aafce19051222bcfc328c46181750cc2a2018187ca00"),
    ("Li", "test"): _File(279684, "554d0ce60b35a07b357be3a80bf04f68eb8fc97b5a88328caf08c860b5e9b260"),
    ("Li", "train"): _File(2446522, "1cac01475c5a4fb85771ee1fd23366a6b8abfb9891e0c9e088b6e37228e147b3"),
    ("Mo", "test"): _File(250629, "68169e2927c2115daa2f504805fcb9548ee65daf2dd015428807ba92f8e13bb8"),
    ("Mo", "train"): _File(2127325, "b13305fca0d0d2631ab080c8fcf13c743ee79a911712fb65a34ca88fadf09f9a"),
    ("Ni", "test"): _File(611126, "dccbfa14ddff5d1d35f658c48b68f6b431f95496a5261ef8b8f4d1d41e36008a"),
    ("Ni", "train"): _File(50_000_000, blob="70f0abe1a2cc06ada3fcd7e5bc68e2139b942228"),
    ("Si", "test"): _File(309803, "d452b30a89f23bff76f7cc529b7b6c2d159ea81ccd5a4599fb1a18207654fa91"),
    ("Si", "train"): _File(2669946, "ae6d4b0a65b00e0fcf7ba0a6fad366716710d2f0d21d70199203089c6866b500"),
}


def mlearn(element: str, split: str = "train", e0: dict[int, float] | dict[str, float] | str | None = None) -> Dataset:
    """The benchmark of Zuo et al.: DFT (PBE) energies, forces and stresses of Cu, Ge, Li, Mo, Ni or Si.

    Read from `mlearn/<element>/<split>.xyz` in the folder that the environment variable JAXPOT_DATA names, if it is
    set; else the file of the authors' repository is downloaded, once, into a folder of the user (`jaxpot/datasets`
    in XDG_CACHE_HOME or ~/.cache), and its sha256 is checked (for the largest two, the name that git gives their
    contents). There are no isolated atoms in it. Known defects, which `summary()` shows: constant offsets of the
    normal stresses of Cu and Ni (`fit` can find them: `stress_offsets`), shear stresses of Li that contradict the
    energies, copies by symmetry among the strained crystals, also between training and test set.

    Args:
        element: "Cu", "Ge", "Li", "Mo", "Ni" or "Si".
        split: "train" or "test".
        e0: as in `read_dataset`; that of the training set may be given to the test set.

    Returns:
        `Dataset`; config types are the groups of the authors with the temperature, as `AIMD-NVT_300K`.

    Raises:
        DataError: no such element or split, or no file and no verified download.
        FormatError: a file that is missing or damaged.

    References:
        Y. Zuo et al., Performance and cost assessment of machine learning interatomic potentials, J. Phys. Chem. A
        124, 731 (2020).
    """
    if element not in _ELEMENTS or split not in _SPLITS:
        raise DataError(
            f'mlearn has {", ".join(_ELEMENTS)}, each with "train" and "test"; got {element!r}, {split!r}'
        )
    folder = os.environ.get("JAXPOT_DATA")
    if folder:
        return read_dataset(os.path.join(folder, "mlearn", element, f"{split}.xyz"), stress="stress", e0=e0)
    path = f"{element}/{_SPLITS[split]}.json"
    return _from_json(_fetched(path, _FILES[element, split]), path, element, e0)


def _fetched(path, expected):
    """The bytes of a file of the repository, from the cache or from the network; they are what was expected."""
    kept = _cache() / "mlearn" / _COMMIT[:7] / path
    if kept.is_file():
        data = kept.read_bytes()
        if expected.mismatch(data) is None:
            return data
    address = f"{_ADDRESS}/{path}"
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:  # noqa: S310 (https, constant)
            data = answer.read(expected.most + 1)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise DataError(
            f"{address} cannot be downloaded ({error}): download it yourself to {kept}, or set JAXPOT_DATA to a folder "
            "with mlearn/<element>/<split>.xyz"
        ) from error
    mismatch = expected.mismatch(data)
    if mismatch:
        raise DataError(f"{address} is not what it was: {mismatch}; it was not kept")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, data)
    except (OSError, DataError):
        pass  # a folder that cannot be written to costs a download next time
    return data


def _cache():
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root and os.path.isabs(root) else Path.home() / ".cache") / "jaxpot" / "datasets"


def _from_json(data, path, element, e0):
    try:
        frames = [_frame(entry, element, f"{path}, frame {k}") for k, entry in enumerate(json.loads(data))]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FormatError(f"not the structures that were expected ({type(error).__name__}: {error})", path) from error
    return dataset_of(frames, Keys(), [frame.source for frame in frames], e0)


def _frame(entry, element, source):
    structure, outputs = entry["structure"], entry["outputs"]
    group = entry["group"]
    temperature = re.search(r"at (\d+) K", entry["description"])
    if entry["description"] == "Ground state crystal":
        group = "Ground_state"
    return Frame(
        Structure(
            np.array([site["xyz"] for site in structure["sites"]], dtype=np.float64),
            np.array(structure["lattice"]["matrix"], dtype=np.float64),
            [site["species"][0]["element"] for site in structure["sites"]],
        ),
        energy=outputs["energy"],
        forces=outputs["forces"],
        stress=_stress(outputs["virial_stress"], _shear_order(element, entry["group"])),
        config_type=f"{group}_{temperature[1]}K" if temperature else group,
        source=source,
    )


def _shear_order(element, group):
    """The order of the shear components is not the documented one everywhere; found by comparison with energies."""
    documented = element == "Li" or element in ("Si", "Ge") and group == "Elastic"
    return ("xy", "yz", "xz") if documented else ("xy", "xz", "yz")


def _stress(kilobar, shear):
    """+1/V dE/dstrain, eV/A^3, from the pressure-like tensor of VASP: xx yy zz, then three shear components."""
    tensor = np.diag(np.array(kilobar[:3], dtype=np.float64))
    for name, value in zip(shear, kilobar[3:], strict=True):
        a, b = _VOIGT[name]
        tensor[a, b] = tensor[b, a] = value
    return -0.1 * units.GPa * tensor

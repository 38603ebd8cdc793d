"""The built-in models by name, those that are published, and the file formats that are read and written.

A new built-in model is one row of `MODELS`, a new published one of `published.PUBLISHED`; a new file format is one row
of `FORMATS`, the record with which its file in `jaxpot/formats` ends.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from jaxpot.core.files import read_bytes
from jaxpot.errors import DataError, FormatError
from jaxpot.formats import (
    ace,
    ace_text,
    ani,
    chgnet,
    funcfl,
    lammps_meam,
    lammps_snap,
    lammps_snap_overlay,
    lammps_sw,
    lammps_tersoff,
    mtp,
    n2p2,
    nep,
    nequix,
    quip_xml,
    saved,
    setfl,
    sevennet,
)
from jaxpot.formats.record import Format, Option
from jaxpot.formats.unread import unread
from jaxpot.potentials.base import Potential
from jaxpot.potentials.finnis_sinclair import FinnisSinclair
from jaxpot.potentials.posterior import Posterior
from jaxpot.potentials.second_moment import SecondMoment
from jaxpot.potentials.stillinger_weber import StillingerWeber
from jaxpot.published import PUBLISHED, Published, published, where
from jaxpot.typing import FilePath


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


# A file is of the first format that recognises it.
FORMATS = (
    saved.FORMAT,
    lammps_sw.FORMAT,
    lammps_tersoff.FORMAT,
    lammps_meam.FORMAT,
    setfl.FORMAT_OF_PAIRS,
    setfl.FORMAT,
    funcfl.FORMAT,
    quip_xml.FORMAT,
    n2p2.FORMAT,
    ani.FORMAT,
    sevennet.FORMAT,
    nequix.FORMAT,
    chgnet.FORMAT,
    nep.FORMAT,
    lammps_snap.FORMAT,
    lammps_snap_overlay.FORMAT,
    ace.FORMAT,
    ace_text.FORMAT,
    mtp.FORMAT,
)
_HEAD = 4096  # bytes of a file by which its format is recognised


def models() -> tuple[Model, ...]:
    """The built-in models: a tuple of records with `name`, `elements`, `form`, `source`, `make`."""
    return MODELS


def reader_options() -> tuple[Option, ...]:
    """The options of all formats, each once."""
    return tuple({option.name: option for record in FORMATS for option in record.options}.values())


def load(model: FilePath | Sequence[FilePath], **options: object) -> Potential | Posterior:
    """Load a potential from a published file, from a file written by `save`, or a model by its name.

    Names are those of built-in models, and of published ones that `jaxpot models` has fetched or added; a file of such
    a name in this folder is "./NAME".

    A file that `save` has made of a `Posterior` gives that.

    The format is recognised by the contents or, where those say nothing, by the ending of the name.

    Args:
        model: path or name; or a list of paths: of EAM funcfl files (.eam), of which LAMMPS's rules make an alloy, or
            of the library and the file of parameters of MEAM (.meam).
        **options: what the reader of the format takes beside the path (`jaxpot models` lists them by format); None is
            as good as left out. Among them:
            species: the elements that the model serves, for files that name none (some GAPs; MTPs, in the order of
                their types); some of its elements, for GAPs, .sw and .tersoff files that name more; which sets, where a
                .tersoff file has several of an element: ("C", "Si(D)"); the names in a MEAM library, in the order of
                the parameters.
            tolerance: eV, by how much site energies may change for the sake of speed (GAPs: by shorter vectors in each
                term, checked at its sparse points; the change is told in a warning). By default only by rounding.
            member: number of the one network to load, of formats of several (ANI's folders), which give a `Posterior`.
            units: of formats that do not name theirs (n2p2's folders): "Bohr Hartree", "Angstrom eV", or how many A
                and eV one unit of length and energy is.

    Raises:
        FormatError: no such file, a published model that is not on this machine yet, or not a format that is known.
        DataError: a file names no elements, or no units, and none are given; others are given than those that it
            names; or an option that no format has, or that of the file has no use for.
    """
    options = _checked(options)
    if isinstance(model, list | tuple):
        paths = [os.fspath(path) for path in model]
        return _format_of_list(paths).load(paths, options)
    path = os.fspath(cast(FilePath, model))
    for entry in MODELS:
        if path == entry.name:
            if options:
                raise DataError(f"{path} is made for {' '.join(entry.elements)}; leave out {', '.join(options)}")
            return entry.make()
    known = published(path)
    if known is not None:
        path = _kept(known)
    return _format_of(path).load([path], options)


def save(potential: Potential | Posterior, path: FilePath) -> None:
    """Write a potential to a file that `load` reads back; atomically.

    The ending chooses the format: `.xml` is a GAP for QUIP, with files of sparse points beside it
    (`formats.quip_write`); a name that ends with a slash is a folder for n2p2 (`formats.n2p2_write`); `.snapcoeff`
    (with a `.snapparam` beside it) and `.snap` are SNAP for LAMMPS, `.yace` and `.ace` are an ACE for PACE, `.mtp` is a
    moment tensor potential for MLIP, `.txt` and `.nep` are a NEP for GPUMD; anything else is jaxpot's own, which holds
    every potential, and any pytree of jaxpot's, exactly.

    Raises:
        DataError: the tree holds what the format cannot express, or the file cannot be written.
    """
    name = os.fspath(path)
    record = next((record for record in FORMATS if name.lower().endswith(record.written_as)), saved.FORMAT)
    write = cast(Callable, record.write)  # each that has endings for it writes
    write(potential, name)


def _checked(options: Mapping[str, object]) -> dict[str, object]:
    """The options that are given; those that no format has are refused even if they are None."""
    known = [option.name for option in reader_options()]
    strange = [name for name in options if name not in known]
    if strange:
        raise DataError(f"no format has the option {strange[0]}; expected one of {', '.join(known)}")
    return {name: value for name, value in options.items() if value is not None}


def _kept(model: Published) -> str:
    """Path of a published model on this machine; its sha256 was checked when it came."""
    path = where(model.name)
    if not path.exists():
        same = f"; the file of that name in this folder is ./{model.name}" if os.path.exists(model.name) else ""
        raise FormatError(f"this published model is not on this machine yet: {model.advice}{same}", model.name)
    return str(path)


def _format_of(path: str) -> Format:
    """The format of a file or folder."""
    if not os.path.exists(path):
        names, more = (", ".join(entry.name for entry in entries) for entries in (MODELS, PUBLISHED))
        names = f"built in: {names}; published: {more}"
        raise FormatError(f"there is no such file, and no built-in model of that name ({names})", path)
    folder = os.path.isdir(path)
    head = b"" if folder else _head(path)
    # Contents alone may deceive: an .adp begins as a setfl file does.
    reason = None if folder or any(record.claims(head, path) for record in FORMATS) else unread(path, FORMATS)
    if reason is not None:
        raise FormatError(reason, path)
    for record in FORMATS:
        if record.recognises(head, path):
            return record
    problem = "this is a folder without a potential" if folder else "the format is not recognised"
    raise FormatError(f"{problem}; known are: {'; '.join(record.name for record in FORMATS)}", path)


def _format_of_list(paths: Sequence[str]) -> Format:
    """The format of which the files of a list make one model."""
    heads = {path: _head(path) for path in paths}
    misfits = []
    for record in FORMATS:
        if record.files is not None:
            misfit = record.misfit(heads, paths)
            if misfit is None:
                return record
            misfits.append(f"for {record.files.about}, {misfit}")
    raise DataError(f"a list is {'; or '.join(misfits)}")


def _head(path: str) -> bytes:
    """The first bytes of a file."""
    return read_bytes(path, _HEAD)

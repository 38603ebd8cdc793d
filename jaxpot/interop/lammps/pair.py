"""`pair_style jaxpot` on the side of Python: models by name, and what LAMMPS's plugin asks of them in each step."""

import ctypes
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxpot import catalog
from jaxpot.core.elements import SYMBOLS
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotError
from jaxpot.interop.lammps import mpi
from jaxpot.interop.lammps.domain import VOIGT, Domain, Rows, check_finite, numbers_of
from jaxpot.interop.lammps.plugin import plugin_library
from jaxpot.interop.lammps.shared import Box
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.uncertainty.deviations import std

_SHORTER = 8  # most cutoffs that rows are sorted by
_TYPES = 256
_MESSAGE = 1024
_FORCES, _ATOM_VIRIALS, _STD_ENERGY, _STD_FORCE, _STD_TOTAL = range(5)
_active: list[weakref.ref] = []  # the LAMMPS that the plugin calls back for
_doubles, _ints = ctypes.POINTER(ctypes.c_double), ctypes.POINTER(ctypes.c_int)


class _Model(ctypes.Structure):
    """`jaxpot_model` of model.h."""

    _fields_ = [
        ("types", ctypes.c_int), ("words", ctypes.c_int), ("word", ctypes.POINTER(ctypes.c_char_p)),
        ("handle", ctypes.c_int), ("cutoff", ctypes.c_double), ("skin", ctypes.c_double), ("halo", ctypes.c_double),
        ("inner_count", ctypes.c_int), ("inner", ctypes.c_double * _SHORTER), ("ghost_rows", ctypes.c_int),
        ("centroid", ctypes.c_int), ("has_std", ctypes.c_int), ("numbers", ctypes.c_int * _TYPES),
        ("answered", ctypes.c_int),
        ("message", ctypes.c_char * _MESSAGE),
    ]


class _Call(ctypes.Structure):
    """`jaxpot_rows` of model.h."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("handle", "want", "fresh", "local", "all")),
        *((name, ctypes.c_int) for name in ("rows", "real", "own", "places")),
        ("inner", ctypes.c_int * _SHORTER), ("length", ctypes.c_int), ("x", _doubles),
        *((name, _ints) for name in ("numbers", "centers", "counts", "others")),
        *((name, _doubles) for name in ("forces", "energies", "virials", "std")),
        ("energy", ctypes.c_double), ("virial", ctypes.c_double * 6), ("answered", ctypes.c_int),
        ("message", ctypes.c_char * _MESSAGE),
    ]


_OPEN = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Model))
_CALL = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Call))
_CENTROID = (*VOIGT, (1, 0), (2, 0), (2, 1))


class PairStyle:
    """The pair style of one LAMMPS: models that its input names, and the rows that each was last given.

    Args:
        engine: `lammps.lammps`.
        models: name -> potential or posterior, for `pair_coeff * * NAME ELEMENTS`; other names are those of files,
            or what `jaxpot.load` knows.

    Raises:
        ResourceError: the plugin cannot be compiled.
        DataError: another LAMMPS of this process has the pair style: the plugin has one side of Python.
    """

    def __init__(self, engine: Any, models: Mapping[str, Potential | Posterior] | None = None) -> None:
        other = _active[0]() if _active else None
        if other is not None and other.lmp:
            raise DataError("another LAMMPS of this process has pair_style jaxpot: close it first (engine.close())")
        _active[:] = [weakref.ref(engine)]
        self._engine = weakref.ref(engine)
        self.models = dict(models or {})
        self._domains: list[tuple[Domain, np.ndarray]] = []
        library = str(plugin_library())
        engine.command(f"plugin load {library}")
        plugin = ctypes.CDLL(library)
        # Kept here: LAMMPS holds nothing but their addresses.
        self._callbacks = _OPEN(self._open), _CALL(self._call)
        plugin.jaxpot_set.argtypes = [_OPEN, _CALL]
        plugin.jaxpot_set.restype = None
        plugin.jaxpot_set(*self._callbacks)

    def _open(self, pointer):
        model = pointer.contents
        try:
            words = [model.word[k].decode() for k in range(model.words)]
            self._describe(model, words)
            model.answered = 1
        except (JaxpotError, OSError) as error:
            model.message = _sentence(error)

    def _describe(self, model, words):
        files, elements = files_and_elements(words, model.types)
        domain, numbers = domain_of(self.models, files, elements)
        if len(domain.inner) > _SHORTER:
            raise DataError(f"pair_style jaxpot serves {_SHORTER} shorter cutoffs; this model has {len(domain.inner)}")
        model.handle, model.cutoff, model.skin, model.halo = len(self._domains), domain.cutoff, domain.skin, domain.halo
        model.inner_count, model.ghost_rows = len(domain.inner), domain.several_hops
        model.inner[: len(domain.inner)] = domain.inner
        model.centroid, model.has_std = domain.sites_apart, domain.posterior is not None
        model.numbers[: len(numbers)] = numbers.tolist()
        self._domains.append((domain, numbers))

    def _call(self, pointer):
        call = pointer.contents
        try:
            self._answer(call)
            call.answered = 1  # what is raised and not named here leaves 0
        except JaxpotError as error:
            call.message = _sentence(error)
        except (ValueError, TypeError, RuntimeError, MemoryError) as error:
            call.message = _sentence(f"{type(error).__name__}: {error}")

    def _answer(self, call):
        domain, numbers = self._domains[call.handle]
        if call.fresh:
            domain.keep(Rows(
                _view(call.centers, call.rows), _view(call.counts, call.rows),
                _view(call.others, call.rows, call.places), _view(call.numbers, call.length), call.own, call.real,
                tuple(call.inner[: len(domain.inner)]),
            ))
        positions = _view(call.x, call.length, 3)
        if call.want == _FORCES:
            box = box_of(self._engine(), call.all, bool(domain.potential.needs)) if domain.shared else None
            energy, sites, forces, strain = domain.evaluate(positions, box=box)
            check_finite(energy, forces)
            call.energy = energy
            _view(call.forces, call.all, 3)[:] += forces[: call.all]
            if call.energies:
                _view(call.energies, call.local)[:] += sites[: call.local]
            call.virial[:] = [-0.5 * (strain[a, b] + strain[b, a]) for a, b in VOIGT]
        elif call.want == _ATOM_VIRIALS:
            virials = domain.virials(positions)[: call.all]
            _view(call.virials, call.all, 9)[:] += np.stack([virials[:, a, b] for a, b in _CENTROID], axis=1)
        elif call.want == _STD_ENERGY:
            _view(call.std, call.local)[:] = domain.site_deviations(positions)[: call.local]
        elif call.want == _STD_FORCE:
            deviations = domain.force_deviations(positions)[: call.local]
            _view(call.std, call.local)[:] = np.sqrt(np.sum(deviations**2, axis=1))
        else:
            structure = whole_structure(self._engine(), numbers)
            call.energy = float(std(domain.posterior, structure).epistemic.energy)


def files_and_elements(words: Sequence[str], types: int) -> tuple[Sequence[str], Sequence[str]]:
    """The words of `pair_coeff * *` in two parts: those that name a model, and an element for each atom type.

    Raises:
        DataError: fewer or more elements than atom types.
    """
    more = [word for word in words[1:-types] if word in (*SYMBOLS[1:], "NULL") and not os.path.exists(word)]
    if len(words) <= types or more:
        raise DataError(
            f"expected pair_coeff * * MODEL and an element for each of {types} atom types, got "
            f"{' '.join(words) or 'nothing'}"
        )
    return words[:-types], words[-types:]


def domain_of(
    models: Mapping[str, Potential | Posterior], files: Sequence[str], elements: Sequence[str]
) -> tuple[Domain, np.ndarray]:
    """The model that the words of `pair_coeff` name, and the atomic number of each atom type, 0 for NULL."""
    numbers = numbers_of(elements)
    model = models.get(files[0]) if len(files) == 1 else None
    if model is None:
        model = catalog.load(files[0] if len(files) == 1 else files)
    domain = Domain.of(model)
    domain.check_numbers(numbers)
    return domain, numbers


def whole_structure(engine: Any, numbers: np.ndarray) -> Structure:
    """All atoms of LAMMPS, on each rank, in the order of their ids; those of types without an element left out."""
    count = int(engine.get_natoms())
    positions = np.ctypeslib.as_array(engine.gather_atoms("x", 1, 3)).reshape(count, 3)
    types = np.ctypeslib.as_array(engine.gather_atoms("type", 0, 1))
    if (types < 1).any():
        raise DataError("ids of atoms have gaps: write `reset_atoms id` where atoms have been deleted")
    kinds, (cell, pbc) = numbers[types - 1], _cell_of(engine)
    return Structure(positions[kinds > 0], cell, kinds[kinds > 0], pbc=pbc)


def box_of(engine: Any, count: int, charged: bool) -> Box:
    """The box of LAMMPS, where atoms are `charged` with the charges of the first `count` of this rank.

    Raises:
        DataError: atoms without charges, or several partitions.
    """
    if charged and not engine.extract_setting("q_flag"):
        raise DataError("this model reads charges, and atoms here have none: atom_style charge, with `set ... charge`")
    if engine.extract_setting("world_size") != engine.extract_setting("universe_size"):
        raise DataError("models with sums over all atoms serve one partition: run without -partition")
    charges = None
    if charged:  # of a rank without atoms LAMMPS's array is none
        charges = np.array(engine.numpy.extract_atom("q")[:count]) if count else np.zeros(0)
    return Box(*_cell_of(engine), charges, mpi.summed)


def _cell_of(engine: Any) -> tuple[np.ndarray, tuple[bool, bool, bool]]:
    low, high, xy, yz, xz, periodic, _ = engine.extract_box()
    lengths = np.subtract(high, low)
    cell = np.array([[lengths[0], 0.0, 0.0], [xy, lengths[1], 0.0], [xz, yz, lengths[2]]])
    x, y, z = (bool(p) for p in periodic)
    return cell, (x, y, z)


def _view(pointer, *shape):
    # Of a rank without atoms the pointer may be none.
    return np.ctypeslib.as_array(pointer, shape) if all(shape) else np.zeros(shape)


def _sentence(error):
    return " ".join(str(error).split()).encode("ascii", "replace")[: _MESSAGE - 1]

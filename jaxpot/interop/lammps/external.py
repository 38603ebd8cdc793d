"""`fix external`: any potential in LAMMPS without a compiler.

LAMMPS hands each rank its atoms and those around them, and takes forces of the rank's own atoms alone. So each rank
computes the energies of all atoms that its own ones have a part in: those around, with a halo of two reaches in place
of the one that `pair_style jaxpot` needs. Rows are made anew whenever an atom has moved by half a skin.
"""

import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxpot.core.neighbors import find_neighbors, round_capacity
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotError
from jaxpot.interop.lammps import mpi
from jaxpot.interop.lammps.domain import VOIGT, Domain, Rows, check_finite, numbers_of
from jaxpot.interop.lammps.script import LONGEST_SKIN
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior

_SKIN = 0.5  # A: rows are made in NumPy, seldom
_SPARE = 1.02
_FEW = 4  # places of a row without neighbours
_FIX = "jaxpot"
_UNFORESEEN = "the Python of jaxpot has failed: its traceback stands above"


def attach(engine: Any, model: Potential | Posterior, elements: Sequence[str]) -> "ExternalForces":
    """Let a potential act in LAMMPS by `fix external`, which nothing is compiled for.

    The box must exist, with a pair style that has a cutoff, such as `pair_style zero 5.0` with `pair_coeff * *`.
    Energies, forces and virials come with `fix_modify jaxpot energy yes virial yes`, which is set, as is the halo
    (`comm_modify cutoff`), for a skin of 2 A at most: leave `comm_modify cutoff` as it is afterwards.

    Args:
        engine: `lammps.lammps`, of all ranks.
        model: local, or of several hops.
        elements: one for each atom type.

    Returns:
        What acts, for as long as it is kept; `engine` keeps it.

    Raises:
        DataError: units other than metal, an element that the model does not know, or a model whose energy depends on
            all atoms.
    """
    acting = ExternalForces(engine, model, elements)
    engine.jaxpot_external = acting
    return acting


def cutoff_of(model: Potential | Posterior) -> float:
    """Cutoff of a model's rows, A."""
    return Domain.of(model).cutoff


class ExternalForces:
    """A potential that acts by `fix external`: see `attach`."""

    def __init__(self, engine: Any, model: Potential | Posterior, elements: Sequence[str]) -> None:
        check_engine(engine, elements)
        self._numbers = numbers_of(elements)
        self._domain = Domain.of(model)
        if self._domain.shared:
            raise DataError(f"{self._domain.potential!r} has sums over all atoms: it acts by pair_style jaxpot alone")
        self._domain.check_numbers(self._numbers)
        self._engine, self._tags, self._reference = engine, np.zeros(0, int), np.zeros((0, 3))
        self._kinds = np.zeros(0, int)
        self._lengths: dict[str, int] = {}
        halo = 2.0 * self._domain.halo + _SKIN + LONGEST_SKIN
        for command in (
            f"fix {_FIX} all external pf/callback 1 1",
            f"fix_modify {_FIX} energy yes virial yes",
            f"comm_modify cutoff {halo:.6g}",
        ):
            engine.command(command)
        engine.set_fix_external_callback(_FIX, self._act, None)

    def _act(self, caller, step, local, tags, positions, forces):
        """The callback. What fails ends all ranks: LAMMPS would not see an exception."""
        problem: str | None = _UNFORESEEN
        try:
            self._compute(local, forces)
            problem = None
        except (JaxpotError, ValueError, TypeError, RuntimeError, MemoryError) as error:
            problem = str(error)
        finally:
            if problem == _UNFORESEEN:
                traceback.print_exc()  # there is no other time: the process ends here
            if problem is not None:
                mpi.abort(problem)

    def _compute(self, local, forces):
        engine, domain = self._engine, self._domain
        count = local + engine.extract_setting("nghost")
        tags, positions, types = np.zeros(0, int), np.zeros((0, 3)), np.zeros(0, int)
        if count:  # of a rank without atoms LAMMPS's arrays are none
            tags, positions, types = (engine.numpy.extract_atom(name)[:count] for name in ("id", "x", "type"))
        kinds = self._numbers[types - 1]
        if not self._serve(tags, positions, kinds):
            domain.keep(self._rows(local, tags, positions, kinds))
        length = self._lengths["atoms"]
        padded, ends = np.zeros((length, 3)), np.arange(length) < local
        padded[:count] = positions
        _, sites, everywhere, strain = domain.evaluate(padded, ends)
        forces[:] = everywhere[:local]
        total = mpi.summed(np.array([sites[:local].sum(), *(-0.5 * (strain[a, b] + strain[b, a]) for a, b in VOIGT)]))
        check_finite(total[0], forces)
        engine.fix_external_set_energy_global(_FIX, float(total[0]))
        engine.fix_external_set_virial_global(_FIX, total[1:].tolist())
        if local:
            engine.fix_external_set_energy_peratom(_FIX, sites[:local].tolist())

    def _serve(self, tags, positions, kinds):
        """Whether the rows are of these atoms, none has become another element, and none has moved too far."""
        if not (self._lengths and np.array_equal(tags, self._tags) and np.array_equal(kinds, self._kinds)):
            return False
        return np.max(np.sum((positions - self._reference) ** 2, axis=1), initial=0.0) < (0.5 * _SKIN) ** 2

    def _rows(self, local, tags, positions, kinds):
        """Rows of the atoms that a rank's own ones have a part in: these, and those around that see one of them."""
        domain, count = self._domain, len(tags)
        self._tags, self._reference, self._kinds = np.array(tags), np.array(positions), np.array(kinds)
        if not count:  # a rank in empty space, whose part of the sums over ranks is 0
            rows, numbers = self._length("rows", 1), np.zeros(self._length("atoms", 1), np.int32)
            nobody = np.zeros((rows, _FEW), int)
            return Rows(nobody[:, 0], nobody[:, 0], nobody, numbers, 0, 0, (_FEW,) * len(domain.inner))
        atoms = Structure(self._reference, np.eye(3), kinds, pbc=False)
        listed = find_neighbors(atoms, domain.cutoff, _SKIN, inner=domain.inner)
        near = np.arange(listed.capacity) < listed.counts[:, None]
        sees = ((listed.others < local) & near).any(1) | (listed.centers < local)
        taken = np.flatnonzero(listed.real & (sees | domain.several_hops))
        real = len(taken)
        length = self._length("rows", max(real, 1))
        taken = np.concatenate([taken, np.full(length - real, taken[-1] if real else 0)])
        numbers = np.zeros(self._length("atoms", max(count, 1)), np.int32)
        numbers[:count] = kinds
        inner = tuple(places for _, places in listed.inner)
        return Rows(listed.centers[taken], listed.counts[taken], listed.others[taken], numbers, real, real, inner)

    def _length(self, name, count):
        """A length for so many entries, the last one where it serves: programs are made for lengths."""
        if not 0.8 * self._lengths.get(name, 0) <= count <= self._lengths.get(name, 0):
            self._lengths[name] = round_capacity(int(_SPARE * count) + 1)
        return self._lengths[name]


def check_engine(engine: Any, elements: Sequence[str]) -> None:
    """Refuse a LAMMPS with other units, or with other atom types than there are elements."""
    units = engine.extract_global("units")
    if units != "metal":
        raise DataError(f"potentials work in units metal (A, eV, ps), and this LAMMPS has units {units}")
    if engine.extract_setting("world_size") != engine.extract_setting("universe_size"):
        raise DataError("fix external serves one partition: run without -partition, or by pair_style jaxpot")
    types = engine.extract_setting("ntypes")
    if len(elements) != types:
        raise DataError(f"expected an element for each of {types} atom types, got {' '.join(elements) or 'none'}")

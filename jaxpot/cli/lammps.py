"""`jaxpot lammps`: LAMMPS with any potential, on any number of MPI ranks."""

import os
import time
from argparse import Namespace

from jaxpot import catalog
from jaxpot.cli.console import Console
from jaxpot.cli.parser import CommandParser
from jaxpot.core.files import read_bytes
from jaxpot.errors import DataError, JaxpotError, ResourceError
from jaxpot.interop.lammps import engine, mpi, script
from jaxpot.interop.lammps.bundles import is_bundle
from jaxpot.interop.lammps.external import attach, cutoff_of
from jaxpot.interop.lammps.pair import files_and_elements
from jaxpot.interop.lammps.plugin import plugin_library

NAME = "lammps"
HELP = "run LAMMPS with any potential, under mpiexec on many ranks"
EPILOG = """In the input, in metal units:

    pair_style jaxpot
    pair_coeff * * MODEL Si C            (a file or a name, and the element of each atom type; NULL: another style's;
                                         a bundle of `jaxpot export` runs without Python)
    compute u all jaxpot/std/atom        (standard deviation of site energies, eV, of a .posterior)
    compute v all jaxpot/std/atom force  (norm of those of the components of a force, eV/A)
    compute w all jaxpot/std             (standard deviation of the energy, eV)

Words behind -- are arguments of LAMMPS itself.

The pair style is a plugin, which mpicxx of PyPI's mpich compiles at the first use. Where there is no compiler, or with
--model, the same potential acts by `fix external`: slower, with a halo twice as wide, without hybrid styles and error
bars. With --model the input has `pair_style zero CUTOFF` and `pair_coeff * *` where the potential belongs.

Each rank has one thread: on one machine start as many ranks as there are cores, each bound to one of them.

examples:
  jaxpot lammps in.melt
  mpiexec -n 8 -bind-to core jaxpot lammps in.melt -- -var T 1200 -log melt.log
  mpiexec -n 2 jaxpot lammps in.zero --model si.model --elements Si
"""


def arguments(parser: CommandParser) -> None:
    parser.add_argument("input", metavar="INPUT", help="file of LAMMPS's commands; its own arguments stand behind --")
    parser.behind_dashes = "of_lammps"
    parser.add_argument(
        "--model", nargs="+", metavar="FILE", help="act by fix external: the model, where the input has pair_style zero"
    )
    parser.add_argument("--elements", nargs="+", metavar="EL", help="with --model: the element of each atom type")


def run(options: Namespace, console: Console) -> int | None:
    # Before the first computation, at which XLA makes its threads.
    os.environ["PJRT_NPROC"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    begin = time.perf_counter()
    try:
        if _rank() is not None:
            mpi.begin()
        lammps = _run(options, console)
    except JaxpotError as error:
        if _rank():  # where all ranks know, the first says so, and its end is that of all
            time.sleep(_PATIENCE)
            if mpi.started():  # where this one alone knows, the others must not wait for it
                mpi.abort(str(error))
        raise
    rank, ranks = mpi.ranks()
    document = {
        "ranks": ranks, "atoms": int(lammps.get_natoms()), "step": int(lammps.extract_global("ntimestep")),
        "seconds": time.perf_counter() - begin, "lammps_version": int(lammps.version()),
    }
    lammps.finalize()
    if rank == 0:
        console.result(document)
    return None


def _run(options, console):
    """Run the input by what the words ask for."""
    if (options.model is None) != (options.elements is None):
        raise DataError("--model and --elements, the element of each atom type, are given together")
    text = read_bytes(options.input).decode(errors="replace")
    words = [*(["-screen", "none"] if options.json or options.quiet else []), *options.of_lammps]
    if {"-partition", "-p"} & set(words):  # LAMMPS wants to know
        words += ["-in", options.input]
    return _run_with_model(options, text, words) if options.model else _run_input(options, text, words, console)


def _run_input(options, text, words, console):
    """Run an input that has pair_style jaxpot, by the plugin if it can be compiled."""
    if not script.names_jaxpot(text) and not script.goes_elsewhere(text):
        raise DataError("the input has no line `pair_style jaxpot`, and no --model is given")
    try:
        plugin_library()
    except ResourceError as error:
        cut = script.cut_at_jaxpot(text)
        if cut.words and is_bundle(cut.words[0]):
            raise  # nothing else runs bundles
        script.check_stays(cut)
        if not _rank():
            console.note(f"note: {error}. So the potential acts by fix external: slower, and without error bars")
        lammps = engine.start_bare(words)
        engine.run_text(lammps, cut.before)
        types = lammps.extract_setting("ntypes")
        files, elements = files_and_elements(cut.words, types)
        _act_on_rest(lammps, cut, _loaded(files), elements)
        return lammps
    lammps = engine.start(words)
    engine.run_file(lammps, options.input)
    return lammps


def _run_with_model(options, text, words):
    """Run an input that has pair_style zero, with a model that acts by fix external."""
    if script.names_jaxpot(text):
        raise DataError("the input has pair_style jaxpot, which names its model: leave --model out")
    if len(options.model) == 1 and is_bundle(options.model[0]):
        raise DataError(
            f"{options.model[0]} is a bundle, which acts by pair_style jaxpot alone: name it in pair_coeff * * "
            f"{options.model[0]} {' '.join(options.elements)}, and leave --model out"
        )
    cut, model = script.cut_at_zero(text), _loaded(options.model)
    script.check_stays(cut)
    lammps = engine.start_bare(words)
    engine.run_text(lammps, cut.before)
    _act_on_rest(lammps, cut, model, options.elements)
    return lammps


def _act_on_rest(lammps, cut, model, elements):
    """Let a model act, by a pair style that interacts with nothing, in what follows of an input."""
    if cut.words:
        engine.run_text(lammps, f"pair_style zero {cutoff_of(model):.9g}\npair_coeff * *\n")
    attach(lammps, model, elements)
    engine.run_text(lammps, cut.after)


def _loaded(files):
    return catalog.load(files[0] if len(files) == 1 else list(files))


def _rank():
    """Number of this process as what started it says, None where nothing does."""
    return next((int(os.environ[name]) for name in _RANKS if os.environ.get(name, "").isdigit()), None)


_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
_PATIENCE = 3.0  # s

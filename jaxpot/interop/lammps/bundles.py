"""Bundles: a potential as compiled programs in one file, which LAMMPS runs without Python.

A program of XLA has arrays of fixed lengths, so a bundle holds several: for rows of a few lengths, and for a few
numbers of rows. What is longer than needed costs little, since the programs look at the rows in use alone. The
potential's parameters are arguments of the programs and are in the file once.

The file is a head of lines of words, and the bytes that these name; bundle.cpp reads it:

    jaxpot bundle 1
    crc32 SUM BYTES                                 of all that follows this line
    jax, stablehlo, platform, potential, cutoff, skin, halo, hops, inner, elements
    options OFFSET BYTES                            for the compiler; offsets are from the end of the head
    array TYPE OFFSET BYTES DIMENSIONS              parameters, in the order of the programs' arguments
    program forces|virials n m K OFFSET BYTES INNER      atoms, rows, places of a row, and those for shorter cutoffs
    end
"""

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import sdy, stablehlo
from jaxlib.mlir.passmanager import PassManager

from jaxpot.core.elements import SYMBOLS, atomic_number
from jaxpot.core.neighbors import find_neighbors, round_capacity
from jaxpot.core.structure import Structure
from jaxpot.errors import CapacityError, DataError, FormatError, PrecisionError
from jaxpot.interop.lammps.domain import VOIGT, Domain, moved_virials
from jaxpot.observables.edges import forces_and_strains, parts, sum_over_edges
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import FilePath, StructureLike

MAGIC = "jaxpot bundle 1"
_PLATFORMS = {"cpu": "cpu", "gpu": "cuda"}  # JAX's names, and XLA's
_TYPES = {"float64": "f64", "float32": "f32", "int64": "s64", "int32": "s32", "int8": "s8", "bool": "pred"}
_ALIGNMENT = 64  # bytes, so that arrays can be used where they lie
_OF_XLA = ("mhlo.", "chlo.", "stablehlo.", "Sharding", "TopK")  # names of calls that XLA replaces by its own
_SKIN = 2.0  # A, LAMMPS's own in metal units
_HALOS = 2.0  # times the atoms around a cube: domains are seldom cubes, and crystals seldom whole
_FEWER = 5  # times as many rows in the next larger program
_FEWEST = 64  # rows
_LONGER = 1.2  # places of a row in the next longer program
_LONGEST = 2**31 - 1  # entries of an array: indices have 32 bits
_CENTROID = (*VOIGT, (1, 0), (2, 0), (2, 1))
# Of XLA's CompileOptionsProto, what has no default: executable_build_options (3) with device_ordinal (1) -1 and
# num_replicas (4) and num_partitions (5) 1. What JAX writes has all flags of this process in it, and they would hide
# what another version of XLA takes as their defaults.
_COMPILE_OPTIONS = b"\x1a\x0f" + b"\x08" + b"\xff" * 9 + b"\x01" + b"\x20\x01" + b"\x28\x01"


@dataclass(frozen=True)
class Shape:
    """Lengths of a program's arrays: atoms with those around, rows, places of a row and those for shorter cutoffs."""

    atoms: int
    rows: int
    places: int
    inner: tuple[int, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been written.

    Attributes:
        path: of the file.
        potential: the kind of the potential.
        elements: symbols that it knows, none if any.
        cutoff: A.
        atoms: a rank's own atoms, at most; with_those_around: and those around, at most.
        neighbors: places of a row, at most, within the cutoff and its skin.
        platform: "cpu" or "cuda".
        programs, bytes: number and size.
        jax, stablehlo: versions.
    """

    path: str
    potential: str
    elements: tuple[str, ...]
    cutoff: float
    atoms: int
    with_those_around: int
    neighbors: int
    platform: str
    programs: int
    bytes: int
    jax: str
    stablehlo: str


def export(
    model: Potential | Posterior,
    path: FilePath,
    structure: StructureLike,
    atoms: int = 10_000,
    neighbors: int | None = None,
) -> Bundle:
    """Write a potential as compiled programs that `pair_style jaxpot` runs without Python.

    They are for the kind of device that JAX computes on: a CPU, or a GPU of CUDA. In LAMMPS's input:

        pair_style jaxpot
        pair_coeff * * model.bundle Si C      (an element for each atom type)

    Args:
        model: a sum of terms that are local or pass messages; of a posterior its mean potential: a bundle has no
            error bars.
        path: of the file.
        structure: a crystal as dense as what will be computed; lengths of arrays are made for it.
        atoms: a rank's own atoms, at most.
        neighbors: most neighbours of an atom within the cutoff and the skin; by default half as many again as in the
            structure.

    Returns:
        `Bundle`.

    Raises:
        DataError: a potential whose energy depends on all atoms, that reads data of atoms or calls functions of JAX
            itself; a structure without a volume, of other elements; lengths that are none.
        CapacityError: fewer neighbours than the structure has, or more atoms than a rank can have.
        PrecisionError: JAX has x64 off.
        FormatError: the file cannot be written.
    """
    if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise PrecisionError('bundles compute in double precision: jax.config.update("jax_enable_x64", True)')
    if jax.default_backend() not in _PLATFORMS:
        raise DataError(f"bundles run on a CPU or on a GPU of CUDA, and JAX computes on {jax.default_backend()}")
    if isinstance(atoms, bool) or int(atoms) != atoms or atoms < 1:
        raise DataError(f"atoms: expected a number of atoms, 1 at least, got {atoms!r}")
    potential = model.potential if isinstance(model, Posterior) else model
    domain = Domain(potential)
    if domain.shared:
        raise DataError(f"{potential!r} has sums over all atoms, thus over ranks: bundles are of potentials without")
    structure = Structure.of(structure)
    domain.check_numbers(np.asarray(structure.numbers))
    shapes = _shapes(domain, structure, int(atoms), neighbors)

    platform = _PLATFORMS[jax.default_backend()]
    leaves, tree = jax.tree.flatten(potential)
    arrays = [np.asarray(leaf) for leaf in leaves]
    body, head = bytearray(), []

    def add(name, data, *words, before=()):
        body.extend(b"\0" * (-len(body) % _ALIGNMENT))
        head.append(" ".join(map(str, (name, *before, len(body), len(data), *words))))
        body.extend(data)

    add("options", _COMPILE_OPTIONS)
    for array in arrays:
        add("array", np.ascontiguousarray(array).tobytes(), *array.shape, before=(_TYPES[array.dtype.name],))
    version = ""
    for kind, shape in shapes:
        program = _exported(_PROGRAMS[kind], domain, tree, arrays, shape, platform)
        version = _version_of(program)
        add("program", program, *shape.inner, before=(kind, shape.atoms, shape.rows, shape.places))
    known = potential.species
    elements = tuple(SYMBOLS[int(z)] for z in known) if known is not None else tuple(SYMBOLS[1:])
    lines = [
        f"jax {jax.__version__}", f"stablehlo {version}", f"platform {platform}",
        f"potential {type(potential).__name__}", f"cutoff {domain.cutoff!r}", f"skin {float(domain.skin)!r}",
        f"halo {float(domain.halo)!r}", f"hops {int(domain.several_hops)}",
        " ".join(["inner", *(repr(float(r)) for r in domain.inner)]),
        " ".join(["elements", *(f"{name}:{atomic_number(name)}" for name in elements)]),
        *head, "end\n",
    ]
    content = sealed("\n".join(lines).encode() + bytes(body))
    _write(Path(path), content)
    largest = max((shape for kind, shape in shapes if kind == "forces"), key=lambda shape: (shape.atoms, shape.places))
    return Bundle(
        path=str(path), potential=type(potential).__name__, elements=elements if known is not None else (),
        cutoff=domain.cutoff, atoms=int(atoms), with_those_around=largest.atoms, neighbors=largest.places,
        platform=platform, programs=len(shapes), bytes=len(content), jax=jax.__version__, stablehlo=version,
    )


def sealed(content: bytes) -> bytes:
    """Put the first two lines of a bundle, with the checksum, in front of what stands behind them."""
    return f"{MAGIC}\ncrc32 {zlib.crc32(content)} {len(content)}\n".encode() + content


def is_bundle(path: FilePath) -> bool:
    """Whether a file begins as bundles do."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC) + 1) == f"{MAGIC}\n".encode()
    except OSError:
        return False


def _shapes(domain, structure, atoms, neighbors):
    """Lengths of all programs: pairs of what one computes, and its `Shape`."""
    if not all(structure.pbc):
        raise DataError("the structure of a bundle gives the density: expected a crystal, periodic along three axes")
    most = _most_neighbors(structure, domain.cutoff + domain.skin)
    if neighbors is not None and neighbors < most:
        raise CapacityError(
            f"neighbors is {neighbors}, and an atom of the structure has {most} within the cutoff and a skin of "
            f"{domain.skin:.3g} A"
        )
    inner = [_most_neighbors(structure, cutoff + domain.skin) for cutoff in domain.inner]
    volume = float(structure.volume) / len(structure)
    rows = [atoms]
    while rows[-1] // _FEWER >= _FEWEST:
        rows.append(rows[-1] // _FEWER)
    first, last = round_capacity(most), round_capacity(math.ceil(1.5 * most) if neighbors is None else neighbors)
    places = [first]
    while places[-1] < last:
        places.append(min(last, round_capacity(math.ceil(_LONGER * places[-1]))))

    def shape(rows, places):
        around = rows + math.ceil(_HALOS * _around(rows, volume, domain.halo + _SKIN))
        shorter = tuple(min(places, round_capacity(math.ceil(count * places / first))) for count in inner)
        # Models of several hops have rows for the atoms around, too.
        return Shape(around, around if domain.several_hops else rows, places, shorter)

    longest = shape(atoms, last)
    if longest.rows * longest.places > _LONGEST or longest.atoms > _LONGEST:
        raise CapacityError(
            f"{atoms} atoms of a rank with {longest.places} neighbours each are more than the indices of a bundle's "
            "programs count: export it for fewer atoms, and start more ranks"
        )
    forces = [("forces", shape(count, length)) for length in places for count in reversed(rows)]
    # Virials of atoms are asked for now and then: one program serves all lengths.
    return forces if domain.several_hops else [*forces, ("virials", shape(atoms, last))]


def _around(atoms, volume, halo):
    """Number of atoms around a cube of `atoms`, each with `volume` (A^3), as far as `halo` (A)."""
    return ((atoms * volume) ** (1 / 3) + 2.0 * halo) ** 3 / volume - atoms


def _most_neighbors(structure, radius):
    return int(np.max(find_neighbors(structure, radius).counts, initial=0))


def _forces(potential, structure, listed):
    """(7,): energy and the virial as LAMMPS orders it, eV; forces (n, 3); site energies (n,)."""
    always = jnp.asarray(True)
    energy, sites, forces, strain = sum_over_edges(forces_and_strains, parts(potential), structure, listed, always)
    return jnp.stack([energy, *(-0.5 * (strain[a, b] + strain[b, a]) for a, b in VOIGT)]), forces, sites


def _virials(potential, structure, listed):
    """Virials of atoms in LAMMPS's centroid form, (n, 9) eV."""
    virials = sum_over_edges(moved_virials, parts(potential), structure, listed)
    return (jnp.stack([virials[:, a, b] for a, b in _CENTROID], axis=1),)


_PROGRAMS = {"forces": _forces, "virials": _virials}


def _exported(compute, domain, tree, arrays, shape, platform):
    """A program for arrays of some lengths: portable StableHLO."""
    def program(leaves, positions, numbers, centers, others, counts, own, real):
        potential = jax.tree.unflatten(tree, leaves)
        structure = Structure(positions, np.eye(3), numbers, masses=np.ones(shape.atoms), pbc=False)
        row = jnp.arange(shape.rows, dtype=jnp.int32)
        listed = domain.listed(centers, counts, others, row < real, numbers > 0, shape.inner)
        listed = listed.replace(counted=row < own if domain.several_hops else None, filled=real)
        return compute(potential, structure, listed)

    n, m, k = shape.atoms, shape.rows, shape.places
    given = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays]
    number = jax.ShapeDtypeStruct((), np.int32)
    of_rows = [jax.ShapeDtypeStruct(lengths, np.int32) for lengths in ((n,), (m,), (m, k), (m,))]
    positions = jax.ShapeDtypeStruct((n, 3), np.float64)
    # All arguments are kept, those that a program does not read as well: then all have the same.
    traced = jax.jit(program, keep_unused=True)
    try:
        exported = jax.export.export(traced, platforms=[platform])(given, positions, *of_rows, number, number)
    except ValueError as error:  # calls that JAX does not promise to keep
        raise DataError(f"{domain.potential!r} cannot be exported: {error}") from error
    return _checked(exported.mlir_module_serialized, domain.potential)


def _checked(program, potential):
    """The program without the names and lines of the files that it was made from: those of somebody's folders.

    Raises:
        DataError: it calls functions that are JAX's, and not XLA's.
    """
    with ir.Context() as context:
        sdy.register_dialect(context)
        module = stablehlo.deserialize_portable_artifact(context, program)
        text = module.operation.get_asm(large_elements_limit=8)
        calls = {name for name in re.findall(r"custom_call @([\w.$]+)", text) if not name.startswith(_OF_XLA)}
        if calls:
            raise DataError(
                f"{potential!r} cannot be exported: its programs call {', '.join(sorted(calls))}, which JAX has and a "
                "plugin of XLA has not"
            )
        PassManager.parse("builtin.module(strip-debuginfo)").run(module.operation)
        return stablehlo.serialize_portable_artifact(module, _version_of(program))


def _version_of(program: bytes) -> str:
    """StableHLO's version, as the artifact names it after its magic number and the version of the bytecode."""
    match = re.search(rb"StableHLO_v(\d+\.\d+\.\d+)", program[:64])
    return match.group(1).decode() if match else "0.0.0"


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".partial")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise FormatError(f"cannot be written: {error.strerror or error}", path) from error


def words_of_input(bundle: Bundle, elements: Sequence[str] = ()) -> tuple[str, str]:
    """The two lines of LAMMPS's input that use a bundle."""
    names = elements or bundle.elements or ("ELEMENTS",)
    return "pair_style jaxpot", f"pair_coeff * * {bundle.path} {' '.join(names)}"



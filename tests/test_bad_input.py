"""Mistakes people make, and what they are told: the class of the error, and what was given and expected."""

import re
import subprocess
import sys
from pathlib import Path

import ase.build
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.basis.cubic_splines import CubicSpline
from jaxpot.core.pytree import pytree, static
from jaxpot.descriptors import SOAP, Pair
from jaxpot.errors import (
    CapacityError,
    DataError,
    FormatError,
    GeometryError,
    JaxpotError,
    PrecisionError,
    ResourceError,
)
from jaxpot.interop.ase import ase_calculator
from jaxpot.kernels import DotProduct
from jaxpot.potentials import (
    EAM,
    MEAM,
    ZBL,
    Buckingham,
    Constants,
    Described,
    FinnisSinclair,
    Glue,
    LennardJones,
    Morse,
    Potential,
    SecondMoment,
    SoftSphere,
    StillingerWeber,
    Tersoff,
    TersoffTriplets,
    WangFrenkel,
)
from jaxpot.readouts import SparseGP

FILES = Path(__file__).parent / "formats" / "files"
SILICON = StillingerWeber.silicon()
ARGON = LennardJones(0.0104, 3.4, 8.0)
CELL = 5.43 / 2 * (1 - np.eye(3))
X = np.array([[0, 0, 0], [5.43 / 4] * 3])
CRYSTAL = jp.Structure(X, CELL, [14, 14])
ATOMS = ase.build.bulk("Si", a=5.43)
TABLES = {"drho": 1.0, "dr": 0.5, "cutoff": 4.0}
SPLINE = CubicSpline([1.0, 2.0, 3.1], [9.0, 2.0, 0.0], [-9.0, 0.0])
NAN = np.array([[0, 0, 0], [np.nan, 1, 1]])


def listed(cutoff=SILICON.cutoff, structure=CRYSTAL, **options):
    return jp.neighbors(structure, cutoff, **options)


def sw(**changes):
    values = {
        name: getattr(SILICON, name)
        for name in ("epsilon", "sigma", "a", "lam", "gamma", "cos_theta0", "A", "B")
    }
    return StillingerWeber(**{**values, **changes})


def moved(by):
    return CRYSTAL.moved(CRYSTAL.positions.at[0, 0].add(by))


def tersoff(**changes):
    values = {"A": 1830.8, "B": 471.18, "lam": 2.48, "mu": 1.73, "beta": 1.1e-6, "n": 0.79, "c": 1e5, "d": 16.2,
              "h": -0.6, "R": 2.7, "S": 3.0, "species": ("Si",)}
    return Tersoff(**{**values, **changes})


def triplets(**changes):
    values = {"A": 1830.8, "B": 471.18, "lam": 2.48, "mu": 1.73, "beta": 1.1e-6, "n": 0.79, "c": 1e5, "d": 16.2,
              "h": -0.6, "R": 2.85, "D": 0.15, "species": ("Si",)}
    return TersoffTriplets(**{**values, **changes})


def meam(**changes):
    names = "rho0 re beta0 beta1 beta2 beta3 t1 t2 t3 background strength".split()
    values = dict.fromkeys(names, 1.0)
    values |= {"pair": np.zeros((1, 50)), "c_min": 2.0, "c_max": 2.8, "dr": 0.1, "end": 4.0, "width": 0.1, "kind": 0,
               "species": ("Si",)}
    return MEAM(**{**values, **changes})


class Nothing(Potential):
    pass


@pytree
class Shadowing(Potential):
    """A potential whose parameter has the name of what every potential declares."""

    reach: np.ndarray | None = None
    cutoff: float = static(default=3.0)


# what was done: (the call, the class of the error, what the message must contain, as regular expressions)
MISTAKES = {
    # Structures
    "positions of the wrong shape": (
        lambda: jp.Structure(np.zeros((2, 2)), CELL, [14, 14]),
        DataError,
        r"positions: expected .*\(n, 3\), got \(2, 2\)",
    ),
    "numbers of another length": (
        lambda: jp.Structure(X, CELL, [14]),
        DataError,
        r"numbers: expected .*\(2\), got \(1,\)",
    ),
    "a cell of three lengths": (
        lambda: jp.Structure(X, [5.0, 5.0, 5.0], [14, 14]),
        DataError,
        r"cell: expected .*\(3, 3\), got \(3,\)",
    ),
    "an unknown symbol": (
        lambda: jp.Structure(X, CELL, ["Si", "Sj"]),
        DataError,
        r"'Sj' is not an element: expected a symbol",
    ),
    "an atomic number of 119": (
        lambda: jp.Structure(X, CELL, [14, 119]),
        DataError,
        r"must lie in 0\.\.118, got 14\.\.119",
    ),
    "fractional atomic numbers": (
        lambda: jp.Structure(X, CELL, [14.0, 14.5]),
        DataError,
        r"numbers: expected integers .* got float64",
    ),
    "NaN positions": (
        lambda: jp.Structure(NAN, CELL, [14, 14]),
        DataError,
        r"positions: 1 of 6 .* not finite",
    ),
    "an infinite cell": (
        lambda: jp.Structure(X, np.full((3, 3), np.inf), [14, 14]),
        DataError,
        r"cell: 9 of 9 numbers are not finite",
    ),
    "positions that are words": (
        lambda: jp.Structure([["a", "b", "c"]], CELL, [14]),
        DataError,
        r"positions: expected numbers, got",
    ),
    "two booleans of periodicity": (
        lambda: jp.Structure(X, CELL, [14, 14], pbc=(True, False)),
        DataError,
        r"pbc: expected one or three .* got 2",
    ),
    "masses of another length": (
        lambda: jp.Structure(X, CELL, [14, 14], masses=[28.0]),
        DataError,
        r"masses: expected .*\(2\), got \(1,\)",
    ),
    "a file name instead of a structure": (
        lambda: jp.energy(SILICON, "si.cif"),
        DataError,
        r"expected a jaxpot.Structure, an ase.Atoms or a structure of pymatgen, got str",
    ),
    "padding to fewer atoms": (lambda: CRYSTAL.padded(1), DataError, r"cannot pad 2 atoms to 1"),
    # Descriptors and kernels
    "a size that is a word": (lambda: SOAP("a", 2, 4.0), DataError, r"n_max: expected a whole number .* 'a'"),
    "a cutoff that is a word": (lambda: SOAP(4, 2, "a"), DataError, r"cutoff: expected a positive length .* 'a'"),
    "an exponent that is a word": (lambda: DotProduct("a"), DataError, r"zeta: expected a positive number, got 'a'"),
    "no element": (lambda: SOAP(4, 2, 4.0, species=(None,)), DataError, r"None is not an element"),
    "three elements of a pair": (lambda: Pair(4.0, elements=("Si",) * 3), DataError, r"elements: expected two, got"),
    "sparse points of another descriptor": (
        lambda: Described(Pair(4.0), SparseGP(DotProduct(1), np.ones((1, 3)), [1.0])),
        DataError,
        r"Pair makes vectors of 1 components, but the SparseGP reads 3",
    ),
    "a Gaussian process in single precision": (
        lambda: jp.energy(
            Described(Pair(4.0), SparseGP(DotProduct(1), np.ones((1, 1)), [1.0])),
            jp.Structure(X.astype(np.float32), CELL.astype(np.float32), [14, 14]),
        ),
        PrecisionError,
        r"needs double precision, .* in float32: .* give float64 arrays",
    ),
    # Wave vectors
    "wave vectors that are words": (lambda: jp.phonons(SILICON, CRYSTAL, ["a", 0, 0]), DataError, r"q: expected numb"),
    # Geometry
    "a flat cell": (
        lambda: jp.energy(SILICON, jp.Structure(X, np.ones((3, 3)), [14, 14])),
        GeometryError,
        r"no volume: vectors \[\[1.0.*expected linearly independent .* pbc to False",
    ),
    "no cell": (
        lambda: jp.energy(SILICON, jp.Structure(X, np.zeros((3, 3)), [14, 14])),
        GeometryError,
        r"no volume",
    ),
    "two atoms at one point": (
        lambda: jp.energy(SILICON, jp.Structure(np.zeros((2, 3)), CELL, [14, 14])),
        GeometryError,
        r"atoms 0 \(Si\) and 1 \(Si\) are 0\.00e\+00 A apart.*remove one .* check the units",
    ),
    "an atom on the image of another": (
        lambda: jp.forces(SILICON, jp.Structure(np.array([[0, 0, 0], CELL[0]]), CELL, [14, 14])),
        GeometryError,
        r"atoms 0 .* and 1 .*\(image \[-?1, 0, 0\]\)",
    ),
    "positions in nanometres": (
        lambda: jp.energy(SILICON, CRYSTAL.moved(CRYSTAL.positions * 1e-3, CRYSTAL.cell * 1e-3)),
        ResourceError,
        r"pairs is beyond the limit.*check the units",
    ),
    "the stress of a slab": (
        lambda: jp.stress(SILICON, jp.Structure(X, CELL, [14, 14], pbc=(True, True, False))),
        GeometryError,
        r"needs a volume.*periodic along 2 axes.*jp\.virials",
    ),
    "the stress of a slab, from ASE": (
        lambda: calculated(ase.build.fcc111("Si", (1, 1, 2), a=5.4, vacuum=5.0)).get_stress(),
        GeometryError,
        r"needs a volume.*periodic along 2 axes",
    ),
    # Elements
    "a potential of another element": (
        lambda: jp.energy(SecondMoment.copper(), CRYSTAL),
        DataError,
        r"SecondMoment knows Cu, but the structure contains Si",
    ),
    "one unknown element": (
        lambda: jp.evaluate(SILICON, jp.Structure(X, CELL, ["Si", "C"])),
        DataError,
        r"StillingerWeber knows Si, but the structure contains C$",
    ),
    "one unknown element, with a list": (
        lambda: jp.energy(SILICON, jp.Structure(X, CELL, ["Si", "C"]), listed()),
        DataError,
        r"knows Si, .* contains C",
    ),
    "one unknown element among many": (
        lambda: jp.evaluate_many(SILICON, [CRYSTAL, jp.Structure(X, CELL, ["Si", "Ge"])]),
        DataError,
        r"knows Si, .* contains Ge",
    ),
    "one unknown element, from ASE": (
        lambda: calculated(ase.build.bulk("GaAs", "zincblende", a=5.6)).get_forces(),
        DataError,
        r"knows Si, .* contains Ga, As",
    ),
    "a sum without a common element": (
        lambda: SILICON + SecondMoment.copper(),
        DataError,
        r"no element is known to every term",
    ),
    # Lists
    "a list without a cutoff": (
        lambda: listed(None),
        DataError,
        r"cutoff .* finite and not negative.*got cutoff=None",
    ),
    "a negative cutoff": (lambda: listed(-1.0), DataError, r"not negative, in A; got cutoff=-1.0"),
    "a NaN skin": (lambda: listed(3.0, skin=np.nan), DataError, r"skin=nan"),
    "a list too short": (
        lambda: jp.energy(SILICON, CRYSTAL, listed(3.0)),
        CapacityError,
        r"reaches 3 A, but the potential needs 3\.77118 A: build it with",
    ),
    "a list too short, under jit": (
        lambda: jax.jit(jp.energy)(SILICON, CRYSTAL, listed(3.0)),
        CapacityError,
        r"reaches 3 A, .* needs 3\.77118 A",
    ),
    "a list of more atoms": (
        lambda: jp.energy(SILICON, CRYSTAL, listed(structure=CRYSTAL.repeated((2, 1, 1)))),
        DataError,
        r"list belongs to 4 atoms, the structure has 2",
    ),
    "a list of another structure": (
        lambda: jp.energy(SILICON, CRYSTAL.strained(-0.2 * jnp.eye(3)), listed()),
        CapacityError,
        r"outgrown.*another structure; build a new one",
    ),
    "a list of other boundaries": (
        lambda: jp.energy(SILICON, CRYSTAL.replace(pbc=False), listed()),
        DataError,
        r"built for pbc=\(True, True, True\), the structure has pbc=\(False",
    ),
    "an outgrown list": (
        lambda: jp.forces(SILICON, moved(0.7), listed()),
        CapacityError,
        r"outgrown.*larger skin",
    ),
    "NaN positions with a list": (
        lambda: jp.forces(SILICON, moved(np.nan), listed()),
        DataError,
        r"positions: not all numbers are finite",
    ),
    "too small a capacity": (
        lambda: listed(capacity=3),
        CapacityError,
        r"capacity is 3 .* has 4: give at least 4",
    ),
    "too few rows": (lambda: listed(rows=1), CapacityError, r"1 rows .* there are 2 atoms"),
    "a list built under jit": (
        lambda: jax.jit(lambda s: jp.energy(SILICON, s))(CRYSTAL),
        DataError,
        r"positions must be known .* traced.*outside of jit",
    ),
    "a list built under vmap": (
        lambda: jax.vmap(lambda x: jp.energy(SILICON, CRYSTAL.moved(x)))(jnp.stack([CRYSTAL.positions] * 2)),
        DataError,
        r"positions must be known .* pass it as `neighbors`",
    ),
    # Potentials
    "arguments in the wrong order": (
        lambda: jp.energy(CRYSTAL, SILICON),
        DataError,
        r"expected a jaxpot potential as the first argument, got Structure",
    ),
    "a class instead of a potential": (
        lambda: jp.evaluate(StillingerWeber, CRYSTAL),
        DataError,
        r"expected a jaxpot potential .* got type",
    ),
    "no cutoff": (
        lambda: LennardJones(0.01, 3.4, None),
        DataError,
        r"cutoff: expected a positive length in A, got None",
    ),
    "a cutoff of zero": (
        lambda: LennardJones(0.01, 3.4, 0.0),
        DataError,
        r"cutoff: expected a positive length in A, got 0",
    ),
    "an unknown way to end": (
        lambda: LennardJones(0.01, 3.4, 8.0, shift="linear"),
        DataError,
        r"shift: expected one of \['none', 'energy', 'slope', 'force', 'smooth'\], got 'linear'",
    ),
    "a negative sigma": (
        lambda: LennardJones(0.01, -3.4, 8.0),
        DataError,
        r"sigma must be positive \(A\), got -3\.4",
    ),
    "an onset beyond the cutoff": (
        lambda: LennardJones(0.01, 3.4, 8.0, shift="smooth", onset=9.0),
        DataError,
        r"onset \(9\.0 A\) must lie below the cutoff \(8\.0 A\)",
    ),
    "no rule for mixed pairs": (
        lambda: LennardJones({"Ar": 0.01, "Kr": 0.02}, {"Ar": 3.4, "Kr": 3.6}, 8.0),
        DataError,
        r"pairs of different elements are not given.*mixing=\"lorentz-berthelot\"",
    ),
    "a missing pair": (
        lambda: LennardJones(
            {("Ar", "Ar"): 0.01, ("Ar", "Kr"): 0.02}, {("Ar", "Ar"): 3.4, ("Ar", "Kr"): 3.6}, 8.0
        ),
        DataError,
        r"epsilon: the pair Kr-Kr is missing",
    ),
    "an asymmetric table": (
        lambda: LennardJones(np.array([[1.0, 2.0], [3.0, 1.0]]), 3.4, 8.0, species=("Ar", "Kr")),
        DataError,
        r"epsilon: Ar-Kr is 2 but Kr-Ar is 3",
    ),
    "a table of another size": (
        lambda: LennardJones(np.ones((2, 2)), 3.4, 8.0),
        DataError,
        r"epsilon: expected .*\(1, 1\).* got \(2, 2\)",
    ),
    "an element named twice": (
        lambda: ZBL(1.0, 2.0, ("Si", "Si")),
        DataError,
        r"species: expected distinct elements, got \['Si', 'Si'\]",
    ),
    "inner beyond outer": (
        lambda: ZBL(3.0, 2.0),
        DataError,
        r"inner \(3\.0 A\) must lie below outer \(2\.0 A\)",
    ),
    "constants without elements": (
        lambda: Constants([1.0, 2.0]),
        DataError,
        r"expected a dict such as \{'Si': -1\.0\}, or an array and its species",
    ),
    "NaN parameters": (lambda: sw(epsilon=np.nan), DataError, r"epsilon: 1 of 1 numbers are not finite"),
    "parameters that are words": (lambda: sw(A="seven"), DataError, r"A: expected numbers, got 'seven'"),
    "a potential without range": (
        lambda: sw(sigma=0.0),
        DataError,
        r"a \* sigma must be positive .* got a cutoff of 0",
    ),
    "EAM tables that do not fit": (
        lambda: EAM(np.ones((1, 9)), np.ones((2, 9)), np.ones((1, 9)), species=("Cu",), **TABLES),
        DataError,
        r"density: expected 1 tables of at least 5 points, got \(2, 9\)",
    ),
    "EAM tables on two grids": (
        lambda: EAM(np.ones((1, 9)), np.ones((1, 9)), np.ones((1, 8)), species=("Cu",), **TABLES),
        DataError,
        r"same grid, but have 9 and 8 points",
    ),
    "a Morse pair that is too wide": (
        lambda: Morse(0.6, -1.3, 2.4, 5.0), DataError, r"alpha must be positive .*1/A.*-1\.3",
    ),
    "a Morse pair without a length": (
        lambda: Morse(0.6, 1.3, 0.0, 5.0), DataError, r"r0 must be positive \(A\), got 0",
    ),
    "a Buckingham pair without a length": (
        lambda: Buckingham(900.0, 0.0, 1.0, 6.0), DataError, r"rho must be positive \(A\)",
    ),
    "soft spheres that attract at no distance": (
        lambda: SoftSphere(0.01, 3.4, 6.0, 0), DataError, r"n must be positive, got 0",
    ),
    "an exponent that is not finite": (
        lambda: SoftSphere(0.01, 3.4, 6.0, np.nan), DataError, r"exponents must be finite, and below 1e\+06, got nan",
    ),
    "a Wang-Frenkel pair that ends too soon": (
        lambda: WangFrenkel(0.01, 3.4, 3.4), DataError, r"rc must lie above sigma, got 3\.4 and 3\.4 A",
    ),
    "half a Wang-Frenkel exponent": (
        lambda: WangFrenkel(0.01, 3.4, 6.8, nu=1.5), DataError, r"nu: expected a whole number from 1 to 100, got 1\.5",
    ),
    "a metal that nobody has fitted": (
        lambda: FinnisSinclair.metal("Cu"), DataError, r"expected one of V, Nb, Ta, Cr, Mo, W, Fe, got Cu",
    ),
    "Finnis-Sinclair of too many strengths": (
        lambda: FinnisSinclair([1.0, 2.0], 4.0, 0.1, 3.3, 47.0, -33.0, 6.2, ("W",)), DataError,
        r"A: expected a number, or 1 of them; got shape \(2,\)",
    ),
    "a second moment that fades too late": (
        lambda: SecondMoment(0.09, 1.2, 11.0, 2.3, 2.55, 5.6, onset=5.6), DataError,
        r"onset \(5\.6 A\) must lie below the cutoff \(5\.6 A\)",
    ),
    "Tersoff's radii exchanged": (
        lambda: tersoff(R=3.0, S=2.7), DataError, r"R must lie below S, got \[3\.\] and \[2\.7\]",
    ),
    "Tersoff of the wrong number of elements": (
        lambda: tersoff(n=[0.7, 0.8]), DataError, r"n: expected a number, or 1 of them; got shape \(2,\)",
    ),
    "Tersoff without an angle": (lambda: tersoff(d=0.0), DataError, r"d must be positive .* got 0"),
    "Tersoff that fades beyond its middle": (
        lambda: triplets(R=2.7, D=2.7), DataError, r"D must lie from 0 to below R, got 2\.7 and 2\.7",
    ),
    "Tersoff's m": (lambda: triplets(m=2), DataError, r"m: expected 1 or 3, got 2"),
    "MEAM without elements": (lambda: meam(species=None), DataError, r"species: name the elements of the tables"),
    "MEAM that screens backwards": (
        lambda: meam(c_min=2.8, c_max=2.0), DataError, r"c_min must be less than c_max, got 2\.8 and 2 for all",
    ),
    "MEAM's table too short": (lambda: meam(end=5.0), DataError, r"pair: expected 1 tables to one step beyond 5 A"),
    "MEAM's unknown G": (lambda: meam(kind=2), DataError, r"kind: expected one of \(0, 1, 3, 4, -5\) .* got 2"),
    "a glue of numbers": (
        lambda: Glue({("Si", "Si"): 1.0}, ("Si",)), DataError, r"expected values of type CubicSpline",
    ),
    "a glue of another element": (
        lambda: Glue({("Si", "C"): SPLINE}, ("Si",)), DataError, r"pairs: expected elements of .* got \[6\] too",
    ),
    "EAM without elements": (
        lambda: EAM(np.ones((1, 9)), np.ones((1, 9)), np.ones((1, 9)), species=None, **TABLES),
        DataError,
        r"species: name the elements of the tables, in their order",
    ),
    "EAM on a grid without a step": (
        lambda: EAM(np.ones((1, 9)), np.ones((1, 9)), np.ones((1, 9)), 1.0, 0.0, 4.0, ("Cu",)),
        DataError,
        r"dr: expected a positive length in A, got 0",
    ),
    "a table in EAM that is not finite": (
        lambda: EAM(np.ones((1, 9)), np.ones((1, 9)), np.full((1, 9), np.inf), species=("Cu",), **TABLES),
        DataError,
        r"pair: 9 of 9 numbers are not finite",
    ),
    "EAM files of one element": (
        lambda: jp.load([FILES / "copper.eam", FILES / "copper.eam"]), DataError,
        r"expected files of distinct elements, got .*copper\.eam \(Cu\)",
    ),
    "a MEAM library without a choice": (
        lambda: jp.load(FILES / "made_up.library.meam"), FormatError, r"say with `species` which of Si, Mg, AlX",
    ),
    "MEAM files in the wrong order": (
        lambda: jp.load([FILES / "two_kinds.meam", FILES / "made_up.library.meam"], species=("Si", "Mg")), FormatError,
        r"expected a library of elements, but this is a file of parameters: load \[library, this file\]",
    ),
    "an element that a MEAM library has not": (
        lambda: jp.load(FILES / "made_up.library.meam", species=("W",)), FormatError,
        r"nothing for 'W'; there are Si, Mg",
    ),
    "an element that a file has not": (
        lambda: jp.load(FILES / "two_kinds.sw", species=("Si", "C")), FormatError, r"entries are missing: .*C",
    ),
    "an element that a Tersoff file has not": (
        lambda: jp.load(FILES / "two_kinds.tersoff", species=("W",)), FormatError,
        r"there is nothing for 'W'; say with",
    ),
    "elements for a file that names its own": (
        lambda: jp.load(FILES / "copper.eam", species=("Cu",)), DataError,
        r"no use for species=\('Cu',\): leave that out",
    ),
    "a forgotten formula": (
        lambda: jp.energy(Nothing(), CRYSTAL),
        JaxpotError,
        r"Nothing has no cutoff: a potential declares its range, in A",
    ),
    "a parameter named as a declaration": (
        lambda: jp.energy(Shadowing(np.ones(2)), CRYSTAL), DataError,
        r"Shadowing\.reach: expected a number of A .* got ndarray; a parameter of this name needs another one",
    ),
    # Results
    "a Hessian beyond the memory": (
        lambda: jp.hessian(
            ARGON, jp.Structure(np.arange(30000.0).reshape(-1, 3), CELL, np.full(10000, 18), pbc=False)
        ),
        ResourceError,
        r"Hessian of 10000 atoms needs 7\.2 GB.*limit of 4 GB.*hessian_vector_product",
    ),
    "a displacement of the wrong shape": (
        lambda: jp.hessian_vector_product(SILICON, CRYSTAL, np.zeros(6)),
        DataError,
        r"vector: expected .*\(2, 3\), got \(6,\)",
    ),
    # ASE
    "a calculator of a name": (
        lambda: ase_calculator("sw-silicon"),
        DataError,
        r"expected a jaxpot potential .* got str",
    ),
    "a negative skin": (
        lambda: ase_calculator(SILICON, skin=-0.1),
        DataError,
        r"skin: expected a length in A .* got -0\.1",
    ),
    "NaN positions, from ASE": (
        lambda: calculated(broken()).get_forces(),
        DataError,
        r"positions: 1 of 6 .* not finite",
    ),
    # Files
    "a file that is not there": (
        lambda: jp.load("nowhere.sw"),
        FormatError,
        r"nowhere\.sw.*no such file.*built in: sw-silicon",
    ),
    "a folder": (lambda: jp.load(str(FILES)), FormatError, r"this is a folder without a potential; known are"),
    "saving something else": (lambda: jp.save({"a": object()}, "never-written"), DataError, r"cannot save"),
}


def calculated(atoms):
    atoms.calc = ase_calculator(SILICON)
    return atoms


def broken():
    atoms = ATOMS.copy()
    atoms.positions[1, 2] = np.nan
    return atoms


def test_there_are_enough():
    assert len(MISTAKES) + len(FILE_MISTAKES) >= 60


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name):
    call, kind, pattern = MISTAKES[name]
    with pytest.raises(kind) as caught:
        call()
    told(caught.value, pattern)


def told(error, pattern):
    assert isinstance(error, JaxpotError)
    message = str(error)
    assert re.search(pattern, message, re.DOTALL), message
    assert len(message) < 1000 and "Traceback" not in message


# Files with wrong contents: the text, or what is done to a good file; and the message.

EAM_FILE, FS_FILE = FILES / "copper.eam", FILES / "two_metals.eam.fs"
SETFL, SW = FILES / "two_metals.eam.alloy", FILES / "two_kinds.sw"


def lines(path, change):
    text = path.read_text().splitlines()
    change(text)
    return "\n".join(text) + "\n"


def put(number, value):
    return lambda text: text.__setitem__(number - 1, value)


FILE_MISTAKES = {
    "empty.sw": (lambda: "", r"empty\.sw.*no entry"),
    "words.sw": (
        lambda: lines(SW, put(3, "Si Si Si 2.1 two 1.8 9.5 1.2")),
        r"line [34]: sigma: expected a number, got 'two'",
    ),
    "short.sw": (lambda: "Si Si Si 2.1 2.1 1.8\n", r"short\.sw"),
    "missing.sw": (
        lambda: "\n".join(SW.read_text().splitlines()[:6]) + "\n",
        r"entries are missing: .*every ordered triplet",
    ),
    "twice.sw": (
        lambda: SW.read_text() + "\n".join(SW.read_text().splitlines()[2:4]) + "\n",
        r"given before, on line 3",
    ),
    "element.sw": (lambda: SW.read_text().replace("Ge", "Gx"), r"'Gx' is not an element"),
    "nan.sw": (
        lambda: lines(SW, put(3, "Si Si Si nan 2.1 1.8 9.5 1.2")),
        r"epsilon: expected a finite number, got 'nan'",
    ),
    "huge.sw": (
        lambda: lines(SW, put(3, "Si Si Si 1e60 2.1 1.8 9.5 1.2")), r"epsilon: expected a number up to 1e\+50 in size",
    ),
    "grouped.sw": (lambda: lines(SW, put(3, "Si Si Si 2_1 2.1 1.8 9.5 1.2")), r"epsilon: expected a number, got '2_1'"),
    "long.sw": (
        lambda: lines(SW, put(3, "Si Si Si " + "9" * 5000 + " 2.1 1.8 9.5 1.2")),
        r"epsilon: expected a finite number, got '9{37}\.\.\.'",
    ),
    "radii.tersoff": (
        lambda: "Si Si Si 3 1 0 4.8 2 0 22 .3 1.3 95 .2 3 3.2 3264\n",
        r"D: expected 0 <= D < R, got D = 3 and R = 0\.2",
    ),
    "power.tersoff": (lambda: "Si Si Si 2 1 0 4.8 2 0 22 .3 1.3 95 3 .2 3.2 3264\n", r"m: expected 1 or 3, got 2"),
    "numbers.tersoff": (lambda: "Si Si Si 3 1 0\n", r"numbers\.tersoff.*truncated"),
    "mass.eam": (lambda: lines(EAM_FILE, put(2, "29 heavy 3.6 fcc")), r"line 2: mass: expected a number, got 'heavy'"),
    "element.eam": (
        lambda: lines(EAM_FILE, put(2, "129 63.5 3.6 fcc")),
        r"atomic number: expected a number from 1 to 118",
    ),
    "cutoff.eam": (lambda: lines(EAM_FILE, put(3, "10 0.9 89 0.06 9.1")), r"cutoff \(9\.1 A\)|too many"),
    "pairs.eam.alloy": (lambda: FS_FILE.read_text(), r"pairs\.eam\.alloy"),
    "units.sw": (lambda: "# UNITS: real\n" + SW.read_text(), r"in 'real' units; expected 'metal'"),
    "asymmetric.sw": (
        lambda: SW.read_text().replace("7.3 0.62 4 0 0.001\nGe Si Ge", "7.4 0.62 4 0 0.001\nGe Si Ge"),
        r"must be equal|order of the atoms",
    ),
    "binary.sw": (lambda: "Si\x00Si", r"expected a text file"),
    "truncated.eam.alloy": (lambda: "\n".join(SETFL.read_text().splitlines()[:80]) + "\n", r"truncated"),
    "longer.eam.alloy": (
        lambda: SETFL.read_text() + "1.0\n",
        r"expected the end of the file, but there is more",
    ),
    "count.eam.alloy": (
        lambda: lines(SETFL, put(4, "3 Ni Al")),
        r"line 4: elements: 3 elements are announced, but 2 named",
    ),
    "grid.eam.alloy": (
        lambda: lines(SETFL, put(5, "60 0.32 120 0.045")),
        r"line 5: grid: expected n_rho .* got 4 words",
    ),
    "huge.eam.alloy": (
        lambda: lines(SETFL, put(5, "999999999 0.32 120 0.045 5.35")),
        r"n_rho: expected a number from 5 to \d+, got 999999999",
    ),
    "step.eam.alloy": (
        lambda: lines(SETFL, put(5, "60 0.32 120 -0.045 5.35")),
        r"line 5: dr: expected a positive number",
    ),
    "word.eam.alloy": (
        lambda: lines(SETFL, lambda t: t.__setitem__(7, t[7].split()[0] + " x y z")),
        r"line 8: .*got 'x'|too many",
    ),
    "unknown.txt": (lambda: "hello\nworld\n", r"format is not recognised; known are"),
    "saved.jaxpot": (lambda: "jaxpot-tree 1\n99999\n{}", r"length of the header is damaged or .* cut off"),
    "garbage.jaxpot": (lambda: "jaxpot-tree 1\n2\n{}", r"header cannot be read"),
}


@pytest.mark.parametrize("name", FILE_MISTAKES)
def test_wrong_file(name, tmp_path):
    make, pattern = FILE_MISTAKES[name]
    path = tmp_path / name
    path.write_bytes(make().encode("latin-1"))
    with pytest.raises(FormatError) as caught:
        jp.load(path)
    told(caught.value, pattern)
    assert name in str(caught.value)


def test_damaged_saved_potential(tmp_path):
    """Every single changed byte, and every truncation, is refused."""
    path = tmp_path / "si.jaxpot"
    jp.save(SILICON, path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        bad = bytearray(good)
        at = int(rng.integers(len(bad)))
        bad[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad))
        with pytest.raises(FormatError):
            jp.load(path)
    for length in (0, 1, 10, 30, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(FormatError):
            jp.load(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(FormatError):
        jp.load(path)


SINGLE = """
import numpy as np, jaxpot as jp, jax.numpy as jnp
from jaxpot.errors import PrecisionError
x, cell = np.array([[0, 0, 0], [1.3575] * 3]), 2.715 * (1 - np.eye(3))
for call in (
    lambda: jp.Structure(x, cell, [14, 14]),
    lambda: jp.potentials.StillingerWeber.silicon(),
    lambda: jp.potentials.LennardJones(1.0, 1.0, 3.0),
    lambda: jp.load("sw-silicon"),
):
    try:
        call()
    except PrecisionError as error:
        assert "jax_enable_x64" in str(error) and "float32" in str(error), error
    else:
        raise SystemExit("accepted")
s = jp.Structure(x.astype(np.float32), cell.astype(np.float32), [14, 14])
f = np.float32
p = jp.potentials.LennardJones(f(1.0), f(2.0), 4.0)
r = jp.evaluate(p, s)
assert r.energy.dtype == np.float32 and np.isfinite(r.energy)
print("good")
"""


def test_double_precision_switched_off():
    """A typed error with the line that mends it, and float32 where it is asked for."""
    assert issubclass(PrecisionError, JaxpotError)
    result = subprocess.run([sys.executable, "-c", SINGLE], capture_output=True, text=True, timeout=300)
    assert result.stdout.strip().endswith("good"), result.stdout + result.stderr


def test_every_unknown_element_is_refused():
    """Z = 1..118 without silicon: nothing is clamped to a known one, and under jit everything is NaN."""
    neighbors = listed()
    evaluate = jax.jit(jp.evaluate)
    for z in range(1, 119):
        if z == 14:
            continue
        other = CRYSTAL.replace(numbers=np.array([14, z], np.int32))
        with pytest.raises(DataError, match="knows Si"):
            jp.energy(SILICON, other, neighbors)
        result = evaluate(SILICON, other, neighbors)
        assert np.isnan(result.energy) and np.isnan(result.forces).all()


def test_atoms_that_are_known_stay_known_inside_a_jitted_function():
    def by_parameter(function):
        return lambda strength: function(SILICON.replace(A=strength), ATOMS)

    for function in (jp.energy, jp.stress):
        np.testing.assert_allclose(jax.jit(by_parameter(function))(7.0), by_parameter(function)(7.0), atol=1e-12)
    slope = jax.jit(jax.grad(by_parameter(jp.energy)))(7.0)
    ahead, behind = (by_parameter(jp.energy)(7.0 + h) for h in (1e-4, -1e-4))
    assert slope == pytest.approx(float(ahead - behind) / 2e-4, rel=1e-7)
    with pytest.raises(DataError, match="positions must be known .* build the list outside of jit/vmap"):
        jax.jit(lambda x: jp.energy(SILICON, CRYSTAL.moved(x)))(CRYSTAL.positions)
    with pytest.raises(DataError, match="made outside, or with NumPy: under jit, jax.numpy traces"):
        jax.jit(lambda strength: jp.energy(SILICON.replace(A=strength), CRYSTAL.moved(1.01 * CRYSTAL.positions)))(7.0)


def test_properties_of_a_known_crystal_are_functions_of_traced_parameters():
    def properties(strength):
        potential = SILICON.replace(A=strength)
        return {
            "energy": jp.evaluate(potential, ATOMS).energy,
            "hessian": jp.hessian(potential, ATOMS),
            "density of states": jp.phonon_dos(potential, CRYSTAL, mesh=(2, 2, 2)).density,
            "phonons": jp.phonons(potential, ATOMS, [0.5, 0.0, 0.5]).frequencies,
            "c44": jp.elastic_constants(potential, ATOMS).c44,
            "supercell": jp.energy(potential, CRYSTAL.repeated((2, 1, 1))),
        }

    traced = jax.eval_shape(properties, 7.0)  # without compiling it
    assert {name: found.shape for name, found in traced.items()} == {
        "energy": (), "hessian": (2, 3, 2, 3), "density of states": (401,), "phonons": (6,), "c44": (), "supercell": (),
    }
    doubled = jax.jit(lambda strength: jp.energy(SILICON.replace(A=strength), CRYSTAL.repeated((2, 1, 1))))
    assert doubled(7.0) == pytest.approx(2.0 * float(jp.energy(SILICON.replace(A=7.0), CRYSTAL)), rel=1e-12)

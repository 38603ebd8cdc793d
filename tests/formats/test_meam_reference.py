"""Reference structures of MEAM against their geometry, and tables against stored numbers.

The stored numbers are those of the code that agrees with LAMMPS (`tests/potentials/test_reference.py`): `print_stored()`.
"""

import itertools

import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.core.graph import connect
from jaxpot.formats.meam_reference import LATTICES, Reference, _zbl

R = np.array([0.0, 0.7, 1.6, 2.3, 2.9, 3.6])
STRUCTURES = {
    "fcc": bulk("Cu", a=3.6), "bcc": bulk("Fe", a=2.8), "hcp": bulk("Mg", a=3.2, covera=(8 / 3) ** 0.5),
    "sc": bulk("Po", "sc", a=3.3), "dia": bulk("Si", a=5.4), "b1": bulk("NaCl", "rocksalt", a=5.6),
    "b2": bulk("CsCl", "cesiumchloride", a=4.1), "l12": bulk("Ni", a=3.6, cubic=True),
}
CONSTANTS = {"fcc": 3.6, "bcc": 2.8, "hcp": 3.2, "sc": 3.3, "dia": 5.4}


@pytest.mark.parametrize("name", STRUCTURES)
def test_geometry(name):
    structure = jp.Structure.of(STRUCTURES[name])
    listed = jp.neighbors(structure, 6.0)
    vectors = np.asarray(connect(structure, listed).vectors)
    vectors = vectors[0] if vectors.shape[-1] == 3 else np.moveaxis(vectors, 0, -1)[0]
    vectors = vectors[: int(listed.counts[0])]
    r = np.linalg.norm(vectors, axis=1)
    shells = np.unique(r.round(6))
    near, second = (vectors[np.abs(r - shell) < 1e-4] for shell in shells[:2])
    lattice = LATTICES[name]
    assert (lattice.neighbors, lattice.second) == (len(near), len(second))
    assert lattice.ratio == pytest.approx(shells[1] / shells[0], rel=1e-6)
    assert lattice.scale == pytest.approx(shells[0] / CONSTANTS[name] if name in CONSTANTS else 0.0, rel=1e-6)
    common = np.linalg.norm(near - second[0], axis=1) < shells[0] + 1e-3
    assert lattice.between == np.count_nonzero(common)
    np.testing.assert_allclose(lattice.shape, shape(near / shells[0]), atol=1e-4)


def shape(units):
    """rho_1^2, rho_2^2 and rho_3^2 of neighbours that bring 1 each."""
    cosines = units @ units.T
    return cosines.sum(), (cosines**2).sum() - len(units) ** 2 / 3, (cosines**3).sum() - 0.6 * cosines.sum()


def test_a_dimer():
    dimer = LATTICES["dim"]
    assert (dimer.neighbors, dimer.second, dimer.scale) == (1, 0, 1.0)
    np.testing.assert_allclose(dimer.shape, shape(np.array([[0.0, 0.0, 1.0]])))


def reference(name, mixing=0, form=0, second=True, kind=(0, 3), zbl=True, **changed):
    """Two made-up elements, of fcc and bcc, and their pair in a structure."""
    rng = np.random.default_rng(5)
    number = lambda low, high, *size: rng.uniform(low, high, size)  # noqa: E731
    same = name in ("fcc", "bcc", "hcp", "sc", "dia", "dim")
    values = {
        "lattice": {(0, 0): name if same else "fcc", (1, 1): name if same else "bcc", (0, 1): name},
        "energy": number(2, 4, 2, 2), "re": number(2.3, 2.7, 2, 2), "alpha": number(4, 6, 2, 2),
        "attraction": number(0.05, 0.2, 2, 2), "repulsion": number(0.05, 0.2, 2, 2), "second": np.full((2, 2), second),
        "zbl": np.full((2, 2), zbl), "c_min": number(0.2, 0.5, 2, 2, 2), "c_max": number(1.2, 2.8, 2, 2, 2),
        "rho0": number(0.7, 1.4, 2), "beta": number(2, 5, 4, 2), "t": number(0.5, 2, 3, 2), "strength": number(2, 4, 2),
        "kind": kind, "charge": (29, 26), "smoothing": 99.0, "mixing": mixing, "form": form, "linear_below": False,
        "simple_background": False,
    }
    return Reference(**{**values, **changed})


CASES = {
    **{f"{name} {mixing} {form}": reference(name, mixing, form)
       for name in LATTICES for mixing, form in ((0, 0), (1, 1), (2, 2))},
    **{f"{name} nearest": reference(name, second=False, zbl=False) for name in LATTICES},
    "linear below": reference("hcp", kind=(-5, -5), linear_below=True, t=np.full((3, 2), -40.0)),
    "simple": reference("dia", simple_background=True), "others": reference("dia", kind=(1, 4)),
}


def digest(case):
    """Of each table at each distance: too many numbers to store, but for their sums with weights."""
    tables = CASES[case].tables(R)
    size = 1.0 + np.abs(tables)
    weights = np.cos(1.0 + np.arange(tables.size)).reshape(tables.shape)
    return [float(np.sum(weights * np.log(size) * np.sign(tables))), *CASES[case].backgrounds().tolist()]


def print_stored():
    for case in CASES:
        print(f'    "{case}": ({", ".join(f"{x:.12g}" for x in digest(case))}),')


STORED = {
    "fcc 0 0": (-2.31521011238, 15.4128905748, 11.4587842104),
    "fcc 1 1": (0.72939296349, 15.4128905748, 11.4587842104),
    "fcc 2 2": (-2.02881044658, 15.4128905748, 11.4587842104),
    "bcc 0 0": (-2.62122627249, 15.1020006364, 10.3063562408),
    "bcc 1 1": (0.922813232685, 15.1020006364, 10.3063562408),
    "bcc 2 2": (-2.26510492256, 15.1020006364, 10.3063562408),
    "hcp 0 0": (-2.31374220233, 15.4128905748, 11.4822241579),
    "hcp 1 1": (0.731992073054, 15.4128905748, 11.4822241579),
    "hcp 2 2": (-2.0261472339, 15.4128905748, 11.4822241579),
    "sc 0 0": (-2.54004070727, 9.21410432796, 6.80357304908),
    "sc 1 1": (2.82026520541, 9.21410432796, 6.80357304908),
    "sc 2 2": (-2.06089867992, 9.21410432796, 6.80357304908),
    "dia 0 0": (-1.6717474358, 5.21149778876, 4.40997177939),
    "dia 1 1": (5.67536183417, 5.21149778876, 4.40997177939),
    "dia 2 2": (-1.01808229537, 5.21149778876, 4.40997177939),
    "dim 0 0": (3.68622539746, 1.26435073172, 1.74011789812),
    "dim 1 1": (14.7991622857, 1.26435073172, 1.74011789812),
    "dim 2 2": (3.53564704867, 1.26435073172, 1.74011789812),
    "b1 0 0": (-2.76386908994, 15.4128905748, 10.3063562408),
    "b1 1 1": (0.882973892024, 15.4128905748, 10.3063562408),
    "b1 2 2": (-2.45732475312, 15.4128905748, 10.3063562408),
    "b2 0 0": (-2.44209942763, 15.4128905748, 10.3063562408),
    "b2 1 1": (0.990891924072, 15.4128905748, 10.3063562408),
    "b2 2 2": (-2.13272206166, 15.4128905748, 10.3063562408),
    "l12 0 0": (-2.63785562371, 15.4128905748, 10.3063562408),
    "l12 1 1": (1.26613117272, 15.4128905748, 10.3063562408),
    "l12 2 2": (-2.33440747143, 15.4128905748, 10.3063562408),
    "fcc nearest": (-3.60566582991, 15.1722087806, 11.0581975342),
    "bcc nearest": (-3.77411619897, 10.1148058538, 7.37213168947),
    "hcp nearest": (-3.60315997845, 15.1722087806, 11.0808180466),
    "sc nearest": (-3.87315114081, 7.58610439031, 5.5290987671),
    "dia nearest": (-3.44019648269, 5.05740292688, 4.40075967982),
    "dim nearest": (1.25077593667, 1.26435073172, 1.74011789812),
    "b1 nearest": (-3.91351106506, 15.1722087806, 7.37213168947),
    "b2 nearest": (-3.54069545442, 15.1722087806, 7.37213168947),
    "l12 nearest": (-3.70781997539, 15.1722087806, 7.37213168947),
    "linear below": (-2.58027791615, 15.4128905748, 11.4587842104),
    "simple": (-0.864548252674, 5.05740292688, 3.68606584473),
    "others": (-1.83315634775, 5.5885907419, 4.35921567445),
}


@pytest.mark.parametrize("case", CASES)
def test_tables_are_as_stored(case):
    np.testing.assert_allclose(digest(case), STORED[case], rtol=2e-10)


@pytest.mark.parametrize("name", ["l12", "b1", "b2"])
def test_weights_that_are_equal_need_no_mean(name):
    """Of L1_2: with one t for both elements it makes no difference how t is averaged."""
    tables = [reference(name, mixing, t=np.full((3, 2), 1.3)).tables(R[1:]) for mixing in (0, 1, 2)]
    for one, two in itertools.pairwise(tables):
        np.testing.assert_allclose(one, two, rtol=1e-11)


@pytest.mark.parametrize("form", [0, 1, 2])
def test_the_equation_of_state_at_rest(form):
    """-E there, and no force but of the cubic term of form 1."""
    two = reference("b1", form=form)
    re = two.re[0, 1]
    low, rest, high = two._rose(re + np.array([-1e-5, 0.0, 1e-5]), 0, 1)
    assert rest == pytest.approx(-two.energy[0, 1], rel=1e-14) and abs(high - low) < 1e-9


def test_the_repulsion_of_nuclei():
    assert _zbl(np.array([0.0]), 14, 6) == pytest.approx(0.028171 + 0.28022 + 0.50986 + 0.18175)
    x = 1.3 / (0.4685 / (14**0.23 + 6**0.23))
    screening = 0.028171 * np.exp(-0.20162 * x) + 0.28022 * np.exp(-0.4029 * x)
    screening += 0.50986 * np.exp(-0.94229 * x) + 0.18175 * np.exp(-3.1998 * x)
    assert _zbl(np.array([1.3]), 14, 6) == pytest.approx(14.3997 * 14 * 6 / 1.3 * screening, rel=1e-12)

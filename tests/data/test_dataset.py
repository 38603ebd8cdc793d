"""Frames and datasets: what they refuse, how they are cut up, and energies of isolated atoms."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset, Frame
from jaxpot.errors import DataError, GeometryError

CELL = 5.43 * np.eye(3)


def structure(symbols=("Si", "Si"), pbc=True, size=1.0):
    return Structure(np.arange(3.0 * len(symbols)).reshape(-1, 3) * 0.7, size * CELL, list(symbols), pbc=pbc)


def frames(types, symbols=("Si", "Si")):
    return [
        Frame(structure(symbols), energy=-10.0 - k, config_type=name, source=f"frame {k}") for k, name in enumerate(types)
    ]


def dataset(types):
    return Dataset(frames(types), {14: -4.0}, "given")


# Frames


def test_a_frame_holds_what_was_given_in_double_precision_and_cannot_be_changed():
    forces = np.ones((2, 3))
    frame = Frame(bulk("Si"), energy=np.float32(-1.5), forces=forces, stress=np.eye(3), sigma_energy=1)
    forces[:] = 7.0
    assert frame.energy == -1.5 and frame.forces.max() == 1.0 and frame.sigma_energy == 1.0
    assert len(frame) == 2 and frame.volume == pytest.approx(bulk("Si").get_volume(), rel=1e-14)
    for array in (frame.structure.positions, frame.structure.cell, frame.forces, frame.stress):
        assert type(array) is np.ndarray and array.dtype == np.float64 and not array.flags.writeable
    np.testing.assert_array_equal(frame.structure.positions, bulk("Si").positions)
    single = Structure(np.zeros((1, 3), np.float32), np.eye(3, dtype=np.float32), ["Si"])
    assert Frame(single).structure.positions.dtype == np.float64


WRONG = {
    "energy NaN": ({"energy": np.nan}, "here: energy: expected a finite energy"),
    "energy text": ({"energy": "low"}, "here: energy"),
    "two energies": ({"energy": [1.0, 2.0]}, "here: energy"),
    "forces shape": ({"forces": np.zeros((3, 2))}, r"here: forces: expected an array of shape \(2, 3\), got \(3, 2\)"),
    "forces flat": ({"forces": np.zeros(6)}, "here: forces: expected an array of shape"),
    "forces NaN": ({"forces": [[0, 0, 0], [0, np.nan, 0]]}, r"here: forces: 1 of 6 numbers are not finite.*\[1, 1\]"),
    "forces inf": ({"forces": np.full((2, 3), np.inf)}, "here: forces: 6 of 6"),
    "stress Voigt": ({"stress": np.zeros(6)}, r"here: stress: expected an array of shape \(3, 3\)"),
    "stress asymmetric": ({"stress": [[0, 1, 0], [0, 0, 0], [0, 0, 0]]}, "here: stress: expected a symmetric tensor"),
    "sigma zero": ({"sigma_forces": 0.0}, "here: sigma_forces: expected a positive number in eV/A"),
    "sigma negative": ({"sigma_stress": -1.0}, "here: sigma_stress"),
    "open axis": ({"stress": np.eye(3), "structure": structure(pbc=(True, True, False))}, "here: stress: .* volume"),
    "no atoms": ({"structure": Structure(np.zeros((0, 3)), CELL, np.zeros(0, int))}, "here: there are no atoms"),
    "padding": ({"structure": structure().padded(4)}, "here: .*padding"),
    "not a structure": ({"structure": "Si"}, "here: expected a jaxpot.Structure"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_labels_are_refused_with_their_place(what):
    arguments, message = WRONG[what]
    with pytest.raises(DataError, match=message):
        Frame(**{"structure": structure(), "source": "here", **arguments})


def test_a_stress_that_is_symmetric_but_for_rounding_is_made_symmetric():
    stress = np.array([[1.0, 0.2, 0.0], [0.2 + 1e-5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = Frame(structure(), stress=stress).stress
    assert found[0, 1] == found[1, 0] == pytest.approx(0.2 + 5e-6, abs=1e-12)
    exact = 0.5 * (stress + stress.T) / 3.0
    np.testing.assert_array_equal(Frame(structure(), stress=exact).stress, exact)


# Cutting up


def test_indexing():
    data = dataset(["a"] * 4)
    assert isinstance(data[1], Frame) and data[-1].energy == -13.0
    for index in (slice(1, 3), [1, 2], np.array([1, 2]), np.array([False, True, True, False]), (-3, -2)):
        part = data[index]
        assert [f.energy for f in part] == [-11.0, -12.0] and part.e0 == data.e0 and part.e0_origin == "given"
    assert len(data) == 4 and data.n_atoms == 8 and data.species == (14,)
    for index in (4, -5, [0, 4]):
        with pytest.raises(IndexError):
            data[index]
    for index in ([True, False], [0.5], "a", [[0]]):
        with pytest.raises(DataError):
            data[index]
    with pytest.raises(DataError, match="no frames"):
        data[4:]


def test_select_and_exclude():
    data = dataset(["a", "b", "a", "c"])
    assert data.config_types == {"a": 2, "b": 1, "c": 1}
    assert [f.energy for f in data.select("a")] == [-10.0, -12.0]
    assert [f.energy for f in data.select(["b", "c"])] == [-11.0, -13.0]
    assert [f.energy for f in data.exclude("a")] == [-11.0, -13.0]
    low = lambda frame: frame.energy < -10.5  # noqa: E731
    assert [f.energy for f in data.select("a", low)] == [-12.0]
    assert [f.energy for f in data.exclude(predicate=low)] == [-10.0]
    with pytest.raises(DataError, match="no frame has 'd'; there are a, b, c"):
        data.select(["a", "d"])
    with pytest.raises(DataError, match="no frames"):
        data.exclude(["a", "b", "c"])


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_a_split_keeps_the_shares_of_the_config_types(fraction):
    data = dataset(["a"] * 40 + ["b"] * 11 + ["c"] * 3 + ["d"])
    rest, part = data.split(fraction, seed=3)
    assert len(part) == round(fraction * 55) and len(rest) + len(part) == 55
    for name, count in data.config_types.items():
        assert abs(part.config_types.get(name, 0) - fraction * count) < 1.0
    energies = [f.energy for f in rest] + [f.energy for f in part]
    assert sorted(energies) == sorted(f.energy for f in data)
    assert [f.energy for f in part] == sorted((f.energy for f in part), reverse=True)  # in the order of the data
    assert [f.energy for f in data.split(fraction, seed=3)[1]] == [f.energy for f in part]
    assert [f.energy for f in data.split(fraction, seed=4)[1]] != [f.energy for f in part]


def test_splits_that_leave_nothing_are_refused():
    data = dataset(["a"] * 5)
    for fraction in (0.0, 1.0, 0.01, -0.5, 2.0, np.nan, "half"):
        with pytest.raises(DataError, match="fraction"):
            data.split(fraction, seed=0)
    with pytest.raises(DataError, match="seed"):
        data.split(0.5, seed=0.3)


def test_folds_are_disjoint_and_stratified():
    data = dataset(["a"] * 20 + ["b"] * 10 + ["c"] * 2)
    folds = data.folds(5, seed=1)
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(32))
    assert {len(fold) for fold in folds} <= {6, 7}
    for fold in folds:
        counts = data[fold].config_types
        assert counts["a"] == 4 and counts["b"] == 2 and counts.get("c", 0) <= 1
    assert all((a == b).all() for a, b in zip(folds, data.folds(5, seed=1), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(folds, data.folds(5, seed=2), strict=True))
    for k in (1, 33, 2.5):
        with pytest.raises(DataError, match="k:"):
            data.folds(k, seed=1)


def test_sigmas():
    data = dataset(["a", "b", "b"]).with_sigmas(energy=0.01)
    data = data.with_sigmas(energy=0.002, forces=0.1, config_type="b")
    assert [f.sigma_energy for f in data] == [0.01, 0.002, 0.002]
    assert [f.sigma_forces for f in data] == [None, 0.1, 0.1]
    assert [f.sigma_stress for f in data] == [None] * 3
    with pytest.raises(DataError, match="sigma_energy"):
        data.with_sigmas(energy=0.0)
    with pytest.raises(DataError, match="no frame has 'c'"):
        data.with_sigmas(energy=0.1, config_type="c")


def test_a_dataset_needs_frames_and_energies_of_its_atoms():
    with pytest.raises(DataError, match="no frames"):
        Dataset((), {}, "given")
    with pytest.raises(DataError, match="e0 lacks C; the frames contain C, Si"):
        Dataset(frames(["a"], ("Si", "C")), {14: 0.0}, "given")
    with pytest.raises(DataError, match="e0 of Si"):
        Dataset(frames(["a"]), {14: np.nan}, "given")
    with pytest.raises(DataError, match="expected Frames, got Structure"):
        Dataset((structure(),), {14: 0.0}, "given")


# From atoms in memory


def labelled(atoms, **results):
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def test_atoms_with_a_calculator():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.calc = EMT()
    atoms.get_forces(), atoms.get_stress()
    data = Dataset.of([atoms, Frame(structure(("Cu", "Cu")), energy=-1.0)])
    assert data[0].energy == atoms.get_potential_energy() and data.e0_origin == "least squares"
    np.testing.assert_array_equal(data[0].forces, atoms.get_forces())
    np.testing.assert_array_equal(data[0].stress, atoms.get_stress(voigt=False))
    assert data[1].forces is None


def test_results_that_belong_to_other_positions_are_refused():
    atoms = labelled(bulk("Si"), energy=-1.0, forces=np.zeros((2, 3)))
    atoms.positions[0] += 0.1
    with pytest.raises(DataError, match="frame 0: the calculator's results belong to other atoms .positions changed"):
        Dataset.of([atoms])


def test_labels_that_a_copy_has_lost_are_missed():
    atoms = labelled(bulk("Si"), energy=-1.0, forces=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"no frame has energy='energy'.*atoms.copy\(\) drops"):
        Dataset.of([atoms.copy()])
    with pytest.raises(DataError, match=r"1 of 2 frames have no energy \(key 'energy'\), the first is frame 1"):
        Dataset.of([atoms, atoms.copy()])


def test_things_that_are_no_data_are_refused():
    with pytest.raises(DataError, match="got Structure; a Structure becomes a Frame"):
        Dataset.of([structure()])
    with pytest.raises(DataError, match="no frames"):
        Dataset.of([])
    with pytest.raises(DataError, match="no label at all, the first is mine"):
        Dataset.of([Frame(structure(), source="mine")])
    with pytest.raises(DataError, match="require: expected energy, forces or stress, got dipole"):
        Dataset.of([labelled(bulk("Si"), energy=-1.0)], forces=None, require=("dipole",))


# Energies of isolated atoms


def alone(symbol="Si", energy=-0.8, size=20.0, **arguments):
    atom = Structure(np.zeros((1, 3)), size * np.eye(3), [symbol], pbc=arguments.pop("pbc", True))
    return Frame(atom, energy=energy, source=f"alone {symbol}", **arguments)


@pytest.mark.parametrize(
    "atom",
    [
        alone(), alone(pbc=False), alone(pbc=False, size=0.0), alone(size=5.0, config_type="isolated_atom"),
        alone(size=5.0, config_type="IsolatedAtom"), alone(forces=np.zeros((1, 3))), alone(size=10.5),
    ],
    ids=["large cell", "open", "no cell", "isolated_atom", "IsolatedAtom", "with forces", "just large enough"],
)
def test_isolated_atoms_give_e0_to_the_bit_and_are_taken_out(atom):
    data = Dataset.of([*frames(["a", "b"]), atom])
    assert data.e0 == {14: -0.8} and data.e0_origin == "isolated atoms in the data"
    assert len(data) == 2 and "isolated atoms taken out of the frames: 1" in data.notes


def test_a_primitive_cell_is_no_isolated_atom():
    data = Dataset.of([alone(size=2.5, energy=-5.0), alone(size=2.6, energy=-5.2)])
    assert len(data) == 2 and data.e0_origin == "least squares" and data.e0[14] == pytest.approx(-5.1)


def test_isolated_atoms_that_make_no_sense():
    with pytest.raises(DataError, match="two energies for an isolated Si: -0.8 eV .*-0.7 eV"):
        Dataset.of([*frames(["a"]), alone(), alone(energy=-0.7)])
    with pytest.raises(DataError, match="alone Si: an isolated atom without an energy"):
        Dataset.of([*frames(["a"]), alone(energy=None)])
    with pytest.raises(DataError, match="frame 0: config_type='isolated_atom' says isolated atom, but there are 2"):
        Dataset.of(frames(["isolated_atom"]))
    with pytest.raises(DataError, match="no frames besides isolated atoms .1."):
        Dataset.of([alone()])
    with pytest.raises(GeometryError, match="alone Si: the periodic cell has no volume"):
        Dataset.of([*frames(["a"]), alone(size=0.0)])
    assert Dataset.of([*frames(["a"]), alone(), alone(pbc=False)]).e0 == {14: -0.8}


def test_given_energies():
    two = frames(["a", "b"], ("Si", "C"))
    for e0 in ({"Si": -0.8, "C": -1.2}, {14: -0.8, 6: -1.2}, {"Si": -0.8, "C": -1.2, "O": -2.0}):
        data = Dataset.of(two, e0=e0)
        assert data.e0[14] == -0.8 and data.e0[6] == -1.2 and data.e0_origin == "given"
    data = Dataset.of([*two, alone()], e0={"C": -1.2})
    assert data.e0 == {6: -1.2, 14: -0.8}
    assert data.e0_origin == "isolated atoms in the data (Si), given (C)"
    assert Dataset.of([*two, alone()], e0={"C": -1.2, "Si": -0.8}).e0_origin == "given"


def test_energies_that_are_missing_or_contradict_each_other():
    two = frames(["a", "b"], ("Si", "C"))
    with pytest.raises(DataError, match=r"is known for C \(there are some for Si\).*least squares"):
        Dataset.of(two, e0={"Si": -0.8})
    with pytest.raises(DataError, match=r"is known for C \(there are some for Si\)"):
        Dataset.of([*two, alone()])
    with pytest.raises(DataError, match="is known for C, Si .none is given"):
        Dataset.of(two, e0={})
    with pytest.raises(DataError, match="-0.7 eV is given for Si, but alone Si is an isolated atom with -0.8 eV"):
        Dataset.of([*two, alone()], e0={"C": -1.2, "Si": -0.7})
    with pytest.raises(DataError, match="Si is given twice"):
        Dataset.of(two, e0={"Si": -0.8, 14: -0.8, "C": 0.0})
    for wrong in ("mean", -0.8, {"Sj": 1.0}, {"Si": np.nan, "C": 0.0}):
        with pytest.raises(DataError):
            Dataset.of(two, e0=wrong)


def test_least_squares_find_the_energies_of_the_elements():
    exact = {6: -7.25, 14: -4.5}
    mixtures = [("Si", "C"), ("Si", "Si", "C"), ("C", "C", "C", "Si"), ("Si",) * 3]
    made = [Frame(structure(m), energy=sum(exact[{"Si": 14, "C": 6}[s]] for s in m)) for m in mixtures]
    for data in (Dataset.of(made), Dataset.of([*made, alone()], e0="least squares")):
        assert data.e0_origin == "least squares"
        assert data.e0 == pytest.approx(exact, abs=1e-12)
    mean = Dataset.of([Frame(structure(("Si",) * n), energy=e) for n, e in ((2, -10.0), (4, -18.0))])
    assert mean.e0[14] == pytest.approx(-4.75, abs=1e-12)  # per atom, not per frame
    same = Dataset.of(frames(["a"] * 3, ("Si", "C")))
    assert "do not tell C, Si apart" in same.e0_origin and same.e0[6] == pytest.approx(same.e0[14])


def test_molecules_and_single_atoms_come_from_ase_too():
    water = labelled(molecule("H2O"), energy=-14.0, forces=np.zeros((3, 3)))
    atoms = [labelled(Atoms(s), energy=e) for s, e in (("H", -1.0), ("O", -2.0))]
    data = Dataset.of([water, *atoms])
    assert data.e0 == {1: -1.0, 8: -2.0} and len(data) == 1 and data[0].volume is None

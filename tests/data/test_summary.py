"""What the summary of a dataset says: ranges, repeats, outliers, and labels that do not follow the energies."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from jaxpot import units
from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset, Frame
from jaxpot.data.read import read_dataset
from jaxpot.data.similar_pairs import similar_pairs

CELL = 5.43 * np.eye(3)


def computed(atoms, name, config_type):
    atoms.calc = EMT()
    return Frame(
        atoms, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False), config_type, name
    )


def series(rattle=0.0):
    """Copper, strained along xx and sheared along yz and xy, with the labels of one potential (ASE's EMT)."""
    frames = []
    for a, b in ((0, 0), (1, 2), (0, 1)):
        for step in (-0.02, -0.01, 0.01, 0.02):
            atoms = bulk("Cu", cubic=True)
            atoms.rattle(rattle, seed=1)
            strain = np.zeros((3, 3))
            strain[a, b] = step
            atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
            frames.append(computed(atoms, f"{'xyz'[a]}{'xyz'[b]} {step:+g}", "strained"))
    return frames


def with_stress(frames, change):
    return [replace(frame, stress=change(frame.stress)) for frame in frames]


def found(frames, e0=None):
    return Dataset.of(frames, e0=e0 or {"Cu": 0.0}).summary()


# Numbers


def simple(energy, config_type="a", shift=0.0, symbols=("Si", "C"), size=1.0, **labels):
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]) + shift
    return Frame(Structure(positions, size * CELL, list(symbols)), energy, config_type=config_type, **labels)


def test_counts_and_ranges():
    forces, stress = np.array([[0.0, 3.0, 4.0], [0.0, -3.0, -4.0]]), np.diag([1.0, 2.0, -3.0]) * units.GPa
    cluster = Frame(Structure([[0, 0, 0], [0, 0, 1.5]], np.zeros((3, 3)), ["Si", "Si"], pbc=False), -3.0, source="dimer")
    frames = [simple(-10.0, forces=forces, stress=stress), simple(-9.0, size=1.1), simple(None, "b", stress=stress), cluster]
    s = Dataset.of(frames, e0={"Si": -1.0, "C": -3.0}).summary()
    assert s.elements == {"C": 3, "Si": 5} and s.labels == {"energy": 3, "forces": 1, "stress": 2}
    assert s.e0 == {"Si": -1.0, "C": -3.0} and s.e0_origin == "given"
    a, b, default = s.groups
    assert (a.name, a.frames, a.atoms, a.energy, a.force) == ("a", 2, 4, (-3.0, -2.5), 5.0)
    assert a.stress == pytest.approx((-3.0, 2.0)) and a.closest == pytest.approx(2.0)
    assert a.volume == pytest.approx((5.43**3 / 2, 1.1**3 * 5.43**3 / 2))
    assert b.energy is None and b.force is None and default.volume is None and default.energy == (-0.5, -0.5)
    assert (s.total.frames, s.total.atoms, s.total.closest) == (4, 8, pytest.approx(1.5))
    assert s.closest == ("dimer", "Si-Si", pytest.approx(1.5))
    assert s.largest_forces == (("frame 0", 5.0),)
    assert json.loads(json.dumps(s.to_dict(), allow_nan=False))["groups"][0]["energy"] == [-3.0, -2.5]
    text = str(s)
    assert "4 frames, 8 atoms (C 3, Si 5)" in text and "(given)" in text and "C-Si" not in text
    lines = [line for line in text.splitlines() if line.startswith(("config_type", "a ", "all "))]
    assert len(lines) == 3 and len({line.index(word) for line, word in zip(lines, ("frames", "2", "4"), strict=True)}) <= 3


def test_the_closest_pair_counts_images_and_far_atoms():
    thin = Frame(Structure(np.zeros((1, 3)), np.diag([2.2, 9.0, 9.0]), ["Si"]), -1.0, source="thin")
    far = Frame(Structure([[0, 0, 0], [0, 0, 12.0]], CELL, ["Si", "Si"], pbc=False), -1.0, source="far")
    s = Dataset.of([thin, far]).summary()
    assert s.closest == ("thin", "Si-Si", pytest.approx(2.2))
    further = Frame(Structure([[0, 0, 0], [0, 0, 40.0]], CELL, ["Si", "Si"], pbc=False), -1.0, source="further")
    assert Dataset.of([far]).summary().closest[2] == pytest.approx(12.0)
    assert Dataset.of([further]).summary().closest is None
    onto = Frame(Structure(np.zeros((2, 3)), CELL, ["Si", "Si"]), -1.0, source="onto")
    s = Dataset.of([thin, onto]).summary()
    assert s.closest[0] == "onto" and s.closest[2] == 0.0 and "atoms 0 (Si) and 1 (Si)" in str(s)


def test_net_forces_outliers_and_units_are_told():
    frames = [
        simple(-10.0 + 0.01 * np.sin(k), source=f"f{k}", shift=0.01 * k, forces=[[0, 0, 1e-4 * k], [0, 0, -1e-4 * k]])
        for k in range(10)
    ]
    s = Dataset.of(frames, e0={"Si": 0.0, "C": 0.0}).summary()
    assert not s.outliers and not s.net_forces
    frames[3] = replace(frames[3], energy=-9.0)
    frames[7] = replace(frames[7], forces=[[0, 0, 0.1], [0, 0, 0]])
    s = Dataset.of(frames, e0={"Si": 0.0, "C": 0.0}).summary()
    assert [o.source for o in s.outliers] == ["f3"] and s.outliers[0].energy == -4.5 and s.outliers[0].score > 8
    assert s.net_forces == (("f7", pytest.approx(0.05)),)
    assert "f3 (a): -4.5 eV/atom" in str(s) and "f7: 0.05 eV/A per atom" in str(s)
    assert not any("per atom" in note for note in s.notes)
    per_atom = [
        Frame(Structure(np.arange(3.0 * n).reshape(-1, 3), 4 * CELL, ["Si"] * n), -5.0 - 0.01 * n) for n in (2, 4, 8, 16)
    ]
    assert any("are they per atom" in note for note in Dataset.of(per_atom).summary().notes)
    total = [replace(f, energy=f.energy * len(f)) for f in per_atom]
    assert not any("are they per atom" in note for note in Dataset.of(total).summary().notes)


# Frames that are there more than once


def test_duplicates_and_whether_their_labels_agree():
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 5.43, (4, 3))
    one = Frame(Structure(positions, CELL, ["Si"] * 4), -20.0, np.zeros((4, 3)), source="one")
    images = positions + rng.integers(-2, 3, (4, 3)) @ CELL
    wrapped = replace(one, structure=Structure(images, CELL, ["Si"] * 4), source="wrapped")
    rounded = replace(one, structure=Structure(positions + 4e-5, CELL, ["Si"] * 4), source="rounded", energy=-20.00001)
    shifted = replace(one, structure=Structure(positions + [0.3, 0.0, -7.0], CELL, ["Si"] * 4), source="shifted")
    moved = positions.copy()
    moved[2, 1] += 1e-3
    near = replace(one, structure=Structure(moved, CELL, ["Si"] * 4), source="near")
    element = replace(one, structure=Structure(positions, CELL, ["Si", "Si", "Si", "C"]), source="element")
    stretched = replace(one, structure=Structure(positions, 1.001 * CELL, ["Si"] * 4), source="stretched")
    frames = [one, near, wrapped, element, stretched, rounded, shifted]
    (same,) = found(frames, {"Si": 0.0, "C": 0.0}).duplicates
    assert same.sources == ("one", "wrapped", "rounded", "shifted") and same.agree
    (same,) = Dataset.of([one, replace(wrapped, energy=-19.9)], e0={"Si": 0.0}).summary().duplicates
    assert not same.agree and same.energy == pytest.approx(0.025) and same.force == 0.0
    (same,) = Dataset.of([one, replace(wrapped, forces=np.full((4, 3), 0.01))], e0={"Si": 0.0}).summary().duplicates
    assert not same.agree
    text = str(Dataset.of([one, replace(wrapped, energy=-19.9)], e0={"Si": 0.0}).summary())
    assert "one, wrapped: the labels DIFFER by 0.025 eV/atom" in text


def test_frames_that_were_turned():
    frames = series()
    turn = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    strained = frames[0]
    s = strained.structure
    turned = replace(
        strained, structure=Structure(s.positions @ turn, s.cell @ turn, s.numbers), forces=strained.forces @ turn,
        stress=turn.T @ strained.stress @ turn, source="turned",
    )
    names = found([frames[0], frames[1], turned]).turned
    assert names == (("xx -0.02", "turned"),)
    assert not found([frames[0], replace(turned, energy=turned.energy + 1e-4)]).turned
    assert not found([frames[0], replace(turned, stress=turned.stress + 1e-3 * np.eye(3))]).turned
    # Shears of opposite sign are the same crystal.
    assert ("yz -0.02", "yz +0.02", "xy -0.02", "xy +0.02") in found(frames).turned


def test_pairs_far_from_each_other_are_no_pairs():
    frames = series()
    pairs = {(frames[p.first].source, frames[p.second].source) for p in similar_pairs(frames, range(12), 0.0105, 1e-6)}
    pairs = {tuple(sorted(p)) for p in pairs}
    assert ("xx -0.01", "xx -0.02") in pairs and ("xx +0.01", "xx -0.01") not in pairs
    assert not list(similar_pairs(frames, [0], 1.0, 1.0))
    positions = frames[0].structure.positions + np.array([[0.04, 0, 0]] + [[0, 0, 0]] * 3)
    moved = replace(frames[0], structure=Structure(positions, frames[0].structure.cell, frames[0].numbers))
    (pair,) = similar_pairs([frames[0], moved], [0, 1], 1e-6, 0.031)
    np.testing.assert_allclose(np.abs(pair.shifts[:, 0]), [0.03, 0.01, 0.01, 0.01], atol=1e-12)
    (pair,) = similar_pairs(frames, [0, 1], 0.02, 1e-6)
    sign = 1 if pair.first == 0 else -1
    assert pair.strain[0, 0] == pytest.approx(sign * 0.01 / 0.985) and np.abs(pair.shifts).max() < 1e-12


# Labels against energies


@pytest.mark.parametrize("rattle", [0.0, 0.1])
def test_sound_stresses_are_found_sound(rattle):
    (check,) = found(series(rattle)).consistency
    assert check.sound and not check.has_offset and check.frames == 12
    assert abs(check.offset) < 0.1 and check.normal.deviation < 0.1 and check.shear.deviation < 0.1
    assert check.normal.slope == pytest.approx(1.0, abs=0.03) and check.shear.slope == pytest.approx(1.0, abs=0.03)


def test_atoms_that_move_under_strain_do_work_too():
    frames = []
    for k in range(6):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=1)
        atoms.set_cell(atoms.cell @ np.diag([1.0 + 0.01 * k, 1.0, 1.0]), scale_atoms=True)
        atoms.positions[0] += 0.02 * k
        frames.append(computed(atoms, f"both {k}", "both"))
    (check,) = found(frames).consistency
    assert check.sound and check.normal.deviation < 0.08 * check.normal.signal
    (check,) = found([replace(f, forces=-f.forces) for f in frames]).consistency
    assert check.normal.deviation > 0.2 * check.normal.signal
    assert found([replace(f, forces=None) for f in frames]).consistency == ()


def test_strains_too_small_for_the_digits_of_the_energies_decide_nothing():
    frames = series()
    tiny = [
        replace(f, structure=Structure(f.structure.positions, f.structure.cell * (1 + 1e-5), f.structure.numbers),
                energy=f.energy + 1e-3)
        for f in frames
    ]
    (check,) = found(frames + tiny).consistency
    assert check.sound


def test_a_constant_offset_is_found_and_measured():
    frames = with_stress(series(), lambda stress: stress + 2.4 * units.GPa * np.eye(3))
    s = found(frames)
    (check,) = s.consistency
    assert check.has_offset and check.offset == pytest.approx(2.4, abs=0.1) and not check.sound
    assert check.normal.follows and check.shear.follows
    assert "strained: normal stresses ARE OFF by a constant +2." in str(s)
    assert s.to_dict()["consistency"][0]["has_offset"] is True


SHEAR = ~np.eye(3, dtype=bool)


def test_wrong_shear_stresses_are_found():
    flipped = found(with_stress(series(), lambda stress: np.where(SHEAR, -stress, stress)))
    (check,) = flipped.consistency
    assert check.normal.follows and not check.shear.follows and check.shear.slope == pytest.approx(-1.0, abs=0.05)
    assert "shear stresses DO NOT follow the energies (is the sign opposite?)" in str(flipped)
    assert check.exchanged is None
    order = lambda s: np.array([[s[0, 0], s[1, 2], s[0, 1]], [s[1, 2], s[1, 1], s[0, 2]], [s[0, 1], s[0, 2], s[2, 2]]])  # noqa: E731
    exchanged = found(with_stress(series(), order))
    (check,) = exchanged.consistency
    assert not check.shear.follows and check.exchanged == ("xz", "xy", "yz")
    assert "if the components given as yz, xz, xy were xz, xy, yz" in str(exchanged)
    (check,) = found(with_stress(series(), lambda stress: -stress)).consistency
    assert not check.normal.follows and not check.shear.follows and not check.sound


def test_wrong_forces_are_found():
    frames = []
    for k in range(8):
        atoms = bulk("Cu", cubic=True) * (2, 1, 1)
        atoms.rattle(0.05, seed=1)
        atoms.positions[0, 0] += 0.01 * k
        frames.append(computed(atoms, f"moved {k}", "moved"))
    (check,) = found(frames).consistency
    assert check.sound and check.forces.slope == pytest.approx(1.0, abs=0.01) and check.offset is None
    (check,) = found([replace(f, forces=-f.forces) for f in frames]).consistency
    assert not check.forces.follows and check.forces.slope == pytest.approx(-1.0, abs=0.01)
    (check,) = found([replace(f, forces=f.forces / 0.529177 * 27.2114) for f in frames]).consistency
    assert not check.sound


def test_nothing_is_said_where_nothing_can_be_decided():
    frames = series()
    for chosen in (frames[:1], [frames[0], frames[5]], [replace(f, energy=None) for f in frames]):
        s = found(chosen)
        assert s.consistency == () and "no two frames are near enough to compare" in str(s)
    (check,) = found([replace(f, stress=None) for f in frames[4:]] + frames[:4]).consistency
    assert check.shear is None and check.normal is not None


# Real data


def mlearn(element):
    return read_dataset(os.path.join(os.environ["JAXPOT_DATA"], "mlearn", element, "train.xyz")).summary()


@pytest.mark.data
@pytest.mark.parametrize(("element", "offset"), [("Cu", 2.4), ("Ni", 2.9), ("Mo", 0.0), ("Si", 0.0)])
def test_offsets_of_published_data(element, offset):
    summary = mlearn(element)
    (check,) = summary.consistency
    assert check.config_type == "Elastic" and check.offset == pytest.approx(offset, abs=0.12)
    assert check.has_offset == (offset > 0) and check.normal.follows and check.shear.follows
    assert not summary.duplicates and (len(summary.turned) > 10) == (element != "Mo")


@pytest.mark.data
def test_shear_stresses_of_lithium_contradict_the_energies():
    (check,) = mlearn("Li").consistency
    assert not check.shear.follows and check.normal.follows and not check.has_offset

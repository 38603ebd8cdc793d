"""Data of atoms and of the system survive what structures go through, and are refused where they do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.core.save import load_tree, save_tree
from jaxpot.core.symmetry import space_group
from jaxpot.properties.coordinates import deform
from jaxpot.report.crystal import primitive

CHARGES = [1.0, -1.0]


def salt(**system):
    atoms = bulk("NaCl", "rocksalt", 5.6)
    atoms.set_initial_charges(CHARGES)
    atoms.info |= system
    return atoms


def test_charges_of_ase_come_along_and_go_back():
    structure = jp.Structure.of(salt(charge=2))
    assert structure.atom_data["charges"].tolist() == CHARGES and structure.system_data["total_charge"] == 2.0
    again = jp.to_ase(structure)
    assert again.get_initial_charges().tolist() == CHARGES
    assert jp.Structure.of(again).system_data["total_charge"] == 2.0


def test_named_data_of_ase_are_read_where_a_model_needs_them():
    atoms = salt(field=[0.0, 0.0, 0.1])
    atoms.set_array("sizes", np.array([0.5, 0.7]))
    assert set(jp.Structure.of(atoms).atom_data) == {"charges"}
    structure = jp.Structure.of(atoms, ("sizes", "field"))
    assert structure.atom_data["sizes"].tolist() == [0.5, 0.7] and structure.system_data["field"].shape == (3,)
    assert jp.to_ase(structure).arrays["sizes"].tolist() == [0.5, 0.7]


def test_data_are_padded_tiled_deformed_and_saved(tmp_path):
    structure = jp.Structure.of(salt(charge=2))
    assert structure.padded(4).atom_data["charges"].tolist() == [*CHARGES, 0.0, 0.0]
    double = structure.repeated((2, 1, 1))
    assert double.atom_data["charges"].tolist() == CHARGES * 2 and double.system_data["total_charge"] == 4.0
    traced = jax.jit(lambda s: s.repeated((2, 1, 1)).atom_data["charges"])(structure)
    assert traced.tolist() == CHARGES * 2
    moved = deform(structure, 0.01 * jnp.eye(3), 0.0 * structure.positions)
    assert moved.atom_data["charges"].tolist() == CHARGES
    save_tree(double, tmp_path / "double")
    assert load_tree(tmp_path / "double").atom_data["charges"].tolist() == CHARGES * 2


def test_bonds_are_those_of_every_cell():
    structure = jp.Structure.of(salt()).replace(system_data={"bonds": [[0, 1, 0, 0, 0], [1, 0, 1, -1, 0]]})
    double = structure.repeated((2, 2, 1))

    def lengths(s):
        first, second, cells = (np.asarray(s.system_data["bonds"])[:, k] for k in (0, 1, slice(2, 5)))
        return np.linalg.norm(s.positions[second] + cells @ s.cell - s.positions[first], axis=1)

    assert np.allclose(lengths(double), np.tile(lengths(structure), 4))


def test_symmetry_sees_data():
    structure = jp.Structure.of(salt())
    like = structure.replace(numbers=[11, 11], masses=[23.0, 23.0])
    assert len(primitive(like.repeated((1, 1, 2)))) == 2
    assert len(primitive(like.replace(atom_data={}))) == 1
    with_field = structure.replace(system_data={"field": [0.0, 0.0, 0.1]})
    assert space_group(with_field).number == 1


def test_what_belongs_to_one_cell_is_not_passed_on():
    structure = jp.Structure.of(salt(charge=2))
    assert len(primitive(structure.repeated((1, 1, 2)))) == 4
    lj = jp.potentials.LennardJones(0.1, 2.5, 5.0, shift="smooth")
    with pytest.raises(jp.errors.DataError, match="total_charge"):
        jp.vacancy_energy(lj, structure, distance=5.0, chemical_potential=0.0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"atom_data": {"charges": [1.0]}}, "one entry for each of the 2 atoms"),
        ({"atom_data": {"charges": [1.0, np.nan]}}, "not finite"),
        ({"atom_data": {"charges": ["a", "b"]}}, "expected numbers"),
        ({"atom_data": [1.0, 2.0]}, "expected a dict"),
        ({"system_data": {"total_charge": np.inf}}, "not finite"),
        ({"system_data": {"bonds": [[0, 2, 0, 0, 0]]}}, "two of the 2 atoms"),
        ({"system_data": {"bonds": [[0.5, 1, 0, 0, 0]]}}, "expected integers"),
    ],
)
def test_wrong_data_are_refused(data, words):
    with pytest.raises(jp.errors.DataError, match=words):
        jp.Structure.of(salt()).replace(**data)


def test_extras_are_an_old_name():
    with pytest.deprecated_call():
        structure = jp.Structure.of(salt()).replace(atom_data=None, extras={"charges": CHARGES, "field": 1.0})
    assert set(structure.atom_data) == {"charges"} and set(structure.system_data) == {"field"}
    with pytest.deprecated_call():
        assert set(structure.extras) == {"charges", "field"}

"""A crystal that is too large for a card is refused at once, before it is read and before anything is computed."""

import time

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from jaxpot.io import declared_atoms, files


@pytest.mark.parametrize("name", ["large.xyz", "large.cif", "large.vasp"])
def test_a_card_of_many_atoms_is_refused_unread(name, call, tmp_path, monkeypatch):
    count, row = 120_000, "{} 0.25 0.50 {:.6f}"
    rows = [row.format("Si", k / count) for k in range(count)]
    head = {
        "large.xyz": f'{count}\nLattice="99 0 0 0 99 0 0 0 99" Properties=species:S:1:pos:R:3',
        "large.cif": "data_x\n_cell_length_a 99\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n"
        "_atom_site_fract_z",
        "large.vasp": f"Si\n1.0\n99 0 0\n0 99 0\n0 0 99\nSi\n{count}\nDirect",
    }[name]
    rows = [line.removeprefix("Si ") for line in rows] if name == "large.vasp" else rows
    path = tmp_path / name
    path.write_text("\n".join([head, *rows, ""]))
    monkeypatch.setattr(files, "read_atoms", lambda *_: pytest.fail("the file was read"))
    begin = time.monotonic()
    code, _, err = call("card", "sw-silicon", "--structure", path, "--out", tmp_path / "card")
    assert code == 2 and "120000 atoms are beyond it (at most 5000)" in err
    assert time.monotonic() - begin < 5.0 and not (tmp_path / "card").exists()


def test_what_a_file_declares(tmp_path):
    atoms = bulk("Si", cubic=True)
    for name in ("a.xyz", "a.cif", "a.vasp", "a.xyz.gz"):
        write(tmp_path / name, atoms)
        assert declared_atoms(tmp_path / name) == 8
    assert declared_atoms(f"{tmp_path / 'a.xyz'}@0") == 8
    (tmp_path / "torn.xyz").write_text("many\n")
    for unknown in ("diamond:Si", tmp_path, tmp_path / "torn.xyz", 300 * "x", "missing.cif"):
        assert declared_atoms(unknown) is None


def test_symmetry_that_makes_many_atoms_of_few_is_refused_before_the_work(call, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxpot.cli.structure.io.declared_atoms", lambda _: 1)
    monkeypatch.setattr("jaxpot.cli.structure.checked_neighbors", lambda *_: pytest.fail("a list was made"))
    atoms = bulk("Si", cubic=True) * (9, 9, 9)
    atoms.positions += np.random.default_rng(0).normal(0.0, 0.01, atoms.positions.shape)
    write(tmp_path / "large.xyz", atoms)
    code, _, err = call("card", "sw-silicon", "--structure", tmp_path / "large.xyz", "--out", tmp_path / "card")
    assert code == 2 and "5832 atoms are beyond it" in err

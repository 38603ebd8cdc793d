"""Atoms that are too close, on the command line: refused where they are no matter, told where they may collide."""

from ase import Atoms
from ase.build import bulk
from ase.io import write


def in_nm(atoms):
    """The same, with lengths in nm."""
    atoms = atoms.copy()
    atoms.set_cell(0.1 * atoms.cell, scale_atoms=True)
    return atoms


def test_commands_refuse_it_too(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = bulk("Si")
    write("frames.xyz", [good, in_nm(good)])
    write("nm.xyz", in_nm(good))
    for command in (
        ("evaluate", "sw-silicon", "frames.xyz"), ("relax", "sw-silicon", "nm.xyz"),
        ("md", "sw-silicon", "nm.xyz", "--steps", 1, "--temperature", 300), ("card", "sw-silicon", "--structure", "nm.xyz"),
    ):
        code, _, err = call(*command, "--out", "out.xyz")
        assert code == 2 and "are these lengths in nm?" in err, command
        assert ("frames.xyz: structure 1: atoms" in err) == (command[0] == "evaluate")
    write("close.xyz", [good, *(Atoms("Si2", [[0, 0, 0], [d, 0, 0]], cell=(20, 20, 20), pbc=True) for d in (0.5, 0.4))])
    code, _, err = call("evaluate", "sw-silicon", "close.xyz", "--out", "out.json", "--quiet")
    assert code == 0 and err.count("note:") == 1
    assert "close.xyz: structure 1: atoms 0 (Si) and 1 (Si) are 0.5 A apart" in err and "first of 2" in err

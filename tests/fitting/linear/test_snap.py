"""Fits of SNAP: energies that are linear or quadratic in the bispectrum are recovered, with bars, and saved for LAMMPS."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.descriptors import Bispectrum
from jaxpot.errors import FormatError
from jaxpot.fitting import Dataset, Frame, fit, read_recipe
from jaxpot.potentials import Described
from jaxpot.readouts import Linear, Quadratic

RECIPE = """
units = "A"
[[term]]
descriptor = "bispectrum"
readout = "{}"
cutoff = 3.9
twojmax = 2
delta = 10.0
[sigma]
energy = 1e-5
forces = 1e-4
[choice]
method = "fixed"
"""


def labelled(kind, elements):
    """Frames of a made-up potential of the same form, and the potential."""
    rng = np.random.default_rng(0)
    count = len(elements)
    bispectrum = Bispectrum(elements, 2, 3.9, (0.5,) * count, (1.0,) * count, chemflag=count > 1)
    terms = [
        Described(bispectrum.replace(centers=(z,)), kind(0.05 * rng.normal(size=kind.untrained(
            bispectrum.dimension, 1.0).weights.shape)), bispectrum.species) for z in bispectrum.species
    ]
    potential, frames = jp.potentials.Sum.or_one(terms), []
    for k in range(14):
        atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.05 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.15, seed=k)
        atoms.symbols = rng.permutation([elements[n % count] for n in range(len(atoms))])
        frames.append(jp.Structure.of(atoms))
    labels = jp.evaluate_many(potential, frames)
    return Dataset.of(
        [Frame(s, energy=float(e.energy), forces=e.forces) for s, e in zip(frames, labels, strict=True)],
        e0=dict.fromkeys(elements, 0.0),
    ), potential


@pytest.mark.parametrize(("name", "kind", "elements"), [
    ("linear", Linear, ("Cu",)), ("quadratic", Quadratic, ("Cu",)),
    pytest.param("linear", Linear, ("Cu", "Au"), marks=pytest.mark.slow),
])
def test_what_made_the_data_is_recovered(name, kind, elements, tmp_path):
    data, _ = labelled(kind, elements)
    (tmp_path / "snap.toml").write_text(RECIPE.format(name))
    fitted = fit(data[:11], read_recipe(tmp_path / "snap.toml"), test=data[11:])
    errors = fitted.test.errors()["all"]
    assert errors["energy"]["mae"] < 1e-5 and errors["forces"]["mae"] < 1e-4
    structure = data[12].structure
    bars = jp.std(fitted.posterior, structure)
    assert 0.0 < float(bars.epistemic.energy) < 1e-2
    jp.save(fitted.potential, tmp_path / "x.snapcoeff")
    same = jp.load(tmp_path / "x.snapcoeff")
    found, exact = jp.evaluate(same, structure), jp.evaluate(fitted.potential, structure)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), found, exact)


@pytest.mark.thorough
def test_constants_are_found_with_the_rest(tmp_path):
    """Where no energies of atoms are known; bars, and the file for LAMMPS, know of them."""
    data, exact = labelled(Linear, ("Cu",))
    frames = [replace(frame, energy=frame.energy + 3.0 * len(frame)) for frame in data]
    recipe = RECIPE.format("linear") + '[[term]]\ndescriptor = "constant"\ndelta = 100.0\n'
    (tmp_path / "snap.toml").write_text(recipe)
    recipe = read_recipe(tmp_path / "snap.toml")
    fitted = fit(Dataset.of(frames[:11], e0="least squares"), recipe, test=Dataset.of(frames[11:], e0={"Cu": 0.0}))
    errors = fitted.test.errors()["all"]
    assert errors["energy"]["mae"] < 1e-5 and errors["forces"]["mae"] < 1e-4
    structure = data[12].structure
    assert 0.0 < float(jp.std(fitted.posterior, structure).epistemic.energy) < 1e-2
    jp.save(fitted.potential, tmp_path / "x.snapcoeff")
    found = jp.evaluate(jp.load(tmp_path / "x.snapcoeff"), structure)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10),
        found, jp.evaluate(fitted.potential, structure),
    )
    energies = {z: 3.0 for z in exact.species}
    assert len(recipe.linear_terms(Dataset.of(frames, e0=energies))) == 1  # then they are given
    (tmp_path / "alone.toml").write_text('[[term]]\ndescriptor = "constant"\n')
    with pytest.raises(FormatError, match="not a constant"):
        read_recipe(tmp_path / "alone.toml")
    (tmp_path / "wrong.toml").write_text(RECIPE.format("linear") + '[[term]]\ndescriptor = "constant"\ncutoff = 3.0\n')
    with pytest.raises(FormatError, match="constant has no cutoff"):
        read_recipe(tmp_path / "wrong.toml")


def test_recipes_of_snap_are_read():
    assert {name for name in ("snap", "qsnap") if name in jp.recipes()} == {"snap", "qsnap"}
    (term,) = read_recipe("qsnap").linear_terms(labelled(Linear, ("Cu",))[0])
    assert term.kind is Quadratic and term.descriptor.dimension == 55

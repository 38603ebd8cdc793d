"""Fits of moment tensor potentials: radial functions that fit, files of MLIP, and what is refused."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from tiers import thorough_but

import jaxpot as jp
from jaxpot.core.graph import Environment
from jaxpot.descriptors import MomentTensors
from jaxpot.descriptors.base import Descriptor
from jaxpot.descriptors.moment_levels import moments_of_level
from jaxpot.errors import FormatError
from jaxpot.fitting import Dataset, Frame, read_recipe
from jaxpot.fitting.linear.radial_refinement import RadialSlopes

RECIPE = """
[[term]]
descriptor = "mtp"
readout = "linear"
cutoff = 1.7
level = 8
radial_basis_size = 6
delta = 10.0
[[term]]
descriptor = "constant"
[sigma]
energy = 0.002
forces = 0.05
[choice]
method = "fixed"
"""


@pytest.mark.thorough
@pytest.mark.parametrize("species", [(14,), (14, 6)])
def test_slopes_by_radial_coefficients(species):
    """One by one, by differences; and those of the neighbours as of any descriptor."""
    rng = np.random.default_rng(0)
    basis = moments_of_level(6)
    radial = rng.normal(size=(len(species), len(species), basis.functions, 3))
    moments = MomentTensors(radial, species, 4.0, 1.8, 0.2, basis.basic, basis.products, basis.scalars)
    slopes = RadialSlopes(moments, rng.normal(size=moments.dimension))
    x = rng.normal(size=(5, 3))
    r = rng.uniform(1.9, 3.9, 5)
    x *= (r / np.linalg.norm(x, axis=1))[:, None]
    env = Environment(
        *map(jnp.asarray, x.T), jnp.asarray(r), jnp.asarray(rng.choice(species, 5)), jnp.asarray(species[-1])
    )
    vectors, weights, _, changes, weight_changes = jax.jit(lambda s: s.jacobian(env))(slopes)
    by_neighbours = jax.jit(lambda s: Descriptor.jacobian(s, env))(slopes)
    np.testing.assert_allclose(changes, by_neighbours[3], atol=1e-10)
    np.testing.assert_array_equal(weight_changes, 0.0)

    @jax.jit
    def energy(radial):
        return moments.replace(radial=radial).projected(env, jnp.asarray(slopes.coefficients))

    for n in range(radial.size):
        step = np.zeros(radial.size)
        step[n] = 1e-5
        step = step.reshape(radial.shape)
        difference = (energy(radial + step) - energy(radial - step)) / 2e-5
        assert float(vectors[0, n]) == pytest.approx(float(difference), abs=1e-6)


@pytest.mark.parametrize("elements", thorough_but([], [("Si",), ("Si", "C")], [("Si", "C")]))
def test_radial_functions_are_fitted(elements, tmp_path):
    """Errors fall to a fraction of those of a linear fit; the file is read back, and there are bars."""
    (tmp_path / "small.toml").write_text(RECIPE)
    recipe = read_recipe(tmp_path / "small.toml")
    data = labelled(elements)
    told = []
    fitted = jp.fit(data[:16], recipe, test=data[16:], progress=told.append)
    assert any("radial functions" in text for text in told)
    start = recipe.measured(data[:16]).linear_terms(data[:16])[0].descriptor.radial
    as_begun = replace(fitted.recipe, terms=(
        fitted.recipe.terms[0] | {"radial": np.asarray(start).tolist()}, *fitted.recipe.terms[1:],
    ))
    unrefined = jp.fit(data[:16], as_begun, test=data[16:])
    better, worse = (f.test.errors()["all"]["forces"]["rmse"] for f in (fitted, unrefined))
    assert better < 0.6 * worse
    assert len(fitted.deltas[0]) == 4
    structure = data[17].structure
    jp.save(fitted.potential, tmp_path / "x.mtp")
    read, here = (
        jp.evaluate(p, structure) for p in (jp.load(tmp_path / "x.mtp", species=data.species), fitted.potential)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), read, here)
    assert 0.0 < float(jp.std(fitted.posterior, structure).parametric.energy) < 1.0


def labelled(elements):
    """Frames of silicon, or of an alloy that is made of it, by a potential of three bodies."""
    potential, frames = jp.potentials.StillingerWeber.silicon(), []
    rng = np.random.default_rng(0)
    for k in range(20):
        atoms = bulk("Si", cubic=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.04 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.15, seed=k)
        labels = jp.evaluate(potential, atoms)
        atoms.symbols = rng.permutation([elements[n % len(elements)] for n in range(len(atoms))])
        frames.append(Frame(jp.Structure.of(atoms), energy=float(labels.energy), forces=labels.forces))
    return Dataset.of(frames, e0="least squares")


@pytest.mark.parametrize("old, new, message", [
    ("level = 8", "level = 9", "an even number from 2 to 24"), ("level = 8", "level = 26", "an even number from 2 to 24"),
    ("level = 8", "level = 8.0", "an even number"), ("level = 8", "level = [8]", "an even number"),
    ('"linear"', '["linear"]', "expected one of gaussian process"), ('"mtp"', '["mtp"]', "expected one of soap"), ("level = 8\n", "", "needs level"),
    ("size = 6", "size = 1", "at least 2"), ("size = 6", "size = 0", "a whole number of at least 1"),
    ('"linear"', '"quadratic"', 'expected "linear"'), ("cutoff = 1.7", "cutoff = -1.7", "positive number"),
    ("delta = 10.0", "delta = [1.0, 2.0]", "one for each number of moments"), ("level", "twojmax = 2\nlevel", "no twojmax"),
    ('readout = "linear"\n', "", 'expected "linear"'), ("level", "radial = [1.0]\nlevel", "has no radial"),
])
def test_recipes_without_a_meaning(old, new, message, tmp_path):
    (tmp_path / "bad.toml").write_text(RECIPE.replace(old, new))
    with pytest.raises(FormatError, match=message):
        read_recipe(tmp_path / "bad.toml")


def test_the_recipe_is_read():
    (term, _) = read_recipe("mtp").terms
    assert term["descriptor"] == "mtp" and "mtp" in jp.recipes()

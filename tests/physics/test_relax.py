"""Relaxation, and derivatives of everything that follows it, against re-relaxed crystals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from crystals import relaxed

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.potentials.base import parameter_names

silicon = jp.potentials.StillingerWeber.silicon


def test_positions_cell_and_pressure():
    potential = silicon()
    atoms = bulk("Si", a=5.3)
    atoms.rattle(0.05, seed=1)
    fixed = jp.relax(potential, atoms)
    assert fixed.converged and fixed.fmax <= 1e-6
    np.testing.assert_allclose(fixed.structure.cell, atoms.cell.array)
    free = jp.relax(potential, atoms, cell=True, fmax=1e-8)
    assert (4 * free.structure.volume) ** (1 / 3) == pytest.approx(5.43095, abs=1e-5)
    pressed = jp.relax(potential, atoms, cell=True, pressure=5 * jp.units.GPa, fmax=1e-8)
    np.testing.assert_allclose(
        jp.stress(potential, pressed.structure) / jp.units.GPa, -5 * np.eye(3), atol=1e-5
    )


def test_symmetry_is_kept_and_non_convergence_said():
    potential, structure = relaxed("wurtzite")
    strained = structure.strained(np.diag([0.01, 0.01, -0.02]))
    found = jp.relax(potential, strained, cell=True)
    lengths = np.linalg.norm(np.asarray(found.structure.cell), axis=1)
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-12)
    short = jp.relax(potential, strained, cell=True, steps=2)
    assert not short.converged and short.fmax > 1e-6 and short.steps == 2


def test_refusals():
    with pytest.raises(DataError, match="cell=True"):
        jp.relax(silicon(), bulk("Si"), pressure=0.1)
    with pytest.raises(DataError, match="jit"):
        jax.jit(lambda p: jp.relax(p, bulk("Si")).energy)(silicon())
    with pytest.raises(DataError, match="periodic"):
        jp.relax(silicon(), jp.Structure(np.zeros((1, 3)), np.eye(3) * 9, [14], pbc=False), cell=True)


def test_reverse_and_forward_derivatives_agree_with_relaxed_differences():
    def a0(potential):
        found = jp.relax(potential, bulk("Si", a=5.43), cell=True, fmax=1e-10)
        return (4 * found.structure.volume) ** (1 / 3)

    potential = silicon()
    gradient = jax.grad(a0)(potential)
    direction = jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.1), potential)
    _, forward = jax.jvp(a0, (potential,), (direction,))
    total = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, direction)))
    assert forward == pytest.approx(float(total), rel=1e-12)
    h = 1e-4
    moved = [a0(potential.replace(sigma=float(potential.sigma) * (1 + s * h))) for s in (-1, 1)]
    difference = (moved[1] - moved[0]) / (2 * h * float(potential.sigma))
    assert gradient.sigma == pytest.approx(float(difference), rel=1e-6)
    assert abs(gradient.epsilon) < 1e-9  # the scale of energy does not move atoms


def derivatives(name, properties):
    """d properties / d lambda (three-body strength) by jvp, and by differences of re-relaxed crystals."""
    start_potential, start = relaxed(name)
    leaves, tree = jax.tree.flatten(start_potential)
    which = next(k for k, n in enumerate(parameter_names(start_potential)) if n.endswith("lam"))

    def at(value):
        potential = jax.tree.unflatten(tree, [*leaves[:which], value, *leaves[which + 1:]])
        # Divided by the step, what a relaxation leaves unfinished would be seen: 1e-11 is not enough.
        s = jp.relax(potential, start, cell=True, fmax=1e-13, steps=3000).structure
        return jnp.stack(properties(potential, s))

    value = leaves[which]
    values, found = jax.jvp(at, (value,), (jnp.ones_like(value),))
    h = 2e-3 * float(value)
    wide, narrow = ((at(value + k) - at(value - k)) / (2 * k) for k in (h, h / 2))
    scale = np.abs(values) / float(value)  # what does not depend on lambda at all is compared with this
    return found, (4 * narrow - wide) / 3, scale


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["silicon", pytest.param("wurtzite", marks=pytest.mark.slow)])
def test_derivatives_of_elastic_constants_and_frequencies_include_the_relaxation(name):
    found, expected, scale = derivatives(name, lambda p, s: [
        s.volume, jp.elastic_constants(p, s).c44, jp.phonons(p, s, [0.1, 0.2, 0.3]).frequencies[-1],
    ])
    assert (np.abs(found - expected) < 1e-6 * np.maximum(np.abs(expected), 1e-4 * scale)).all()


@pytest.mark.slow
def test_derivatives_of_thermal_properties_include_the_relaxation():
    found, expected, scale = derivatives("silicon", lambda p, s: [
        jp.gruneisen(p, s, [0.1, 0.2, 0.3]).gamma[0],
        jp.thermal_expansion(p, s, [300.0], mesh=(2, 2, 2)).alpha[0],
    ])
    assert (np.abs(found - expected) < 1e-6 * np.maximum(np.abs(expected), 1e-4 * scale)).all()


@pytest.mark.slow
def test_derivatives_of_thermal_properties_where_the_potential_moves_the_ions():
    """dalpha/dp of a crystal whose ions have a symmetric coordinate, which follows p, beside relaxed crystals."""
    potential, start = relaxed("wurtzite")
    far = potential.terms[1]

    def properties(part, relaxation):
        changed = potential.replace(terms=(potential.terms[0], far.replace(epsilon=(1.0 + part) * far.epsilon)))
        crystal = jp.relax(changed, start, cell=True, fmax=1e-10).structure if relaxation else start
        warm = jp.thermal_expansion(changed, crystal, [300.0], mesh=(2, 2, 2), differences=True)
        return jnp.stack([warm.alpha_tensor[0, 0, 0], warm.alpha_tensor[0, 2, 2], warm.bulk[0], warm.volumes[0]])

    values, slopes = jax.jvp(lambda part: properties(part, False), (0.0,), (1.0,))
    wide, narrow = ((properties(h, True) - properties(-h, True)) / (2.0 * h) for h in (2e-2, 1e-2))
    np.testing.assert_allclose(slopes, (4.0 * narrow - wide) / 3.0, rtol=3e-3)


@pytest.mark.slow
def test_derivatives_of_gruneisen_parameters_where_strain_moves_the_ions():
    # Thermal expansion is left out here: its fifth derivatives of four atoms take more than 12 GB to compile.
    found, expected, scale = derivatives("wurtzite", lambda p, s: [jp.gruneisen(p, s, [0.1, 0.2, 0.3]).gamma[0]])
    assert (np.abs(found - expected) < 1e-6 * np.maximum(np.abs(expected), 1e-4 * scale)).all()


def test_what_is_no_potential_is_refused():
    for relax in (lambda it: jp.relax(it, bulk("Si")), lambda it: jp.relax_many(it, [bulk("Si")])):
        with pytest.raises(DataError, match="potential"):
            relax((silicon(), 1.0))

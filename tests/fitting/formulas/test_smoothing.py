"""Tables made smooth: what they stand for comes back, to third and fourth derivatives."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.basis.cubic_splines import CubicSpline
from jaxpot.basis.cutoffs import switch
from jaxpot.basis.quintic_splines import quintic_values
from jaxpot.core.graph import Environment
from jaxpot.errors import DataError
from jaxpot.potentials import EAM, ZBL, FinnisSinclair, Glue, SecondMoment, SplineEAM

FILES = Path(__file__).parents[2] / "formats" / "files"
A0 = 3.6148  # A, of the potential below
COPPER = SecondMoment.copper()


def copper_tables(points, decimals):
    """The tables that a file of the Cleri-Rosato potential would hold."""
    r, rho = np.linspace(0.0, COPPER.cutoff, points + 1), np.linspace(0.0, 100.0, points + 1)
    x = r / float(COPPER.r0) - 1.0
    fade = np.asarray(switch(jnp.asarray(r), COPPER.onset, COPPER.cutoff))
    pair = 2.0 * float(COPPER.A) * np.exp(-float(COPPER.p) * x) * fade
    density = (float(COPPER.xi) * np.exp(-float(COPPER.q) * x) * fade) ** 2
    tables = (np.round(table, decimals)[None] for table in (-np.sqrt(rho), density, r * pair))
    return EAM(*tables, rho[1], r[1], COPPER.cutoff, ("Cu",))


def neighbours():
    steps = np.arange(-3, 4)
    cells = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3) @ (A0 / 2 * (1 - np.eye(3)))
    lengths = np.linalg.norm(cells, axis=1)
    return cells[(lengths > 0.0) & (lengths < COPPER.cutoff + 0.1)]


@jax.jit
def elastic_series(potential):
    """Derivatives 1 to 4 of the energy per volume of fcc along three strains, GPa: (3, 4)."""
    vectors, number = jnp.asarray(neighbours()), jnp.asarray(29)
    numbers = jnp.full(len(vectors), 29)

    def energy(x, strain):
        v = vectors @ (jnp.eye(3) + x * strain)
        r = jnp.linalg.norm(v, axis=1)
        return potential.site_energy(Environment(*v.T, r, numbers, number)) / (A0**3 / 4) / jp.units.GPa

    def along(strain):
        function, found = lambda x: energy(x, strain), []
        for _ in range(4):
            function = (lambda inner: lambda x: jax.jvp(inner, (x,), (jnp.ones_like(x),))[1])(function)
            found.append(function(0.0))
        return jnp.stack(found)

    shear = jnp.array([[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    return jax.lax.map(along, jnp.stack([jnp.eye(3) / 3.0, jnp.diag(jnp.array([1.0, 0.0, 0.0])), shear]))


def largest_errors(potential):
    """Of the second, third and fourth order, relative to the largest constants."""
    exact = np.asarray(elastic_series(COPPER))
    return (np.abs(np.asarray(elastic_series(potential)) - exact).max(0) / np.abs(exact).max(0))[1:]


@pytest.mark.thorough
@pytest.mark.parametrize("decimals, expected, gain", [(10, (1e-5, 2e-4, 0.1), 100.0), (5, (5e-4, 2e-2, None), 1e4)])
def test_elastic_constants_of_third_order_are_those_of_the_function_behind_the_table(decimals, expected, gain):
    table = copper_tables(2000, decimals)
    before, after = largest_errors(table), largest_errors(jp.smoothed(table).potential)
    for error, limit in zip(after, expected, strict=True):
        assert limit is None or error < limit
    assert after[1] * gain < before[1]


@pytest.mark.thorough
def test_grueneisen_parameters_are_those_of_the_function_behind_the_table():
    crystal = jp.Structure(np.zeros((1, 3)), A0 / 2 * (1 - np.eye(3)), ["Cu"])
    q = np.array([[0.5, 0.5, 0.0], [0.25, 0.1, 0.0]])
    table = copper_tables(2000, 5)
    exact = jp.gruneisen(COPPER, crystal, q, differences=True).gamma  # sooner compiled
    smooth = jp.gruneisen(jp.smoothed(table).potential, crystal, q).gamma
    with pytest.warns(jp.errors.JaxpotWarning, match=r"second derivatives \(force constants\) of this EAM jump"):
        rough = jp.gruneisen(table, crystal, q).gamma
    assert np.abs(smooth - exact).max() < 0.02 < 0.1 < np.abs(rough - exact).max()


def test_four_derivatives_are_continuous_across_every_knot_and_the_cutoff():
    smooth = jp.smoothed(copper_tables(500, 8)).potential
    number = jnp.asarray(29)

    def energy(r):  # beside an atom that stays
        x = jnp.stack([r, jnp.zeros_like(r)])
        y = jnp.stack([jnp.zeros_like(r), jnp.full_like(r, 2.5)])
        there = Environment(x, y, jnp.zeros(2), jnp.stack([r, y[1]]), jnp.array([29, 29]), number)
        return smooth.site_energy(there)

    @jax.jit
    @jax.vmap
    def series(r):
        function, found = energy, [energy(r)]
        for _ in range(5):
            function = (lambda inner: lambda x: jax.jvp(inner, (x,), (jnp.ones_like(x),))[1])(function)
            found.append(function(r))
        return jnp.stack(found)

    knots = np.unique(np.concatenate([spline.knots for spline in (*smooth.pair, *smooth.density)]))
    knots = knots[knots > 1.8]
    gap = 1e-10
    assert len(knots) > 40 and knots[-1] == pytest.approx(COPPER.cutoff)
    below, above = np.asarray(series(jnp.asarray(knots - gap))), np.asarray(series(jnp.asarray(knots + gap)))
    jumps = np.abs(above - below).max(0) / np.abs(below).max(0)
    assert jumps[:5].max() < 1e-6
    assert jumps[5] > 1e-2  # the fifth does jump: the knots are where they were looked for
    assert smooth.smoothness == 4


def test_what_is_reported_is_how_the_functions_differ():
    table = copper_tables(500, 8)
    found = jp.smoothed(table)
    F, f, phi = found.differences
    assert [d.name for d in found.differences] == ["F(Cu)", "f(Cu)", "phi(Cu-Cu)"]
    assert all(d.rms < d.largest < 1e-6 and d.faded_from is None for d in (f, phi))
    assert 0.0 < phi.start < 2.0 and phi.points == 500 - round(phi.start / table.dr)
    assert len(F.missed) and F.missed.max() < 2.0  # the root has an infinite slope at zero
    spline = found.potential.pair[0]
    r = table.dr * np.arange(500)[-phi.points:]
    curve = np.asarray(quintic_values((spline,), 0, jnp.asarray(r))) / r
    assert np.abs(curve - np.asarray(table.pair)[0, :500][-phi.points:] / r).max() == pytest.approx(phi.largest, rel=1e-6)
    text = str(found)
    assert "phi(Cu-Cu)" in text and f"{phi.largest:.1e}" in text


def test_a_crystal_is_compared():
    found = jp.smoothed(copper_tables(2000, 10), jp.Structure(np.zeros((1, 3)), A0 / 2 * (1 - np.eye(3)), ["Cu"]))
    before, after = found.crystal.energies
    assert after == pytest.approx(before, abs=1e-7) and before < -3.0
    assert np.abs(found.crystal.forces[1]).max() < 1e-10
    assert np.abs(found.crystal.stiffness[1] - found.crystal.stiffness[0]).max() < 1e-3 * found.crystal.stiffness[0][0, 0]
    assert "C11" in str(found) and "energy per atom" in str(found)


def test_a_table_that_jumps_at_the_cutoff_is_faded_out():
    r, rho = 0.01 * np.arange(451), 0.1 * np.arange(301)
    table = EAM(-np.sqrt(rho)[None], np.exp(-r)[None], (r * np.exp(-2.0 * r))[None], 0.1, 0.01, 4.5, ("Cu",))
    assert table.smoothness == -1
    found = jp.smoothed(table, fade=0.4)
    phi = found.differences[2]
    assert phi.faded_from == pytest.approx(4.1) and np.exp(-9.0) < phi.largest < 1.5 * np.exp(-9.0)
    assert "faded from 4.1 A" in str(found)
    spline = found.potential.pair[0]
    assert spline.end == pytest.approx(4.5) and spline.ends_with_zero


def test_beyond_the_last_density_the_embedding_becomes_a_straight_line():
    (spline,) = jp.smoothed(copper_tables(500, 8)).potential.embedding
    slope = jax.vmap(jax.grad(lambda rho: quintic_values((spline,), 0, rho)))
    far = np.asarray(slope(jnp.array([150.0, 300.0])))
    assert far[0] == pytest.approx(far[1], rel=1e-12) and far[0] == pytest.approx(-0.5 / 10.0, rel=0.2)


def test_what_is_too_high_is_not_followed():
    found = jp.smoothed(copper_tables(2000, 10), highest=5.0)
    phi = found.differences[2]
    assert 1.4 < phi.start < 1.8  # 5 eV there
    r = jnp.linspace(0.2, phi.start, 50)
    energy = np.asarray(quintic_values(found.potential.pair, 0, r) / r)
    assert (np.diff(energy) < 0.0).all() and energy[0] > 5.0  # still repels


def test_glue_becomes_smooth_too():
    spline = CubicSpline([1.5, 2.2, 3.0, 3.6], [3.0, 0.6, 0.1, 0.0], [-6.0, 0.0])
    glue = Glue({("Si", "Si"): spline}, ("Si", "C"), (CubicSpline([0.0, 1.0, 3.0], [0.0, -1.0, -1.4]),) * 2,
                [0.05, 0.04], [3.6, 3.9])
    found = jp.smoothed(glue, tolerance=1e-6)
    assert isinstance(found.potential, SplineEAM) and found.potential.cutoff == pytest.approx(glue.cutoff)
    cell = jp.Structure(np.array([[0.0, 0, 0], [1.2, 1.2, 1.2]]), 2.4 * (1 - np.eye(3)), ["Si", "C"])
    before, after = jp.evaluate(glue, cell), jp.evaluate(found.potential, cell)
    assert float(after.energy) == pytest.approx(float(before.energy), abs=1e-5)
    assert np.abs(after.stress - before.stress).max() < 1e-4 * np.abs(before.stress).max()


def test_pairs_alone_are_a_glue_without_embedding():
    spline = CubicSpline([1.5, 2.2, 3.0, 3.6], [3.0, 0.6, 0.1, 0.0], [-6.0, 0.0])
    found = jp.smoothed(Glue({("Si", "Si"): spline}, ("Si", "C")))
    assert [d.name for d in found.differences] == ["phi(Si-Si)"]


def test_densities_of_pairs_keep_their_places():
    tables = copper_tables(500, 10)
    f, z = np.asarray(tables.density)[0], np.asarray(tables.pair)[0]
    density = np.array([[1.0, 1.1], [0.9, 1.2]])[:, :, None] * f
    table = EAM(np.repeat(tables.embedding, 2, 0), density, np.array([z, 0.9 * z, 1.2 * z]), tables.drho, tables.dr,
                tables.cutoff, ("Cu", "Ni"))
    found = jp.smoothed(table)
    names = ["f(Cu at Cu)", "f(Cu at Ni)", "f(Ni at Cu)", "f(Ni at Ni)", "phi(Cu-Cu)", "phi(Ni-Cu)", "phi(Ni-Ni)"]
    assert [d.name for d in found.differences][2:] == names
    pair = jp.Structure(np.array([[0.0, 0, 0], [1.8, 1.8, 0]]), 3.6 * np.eye(3), ["Cu", "Ni"])
    before, after = jp.site_energies(table, pair), jp.site_energies(found.potential, pair)
    np.testing.assert_allclose(after, before, rtol=1e-6)


def test_terms_are_replaced_one_by_one(tmp_path):
    table, core = copper_tables(500, 8), ZBL(0.8, 1.6)
    smooth = jp.smoothed(0.5 * table + core).potential
    assert [type(term).__name__ for term in smooth.terms] == ["Scaled", "ZBL"]
    crystal = jp.Structure(np.zeros((1, 3)), A0 / 2 * (1 - np.eye(3)), ["Cu"])
    alone = jp.smoothed(table).potential
    assert float(jp.energy(smooth, crystal)) == pytest.approx(0.5 * float(jp.energy(alone, crystal)), rel=1e-12)
    jp.save(smooth, tmp_path / "smooth.model")
    again = jp.load(tmp_path / "smooth.model")
    assert float(jp.energy(again, crystal)) == float(jp.energy(smooth, crystal))


def test_coefficients_have_gradients():
    crystal = jp.Structure(np.zeros((1, 3)), A0 / 2 * (1 - np.eye(3)), ["Cu"])
    smooth = jp.smoothed(copper_tables(500, 8)).potential
    gradient = jax.grad(lambda p: jp.energy(p, crystal))(smooth)
    for name in ("embedding", "density", "pair"):
        direction = np.random.default_rng(5).normal(size=getattr(smooth, name)[0].coefficients.shape)

        def moved(x, name=name, direction=direction):
            (spline,) = getattr(smooth, name)
            return smooth.replace(**{name: (spline.replace(coefficients=spline.coefficients + x * direction),)})

        slope = float(jp.energy(moved(1e-5), crystal) - jp.energy(moved(-1e-5), crystal)) / 2e-5
        found = float(np.sum(getattr(gradient, name)[0].coefficients * direction))
        assert found == pytest.approx(slope, rel=1e-6) and abs(found) > 1e-3


def test_what_has_no_tables_is_refused():
    with pytest.raises(DataError, match="expected a potential with tables .* nothing to smooth"):
        jp.smoothed(FinnisSinclair.metal("Fe"))
    with pytest.raises(DataError, match="MEAM cannot be made smooth: .*screening.* has one continuous derivative"):
        jp.smoothed(jp.load([FILES / "made_up.library.meam", FILES / "two_kinds.meam"], species=("Si", "Mg")))
    for options, says in ((dict(tolerance=0.0), "tolerance: expected a positive energy"),
                          (dict(highest=-1.0), "highest: expected a positive energy"),
                          (dict(fade=0.0), "fade: expected a positive length")):
        with pytest.raises(DataError, match=says):
            jp.smoothed(copper_tables(500, 8), **options)

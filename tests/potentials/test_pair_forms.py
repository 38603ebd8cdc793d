"""Pair forms, and metals whose density is a sum of pairs, against sums in NumPy with derivatives written by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from environments import environment, pair_energy

import jaxpot as jp
from jaxpot.errors import DataError
from jaxpot.potentials import Buckingham, FinnisSinclair, Morse, SecondMoment, SoftSphere, WangFrenkel

KINDS = ("Ar", "Kr")


def crystal():
    """Five atoms in a sheared cell, smaller than the cutoffs."""
    rng = np.random.default_rng(4)
    cell = np.array([[4.6, 0.3, 0.0], [0.5, 4.9, -0.4], [0.2, 0.0, 5.2]])
    places = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.24, 0.3, 0.27]])
    return places @ cell + rng.normal(0.0, 0.05, (5, 3)), cell, np.array([0, 1, 0, 1, 1])


def summed(pair, density=None, embed=None):
    """Energy, forces and stress of 1/2 sum_ij v + sum_i F(sum_j f), from functions (value, slope) of kinds and r."""
    positions, cell, kinds = crystal()
    bonds, rho = [], np.zeros(5)
    for i, j in itertools.product(range(5), repeat=2):
        for shift in itertools.product(range(-4, 5), repeat=3):
            d = positions[j] + np.array(shift) @ cell - positions[i]
            r = np.sqrt(d @ d)
            if 1e-9 < r < 9.0:
                bonds.append((i, j, d, r, (kinds[i], kinds[j])))
                rho[i] += density(*bonds[-1][4], r)[0] if density else 0.0
    embedded = [embed(kind, value) if embed else (0.0, 0.0) for kind, value in zip(kinds, rho, strict=True)]
    energy, forces, stress = sum(value for value, _ in embedded), np.zeros((5, 3)), np.zeros((3, 3))
    for i, j, d, r, between in bonds:
        value, slope = pair(*between, r)
        energy += 0.5 * value
        slope = 0.5 * slope + (embedded[i][1] * density(*between, r)[1] if density else 0.0)
        forces[i] += slope * d / r
        forces[j] -= slope * d / r
        stress += slope * np.outer(d, d) / r
    return energy, forces, stress / np.linalg.det(cell)


def assert_equal(potential, sums, elements=KINDS):
    positions, cell, kinds = crystal()
    found = jp.evaluate(potential, jp.Structure(positions, cell, [elements[k] for k in kinds]))
    for ours, theirs in zip((found.energy, found.forces, found.stress), sums, strict=True):
        assert np.abs(np.asarray(ours) - theirs).max() <= 1e-12 * np.abs(theirs).max()


def table(one, both, two):
    return np.array([[one, both], [both, two]])


def cut(formula, cutoff, shift):
    """A pair that ends, from formula(a, b, r) -> (value, slope)."""
    def pair(a, b, r):
        if r >= cutoff:
            return 0.0, 0.0
        (value, slope), (end, end_slope) = formula(a, b, r), formula(a, b, cutoff)
        if shift in ("energy", "force"):
            value -= end
        if shift in ("slope", "force"):
            value, slope = value - (r - cutoff) * end_slope, slope - end_slope
        if shift == "smooth":
            t = max(0.0, (r - 0.8 * cutoff) / (0.2 * cutoff))
            s = 1.0 - t**4 * (35.0 - 84.0 * t + 70.0 * t**2 - 20.0 * t**3)
            ds = -140.0 * t**3 * (1.0 - t) ** 3 / (0.2 * cutoff)
            value, slope = value * s, slope * s + value * ds
        return value, slope
    return pair


A, RHO, C = table(900.0, 1300.0, 2000.0), table(0.29, 0.30, 0.31), table(9.0, 15.0, 27.0)
EPSILON, SIGMA, POWERS = table(0.3, 0.4, 0.5), table(2.4, 2.5, 2.6), table(9, 10, 12.5)
ALPHA = table(1.3, 1.5, 1.7)
SHIFTS = ("none", "energy", "slope", "force", "smooth")


def buckingham(a, b, r):
    decay = A[a, b] * np.exp(-r / RHO[a, b])
    return decay - C[a, b] / r**6, -decay / RHO[a, b] + 6.0 * C[a, b] / r**7


def soft(a, b, r):
    value = EPSILON[a, b] * (SIGMA[a, b] / r) ** POWERS[a, b]
    return value, -POWERS[a, b] * value / r


def morse(a, b, r):
    x = np.exp(-ALPHA[a, b] * (r - SIGMA[a, b]))
    return EPSILON[a, b] * (x * x - 2.0 * x), 2.0 * ALPHA[a, b] * EPSILON[a, b] * (x - x * x)


@pytest.mark.parametrize("shift", SHIFTS)
def test_buckingham(shift):
    assert_equal(Buckingham(A, RHO, C, 6.3, shift, KINDS), summed(cut(buckingham, 6.3, shift)))


@pytest.mark.parametrize("shift", SHIFTS)
def test_soft_spheres(shift):
    powers = tuple(map(tuple, POWERS.tolist()))
    assert_equal(SoftSphere(EPSILON, SIGMA, 5.9, powers, shift, KINDS), summed(cut(soft, 5.9, shift)))


@pytest.mark.parametrize("shift", SHIFTS)
def test_morse(shift):
    assert_equal(Morse(EPSILON, ALPHA, SIGMA, 6.1, KINDS, shift), summed(cut(morse, 6.1, shift)))


@pytest.mark.parametrize("nu, mu", [(1, 1), (1, 3), (2, 2)])
def test_wang_frenkel(nu, mu):
    rc = table(4.8, 5.0, 5.6)

    def pair(a, b, r):
        if r >= rc[a, b]:
            return 0.0, 0.0
        x = (rc[a, b] / SIGMA[a, b]) ** (2 * mu)
        alpha = 2 * nu * x * ((1 + 2 * nu) / (2 * nu * (x - 1))) ** (2 * nu + 1)
        one, two = (SIGMA[a, b] / r) ** (2 * mu), (rc[a, b] / r) ** (2 * mu)
        slope = -2 * mu / r * (one * (two - 1) ** (2 * nu) + (one - 1) * 2 * nu * (two - 1) ** (2 * nu - 1) * two)
        return EPSILON[a, b] * alpha * (one - 1) * (two - 1) ** (2 * nu), EPSILON[a, b] * alpha * slope

    assert_equal(WangFrenkel(EPSILON, SIGMA, rc, nu, mu, KINDS), summed(pair))


def test_the_well_of_wang_frenkel_is_epsilon_deep():
    potential = WangFrenkel(0.7, 2.0, 4.0)
    r = 4.0 * np.sqrt(3.0 / (1.0 + 2.0 * 4.0))  # the minimum for nu = mu = 1, equation 4 of the paper
    assert 2 * pair_energy(potential, r) == pytest.approx(-0.7, rel=1e-14)
    assert jax.grad(lambda r: pair_energy(potential, r))(r) == pytest.approx(0.0, abs=1e-14)
    assert potential.smoothness == 1 and WangFrenkel(0.7, 2.0, 4.0, nu=3).smoothness == 5


def test_finnis_sinclair_with_two_kinds():
    strength = np.array([1.9, 2.6])
    d, beta, c = table(4.4, 4.2, 4.0), table(0.1, 0.0, 0.3), table(3.3, 3.6, 4.1)
    c0, c1, c2 = table(47.0, 9.0, 1.2), table(-33.0, -5.0, 0.1), table(6.2, 1.0, -0.1)

    def pair(a, b, r):
        x = r - c[a, b]
        if x >= 0:
            return 0.0, 0.0
        p, q = c0[a, b] + c1[a, b] * r + c2[a, b] * r**2, c1[a, b] + 2 * c2[a, b] * r
        return x**2 * p, 2 * x * p + x**2 * q

    def density(a, b, r):
        x, s = r - d[a, b], beta[a, b] / d[a, b]
        return (x**2 + s * x**3, 2 * x + 3 * s * x**2) if x < 0 else (0.0, 0.0)

    def embed(a, rho):
        return -strength[a] * np.sqrt(rho), -0.5 * strength[a] / np.sqrt(rho)

    potential = FinnisSinclair(strength, d, beta, c, c0, c1, c2, ("W", "Ta"))
    assert_equal(potential, summed(pair, density, embed), ("W", "Ta"))


def test_second_moment_of_an_alloy():
    big, xi, p, q = table(0.09, 0.15, 0.2), table(1.2, 1.5, 1.8), table(11.0, 10.8, 10.2), table(2.3, 3.0, 4.0)
    r0 = table(2.55, 2.7, 2.88)

    def repulsion(a, b, r):
        value = 2.0 * big[a, b] * np.exp(-p[a, b] * (r / r0[a, b] - 1.0))  # A is what each end feels
        return value, -p[a, b] / r0[a, b] * value

    def hopping(a, b, r):
        value = xi[a, b] * np.exp(-q[a, b] * (r / r0[a, b] - 1.0))
        return value, -q[a, b] / r0[a, b] * value

    def density(a, b, r):
        value, slope = cut(hopping, 5.6, "smooth")(a, b, r)
        return value**2, 2.0 * value * slope

    potential = SecondMoment(big, xi, p, q, r0, 5.6, species=("Cu", "Au"))
    sums = summed(cut(repulsion, 5.6, "smooth"), density, lambda a, rho: (-np.sqrt(rho), -0.5 / np.sqrt(rho)))
    assert_equal(potential, sums, ("Cu", "Au"))


# Lattice constant in A, cohesive energy in eV, C11, C12 and C44 in GPa, as Finnis and Sinclair fitted them.
FITTED = {
    "V": (3.0399, 5.31, 227.9, 118.7, 42.6),
    "Nb": (3.3008, 7.57, 246.6, 133.2, 28.1),
    "Ta": (3.3058, 8.10, 266.0, 161.2, 82.4),
    "Cr": (2.8845, 4.10, 387.1, 103.5, 100.8),
    "Mo": (3.1472, 6.82, 464.7, 161.5, 108.9),
    "W": (3.1652, 8.90, 522.4, 204.4, 160.6),
    "Fe": (2.8665, 4.28, 243.1, 138.1, 121.9),
}


@pytest.mark.parametrize("element", FITTED)
def test_the_metals_of_finnis_and_sinclair_are_the_published_ones(element):
    """Energy, pressure and elastic constants of the crystal, from energies of strained cells."""
    a, cohesive, c11, c12, c44 = FITTED[element]
    potential = FinnisSinclair.metal(element)
    n = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    sites = 0.5 * a * n[(n % 2).min(1) == (n % 2).max(1)]
    sites = sites[(sites != 0).any(1)]

    def energy(strain):
        e = jnp.array([[strain[0], strain[2], 0.0], [strain[2], strain[1], 0.0], [0.0, 0.0, 0.0]])
        return potential.site_energy(environment(sites @ (jnp.eye(3) + e), [element] * len(sites), element))

    volume, flat = a**3 / 2, jnp.zeros(3)
    assert energy(flat) == pytest.approx(-cohesive, abs=1e-3)
    assert np.abs(jax.grad(energy)(flat)).max() < 1e-3
    found = jax.hessian(energy)(flat) / volume * 160.21766
    assert [found[0, 0], found[0, 1], found[2, 2] / 4] == pytest.approx([c11, c12, c44], abs=0.1)
    (entry,) = (m for m in jp.models() if m.form == "Finnis-Sinclair" and m.elements == (element,))
    assert jp.load(entry.name).species == potential.species


def test_an_atom_of_a_metal_without_neighbours_has_no_energy_and_no_nan():
    potential = FinnisSinclair.metal("Fe")
    for r in (9.0, 3.569745 * (1 - 1e-15), 0.4):  # the density of iron is negative at 0.4 A
        function = lambda r: pair_energy(potential, r, "Fe", "Fe")  # noqa: E731
        for _ in range(4):
            assert np.isfinite(function(r))
            function = jax.grad(function)


def argon_and_krypton():
    positions, cell, kinds = crystal()
    species = [KINDS[k] for k in kinds]
    return jp.Structure(positions, cell, species), jp.potentials.LennardJones(
        [[0.01, 0.012], [0.012, 0.014]], [[3.4, 3.5], [3.5, 3.6]], 4.0, shift="force", species=KINDS
    )


def test_a_table_that_is_traced_as_asymmetric_counts_by_its_mean():
    """So that forces, which are found from one end of each pair, stay derivatives of the energy."""
    structure, potential = argon_and_krypton()
    listed = jp.neighbors(structure, potential.cutoff)

    @jax.jit
    def both(corner):
        own = potential.replace(epsilon=potential.epsilon.at[0, 1].set(corner))
        slope = jax.grad(lambda x: jp.energy(own, structure.moved(x), listed))(structure.positions)
        return jp.forces(own, structure, listed), -slope

    for found in (both(0.05), jax.jacfwd(both)(0.05)):
        np.testing.assert_allclose(*found, rtol=1e-11, atol=1e-13)


def test_the_stress_is_left_out_where_it_is_not_wanted():
    structure, potential = argon_and_krypton()
    for own in (potential, potential + jp.load("sw-silicon").replace(species=None)):
        whole, less = jp.evaluate(own, structure), jp.evaluate(own, structure, with_stress=False)
        assert np.isfinite(np.asarray(whole.stress)).all() and np.isnan(np.asarray(less.stress)).all()
        for name in ("energy", "energies", "forces"):
            np.testing.assert_allclose(getattr(less, name), getattr(whole, name), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Buckingham(1.0, 0.0, 1.0, 5.0), "rho must be positive"),
        (lambda: Buckingham(1.0, 0.3, 1.0, 5.0, shift="soft"), "'energy'"),
        (lambda: Buckingham({("Ar", "Ar"): 1.0}, 0.3, 1.0, 5.0), "A, rho, C: give all as dicts of pairs, or none"),
        (lambda: Buckingham(*[{("Ar", "Ar"): 1.0}] * 2, {("Kr", "Kr"): 1.0}, 5.0), "name different elements"),
        (lambda: Buckingham(A, RHO, C + np.array([[0, 1], [0, 0]]), 5.0, species=KINDS), "C: Ar-Kr is 16 but"),
        (lambda: Morse(1.0, 1.0, 2.0, 5.0, onset=6.0), "below the cutoff"),
        (lambda: Morse(1.0, 2.5, 1.9e5, 5.0), r"alpha \* r0 is 4.75e\+05"),
        (lambda: SoftSphere(1.0, -1.0, 5.0), "sigma must be positive"),
        (lambda: SoftSphere(1.0, 1.0, 5.0, n=0), "n must be positive"),
        (lambda: SoftSphere(1.0, 1.0, 5.0, n=((1, 2), (2, 3))), r"n: expected a number, or an array of shape \(1, 1\)"),
        (lambda: WangFrenkel(1.0, 2.0, 2.0), "rc must lie above sigma"),
        (lambda: WangFrenkel(1.0, 2.0, 4.0, nu=0.5), "nu: expected a whole number"),
        (lambda: FinnisSinclair.metal("Cu"), "expected one of V, Nb, Ta, Cr, Mo, W, Fe, got Cu"),
        (lambda: FinnisSinclair.metal("W").replace(A=[1.0, 2.0]), "A: expected a number, or 1 of them"),
        (lambda: FinnisSinclair.metal("W").replace(d=0.0), "d must be positive"),
    ],
)
def test_mistakes_are_refused(make, says):
    with pytest.raises(DataError, match=says):
        make()

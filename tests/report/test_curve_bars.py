"""Deviations along the curves of a card: those of curves computed anew with changed parameters."""

import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.report.card import property_card
from jaxpot.report.entries.vibrations import EACH

MESH, DOS_MESH, STEP = 3, 4, 1e-3
TEMPERATURES = [100.0, 300.0]
SETTINGS = {"mesh": MESH, "dos_mesh": DOS_MESH, "points": 30, "temperatures": TEMPERATURES, "defects": False}


@pytest.fixture(scope="module")
def posterior():
    copper = jp.potentials.Morse(0.3429, 1.3588, 2.866, 6.0, shift="smooth")  # of Girifalco and Weizer
    return jp.Posterior.of(copper, {"depth": 0.01, "alpha": 0.02})


@pytest.fixture(scope="module")
def card(posterior):
    return property_card(posterior.potential, bulk("Cu", a=3.6), "Cu", posterior=posterior, **SETTINGS)


@pytest.fixture(scope="module")
def around(posterior):
    """Cards with each independent number of the posterior a little up, and a little down."""
    def at(r, sign):
        theta = posterior.mean + sign * STEP * posterior.factor[:, r]
        return property_card(posterior.with_parameters(jnp.asarray(theta)), bulk("Cu", a=3.6), "Cu", **SETTINGS)

    return [(at(r, 1.0), at(r, -1.0)) for r in range(posterior.factor.shape[1])]


def differences(around, number):
    rows = [(number(up) - number(down)) / (2.0 * STEP) for up, down in around]
    return np.sqrt(np.sum(np.square(rows), axis=0))


@pytest.mark.slow  # with the bars of all curves in the first tier
def test_frequencies_and_grueneisen_parameters(card, around):
    at, gamma = card.spreads["gamma"]
    expected = differences(around, lambda c: np.asarray(c.results["gruneisen"].gamma)[at])
    known = np.isfinite(expected)
    np.testing.assert_allclose(gamma[known], expected[known], rtol=2e-3, atol=2e-5)
    expected = differences(around, lambda c: np.asarray(c.results["bands"].frequencies))
    np.testing.assert_allclose(card.spreads["bands"], expected, rtol=1e-3, atol=1e-3 * expected.max())  # at Gamma: rounding, rooted


def test_energies_stiffness_and_thermal_properties(card, around):
    volumes = np.asarray(card.results["equation_of_state"].volumes)

    def above(c):
        curve = c.results["equation_of_state"]
        return np.asarray(curve.curve(volumes)) - float(curve.energy)

    expected = differences(around, above)
    np.testing.assert_allclose(card.spreads["energies"], expected, rtol=2e-2, atol=2e-3 * expected.max())
    voigt = differences(around, lambda c: np.asarray(c.results["elastic"].voigt))
    np.testing.assert_allclose(np.linalg.norm(card.spreads["voigt_slopes"], axis=2), voigt, rtol=1e-3, atol=1e-5 * voigt.max())
    for name, sd in card.spreads["thermal"].items():
        expected = differences(around, lambda c, name=name: np.asarray(getattr(c.results["thermal"], name)))
        np.testing.assert_allclose(sd, expected, rtol=5e-3, err_msg=name)


def test_the_lattice_and_its_volume_have_bars(card, around):
    sd = card.meta["structure"]["sd"]
    for read, shown in (
        (lambda s: s["volume_per_atom_A3"], sd["volume_per_atom_A3"]), (lambda s: s["lattice"]["c"], sd["lattice"]["c"]),
    ):
        assert shown == pytest.approx(differences(around, lambda c, read=read: read(c.meta["structure"])), rel=1e-3)
    assert sd["lattice"]["alpha"] == 0.0


def test_the_density_of_states(card, posterior, around):
    frequencies = np.asarray(card.results["dos"].frequencies)
    width = card.results["dos"].width  # a common grid: that of each card follows its own frequencies

    def density(potential, crystal):
        return np.asarray(jp.phonon_dos(potential, crystal, (DOS_MESH,) * 3, jnp.asarray(frequencies), width).density)

    rows = []
    for r, pair in enumerate(around):
        up, down = (
            density(posterior.with_parameters(posterior.mean + sign * STEP * posterior.factor[:, r]), c.results["crystal"])
            for sign, c in zip((1.0, -1.0), pair, strict=True)
        )
        rows.append((up - down) / (2.0 * STEP))
    expected = np.linalg.norm(rows, axis=0)[:: EACH]
    # The strains of the differences by the shape move a peak by half its width.
    np.testing.assert_allclose(card.spreads["dos"][:: EACH], expected, rtol=1e-2, atol=1e-2 * expected.max())


def test_every_picture_shows_its_bands(card):
    without = type(card)(card.name, card.values, card.meta, card.results).figures()
    for name, figure in card.figures().items():
        assert figure.png() != without[name].png(), name

"""Figures without pyplot: they draw what they are given, label their axes, and look the same everywhere."""

import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

from jaxpot import units
from jaxpot.report import elastic_plots, plots
from jaxpot.report.style import special_point


def path(**fields):
    x = np.concatenate([np.linspace(0.0, 1.0, 20), np.linspace(1.0, 1.8, 15)])
    return SimpleNamespace(distances=x, ticks=(0.0, 1.0, 1.8), labels=("Γ", "U|K", "X"), **fields), x


def stiffness(c11=150.0, c12=75.0, c44=55.0):
    c = np.diag([c11] * 3 + [c44] * 3)
    c[:3, :3] += c12 * (1 - np.eye(3))
    return c


def test_bands_and_dos():
    result, x = path(frequencies=np.abs(np.sin(np.pi * x_())[:, None] * [4.0, 5.0, 9.0]) * units.THz)
    dos = SimpleNamespace(frequencies=np.linspace(0, 10, 50) * units.THz, density=np.ones(50) / units.THz)
    figure = plots.plot_bands(result, dos)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["Γ", "U|K", "X"]
    assert "THz" in axes.get_ylabel()
    assert axes.get_ylim()[0] == 0.0
    # Two pieces of path, three branches: no line is drawn across the jump.
    assert len([line for line in axes.lines if len(line.get_xdata()) in (15, 20)]) == 6
    assert figure.png().startswith(b"\x89PNG")


def x_():
    return path()[1]


def test_imaginary_modes_are_shown_below_zero():
    result, _ = path(frequencies=(np.stack([x_() - 0.5, x_() + 3.0], -1)) * units.THz)
    axes = plots.plot_bands(result).axes[0]
    assert axes.get_ylim()[0] < -0.5
    assert any("imaginary" in text.get_text() for text in axes.texts)


def test_gruneisen_leaves_out_the_undefined():
    gamma = np.full((35, 2), 2.0)
    gamma[0] = np.nan
    result, _ = path(frequencies=np.full((35, 2), 5.0) * units.THz, gamma=gamma)
    axes = plots.plot_gruneisen(result).axes[0]
    assert len(axes.collections[0].get_offsets()) == 68


def test_young_modulus_of_cubic_crystals():
    c = stiffness()
    s = np.linalg.inv(c)
    directions = np.array([[1.0, 0, 0], np.array([1.0, 1, 0]) / 2**0.5, np.array([1.0, 1, 1]) / 3**0.5])
    # 1/E = S11 - 2 (S11 - S12 - S44/2) (l^2 m^2 + m^2 n^2 + l^2 n^2)
    factor = np.array([0.0, 0.25, 1.0 / 3.0])
    expected = 1.0 / (s[0, 0] - 2.0 * (s[0, 0] - s[0, 1] - 0.5 * s[3, 3]) * factor)
    np.testing.assert_allclose(elastic_plots.young_modulus(c, directions), expected, rtol=1e-12)


@pytest.mark.parametrize("cubic", [True, False])
def test_elastic(cubic):
    c = stiffness()
    if not cubic:
        c[2, 2] *= 1.3
    figure = elastic_plots.plot_elastic(SimpleNamespace(voigt=c * units.GPa))
    assert len(figure.axes[0].lines) == (2 if cubic else 3)
    assert "GPa" in figure.axes[1].get_title()


def test_thermal_shows_axes_that_differ():
    t = np.linspace(0.0, 600.0, 13)
    tensor = t[:, None, None] * 1e-8 * np.diag([1.0, 1.0, 2.0])
    result = SimpleNamespace(
        temperatures=t, alpha=t * 1e-8, alpha_tensor=tensor, bulk=(100 - 0.01 * t) * units.GPa,
        heat_capacity_v=np.full(13, 6 * units.kB), heat_capacity_p=np.full(13, 6.1 * units.kB),
        gamma=np.where(t > 0, 1.5, np.nan),
    )
    figure = plots.plot_thermal(result, atoms=2)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["$α_{xx, yy}$", "$α_{zz}$", "mean"]
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), 3.05)


@pytest.mark.parametrize(
    ("name", "shown"), [("G", "Γ"), ("Gamma", "Γ"), ("Γ", "Γ"), ("X", "X"), ("K|U", "K|U"), ("X1", "X$_{1}$")]
)
def test_special_points(name, shown):
    assert special_point(name) == shown


def test_no_global_state():
    before = dict(matplotlib.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    elastic_plots.plot_elastic(SimpleNamespace(voigt=stiffness() * units.GPa)).png()
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded

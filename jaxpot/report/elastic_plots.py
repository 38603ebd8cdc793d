"""Figures of energy against volume and of elasticity, as `report.plots`."""

from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from jaxpot import units
from jaxpot.properties.elastic import ElasticConstants
from jaxpot.properties.eos import EquationOfState
from jaxpot.report.style import (
    BLUE,
    GREEN,
    GRID,
    INK,
    LINE,
    ORANGE,
    SOFT,
    Picture,
    band,
    few_ticks,
    legend,
    note,
    prepare,
)

_MODULUS = "Young's modulus"
_CUBIC_TOLERANCE = 1e-4


def plot_equation_of_state(
    result: EquationOfState, atoms: int = 1, title: str | None = None, sd: Any = None
) -> Picture:
    """Energy against volume, the computed points and the curve through them.

    Args:
        atoms: atoms in the cell, to show both axes per atom.
        sd: standard deviations of the energies above the minimum, of the cell, eV.
    """
    figure = Picture(5.6, 3.8)
    per = " per atom" if atoms != 1 else ""
    axes = prepare(figure.subplots(), title, f"Volume{per} (Å³)", f"Energy above the minimum{per} (meV)")
    volumes, energies = np.asarray(result.volumes), np.asarray(result.energies)
    v0, e0, bulk, slope = (float(getattr(result, k)) for k in ("volume", "energy", "bulk", "bulk_derivative"))
    fine = np.linspace(volumes.min(), volumes.max(), 200)
    curve = np.asarray(result.curve(fine)) - e0
    axes.plot(fine / atoms, curve / atoms / units.meV, color=BLUE, linewidth=1.4)
    if sd is not None:
        width = np.interp(fine, volumes, np.asarray(sd)) / atoms / units.meV
        band(axes, fine / atoms, curve / atoms / units.meV, width, BLUE)
    axes.plot(volumes / atoms, (energies - e0) / atoms / units.meV, "o", color=ORANGE, markersize=5)
    axes.axvline(v0 / atoms, ymax=0.68, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    note(
        axes,
        f"V₀ = {v0 / atoms:.3f} Å³\nB₀ = {bulk / units.GPa:.2f} GPa\nB₀′ = {slope:.2f}",
        x=0.5,
        y=0.95,
        ha="center",
    )
    few_ticks(axes.xaxis)
    few_ticks(axes.yaxis)
    return figure


def plot_elastic(result: ElasticConstants, title: str | None = None, slopes: Any = None) -> Picture:
    """Young's modulus by direction, in GPa, and the stiffness matrix as numbers.

    `slopes` (6, 6, R), derivatives of the stiffness by independent standard normal numbers, give both their standard
    deviations.
    """
    figure = Picture(7.6, 3.9)
    grid = figure.add_gridspec(1, 2, width_ratios=(1.15, 1.0))
    stiffness = np.asarray(result.voigt) / units.GPa
    slopes = None if slopes is None else np.asarray(slopes) / units.GPa
    _young_by_direction(figure, figure.add_subplot(grid[0], projection="polar"), stiffness, slopes)
    _matrix(figure.add_subplot(grid[1]), stiffness, slopes)
    if title:
        figure.suptitle(title, fontsize=10.5, color=INK, x=0.01, ha="left")
    return figure


def young_modulus(stiffness: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Young's modulus along unit vectors, 1 / (n n n n : S).

    Args:
        stiffness: (6, 6), any unit.
        directions: (m, 3).

    Returns:
        (m,), in the unit of `stiffness`.
    """
    load = _load(directions)
    return 1.0 / np.einsum("im,ij,jm->m", load, np.linalg.inv(stiffness), load)


def _young_deviation(stiffness, slopes, directions):
    """Standard deviation of Young's modulus Y along unit vectors: dY = Y^2 (S n n) : dC : (S n n)."""
    strain = np.linalg.inv(stiffness) @ _load(directions)
    changes = np.einsum("im,ijr,jm->mr", strain, slopes, strain, optimize=True)
    return young_modulus(stiffness, directions) ** 2 * np.linalg.norm(changes, axis=1)


def _load(directions):
    """The stress n (x) n in Voigt form, (6, m); the compliance takes it to engineering strains."""
    x, y, z = np.asarray(directions).T
    return np.stack([x * x, y * y, z * z, y * z, x * z, x * y])


def _planes(stiffness):
    """The planes to show: two of a cubic crystal hold its extremes; else the three coordinate planes."""
    ex, ey, ez = np.eye(3)
    if is_cubic(stiffness):
        return (
            ("(001) plane: 0° is [100]", ex, ey, BLUE),
            ("(11̄0) plane: 0° is [110]", (ex + ey) / 2**0.5, ez, ORANGE),
        )
    return (
        ("xy plane: 0° is x", ex, ey, BLUE),
        ("xz plane: 0° is x", ex, ez, ORANGE),
        ("yz plane: 0° is y", ey, ez, GREEN),
    )


def is_cubic(c: np.ndarray) -> bool:
    """Whether a stiffness matrix (6, 6) has the form of a cubic crystal with its axes along x, y and z."""
    model = np.diag([c[0, 0]] * 3 + [c[3, 3]] * 3)
    model[:3, :3] += c[0, 1] * (1.0 - np.eye(3))
    return np.abs(c - model).max() < _CUBIC_TOLERANCE * np.abs(c).max()


def _young_by_direction(figure, axes, stiffness, slopes):
    angle = np.linspace(0.0, 2.0 * np.pi, 361)
    highest = 0.0
    for label, u, v, color in _planes(stiffness):
        directions = np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v
        young = young_modulus(stiffness, directions)
        # A crystal that is not elastically stable has directions without a meaningful modulus.
        young = np.where((young > 0) & np.isfinite(young), young, np.nan)
        if slopes is not None:
            band(axes, angle, young, _young_deviation(stiffness, slopes, directions), color)
        axes.plot(angle, young, color=color, linewidth=1.6, label=label)
        highest = max(highest, float(np.nanmax(young, initial=0.0)))
    axes.set_title(f"{_MODULUS} by direction (GPa)", fontsize=10.5, color=INK, pad=12)
    axes.set_ylim(0.0, 1.12 * max(highest, 1e-9))
    axes.set_thetagrids(np.arange(0, 360, 45))
    few_ticks(axes.yaxis, 4)
    axes.set_rlabel_position(90.0)
    axes.tick_params(labelsize=8.5, labelcolor=SOFT)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    for text in axes.get_yticklabels():
        text.set(bbox=paper, fontsize=8, ha="center")
    axes.grid(color=GRID, linewidth=0.9)
    axes.spines["polar"].set_color(LINE)
    legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.08))


def _matrix(axes, stiffness, slopes):
    names = ("xx", "yy", "zz", "yz", "xz", "xy")
    shown = np.where(np.abs(stiffness) < 5e-4 * np.abs(stiffness).max(), 0.0, stiffness)
    largest = np.abs(shown).max()
    tint = LinearSegmentedColormap.from_list("stiffness", ["#efb78f", "#ffffff", "#9cc9e4"])
    axes.imshow(shown, cmap=tint, vmin=-largest, vmax=largest, aspect="equal")
    for (row, column), value in np.ndenumerate(shown):
        text, color = (f"{value:.1f}" if largest < 1000 else f"{value:.0f}", INK) if value else ("·", SOFT)
        if value and slopes is not None:
            axes.text(column, row + 0.27, f"±{np.linalg.norm(slopes[row, column]):.2g}", ha="center", va="center",
                      fontsize=5.8, color=SOFT)
        axes.text(column, row, text, ha="center", va="center", fontsize=7.8, color=color)
    axes.set_title("Stiffness $C_{ij}$ (GPa)", fontsize=10.5, color=INK, pad=12)
    axes.set_xticks(range(6), names)
    axes.set_yticks(range(6), names)
    axes.tick_params(length=0, labelsize=9, labelcolor=SOFT, bottom=False, labelbottom=False, labeltop=True)
    axes.spines[:].set_visible(False)
    for edge in np.arange(0.5, 5.0):
        axes.axhline(edge, color="white", linewidth=1.5)
        axes.axvline(edge, color="white", linewidth=1.5)

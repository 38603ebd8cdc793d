"""Figures of the results of `jaxpot.properties`: one function for each kind, all return a figure.

They read the fields of a result and compute nothing that is not needed for drawing; units are on the
axes (frequencies in THz, moduli in GPa, energies in meV per atom where differences matter).
"""

from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, Normalize

from jaxpot import units
from jaxpot.properties.gruneisen import Gruneisen, GruneisenBands
from jaxpot.properties.harmonic import Harmonic
from jaxpot.properties.phonons import PhononBands, PhononDos
from jaxpot.properties.thermal import ThermalExpansion
from jaxpot.report.style import (
    BLUE,
    GREEN,
    INK,
    LINE,
    ORANGE,
    PURPLE,
    SHADE,
    SOFT,
    Picture,
    band,
    few_ticks,
    legend,
    note,
    prepare,
    special_point,
)

# From slate to orange: ordered in lightness, and no pair of its colours is confused by the colour-blind.
_BY_FREQUENCY = LinearSegmentedColormap.from_list(
    "frequency", ["#26456e", "#3a87b7", "#7fb8a4", "#e6b450", ORANGE]
)


# Phonons --------------------------------------------------------------------------------------------------


def plot_bands(
    result: PhononBands, dos: PhononDos | None = None, title: str | None = None, sd: Any = None, dos_sd: Any = None
) -> Picture:
    """Phonon frequencies in THz along the path; with `dos` the density of states stands beside them.

    Imaginary modes are drawn below zero, in orange. Standard deviations `sd`, of the shape of the frequencies, and
    `dos_sd`, of that of the density, are bands around the curves.
    """
    figure = Picture(6.4 if dos is None else 7.2, 4.0)
    if dos is None:
        axes, side = figure.subplots(), None
    else:
        axes, side = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    prepare(axes, title, None, "Frequency (THz)", grid="y")
    frequencies = _thz(result.frequencies)
    for part in _segments(result):
        x, y = np.asarray(result.distances)[part], frequencies[part]
        for k, branch in enumerate(y.T):
            band(axes, x, branch, None if sd is None else _thz(sd)[part, k], BLUE)
            axes.plot(x, branch, color=BLUE, linewidth=1.4, solid_capstyle="round")
            if (branch < _imaginary(frequencies)).any():
                axes.plot(x, np.where(branch <= 0, branch, np.nan), color=ORANGE, linewidth=1.8)
    _path_axis(axes, result)
    low, high = _frequency_range(frequencies)
    if low < 0:
        axes.axhline(0.0, color=SOFT, linewidth=0.8)
        note(axes, "below zero: imaginary, the crystal is unstable", x=0.02, y=0.02, ha="left", va="bottom")
    axes.set_ylim(low, high)
    few_ticks(axes.yaxis, 7)
    if side is not None and dos is not None:
        prepare(side, None, "DOS (1/THz)", None, grid="y")
        x, y = _thz(dos.frequencies), np.asarray(dos.density) * units.THz
        side.fill_betweenx(x, y, color=BLUE, alpha=0.18, linewidth=0)
        if dos_sd is not None:
            width = np.asarray(dos_sd) * units.THz
            side.fill_betweenx(x, np.maximum(y - width, 0.0), y + width, color=BLUE, alpha=SHADE, linewidth=0)
        side.plot(y, x, color=BLUE, linewidth=1.2)
        side.tick_params(labelleft=False, left=False)
        side.set_xlim(0.0, 1.08 * max(float(y.max()), 1e-12))
        few_ticks(side.xaxis, 3)
    return figure


def plot_dos(result: PhononDos, title: str | None = None, sd: Any = None) -> Picture:
    """Phonon density of states per cell in 1/THz, with its standard deviation; its integral is the number of modes."""
    figure = Picture(5.6, 3.6)
    axes = prepare(figure.subplots(), title, "Frequency (THz)", "Density of states (modes / THz)")
    x, y = _thz(result.frequencies), np.asarray(result.density) * units.THz
    axes.fill_between(x, y, color=BLUE, alpha=0.18, linewidth=0)
    band(axes, x, y, None if sd is None else np.asarray(sd) * units.THz, BLUE)
    axes.plot(x, y, color=BLUE, linewidth=1.4)
    axes.set_ylim(0.0, 1.06 * max(float(y.max()), 1e-12))
    filled = x[y > 1e-3 * y.max()]
    axes.set_xlim(min(0.0, float(filled.min())), 1.04 * float(filled.max()))
    few_ticks(axes.xaxis)
    few_ticks(axes.yaxis)
    return figure


def plot_gruneisen(result: Gruneisen | GruneisenBands, title: str | None = None, sd: Any = None) -> Picture:
    """Mode Grueneisen parameters along the path, coloured by frequency; without a path, against frequency.

    The acoustic modes at Gamma have none and are left out. `sd`: indices (m,) on the path and standard deviations
    (m, 3n) there, drawn as bars.
    """
    gamma, frequencies = np.asarray(result.gamma), _thz(result.frequencies)
    if not isinstance(result, GruneisenBands):
        return _gruneisen_by_frequency(gamma, frequencies, title)
    figure = Picture(6.4, 4.0)
    axes = prepare(figure.subplots(), title, None, "Mode Grüneisen parameter γ", grid="y")
    x = np.broadcast_to(np.asarray(result.distances)[:, None], gamma.shape)
    known = np.isfinite(gamma) & (frequencies > 0)
    order = np.argsort(frequencies[known])[::-1]  # the acoustic branches on top: they vary most
    dots = axes.scatter(
        x[known][order],
        gamma[known][order],
        c=frequencies[known][order],
        s=9.0,
        linewidths=0,
        cmap=_BY_FREQUENCY,
        norm=Normalize(0.0, float(np.nanmax(frequencies, initial=0.0))),
    )
    if sd is not None:
        at, width = sd
        shown = known[at] & np.isfinite(width)
        axes.errorbar(
            x[at][shown], gamma[at][shown], yerr=width[shown], fmt="none", ecolor=SOFT, elinewidth=0.9, capsize=1.5,
            zorder=1,
        )
    _path_axis(axes, result)
    _set_range(axes, gamma[known])
    bar = figure.colorbar(dots, ax=axes, pad=0.02, aspect=28)
    bar.set_label("Frequency (THz)", fontsize=9.5, color=INK)
    bar.ax.tick_params(colors=SOFT, labelcolor=INK, labelsize=9)
    bar.outline.set_visible(False)
    few_ticks(bar.ax.yaxis)
    few_ticks(axes.yaxis)
    return figure


def _gruneisen_by_frequency(gamma, frequencies, title):
    figure = Picture(5.6, 3.8)
    axes = prepare(figure.subplots(), title, "Frequency (THz)", "Mode Grüneisen parameter γ")
    known = np.isfinite(gamma) & (frequencies > 0)
    axes.scatter(frequencies[known], gamma[known], s=10.0, color=BLUE, linewidths=0, alpha=0.7)
    axes.set_xlim(left=0.0)
    _set_range(axes, gamma[known])
    return figure


def _thz(frequencies):
    return np.asarray(frequencies) / units.THz


def _imaginary(frequencies):
    """Below this (THz) a mode is imaginary, not a zero with rounding errors."""
    return -1e-3 * max(float(np.abs(frequencies).max()), 1e-12)


def _frequency_range(frequencies):
    high = float(frequencies.max())
    low = float(frequencies.min())
    return (1.15 * low if low < _imaginary(frequencies) else 0.0), 1.05 * max(high, 1e-12)


def _segments(result):
    """Slices of the path between its jumps (where two points stand at one place on the axis)."""
    x = np.asarray(result.distances)
    cuts = np.flatnonzero(np.diff(x) <= 1e-9 * max(x[-1], 1e-300)) + 1
    edges = [0, *cuts.tolist(), len(x)]
    return [slice(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True) if b - a > 1]


def _path_axis(axes, result):
    ticks, labels = _merged(np.asarray(result.ticks, float), [special_point(s) for s in result.labels])
    for x in ticks:
        axes.axvline(x, color=LINE, linewidth=0.8, zorder=0)
    axes.set_xticks(ticks, labels)
    axes.tick_params(axis="x", labelsize=10.5, length=0, pad=6)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(ticks[0], ticks[-1])


def _merged(ticks, labels):
    """Ticks at one place become one: U and K at a jump read U|K."""
    places, names = [], []
    for x, name in zip(ticks, labels, strict=True):
        if places and abs(x - places[-1]) < 1e-9 * max(ticks[-1], 1e-300):
            if name not in names[-1].split("|"):
                names[-1] += f"|{name}"
        else:
            places.append(float(x))
            names.append(name)
    return places, names


def _set_range(axes, values):
    """All of the values, unless a few of them dwarf the rest (a mode about to become unstable)."""
    if not len(values):
        note(axes, "no mode has a Grüneisen parameter")
        return
    low, high = float(values.min()), float(values.max())
    inner = np.percentile(values, [0.5, 99.5])
    width = max(float(inner[1] - inner[0]), 0.2)
    shown = max(low, inner[0] - 0.5 * width), min(high, inner[1] + 0.5 * width)
    # Zero is shown where it is near: what matters is which modes soften.
    bottom, top = shown if shown[0] > 0.5 * shown[1] else (min(shown[0], 0.0), max(shown[1], 0.0))
    margin = max(0.06 * (top - bottom), 0.02)
    axes.set_ylim(bottom - margin, top + margin)
    if bottom <= 0.0:
        axes.axhline(0.0, color=SOFT, linewidth=0.8)
    hidden = int(((values < bottom - margin) | (values > top + margin)).sum())
    if hidden:
        note(axes, f"{hidden} points lie outside ({low:.3g} to {high:.3g})")


# Temperature ----------------------------------------------------------------------------------------------


def plot_thermal(result: ThermalExpansion, atoms: int = 1, title: str | None = None, sd: Any = None) -> Picture:
    """Expansion, heat capacity, bulk modulus and Grueneisen parameter against temperature.

    `sd`: name of a field of the result -> its standard deviations, of its shape.
    """
    sd = sd or {}
    figure = Picture(7.6, 5.4)
    (first, second), (third, fourth) = figure.subplots(2, 2, sharex=True)
    t = np.asarray(result.temperatures)
    if title:
        figure.suptitle(title, fontsize=10.5, color=INK, x=0.01, ha="left")
    prepare(first, "Linear thermal expansion", None, "α (10⁻⁶ / K)")
    if "alpha" in sd:
        band(first, t, 1e6 * np.asarray(result.alpha), 1e6 * sd["alpha"], ORANGE)
    tensor = getattr(result, "alpha_tensor", None)
    axial = None if tensor is None else np.diagonal(np.asarray(tensor), axis1=-2, axis2=-1)
    if axial is None or np.ptp(axial, axis=1).max() <= 1e-3 * np.abs(axial).max():
        first.plot(t, 1e6 * np.asarray(result.alpha), color=ORANGE, linewidth=1.6)
    else:
        curves = _distinct(axial.T, ("xx", "yy", "zz"))
        for (column, names), color in zip(curves, (BLUE, GREEN, PURPLE), strict=False):
            first.plot(t, 1e6 * column, color=color, linewidth=1.3, label=f"$α_{{{names}}}$")
        first.plot(t, 1e6 * np.asarray(result.alpha), color=ORANGE, linewidth=1.8, label="mean")
        legend(first, loc="best")
    first.axhline(0.0, color=SOFT, linewidth=0.8)

    prepare(second, "Heat capacity per atom", None, "C (k$_B$)")
    cp, cv = (np.asarray(getattr(result, f"heat_capacity_{k}")) / units.kB / atoms for k in "pv")
    for curve, key, color in ((cp, "heat_capacity_p", ORANGE), (cv, "heat_capacity_v", BLUE)):
        if key in sd:
            band(second, t, curve, sd[key] / units.kB / atoms, color)
    second.plot(t, cp, color=ORANGE, linewidth=1.6, label="C$_p$")
    second.plot(t, cv, color=BLUE, linewidth=1.6, linestyle=(0, (5, 2)), label="C$_V$")
    second.axhline(3.0, color=SOFT, linewidth=0.8, linestyle=(0, (1, 3)))
    second.set_ylim(0.0, 1.08 * max(3.0, float(np.nanmax(cp))))
    legend(second, loc="lower right")

    prepare(third, "Bulk modulus", "Temperature (K)", "B$_T$ (GPa)")
    if "bulk" in sd:
        band(third, t, np.asarray(result.bulk) / units.GPa, sd["bulk"] / units.GPa, GREEN)
    third.plot(t, np.asarray(result.bulk) / units.GPa, color=GREEN, linewidth=1.6)
    prepare(fourth, "Thermodynamic Grüneisen parameter", "Temperature (K)", "γ")
    gamma = np.asarray(result.gamma)
    warm = np.isfinite(gamma) & (t > 0)
    if "gamma" in sd:
        band(fourth, t[warm], gamma[warm], sd["gamma"][warm], PURPLE)
    fourth.plot(t[warm], gamma[warm], color=PURPLE, linewidth=1.6)
    for axes in (first, second, third, fourth):
        few_ticks(axes.xaxis, 5)
        few_ticks(axes.yaxis, 5)
        axes.set_xlim(float(t.min()), float(t.max()))
    _open_up(third, 0.02)
    _open_up(fourth, 0.05)
    return figure


def _distinct(curves, names):
    """Curves that coincide become one, with the names of all."""
    groups = []
    for curve, name in zip(curves, names, strict=True):
        for group in groups:
            if np.abs(group[0] - curve).max() <= 1e-3 * np.abs(curve).max():
                group[1] += f", {name}"
                break
        else:
            groups.append([curve, name])
    return groups


def plot_harmonic(result: Harmonic, atoms: int = 1, title: str | None = None) -> Picture:
    """Harmonic free energy and internal energy (meV per atom), entropy and heat capacity (kB per atom)."""
    figure = Picture(7.6, 3.4)
    left, right = figure.subplots(1, 2)
    t = np.asarray(result.temperatures)
    if title:
        figure.suptitle(title, fontsize=10.5, color=INK, x=0.01, ha="left")
    prepare(left, "Energy per atom", "Temperature (K)", "meV")
    for name, label, color in (("energy", "internal energy", BLUE), ("free_energy", "free energy", ORANGE)):
        left.plot(
            t, np.asarray(getattr(result, name)) / atoms / units.meV, color=color, linewidth=1.6, label=label
        )
    prepare(right, "Entropy and heat capacity per atom", "Temperature (K)", "k$_B$")
    for name, label, color in (("entropy", "entropy", BLUE), ("heat_capacity", "C$_V$", ORANGE)):
        right.plot(
            t, np.asarray(getattr(result, name)) / atoms / units.kB, color=color, linewidth=1.6, label=label
        )
    for axes in (left, right):
        legend(axes, loc="best")
        few_ticks(axes.xaxis, 5)
        few_ticks(axes.yaxis, 5)
    return figure


def _open_up(axes, fraction):
    """A range of at least this fraction of the values: a constant must look constant, not like noise."""
    low, high = axes.get_ylim()
    middle, needed = 0.5 * (low + high), fraction * abs(0.5 * (low + high))
    if high - low < needed:
        axes.set_ylim(middle - 0.5 * needed, middle + 0.5 * needed)

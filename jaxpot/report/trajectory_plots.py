"""Pictures and tables of what a trajectory shows: g(r), mean square displacement, vibrational density of states."""

from collections.abc import Mapping

import numpy as np

from jaxpot import units
from jaxpot.md.curves import Diffusion, Displacement, PairDistribution, Spectrum
from jaxpot.report.style import BLUE, GREEN, ORANGE, PURPLE, SOFT, Picture, few_ticks, legend, note, prepare

_OTHERS = (ORANGE, GREEN, PURPLE)
_MOST = 6  # curves beside that of all atoms; more cannot be told apart
_DASHES = ("-", (0, (4, 2)))


def plot_rdf(pairs: PairDistribution, title: str | None = None) -> Picture:
    """g(r) of all atoms and, of several elements, of each pair of them.

    Args:
        pairs: `md.curves.PairDistribution`.
    """
    figure = Picture(5.6, 3.8)
    axes = prepare(figure.subplots(), title, "Distance r (Å)", "g(r)")
    parts = pairs.partial if len(pairs.partial) > 1 else {}
    _curves(axes, pairs.distances, pairs.total, parts, "all atoms")
    axes.axhline(1.0, color=SOFT, linewidth=0.8, linestyle=(0, (1, 3)))
    axes.set_xlim(0.0, float(pairs.distances[-1]))
    return _finished(figure, axes)


def plot_msd(
    moved: Displacement, diffusion: Mapping[str, Diffusion] | None = None, title: str | None = None
) -> Picture:
    """Mean square displacement against time, up to half of the run, and diffusion coefficients.

    Args:
        moved: `md.curves.Displacement`.
        diffusion: "all" and symbols -> `md.curves.Diffusion`.
    """
    figure = Picture(5.6, 3.8)
    axes = prepare(figure.subplots(), title, "Time (ps)", "Mean square displacement (Å²)")
    half = slice(0, max(2, len(moved.times) // 2 + 1))  # beyond, few origins are left
    parts = {name: curve[half] for name, curve in moved.by_element.items()} if len(moved.by_element) > 1 else {}
    _curves(axes, moved.times[half] / units.ps, moved.total[half], parts, "all atoms")
    lines = [
        f"{f'D({name})' if name != 'all' else 'D'} = {d.coefficient / units.cm2_per_s:.2e} ± "
        f"{d.error / units.cm2_per_s:.1e} cm²/s"
        for name, d in list((diffusion or {}).items())[: _MOST + 1]
    ]
    _finished(figure, axes)
    if lines:
        axes.set_ylim(top=1.3 * axes.get_ylim()[1])
        note(axes, "\n".join(lines))
    axes.set_xlim(left=0.0)
    return figure


def plot_vdos(seen: Spectrum, title: str | None = None) -> Picture:
    """The vibrational density of states, and what each element has of it.

    Args:
        seen: `md.curves.Spectrum`.
    """
    figure = Picture(5.6, 3.6)
    axes = prepare(figure.subplots(), title, "Frequency (THz)", "Vibrational density of states (1/THz)")
    x, total = seen.frequencies / units.THz, seen.total * units.THz
    axes.fill_between(x, total, color=BLUE, alpha=0.18, linewidth=0)
    parts = {name: d * units.THz for name, d in seen.by_element.items()} if len(seen.by_element) > 1 else {}
    _curves(axes, x, total, parts, "all atoms")
    reached = np.flatnonzero(np.cumsum(total) >= 0.995 * total.sum())
    axes.set_xlim(0.0, 1.15 * float(max(x[reached[0]], x[1])) if len(reached) else float(x[-1]))
    return _finished(figure, axes)


def table_of_rdf(pairs: PairDistribution) -> str:
    """Text: r and g(r), of all atoms and of each pair of elements."""
    parts = {f"g_{name}": curve for name, curve in pairs.partial.items()} if len(pairs.partial) > 1 else {}
    return _table({"r_A": pairs.distances, "g": pairs.total} | parts)


def table_of_msd(moved: Displacement) -> str:
    """Text: time and mean square displacement, of all atoms and of each element."""
    parts = _several(moved.by_element, "msd_A2_", 1.0)
    return _table({"time_ps": moved.times / units.ps, "msd_A2": moved.total} | parts)


def table_of_vdos(seen: Spectrum) -> str:
    """Text: frequency and vibrational density of states, of all atoms and of each element."""
    parts = _several(seen.by_element, "density_per_THz_", units.THz)
    return _table({"frequency_THz": seen.frequencies / units.THz, "density_per_THz": seen.total * units.THz} | parts)


def _several(curves, name, unit):
    """Columns of elements, where there is more than one."""
    return {name + key: curve * unit for key, curve in curves.items()} if len(curves) > 1 else {}


def _table(columns):
    rows = np.stack(list(columns.values()), axis=1)
    lines = [" ".join(f"{x:.8g}" for x in row) for row in rows.tolist()]
    return "\n".join(["# " + " ".join(columns), *lines]) + "\n"


def _curves(axes, x, total, parts, name):
    for k, (key, curve) in enumerate(list(parts.items())[:_MOST]):
        color, dashes = _OTHERS[k % len(_OTHERS)], _DASHES[k // len(_OTHERS)]
        axes.plot(x, curve, color=color, linewidth=1.3, linestyle=dashes, label=key)
    axes.plot(x, total, color=BLUE, linewidth=1.7, label=name)


def _finished(figure, axes):
    few_ticks(axes.xaxis)
    few_ticks(axes.yaxis)
    axes.set_ylim(bottom=0.0)
    if len(axes.lines) > 1 and len(axes.get_legend_handles_labels()[0]) > 1:
        legend(axes, loc="best")
    return figure

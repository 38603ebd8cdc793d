"""Figures of a fit: predictions against labels, the distribution of force errors, a learning curve."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.ticker import NullLocator

from jaxpot import units
from jaxpot.data.predictions import Predictions
from jaxpot.report.style import BLUE, ORANGE, SOFT, Picture, few_ticks, legend, note, plain_log_axis, prepare
from jaxpot.typing import ArrayLike

_MOST_DOTS = 4000  # beyond, dots hide each other: counts in hexagons are drawn
_SETS = (("train", BLUE, "o"), ("test", ORANGE, "D"))
_COUNTS = {
    "train": LinearSegmentedColormap.from_list("train", ["#cfe3f0", BLUE, "#062a42"]),
    "test": LinearSegmentedColormap.from_list("test", ["#fbdcc8", ORANGE, "#4a1f00"]),
}
_UPPER = np.triu_indices(3)


def plot_energies(train: Predictions | None, test: Predictions | None = None) -> Picture | None:
    """Energies per atom: predicted against labels, and the difference in meV.

    Args:
        train, test: `Predictions`, or None.

    Returns:
        A figure; None if no frame has an energy.
    """
    return _pair(train, test, "energy", "Energy per atom", "eV/atom", 1.0, "meV/atom", 1e3)


def plot_stresses(train: Predictions | None, test: Predictions | None = None) -> Picture | None:
    """Stress components in GPa: predicted against labels, and the difference; None if there are no labels."""
    return _pair(train, test, "stress", "Stress components", "GPa", 1.0 / units.GPa, "GPa", 1.0)


def plot_forces(train: Predictions | None, test: Predictions | None = None) -> Picture | None:
    """Force components, predicted against labels for either set, and how the differences are distributed.

    Returns:
        A figure; None if no frame has forces.
    """
    pairs = _values(train, test, "forces", 1.0)
    if not pairs:
        return None
    figure = Picture(3.2 * (len(pairs) + 1), 3.4)
    *panels, last = figure.subplots(1, len(pairs) + 1)
    low, high = _range([values for pair in pairs.values() for values in pair])
    for axes, (name, (labels, predicted)) in zip(panels, pairs.items(), strict=True):
        prepare(axes, f"Forces, {name}", "Label (eV/Å)", "Fit (eV/Å)")
        _square(axes, low, high)
        _dots_or_counts(axes, name, labels, predicted, (low, high))
        note(axes, f"MAE {_short(np.abs(predicted - labels).mean())} eV/Å", x=0.97, y=0.04, va="bottom")
    prepare(last, "Force errors", "Fit − label (eV/Å)", "Share of components per eV/Å")
    errors = {name: predicted - labels for name, (labels, predicted) in pairs.items()}
    # The last part in a thousand would stretch the axis: the outermost bins take it in.
    reach = max(float(np.quantile(np.abs(e), 0.999)) for e in errors.values()) or 1e-12
    few = min(len(e) for e in errors.values())
    bins = np.linspace(-reach, reach, int(np.clip(2 * few ** (1 / 3), 10, 60)) + 1)
    for name, color, _ in _SETS:
        if name in errors:
            last.hist(
                np.clip(errors[name], -reach, reach), bins, density=True, histtype="stepfilled" if name == "train" else
                "step", color=color, alpha=0.35 if name == "train" else 1.0, linewidth=1.4, label=name,
            )
    last.set_box_aspect(1)
    last.set_yscale("log")
    last.tick_params(which="minor", left=False)
    last.set_ylim(top=3.0 * last.get_ylim()[1])  # room for the legend
    last.set_xlim(-1.02 * reach, 1.02 * reach)
    few_ticks(last.xaxis, 5)
    if len(errors) > 1:
        legend(last, loc="upper right", borderaxespad=0.0)
    return figure


def plot_learning_curve(points: Sequence) -> Picture:
    """Errors on the test set against the number of frames, both logarithmic, with 90 % intervals.

    Args:
        points: (frames, {kind: {"mae", "interval"}}) with kinds energy (meV/atom), forces (eV/A), stress (GPa).
    """
    kinds = [kind for kind in _NAMES if any(kind in errors for _, errors in points)]
    figure = Picture(3.6 * len(kinds), 3.3)
    for axes, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds, strict=True):
        name, unit = _NAMES[kind]
        prepare(axes, f"{name}, test", "Training frames", f"MAE ({unit})")
        known = [(frames, errors[kind]) for frames, errors in points if kind in errors]
        frames, mae = np.array([n for n, _ in known]), np.array([e["mae"] for _, e in known])
        low, high = np.array([e["interval"] for _, e in known]).T
        bars = np.maximum([mae - low, high - mae], 0.0)
        axes.errorbar(
            frames, mae, bars, color=ORANGE, marker="D", markersize=4.5, linewidth=1.4, elinewidth=1.0, capsize=3
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(frames, [str(n) for n in frames])
        axes.xaxis.set_minor_locator(NullLocator())
        plain_log_axis(axes.yaxis)
    return figure


def plot_fewer_components(sizes: Sequence[dict]) -> Picture:
    """Errors of models of fewer components over those of all, against how many there are.

    Args:
        sizes: {"components": number, "errors": {kind: ratio}}.
    """
    figure = Picture(5.0, 3.3)
    axes = figure.subplots()
    prepare(axes, "Errors of fewer components", "Components", "RMSE over that of all")
    counts = [size["components"] for size in sizes]
    styles = {"energy": (BLUE, "o"), "forces": (ORANGE, "D"), "stress": (SOFT, "s")}
    for kind, (color, marker) in styles.items():
        if all(kind in size["errors"] for size in sizes):
            ratios = [size["errors"][kind] for size in sizes]
            axes.plot(counts, ratios, color=color, marker=marker, markersize=4.5, linewidth=1.4, label=_NAMES[kind][0])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(counts[::2], [str(count) for count in counts[::2]])
    axes.xaxis.set_minor_locator(NullLocator())
    plain_log_axis(axes.yaxis)
    axes.legend(frameon=False)
    return figure


_NAMES = {"energy": ("Energy", "meV/atom"), "forces": ("Forces", "eV/Å"), "stress": ("Stress", "GPa")}


def plot_training(history: Sequence, best: int) -> Picture:
    """The loss, and the errors of the validation frames, against the epoch.

    Args:
        history: (epoch, loss, energy error in eV/atom, force error in eV/A).
        best: the epoch to mark.
    """
    epochs, *columns = np.array(history, float).T
    shown = [("Loss", "", columns[0]), ("Energy, validation", "meV/atom", 1e3 * columns[1]),
             ("Forces, validation", "eV/Å", columns[2])]
    shown = [(name, unit, values) for name, unit, values in shown if np.isfinite(values).any()]
    figure = Picture(3.6 * len(shown), 3.3)
    for axes, (name, unit, values) in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        prepare(axes, name, "Epoch", f"MAE ({unit})" if unit else "Loss")
        axes.axvline(best, color=SOFT, lw=1.0)
        axes.plot(epochs, values, color=ORANGE, lw=1.2)
        axes.set_yscale("log")
        plain_log_axis(axes.yaxis)
    return figure


def plot_calibration(levels: ArrayLike, kinds: Mapping) -> Picture:
    """Plot the share of left-out labels within central intervals against the share that should be.

    Args:
        levels: of the intervals, (k,).
        kinds: name -> {"before" and "after": {"curve": fractions (k,)}}.
    """
    figure = Picture(3.6 * len(kinds), 3.4)
    panels = np.atleast_1d(figure.subplots(1, len(kinds)))
    for axes, (name, found) in zip(panels, kinds.items(), strict=True):
        prepare(axes, f"Error bars, {name}", "Interval", "Share of labels inside")
        axes.plot([0, 1], [0, 1], color=SOFT, lw=1.0)
        for when, color in (("before", ORANGE), ("after", BLUE)):
            curve = found[when]["curve"]
            axes.plot(levels, curve, color=color, marker="o", ms=3.0, lw=1.2, label=f"{when} calibration")
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(0.0, 1.0)
        legend(axes)
    return figure


def _pair(train, test, kind, title, unit, scale, error_unit, error_scale):
    pairs = _values(train, test, kind, scale)
    if not pairs:
        return None
    figure = Picture(7.6, 3.6)
    left, right = figure.subplots(1, 2)
    low, high = _range([values for pair in pairs.values() for values in pair])
    prepare(left, title, f"Label ({unit})", f"Fit ({unit})")
    prepare(right, "Errors", f"Label ({unit})", f"Fit − label ({error_unit})")
    _square(left, low, high)
    right.axhline(0.0, color=SOFT, linewidth=0.8, zorder=1.5)
    for name, color, marker in _SETS:
        if name not in pairs:
            continue
        labels, predicted = pairs[name]
        errors = error_scale * (predicted - labels)
        style = _style(len(labels), color, marker)
        # Of all nine components of a stress, as in the table; each is drawn once.
        every = np.concatenate({"train": train, "test": test}[name].differences(kind))
        words = f"{name}: MAE {_short(np.abs(every).mean() * scale * error_scale)} {error_unit}"
        left.scatter(labels, predicted, label=words, **style)
        right.scatter(labels, errors, **style)
    few = sum(len(labels) for labels, _ in pairs.values()) < 300  # of more, none is far from the line by itself
    legend(left, loc="best" if few else "upper left", handletextpad=0.2, borderaxespad=0.1)
    right.set_box_aspect(1)
    right.set_xlim(low, high)
    largest = max(float(np.abs(predicted - labels).max()) for labels, predicted in pairs.values())
    reach = 1.1 * error_scale * largest or 1e-12
    right.set_ylim(-reach, reach)
    for axis in (right.xaxis, right.yaxis):
        few_ticks(axis, 5)
    return figure


def _values(train, test, kind, scale):
    """Name of the set -> (labels, predictions), flat; of stresses the upper triangle."""
    found = {}
    for name, predictions in (("train", train), ("test", test)):
        if predictions is None:
            continue
        rows = [
            (_flat(label, kind), _flat(value, kind))
            for label, value in zip(predictions.labels[kind], predictions.predicted[kind], strict=True)
            if label is not None
        ]
        if rows:
            found[name] = tuple(scale * np.concatenate(column) for column in zip(*rows, strict=True))
    return found


def _flat(value, kind):
    return np.asarray(value)[_UPPER] if kind == "stress" else np.ravel(value)


def _range(arrays):
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    margin = 0.04 * (high - low) or max(1e-3, 1e-3 * abs(high))
    return low - margin, high + margin


def _square(axes, low, high):
    """Equal axes with the line that a perfect fit would lie on."""
    axes.plot([low, high], [low, high], color=SOFT, linewidth=0.8, zorder=1.5)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_box_aspect(1)
    for axis in (axes.xaxis, axes.yaxis):
        few_ticks(axis, 5)


def _style(count, color, marker):
    """Dots that let each other shine through where there are many."""
    size, alpha = (16.0, 0.75) if count < 300 else (8.0, 0.45)
    return {"s": size, "color": color, "marker": marker, "linewidths": 0, "alpha": alpha, "zorder": 2}


def _dots_or_counts(axes, name, labels, predicted, limits):
    color, marker = next((color, marker) for own, color, marker in _SETS if own == name)
    if len(labels) <= _MOST_DOTS:
        axes.scatter(labels, predicted, **_style(len(labels), color, marker))
        return
    axes.hexbin(
        labels, predicted, gridsize=70, extent=(*limits, *limits), cmap=_COUNTS[name], norm=LogNorm(vmin=1.0),
        mincnt=1, linewidths=0.1, zorder=2,
    )
    note(axes, f"{len(labels):,} components,\ndarker where there are more".replace(",", " ", 1), x=0.03, ha="left")


def _short(value):
    return f"{value:.3g}"

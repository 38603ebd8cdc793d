"""Summary of a data set and of whatever looks wrong with it, for a person to read before fitting."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from jaxpot import units
from jaxpot.core.elements import symbol
from jaxpot.core.neighbors import find_neighbors
from jaxpot.data.consistency import Consistency, check_consistency
from jaxpot.data.duplicates import Duplicates, find_duplicates, find_turned, shortened
from jaxpot.errors import GeometryError

if TYPE_CHECKING:  # data sets summarise themselves
    from jaxpot.data.dataset import Dataset

_NET_FORCE = 1e-3  # eV/A per atom
_FAR_OUT = 8.0  # robust standard deviations
_LEAST_FOR_OUTLIERS = 8  # frames of a config type
_SHOWN = 5
_SEARCHED = 20.0  # A, for the closest pair


@dataclass(frozen=True)
class Group:
    """Frames of one config type, or all. Ranges are (smallest, largest), or None where nothing is known.

    Args:
        name: of the config type.
        frames, atoms: how many.
        energy: eV/atom, less the energies of isolated atoms.
        force: eV/A, length of the largest force.
        stress: GPa, over all components.
        volume: A^3/atom, of periodic frames.
        closest: A, shortest distance between two atoms; None if no two are closer than 20 A.
    """

    name: str
    frames: int
    atoms: int
    energy: tuple[float, float] | None
    force: float | None
    stress: tuple[float, float] | None
    volume: tuple[float, float] | None
    closest: float | None


@dataclass(frozen=True)
class Outlier:
    """Frame whose energy per atom is far from the others of its config type; `score` in robust deviations."""

    source: str
    config_type: str
    energy: float
    median: float
    score: float


@dataclass(frozen=True)
class Summary:
    """Summary of a data set: `print` it, or take `to_dict()`.

    Args:
        elements: symbol -> number of atoms.
        labels: label -> number of frames that have it.
        e0: symbol -> eV of an isolated atom.
        e0_origin: where that comes from.
        groups: a `Group` for each config type.
        total: the `Group` of all frames.
        closest: the closest pair: (source, "Si-Si" or what is wrong there, A), or None.
        duplicates: sets of equal frames.
        turned: sets of names of frames that are probably the same but for a rotation or the order of the atoms.
        outliers: energies far from their config type, the farthest first.
        largest_forces: (source, eV/A), the largest first.
        net_forces: (source, eV/A per atom), frames whose forces do not add up to zero, the largest first.
        consistency: what the energies say about forces and stresses, where they can.
        notes: further sentences.
    """

    elements: dict[str, int]
    labels: dict[str, int]
    e0: dict[str, float]
    e0_origin: str
    groups: tuple[Group, ...]
    total: Group
    closest: tuple | None
    duplicates: tuple[Duplicates, ...]
    turned: tuple[tuple[str, ...], ...]
    outliers: tuple[Outlier, ...]
    largest_forces: tuple
    net_forces: tuple
    consistency: tuple[Consistency, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict:
        """Plain dicts, lists and numbers, for JSON."""
        plain = asdict(self)
        plain["duplicates"] = [{**asdict(d), "agree": d.agree} for d in self.duplicates]
        plain["consistency"] = [c.to_dict() for c in self.consistency]
        return _plain(plain)

    def __str__(self) -> str:
        return "\n".join(_text(self))


def summarise(dataset: "Dataset") -> Summary:
    """Make the `Summary` of a `Dataset`."""
    frames = dataset.frames
    names = [f.source or f"frame {k}" for k, f in enumerate(frames)]
    distances = [_closest(frame) for frame in frames]
    energies = [_energy(frame, dataset.e0) for frame in frames]
    every = np.arange(len(frames))
    types = np.array([f.config_type for f in frames])
    duplicates = find_duplicates(frames, names)
    nearest = min(range(len(frames)), key=lambda k: distances[k][0])
    return Summary(
        elements=_elements(frames),
        labels={name: sum(getattr(f, name) is not None for f in frames) for name in ("energy", "forces", "stress")},
        e0={symbol(z): dataset.e0[z] for z in dataset.species},
        e0_origin=dataset.e0_origin,
        groups=tuple(
            _group(name, [frames[k] for k in chosen], [energies[k] for k in chosen], [distances[k] for k in chosen])
            for name in dataset.config_types
            for chosen in [every[types == name]]
        ),
        total=_group("all", frames, energies, distances),
        closest=(names[nearest], *distances[nearest][::-1]) if distances[nearest][1] else None,
        duplicates=duplicates,
        turned=find_turned(frames, names, duplicates),
        outliers=_outliers(names, types, energies),
        largest_forces=_largest_forces(frames, names),
        net_forces=_net_forces(frames, names),
        consistency=check_consistency(frames),
        notes=(*dataset.notes, *_remarks(frames)),
    )


def _elements(frames):
    counts = Counter(int(z) for frame in frames for z in frame.numbers)
    return {symbol(z): counts[z] for z in sorted(counts)}


def _energy(frame, e0):
    """eV/atom, less isolated atoms; NaN where it is not known."""
    if frame.energy is None:
        return np.nan
    return (frame.energy - sum(e0[int(z)] for z in frame.numbers)) / len(frame)


def _closest(frame):
    """(shortest distance, "Si-Si"); infinity and nothing where atoms are alone."""
    structure = frame.structure
    numbers, positions, cell = structure.numbers, structure.positions, structure.cell
    radius = 3.0 if frame.volume is None else min(1.2 * (frame.volume / len(frame)) ** (1 / 3), _SEARCHED)
    while True:
        try:
            listed = find_neighbors(structure, radius)
        except GeometryError as error:  # atoms at one point, or a cell without volume
            return 0.0, str(error)
        rows = listed.counts > 0
        if rows.any():
            break
        if radius >= _SEARCHED:
            return np.inf, None
        radius = min(1.5 * radius, _SEARCHED)
    centers, others = listed.centers[rows], listed.others[rows, 0]
    vectors = positions[others] + listed.shifts[:, rows, 0].T @ cell - positions[centers]
    lengths = np.linalg.norm(vectors, axis=1)
    k = int(lengths.argmin())
    return float(lengths[k]), "-".join(sorted(symbol(int(numbers[a])) for a in (centers[k], others[k])))


def _group(name, frames, energies, distances):
    forces = [np.linalg.norm(f.forces, axis=1).max() for f in frames if f.forces is not None]
    stresses = [f.stress / units.GPa for f in frames if f.stress is not None]
    volumes = [f.volume / len(f) for f in frames if f.volume is not None]
    closest = min(distance for distance, _ in distances)
    return Group(
        name, len(frames), sum(len(f) for f in frames), _range([e for e in energies if np.isfinite(e)]),
        float(max(forces)) if forces else None, _range(stresses), _range(volumes),
        closest if np.isfinite(closest) else None,
    )


def _range(values):
    return (float(np.min(values)), float(np.max(values))) if len(values) else None


def _outliers(names, types, energies):
    energies, outliers = np.array(energies), []
    for name in sorted(set(types)):
        group = np.flatnonzero((types == name) & np.isfinite(energies))
        if len(group) < _LEAST_FOR_OUTLIERS:
            continue
        median = np.median(energies[group])
        deviation = 1.4826 * np.median(np.abs(energies[group] - median))
        if deviation == 0.0:  # more than half are the same: there is no scale to measure the others with
            continue
        scores = np.abs(energies[group] - median) / deviation
        outliers += [
            Outlier(names[k], str(name), float(energies[k]), float(median), float(score))
            for k, score in zip(group, scores, strict=True) if score > _FAR_OUT
        ]
    return tuple(sorted(outliers, key=lambda outlier: -outlier.score))


def _largest_forces(frames, names):
    largest = [
        (name, float(np.linalg.norm(f.forces, axis=1).max()))
        for name, f in zip(names, frames, strict=True) if f.forces is not None
    ]
    return tuple(sorted(largest, key=lambda entry: -entry[1])[:_SHOWN])


def _net_forces(frames, names):
    net = [
        (name, float(np.linalg.norm(f.forces.sum(0)) / len(f)))
        for name, f in zip(names, frames, strict=True) if f.forces is not None
    ]
    return tuple(sorted((entry for entry in net if entry[1] > _NET_FORCE), key=lambda entry: -entry[1]))


def _remarks(frames):
    """Doubts about units."""
    known = [(f.energy, len(f)) for f in frames if f.energy is not None]
    energies, counts = np.array([e for e, _ in known]), np.array([n for _, n in known])
    if len(known) < 2 or counts.max() < 1.5 * counts.min() or not energies.any():
        return
    per_atom = energies / counts
    if np.std(energies) * abs(per_atom.mean()) < 0.1 * np.std(per_atom) * abs(energies.mean()):
        yield "energies do not grow with the number of atoms: are they per atom? Those of all atoms are expected"


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


# Text


def _text(s):
    atoms = ", ".join(f"{name} {count}" for name, count in s.elements.items())
    yield f"{s.total.frames} frames, {s.total.atoms} atoms ({atoms})"
    yield "labels: " + ", ".join(f"{name} in {count} frames" for name, count in s.labels.items())
    e0 = ", ".join(f"{name} {energy:.6g} eV" for name, energy in s.e0.items())
    yield f"isolated atoms: {e0} ({s.e0_origin})"
    yield ""
    yield from _table(s)
    yield ""
    if s.closest:
        yield f"closest pair: {s.closest[2]:.3f} A, {s.closest[1]}, in {s.closest[0]}"
    if s.largest_forces:
        yield "largest forces: " + "; ".join(f"{force:.3g} eV/A in {name}" for name, force in s.largest_forces[:3])
    yield from _section("duplicates", [duplicates.line() for duplicates in s.duplicates])
    title = "the same but for a rotation, as energies, forces and stresses have it"
    if s.turned:
        title += f" ({sum(map(len, s.turned))} frames in {len(s.turned)} sets)"
    yield from _section(title, [shortened(names) for names in s.turned])
    yield from _section("energies far from their config_type", [
        f"{o.source} ({o.config_type}): {o.energy:.4g} eV/atom, the median is {o.median:.4g} ({o.score:.0f} robust "
        "standard deviations)" for o in s.outliers
    ])
    yield from _section("forces that do not add up to zero", [
        f"{name}: {force:.2g} eV/A per atom" for name, force in s.net_forces
    ])
    lines = [f"{c.config_type}: {line}" for c in s.consistency for line in c.lines()]
    nothing = "no two frames are near enough to compare"
    yield from _section("forces and stresses against energies", lines, nothing, len(lines))
    for note in s.notes:
        yield f"note: {note}"


def _section(title, lines, nothing="none", shown=_SHOWN):
    if not lines:
        yield f"{title}: {nothing}"
        return
    yield f"{title}:"
    yield from (f"  {line}" for line in lines[:shown])
    if len(lines) > shown:
        yield f"  and {len(lines) - shown} more"


def _table(s):
    head = ("config_type", "frames", "atoms", "E - e0, eV/atom", "max |F|, eV/A", "stress, GPa", "V, A^3/atom",
            "closest, A")
    rows = [head]
    for g in (*s.groups, s.total):
        rows.append((
            g.name, str(g.frames), str(g.atoms), _between(g.energy, ".3f"), _one(g.force), _between(g.stress, ".1f"),
            _between(g.volume, ".2f"), _one(g.closest),
        ))
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()


def _between(pair, form):
    return "-" if pair is None else f"{pair[0]:z{form}} .. {pair[1]:z{form}}"


def _one(value):
    return "-" if value is None else f"{value:.2f}"

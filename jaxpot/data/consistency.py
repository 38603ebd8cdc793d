"""Do forces and stresses follow the energies? What data can say about it without a model.

Between two frames a and b that differ little, the energy changes by the work done on the way:

    E_b - E_a = (V_a s_a + V_b s_b)/2 : e - sum_i (F_ia + F_ib)/2 . u_i + O(e^3, u^3)

with e the strain from a to b referred to the cell half way, and u_i what atom i moves beyond it. Series of strained
crystals are such frames; a trajectory of which every hundredth step was kept is not, and nothing is said of it then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations

import numpy as np

from jaxpot import units
from jaxpot.data.frame import Frame
from jaxpot.data.similar_pairs import similar_pairs

_MOST_STRAIN = 0.03  # the error of third order is then about 0.1 GPa in a hard crystal
_LEAST_STRAIN = 1e-3
_MOST_SHIFT = 0.1  # A
_LEAST_SHIFT = 1e-3  # A
_LARGEST_GROUP = 1500  # frames compared with each other; of more, evenly many are taken
_ENOUGH = 3  # pairs that a statement needs
_LEAST_STRESS = 0.03  # GPa; weaker signals drown in the noise of the energies
_OFFSET = 0.2  # GPa; less may be the error of third order
_SHARE = 0.5  # of the signal that may remain unexplained
_VOIGT = ((1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class Comparison:
    """Labels against energy differences, over some pairs of frames.

    Args:
        pairs: how many.
        signal: root mean square of what the energies ask for, GPa (stresses) or eV (forces).
        deviation: root mean square of the difference, in the same unit.
        slope: by which factor the labels would have to be multiplied to fit best.
        worst: sources of the pair with the largest difference, what its energies ask for, and its labels say.
    """

    pairs: int
    signal: float
    deviation: float
    slope: float
    worst: tuple

    @property
    def follows(self) -> bool:
        """True if the labels explain the energy differences."""
        return self.deviation <= _SHARE * self.signal


@dataclass(frozen=True)
class Consistency:
    """Stresses and forces of the frames of one config type, compared with differences of their energies.

    Args:
        config_type: which.
        frames: how many frames have been compared with each other.
        offset: GPa, constant part of the normal stresses beyond what the energies ask for; None: not decidable.
        offset_error: GPa, one standard error.
        normal, shear: stresses, less the offset, against energies, for strains that are mostly of one kind.
        exchanged: which order of the shear components (yz, xz, xy) would fit, if the given one does not.
        forces: forces against energies.
    """

    config_type: str
    frames: int
    offset: float | None = None
    offset_error: float | None = None
    normal: Comparison | None = None
    shear: Comparison | None = None
    exchanged: tuple[str, ...] | None = None
    forces: Comparison | None = None

    @property
    def decided(self) -> bool:
        """True if anything could be compared."""
        return any(part is not None for part in (self.offset, self.normal, self.shear, self.forces))

    @property
    def has_offset(self) -> bool:
        """True if the normal stresses have a constant offset that is no matter of noise."""
        if self.offset is None or self.offset_error is None:
            return False
        return abs(self.offset) > max(_OFFSET, 5.0 * self.offset_error)

    @property
    def sound(self) -> bool:
        """True if nothing is wrong in all that could be compared."""
        compared = [part for part in (self.normal, self.shear, self.forces) if part is not None]
        return not self.has_offset and all(part.follows for part in compared)

    def to_dict(self) -> dict:
        return {**asdict(self), "has_offset": self.has_offset, "sound": self.sound}

    def lines(self) -> Iterator[str]:
        """Sentences for a person."""
        if self.offset is not None:
            size = f"{self.offset:+.2f} +- {self.offset_error:.2f} GPa"
            yield (
                f"normal stresses ARE OFF by a constant {size} (Pulay stress of a plane-wave basis?): fit an offset, "
                "or leave stresses out" if self.has_offset else f"normal stresses have no constant offset ({size})"
            )
        less = ", less the offset," if self.has_offset else ""
        for name, part, unit in (
            (f"normal stresses{less}", self.normal, "GPa"),
            ("shear stresses", self.shear, "GPa"),
            ("forces", self.forces, "eV"),
        ):
            if part is not None:
                yield _sentence(name, part, unit)
        if self.exchanged:
            yield f"they would follow if the components given as yz, xz, xy were {', '.join(self.exchanged)}"


def _sentence(name, part, unit):
    numbers = f"rms difference {part.deviation:.2g} of {part.signal:.2g} {unit}, {part.pairs} pairs"
    if part.follows:
        return f"{name} follow the energies ({numbers})"
    first, second, asked, said = part.worst
    sign = " (is the sign opposite?)" if -1.5 < part.slope < -0.67 and part.deviation > 1.5 * part.signal else ""
    return (
        f"{name} DO NOT follow the energies{sign} ({numbers}); worst: from {first} to {second} the energies ask for "
        f"{asked:+.2g} {unit}, the labels say {said:+.2g}"
    )


def check_consistency(frames: Sequence[Frame]) -> tuple[Consistency, ...]:
    """Compare energies with forces and stresses within each config type.

    Args:
        frames: sequence of `Frame`.

    Returns:
        tuple of `Consistency`, one for each config type in which anything could be compared.
    """
    types = sorted({frame.config_type for frame in frames})
    results = (_of_type(frames, name) for name in types)
    return tuple(part for part in results if part.decided)


def _of_type(frames, name):
    group = [k for k, f in enumerate(frames) if f.config_type == name and f.energy is not None]
    if len(group) > _LARGEST_GROUP:
        group = [group[k] for k in np.linspace(0, len(group) - 1, _LARGEST_GROUP).astype(int)]
    strained, moved = [], []
    for pair in similar_pairs(frames, group, _MOST_STRAIN, _MOST_SHIFT):
        a, b = frames[pair.first], frames[pair.second]
        strain = 0.5 * (pair.strain + pair.strain.T)
        size, shift = np.linalg.norm(strain), np.linalg.norm(pair.shifts, axis=1).max()
        with_forces = a.forces is not None and b.forces is not None
        work = -0.5 * float(np.sum((a.forces + b.forces) * pair.shifts)) if with_forces else 0.0
        change = b.energy - a.energy
        if size < 1e-6:
            if with_forces and shift >= _LEAST_SHIFT:
                moved.append((a.source, b.source, change, work))
        elif size >= _LEAST_STRAIN and a.stress is not None and b.stress is not None:
            if with_forces or shift < _LEAST_SHIFT:
                volume = 0.5 * (a.volume + b.volume)
                stress = (a.volume * a.stress + b.volume * b.stress) / (2.0 * volume * units.GPa)
                asked = (change - work) / (volume * size * units.GPa)
                strained.append((a.source, b.source, asked, stress, strain / size))
    return Consistency(name, len(group), **_of_stresses(strained), forces=_compare(moved))


def _of_stresses(pairs):
    if len(pairs) < _ENOUGH:
        return {}
    asked = np.array([pair[2] for pair in pairs])
    stresses, directions = np.array([pair[3] for pair in pairs]), np.array([pair[4] for pair in pairs])
    said = (stresses * directions).sum((1, 2))
    trace = np.trace(directions, axis1=1, axis2=2)
    offsets = {}
    if np.count_nonzero(np.abs(trace) > 0.3) >= _ENOUGH:
        offset = float((said - asked) @ trace / (trace @ trace))
        said = said - offset * trace
        variance = float(np.sum((said - asked) ** 2) / (len(pairs) - 1) / (trace @ trace))
        offsets = {"offset": offset, "offset_error": float(np.sqrt(variance))}
    normal_part = (np.diagonal(directions, axis1=1, axis2=2) ** 2).sum(1)
    for name, chosen in (("normal", normal_part > 0.9), ("shear", normal_part < 0.1)):
        rows = [(*pairs[k][:2], asked[k], said[k]) for k in np.flatnonzero(chosen)]
        offsets[name] = _compare(rows, _LEAST_STRESS)
    if offsets["shear"] is not None and not offsets["shear"].follows:
        chosen = normal_part < 0.1
        offsets["exchanged"] = _exchanged(asked[chosen], stresses[chosen], directions[chosen])
    return offsets


def _compare(rows, least=0.0):
    """`Comparison` of (source, source, demanded by the energies, given by the labels); None if there is too little."""
    if len(rows) < _ENOUGH:
        return None
    asked, said = np.array([row[2] for row in rows]), np.array([row[3] for row in rows])
    signal = float(np.sqrt(np.mean(asked**2)))
    square = float(said @ said)
    if signal <= least:
        return None
    gap = np.abs(said - asked)
    worst = rows[int(gap.argmax())]
    return Comparison(
        len(rows), signal, float(np.sqrt(np.mean(gap**2))), float(asked @ said / square) if square else 0.0,
        (worst[0], worst[1], float(worst[2]), float(worst[3])),
    )


def _exchanged(asked, stresses, directions):
    """Order of the shear components that explains the energies, if one does and it is not the given one."""
    shear = np.stack([stresses[:, a, b] for a, b in _VOIGT], 1)
    twice = 2.0 * np.stack([directions[:, a, b] for a, b in _VOIGT], 1)
    signal = np.sqrt(np.mean(asked**2))
    names = ("yz", "xz", "xy")
    for order in permutations(range(3)):
        gap = np.sqrt(np.mean((asked - (shear[:, order] * twice).sum(1)) ** 2))
        if order != (0, 1, 2) and gap <= 0.5 * _SHARE * signal:
            return tuple(names[k] for k in np.argsort(order))
    return None

"""Labels of an `ase.Atoms`, wherever ASE keeps them, under keys that are named.

ASE moves `energy`, `forces` and `stress` of a file from `info` and `arrays` into a calculator, other keys stay
where they are, and `atoms.copy()` drops what a calculator knows. Here all three places are searched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpot.data.frame import Frame, on_host
from jaxpot.errors import DataError

_AGREE = 1e-3  # relative; what a stress and a virial of one frame may differ by
_SMALL_STRESS = 1e-6  # eV/A^3, 0.16 MPa
_VOIGT = ((0, 5, 4), (5, 1, 3), (4, 3, 2))  # ASE's order: xx yy zz yz xz xy
_TENSORS = ((6,), (9,), (3, 3))
_NOT_LABELS = {"numbers", "positions"}


class Usual(str):
    """Name of a label that is read where it exists; a plain string must exist."""


STRESS = Usual("stress")
CONFIG_TYPE = Usual("config_type")


@dataclass(frozen=True)
class Keys:
    """Names under which the labels are kept; None: not wanted."""

    energy: str | None = "energy"
    forces: str | None = "forces"
    stress: str | None = STRESS
    virial: str | None = None
    config_type: str | None = CONFIG_TYPE
    sigma_energy: str | None = None
    sigma_forces: str | None = None
    sigma_stress: str | None = None

    def __post_init__(self):
        for name, key in vars(self).items():
            if key is not None and not isinstance(key, str):
                raise DataError(f"{name}: expected the name of a key, or None, got {key!r}")

    @property
    def wanted(self) -> dict[str, str]:
        """Label -> key, for those that are wanted."""
        return {name: key for name, key in vars(self).items() if key is not None}


def frame_of(atoms: Any, keys: Keys, source: str) -> tuple[Frame, set[str], bool]:
    """Read the `Frame` of an `ase.Atoms`, and list the keys that were seen.

    Args:
        atoms: `ase.Atoms`, or anything with its attributes.
        keys: `Keys`.
        source: for messages.

    Returns:
        (frame, names of all keys that are there, whether a stress was left out for want of a volume).

    Raises:
        DataError: a label that is not finite, of wrong shape, given twice with different values, or that belongs to
            other positions; stress and virial that contradict each other.
    """
    structure = on_host(atoms, f"{source}: ")
    places = _places(atoms, source)
    values = {name: _lookup(places, key, source) for name, key in keys.wanted.items()}
    config_type = values.pop("config_type", None)
    forces = values.pop("forces", None)
    stress, virial = values.pop("stress", None), values.pop("virial", None)
    periodic = all(structure.pbc)
    numbers = {
        name: _number(value, f"{source}: {keys.wanted[name]}") for name, value in values.items() if value is not None
    }
    frame = Frame(
        structure=structure,
        forces=None if forces is None else _array(forces, f"{source}: {keys.forces}", (len(atoms), 3)),
        stress=_stress(atoms, stress, virial, keys, source) if periodic else None,
        config_type="default" if config_type is None else str(config_type),
        source=source,
        **numbers,
    )
    left_out = not periodic and (stress is not None or virial is not None)
    return frame, {key for _, place in places for key in place} - _NOT_LABELS, left_out


def _places(atoms, source):
    """(name, dict) of everything that may hold labels."""
    places = [("info", getattr(atoms, "info", {})), ("arrays", getattr(atoms, "arrays", {}))]
    calculator = getattr(atoms, "calc", None)
    results = getattr(calculator, "results", None)
    if results:
        changed = calculator.check_state(atoms) if hasattr(calculator, "check_state") else ()
        if changed:
            raise DataError(
                f"{source}: the calculator's results belong to other atoms ({', '.join(changed)} changed since); "
                "compute them again"
            )
        places.append(("calculator", {k: v for k, v in results.items() if v is not None}))
    return places


def _lookup(places, key, source):
    candidates = [(place, values[key]) for place, values in places if key in values]
    for place, value in candidates[1:]:
        if not _equal(value, candidates[0][1]):
            raise DataError(
                f"{source}: {key} is there twice, and not the same: {_short(candidates[0][1])} ({candidates[0][0]}) "
                f"and {_short(value)} ({place}); remove one"
            )
    return candidates[0][1] if candidates else None


def _equal(a, b):
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind not in "iuf" or b.dtype.kind not in "iuf":
        return a.shape == b.shape and bool((a == b).all())
    if a.shape in _TENSORS and b.shape in _TENSORS:  # stresses are kept in all these forms
        a, b = _tensor(a), _tensor(b)
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)


def _short(value):
    text = repr(np.asarray(value).tolist())
    return text if len(text) <= 80 else text[:77] + "..."


def _number(value, name):
    array = _array(value, name, None)
    if array.size != 1:
        raise DataError(f"{name}: expected one number, got {_short(value)}")
    return array.reshape(()).item()


def _array(value, name, shape):
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name}: expected numbers, got {_short(value)}")
    array = array.astype(np.float64)
    if shape is not None and array.shape != shape:
        raise DataError(f"{name}: expected {shape} numbers, got an array of shape {array.shape}")
    bad = ~np.isfinite(array)
    if bad.any():
        raise DataError(f"{name}: {int(bad.sum())} of {array.size} numbers are not finite: {_short(value)}")
    return array


def _tensor(array):
    return array[np.array(_VOIGT)] if array.shape == (6,) else array.reshape(3, 3)


def _stress(atoms, stress, virial, keys, source):
    """+1/V dE/dstrain, from the stress, or from the virial -V * stress, or from both."""
    tensors = {}
    for key, value in ((keys.stress, stress), (keys.virial, virial)):
        if value is not None:
            array = _array(value, f"{source}: {key}", None)
            if array.shape not in _TENSORS:
                raise DataError(
                    f"{source}: {key}: expected 6 numbers (xx yy zz yz xz xy) or 3 x 3, got {_short(value)}"
                )
            tensors[key] = _tensor(array)
    if virial is not None:
        volume = abs(float(np.linalg.det(np.asarray(atoms.cell, dtype=np.float64))))
        if volume == 0.0:
            raise DataError(f"{source}: {keys.virial}: a virial needs a cell with a volume to become a stress")
        tensors[keys.virial] = -tensors[keys.virial] / volume
    if not tensors:
        return None
    if len(tensors) == 2:
        _refuse_difference(tensors[keys.stress], tensors[keys.virial], volume, keys, source)
    return next(iter(tensors.values()))


def _refuse_difference(stress, from_virial, volume, keys, source):
    gap = np.abs(stress - from_virial)
    if gap.max() <= _AGREE * np.abs(stress).max() + _SMALL_STRESS:
        return
    a, b = np.unravel_index(gap.argmax(), gap.shape)
    opposite = " (the sign is opposite)" if np.abs(stress + from_virial).max() < gap.max() * _AGREE else ""
    raise DataError(
        f"{source}: {keys.stress} and {keys.virial} contradict each other: component {'xyz'[a]}{'xyz'[b]} is "
        f"{stress[a, b]:.6g} eV/A^3, but -virial/V is {from_virial[a, b]:.6g} eV/A^3 (virial "
        f"{-from_virial[a, b] * volume:.6g} eV, V {volume:.6g} A^3){opposite}; read only one of them"
    )


def frames_of(items: Sequence, keys: Keys, sources: Sequence[str]) -> tuple[list[Frame], tuple[str, ...]]:
    """Frames of many `ase.Atoms`, with the checks that concern all of them.

    Args:
        items: `ase.Atoms`, or `Frame`s (taken as they are).
        keys: `Keys`.
        sources: a name for each, for messages.

    Returns:
        (list of `Frame`, notes: tuple of sentences on what was not read).

    Raises:
        DataError: as for `frame_of`; a label that is asked for and is nowhere.
    """
    frames, seen, without_volume, read = [], set(), 0, 0
    for item, source in zip(items, sources, strict=True):
        if isinstance(item, Frame):
            frames.append(item)
            continue
        frame, here, left_out = frame_of(item, keys, source)
        frames.append(frame)
        read += 1
        seen |= here
        without_volume += left_out
    notes = []
    if read:
        _refuse_absent(keys, seen)
        unread = sorted(seen - set(keys.wanted.values()))
        if unread:
            notes.append(f"keys that were not read: {', '.join(unread)}")
    if without_volume:
        notes.append(f"the stress of {without_volume} frames was left out: they have open axes, hence no volume")
    return frames, tuple(notes)


def _refuse_absent(keys, seen):
    for label, key in keys.wanted.items():
        if key in seen or isinstance(key, Usual):
            continue
        present = ", ".join(sorted(seen)) or "none"
        raise DataError(
            f"no frame has {label}={key!r}; the keys that are there: {present}. Name the right one (--{label} KEY on "
            f"the command line), or give {label}=None (--{label} none) if it is not wanted; atoms.copy() drops the "
            "results of a calculator"
        )


def refuse_incomplete(frames: Sequence[Frame], keys: Keys, require: Sequence[str]) -> None:
    """Refuse frames without a label that every frame must have."""
    names = {"energy": keys.energy, "forces": keys.forces, "stress": keys.stress or keys.virial}
    unknown = set(require) - set(names)
    if unknown:
        raise DataError(f"require: expected energy, forces or stress, got {', '.join(sorted(unknown))}")
    for label in require:
        lacking = [frame for frame in frames if getattr(frame, label) is None]
        if lacking and names[label] is not None:
            rest = tuple(r for r in require if r != label)
            raise DataError(
                f"{len(lacking)} of {len(frames)} frames have no {label} (key {str(names[label])!r}), the first is "
                f"{lacking[0].source}; if that is intended, give require={rest!r}"
            )

"""Tables [[term]] of recipes: checked, and made into terms."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxpot.errors import FormatError
from jaxpot.fitting.linear.kinds import CONSTANT, KINDS, Measures
from jaxpot.fitting.linear.sparsify import METHODS
from jaxpot.fitting.linear.terms import FeatureTerm, GAPTerm, LinearTerm
from jaxpot.fitting.recipe_files import checked_number, checked_whole
from jaxpot.readouts import TRAINABLE

PROCESS = "gaussian process"
_SHARED = frozenset({"descriptor", "cutoff", "delta", "readout"})


def terms_of_table(table: dict, measures: Measures, name: str) -> Iterator[LinearTerm]:
    """Terms of one table: one for each kind of centre or pair.

    Args:
        table: that has been checked.
        measures: of the data.
        name: for messages.
    """
    kind, delta = KINDS[table["descriptor"]], table.get("delta", 1.0)
    table = kind.with_fewer(table, measures.species)
    readout = "linear" if table["descriptor"] == CONSTANT else table.get("readout", PROCESS)
    for descriptor in kind.descriptors(table, measures):
        if readout == "linear" and kind.orders is not None:
            blocks = tuple(np.unique(kind.orders(table, descriptor), return_counts=True)[1].tolist())
            deltas = tuple(np.broadcast_to(np.asarray(delta, float), len(blocks)).tolist())
            fewer, scales = table.get("components"), kind.scales(table)
            yield FeatureTerm(descriptor, TRAINABLE[readout], deltas, name, blocks, fewer, scales)
        elif readout != PROCESS:
            yield FeatureTerm(descriptor, TRAINABLE[readout], float(delta), name)
        elif kind.kernel is not None:
            yield GAPTerm(
                descriptor, kind.kernel(table, measures.unit), table.get("sparse_points", 1000), float(delta),
                table.get("sparse_method", "cur"), table.get("environments"), name=name,
            )


def lowered(table: dict, species: tuple[int, ...]) -> tuple[dict, str]:
    """Table with at most `max_weights` weights of all these elements, and what it lowers for that, in words."""
    fewer = KINDS[table["descriptor"]].with_fewer(table, species)
    changes = ", ".join(f"{key} = {fewer[key]}, not {table[key]}" for key in table if fewer[key] != table[key])
    limit = table.get("max_weights")
    return fewer, changes and f"{changes}: {len(species)} elements have at most {limit} weights (max_weights)"


def checked_term(table: Any, file: str, field: str) -> dict:
    """Table of a term, whose keys and values have a meaning.

    Raises:
        FormatError: they have none; with the field.
    """
    name = table.get("descriptor") if isinstance(table, dict) else None
    if not isinstance(name, str) or name not in KINDS:
        raise FormatError(f"descriptor: expected one of {', '.join(KINDS)}, got {name!r}", file=file, field=field)
    kind, readout = KINDS[name], table.get("readout", PROCESS)
    if readout not in (PROCESS, *TRAINABLE):
        expected = ", ".join([PROCESS, *TRAINABLE])
        raise FormatError(f"expected one of {expected}, got {readout!r}", file=file, field=f"{field}, readout")
    checks = {"delta": checked_number} if name == CONSTANT else {
        "cutoff": checked_number, "delta": checked_number, **kind.keys, **(_OF_PROCESSES if readout == PROCESS else {})
    }
    if readout != PROCESS:
        checks = {key: check for key, check in checks.items() if key not in kind.of_processes}
    known = set(checks) | ({"descriptor"} if name == CONSTANT else _SHARED)
    unknown = set(table) - known
    if unknown:
        whose = name if readout == PROCESS or name == CONSTANT else f"{name} with the readout {readout!r}"
        message = f"{whose} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
        raise FormatError(message, file=file, field=field)
    missing = (kind.needed & known) - set(table)
    if missing:
        raise FormatError(f"{name} needs {', '.join(sorted(missing))}", file=file, field=field)
    if "environments" in table and table.keys() & {"sparse_points", "sparse_method"}:
        message = "environments are the sparse points: leave sparse_points and sparse_method out"
        raise FormatError(message, file=file, field=field)
    for key, check in checks.items():
        if key in table and not (key == "delta" and isinstance(table[key], list)):
            check(table[key], file, f"{field}, {key}")
    kind.whole(table, file, field)
    if isinstance(table.get("delta"), list):
        _check_deltas(table, kind, readout, file, f"{field}, delta")
    return dict(table)


def _check_deltas(table, kind, readout, file, field):
    """Deltas of products of one factor, of two, ..."""
    expected = kind.orders_of(table) if kind.orders_of is not None and readout == "linear" else []
    if len(table["delta"]) != len(expected):
        raise FormatError(
            "expected a number; or, of ace with the readout \"linear\", as many as nradmax_by_orders has, of mtp one "
            f"for each number of moments, got {table['delta']}", file=file, field=field,
        )
    for value in table["delta"]:
        checked_number(value, file, field)


def _check_points(value, file, field):
    counts = value if isinstance(value, dict) and value else {None: value}
    for name, count in counts.items():
        checked_whole(count, 1, file, field + ("" if name is None else f", {name}"))


def _check_environments(pairs, file, field):
    if not isinstance(pairs, list) or not pairs or not all(_is_pair(pair) for pair in pairs):
        raise FormatError(
            "expected pairs of numbers, of a frame and of its atom, counted from 0, such as [[0, 3], [2, 17]]",
            file=file, field=field,
        )


def _is_pair(pair):
    return isinstance(pair, list) and len(pair) == 2 and all(type(k) is int and k >= 0 for k in pair)


def _check_method(value, file, field):
    if value not in METHODS:
        raise FormatError(f"expected one of {', '.join(METHODS)}, got {value!r}", file=file, field=field)


_OF_PROCESSES = {"sparse_points": _check_points, "sparse_method": _check_method, "environments": _check_environments}

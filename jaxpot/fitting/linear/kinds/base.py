"""`Kind`: what a table [[term]] of one descriptor holds, and which descriptors are made of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting.recipe_files import checked_number, checked_whole
from jaxpot.kernels.base import Kernel
from jaxpot.readouts import TRAINABLE
from jaxpot.typing import AnyArray

Check = Callable[[Any, str, str], object]  # of a value, with the file and the field for messages


class Measures(NamedTuple):
    """Lengths that those of a recipe are measured by, and the elements of the data.

    Attributes:
        unit: A, of the lengths in the tables.
        bond: A, median distance to the nearest neighbour.
        shortest: two atomic numbers, ascending -> shortest distance in A.
        species: atomic numbers.
    """

    unit: float
    bond: float
    shortest: dict[tuple[int, int], float]
    species: tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """One descriptor of recipes.

    Attributes:
        keys: of its tables, beside those of all -> check of a value.
        needed: keys that must be there.
        descriptors: (table, `Measures`) -> descriptors, one for each kind of centre or pair.
        kernel: (table, unit) -> covariance of a Gaussian process; None: it has none.
        of_processes: keys that only Gaussian processes have.
        whole: check of the table as a whole: (table, file, field).
        orders: (table, descriptor) -> for each component the number of its factors: those of one number share a scale;
            None: all do.
        orders_of: table -> those that it has scales for.
        from_fit: keys that a fit puts into the tables for itself, which are not part of a recipe's file.
        scales: table -> factors of the components, or None.
        with_fewer: (table, atomic numbers) -> table with at most `max_weights` weights of all elements.
    """

    keys: Mapping[str, Check]
    needed: frozenset[str]
    descriptors: Callable[[dict, Measures], Iterator[Descriptor]]
    kernel: Callable[[dict, float], Kernel] | None = None
    of_processes: frozenset[str] = field(default=frozenset())
    whole: Callable[[dict, str, str], None] = lambda table, file, where: None
    orders: Callable[[dict, Any], Sequence[int] | AnyArray] | None = None
    orders_of: Callable[[dict], list[int]] | None = None
    from_fit: frozenset[str] = field(default=frozenset())
    scales: Callable[[dict], tuple[float, ...] | None] = lambda table: None
    with_fewer: Callable[[dict, tuple[int, ...]], dict] = lambda table, species: table


def whole_from(least: int) -> Check:
    """Check of a whole number."""
    return lambda value, file, where: checked_whole(value, least, file, where)


def anything(value: Any, file: str, where: str) -> None:
    """No check: of what is checked with the whole table."""


def one_of(names: Any) -> Check:
    """Check of a name."""
    def check(value, file, where):
        if value not in names:
            raise FormatError(f"expected one of {', '.join(names)}; got {value!r}", file=file, field=where)

    return check


def has_weights(table: dict, file: str, where: str) -> None:
    """Check that a largest number of weights belongs to a readout that has weights."""
    if "max_weights" in table and table.get("readout") not in TRAINABLE:
        message = f"max_weights: expected a readout of {', '.join(TRAINABLE)}; a Gaussian process has sparse_points"
        raise FormatError(message, file=file, field=where)


def too_many(table: dict, elements: int) -> DataError:
    """Error of a table whose smallest set of functions has more weights than it may."""
    return DataError(
        f"{table['descriptor']}: no set of functions of {elements} elements has as few as max_weights = "
        f"{table['max_weights']} weights: expected a larger number, or fewer elements"
    )


def true_or_false(value: Any, file: str, where: str) -> None:
    """Check of a switch."""
    if not isinstance(value, bool):
        raise FormatError(f"expected true or false, got {value!r}", file=file, field=where)


def numbers(*counts: int) -> Check:
    """Check of positive numbers: one of these counts of them, or a single one without brackets."""
    def check(value, file, where):
        values = value if isinstance(value, list) else [value]
        if len(values) not in counts:
            expected = " or ".join(map(str, counts))
            raise FormatError(f"expected {expected} numbers, got {values}", file=file, field=where)
        for one in values:
            checked_number(one, file, where)

    return check

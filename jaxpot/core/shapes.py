"""Shapes of arrays that must fit one another, such as the matrices of a network, and widths of layers."""

from collections.abc import Sequence

from jaxpot.core.numbers import as_whole
from jaxpot.errors import DataError
from jaxpot.typing import Array


def check_shapes(owner: str, *arrays: tuple[str, Array, tuple[int, ...]]) -> None:
    """Refuse arrays of other shapes than those expected.

    Args:
        owner: whose arrays they are, for the message.
        arrays: (name, array, expected shape) of each.

    Raises:
        DataError: names the first that does not fit, its shape, and the one expected.
    """
    for name, array, expected in arrays:
        if array.shape != expected:
            raise DataError(
                f"{owner}: {name}: expected an array of shape {expected}, got {array.shape}: matrices are (inputs, "
                "outputs), and layers must fit one another"
            )


def only_width(owner: str, name: str, widths: Sequence[int]) -> int:
    """Number in a sequence of one: the width of networks that have a single one where others have several.

    Raises:
        DataError: no number, several, or one that is not whole and positive.
    """
    if len(widths) != 1:
        raise DataError(f"{owner}: {name}: expected one whole number in a tuple, as (32,), got {tuple(widths)}")
    return as_whole(widths[0], f"{owner}: {name}", 1, 10**6)

"""Where a network reads values beyond those it was trained on."""

from dataclasses import dataclass

import numpy as np

from jaxpot.checks import check_potential, prepare_padded
from jaxpot.data.descriptor_vectors import vectors_of
from jaxpot.errors import DataError
from jaxpot.potentials.base import Potential, terms_of
from jaxpot.potentials.described import Described
from jaxpot.readouts.neural import Neural
from jaxpot.typing import StructureLike


@dataclass(frozen=True)
class Extrapolation:
    """One component of the descriptor of one atom that lies beyond the range of the training data."""

    atom: int
    function: str
    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"atom {self.atom}: {self.function} is {self.value:.6g}, trained on {self.lower:.6g} to {self.upper:.6g}"


def extrapolations(potential: Potential, structure: StructureLike) -> list[Extrapolation]:
    """Values that the networks of a potential read beyond the range of their training data.

    What n2p2 counts as extrapolation warnings: the network has seen nothing there.

    Args:
        potential: with networks whose range is known (n2p2's folders, and fits).
        structure: `Structure` or `ase.Atoms`.

    Returns:
        A list of `Extrapolation` (atom, function, value, lower, upper), atoms ascending.

    Raises:
        DataError: no network with a range is in the potential.
    """
    check_potential(potential)
    terms = [term for term in terms_of(potential) if isinstance(term, Described)]
    pairs = [(term.descriptor, term.readout) for term in terms if isinstance(term.readout, Neural)]
    pairs = [pair for pair in pairs if pair[1].lower is not None and pair[1].upper is not None]
    if not pairs:
        raise DataError(f"{potential!r} has no network of which the range of the training data is known")
    _, (_, structure, neighbors) = prepare_padded(potential, structure, None)
    found, centers = [], np.asarray(neighbors.centers)
    for descriptor, readout in pairs:
        vectors, weights = map(np.asarray, vectors_of(descriptor, structure, neighbors))
        lower, upper = np.array(readout.lower), np.array(readout.upper)
        rounding = 1e-12 * (upper - lower)
        beyond = (vectors < lower - rounding) | (vectors > upper + rounding)
        for row, instance, k in np.argwhere(beyond & (weights != 0.0)[:, :, None]).tolist():
            name = _name(descriptor, k)
            value = float(vectors[row, instance, k])
            found.append(Extrapolation(int(centers[row]), name, value, float(lower[k]), float(upper[k])))
    return sorted(found, key=lambda entry: entry.atom)


def _name(descriptor, k):
    functions = getattr(descriptor, "functions", None)
    return f"component {k + 1}" if functions is None else f"function {k + 1}, {functions[k]}"


"""What is done about potentials whose higher derivatives jump."""

import warnings
from collections.abc import Sequence

import jax
import numpy as np

from jaxpot.checks import checked_neighbors
from jaxpot.core.graph import connect
from jaxpot.core.precision import is_traced
from jaxpot.core.structure import Structure
from jaxpot.errors import JaxpotWarning
from jaxpot.potentials.base import Potential, terms_of
from jaxpot.potentials.eam import EAM
from jaxpot.potentials.glue import Glue
from jaxpot.potentials.meam import MEAM
from jaxpot.properties.coordinates import frozen

ANALYTIC = 3  # continuous derivatives that a potential must have for its third derivatives to be used

# By the number of continuous derivatives: what is the first not to be continuous.
_JUMPS = {-1: "energies", 0: "forces", 1: "second derivatives (force constants)"}


def warn_of_kinks(potential: Potential, structure: Structure, strain: float, consequence: str, stacklevel: int) -> None:
    """Warn, by neighbour shell, where differences over this strain cross a kink of the potential."""
    name = type(potential).__name__
    if potential.kinks is None:
        what = _JUMPS.get(potential.smoothness, f"derivatives of order {potential.smoothness + 1}")
        reason = f"{what} of this {name} jump, at its cutoff or between the points of its tables"
    else:
        near = shells_near(potential, structure, strain)
        if not near:
            return
        shells = ", ".join(f"{r:.5g} A (of {kink:.5g} A)" for r, kink in near)
        reason = f"{name} has a kink within a strain of {strain:.2g} of the neighbours at {shells}"
    remedy = how_to_smooth(potential)
    warnings.warn(f"{reason}: {consequence}{remedy and f'; {remedy}'}", JaxpotWarning, stacklevel=stacklevel + 1)


def step_between_kinks(
    potential: Potential, structure: Structure, steps: Sequence[float], times: float, consequence: str, stacklevel: int
) -> float:
    """The first of some steps at which no neighbour crosses a kink over so many times the step; else, warned of, the
    first of all.

    Between its kinks a potential is as good as analytic, and differences by small strains are derivatives.

    Args:
        consequence, stacklevel: of the warning, see `warn_of_kinks`.
    """
    if potential.kinks is not None:
        for step in steps:
            if not shells_near(potential, structure, times * step):
                return step
    warn_of_kinks(potential, structure, times * steps[0], consequence, stacklevel + 1)
    return steps[0]


def how_to_smooth(potential: Potential) -> str:
    """Words that say how to make the tables of a potential smooth; "" where `smoothed` does not apply."""
    terms = list(terms_of(potential))
    if any(isinstance(term, MEAM) for term in terms) or not any(isinstance(term, EAM | Glue) for term in terms):
        return ""
    return "jp.smoothed(potential), on the command line --smooth, replaces its tables by smooth curves"


def needs_rounding(potential: Potential, structure: Structure) -> bool:
    """Whether second derivatives at a concrete structure hold within less than atoms move (`Potential.rounded`)."""
    if not potential.narrow:
        return False
    with jax.ensure_compile_time_eval():
        structure = frozen(structure)
        return bool(_at(potential, structure, checked_neighbors(potential, structure)))


def warn_of_narrow(potential: Potential, structure: Structure, stacklevel: int) -> None:
    """Warn where second derivatives hold within less than atoms move; nothing of what is traced."""
    if is_traced(potential, structure) or not needs_rounding(potential, structure):
        return
    warnings.warn(
        f"second derivatives of this {type(potential).__name__} are not what atoms feel that move: its energy has "
        f"narrow features here, {potential.narrow}. potential.rounded() is the same model with wider ones",
        JaxpotWarning, stacklevel=stacklevel + 1,
    )


@jax.jit
def _at(potential, structure, listed):
    return potential.needs_rounding(connect(structure, listed))


def shells_near(potential: Potential, structure: Structure, strain: float) -> list[tuple[float, float]]:
    """(distance of a neighbour shell, kink) in A, where a strain of this size takes the one to the other."""
    with jax.ensure_compile_time_eval():  # the structure is known, also under jit over the potential
        structure = frozen(structure)
        listed = checked_neighbors(potential, structure, skin=2.0 * strain * potential.cutoff)
        graph = connect(structure, listed)
        distances = np.unique(np.round(np.asarray(graph.distances)[np.asarray(graph.filled)], 4))
    return [(float(r), kink) for kink in potential.kinks or () for r in distances if abs(r - kink) <= strain * r]

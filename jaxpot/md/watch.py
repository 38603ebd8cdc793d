"""Observers of the uncertainty of a fitted potential for the atoms it meets; they can end a run."""

import numpy as np

from jaxpot.core.numbers import as_positive
from jaxpot.core.structure import Structure
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.observers import Observer
from jaxpot.md.state import State
from jaxpot.observables import site_energies
from jaxpot.potentials.posterior import Posterior
from jaxpot.uncertainty.extrapolation import ActiveSet
from jaxpot.uncertainty.site_variance import VariancePotential


class Watch(Observer):
    """Base: keeps the largest number of any atom, and which atom has it; subclasses say which number.

    `known` is the last state whose numbers were all below `stop_above`, None before the first.

    Args:
        every: steps.
        stop_above: a run ends at the look that finds more than this; None: never.
    """

    name: str  # of the number, for messages

    def __init__(self, every: int = 20, stop_above: float | None = None) -> None:
        super().__init__(every)
        self.stop_above = None if stop_above is None else as_positive(stop_above, "stop_above")
        self.known: State | None = None

    def settings(self) -> tuple:
        return (*super().settings(), self.stop_above)

    def numbers(self, structure: Structure) -> np.ndarray:
        """The number of each atom, (n,)."""
        raise NotImplementedError(type(self).__name__)  # a subclass's duty

    def look(self, dynamics: Dynamics, state: State) -> str | None:
        numbers = np.asarray(self.numbers(state.structure))
        worst = int(numbers.argmax())
        self.rows.append(np.array([float(state.step), numbers[worst], worst]))
        if self.stop_above is not None and not numbers[worst] <= self.stop_above:
            return f"{self.name} of atom {worst} is {numbers[worst]:.4g}, above {self.stop_above:.4g}"
        self.known = state
        return None

    @property
    def table(self) -> dict[str, np.ndarray]:
        """Column name -> (rows,): step, largest number, its atom."""
        rows = np.array(self.rows, float).reshape(-1, 3).T
        return {"step": rows[0].astype(int), "largest": rows[1], "atom": rows[2].astype(int)}


class SiteDeviation(Watch):
    """Standard deviation of site energies, eV, parametric and residual.

    Args:
        posterior: `Posterior` of the weights of Gaussian processes (`fit(...).posterior`).
        every, stop_above: as of `Watch`; eV.
    """

    name = "the standard deviation (eV)"

    def __init__(self, posterior: Posterior, every: int = 20, stop_above: float | None = None) -> None:
        super().__init__(every, stop_above)
        self.variance = VariancePotential.of(posterior)

    def numbers(self, structure: Structure) -> np.ndarray:
        return np.sqrt(np.asarray(site_energies(self.variance, structure)))


class ExtrapolationGrade(Watch):
    """The extrapolation grade of each atom: up to 1 within what the training environments span.

    Args:
        active_set: `ActiveSet`.
        every, stop_above: as of `Watch`; 2 is a common choice.
    """

    name = "the extrapolation grade"

    def __init__(self, active_set: ActiveSet, every: int = 20, stop_above: float | None = None) -> None:
        super().__init__(every, stop_above)
        self.active_set = active_set

    def numbers(self, structure: Structure) -> np.ndarray:
        return self.active_set.grades(structure)

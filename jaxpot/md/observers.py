"""Observers: quantities recorded while a simulation runs.

An observer has `every`, the number of steps between two looks, and

    begin(dynamics, state)    before the first look of a new run
    look(dynamics, state)     now and then; a sentence, if the run is to end here
    mark()                    a tree of arrays from which `go_on` continues: what a checkpoint keeps
    go_on(mark)               after an interruption; files are cut back to where they were

It sees the states at multiples of `every`, the first one included, each once, whatever happens in between.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.errors import DataError
from jaxpot.md.curves import (
    Diffusion,
    Displacement,
    PairDistribution,
    Spectrum,
    correlation,
    diffusion,
    diffusion_coefficients,
    displacement,
    displacements,
    mean_distribution,
    pair_distribution,
    paths_without_drift,
    spectrum,
)
from jaxpot.md.dynamics import Dynamics
from jaxpot.md.files import AppendOnly
from jaxpot.md.state import State
from jaxpot.typing import AnyArray, FilePath
from jaxpot.units import GPa, ps

THERMO = (
    "step", "time_ps", "temperature_K", "potential_eV", "kinetic_eV", "total_eV", "conserved_eV", "pressure_GPa",
    "volume_A3",
)


class Observer:
    """Base: keeps rows of numbers, each `row(dynamics, state)`; may write to an `AppendOnly` file."""

    file: AppendOnly | None = None

    def __init__(self, every: int) -> None:
        self.every = as_whole(every, "every", 1, 10**12)
        self.rows: list[np.ndarray] = []

    def settings(self) -> tuple:
        """Description in words and numbers: a run with other observers is another run."""
        return (type(self).__name__, self.every)

    @property
    def files(self) -> tuple:
        """Files that it writes to."""
        return () if self.file is None else (self.file,)

    def begin(self, dynamics: Dynamics, state: State) -> None:
        """Begin without rows."""
        self.rows = []

    def look(self, dynamics: Dynamics, state: State) -> str | None:
        """Record a row."""
        self.rows.append(jax.tree.map(np.asarray, self.row(dynamics, state)))
        return None

    def row(self, dynamics: Dynamics, state: State) -> AnyArray:
        """The numbers of one look."""
        raise NotImplementedError(type(self).__name__)  # a subclass's duty

    def mark(self) -> dict[str, Any]:
        """The rows so far, for a checkpoint."""
        return {"rows": np.array(self.rows, float)}

    def go_on(self, mark: dict[str, Any]) -> None:
        """Restore the rows of a checkpoint."""
        self.rows = list(np.asarray(mark["rows"]))


class Thermo(Observer):
    """Temperature, energies, pressure, volume: `.table` (name -> array), and lines of a file.

    Args:
        every: steps.
        path: of a table in text, with a heading; None: no file.
    """

    def __init__(self, every: int = 100, path: FilePath | None = None) -> None:
        super().__init__(every)
        self.file = None if path is None else AppendOnly(path)

    def begin(self, dynamics: Dynamics, state: State) -> None:
        super().begin(dynamics, state)
        if self.file is not None:
            self.file.create("# " + " ".join(THERMO) + "\n")

    def look(self, dynamics: Dynamics, state: State) -> None:
        row = np.asarray(_thermo(dynamics, state), float)
        self.rows.append(row)
        if self.file is not None:
            self.file.append(f"{int(row[0])} " + " ".join(f"{x:.10g}" for x in row[1:]) + "\n")

    @property
    def table(self) -> dict[str, np.ndarray]:
        """Column name -> (rows,)."""
        columns = np.array(self.rows, float).reshape(-1, len(THERMO)).T
        return dict(zip(THERMO, columns, strict=True))

    def mark(self) -> dict[str, Any]:
        found = super().mark()
        return found if self.file is None else found | {"end": self.file.end()}

    def go_on(self, mark: dict[str, Any]) -> None:
        super().go_on(mark)
        if self.file is not None:
            self.file.cut(int(mark["end"]))


@jax.jit
def _thermo(dynamics, state):
    kinetic = state.kinetic_energy
    return jnp.stack([
        state.step, state.step * dynamics.time_step / ps, state.temperature, state.energy, kinetic,
        state.energy + kinetic, dynamics.conserved(state), state.pressure / GPa, state.structure.volume,
    ])


class MeanSquareDisplacement(Observer):
    """Mean square displacements of atoms, and diffusion coefficients.

    msd(t) = mean over atoms and origins of |r(t0 + t) - r(t0)|^2, the drift of the centre of mass left out, and what
    atoms move with a cell that changes; D = d msd / dt / 6.

    Args:
        every: steps.
    """

    def begin(self, dynamics: Dynamics, state: State) -> None:
        super().begin(dynamics, state)
        structure = state.structure
        self.interval, self.masses = self.every * float(dynamics.time_step), np.asarray(structure.masses)
        self.numbers, self.pbc = np.asarray(structure.numbers), structure.pbc

    def row(self, dynamics: Dynamics, state: State) -> np.ndarray:
        """Positions (n, 3), and the cell (3, 3)."""
        return np.concatenate([state.structure.positions, state.structure.cell])

    def mark(self) -> dict[str, Any]:
        return super().mark() | {
            "interval": self.interval, "masses": self.masses, "numbers": self.numbers, "pbc": np.array(self.pbc)
        }

    def go_on(self, mark: dict[str, Any]) -> None:
        super().go_on(mark)
        self.interval, self.masses = float(mark["interval"]), np.asarray(mark["masses"])
        self.numbers, self.pbc = np.asarray(mark["numbers"]), tuple(np.asarray(mark["pbc"]).tolist())

    def paths(self) -> np.ndarray:
        """Paths of the atoms from the first look on, without drift, (t, n, 3) A."""
        rows = np.array(self.rows, float)
        return paths_without_drift(displacements(rows[:, :-3], rows[:, -3:], self.pbc, False), self.masses)

    def displacement(self) -> Displacement:
        """`md.curves.Displacement`: the curve of all atoms and those of each element."""
        return displacement(self.paths(), self.numbers, self.interval)

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Times (m,) in internal units (divide by `units.ps`) and msd (m,) A^2."""
        whole = self.displacement()
        return whole.times, whole.total

    def coefficients(self, blocks: int = 5) -> tuple[dict[str, Diffusion], tuple[str, ...]]:
        """Diffusion coefficients of all atoms and of each element, and sentences (`curves.diffusion_coefficients`).

        Raises:
            DataError: too few looks.
        """
        return diffusion_coefficients(self.paths(), self.numbers, self.interval, blocks)

    def diffusion(self, blocks: int = 5) -> tuple[float, float]:
        """Diffusion coefficient and its standard error from blocks of the run, A^2 per internal unit of time.

        Each block gives the slope of its msd between a tenth and a half of its length.
        """
        whole = diffusion(self.paths(), self.interval, blocks)
        return whole.coefficient, whole.error


class VelocityAutocorrelation(Observer):
    """Velocity autocorrelation, and the vibrational density of states, its transform.

    Args:
        every: steps; the highest frequency is 1 / (2 every time_step).
    """

    def begin(self, dynamics: Dynamics, state: State) -> None:
        super().begin(dynamics, state)
        self.interval, self.numbers = self.every * float(dynamics.time_step), np.asarray(state.structure.numbers)

    def row(self, dynamics: Dynamics, state: State) -> AnyArray:
        return state.velocities * jnp.sqrt(state.masses)

    def mark(self) -> dict[str, Any]:
        return super().mark() | {"interval": self.interval, "numbers": self.numbers}

    def go_on(self, mark: dict[str, Any]) -> None:
        super().go_on(mark)
        self.interval, self.numbers = float(mark["interval"]), np.asarray(mark["numbers"])

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Times (m,) and the mass-weighted correlation, 1 at t = 0, (m,)."""
        whole = correlation(np.array(self.rows))
        return np.arange(len(whole)) * self.interval, whole / whole[0]

    def spectrum(self) -> Spectrum:
        """`md.curves.Spectrum`: the density of states, and what each element has of it."""
        return spectrum(np.array(self.rows), self.numbers, self.interval)

    def density_of_states(self) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies (m,) (divide by `units.THz`) and their density, of integral 1; Hann window over half the run."""
        whole = self.spectrum()
        return whole.frequencies, whole.total


class RadialDistribution(Observer):
    """g(r): pairs at a distance over those of an ideal gas of the same density.

    Args:
        every: steps.
        cutoff: A.
        bins: their number.
    """

    def __init__(self, every: int = 100, cutoff: float = 8.0, bins: int = 200) -> None:
        super().__init__(every)
        self.edges = np.linspace(0.0, as_positive(cutoff, "cutoff"), as_whole(bins, "bins", 1, 10**6) + 1)

    def settings(self) -> tuple:
        return (*super().settings(), float(self.edges[-1]), len(self.edges))

    def begin(self, dynamics: Dynamics, state: State) -> None:
        super().begin(dynamics, state)
        if not all(state.structure.pbc):
            raise DataError(f"g(r) needs a density, periodic along all three axes; got pbc={state.structure.pbc}")
        self.numbers = np.asarray(state.structure.numbers)

    def row(self, dynamics: Dynamics, state: State) -> np.ndarray:
        """g(r) of each ordered pair of elements, (k, k, m)."""
        structure = state.structure
        place = np.asarray(structure.positions), np.asarray(structure.cell)
        return pair_distribution(*place, structure.pbc, np.asarray(structure.numbers), self.edges)

    def mark(self) -> dict[str, Any]:
        return super().mark() | {"numbers": self.numbers}

    def go_on(self, mark: dict[str, Any]) -> None:
        super().go_on(mark)
        self.numbers = np.asarray(mark["numbers"])

    def distribution(self) -> PairDistribution:
        """`md.curves.PairDistribution`: g(r) of all atoms and of each pair of elements."""
        return mean_distribution(np.mean(self.rows, axis=0), self.numbers, self.edges)

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Middles of the bins (m,) A and the mean of g (m,)."""
        whole = self.distribution()
        return whole.distances, whole.total

"""What is looked at while a simulation runs, and kept.

An observer has `every`, the number of steps between two looks, and

    begin(dynamics, state)    before the first look of a new run
    look(dynamics, state)     now and then; a sentence, if the run is to end here
    mark()                    a tree of arrays from which `go_on` continues: what a checkpoint keeps
    go_on(mark)               after an interruption; files are cut back to where they were

It sees the states at multiples of `every`, the first one included, each once, whatever happens in between.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.graph import connect
from jaxpot.core.neighbors import find_neighbors
from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.errors import DataError
from jaxpot.md.files import AppendOnly
from jaxpot.units import GPa, ps

THERMO = (
    "step", "time_ps", "temperature_K", "potential_eV", "kinetic_eV", "total_eV", "conserved_eV", "pressure_GPa",
    "volume_A3",
)


class Observer:
    """Base: keeps rows of numbers, each `row(dynamics, state)`; may write to an `AppendOnly` file."""

    file = None

    def __init__(self, every):
        self.every = as_whole(every, "every", 1, 10**12)
        self.rows = []

    def settings(self):
        """What it is, in words and numbers: a run with other observers is another run."""
        return (type(self).__name__, self.every)

    @property
    def files(self):
        """What it writes to."""
        return () if self.file is None else (self.file,)

    def begin(self, dynamics, state):
        """Nothing has been seen."""
        self.rows = []

    def look(self, dynamics, state):
        """Keep a row."""
        self.rows.append(jax.tree.map(np.asarray, self.row(dynamics, state)))

    def mark(self):
        """The rows so far."""
        return {"rows": np.array(self.rows, float)}

    def go_on(self, mark):
        """The rows as they were."""
        self.rows = list(np.asarray(mark["rows"]))


class Thermo(Observer):
    """Temperature, energies, pressure, volume: `.table` (name -> array), and lines of a file.

    Args:
        every: steps.
        path: of a table in text, with a heading; None: no file.
    """

    def __init__(self, every=100, path=None):
        super().__init__(every)
        self.file = None if path is None else AppendOnly(path)

    def begin(self, dynamics, state):
        super().begin(dynamics, state)
        if self.file is not None:
            self.file.create("# " + " ".join(THERMO) + "\n")

    def look(self, dynamics, state):
        row = np.asarray(_thermo(dynamics, state), float)
        self.rows.append(row)
        if self.file is not None:
            self.file.append(f"{int(row[0])} " + " ".join(f"{x:.10g}" for x in row[1:]) + "\n")

    @property
    def table(self):
        """Column name -> (rows,)."""
        columns = np.array(self.rows, float).reshape(-1, len(THERMO)).T
        return dict(zip(THERMO, columns, strict=True))

    def mark(self):
        found = super().mark()
        return found if self.file is None else found | {"end": self.file.end()}

    def go_on(self, mark):
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
    """How far atoms have come, and how they diffuse.

    msd(t) = mean over atoms and origins of |r(t0 + t) - r(t0)|^2, the drift of the centre of mass left out;
    D = d msd / dt / 6.

    Args:
        every: steps.
    """

    def begin(self, dynamics, state):
        super().begin(dynamics, state)
        self.interval, self.masses = self.every * float(dynamics.time_step), np.asarray(state.structure.masses)

    def row(self, dynamics, state):
        return state.structure.positions

    def mark(self):
        return {"rows": np.array(self.rows, float), "interval": self.interval, "masses": self.masses}

    def go_on(self, mark):
        super().go_on(mark)
        self.interval, self.masses = float(mark["interval"]), np.asarray(mark["masses"])

    def curve(self):
        """Times (m,) in internal units (divide by `units.ps`) and msd (m,) A^2."""
        paths = np.array(self.rows)
        paths = paths - np.einsum("a,tax->tx", self.masses, paths)[:, None] / self.masses.sum()
        return np.arange(len(paths)) * self.interval, _mean_square(paths)

    def diffusion(self, blocks=5):
        """Diffusion coefficient and its standard error from blocks of the run, A^2 per internal unit of time.

        Each block gives the slope of its msd between a tenth and a half of its length.
        """
        blocks = as_whole(blocks, "blocks", 2, 1000)
        length = len(self.rows) // blocks
        if length < 20:
            raise DataError(f"{len(self.rows)} looks are too few for {blocks} blocks: at least 20 each")
        slopes = []
        for k in range(blocks):
            part = MeanSquareDisplacement(self.every)
            part.rows = self.rows[k * length : (k + 1) * length]
            part.interval, part.masses = self.interval, self.masses
            times, msd = part.curve()
            inner = slice(max(1, length // 10), length // 2)
            slopes.append(np.polyfit(times[inner], msd[inner], 1)[0] / 6.0)
        return float(np.mean(slopes)), float(np.std(slopes, ddof=1) / np.sqrt(blocks))


def _mean_square(paths):
    """Mean over atoms and origins of |r(t0 + t) - r(t0)|^2, (t,), by Fourier transforms."""
    steps = len(paths)
    square = np.sum(paths**2, axis=(1, 2)) / paths.shape[1]
    product = correlation(paths)
    total, found = 2.0 * square.sum(), np.zeros(steps)
    for lag in range(steps):
        if lag:
            total -= square[lag - 1] + square[steps - lag]
        found[lag] = total / (steps - lag) - 2.0 * product[lag]
    return np.maximum(found, 0.0)


def correlation(vectors):
    """Mean over atoms and origins of a(t0) . a(t0 + t), (t,), of (t, n, 3)."""
    steps = len(vectors)
    transformed = np.fft.rfft(vectors, n=2 * steps, axis=0)
    power = np.sum(np.abs(transformed) ** 2, axis=(1, 2)) / vectors.shape[1]
    return np.fft.irfft(power)[:steps] / np.arange(steps, 0, -1)


class VelocityAutocorrelation(Observer):
    """How long atoms remember their velocity, and the vibrational density of states that this is the transform of.

    Args:
        every: steps; the highest frequency is 1 / (2 every time_step).
    """

    def begin(self, dynamics, state):
        super().begin(dynamics, state)
        self.interval = self.every * float(dynamics.time_step)

    def row(self, dynamics, state):
        return state.velocities * jnp.sqrt(state.masses)

    def mark(self):
        return super().mark() | {"interval": self.interval}

    def go_on(self, mark):
        super().go_on(mark)
        self.interval = float(mark["interval"])

    def curve(self):
        """Times (m,) and the mass-weighted correlation, 1 at t = 0, (m,)."""
        found = correlation(np.array(self.rows))
        return np.arange(len(found)) * self.interval, found / found[0]

    def density_of_states(self):
        """Frequencies (m,) (divide by `units.THz`) and their density, of integral 1; Hann window over half the run."""
        times, found = self.curve()
        half = max(2, len(found) // 2)
        shown = found[:half] * (0.5 + 0.5 * np.cos(np.pi * np.arange(half) / half))
        density = np.abs(np.fft.rfft(np.concatenate([shown, shown[:0:-1]])).real)
        frequencies = np.fft.rfftfreq(2 * half - 1, self.interval)
        return frequencies, density / (density.sum() * (frequencies[1] - frequencies[0]))


class RadialDistribution(Observer):
    """g(r): pairs at a distance over those of an ideal gas of the same density.

    Args:
        every: steps.
        cutoff: A.
        bins: their number.
    """

    def __init__(self, every=100, cutoff=8.0, bins=200):
        super().__init__(every)
        self.edges = np.linspace(0.0, as_positive(cutoff, "cutoff"), as_whole(bins, "bins", 1, 10**6) + 1)

    def settings(self):
        return (*super().settings(), float(self.edges[-1]), len(self.edges))

    def begin(self, dynamics, state):
        super().begin(dynamics, state)
        if not all(state.structure.pbc):
            raise DataError(f"g(r) needs a density, periodic along all three axes; got pbc={state.structure.pbc}")

    def row(self, dynamics, state):
        listed = find_neighbors(state.structure, float(self.edges[-1]))
        graph = connect(state.structure, listed)
        distances = np.asarray(graph.distances)[np.asarray(graph.filled) & np.asarray(graph.real)[:, None]]
        found, _ = np.histogram(distances, self.edges)
        n = len(state.structure)
        shells = 4.0 / 3.0 * np.pi * np.diff(self.edges**3)
        return found / (n * shells * n / float(state.structure.volume))

    def curve(self):
        """Middles of the bins (m,) A and the mean of g (m,)."""
        return 0.5 * (self.edges[1:] + self.edges[:-1]), np.mean(self.rows, axis=0)

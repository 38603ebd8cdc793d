"""Curves that trajectories are looked at by: pair distances, displacements, vibrations. NumPy, of arrays of frames.

Observers (`md.observers`) make them while a run goes on, `md.analyse` of frames that were written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.neighbors import find_pairs, periodic_cell
from jaxpot.core.numbers import as_whole
from jaxpot.errors import DataError
from jaxpot.typing import AnyArray

LEAST = 20  # frames of a block
LINEAR = 0.7  # r^2
_FAR = 1.0  # A; atoms of crystals vibrate by less
_ROOM = 4_000_000  # numbers that are transformed at once


@dataclass(frozen=True)
class PairDistribution:
    """The radial distribution function.

    Attributes:
        distances: (m,) A, the middles of the bins.
        total: (m,) g(r) of all atoms.
        partial: "A-B" -> (m,) g_AB(r), for each pair of elements.
    """

    distances: np.ndarray
    total: np.ndarray
    partial: dict


@dataclass(frozen=True)
class Displacement:
    """The mean square displacement.

    Attributes:
        times: (m,) in internal units (divide by `units.ps`).
        total: (m,) A^2, mean over all atoms.
        by_element: symbol -> (m,) A^2.
    """

    times: np.ndarray
    total: np.ndarray
    by_element: dict


@dataclass(frozen=True)
class Diffusion:
    """A diffusion coefficient.

    Attributes:
        coefficient: A^2 per internal unit of time (divide by `units.cm2_per_s`).
        error: its standard error, from blocks.
        linearity: share of the variation of the msd that a straight line explains where the slope is taken, r^2: near 1
            where atoms diffuse, near 0 where they vibrate about their sites.
        reach: A, root mean square displacement at the end of that time.
    """

    coefficient: float
    error: float
    linearity: float
    reach: float

    @property
    def linear(self) -> bool:
        """Whether the msd grows as a straight line does; otherwise a slope is none of diffusion."""
        return self.linearity > LINEAR


@dataclass(frozen=True)
class Spectrum:
    """The vibrational density of states, from velocities.

    Attributes:
        frequencies: (m,) cycles per internal unit of time (divide by `units.THz`).
        total: (m,) density, of integral 1.
        by_element: symbol -> (m,) its share; shares add up to the total, but for noise.
    """

    frequencies: np.ndarray
    total: np.ndarray
    by_element: dict


def elements(numbers: AnyArray) -> list[int]:
    """Atomic numbers that occur, ascending, as a list."""
    return np.unique(np.asarray(numbers)).tolist()


def pair_distribution(
    positions: np.ndarray, cell: np.ndarray, pbc: Sequence[bool], numbers: AnyArray, edges: np.ndarray
) -> np.ndarray:
    """g_ab(r) of one frame, for ordered pairs of elements.

        g_ab(r) = (pairs of a and b in the shell) V / (N_a N_b 4/3 pi (r_2^3 - r_1^3))

    Args:
        positions: (n, 3) A; cell: (3, 3) A; pbc: three booleans, all of them True; numbers: (n,); edges: (m + 1,) A.

    Returns:
        (k, k, m), with the elements in the order of `elements`.
    """
    kinds, index = np.unique(numbers, return_inverse=True)
    k, bins = len(kinds), len(edges) - 1
    centers, others, _, distances = find_pairs(np.asarray(positions, float), cell, pbc, float(edges[-1]))
    pair = index[centers] * k + index[others]
    counts = np.array([np.histogram(distances[pair == p], edges)[0] for p in range(k * k)]).reshape(k, k, bins)
    atoms = np.bincount(index, minlength=k)
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    return counts * abs(np.linalg.det(cell)) / (atoms[:, None, None] * atoms[:, None] * shells)


def mean_distribution(tables: np.ndarray, numbers: AnyArray, edges: np.ndarray) -> PairDistribution:
    """`PairDistribution` of the mean of what `pair_distribution` returns, (k, k, m)."""
    kinds, atoms = np.unique(numbers, return_counts=True)
    share = atoms / atoms.sum()
    names = [symbol(int(z)) for z in kinds]
    partial = {
        f"{names[a]}-{names[b]}": tables[a, b] for a, b in combinations_with_replacement(range(len(kinds)), 2)
    }
    return PairDistribution(0.5 * (edges[1:] + edges[:-1]), np.einsum("a,b,abm->m", share, share, tables), partial)


def first_minimum(distances: np.ndarray, values: np.ndarray) -> float | None:
    """Distance (A) of the first minimum of g(r) after its first peak; None without one.

    Noise is smoothed over 0.05 A; a peak ends where g has fallen by a fifth of it, a minimum where it has risen again
    by a twentieth of that fall. Of a gap between shells it is the middle.
    """
    step = distances[1] - distances[0] if len(distances) > 1 else 1.0
    reach = np.arange(-int(0.2 / step), int(0.2 / step) + 1)
    weights = np.exp(-0.5 * (reach * step / 0.05) ** 2)
    padded = np.pad(values, len(reach) // 2, mode="edge")
    smooth = np.convolve(padded, weights / weights.sum(), mode="valid")
    top = low = None
    for k, value in enumerate(smooth):
        if top is None or (low is None and value > smooth[top]):
            top = k
        elif low is None and value < 0.8 * smooth[top] and smooth[top] > 1.0:
            low = k
        elif low is not None:
            fall = smooth[top] - smooth[low]
            if value < smooth[low]:
                low = k
            elif value > smooth[low] + max(0.05 * fall, 0.02):
                flat = np.arange(top, k)[smooth[top:k] <= smooth[low] + 0.002 * fall]
                return float(distances[flat].mean())
    return None


def displacements(positions: np.ndarray, cells: np.ndarray, pbc: Sequence[bool], wrapped: bool) -> np.ndarray:
    """Paths of atoms from the first frame on, (t, n, 3) A, without the motion of the cell.

        r_k+1 = r_k + (s_k+1 - s_k) (h_k + h_k+1) / 2,    s: fractional coordinates, h: cells

    of the nearest image where positions are wrapped: in a cell that is constant, plain differences.

    Args:
        positions: (t, n, 3) A; cells: (t, 3, 3) A; pbc: three booleans.
        wrapped: whether atoms that leave the cell come back on its other side.

    References:
        S. von Buelow, J. T. Bullerjahn, G. Hummer, J. Chem. Phys. 153, 021101 (2020): of a cell that changes, images
        are chosen step by step.
    """
    boxes = np.array([periodic_cell(cell, pbc) for cell in cells])
    moves = np.diff(fractional(positions, boxes), axis=0)
    if wrapped:
        moves -= np.where(pbc, np.round(moves), 0.0)
    paths = np.zeros_like(positions)
    np.cumsum(moves @ (0.5 * (boxes[1:] + boxes[:-1])), axis=0, out=paths[1:])
    return paths


def fractional(positions: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Positions (t, n, 3) in units of the vectors of boxes (t, 3, 3)."""
    return positions @ np.linalg.inv(boxes)


def paths_without_drift(paths: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Paths (t, n, 3) less that of the centre of mass."""
    return paths - np.einsum("a,tax->tx", masses, paths)[:, None] / masses.sum()


def mean_square(paths: np.ndarray) -> np.ndarray:
    """Mean over atoms and origins of |r(t0 + t) - r(t0)|^2, (t,), of (t, n, 3), by Fourier transforms."""
    steps = len(paths)
    paths = paths - paths[0]
    square = np.sum(paths**2, axis=(1, 2)) / paths.shape[1]
    ends = np.concatenate([[0.0], np.cumsum(square[:-1] + square[:0:-1])])
    lags = np.arange(steps)
    return np.maximum((2.0 * square.sum() - ends) / (steps - lags) - 2.0 * correlation(paths), 0.0)


def correlation(vectors: np.ndarray) -> np.ndarray:
    """Mean over atoms and origins of a(t0) . a(t0 + t), (t,), of (t, n, 3)."""
    steps, atoms = vectors.shape[:2]
    share = max(1, _ROOM // (2 * 3 * steps))
    power = np.zeros(steps + 1)
    for first in range(0, atoms, share):
        transformed = np.fft.rfft(vectors[:, first : first + share], n=2 * steps, axis=0)
        power += np.sum(np.abs(transformed) ** 2, axis=(1, 2))
    return np.fft.irfft(power / atoms)[:steps] / np.arange(steps, 0, -1)


def displacement(paths: np.ndarray, numbers: AnyArray, interval: float) -> Displacement:
    """`Displacement` of paths (t, n, 3) without drift, at intervals in internal units."""
    by_element = {symbol(z): mean_square(paths[:, np.asarray(numbers) == z]) for z in elements(numbers)}
    return Displacement(np.arange(len(paths)) * interval, mean_square(paths), by_element)


def diffusion(paths: np.ndarray, interval: float, blocks: int = 5) -> Diffusion:
    """`Diffusion` of paths (t, n, 3) without drift: msd = 6 D t.

    Each block of the run gives the slope of its msd, by least squares, between a tenth and a half of its length; the
    coefficient is their mean, its error the standard error of that. The finite size of the cell is not corrected for
    (I.-C. Yeh, G. Hummer, J. Phys. Chem. B 108, 15873 (2004)).

    References:
        A. Einstein, Ann. Phys. 322, 549 (1905). D. Frenkel, B. Smit, Understanding Molecular Simulation (2002),
        section 4.4.1. H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989) (blocks).

    Raises:
        DataError: blocks of fewer than 20 frames.
    """
    blocks = as_whole(blocks, "blocks", 2, 1000)
    length = len(paths) // blocks
    if length < LEAST:
        raise DataError(f"{len(paths)} looks are too few for {blocks} blocks: at least {LEAST} each")
    parts = [mean_square(paths[k * length : (k + 1) * length]) for k in range(blocks)]
    inner = np.arange(max(1, length // 10), length // 2)
    slopes = np.array([np.polyfit(inner * interval, part[inner], 1)[0] / 6.0 for part in parts])
    mean = np.mean(parts, axis=0)[inner]
    rising = np.corrcoef(inner, mean)[0, 1] if np.ptp(mean) > 0.0 else 0.0
    error = float(slopes.std(ddof=1) / np.sqrt(blocks))
    return Diffusion(float(slopes.mean()), error, float(max(rising, 0.0) ** 2), float(np.sqrt(mean[-1])))


def diffusion_coefficients(
    paths: np.ndarray, numbers: AnyArray, interval: float, blocks: int = 5
) -> tuple[dict[str, Diffusion], tuple[str, ...]]:
    """`Diffusion` of "all" atoms and of each of several elements, by symbol, with sentences of caution.

    Returns:
        Those whose msd is linear, a dict; and sentences: which are left out, and which atoms have not come far.

    Raises:
        DataError: too few frames.
    """
    coefficients, kinds = {"all": diffusion(paths, interval, blocks)}, elements(numbers)
    for z in kinds if len(kinds) > 1 else ():
        coefficients[symbol(z)] = diffusion(paths[:, np.asarray(numbers) == z], interval, blocks)
    linear = {name: d for name, d in coefficients.items() if d.linear}
    bent = [f"{name} (r² = {d.linearity:.2f})" for name, d in coefficients.items() if not d.linear]
    near = [f"{name} ({d.reach:.2g} A)" for name, d in linear.items() if d.reach < _FAR]
    said = []
    if bent:
        said.append(
            f"the mean square displacement does not grow as a straight line: {', '.join(bent)}; atoms vibrate about "
            "their sites, or the run is too short to see them diffuse"
        )
    if near:
        said.append(
            f"atoms have not come far where the slope is taken: {', '.join(near)}; this may be vibration, and not yet "
            "diffusion"
        )
    return linear, tuple(said)


def density_of_states(correlated: np.ndarray, interval: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (m,) and the transform of correlations (j, t), (j, m), not normalised; Hann window over half of t."""
    half = max(2, correlated.shape[1] // 2)
    shown = correlated[:, :half] * (0.5 + 0.5 * np.cos(np.pi * np.arange(half) / half))
    density = np.abs(np.fft.rfft(np.concatenate([shown, shown[:, :0:-1]], axis=1), axis=1).real)
    return np.fft.rfftfreq(2 * half - 1, interval), density


def spectrum(vectors: np.ndarray, numbers: AnyArray, interval: float) -> Spectrum:
    """`Spectrum` of mass-weighted velocities sqrt(m) v, (t, n, 3), at intervals in internal units.

        density(f) ~ integral sum_i m_i <v_i(0) . v_i(t)> cos(2 pi f t) dt

    References:
        J. M. Dickey, A. Paskin, Phys. Rev. 188, 1407 (1969).
    """
    numbers = np.asarray(numbers)
    kinds = elements(numbers)
    parts = np.array([correlation(vectors[:, numbers == z]) * np.mean(numbers == z) for z in kinds])
    frequencies, density = density_of_states(np.concatenate([parts.sum(0)[None], parts]), interval)
    whole = density[0].sum() * (frequencies[1] - frequencies[0])
    density = density / (whole if whole > 0.0 else 1.0)
    return Spectrum(frequencies, density[0], {symbol(z): d for z, d in zip(kinds, density[1:], strict=True)})

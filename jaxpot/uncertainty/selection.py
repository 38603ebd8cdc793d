"""Selection of frames whose computation would tell a posterior most."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxpot.checks import prepare_padded
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.fitting.linear.rows import design_rows
from jaxpot.potentials.base import Sum
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import StructureLike
from jaxpot.uncertainty.conditioning import shrinking
from jaxpot.uncertainty.linear_terms import checked_terms
from jaxpot.uncertainty.propagation import Propagated, slope_rows


def observed_frame(posterior: Posterior, structure: StructureLike, sigmas: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Observations that computing a frame would give: slopes of energy and forces by z, (1 + 3 n, R), and their sigmas.

    Args:
        posterior: `Posterior` of weights that the energy is linear in.
        structure: `Structure` or `ase.Atoms`.
        sigmas: kind -> standard deviation; by default those of the posterior.
    """
    terms = [term for term, _ in checked_terms(posterior, "frames are weighed")]
    sigmas = posterior.sigmas if sigmas is None else sigmas
    if not {"energy", "forces"} & set(sigmas):
        raise DataError(
            "frames are weighed against the noise of their labels, which this posterior does not know: "
            "posterior.replace(sigmas={\"energy\": 0.001, \"forces\": 0.05}) gives it, in eV/atom and eV/A"
        )
    n, (_, structure, neighbors) = prepare_padded(posterior.potential, structure, None)
    rows = design_rows(Sum.or_one(terms), structure, neighbors, False)
    parts: list[np.ndarray] = []
    noise: list[np.ndarray | list[float]] = []
    if "energy" in sigmas:
        parts.append(np.asarray(rows.energy)[None])
        noise.append([sigmas["energy"] * np.sqrt(n)])
    if "forces" in sigmas:
        parts.append(np.asarray(rows.forces)[:n].reshape(3 * n, -1))
        noise.append(np.full(3 * n, sigmas["forces"]))
    return np.concatenate(parts) @ np.asarray(posterior.factor), np.concatenate(noise)


def select_frames(
    posterior: Posterior, target: Propagated | None, candidates: Sequence[StructureLike], count: int,
    progress: Callable[..., None] | None = None
) -> tuple[list[int], np.ndarray]:
    """The frames whose computation would most reduce the bar of a property, one after the other.

    var(q | frame) = s^T (1 + B^T B)^-1 s,  s = dq/dz,  B = slopes of the frame's energy and forces over their sigmas

    No label is needed: what a frame tells of a Gaussian depends on where it is, not on what comes out.

    Args:
        posterior: `Posterior` of weights that the energy is linear in.
        target: `Propagated`, of that posterior; the sum of the variances of its numbers is reduced. None: no
            property in particular; the frames that tell most of all weights, log det(1 + B B^T) / 2, are chosen.
        candidates: structures.
        count: how many to choose.
        progress: called with a sentence.

    Returns:
        (numbers of the frames chosen, in order; the standard deviations left after each, (count, K), or what each
        tells, (count,) nats, without a target).

    Raises:
        DataError: nothing to choose from, or more than there are.
    """
    given = [Structure.of(s) for s in candidates]
    if not 1 <= count <= len(given):
        raise DataError(f"count: expected 1 to {len(given)}, the number of candidates, got {count}")
    slopes, gain = None, _information
    if target is not None:
        slopes, gain = slope_rows(target.slopes), _gain
        slopes = slopes[np.isfinite(slopes).all(1)]
    frames = []
    for k, structure in enumerate(given):
        rows, noise = observed_frame(posterior, structure)
        frames.append(rows / noise[:, None])
        if progress and k % 10 == 9:
            progress(f"rows of {k + 1} of {len(given)} candidates")
    chosen: list[int] = []
    left: list[float | np.ndarray] = []
    for _ in range(count):
        gains = [-1.0 if k in chosen else gain(rows, slopes) for k, rows in enumerate(frames)]
        best = int(np.argmax(gains))
        chosen.append(best)
        shrunk = shrinking(frames[best])
        frames = [shrunk(rows) for rows in frames]
        if slopes is None:
            left.append(gains[best])
        else:
            slopes = shrunk(slopes)
            left.append(np.sqrt((slopes * slopes).sum(1)))
        if progress:
            progress(f"frame {best} tells {gains[best]:.4g} nats" if target is None
                     else f"frame {best}: bar {np.max(left[-1]):.4g} left")
    return chosen, np.array(left)


def _information(rows, _):
    """Information about z in rows with unit noise, in nats."""
    return 0.5 * float(np.linalg.slogdet(np.eye(len(rows)) + rows @ rows.T)[1])


def _gain(rows, slopes):
    """By how much the variances of S z fall, in sum, when rows z are observed with unit noise."""
    shared = rows @ slopes.T
    return float(np.sum(shared * np.linalg.solve(np.eye(len(rows)) + rows @ rows.T, shared)))

"""Quintic splines: C4 curves on knots that need not be uniform, continued as straight lines or as zero.

On knots t_0 < ... < t_n a curve is a sum of B-splines of degree 5, f = sum_k c_k B_k, k = 0 to n + 4. Any numbers c
make a curve with four continuous derivatives, so they are the parameters. Beyond an end five more knots follow, at the
distance of the last two, with coefficients that go on as the last two do: there the curve turns into a straight line,
and keeps its four derivatives. A curve that ends with zero has c = 0 for the last five: value and four derivatives
vanish at t_n, and beyond.

Knots are multiples of a finest step, so that the piece of an abscissa is found by one look-up.

References:
    C. de Boor, A Practical Guide to Splines (1978), chapters IX and X.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.numbers import as_length, as_number
from jaxpot.core.precision import as_float
from jaxpot.core.pytree import Node, put, pytree, static
from jaxpot.errors import DataError
from jaxpot.typing import Array, ArrayField

DEGREE = 5


@pytree
class QuinticSpline(Node):
    """One curve.

    Args:
        coefficients: c, (n + 5,) for n intervals; (n,) where the curve ends with zero.
        start: t_0.
        step: the unit of the breaks.
        breaks: (t_k - t_0) / step, n + 1 ascending whole numbers from 0 on; n > 0.
        ends_with_zero: whether it does, at t_n.
    """

    coefficients: ArrayField
    start: float = static()
    step: float = static()
    breaks: tuple = static()
    ends_with_zero: bool = static(default=False)

    def __post_init__(self):
        put(self, "coefficients", as_float(self.coefficients, "coefficients"))
        put(self, "start", as_number(self.start, "start"))
        put(self, "step", as_length(self.step, "step"))
        put(self, "breaks", tuple(int(b) for b in self.breaks))
        n = len(self.breaks) - 1
        if n < 1 or self.breaks[0] != 0 or (np.diff(self.breaks) < 1).any():
            raise DataError("breaks: expected at least two whole numbers that ascend from 0")
        expected = n if self.ends_with_zero else n + DEGREE
        if self.coefficients.shape != (expected,):
            raise DataError(f"expected {expected} coefficients of {n} intervals, got {self.coefficients.shape}")

    @property
    def end(self) -> float:
        """t_n."""
        return self.start + self.step * self.breaks[-1]

    @property
    def knots(self) -> np.ndarray:
        """t_0 to t_n, a NumPy array."""
        return self.start + self.step * np.array(self.breaks, float)

    def pieces(self) -> Array:
        """Coefficients of all pieces, also beyond the ends, in powers of the place from 0 to 1 in them: (pieces, 6)."""
        layout = _layout(self.breaks, self.ends_with_zero)
        c = self.coefficients
        zeros = jnp.zeros((DEGREE,), c.dtype)
        inner = jnp.concatenate([c, zeros]) if self.ends_with_zero else c
        k = jnp.arange(1.0, DEGREE + 1.0, dtype=c.dtype)
        before = inner[0] - k[::-1] * (inner[1] - inner[0])
        after = zeros if self.ends_with_zero else inner[-1] + k * (inner[-1] - inner[-2])
        every = jnp.concatenate([before, inner, after])
        windows = jnp.stack([every[j : j + len(layout.matrices)] for j in range(DEGREE + 1)], axis=-1)
        return jnp.einsum("pij,pj->pi", jnp.asarray(layout.matrices, c.dtype), windows, precision="highest")


def quintic_values(splines: tuple[QuinticSpline, ...], which: Array, x: Array) -> Array:
    """Values at x of the spline `which` of several.

    Args:
        splines: a tuple of `QuinticSpline`.
        which: index of the spline for each x (int32, within bounds), or one for all.
        x: abscissae.
    """
    layouts = [_layout(spline.breaks, spline.ends_with_zero) for spline in splines]
    cells = np.array([len(layout.piece_of) for layout in layouts])
    pieces = np.cumsum([0, *(len(layout.left) for layout in layouts[:-1])])
    rows = [piece + layout.piece_of for piece, layout in zip(pieces, layouts, strict=True)]

    def of_spline(values, dtype):
        return _look_up(np.array(values, dtype), which) if len(splines) > 1 else np.array(values[0], dtype)

    start = of_spline([s.start + s.step * layout.left[0] for s, layout in zip(splines, layouts, strict=True)], x.dtype)
    inverse = of_spline([1.0 / spline.step for spline in splines], x.dtype)
    place = (x - start) * inverse
    cell = jnp.clip(jax.lax.stop_gradient(place), 0.0, of_spline(cells - 1.0, x.dtype)).astype(jnp.int32)
    index = _look_up(np.concatenate(rows).astype(np.int32), cell + of_spline(np.cumsum(cells) - cells, np.int32))
    left = np.concatenate([layout.left - layout.left[0] for layout in layouts])
    width = np.concatenate([layout.width for layout in layouts])
    p = (place - _look_up(left.astype(x.dtype), index)) * _look_up((1.0 / width).astype(x.dtype), index)
    columns = jnp.concatenate([spline.pieces() for spline in splines]).T
    value = _look_up(columns[DEGREE], index)
    for column in columns[DEGREE - 1 :: -1]:
        value = _look_up(column, index) + p * value
    return value


def design(breaks: tuple[int, ...], places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B-splines at places (in steps) between the ends: the first of the six that are not zero there, and these.

    Args:
        breaks: as of `QuinticSpline`.
        places: (m,) from 0 to the last break.

    Returns:
        (m,) int: number k of the first coefficient; (m, 6) values of B_k to B_{k+5}, and their slopes. NumPy.
    """
    layout = _layout(tuple(breaks), False)
    edges = np.array(breaks)
    piece = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(edges) - 2)
    width = np.diff(edges)[piece]
    powers = ((places - edges[piece]) / width)[:, None] ** np.arange(DEGREE + 1)
    raised = np.arange(1, DEGREE + 1) * powers[:, :-1] / width[:, None]
    matrices = layout.matrices[piece + DEGREE]
    return piece, np.einsum("mi,mij->mj", powers, matrices), np.einsum("mi,mij->mj", raised, matrices[:, 1:])


def centres(breaks: tuple[int, ...]) -> np.ndarray:
    """The centres of the n + 5 B-splines, in steps: means of their five inner knots. Coefficients that are a linear
    function of these make a straight line. NumPy."""
    knots = _extended(np.array(breaks, float), DEGREE)
    return np.array([knots[k + 1 : k + 1 + DEGREE].mean() for k in range(len(breaks) - 1 + DEGREE)])


class _Layout:
    """Consequences of the breaks: pieces, and the map from coefficients to their polynomials (NumPy).

    left, width: (pieces,) in steps. piece_of: the piece of each step. matrices: (pieces, 6, 6), powers of the place
    from coefficients.
    """

    def __init__(self, breaks, ends_with_zero):
        edges = _extended(np.array(breaks, float), DEGREE)
        self.left, self.width = edges[:-1], np.diff(edges)
        self.piece_of = np.repeat(np.arange(len(self.width)), self.width.astype(int))
        self.matrices = _matrices(_extended(edges, DEGREE))
        for outer in (0, -1):  # straight lines, without what rounding would leave of their higher powers
            self.matrices[outer, 2:] = 0.0
        if ends_with_zero:
            self.matrices[-1] = 0.0


@lru_cache(maxsize=512)
def _layout(breaks, ends_with_zero):
    return _Layout(breaks, ends_with_zero)


def _extended(knots, count):
    """More knots at both ends, at the distances of the last two."""
    k = np.arange(1.0, count + 1.0)
    low, high = knots[1] - knots[0], knots[-1] - knots[-2]
    return np.concatenate([knots[0] - low * k[::-1], knots, knots[-1] + high * k])


def _matrices(knots):
    """Polynomials of the six B-splines on every interval that has five knots more on both sides: (pieces, 6, 6).

    By the recurrence of Cox and de Boor for polynomials in the place p from 0 to 1.
    """
    first, count = DEGREE, len(knots) - 2 * DEGREE - 1
    here = np.arange(first, first + count)
    width = knots[here + 1] - knots[here]
    found = np.zeros((count, DEGREE + 1, 1))  # powers, B-splines of the present degree that are not zero here
    found[:, 0, 0] = 1.0
    for degree in range(1, DEGREE + 1):
        more = np.zeros((count, DEGREE + 1, degree + 1))
        for k in range(degree):  # the B-spline of one degree less that begins at the knot here - degree + 1 + k
            begin, finish = knots[here - degree + 1 + k], knots[here + 1 + k]
            up = _times(found[:, :, k], knots[here] - begin, width) / (finish - begin)[:, None]
            more[:, :, k] += found[:, :, k] - up
            more[:, :, k + 1] += up
        found = more
    return found


def _times(polynomials, constant, slope):
    """Polynomials (count, powers) times constant + slope p."""
    raised = np.roll(polynomials, 1, axis=1)
    raised[:, 0] = 0.0
    return polynomials * constant[:, None] + raised * slope[:, None]


def _look_up(values, index):
    return jnp.asarray(values).at[index].get(mode="promise_in_bounds")

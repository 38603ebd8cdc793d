"""Interpolating cubic splines on knots that need not be uniform, continued as straight lines.

Between the knots x_0 < ... < x_n the curve is the cubic spline through the values: C2, with curvatures M_k at
the knots that solve, with h_k = x_{k+1} - x_k and d_k = (y_{k+1} - y_k) / h_k,

    h_{k-1} M_{k-1} + 2 (h_{k-1} + h_k) M_k + h_k M_{k+1} = 6 (d_k - d_{k-1})

and at the ends either M = 0 (natural) or a given slope s (clamped): 2 h_0 M_0 + h_0 M_1 = 6 (d_0 - s), and its
mirror image.

References:
    C. de Boor, A Practical Guide to Splines (1978), chapter IV.
"""

import jax
import jax.numpy as jnp

from jaxpot.core import linalg
from jaxpot.core.precision import as_float, concrete
from jaxpot.core.pytree import Node, pytree
from jaxpot.errors import DataError
from jaxpot.typing import Array, ArrayField


@pytree
class CubicSpline(Node):
    """One curve.

    Args:
        knots: (n,) ascending, n >= 2.
        values: (n,).
        slopes: (2,) at the first and the last knot; None: natural ends.
    """

    knots: ArrayField
    values: ArrayField
    slopes: jax.Array | None = None

    def __post_init__(self):
        for name in ("knots", "values"):
            object.__setattr__(self, name, as_float(getattr(self, name), name))
        if self.knots.ndim != 1 or self.knots.size < 2 or self.values.shape != self.knots.shape:
            shapes = f"{self.values.shape} and {self.knots.shape}"
            raise DataError(f"expected as many values as knots, at least 2; got {shapes}")
        knots = concrete(self.knots)
        if knots is not None and not (knots[1:] > knots[:-1]).all():
            raise DataError("knots: expected ascending numbers")
        if self.slopes is not None:
            object.__setattr__(self, "slopes", as_float(self.slopes, "slopes"))
            if self.slopes.shape != (2,):
                raise DataError(f"slopes: expected two numbers, got shape {self.slopes.shape}")

    def pieces(self) -> tuple[Array, Array, Array, Array]:
        """Coefficients of the n + 1 pieces in powers of x - x_left: four arrays; the outer two are lines."""
        x, y = self.knots, self.values
        h = x[1:] - x[:-1]
        d = (y[1:] - y[:-1]) / h
        curvature = self._curvatures(h, d)
        left, right = curvature[:-1], curvature[1:]
        slope = d - h * (2.0 * left + right) / 6.0
        last = d[-1] + h[-1] * (left[-1] + 2.0 * right[-1]) / 6.0
        zero = jnp.zeros((1,), y.dtype)
        return (
            jnp.concatenate([y[:1], y]),
            jnp.concatenate([slope[:1], slope, last[None]]),
            jnp.concatenate([zero, 0.5 * left, zero]),
            jnp.concatenate([zero, (right - left) / (6.0 * h), zero]),
        )

    def _curvatures(self, h, d):
        zero = jnp.zeros((1,), d.dtype)
        one = jnp.ones((1,), d.dtype)
        inner, rise = 2.0 * (h[1:] + h[:-1]), 6.0 * (d[1:] - d[:-1])
        if self.slopes is None:
            diagonal = jnp.concatenate([one, inner, one])
            upper, lower = jnp.concatenate([zero, h[1:]]), jnp.concatenate([h[:-1], zero])
            right = jnp.concatenate([zero, rise, zero])
        else:
            diagonal = jnp.concatenate([2.0 * h[:1], inner, 2.0 * h[-1:]])
            upper, lower = h, h
            right = jnp.concatenate([6.0 * (d[:1] - self.slopes[:1]), rise, 6.0 * (self.slopes[1:] - d[-1:])])
        return linalg.solve(jnp.diag(diagonal) + jnp.diag(upper, 1) + jnp.diag(lower, -1), right)


def cubic_values(splines: tuple[CubicSpline, ...], which: Array, x: Array) -> Array:
    """Values at x of the spline `which` of several.

    Args:
        splines: a tuple of `CubicSpline`.
        which: index of the spline for each x (int32, within bounds), or one for all.
        x: abscissae.
    """
    index: int | Array = 0
    left: float | Array = 0.0
    offset = 0
    for k, spline in enumerate(splines):
        piece = jnp.sum(x[..., None] >= spline.knots, axis=-1, dtype=jnp.int32)
        anchors = jnp.concatenate([spline.knots[:1], spline.knots])
        here = which == k
        index = jnp.where(here, piece + offset, index)
        left = jnp.where(here, anchors[piece], left)
        offset += spline.knots.size + 1
    columns = zip(*(spline.pieces() for spline in splines), strict=True)
    c0, c1, c2, c3 = (jnp.concatenate(column).at[index].get(mode="promise_in_bounds") for column in columns)
    t = x - left
    return c0 + t * (c1 + t * (c2 + t * c3))

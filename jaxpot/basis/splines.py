"""Piecewise cubics on a uniform grid, with the slopes that LAMMPS gives to tabulated EAM functions.

A table f_0 ... f_{n-1} at x = 0, h, 2h, ... becomes a C1 curve: on interval m, with p = x/h - m,

    f(p) = f_m + p (s_m + p (3 d - 2 s_m - s_{m+1} + p (s_m + s_{m+1} - 2 d))),    d = f_{m+1} - f_m,

the cubic with values f_m, f_{m+1} and slopes s_m, s_{m+1} (per interval) at its ends. The slopes are
finite differences of the table: of fourth order inside, and lower next to the ends, where points lack.

Coefficients are functions of the table, so whoever differentiates gets derivatives with respect to the
tabulated values. Inside a mapped function they cost nothing: they do not depend on the atom, and XLA
computes them once, before its loop over chunks of atoms.
"""

import jax
import jax.numpy as jnp

from jaxpot.typing import Array, DTypeLike


def slopes(values: Array) -> Array:
    """Slopes of the cubics at the grid points, in units of one interval; (..., n) -> (..., n), n >= 5.

    s_m = (f_{m-2} - 8 f_{m-1} + 8 f_{m+1} - f_{m+2}) / 12,  2 <= m <= n-3
    s_1 = (f_2 - f_0) / 2, s_0 = f_1 - f_0, and their mirror images at the other end.
    """
    f = values
    inner = ((f[..., :-4] - f[..., 4:]) + 8.0 * (f[..., 3:-1] - f[..., 1:-3])) / 12.0
    second = 0.5 * (f[..., 2:3] - f[..., 0:1])
    second_last = 0.5 * (f[..., -1:] - f[..., -3:-2])
    return jnp.concatenate(
        [f[..., 1:2] - f[..., 0:1], second, inner, second_last, f[..., -1:] - f[..., -2:-1]], axis=-1
    )


def coefficients(values: Array, dtype: DTypeLike) -> tuple[Array, ...]:
    """The four polynomial coefficients of every interval, a tuple of four arrays shaped like `values`.

    They are differences of neighbouring values, 1e-4 of these in published tables: they are formed in the precision of
    the table and rounded then, or single precision would have three digits of a force. Tables may be stacked along
    leading axes. The last entry of each belongs to no interval; it is kept so that a flattened stack is indexed by
    `table * n + m`.
    """
    values = values.astype(jnp.promote_types(values.dtype, dtype))
    s = slopes(values)
    rise = jnp.diff(values, axis=-1, append=values[..., -1:])
    next_s = jnp.concatenate([s[..., 1:], s[..., -1:]], axis=-1)
    columns = (values, s, 3.0 * rise - 2.0 * s - next_s, s + next_s - 2.0 * rise)
    return tuple(c.astype(dtype) for c in columns)


def locate(x: Array, step: float, n: int, largest: float | None = None) -> tuple[Array, Array]:
    """Interval (int32) and place within it for abscissae x in a table of n points.

    Below the table the first cubic continues; above it the place stays at 1, the last point. If no x exceeds
    `largest` (static) and the table reaches it, nothing has to be done about the upper end.
    """
    p = x * (1.0 / step)
    m = jnp.clip(jax.lax.stop_gradient(p).astype(jnp.int32), 0, n - 2)
    p = p - m
    return m, (p if largest is not None and largest <= (n - 1) * step else jnp.minimum(p, 1.0))


def interpolated(columns: tuple[Array, ...], index: Array, p: Array) -> Array:
    """The cubics at the places p of the intervals `index`.

    Args:
        columns: from `coefficients`; stacked tables are flattened here.
        index: int32, within bounds (`locate` sees to it); `table * n + m` for stacked tables.
        p: places from `locate`.
    """
    # What decides the speed on CPUs: gathering rows of four is ten times slower in XLA than gathering each
    # coefficient; default bounds checks cost more than the polynomial; and two coefficients that travel as
    # one complex number halve the number of gathers (an EAM evaluation gains 8 %).
    c0, c1, c2, c3 = (c.reshape(-1) for c in columns)
    low = jax.lax.complex(c0, c1).at[index].get(mode="promise_in_bounds")
    high = jax.lax.complex(c2, c3).at[index].get(mode="promise_in_bounds")
    return low.real + p * (low.imag + p * (high.real + p * high.imag))

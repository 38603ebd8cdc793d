"""Modified spherical Bessel functions of the first kind, scaled so that they do not overflow (NumPy)."""

import math

import numpy as np

_TINY = 1e-4


def scaled_bessel(l_max: int, x: np.ndarray) -> np.ndarray:
    """exp(-x) i_l(x) for l = 0 .. l_max and x >= 0: (l_max + 1, *x.shape).

    By Miller's downward recurrence i_{l-1} = i_{l+1} + (2 l + 1) i_l / x from far above l_max, normalised by
    i_0 = sinh(x) / x; below 1e-4 by the first terms of the power series.

    References:
        M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions (1964), 10.2.5, 10.2.13, 10.2.18.
    """
    x = np.asarray(x, np.float64)
    small = x < _TINY
    safe = np.where(small, 1.0, x)
    top = l_max + 40 + int(6.0 * math.sqrt(safe.max(initial=1.0)))
    above, here = np.zeros_like(safe), np.full_like(safe, 1e-300)
    found = np.zeros((l_max + 1, *safe.shape))
    for degree in range(top, -1, -1):
        if degree <= l_max:
            found[degree] = here
        above, here = here, above + (2 * degree + 1) / safe * here
        shrink = np.where(here > 1e200, 1e-200, 1.0)
        above, here, found = above * shrink, here * shrink, found * shrink
    found *= -np.expm1(-2.0 * safe) / (2.0 * safe) / found[0]
    degrees = np.arange(l_max + 1).reshape(-1, *[1] * x.ndim)
    odd = np.array([math.prod(range(1, 2 * n + 2, 2)) for n in range(l_max + 1)]).reshape(degrees.shape)
    series = x**degrees / odd * (1.0 + x * x / (2.0 * (2 * degrees + 3))) * np.exp(-x)
    return np.where(small, series, found)

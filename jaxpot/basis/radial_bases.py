"""Radial bases of the atomic cluster expansion, by the names of PACE's files."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.polynomials import chebyshev_terms
from jaxpot.core.fusion import materialised, rows
from jaxpot.core.graph import of_kind
from jaxpot.core.numbers import as_number, as_positive
from jaxpot.errors import DataError
from jaxpot.typing import Array

NAMES = ("ChebExpCos", "ChebPow", "ChebLinear", "SBessel")


class RadialBasis(NamedTuple):
    """Functions g_1 ... g_N of the distance between two elements; r below is in A.

    With Chebyshev polynomials T_n,

        ChebExpCos  g_1 = c, g_n = (1 - T_{n-1}(x)) c / 2,  x = 1 - 2 (e^(-lambda r / R) - e^-lambda) / (1 - e^-lambda),
                    c = (1 + cos(pi r / R)) / 2, which falls once more to zero between R - d and R
        ChebPow     g_n = (1 - T_n(x)) / 2,  x = 1 - 2 (1 - r / R)^lambda
        ChebLinear  g_n = (1 - T_n(x)) / 2,  x = 1 - r / R, which jumps at R, as in PACE
        SBessel     orthogonal combinations of sin(n pi r / R) / r that vanish at R with their first derivatives

    all of them zero beyond R, and, where `inner` > 0, times a polynomial that rises from 0 at inner - inner_width to 1
    at inner.

    Attributes:
        name: see above.
        parameter: lambda.
        cutoff: R, A.
        width: d, A.
        inner, inner_width: A.

    References:
        Y. Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021), supplement; E. Kocer, J. K. Mason, H. Erturk, AIP Adv.
        10, 015021 (2020), for SBessel; documentation of pacemaker.
    """

    name: str
    parameter: float
    cutoff: float
    width: float = 0.01
    inner: float = 0.0
    inner_width: float = 0.01


def checked(basis: RadialBasis) -> RadialBasis:
    """The basis with plain numbers.

    Raises:
        DataError: a name that is not known, or numbers without a meaning.
    """
    name, parameter, cutoff, width, inner, inner_width = basis
    if name not in NAMES:
        raise DataError(f"radial basis: expected one of {', '.join(NAMES)}; got {name!r}")
    numbers = (
        as_number(parameter, "lambda"), as_positive(cutoff, "cutoff"), as_number(width, "dcut"),
        as_number(inner, "rcut_in"), as_number(inner_width, "dcut_in"),
    )
    least, most = _LAMBDAS.get(name, (-math.inf, math.inf))
    if not least <= (abs(numbers[0]) if name == "ChebExpCos" else numbers[0]) <= most:
        size = ", up to a sign" if name == "ChebExpCos" else ""
        raise DataError(f"lambda of {name}: expected a number from {least:g} to {most:g}{size}; got {numbers[0]:g}")
    if numbers[2] < 0.0 or numbers[2] > numbers[1] or numbers[3] < 0.0 or numbers[3] >= numbers[1] or numbers[4] < 0.0:
        raise DataError(f"expected 0 <= dcut <= rcut, 0 <= rcut_in < rcut and dcut_in >= 0; got {basis}")
    if any(0.0 < width < _NARROW for width in (numbers[2], numbers[4])):
        raise DataError(f"expected dcut and dcut_in that are 0, or {_NARROW:g} A and more; got {basis}")
    if numbers[3] == 0.0:
        numbers = (*numbers[:4], RadialBasis._field_defaults["inner_width"])
    return RadialBasis(name, *numbers)


def radial_functions(bases: tuple[RadialBasis, ...], count: int, pair: Array, r: Array) -> Array:
    """g_1 ... g_N of distances, (N, K); zero beyond the cutoff of each.

    Args:
        bases: of each kind of pair, all of one name.
        count: N.
        pair: (K,) which of `bases`.
        r: (K,) A.
    """
    def of(values):
        return of_kind(values, pair, r.dtype)

    cutoff = of([b.cutoff for b in bases])
    s = jnp.minimum(r / cutoff, 1.0)
    inside = jnp.where(r < cutoff, 1.0, 0.0) * _rise(r, bases, of)
    name = bases[0].name
    if name == "SBessel":
        return _bessel(s, cutoff, count) * inside
    decay = of([b.parameter for b in bases])
    if name == "ChebExpCos":
        edge = jnp.exp(-decay)
        x = 1.0 - 2.0 * (jnp.exp(-decay * s) - edge) / (1.0 - edge)
        # Stored: XLA would make the cosines anew for every function.
        factor = materialised((0.5 + 0.5 * jnp.cos(math.pi * s)) * inside * _fall(r, bases, of), r)
        terms = _chebyshev(x, count)
        return rows([terms[0], *(0.5 - 0.5 * t for t in terms[1:])]) * factor
    if name == "ChebPow":
        # The base stays above zero, where powers have derivatives of every order.
        x = 1.0 - 2.0 * jnp.where(s < 1.0, jnp.where(s < 1.0, 1.0 - s, 1.0) ** decay, 0.0)
    else:
        x = 1.0 - s
    return (0.5 - 0.5 * jnp.stack(_chebyshev(x, count + 1)[1:])) * inside


def smoothness(basis: RadialBasis) -> int:
    """Number of derivatives that are continuous at the cutoff; -1 for a jump."""
    if basis.name == "ChebPow":
        whole = math.ceil(basis.parameter) - 1
        return min(whole, 99)
    return {"ChebExpCos": 3 if basis.width > 0.0 else 1, "ChebLinear": -1, "SBessel": 1}[basis.name]


def _chebyshev(x, count):
    """T_0 ... T_{count - 1}, each computed once."""
    return [materialised(term, x) for term in chebyshev_terms(x, jnp.ones_like(x), count)]


def _fall(r, bases, of):
    """The second fall of ChebExpCos, between R - d and R."""
    if all(b.width == 0.0 for b in bases):
        return 1.0
    cutoff, width = of([b.cutoff for b in bases]), of([b.width or 1.0 for b in bases])
    t = jnp.clip((r - cutoff) / width + 1.0, 0.0, 1.0)
    return 0.5 + 0.5 * jnp.cos(math.pi * t)


def _rise(r, bases, of):
    """The polynomial that rises from 0 at inner - inner_width to 1 at inner."""
    if all(b.inner == 0.0 for b in bases):
        return 1.0
    # Where there is no inner cutoff, every distance is above one below zero.
    inner = of([b.inner or -2.0 for b in bases])
    width = of([b.inner_width or 1e-8 for b in bases])
    return 1.0 - inner_fade(r, inner, width)


def inner_fade(r: Array, inner: Array | float, width: Array | float) -> Array:
    """Polynomial that falls from 1 at inner - width to 0 at inner, with two continuous derivatives.

    f = 1/2 + 15/4 (x / 4 - x^3 / 6 + x^5 / 20), x = 1 - 2 (1 + (r - inner) / width)
    """
    x = jnp.clip(1.0 - 2.0 * (1.0 + (r - inner) / width), -1.0, 1.0)
    return 0.5 + 3.75 * x * (0.25 + x * x * (-1.0 / 6.0 + x * x / 20.0))


def _bessel(s, cutoff, count):
    """Orthogonal combinations of spherical Bessel functions of degree 0, times R^(3/2) alone."""
    scale, rows, previous = cutoff**-1.5, [], 1.0
    for n in range(count):
        a, b = n + 1, n + 2
        factor = (-1) ** n * math.sqrt(2.0) * math.pi * a * b / math.sqrt(a * a + b * b)
        row = factor * scale * (jnp.sinc(a * s) + jnp.sinc(b * s))
        if n:
            e = n**2 * (n + 2) ** 2 / (4 * (n + 1) ** 4 + 1)
            d = 1.0 - e / previous
            row, previous = (row + math.sqrt(e / previous) * rows[-1]) / math.sqrt(d), d
        rows.append(row)
    return jnp.stack(rows)


def orthonormal_coefficients(basis: RadialBasis, radials: int, lowest: float) -> np.ndarray:
    """Coefficients (n, k) of R_n = sum_k c_nk g_k, k <= n, orthonormal over the distances that occur.

    int R_n R_m r^2 dr / int r^2 dr = delta_nm, from `lowest` to the cutoff: of neighbours in random directions and at
    random places A_nlm are uncorrelated then, and have one size. The g_n of PACE, all of one sign, are nearly parallel.

    Args:
        basis: of the g_k.
        radials: number of R_n.
        lowest: A, the shortest distance that counts.

    Raises:
        DataError: the g_k are so nearly parallel there that digits would be lost.

    References:
        G. Dusson et al., J. Comput. Phys. 454, 110946 (2022): orthogonal radial polynomials.
    """
    r = lowest + (basis.cutoff - lowest) * (np.arange(_POINTS) + 0.5) / _POINTS
    rows = np.asarray(radial_functions((basis,), radials, jnp.zeros(len(r), int), jnp.asarray(r)), float)
    upper = np.linalg.qr((rows * (r / np.linalg.norm(r))).T, mode="r")
    inverse = np.linalg.inv(upper).T if np.diag(upper).all() else np.array([[np.inf]])
    if np.abs(inverse).max() > _LARGEST:
        raise DataError(
            f"{radials} functions {basis.name} of lambda {basis.parameter:g} are nearly parallel between {lowest:.3g} "
            f"and {basis.cutoff:.3g} A: expected fewer of them, or another lambda, such as -1 for ChebExpCos"
        )
    return inverse * np.sign(np.diag(upper))[:, None]


_LAMBDAS = {"ChebExpCos": (1e-4, 500.0), "ChebPow": (1.0, math.inf)}  # differences of exponentials keep their digits
_NARROW = 1e-8  # A: steps that are narrower have no derivatives
_POINTS = 2000
_LARGEST = 1e9  # coefficient: sums of functions of size 1 then keep seven digits

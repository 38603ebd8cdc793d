"""Sums over pairs of neighbours, as dense products: the angular symmetry functions of one environment.

T_ab = sum_{j < k} P_jk f(r_jk) exp(-eta_a q_a) 2 ((1 + lambda_b cos theta_jk) / 2)^zeta_b

What decides the speed on CPUs, as measured (benchmarks/neural.py):
    Each pair once. The neighbours are cut into an odd number of blocks, on a circle; each block meets itself and those
    on one half of the circle. So pairs stay rectangles, without copies that shift rows, and few more than half of them.
    Matrices of pairs are made from vectors by products, whose transposes are products, too: sums over rows and columns
    would be loops that are not vectorised.
    The derivative by matrices is written by hand: there the sum over a and b is a sum of products in registers, where
    automatic differentiation would store each of them.
    What several loops read is computed once (`materialised`).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.fades import fade_and_slope
from jaxpot.core.fusion import materialised
from jaxpot.typing import Array

_MOST = 1000  # exponentials that are whole powers of others up to this one are made so
_BLOCKS = (4, 8, 12, 16)  # neighbours in a block
_LEAST = 1e-12  # A^2: rounding makes squares of distances negative between the empty places of a row


class PairSums(NamedTuple):
    """Indices of the sums: static.

    narrow: whether r_jk counts, in q and by its cutoff function.
    alike: whether both neighbours are of one kind, so that `first` and `second` are the same.
    fade: name, cutoff and inner radius of that function.
    radial: (eta, shift) for each a; q = (r_j - shift)^2 + (r_k - shift)^2 [+ (r_jk - shift)^2].
    angular: (zeta, lambda) for each b.
    """

    narrow: bool
    alike: bool
    fade: tuple
    radial: tuple
    angular: tuple


def pair_sums(what: PairSums, units: Array, r: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """T, (a, b): the sum over all pairs, each once, with P_jk = first_j second_k + second_j first_k; or, where both
    neighbours are alike, first_j first_k.

    Args:
        what: `PairSums`.
        units: (3, K) unit vectors to the neighbours.
        r: (K,) distances, A.
        first, second: (K,) weights, zero beyond the cutoff.

    References:
        J. Behler, J. Chem. Phys. 134, 074106 (2011), equations 8 and 9.
    """
    rows = jnp.concatenate([units, r[None], first[None], *(() if what.alike else (second[None],))])
    length, count = pair_blocks(len(r))
    empty = np.zeros((len(rows), length * count - len(r)), r.dtype)
    empty[3] = 1.0  # r
    rows = jnp.concatenate([materialised(rows), empty], axis=1)
    one = jnp.moveaxis(rows.reshape(len(rows), count, length), 1, 0)
    other = jnp.concatenate([jnp.roll(one, -k, axis=0) for k in range((count + 1) // 2)], axis=-1)
    return _sums(what, *_pairs(what, one, other))


def pair_blocks(neighbors: int) -> tuple[int, int]:
    """Neighbours in a block, and the number of blocks, an odd one, with which there are fewest pairs."""
    shapes = []
    for length in _BLOCKS:
        count = -(-neighbors // length)
        count += 1 - count % 2
        shapes.append((count * (count + 1) // 2 * length**2, length, count))
    return min(shapes)[1:]


def _pairs(what, one, other):
    """The matrices of all pairs: the cosine, r_jk^2, q for each shift, and P_jk.

    Of narrow functions with a shift, q is without its part of r_jk. Of a neighbour and itself, P is zero and the rest
    is something harmless.
    """
    (units, r, first, *second), (units_, r_, first_, *second_) = (
        jnp.split(rows, list(range(3, rows.shape[1])), axis=1) for rows in (one, other)
    )
    length, width = units.shape[-1], units_.shape[-1]
    itself = np.eye(length, width, dtype=units.dtype)

    def around(shift):
        return _product((r - shift) ** 2, _ones(r_)) + _product(_ones(r), (r_ - shift) ** 2)

    spread, square = {shift: around(shift) for _, shift in what.radial if shift != 0.0 or not what.narrow}, None
    if what.narrow:
        both = around(0.0)
        # r_jk^2 from q, not the other way: then what comes back by both is added up before it is stored.
        spread[0.0] = itself + 2.0 * both + _product(r * units, -2.0 * r_ * units_)
        square = spread[0.0] - both
    weight = _product(first, first_) if what.alike else _product(first, second_[0]) + _product(second[0], first_)
    once = 2.0 - 2.0 * itself
    once[:, :length] *= 0.5  # in its own block a pair is there from both ends
    return _product(units, units_), square, spread, weight * once


def _ones(like):
    """An array of its own for each environment: with one for all, `vmap` makes products that copy matrices."""
    return jnp.where(like > 0.0, 1.0, jnp.ones_like(like))


def _product(one, other):
    """sum_n one_nj other_nk of (count, n, j) and (count, n, k)."""
    return jnp.einsum("cnj,cnk->cjk", one, other, precision="highest")


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _sums(what, cosine, square, spread, weight):
    """T of the matrices of all pairs, (count, j, k) each."""
    return _with_factors(what, cosine, square, spread, weight)[0]


def _with_factors(what, cosine, square, spread, weight):
    """T, and the matrices that its derivative needs, too."""
    fading, slope = None, None
    if what.narrow:
        square = jnp.maximum(square, _LEAST)
        fading, slope = fade_and_slope(what.fade[0], square, *what.fade[1:])
        weight, slope = materialised(weight * fading), materialised(weight * slope)
    bases = tuple(jnp.exp(-eta * _q(what, square, spread, shift)) for eta, shift in _plan(what.radial)[0])
    bases = jax.lax.optimization_barrier(bases)  # or powers of exponentials become exponentials again
    # Each block as one row: loops over the few neighbours of a block would be unrolled, but not vectorised.
    # The barrier keeps the compiler from going back to these loops for the powers.
    flat = (len(cosine), -1)
    row = jax.lax.optimization_barrier(cosine.reshape(flat))
    angular = jnp.stack([value for value, _ in _powers(what, row)], axis=1)
    found = jnp.stack([
        jnp.sum(jnp.einsum("cx,cbx->cb", (e * weight).reshape(flat), angular, precision="highest"), axis=0)
        for e in _exponentials(what, bases)
    ])
    return found, (square, bases, weight, fading, slope)


@_sums.defjvp
def _derivative(what, matrices, changes):
    d_cosine, d_square, d_spread, d_weight = changes
    found, (square, bases, weight, fading, slope) = _with_factors(what, *matrices)
    if what.narrow:
        d_weight = d_weight * fading + slope * d_square
        d_spread = {
            shift: d + (1.0 - shift / jnp.sqrt(square)) * d_square if shift != 0.0 else d
            for shift, d in d_spread.items()
        }
    return found, _change(what, matrices[0], bases, weight, d_cosine, d_weight, d_spread)


@partial(jax.checkpoint, static_argnums=(0,))
def _change(what, cosine, bases, weight, d_cosine, d_weight, d_spread):
    """The change of T, written so that the transpose adds up products in registers: of matrices it reads only a few.

    Powers are made anew from the cosine (`jax.checkpoint`), or they would be stored.
    All of one shift share two changes, each kept, so that the transpose adds up over a and b twice, whatever depends on
    these; for the first of them, or the only one, it does so once.
    """
    rows, together, angular = [], {}, _powers(what, cosine)
    for (eta, shift), exponential in zip(what.radial, _exponentials(what, bases), strict=True):
        if shift not in together:
            spread = weight * d_spread[shift]
            change = materialised(d_weight - eta * spread, cosine)
            together[shift] = eta, change, spread if shift == 0.0 else materialised(spread, cosine)
        first, change, spread = together[shift]
        along_value = exponential * (change if eta == first else change - (eta - first) * spread)
        along_slope = exponential * weight * d_cosine
        rows.append(jnp.stack([jnp.sum(value * along_value + by * along_slope) for value, by in angular]))
    return jnp.stack(rows)


def _q(what, square, spread, shift):
    """q, all of it."""
    return spread[shift] + (jnp.sqrt(square) - shift) ** 2 if what.narrow and shift != 0.0 else spread[shift]


def _plan(radial):
    """Exponentials that have to be computed, and for each (eta, shift) which of them and to which power."""
    bases, powers = [], {}
    for eta, shift in sorted(set(radial), key=lambda pair: pair[::-1]):
        for k, (base, other) in enumerate(bases):
            power = round(eta / base) if other == shift and base > 0.0 else 0
            if 1 <= power <= _MOST and abs(power * base - eta) <= 1e-15 * eta:
                powers[eta, shift] = k, power
                break
        else:
            powers[eta, shift] = len(bases), 1
            bases.append((eta, shift))
    return tuple(bases), [powers[pair] for pair in radial]


def _exponentials(what, bases):
    """exp(-eta q) for each a."""
    return [whole_power(bases[k], power) for k, power in _plan(what.radial)[1]]


def _powers(what, cosine):
    """((1 + lambda cos) / 2)^zeta for each b, and its derivative by the cosine."""
    found = []
    for zeta, sign in what.angular:
        base = 0.5 + (0.5 * sign) * cosine
        if float(zeta).is_integer():
            value, below = whole_power(base, int(zeta)), whole_power(base, int(zeta) - 1)
        else:  # rounding makes it negative where it is zero
            base = jnp.maximum(base, 1e-300)
            below = jnp.exp((zeta - 1.0) * jnp.log(base))
            value = below * base
        found.append((value, (0.5 * zeta * sign) * below))
    return found


def whole_power(base: Array, power: int) -> Array:
    """base^power in few products; powers of one base share them once compiled."""
    found, square = None, base
    while power:
        if power & 1:
            found = square if found is None else found * square
        power >>= 1
        square = square * square if power else square
    return jnp.ones_like(base) if found is None else found

"""Sums over pairs of neighbours, as dense (K, K) products: the angular symmetry functions of one environment.

T_ab = sum_{j < k} P_jk f(r_jk) exp(-eta_a q_a) 2 ((1 + lambda_b cos theta_jk) / 2)^zeta_b

What decides the speed on CPUs, as measured: arrays that go through memory are few (one stack of the factors with index
b), and the derivative is written by hand: there the sum over a and b is a sum of products in registers, where automatic
differentiation would store each of them, and the symmetry of all matrices is made use of. Each pair once, by an index
that runs over half of a circle, is half the work, but took longer in three ways of writing it: copies that shift rows
are not vectorised.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.basis.fades import fade_and_slope

_MOST = 1000  # exponentials that are whole powers of others up to this one are made so


class PairSums(NamedTuple):
    """Which sums: static.

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


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def pair_sums(what, units, r, first, second):
    """T, (a, b): the sum over all pairs, each once, with P_jk = first_j second_k + second_j first_k; or, where both
    neighbours are alike, first_j first_k.

    Args:
        what: `PairSums`.
        units: (K, 3) unit vectors to the neighbours.
        r: (K,) distances, A.
        first, second: (K,) weights, zero beyond the cutoff.

    References:
        J. Behler, J. Chem. Phys. 134, 074106 (2011), equations 8 and 9.
    """
    return _matrices(what, units, r, first, second)[0]


def _matrices(what, units, r, first, second):
    """The sums, and the matrices of all pairs (K, K) that derivatives need."""
    cosine = jax.lax.optimization_barrier(jnp.matmul(units, units.T, precision="highest"))
    geometry = _Geometry(what, r, cosine)
    fading, slope = None, None
    weight = _weights(what, first, second)
    if what.narrow:
        fading, slope = fade_and_slope(what.fade[0], geometry.square, *what.fade[1:])
        weight, slope = weight * fading, weight * slope
    bases = tuple(jnp.exp(-eta * geometry.spread(shift)) for eta, shift in _plan(what.radial)[0])
    cosine, bases, weight, fading, slope = jax.lax.optimization_barrier((cosine, bases, weight, fading, slope))
    # Row by row of the matrices: one stack goes through memory, that of the powers.
    angular = jnp.stack([value for value, _ in _powers(what, cosine)], axis=1)  # (K, b, K)
    found = jnp.stack([
        jnp.sum(jnp.einsum("jk,jbk->jb", e * weight, angular, precision="highest"), axis=0)
        for e in _exponentials(what, bases)
    ])
    return found, (cosine, bases, weight, fading, slope)


@pair_sums.defjvp
def _derivative(what, point, change):
    units, r, first, second = point
    d_units, d_r, d_first, d_second = change
    found, (cosine, bases, weight, fading, slope) = _matrices(what, *point)
    # All matrices are symmetric: what a change of k does in the sum over all j, k is what the same change of j does, so
    # that changes of j count twice and those of k are left out. Half of the matrices of the transpose are not made.
    d_cosine = jnp.matmul(2.0 * d_units, units.T, precision="highest")
    d_weight = _apart(d_first[:, None] * second[None, :])
    if not what.alike:
        d_weight = d_weight + _apart(d_second[:, None] * first[None, :])
    geometry, ahead, behind, d_ahead = _Geometry(what, r, cosine), r[:, None], r[None, :], d_r[:, None]
    d_square = None
    if what.narrow:
        d_square = 4.0 * (ahead - behind * cosine) * d_ahead - 2.0 * ahead * behind * d_cosine
        d_weight = d_weight * fading + slope * d_square
    d_spread = {shift: geometry.spread_change(shift, d_ahead, d_square) for _, shift in dict.fromkeys(what.radial)}
    # Written so that the transpose adds up products in registers: of matrices it reads only a few.
    d_cosine, d_weight, d_spread = jax.lax.optimization_barrier((d_cosine, d_weight, d_spread))
    exponentials, angular = _exponentials(what, bases), _powers(what, cosine)
    rows = []
    for (eta, shift), exponential in zip(what.radial, exponentials, strict=True):
        along_value = exponential * (d_weight - eta * weight * d_spread[shift])
        along_slope = exponential * weight * d_cosine
        rows.append(jnp.stack([jnp.sum(value * along_value + by * along_slope) for value, by in angular]))
    return found, jnp.stack(rows)


class _Geometry:
    """r_jk^2 and q of all pairs; on the diagonal something harmless."""

    def __init__(self, what, r, cosine):
        self.what, self.ahead, self.behind = what, r[:, None], r[None, :]
        self.square = None
        if what.narrow:
            square = self.ahead**2 + self.behind**2 - 2.0 * self.ahead * self.behind * cosine
            self.square = jnp.where(np.eye(len(r), dtype=bool), 1.0, square)

    @property
    def length(self):
        return jnp.sqrt(self.square)

    def spread_change(self, shift, d_ahead, d_square):
        """The change of q, as above: that of j twice."""
        found = 4.0 * (self.ahead - shift) * d_ahead
        if not self.what.narrow:
            return found
        return found + (d_square if shift == 0.0 else (1.0 - shift / self.length) * d_square)

    def spread(self, shift):
        found = (self.ahead - shift) ** 2 + (self.behind - shift) ** 2
        if not self.what.narrow:
            return found
        return found + (self.square if shift == 0.0 else (self.length - shift) ** 2)


def _weights(what, first, second):
    """P_jk / 2, since j, k and k, j are both summed, without the diagonal."""
    if what.alike:
        return _apart(0.5 * first[:, None] * second[None, :])
    return _apart(0.5 * (first[:, None] * second[None, :] + second[:, None] * first[None, :]))


def _apart(matrix):
    return matrix * (1.0 - np.eye(len(matrix), dtype=matrix.dtype))


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
    """2 ((1 + lambda cos) / 2)^zeta for each b, and its derivative by the cosine."""
    found = []
    for zeta, sign in what.angular:
        base = 0.5 + (0.5 * sign) * cosine
        if float(zeta).is_integer():
            below = whole_power(base, int(zeta) - 1)
        else:  # rounding makes it negative where it is zero
            base = jnp.maximum(base, 1e-300)
            below = jnp.exp((zeta - 1.0) * jnp.log(base))
        found.append((2.0 * below * base, zeta * sign * below))
    return found


def whole_power(base, power):
    """base^power in few products; powers of one base share them once compiled."""
    found, square = None, base
    while power:
        if power & 1:
            found = square if found is None else found * square
        power >>= 1
        square = square * square if power else square
    return jnp.ones_like(base) if found is None else found

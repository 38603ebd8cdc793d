"""Gaussians at equal distances from the centre: the radial basis of SOAP, and the space that neighbours reach in it."""

import math
from functools import lru_cache

import numpy as np

from jaxpot.basis.bessel import scaled_bessel


class GaussianBasis:
    """Orthonormal radial functions g_nl made of Gaussians at r_n = (n - 1) R / n_max.

    With a = 1 / 2 sigma^2 and R = cutoff + sigma sqrt(2 e log 10), a neighbour at r has the overlaps
    h_nl(r) = exp(-a (r^2 + r_n^2)) i_l(2 a r r_n), and g_l = h_l C^-1 L, where C is the matrix of overlaps on a
    line and S = L L^T that in space.

    Attributes:
        centre: (n_max,) the same coefficients of a Gaussian at the origin, which has l = 0 only.

    References:
        A. P. Bartok, R. Kondor, G. Csanyi, Phys. Rev. B 87, 184115 (2013), equations 28 to 33.
    """

    def __init__(self, n_max: int, l_max: int, cutoff: float, sigma: float, exponent: float) -> None:
        self.n_max, self.l_max, self.cutoff = n_max, l_max, cutoff
        self._a = a = 0.5 / sigma**2
        reach = cutoff + sigma * math.sqrt(2.0 * exponent * math.log(10.0))
        self._centers = centers = np.arange(n_max) * reach / n_max
        between = centers[:, None] - centers
        both = centers[:, None] + centers
        erf = np.vectorize(math.erf)
        line = np.exp(-a * between**2)
        space = math.sqrt(2.0) * a**1.5 * both * np.exp(-a * (centers[:, None] ** 2 + centers**2))
        space += (
            a * math.sqrt(math.pi) * (1.0 + a * both**2) * np.exp(-0.5 * a * between**2)
            * (1.0 + erf(both * math.sqrt(0.5 * a)))
        )
        lower = np.linalg.cholesky(space / math.sqrt(128.0 * a**5))
        self._mix = np.linalg.solve(line, lower)
        self.centre = lower[0]

    def functions(self, r: np.ndarray) -> list[np.ndarray]:
        """g_nl at distances (k,): a list over l of arrays (k, n_max)."""
        bessel = scaled_bessel(self.l_max, 2.0 * self._a * r[:, None] * self._centers)
        return list((np.exp(-self._a * (r[:, None] - self._centers) ** 2) * bessel) @ self._mix)

    def directions(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Principal directions of the n_max dimensions: for each l rotations (n_max, n_max) and sizes (n_max,).

        Columns are directions, the largest first. Sizes are root mean squares over the distances of neighbours and, for
        l = 0, of the Gaussian at the origin, relative to those of all l together. The outer Gaussians lie beyond the
        cutoff, and only their tails are reached: the smallest sizes are tiny.
        """
        r = np.linspace(_CLOSEST, max(self.cutoff, 2.0 * _CLOSEST), 400)
        for power in range(1, 9):
            # Directions of equal size would be any rotation of one another: other weights tell them apart.
            found = [f * (r**power / np.linalg.norm(r**power))[:, None] for f in self.functions(r)]
            found[0] = np.concatenate([found[0], self.centre[None]])
            whole = math.sqrt(sum((f * f).sum() for f in found))
            pairs = [np.linalg.svd(f / whole, full_matrices=False)[1:] for f in found]
            if all((sizes[1:] < (1.0 - _APART) * sizes[:-1])[sizes[1:] > _NOTHING].all() for sizes, _ in pairs):
                break
        rotations = [rows.T * np.sign(rows[np.arange(self.n_max), np.abs(rows).argmax(1)]) for _, rows in pairs]
        return rotations, [sizes for sizes, _ in pairs]


@lru_cache(maxsize=64)
def gaussian_basis(n_max: int, l_max: int, cutoff: float, sigma: float, exponent: float) -> GaussianBasis:
    """The basis, made once."""
    return GaussianBasis(n_max, l_max, cutoff, sigma, exponent)


_CLOSEST = 0.5  # A; neighbours are not expected below it
_APART = 1e-4  # relative; by what sizes differ
_NOTHING = 1e-14  # sizes below it are rounding

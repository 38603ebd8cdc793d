"""Quadrature over rotations: points on the 3-sphere whose mean is that over all of it."""

from functools import lru_cache

import numpy as np

# Points (x, y, z) and weights of orbits of the 12 rotations of a tetrahedron; each orbit's weight is 12 times that. The
# mean over the sphere of polynomials up to the degree: as many unknowns as harmonics up to it have these symmetries.
_TETRAHEDRAL = {
    9: (
        (0.5687523604379913, -0.2747753480745367, -0.7752543199407085, 0.027033925449846220),
        (0.5687523604379913, -0.2747753480745367, 0.7752543199407085, 0.027033925449846220),
        (0.9542859316350337, 0.0, -0.2988952336245190, 0.029265482433640894),
    ),
    12: (
        (0.7582379549194393, -0.0566673278464570, -0.6495105985850641, 0.014893277743707618),
        (0.4874938012335725, 0.3904685915130051, 0.7809507492798070, 0.017082339359129240),
        (0.2430690449490047, -0.9679043283228876, -0.0638643139898844, 0.017244928796224586),
        (0.4029712484096605, -0.1154347054062409, 0.9079036302069368, 0.017562333725265365),
        (0.7524910928121382, -0.3599389853972214, 0.5515442702355023, 0.016550453709006530),
    ),
}


def sphere_rule(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points on the unit sphere, (P, 3), and weights, (P,), for the mean of polynomials up to a degree.

    Orbits of the tetrahedral group, 36 and 60 points, for degrees up to 9 and from 10 to 12; else a product of a Gauss
    rule in the height and of equidistant angles.
    """
    tabulated = min((known for known in _TETRAHEDRAL if 6 < degree <= known), default=None)
    if tabulated is None:
        height, weight = np.polynomial.legendre.leggauss(degree // 2 + 1)
        angle = 2.0 * np.pi * np.arange(degree + 1) / (degree + 1)
        around = np.stack([np.cos(angle), np.sin(angle)], 1)
        across = np.sqrt(1.0 - height**2)[:, None, None] * around
        points = np.concatenate([across, np.broadcast_to(height[:, None, None], (*across.shape[:2], 1))], 2)
        return points.reshape(-1, 3), np.repeat(0.5 * weight / len(angle), len(angle))
    table = np.array(_TETRAHEDRAL[tabulated])
    signs = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)])
    cycles = np.stack([np.roll(table[:, :3], k, axis=1) for k in range(3)], 1)
    points = (cycles[:, :, None] * signs).reshape(-1, 3)
    return points / np.linalg.norm(points, axis=1)[:, None], np.repeat(table[:, 3], 12)


@lru_cache(maxsize=8)
def rotation_rule(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (w, x, y, z) on the 3-sphere, (Q, 4), and weights, (Q,), for the mean of even polynomials up to a degree.

    Even functions on the 3-sphere, f(-u) = f(u), are functions of rotations. Euler angles: a `sphere_rule` for the
    first two, equidistant points for the third.

    Args:
        degree: of polynomials in the four components.

    References:
        M. Graef, D. Potts, Sampling sets and quadrature formulae on the rotation group, Numer. Funct. Anal. Optim. 30,
        665 (2009), section 3: products of a rule on the sphere and of equidistant angles.
    """
    order = degree // 2  # the largest angular momentum of the rotation group in such polynomials
    points, weights = sphere_rule(order)
    third = 2.0 * np.pi * np.arange(order + 1) / (order + 1)
    first, second = (a[:, None] for a in (np.arctan2(points[:, 1], points[:, 0]), np.arccos(points[:, 2])))
    c, s = np.cos(0.5 * second), np.sin(0.5 * second)
    plus, minus = 0.5 * (first + third), 0.5 * (first - third)
    quaternions = np.stack([c * np.cos(plus), -s * np.sin(minus), s * np.cos(minus), c * np.sin(plus)], 2)
    return quaternions.reshape(-1, 4), np.repeat(weights / len(third), len(third))

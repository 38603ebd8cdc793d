"""Real spherical harmonics, unrolled for arrays of directions."""

import math


def real_harmonics(l_max, x, y, z):
    """Y_lm of unit vectors, orthonormal on the sphere, for l = 0 .. l_max and m = -l .. l.

    With x + i y = sin(theta) e^{i phi} and the recurrences of the normalised associated Legendre functions P_lm
    (a factor sin^m(theta) taken out, so that everything is a polynomial in x, y, z),

        Y_l0 = P_l0(z),  Y_l,m = sqrt(2) P_lm(z) Re (x + i y)^m,  Y_l,-m = sqrt(2) P_lm(z) Im (x + i y)^m

    without the phase (-1)^m. Written as sums of products of arrays: in XLA on CPUs this is faster than anything
    that is vectorised over m.

    Args:
        l_max: highest degree.
        x, y, z: components of unit vectors, arrays of one shape.

    Returns:
        A list over l of lists of 2 l + 1 arrays, m from -l to l.

    References:
        W. H. Press et al., Numerical Recipes, 3rd edition (2007), section 6.7.
    """
    real, imaginary = [1.0], [0.0]  # (x + i y)^m
    for _ in range(l_max):
        a, b = real[-1], imaginary[-1]
        real.append(x * a - y * b)
        imaginary.append(x * b + y * a)

    legendre = {}
    diagonal = math.sqrt(1.0 / (4.0 * math.pi))
    for m in range(l_max + 1):
        if m:
            diagonal *= math.sqrt((2 * m + 1) / (2 * m))
        legendre[m, m] = diagonal
        if m < l_max:
            legendre[m + 1, m] = (math.sqrt(2 * m + 3) * diagonal) * z
        for n in range(m + 2, l_max + 1):
            a = math.sqrt((4 * n * n - 1) / (n * n - m * m))
            b = a * math.sqrt(((n - 1) ** 2 - m * m) / (4 * (n - 1) ** 2 - 1))
            legendre[n, m] = (a * z) * legendre[n - 1, m] - b * legendre[n - 2, m]

    root = math.sqrt(2.0)
    ones = 0.0 * z + 1.0
    result = []
    for n in range(l_max + 1):
        up = [root * legendre[n, m] * real[m] for m in range(1, n + 1)]
        down = [root * legendre[n, m] * imaginary[m] for m in range(n, 0, -1)]
        result.append([*down, legendre[n, 0] * ones, *up])
    return result

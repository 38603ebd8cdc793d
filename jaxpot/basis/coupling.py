"""Coupling of two spherical tensors to a third: real Wigner 3j symbols in the harmonics of this package (NumPy)."""

import math
from functools import cache

import numpy as np


@cache
def coupling(first: int, second: int, third: int) -> np.ndarray:
    """Real Wigner 3j symbols C, (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), with sum C^2 = 1.

    If x and y turn with a structure like harmonics of degrees l1 and l2, then

        z_m3 = sum_m1,m2 C[m1, m2, m3] x_m1 y_m2

    turns like one of degree l3; C is the only tensor, but for its sign, that does so. With Y_m = sum_mu U[m, mu] Y^mu
    for real and complex harmonics, the latter with the phase of Condon and Shortley,

        C[m1, m2, m3] ~ (-i)^(l1 + l2 - l3) sum_mu <l1 mu1 l2 mu2 | l3 mu3> U[m1, mu1]* U[m2, mu2]* U[m3, mu3],

    which is real, times the factor that makes the sum of squares 1. Signs are those of e3nn; (l, l, 0) is positive.

    Args:
        first, second, third: degrees l1, l2, l3, |l1 - l2| <= l3 <= l1 + l2.

    Returns:
        array; the orders m of each degree are those of `real_harmonics`: -1 ... -l, 0, 1 ... l.

    References:
        D. A. Varshalovich, A. N. Moskalev, V. K. Khersonskii, Quantum Theory of Angular Momentum (1988), 8.2.1
        (equation 3) and 5.1.
    """
    if not abs(first - second) <= third <= first + second:
        raise ValueError(f"degrees {first}, {second} do not couple to {third}")
    complex_symbols = np.zeros((2 * first + 1, 2 * second + 1, 2 * third + 1))
    for a in range(-first, first + 1):
        for b in range(-second, second + 1):
            if abs(a + b) <= third:
                value = clebsch_gordan(first, a, second, b, third, a + b)
                complex_symbols[a + first, b + second, a + b + third] = value
    real = np.einsum(
        "abc,ia,jb,kc->ijk", complex_symbols, *(real_from_complex(n).conj() for n in (first, second)),
        real_from_complex(third), optimize=True,
    )
    symbols = (real * (-1j) ** (first + second - third)).real
    return symbols / np.linalg.norm(symbols)


def clebsch_gordan(j1: int, m1: int, j2: int, m2: int, j3: int, m3: int) -> float:
    """<j1 m1 j2 m2 | j3 m3> of whole numbers, by Racah's sum in exact integers but for one square root.

    References:
        G. Racah, Phys. Rev. 62, 438 (1942), equation 16.
    """
    if m1 + m2 != m3 or not abs(j1 - j2) <= j3 <= j1 + j2:
        return 0.0
    f = math.factorial
    numerator = (
        (2 * j3 + 1) * f(j1 + j2 - j3) * f(j1 - j2 + j3) * f(j2 + j3 - j1)
        * f(j1 + m1) * f(j1 - m1) * f(j2 + m2) * f(j2 - m2) * f(j3 + m3) * f(j3 - m3)
    )
    total = 0.0
    for k in range(max(0, j2 - j3 - m1, j1 + m2 - j3), min(j1 + j2 - j3, j1 - m1, j2 + m2) + 1):
        denominator = (
            f(k) * f(j1 + j2 - j3 - k) * f(j1 - m1 - k) * f(j2 + m2 - k) * f(j3 - j2 + m1 + k) * f(j3 - j1 - m2 + k)
        )
        total += (-1) ** k / denominator
    return total * math.sqrt(numerator / f(j1 + j2 + j3 + 1))


def real_from_complex(degree: int) -> np.ndarray:
    """U (2 l + 1, 2 l + 1): Y_m = sum_mu U[m, mu] Y^mu, rows in the order of `real_harmonics`, mu = -l ... l."""
    matrix, half = np.zeros((2 * degree + 1, 2 * degree + 1), complex), math.sqrt(0.5)
    for row, m in enumerate([*range(-1, -degree - 1, -1), *range(degree + 1)]):
        k, phase = abs(m), (-1) ** m
        if m == 0:
            matrix[row, degree] = 1.0
        elif m > 0:
            matrix[row, degree + k], matrix[row, degree - k] = phase * half, half
        else:
            matrix[row, degree + k], matrix[row, degree - k] = -1j * phase * half, 1j * half
    return matrix

"""Covalent radii of the elements, by which NEP ends its repulsion."""

_HUNDREDTHS = (  # of an A, from H to Pu
    32, 46, 120, 94, 77, 75, 71, 63, 64, 67, 140, 125, 113, 104, 110, 102, 99, 96, 176, 154, 133, 122, 121, 110, 107,
    104, 100, 99, 101, 109, 112, 109, 115, 110, 114, 117, 189, 167, 147, 139, 132, 124, 115, 113, 113, 108, 115, 123,
    128, 126, 126, 123, 132, 131, 209, 176, 162, 147, 158, 157, 156, 155, 151, 152, 151, 150, 149, 149, 148, 153, 146,
    137, 131, 123, 118, 116, 111, 112, 113, 132, 130, 130, 136, 131, 138, 142, 201, 181, 167, 158, 152, 153, 154, 155,
)


def covalent_radius(number: int) -> float | None:
    """4/3 of the covalent radius of an element in A, to six digits as in GPUMD; None for elements behind Pu.

    References:
        P. Pyykko, M. Atsumi, Chem. Eur. J. 15, 186 (2009); S. Grimme, J. Antony, S. Ehrlich, H. Krieg, J. Chem. Phys.
        132, 154104 (2010), with metals shorter by a tenth, and the factor.
    """
    if number > len(_HUNDREDTHS):
        return None
    return float(f"{4.0 * _HUNDREDTHS[number - 1] / 300.0:.6g}")

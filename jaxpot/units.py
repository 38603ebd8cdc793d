"""Units: inside jaxpot energies are in eV, lengths in A, masses in amu; hence times in A sqrt(amu/eV).

Every constant is the value of that unit in internal units: divide by it to convert out, multiply to
convert in, as with `ase.units` (`stress / units.GPa`, `phonons.frequencies / units.THz`).
CODATA 2018 (Tiesinga et al., Rev. Mod. Phys. 93, 025010 (2021)).
"""

from math import pi, sqrt

_e = 1.602176634e-19  # C, exact
_amu = 1.66053906660e-27  # kg
_h = 6.62607015e-34  # J s, exact
_k = 1.380649e-23  # J/K, exact
_c = 299792458.0  # m/s, exact
_second = 1e10 / sqrt(_amu / _e)  # 1 s in A sqrt(amu/eV)

eV = 1.0
meV = 1e-3
angstrom = 1.0
amu = 1.0
kelvin = 1.0

pascal = 1e-30 / _e
GPa = 1e9 * pascal
bar = 1e5 * pascal
J_per_m2 = 1e-20 / _e  # eV/A^2, of surface energies

cm2_per_s = 1e16 / _second  # A^2 / internal time, of diffusion coefficients
W_per_m_K = 1e-10 / (_e * _second)  # eV / (internal time A K), of thermal conductivities

fs = 1e-15 * _second
ps = 1e-12 * _second
THz = 1e12 / _second  # ordinary frequency (cycles per time), not angular
invcm = 100.0 * _c / _second

kB = _k / _e  # eV/K
h = _h / _e * _second  # eV * internal time
hbar = h / (2.0 * pi)

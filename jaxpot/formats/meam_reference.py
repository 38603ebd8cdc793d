"""Pair energies of MEAM from the equations of state of reference structures, tabulated on the host."""

import math
from dataclasses import dataclass

import numpy as np

from jaxpot.potentials.meam import gain, screening_fade

_NONE = 1e-14  # densities below count as none, LAMMPS's bound


@dataclass(frozen=True)
class Lattice:
    """A reference structure: what an atom sees in it."""

    neighbors: int
    scale: float  # nearest neighbours' distance over the lattice constant; 0 for compounds, which have none
    second: int  # second neighbours
    ratio: float  # their distance over that of the nearest
    between: int  # atoms that screen a second neighbour
    shape: tuple = (0.0, 0.0, 0.0)  # rho_l^2 over the square of one neighbour's density, l = 1, 2, 3


LATTICES = {
    "fcc": Lattice(12, 1.0 / math.sqrt(2.0), 6, math.sqrt(2.0), 4),
    "bcc": Lattice(8, math.sqrt(3.0) / 2.0, 6, 2.0 / math.sqrt(3.0), 4),
    "hcp": Lattice(12, 1.0, 6, math.sqrt(2.0), 4, (0.0, 0.0, 1.0 / 3.0)),
    "sc": Lattice(6, 1.0, 12, math.sqrt(2.0), 2),
    "dia": Lattice(4, math.sqrt(3.0) / 4.0, 12, math.sqrt(8.0 / 3.0), 1, (0.0, 0.0, 32.0 / 9.0)),
    "dim": Lattice(1, 1.0, 0, 1.0, 0, (1.0, 2.0 / 3.0, 0.4)),
    "b1": Lattice(6, 0.0, 12, math.sqrt(2.0), 2),
    "b2": Lattice(8, 0.0, 6, 2.0 / math.sqrt(3.0), 4),
    "l12": Lattice(12, 0.0, 6, math.sqrt(2.0), 4),  # three of the first element, one of the second
}


@dataclass(frozen=True)
class Reference:
    """The numbers of S elements, as NumPy arrays, from which the pair energies follow.

    Of numbers of pairs those of a <= b count.
    """

    lattice: dict  # {(a, b): name}, a <= b
    energy: np.ndarray  # (S, S) eV, cohesive energy per atom
    re: np.ndarray  # (S, S) A
    alpha: np.ndarray  # (S, S)
    attraction: np.ndarray  # (S, S)
    repulsion: np.ndarray  # (S, S)
    second: np.ndarray  # (S, S) bool: second neighbours are counted
    zbl: np.ndarray  # (S, S) bool: a nuclear repulsion replaces phi at short distances
    c_min: np.ndarray  # (S, S, S)
    c_max: np.ndarray  # (S, S, S)
    rho0: np.ndarray  # (S,)
    beta: np.ndarray  # (4, S)
    t: np.ndarray  # (3, S)
    strength: np.ndarray  # (S,) eV
    kind: tuple  # (S,)
    charge: tuple  # (S,) atomic numbers, for the nuclear repulsion
    smoothing: float
    mixing: int
    form: int  # of the equation of state: 0, 1, 2
    linear_below: bool
    simple_background: bool  # the background counts the nearest neighbours alone

    def backgrounds(self) -> np.ndarray:
        """The densities of the elements' reference structures, (S,)."""
        found = []
        for a, rho0 in enumerate(self.rho0):
            lattice = LATTICES[self.lattice[a, a]]
            total = float(rho0 * lattice.neighbors)
            if not self.simple_background:
                if self.second[a, a]:
                    with np.errstate(over="ignore"):
                        outer = rho0 * np.exp(-self.beta[0, a] * (lattice.ratio - 1.0))
                    total += lattice.second * outer * self._shown(lattice, a, a)
                if self.kind[a] > 0:
                    gamma = np.dot(self.t[:, a], lattice.shape) / lattice.neighbors**2
                    with np.errstate(over="ignore"):
                        total *= float(gain(gamma, self.kind[a], self.smoothing, np))
            found.append(total)
        return np.array(found)

    def tables(self, r: np.ndarray) -> np.ndarray:
        """phi of all pairs of elements at distances r (n,) A: (S (S + 1) / 2, n) eV, pairs as 00, 10, 11, ..."""
        background = self.backgrounds()
        count = len(self.rho0)
        with np.errstate(over="ignore", invalid="ignore"):  # whoever uses a table sees that it is not finite
            return np.array([self._table(r, a, b, background) for b in range(count) for a in range(b + 1)])

    def _table(self, r, a, b, background):
        """phi of two elements: of the nearest neighbours, less what second neighbours add to the energy."""
        name = self.lattice[a, b]
        lattice = LATTICES[name]
        phi = self._nearest(r, a, b, background)
        if self.second[a, b]:
            if name in ("b1", "b2", "l12", "dia"):
                far_a, far_b = (
                    self._like(lattice.ratio * r, c, background, first=LATTICES[self.lattice[c, c]]) for c in (a, b)
                )
                if name == "l12":
                    phi = phi - 0.75 * self._shown_l12(a, b)[0] * far_a - 0.25 * self._shown_l12(a, b)[1] * far_b
                else:
                    half = lattice.second / (2.0 * lattice.neighbors)
                    phi = phi - half * (self._shown(lattice, a, b) * far_a + self._shown(lattice, b, a) * far_b)
            else:
                phi = phi + self._series(r, a, b, background, lattice, self._shown(lattice, a, b))
        return self._with_repulsion(phi, r, a, b) if self.zbl[a, b] else phi

    def _with_repulsion(self, phi, r, a, b):
        """The repulsion of nuclei up to three lengths of the equation of state before re, mixed with phi up to one."""
        stretch = self.alpha[a, b] * (r / self.re[a, b] - 1.0)
        part = screening_fade(0.5 * (stretch + 3.0), np)
        return part * phi + (1.0 - part) * _zbl(r, self.charge[a], self.charge[b])

    def _like(self, r, a, background, first):
        """phi of an element with its second neighbours, whether or not its own table counts these."""
        return self._nearest(r, a, a, background) + self._series(r, a, a, background, first, self._shown(first, a, a))

    def _series(self, r, a, b, background, lattice, shown):
        """Contributions to phi of second neighbours, and of theirs in turn: at most ten terms, as in LAMMPS."""
        total, ongoing = np.zeros_like(r), np.ones(r.shape, bool)
        factor = -lattice.second * shown / lattice.neighbors
        for n in range(1, 11 if shown > 0.0 else 1):
            term = factor**n * self._nearest(r * lattice.ratio**n, a, b, background)
            ongoing &= np.abs(term) >= 1e-20
            total += np.where(ongoing, term, 0.0)
        return total

    def _nearest(self, r, a, b, background):
        """phi without second neighbours: Z/2 phi + F = the equation of state, per atom; zero at r = 0."""
        name = self.lattice[a, b]
        rho_a, squares_a, rho_b, squares_b = self._densities(r, a, b, name)
        t_a, t_b = self._mean_weights(r, a, b, name)
        embed_a = self._embed(rho_a, squares_a, t_a, a, background[a])
        embed_b = self._embed(rho_b, squares_b, t_b, b, background[b])
        bound = self._rose(r, a, b)
        if name == "l12":
            phi = bound / 3.0 - embed_a / 4.0 - embed_b / 12.0
            phi = phi - self._like(r, a, background, first=LATTICES[self.lattice[a, a]])
        else:
            phi = (2.0 * bound - embed_a - embed_b) / LATTICES[name].neighbors
        some = (r > 0.0) & ((rho_a > _NONE) | (rho_b > _NONE))
        return np.where(some, phi, 0.0)

    def _densities(self, r, a, b, name):
        """rho_0 and the squares of rho_1, rho_2, rho_3 at an atom a, and at b, in the structure of both."""
        lattice = LATTICES[name]
        one, two = self._atomic(r, a), self._atomic(r, b)
        squares_a = [shape * w * w for shape, w in zip(lattice.shape, two[1:], strict=True)]
        squares_b = [shape * w * w for shape, w in zip(lattice.shape, one[1:], strict=True)]
        rho_a, rho_b = lattice.neighbors * two[0], lattice.neighbors * one[0]
        shown_a, shown_b = self._shown(lattice, a, b), self._shown(lattice, b, a)
        if name == "l12":
            rho_a = 8.0 * one[0] + 4.0 * two[0]
            squares_a[1] = 8.0 / 3.0 * (one[2] - two[2]) ** 2
            if self.mixing == 1:
                t_a, t_b = self.t[1, a], self.t[1, b]
                mean = 8.0 * one[0] * t_a**2 + 4.0 * two[0] * t_b**2
                square = 8.0 / 3.0 * (one[2] * t_a - two[2] * t_b) ** 2
                squares_a[1] = np.where(mean > 0.0, square / np.where(mean > 0.0, mean, 1.0) * rho_a, square)
            shown_a, shown_b = self._shown_l12(a, b)
        if self.second[a, b]:
            rho_a = rho_a + lattice.second * shown_a * self._atomic(lattice.ratio * r, a)[0]
            rho_b = rho_b + lattice.second * shown_b * self._atomic(lattice.ratio * r, b)[0]
        return rho_a, squares_a, rho_b, squares_b

    def _mean_weights(self, r, a, b, name):
        """t of the atoms a and b in the structure of both."""
        own, other = self.t[:, a, None], self.t[:, b, None]
        if self.mixing == 2:
            return own, other
        if name == "l12":
            one, two = 8.0 * self._atomic(r, a)[0], 4.0 * self._atomic(r, b)[0]
            some = one + two > 0.0
            part = np.where(some, one / np.where(some, one + two, 1.0), 2.0 / 3.0)
            return own * part + other * (1.0 - part), own
        return other, own

    def _embed(self, rho, squares, t, a, background):
        safe = np.where(rho < _NONE, 1.0, rho)
        gamma = np.where(rho < _NONE, 0.0, sum(tl * s for tl, s in zip(t, squares, strict=True)) / (safe * safe))
        n = rho / background * gain(gamma, self.kind[a], self.smoothing, np)
        positive = np.where(n > 0.0, n, 1.0)
        below = -n if self.linear_below else 0.0
        return self.strength[a] * np.where(n > 0.0, positive * np.log(positive), below)

    def _atomic(self, r, a):
        """The densities w_0 to w_3 that an atom brings to its neighbours, (4, n)."""
        return self.rho0[a] * np.exp(-self.beta[:, a, None] * (r / self.re[a, a] - 1.0))

    def _rose(self, r, a, b):
        """The equation of state of J. H. Rose et al., with a cubic term, eV per atom."""
        x = self.alpha[a, b] * (r / self.re[a, b] - 1.0)
        attraction, repulsion = self.attraction[a, b], self.repulsion[a, b]
        cubic = np.where(x >= 0.0, attraction, repulsion)
        safe = np.where(r > 0.0, r, 1.0)
        if self.form == 1:
            cubic = repulsion / safe - attraction
        elif self.form == 0:
            cubic = cubic * self.re[a, b] / safe
        return -self.energy[a, b] * (1.0 + x + cubic * x**3) * np.exp(-x)

    def _shown(self, lattice, a, b):
        """Screening by nearest neighbours b of the pair of an atom a with a second neighbour a."""
        if not lattice.second:
            return 0.0
        c = 4.0 / lattice.ratio**2 - 1.0
        return float(self._screen(c, a, a, b) ** lattice.between)

    def _shown_l12(self, a, b):
        """The same in L1_2: for a, between two of each; for b, between four of a."""
        return (
            float(self._screen(1.0, a, a, a) ** 2 * self._screen(1.0, a, a, b) ** 2),
            float(self._screen(1.0, b, b, a) ** 4),
        )

    def _screen(self, c, i, j, k):
        c_min, c_max = self.c_min[i, j, k], self.c_max[i, j, k]
        return screening_fade((c - c_min) / (c_max - c_min), np)


def _zbl(r, one, two):
    """The universal repulsion of J. F. Ziegler, J. P. Biersack, U. Littmark, with the digits of MEAM's files."""
    x = r * (one**0.23 + two**0.23) / 0.4685
    parts = ((0.028171, 0.20162), (0.28022, 0.40290), (0.50986, 0.94229), (0.18175, 3.1998))
    screening = sum(c * np.exp(-d * x) for c, d in parts)
    return np.where(r > 0.0, screening * one * two * 14.3997 / np.where(r > 0.0, r, 1.0), screening)

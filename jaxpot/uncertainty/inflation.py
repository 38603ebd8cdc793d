"""By how much the bars of a posterior are widened: near the data, and away from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxpot.data.predictions import KINDS
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import AnyArray

_REACH = 0.3  # A: the largest bar of an energy per atom is that of a force times this
_AWAY = "away"  # of `Posterior.calibration`


@dataclass(frozen=True)
class Inflation:
    """Factors and limits of epistemic deviations, as a calibration finds them.

    A frame of N atoms whose energy has the deviation s_E before any factor is away from the data by

        phi = max(0, 1 - (N u / s_E)^2),

    0 for the frames that a fit interpolates to, and nearly 1 where s_E is several times what is usual. With s_i those
    of its site energies and s_F that of a force, a_k the factor of a kind and a the largest of them, the deviations are

        energy:   [g s_E^2 + phi r a_E^2 ((sum_i s_i)^2 - s_E^2)]^(1/2),   g = a_E^2 + phi (f^2 a^2 - a_E^2)
        forces:   g^(1/2) s_F,   with a_F                                  (stresses likewise)
        x -> x / (1 + (x / largest)^2)^(1/2)                               (energies per atom, and forces)

    Errors of the atoms of an unfamiliar frame are alike: a model that is wrong about one is wrong about all. Posteriors
    that take their misfit for independent noise of the labels make too little of that, and so does the spread of a few
    networks; sum_i s_i is the deviation of atoms whose errors are the same, and r is how far to go there. 1/4, of
    processes, was chosen with the answers of Li, Ge, Si, Cu and Ni of mlearn's data in view, fitted to bulk crystals
    and shown vacancies, surfaces and melts (Mo was not); half of that is the most that
    committees have (those of Li, Ge, Cu, Mo and Si in view), less where frames in the data have bars too wide by it.
    r = 0 of fixed functions alone: many of them know energies well and site energies hardly, so that sum_i s_i says
    nothing. Of a Gaussian process, whose mean falls back to the prior's where data are far, no error is much larger
    than what it is an error of; networks have no limit.

    How far a committee's errors are from its spread depends on the spread: by many times too small near the data, too
    large where members differ by what bonds are worth. So f is a function of s_E / N, found by clusters of frames left
    out, at whose spreads it is known; between them log f is linear in log s.

    Attributes:
        factors: kind -> a_k.
        far: f, or the largest of its values.
        levels: pairs (s, f), ascending, where f depends on the deviation of energies per atom (eV); empty: f is `far`.
        usual: u, eV/atom, what most frames left out by chance stay below; infinite: nothing is away from the data.
        largest: kind ("energy", per atom, and "forces") -> largest deviation.
        alike: r.

    References:
        D. Perez et al., arXiv:2502.07104 (2025) (misfit is no noise); V. Vovk et al., Algorithmic Learning in a Random
        World (2005), chapter 2 (intervals scaled by a measure of how strange an object is).
    """

    factors: Mapping = field(default_factory=dict)
    far: float = 1.0
    levels: tuple[tuple[float, float], ...] = ()
    usual: float = np.inf
    largest: Mapping = field(default_factory=dict)
    alike: float = 0.0

    @classmethod
    def of(cls, posterior: Posterior) -> "Inflation":
        """Factors and limits of a posterior; all factors are 1 if it was not calibrated."""
        factors = {k: float(np.asarray(posterior.calibration[k])[0]) for k in KINDS if k in posterior.calibration}
        if _AWAY not in posterior.calibration:
            return cls(factors)
        far, usual, most, alike, *levels = np.asarray(posterior.calibration[_AWAY]).tolist()
        return cls(factors, far, tuple(zip(levels[::2], levels[1::2], strict=True)), usual, largest_of(most), alike)

    def entries(self) -> dict[str, AnyArray]:
        """Of `Posterior.calibration`, beside the factors; `of` reads them."""
        head = [self.far, self.usual, self.largest.get("forces", np.inf), self.alike]
        return {_AWAY: np.array([*head, *(number for level in self.levels for number in level)])}

    @staticmethod
    def told(calibration: dict) -> dict:
        """Calibration of a posterior that is told by its covariance what is away from the data."""
        return {key: value for key, value in calibration.items() if key != _AWAY}

    def away(self, energy: AnyArray, atoms: AnyArray) -> np.ndarray:
        """phi, and phi f^2, of frames with these deviations of their energies, (2, ...)."""
        per_atom = np.asarray(energy) / atoms
        with np.errstate(divide="ignore", invalid="ignore"):
            phi = np.where(per_atom > self.usual, 1.0 - (self.usual / per_atom) ** 2, 0.0)
        return np.stack([phi, phi * self.far_at(per_atom) ** 2])

    def far_at(self, per_atom: AnyArray) -> np.ndarray:
        """f where energies have these deviations, eV/atom."""
        if not self.levels:
            return np.full(np.shape(per_atom), self.far)
        levels = np.log(self.levels)
        return np.exp(np.interp(np.log(np.maximum(per_atom, 1e-300)), *levels.T))

    def variance(self, deviations: AnyArray, of_sites: AnyArray, atoms: AnyArray) -> np.ndarray:
        """Variances of energies of whole frames over a_E^2, without a limit, (N,) eV^2.

        Args:
            deviations: of the energies.
            of_sites: sums of those of the site energies.
            atoms: their numbers.
        """
        away, squares = self.away(deviations, atoms), np.square(deviations)
        alike = self.alike * np.maximum(np.square(of_sites) - squares, 0.0)
        return self.growth("energy", away) * squares + away[0] * alike

    def energy(self, deviations: AnyArray, of_sites: AnyArray, atoms: AnyArray) -> np.ndarray:
        """Deviations of energies of whole frames, (N,) eV; arguments as of `variance`."""
        return self._limited("energy", np.sqrt(self.variance(deviations, of_sites, atoms)) / atoms) * atoms

    def others(self, kind: str, deviations: AnyArray, away: AnyArray) -> np.ndarray:
        """Deviations of forces, or of stresses, of frames that are so far away from the data, see `away`."""
        return self._limited(kind, np.asarray(deviations) * np.sqrt(self.growth(kind, away)))

    def growth(self, kind: str, away: AnyArray) -> np.ndarray:
        """g over a_k^2 of a kind, of frames that are so far away from the data, see `away`."""
        factor, most = self.factors.get(kind, 1.0), max(self.factors.values(), default=1.0)
        share = factor / most if most > 0.0 else 1.0
        phi, grown = away
        return 1.0 - phi + grown / share**2

    def _limited(self, kind, deviations):
        scaled = self.factors.get(kind, 1.0) * deviations
        return scaled / np.sqrt(1.0 + np.square(scaled / self.largest.get(kind, np.inf)))


def largest_of(forces: float) -> dict[str, Any]:
    """`Inflation.largest` for the largest bar of a force."""
    return {"energy": _REACH * forces, "forces": forces}

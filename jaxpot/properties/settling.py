"""Ions of strained copies of a crystal, brought to rest by its forces: nothing is differentiated, or compiled anew."""

import numpy as np

from jaxpot.core.precision import to_device
from jaxpot.core.structure import Structure
from jaxpot.errors import ConvergenceError
from jaxpot.potentials.base import Potential
from jaxpot.properties.blocks import Blocks
from jaxpot.properties.search import Search
from jaxpot.typing import AnyArray, Array

_STEPS = 40
_SMALL = 1e3  # of the spacing of numbers near 1: a step, A, that ends the search
_ROUNDING = 1e6  # below so many of these, a step that is no smaller than half of the one before is rounding

_NO_REST = (
    "the ions of a strained copy of the crystal do not come to rest: the crystal is at the limit of its stability, or "
    "the potential jumps there (a neighbour shell crosses its cutoff)"
)


class Settling:
    """The concrete counterpart of `strained_ions.at_rest`, for one potential and one set of displacements.

    Quasi-Newton steps (C. G. Broyden, Math. Comp. 19, 577 (1965)) that begin with the second derivatives of the crystal
    itself; the forces come from the program that relaxes crystals.

    Args:
        potential: concrete.
        start: a crystal; its copies are near it.
        moves: (k, n, 3) displacements whose sums the ions move by.
    """

    def __init__(self, potential: Potential, start: Structure, moves: AnyArray) -> None:
        self._search = Search(potential, start, np.zeros((0, 3, 3)), 0.0, symmetry=False)
        self._moves = np.asarray(moves).reshape(len(moves), 3 * len(start))

    def internal(self, blocks: Blocks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Second derivatives by w (k, k), by w and strains (k, s), and the slope by w (k,), of `Blocks`."""
        moves = self._moves
        stiffness = moves @ np.asarray(blocks.internal) @ moves.T
        return stiffness, moves @ np.asarray(blocks.coupling), moves @ np.asarray(blocks.pull)

    def curvature(self, blocks: Blocks) -> np.ndarray:
        """Second derivatives of the energy by strains, (s, s) eV, ions following."""
        stiffness, coupling, _ = self.internal(blocks)
        return np.asarray(blocks.by_strain) - coupling.T @ np.linalg.solve(stiffness, coupling)

    def strained(
        self, structure: Structure, blocks: Blocks, strains: AnyArray, e: AnyArray, to_rest: bool = True
    ) -> Structure:
        """The structure strained by the sum of e (s,) times strains (s, 3, 3), ions at rest.

        Args:
            blocks: of the structure, or of one near it, along the strains.
            to_rest: whether the forces along `moves` shall vanish; else they stay what they are without strain.

        Raises:
            ConvergenceError: the ions find no place at rest.
        """
        deformation = np.eye(3) + np.tensordot(np.asarray(e), np.asarray(strains), 1)
        if not len(self._moves):
            return self._moved(structure, deformation, np.zeros(0))
        stiffness, coupling, pull = self.internal(blocks)
        goal = 0.0 if to_rest else pull
        try:
            inverse = np.linalg.inv(stiffness)
        except np.linalg.LinAlgError as error:
            raise ConvergenceError(_NO_REST) from error
        w = -inverse @ (coupling @ np.asarray(e) + pull - goal)
        spacing, last, slope = np.finfo(structure.cell.dtype).eps, np.inf, None
        step: np.ndarray = w
        for _ in range(_STEPS):
            if not np.isfinite(w).all():
                break
            before, slope = slope, self._slope(structure, deformation, w) - goal
            if before is not None:
                change = inverse @ (slope - before)
                if not abs(step @ change) > 0.0:
                    break
                inverse = inverse + np.outer(step - change, step @ inverse) / (step @ change)
            step = -inverse @ slope
            size = np.abs(step).max()
            w = w + step
            if size <= _SMALL * spacing or (size <= _ROUNDING * spacing and size > 0.5 * last):
                return self._moved(structure, deformation, w)
            last = size
        raise ConvergenceError(_NO_REST)

    def _slope(self, structure, deformation, w):
        """dE/dw, (k,) eV/A."""
        forces = self._search.evaluate_structure(self._moved(structure, deformation, w))[1]
        return self._moves @ (-forces @ deformation.T).ravel()

    def _moved(self, structure, deformation, w):
        displacements = (w @ self._moves).reshape(-1, 3)
        arrays: list[Array] = [
            to_device((np.asarray(array) @ deformation).astype(structure.cell.dtype))
            for array in (np.asarray(structure.positions) + displacements, structure.cell)
        ]
        return structure.moved(*arrays)

"""The embedded-atom method with tabulated functions, as LAMMPS interpolates them."""

from typing import Self

import jax.numpy as jnp
import numpy as np

from jaxpot.basis.cutoffs import inside
from jaxpot.basis.splines import coefficients, interpolated, locate
from jaxpot.core.graph import Environment, species_index
from jaxpot.core.numbers import as_length
from jaxpot.core.precision import as_float, concrete
from jaxpot.core.pytree import pytree, static
from jaxpot.errors import DataError
from jaxpot.potentials.base import OwnPrecision, Potential
from jaxpot.potentials.parameters import species_numbers
from jaxpot.typing import Array, ArrayField, DTypeLike

# Smaller jumps at the cutoff are taken for the rounding of a table that ends with zero.
_JUMP_ENERGY, _JUMP_FORCE = 1e-12, 1e-10  # eV, eV/A


@pytree
class EAM(OwnPrecision, Potential):
    """Embedded-atom method: E = sum_i F_i(rho_i) + sum over pairs phi_ij(r), rho_i = sum_j f_j(r_ij).

    The functions are given as tables on uniform grids, which are the parameters, and are interpolated by
    the cubics of `basis.splines` (LAMMPS's `eam/alloy`). Of the pair term z = r phi is tabulated. A neighbour may
    bring another density to each species (Finnis-Sinclair alloys, LAMMPS's `eam/fs`): rho_i = sum_j f_ji(r_ij).

    The ends belong to the definition. Only pairs with r < cutoff count. Above the last tabulated density F
    continues as a straight line; below the first its first cubic continues. Distances beyond the last point
    of a table, but within the cutoff, take the value at that point (LAMMPS gives that energy, but the force
    of the slope at the end; here the force is the derivative of the energy, and zero).

    Args:
        embedding: F, (S, n_rho) eV, on rho = 0, drho, 2 drho, ...
        density: f of each species as a neighbour, (S, n_r), on r = 0, dr, 2 dr, ...; or (S, S, n_r), of each species
            as a neighbour (first index) at each species.
        pair: z = r phi, (S (S + 1) / 2, n_r) eV A; unordered pairs as 00, 10, 11, 20, 21, 22, ...
        drho: step in density (its unit is arbitrary).
        dr: step in distance, A.
        cutoff: A.
        species: the elements, by symbol or number.
        line_from: the density above which F continues as a straight line; by default the last one. Between the last
            and this F is constant (LAMMPS's `eam`, by one step).
        smoothness: found from the tables. The curves are C1, second derivatives jump at the knots; but many
            published tables are cut off before they have fallen to zero, and then the energy, or the
            force, jumps at the cutoff (-1 or 0). The corner at `line_from`, beyond the tables, is not counted.

    References:
        M. S. Daw, M. I. Baskes, Phys. Rev. B 29, 6443 (1984).
        M. W. Finnis, J. E. Sinclair, Philos. Mag. A 50, 45 (1984): densities of pairs.
        Interpolation and ends: documentation of LAMMPS, `pair_style eam/alloy`, and comparison with it.
    """

    embedding: ArrayField
    density: ArrayField
    pair: ArrayField
    drho: float = static()
    dr: float = static()
    cutoff: float = static()
    species: tuple = static()
    line_from: float | None = static(default=None)
    smoothness: int = static(default=-1)

    def __post_init__(self):
        species = species_numbers(self.species)
        if species is None:
            raise DataError("species: name the elements of the tables, in their order")
        object.__setattr__(self, "species", species)
        for name in ("drho", "dr", "cutoff"):
            object.__setattr__(self, name, as_length(getattr(self, name), name))
        count = len(species)
        for name, rows in (("embedding", count), ("density", count), ("pair", count * (count + 1) // 2)):
            table = as_float(getattr(self, name), name)
            shapes = [(rows,), (count, count)] if name == "density" else [(rows,)]
            if table.shape[:-1] not in shapes or table.shape[-1] < 5:
                raise DataError(f"{name}: expected {rows} tables of at least 5 points, got {table.shape}")
            object.__setattr__(self, name, table)
        if self.density.shape[-1] != self.pair.shape[1]:
            lengths = f"{self.density.shape[-1]} and {self.pair.shape[1]}"
            raise DataError(f"density and pair tables must have the same grid, but have {lengths} points")
        end = self.drho * (self.embedding.shape[1] - 1)
        if self.line_from is not None and not end * (1.0 - 1e-12) <= self.line_from < np.inf:
            raise DataError(f"line_from: expected a density from {end:.8g} on, where tables end, got {self.line_from}")
        tables = [concrete(table) for table in (self.embedding, self.density, self.pair)]
        if all(table is not None for table in tables):
            object.__setattr__(self, "smoothness", _smoothness(*tables, self.drho, self.dr, self.cutoff))

    def cast(self, dtype: DTypeLike) -> Self:
        """The same: tables stay as they are, since differences of their values are needed (`basis.splines`)."""
        return self

    def site_energy(self, environment: Environment) -> Array:
        """Embedding energy of the atom and half its pair energy, () eV."""
        i = species_index(self.species, environment.number)
        j = species_index(self.species, environment.numbers)
        n_r, n_rho = self.pair.shape[1], self.embedding.shape[1]

        mask, r = inside(environment.distances, self.cutoff)
        m, p = locate(r, self.dr, n_r, largest=self.cutoff)
        if len(self.species) == 1:
            at_density, at_pair = m, m
        else:
            row = j if self.density.ndim == 2 else j * len(self.species) + i
            at_density, at_pair = m + row * n_r, m + self._pair_row(i, j) * n_r
        # Coefficients depend on parameters alone: XLA moves them out of the loop over chunks.
        density = interpolated(coefficients(self.density, r.dtype), at_density, p)
        pair = interpolated(coefficients(self.pair, r.dtype), at_pair, p) / r
        rho = jnp.sum(jnp.where(mask, density, 0.0))
        return self._embed(rho, i, n_rho) + 0.5 * jnp.sum(jnp.where(mask, pair, 0.0))

    def _embed(self, rho, i, n_rho):
        m, p = locate(rho, self.drho, n_rho)
        if len(self.species) > 1:
            m = m + i * n_rho
        flat = self.embedding.reshape(-1)
        last = n_rho - 1 + (i * n_rho if len(self.species) > 1 else 0)
        slope = flat.at[last].get(mode="promise_in_bounds") - flat.at[last - 1].get(mode="promise_in_bounds")
        start = n_rho - 1 if self.line_from is None else self.line_from / self.drho
        excess = jnp.maximum(rho * (1.0 / self.drho) - start, 0.0)
        return interpolated(coefficients(self.embedding, rho.dtype), m, p) + slope.astype(rho.dtype) * excess

    def _pair_row(self, i, j):
        """Row of the pair table of two species indices."""
        count = len(self.species)
        a, b = np.indices((count, count))
        high, low = np.maximum(a, b), np.minimum(a, b)
        table = jnp.asarray((high * (high + 1) // 2 + low).reshape(-1).astype(np.int32))
        return table.at[i * count + j].get(mode="promise_in_bounds")


def _smoothness(embedding, density, pair, drho, dr, cutoff):
    """1, or less if the tables end with a jump of the energy or of the force that somebody could notice."""
    steepest = np.abs(np.diff(embedding)).max() / drho  # turns densities into energies
    m = int(min(cutoff / dr, pair.shape[1] - 2))
    p = min(cutoff / dr - m, 1.0)
    pair = pair / np.maximum(dr * np.arange(pair.shape[1]), dr)
    value, slope = 0.0, 0.0
    for table in (steepest * density, pair):
        before, after = table[..., m], table[..., m + 1]
        value = max(value, np.abs(before + p * (after - before)).max())
        slope = max(slope, np.abs(after - before).max() / dr)
    if value > _JUMP_ENERGY:
        return -1
    return 0 if slope > _JUMP_FORCE else 1

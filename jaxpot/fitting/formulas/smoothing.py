"""Tabulated potentials made smooth: their functions refitted as curves with four continuous derivatives."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot import units
from jaxpot.basis.cubic_splines import cubic_values
from jaxpot.basis.fades import fade as fade_by_name
from jaxpot.basis.quintic_splines import QuinticSpline
from jaxpot.basis.spline_fits import fit_spline, values_and_slopes
from jaxpot.basis.splines import slopes
from jaxpot.checks import check_potential
from jaxpot.core.elements import symbol
from jaxpot.core.numbers import as_length, as_positive
from jaxpot.core.precision import require_concrete
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError
from jaxpot.observables import evaluate as evaluate_potential
from jaxpot.potentials.base import Potential, Scaled, Sum, terms_of
from jaxpot.potentials.eam import EAM
from jaxpot.potentials.glue import Glue
from jaxpot.potentials.meam import MEAM
from jaxpot.potentials.spline_eam import SplineEAM
from jaxpot.properties.elastic import elastic_constants

_LARGE = 10.0  # eV; differences of larger energies count relative to them
_POINTS = 4000  # at which a function that is not a table is looked at
_JUMP_ENERGY, _JUMP_FORCE = 1e-6, 1e-4  # eV, eV/A; with more of these at the cutoff, functions are faded
_STEEP = 90.0  # the percentile of slopes of F that turns densities into energies


@dataclass(frozen=True)
class FunctionDifference:
    """Difference of a smooth function from its table, at the table's points from `start` to `end`.

    name, unit: F, f or phi of which elements; eV, or "" for densities. points, intervals: of the table there, and of
    the spline; shortest: of these, A or in the unit of densities. largest, rms: of the function; slope_largest,
    slope_rms: of its derivative. missed: the points that are missed by more than the tolerance and the rounding of the
    table, (m,): it has a kink there, a jump, or steps that are too long. faded_from: A, from where on a function that
    does not vanish at the cutoff has been brought to zero; None: nowhere.
    """

    name: str
    unit: str
    start: float
    end: float
    points: int
    intervals: int
    shortest: float
    largest: float
    rms: float
    slope_largest: float
    slope_rms: float
    missed: np.ndarray
    faded_from: float | None = None


@dataclass(frozen=True)
class CrystalDifference:
    """Crystal before and after: energies () eV per atom, forces (n, 3) eV/A, elastic constants (6, 6) eV/A^3."""

    energies: tuple
    forces: tuple
    stiffness: tuple


@dataclass(frozen=True)
class Smoothed:
    """Smoothed potential, and its differences from the one that was given; printed as a table."""

    potential: Potential
    differences: tuple
    crystal: CrystalDifference | None = None

    def __str__(self) -> str:
        head = f"{'':14}{'from':>9}{'to':>9}{'points':>8}{'knots':>7}{'shortest':>10}"
        lines = ["Differences from the tables, in eV and A (densities in their own unit)",
                 f"{head}{'largest':>10}{'rms':>10}{'slopes':>10}{'rms':>10}"]
        for d in self.differences:
            lines.append(
                f"{d.name:14}{d.start:9.4g}{d.end:9.4g}{d.points:8d}{d.intervals + 1:7d}{d.shortest:10.2g}"
                f"{d.largest:10.1e}{d.rms:10.1e}{d.slope_largest:10.1e}{d.slope_rms:10.1e}"
                + (f"  {len(d.missed)} missed, {d.missed.min():.4g} to {d.missed.max():.4g}" if len(d.missed) else "")
                + (f"  faded from {d.faded_from:.4g} A" if d.faded_from is not None else "")
            )
        if self.crystal is not None:
            c = self.crystal
            force = float(np.abs(c.forces[1] - c.forces[0]).max())
            gpa = [np.asarray(c.stiffness[k]) / units.GPa for k in (0, 1)]
            lines.append(f"Crystal: energy per atom {c.energies[0]:.6f} -> {c.energies[1]:.6f} eV, "
                         f"forces off by up to {force:.1e} eV/A, elastic constants (GPa)")
            lines += [f"  {name} {gpa[0][k]:9.3f} -> {gpa[1][k]:9.3f}"
                      for name, k in (("C11", (0, 0)), ("C12", (0, 1)), ("C44", (3, 3)))]
        return "\n".join(lines)


def smoothed(
    potential: Potential, structure: Any | None = None, *, tolerance: float = 1e-9, highest: float | None = 100.0,
    fade: float | None = 0.5,
) -> Smoothed:
    """Replace the tables of a potential by curves with four continuous derivatives, and compare.

    Tables of EAM files are interpolated by cubics, whose second derivatives jump at every point (QUIP's Glue: third
    derivatives). Third and fourth derivatives of the energy (third-order elastic constants, Grueneisen parameters,
    thermal expansion) need better: each function becomes a quintic spline, fitted to the points of its table by least
    squares, with as few knots as the tolerance allows (`basis.spline_fits`): where knots are as dense as the points,
    a table's kinks and rounding become large higher derivatives.

    What is followed, and what comes beyond: F from the density 0 to the last one, or to where it differs from F(0)
    by more than `highest`, and goes on as a straight line; pairs and densities from the distance below which they
    exceed `highest`, where z = r phi and f go on as straight lines; up to the cutoff, where they end with four
    vanishing derivatives. A function that ends there with more than 1e-6 eV, or a slope of more than 1e-4 eV/A, is
    first brought to zero by a polynomial over the last stretch of the length `fade`. Other kinks and jumps of a
    function stay, within some points of the table: the curve is as steep there as the file, and `missed` says where.

    Terms of sums, and scaled potentials, are replaced one by one; those without tables stay as they are.

    Args:
        potential: an EAM or Glue, or with such terms.
        structure: a crystal, relaxed with the potential, to be compared: energy, forces and elastic constants.
        tolerance: eV, by how much a function may be off at the points of its table: F and phi (above 10 eV relative to
            them, per 10 eV), and densities times a typical slope of F. More, where the table is rounded more coarsely.
        highest: eV, above which tables are not followed.
        fade: A.

    Returns:
        `Smoothed`: `.potential`, `.differences`; print it.

    Raises:
        DataError: no term has tables; or MEAM: of that only phi is a table, and its screening jumps in higher
            derivatives anyhow.
    """
    check_potential(potential)
    options = _Options(
        as_positive(tolerance, "tolerance", "a positive energy in eV"),
        as_positive(highest, "highest", "a positive energy in eV"), as_length(fade, "fade"),
    )
    terms = list(terms_of(potential))
    if any(isinstance(term, MEAM) for term in terms):
        raise DataError(
            "a MEAM cannot be made smooth: its pair energies are tables, but its screening is a formula and has one "
            "continuous derivative only"
        )
    if not any(isinstance(term, EAM | Glue) for term in terms):
        raise DataError(f"expected a potential with tables (EAM or Glue), got {potential!r}: nothing to smooth")
    differences: list = []
    smooth = _replaced(potential, options, differences)
    crystal = None if structure is None else _compared(potential, smooth, Structure.of(structure))
    return Smoothed(smooth, tuple(differences), crystal)


@dataclass(frozen=True)
class _Options:
    tolerance: float
    highest: float
    fade: float


@dataclass(frozen=True)
class _Table:
    """Points of a function; `radial` ones end at a cutoff, and of the pair term r phi is given."""

    name: str
    unit: str
    x: np.ndarray
    y: np.ndarray
    slopes: np.ndarray
    energies: np.ndarray  # what the values are as energies, eV
    scale: float  # energy, eV, of one unit
    end: float
    step: float
    radial: bool = False
    times_r: bool = False


def _replaced(potential, options, differences):
    if isinstance(potential, Sum):
        return Sum.of(*(_replaced(term, options, differences) for term in potential.terms))
    if isinstance(potential, Scaled):
        return Scaled(_replaced(potential.potential, options, differences), potential.factor)
    if not isinstance(potential, EAM | Glue):
        return potential
    tables = _tables_of_eam(potential) if isinstance(potential, EAM) else _tables_of_glue(potential)
    groups = []
    for group in tables:
        fits = [_fitted(table, options) for table in group]
        groups.append(tuple(spline for spline, _ in fits))
        differences += [difference for _, difference in fits if difference is not None]
    return SplineEAM(*groups, species=potential.species)


def _fitted(table, options):
    """Spline of a table, and its difference from it."""
    if not np.any(table.y):
        return _nothing(table), None
    followed = _followed(table, options.highest)
    x, y = table.x[followed], table.y[followed]
    start = 0.0 if followed[0] == 0 else float(x[0])
    weights = table.scale / (1.0 + np.abs(table.energies[followed]) / _LARGE)
    if table.times_r:
        weights = weights / np.maximum(x, table.step)
    end = table.end if table.radial else float(x[-1])
    target, faded_from = y, None
    if table.radial and _ends_abruptly(x, y, weights, end):
        faded_from = end - options.fade
        target = y * np.asarray(fade_by_name("poly4", jnp.asarray(x * x), end, max(faded_from, 0.0) / end))
    spline, missed = fit_spline(x, target, weights, options.tolerance, start, end, table.step, table.radial)
    values, derivatives = values_and_slopes(spline, x)
    off, slope_off = values - y, derivatives - table.slopes[followed]
    if table.times_r:
        r = np.maximum(x, table.step)
        off, slope_off = off / r, slope_off / r - off / r**2
    return spline, FunctionDifference(
        table.name, table.unit, float(x[0]), float(x[-1]), len(x), len(spline.breaks) - 1,
        float(spline.step * np.diff(spline.breaks).min()), *_largest_and_rms(off), *_largest_and_rms(slope_off),
        x[missed], faded_from,
    )


def _followed(table, highest):
    """Indices of the points: all that come after (radial), or before, those that are too high."""
    high = np.flatnonzero(np.abs(table.energies) > highest)
    if not len(high):
        return np.arange(len(table.x))
    return np.arange(high[-1] + 1, len(table.x)) if table.radial else np.arange(high[0])


def _ends_abruptly(x, y, weights, end):
    """True if a function jumps at its end, or its slope does: by the parabola through its last three points."""
    _, slope, value = np.polyfit(x[-3:] - end, y[-3:], 2)
    return weights[-1] * abs(value) > _JUMP_ENERGY or weights[-1] * abs(slope) > _JUMP_FORCE


def _nothing(table):
    """Function that is zero."""
    count = 1 if table.radial else 6
    return QuinticSpline(np.zeros(count), 0.0, table.end, (0, 1), table.radial)


def _values_and_slopes(function, x):
    x = jnp.asarray(x)
    values, derivatives = jax.jvp(jax.jit(function), (x,), (jnp.ones_like(x),))
    return np.asarray(values), np.asarray(derivatives)


def _largest_and_rms(off):
    return float(np.abs(off).max()), float(np.sqrt(np.mean(off**2)))


def _tables_of_eam(potential):
    """Tables of F, f and r phi, three lists."""
    remedy = "make it smooth outside of jit"
    F, f, z = (require_concrete(getattr(potential, name), name, remedy) for name in ("embedding", "density", "pair"))
    names = [symbol(number) for number in potential.species]
    count, cutoff = len(names), potential.cutoff
    rho, r = potential.drho * np.arange(F.shape[1]), potential.dr * np.arange(z.shape[1])
    embedding = [
        _Table(f"F({name})", "eV", rho, row, slope / potential.drho, row - row[0], 1.0, rho[-1], potential.drho)
        for name, row, slope in zip(names, F, np.asarray(slopes(F)), strict=True)
    ]
    scale = max(_typical_slope(table) for table in embedding)
    within = r < cutoff
    r = r[within]
    density, pair = [], []
    sites = [f"{name} at {site}" for name in names for site in names] if f.ndim == 3 else names
    by_row = (f.reshape(-1, f.shape[-1]), np.asarray(slopes(f)).reshape(-1, f.shape[-1]))
    for name, row, slope in zip(sites, *by_row, strict=True):
        row, slope = row[within], slope[within] / potential.dr
        density.append(_Table(f"f({name})", "", r, row, slope, scale * row, scale, cutoff, potential.dr, True))
    pairs = [f"{names[a]}-{names[b]}" for a in range(count) for b in range(a + 1)]
    for name, row, slope in zip(pairs, z, np.asarray(slopes(z)), strict=True):
        row, slope = row[within], slope[within] / potential.dr
        energies = row / np.maximum(r, potential.dr)
        pair.append(_Table(f"phi({name})", "eV", r, row, slope, energies, 1.0, cutoff, potential.dr, True, True))
    return embedding, density, pair


def _tables_of_glue(potential):
    """Functions of a glue at many points, as tables."""
    names = [symbol(number) for number in potential.species]
    remedy = "make it smooth outside of jit"
    pairs = {frozenset(pair): spline for pair, spline in zip(potential.pair_elements, potential.pairs, strict=True)}
    embedding, density, pair = [], [], []
    for k, name in enumerate(names):
        if potential.embedding is None:
            x = zero = np.zeros(0)
            embedding.append(_Table(f"F({name})", "eV", x, zero, zero, zero, 1.0, 1.0, 1.0))
            density.append(_Table(f"f({name})", "", x, zero, zero, zero, 1.0, potential.cutoff, 1.0, True))
            continue
        curve = potential.embedding[k]
        last = float(require_concrete(curve.knots, "knots", remedy)[-1])
        x = np.linspace(0.0, last, _POINTS)
        y, slope = _values_and_slopes(lambda x, curve=curve: cubic_values((curve,), 0, x), x)
        embedding.append(_Table(f"F({name})", "eV", x, y, slope, y - y[0], 1.0, last, x[1]))
    if potential.embedding is not None:
        scale = max(_typical_slope(table) for table in embedding)
        densities, cutoffs = np.asarray(potential.density), np.asarray(potential.density_cutoffs)
        for name, c, reach in zip(names, densities, cutoffs, strict=True):
            x = np.linspace(0.0, reach, _POINTS)[:-1]
            left = reach - x
            y = c * left**3
            slope = -3.0 * c * left**2
            density.append(_Table(f"f({name})", "", x, y, slope, scale * y, scale, float(reach), x[1], True))
    for a in range(len(names)):
        for b in range(a + 1):
            name = f"phi({names[a]}-{names[b]})"
            curve = pairs.get(frozenset((potential.species[a], potential.species[b])))
            if curve is None:
                zero = np.zeros(0)
                pair.append(_Table(name, "eV", zero, zero, zero, zero, 1.0, potential.cutoff, 1.0, True, True))
                continue
            end = float(require_concrete(curve.knots, "knots", remedy)[-1])
            x = np.linspace(0.0, end, _POINTS)[:-1]
            phi, slope = _values_and_slopes(lambda x, curve=curve: cubic_values((curve,), 0, x), x)
            pair.append(_Table(name, "eV", x, x * phi, phi + x * slope, phi, 1.0, end, x[1], True, True))
    return embedding, density, pair


def _typical_slope(table):
    """Typical slope of F, eV per unit of density; 1 where F is constant."""
    near = np.abs(table.energies) <= _LARGE
    return float(np.percentile(np.abs(table.slopes[near]), _STEEP)) or 1.0


def _compared(before, after, structure):
    evaluations = [evaluate_potential(potential, structure) for potential in (before, after)]
    stiffness = tuple(np.asarray(elastic_constants(potential, structure).voigt) for potential in (before, after))
    energies = tuple(float(f.energy) / len(structure) for f in evaluations)
    return CrystalDifference(energies, tuple(np.asarray(f.forces) for f in evaluations), stiffness)

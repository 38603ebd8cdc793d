"""`fit_form`: the parameters of a formula from data and measured properties, searched for all over their bounds."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.checks import check_potential, check_species
from jaxpot.core.elements import symbol
from jaxpot.core.numbers import as_positive, as_whole
from jaxpot.core.structure import Structure
from jaxpot.data.atomic_energies import tells_of_atoms
from jaxpot.data.dataset import Dataset
from jaxpot.data.predictions import KINDS, predict
from jaxpot.errors import ConvergenceError, DataError, JaxpotWarning
from jaxpot.fitting.clock import Clock
from jaxpot.fitting.formulas.least_squares import latin_hypercube, least_squares
from jaxpot.fitting.formulas.parameters import longest, parameters_of, potential_at, remade, values_at
from jaxpot.fitting.formulas.problem import Problem, Target
from jaxpot.fitting.formulas.residuals import labels_of, residuals
from jaxpot.fitting.formulas.result import FormFit, Parameter, Refinement
from jaxpot.fitting.formulas.uncertain import at_bounds, covariance, form_posterior
from jaxpot.fitting.left_out import clusters_of, folds_of
from jaxpot.observables import energy
from jaxpot.potentials.base import Potential, has_plan, terms_of
from jaxpot.potentials.constants import Constants
from jaxpot.potentials.terms import inner_cutoffs

_SIGMAS = {"energy": 0.01, "forces": 0.1, "stress": None}
_STEPS = 200  # of one descent
_FOLDS, _CLUSTERS = 4, 4  # of a calibration of error bars
_SAME_PLACE = 1e-3  # of the way between the bounds
_FREE = 1e-4  # eV; free atoms of formulas have no energy


def fit_form(
    potential: Potential, data: Dataset | None = None, *, free: Sequence[str] | None = None,
    bounds: dict[str, tuple[float, float]] | None = None, targets: Sequence[Target] = (),
    sigmas: dict[str, float | None] | None = None, starts: int = 64, refined: int = 8, seed: int = 0,
    test: Dataset | None = None, progress: Callable[[str], None] | None = None, keep_folds: bool = False,
) -> FormFit:
    """Fit the parameters of a formula to energies, forces and stresses, and to measured properties.

    Minimises, within bounds,

        cost = mean ((E - E_data) / n sigma_E)^2 + mean ((F - F_data) / sigma_F)^2 + mean ((S - S_data) / sigma_S)^2
               + sum over targets of ((q - value) / sigma)^2

    the first mean over frames of n atoms, the others over components. Each kind of label weighs as much as one target,
    however many frames there are: sigmas say which errors of energies, forces and properties are equally bad, and for a
    formula they are errors that it can be expected to have. Energies are less `data.e0`, those of isolated atoms; where
    least squares have found these (no isolated atoms in the data), a constant for each element is found anew with the
    parameters, and energies say nothing of cohesion: targets may.

    The search begins from the values given and from a Latin hypercube all over the bounds, logarithmic where both have
    one sign; from the best of these starts the cost is minimised by Levenberg and Marquardt's method with exact
    derivatives. Where there are labels, these lead the way, and targets join for the descents from the different places
    where that ends. A start without a value (NaN, a crystal that collapses) is a bad start.
    Neighbour lists hold every pair for all values within the bounds; cutoffs that are no parameters stay.

    The standard errors, and the posterior, are those of least squares with residuals that scatter as they do in the
    end: of labels by kind; of targets by their sigma. The errors of a formula are no noise: they are orders of
    magnitude, and go with its form. Calibrated on frames that were left out (`keep_folds`, `jp.calibrate`), bars of
    energies and forces are as wide as errors are.

    Args:
        potential: the form and its first values, such as `jp.potentials.Morse(...)`; a sum of several is one, too.
        data: `Dataset`, or None if there are targets.
        free: names of the parameters to find, such as "epsilon", "terms[0].sigma" or, in a table, "depth[0,1]";
            by default all. Numbers of a table that must be equal are one parameter.
        bounds: name -> (low, high); by default a quarter to four times the first value.
        targets: `Target`s.
        sigmas: kind of label -> sigma where frames give none of their own: "energy" 0.01 eV/atom, "forces" 0.1 eV/A,
            "stress" eV/A^3, by default None: not fitted.
        starts: how many, besides the first values.
        refined: from how many of them the cost is minimised.
        seed: of the starts; the same seed gives the same result.
        test: a `Dataset` that takes no part, for the errors reported.
        progress: called with a sentence about what is being done.
        keep_folds: also minimise the cost, from the best values, without each of four parts of the frames, and without
            each cluster of frames that look alike (`frame_clusters`), for a calibration of error bars. Needs parameters
            that the data determine.

    Returns:
        `FormFit`. A `JaxpotWarning` names parameters that end at a bound, or that data and targets do not determine.

    Raises:
        DataError: names that do not exist, bounds that hold no values, nothing to fit to, elements that the potential
            does not know, targets that cannot be differentiated.
        ResourceError: a range so long, somewhere within the bounds, that there are too many pairs of atoms.
        ConvergenceError: no start has a value.

    References:
        D. W. Marquardt, J. Soc. Ind. Appl. Math. 11, 431 (1963); P. Brommer, F. Gaehler, Modelling Simul. Mater. Sci.
        Eng. 15, 295 (2007), for potentials fitted to forces.
    """
    say, clock = progress or (lambda text: None), Clock()
    targets = tuple(targets)
    if keep_folds and data is None:
        raise DataError("keep_folds: there are no frames to leave out; give data, or keep_folds=False")
    sigmas = _checked_sigmas(sigmas)
    _check(potential, data, targets, test)
    _warn_of_free_atoms(potential, data)
    count, refined = as_whole(starts, "starts", 0, 10**6), as_whole(refined, "refined", 1, 10**4)
    seed = as_whole(seed, "seed", 0, 2**63 - 1)
    parameters = parameters_of(potential, free, bounds)
    loose = () if data is None or tells_of_atoms(data.e0_origin) else data.species
    problem = Problem(parameters, None if data is None else _labels(parameters, data, loose, sigmas), targets)
    first = parameters.first()
    points = [parameters.coordinates(first), *latin_hypercube(count, len(first), seed)]
    clock.step("neighbours")
    say(f"{len(points)} starts of {len(first)} parameters")
    # Properties of a crystal that is far from any take long, and programs of their own: labels lead to where it is one.
    ahead = problem if data is None or not targets else Problem(parameters, problem.labels, ())
    costs = np.array([ahead.cost(y) for y in points])
    order = [k for k in np.argsort(costs, kind="stable")[:refined] if np.isfinite(costs[k])]
    clock.step("starts")
    minima = _descents(ahead, [(costs[k], points[k]) for k in order], say)
    if ahead is not problem:
        say(f"the same with {len(targets)} targets")
        minima = _descents(problem, [(start, end.y) for start, end in _different(minima)], say)
    if not minima:
        raise ConvergenceError(
            f"none of {len(points)} starts leads to a potential for which labels and targets have values and "
            f"derivatives; the last reason: {problem.reason or ahead.reason}; give other first values, narrower bounds "
            "or more starts"
        )
    best = minima[0][1]
    clock.step("descents")
    table = _described(problem, best, first)
    _warn(table)
    fitted = remade(potential_at(parameters, best.y))
    e0 = {} if data is None else _constants(problem, best.y, data.e0, loose)
    trained, tested = (None if d is None else predict(fitted + Constants(e0), d) for d in (data, test))
    clock.step("errors")
    spread = partial(form_posterior, loose=loose, sigmas=sigmas, ranges={} if data is None else data.ranges())
    certain = all(p.determined and (p.at_bound or np.isfinite(p.error)) for p in table.values())
    parts = _parts(data, seed) if keep_folds and certain else ((), ())
    left_out = [_without(problem, best, data, loose, spread, members, say) for members in chain(*parts)]
    clock.step("folds")
    reached = {t.name: (t.value, np.asarray(t.function(fitted))) for t in targets}
    descents = tuple(
        Refinement(float(start), end.cost, _by_name(parameters, end.y), end.steps, end.converged)
        for start, end in minima
    )
    return FormFit(
        fitted, table, best.cost, problem.shares(best.residuals), reached, e0, trained, tested, costs, descents,
        clock.seconds, spread(problem, best, fitted, e0) if certain else None, tuple(left_out[: len(parts[0])]),
        tuple(left_out[len(parts[0]) :]),
    )


def _parts(data, seed):
    """Numbers of the frames of each fold, and of each cluster."""
    return [[members for members, _ in of] for of in (folds_of(data, _FOLDS, seed), clusters_of(data, _CLUSTERS))]


def _without(problem, best, data, loose, spread, members, say):
    """Numbers of frames, and `Posterior` of a fit to the others, from the best parameters on."""
    rest = Problem(problem.parameters, problem.labels.without(members), problem.targets)
    end = least_squares(rest.residuals, rest.jacobian, best.y, _STEPS)
    if end is None:
        raise ConvergenceError(f"keep_folds: no fit without the frames {members.tolist()}: {rest.reason}")
    say(f"without {len(members)} frames: cost {end.cost:.6g} in {end.steps} steps")
    fitted = remade(potential_at(problem.parameters, end.y))
    return members, spread(rest, end, fitted, _constants(rest, end.y, data.e0, loose))


def _descents(problem, begun, say):
    """Pairs (cost at the start, `Minimum`), the lowest first, from pairs (cost at the start, y)."""
    minima = []
    for start, y in begun:
        end = least_squares(problem.residuals, problem.jacobian, y, _STEPS)
        if end is not None:
            minima.append((start, end))
            say(f"descent {len(minima)}: cost {start:.6g} to {end.cost:.6g} in {end.steps} steps")
    return sorted(minima, key=lambda pair: pair[1].cost)


def _different(minima):
    """Of those that end at one place the first."""
    kept = []
    for start, end in minima:
        if all(np.abs(end.y - other.y).max() > _SAME_PLACE for _, other in kept):
            kept.append((start, end))
    return kept


def _warn_of_free_atoms(potential, data):
    """Warn of a potential whose free atoms have an energy: those of the data are taken off their frames already."""
    if data is None or not tells_of_atoms(data.e0_origin):
        return
    for number in data.species:
        alone = float(energy(potential, Structure(np.zeros((1, 3)), np.eye(3), [number], pbc=False)))
        if abs(alone) > _FREE:
            warnings.warn(
                f"a free atom of {symbol(number)} has {alone:.4g} eV in this potential, and energies are fitted less "
                "those of free atoms (data.e0), so that it counts twice: leave constants out of the potential, or give "
                'jp.Dataset.of(data, e0="least squares"), for which constants are found anew',
                JaxpotWarning, stacklevel=3,
            )
            return


def _check(potential, data, targets, test):
    check_potential(potential)
    others = [term for term in terms_of(potential) if not term.local]
    if others:
        training = "" if has_plan(others[0]) else "train them (jp.train(data, recipe, start=...)), "
        raise DataError(
            f"{others[0]!r} is no sum of energies of atoms in their environments, and its parameters are not fitted "
            f"here: {training}take it as it is, as baseline of a GAP or of networks (jp.fit(data, recipe, "
            "baseline=...)), or minimise a cost of your own (jax.grad of jp.evaluate)"
        )
    strange = [t for t in targets if not isinstance(t, Target)]
    if strange:
        raise DataError(f"targets: expected Targets, got {type(strange[0]).__name__}")
    names = [t.name for t in targets]
    if len(set(names)) != len(names):
        raise DataError(f"targets: expected different names, got {names}")
    if data is None and not targets:
        raise DataError("there is nothing to fit to: give data, a Dataset, or targets")
    for name, given in (("data", data), ("test", test)):
        if given is not None and not isinstance(given, Dataset):
            raise DataError(f"{name}: expected a Dataset (jp.read_dataset, jp.Dataset.of), got {type(given).__name__}")
        for frame in given or ():
            check_species(potential, frame.structure)
    if data is None and test is not None:
        raise DataError("test: without data there are no energies of isolated atoms: give data, or use jp.predict")


def _checked_sigmas(sigmas):
    sigmas = dict(sigmas or {})
    unknown = set(sigmas) - set(KINDS)
    if unknown:
        raise DataError(f"sigmas: expected some of {', '.join(KINDS)}, got {', '.join(map(repr, unknown))}")
    return {
        kind: value if value is None else as_positive(value, f"sigmas: {kind}")
        for kind, value in (_SIGMAS | sigmas).items()
    }


def _labels(parameters, data, loose, sigmas):
    """`Labels` of a data set, in rows that are long enough for all values within the bounds."""
    reach, lengthening = longest(parameters)
    names = ", ".join(lengthening)
    blame = (f"that is how far the potential reaches somewhere within the bounds: give narrower ones for {names}"
             if lengthening else "give fewer frames, or a shorter cutoff")
    inner = inner_cutoffs(parameters.template)
    reach = max(reach, parameters.template.cutoff)
    labels = labels_of(list(data), data.e0, loose, sigmas, reach, inner, blame)
    if not labels.counts():
        raise DataError("data: no frame has a label with a sigma: there is nothing to fit to (stresses need "
                        'sigmas={"stress": ...} in eV/A^3)')
    return labels


def _constants(problem, y, e0, loose):
    """e0, with the constants that were found with the parameters."""
    if not loose:
        return dict(e0)
    labels = problem.labels
    off = np.asarray(residuals(problem.parameters.at(y), labels))[: len(labels.energies)]
    constants = np.linalg.lstsq(labels.contents, -off, rcond=1e-10)[0]
    return dict(e0) | {z: e0[z] + float(c) for z, c in zip(loose, constants, strict=True)}


def _by_name(parameters, y):
    return dict(zip(parameters.names, np.asarray(values_at(parameters, y)).tolist(), strict=True))


def _described(problem, best, first):
    """Name -> `Parameter`."""
    parameters, y = problem.parameters, best.y
    low, high = (np.asarray(values_at(parameters, np.full(len(y), end))) for end in (0.0, 1.0))
    low, high = np.minimum(low, high), np.maximum(low, high)
    at_bound = at_bounds(y)
    matrix, unsure = covariance(problem, best)
    by_y = np.diag(np.asarray(jax.jacfwd(parameters.values)(jnp.asarray(y))))
    errors = np.where(unsure, np.inf, np.abs(by_y) * np.sqrt(np.diag(matrix)))
    errors[at_bound] = np.nan
    values = np.asarray(values_at(parameters, y))
    rows = zip(parameters.names, values, errors, first, low, high, at_bound, ~unsure, strict=True)
    return {name: Parameter(*map(float, row[:5]), *map(bool, row[5:])) for name, *row in rows}


def _warn(table):
    ends = [name for name, p in table.items() if p.at_bound]
    unsure = [name for name, p in table.items() if not p.determined]
    if ends:
        warnings.warn(f"the search ends at a bound of {', '.join(ends)}: wider ones, or another form, would fit better",
                      JaxpotWarning, stacklevel=3)
    if unsure:
        warnings.warn(f"data and targets do not determine {', '.join(unsure)}: other values of them do as well; leave "
                      "some out of free, or add data that tell", JaxpotWarning, stacklevel=3)

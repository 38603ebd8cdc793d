"""Special places, ways of execution, precision, parameters, saving, and refusals."""

import dataclasses
import itertools
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpot.core.elements import symbol
from jaxpot.core.pytree import leaf_fields, static_fields
from jaxpot.core.save import load_tree, save_tree
from jaxpot.errors import DataError, JaxpotError, PrecisionError
from jaxpot.observables import energy, site_energies
from jaxpot.potentials.base import parameter_names
from jaxpot.testing.subject import (
    SMOOTH_LEVELS,
    NotAsked,
    Subject,
    connect_once,
    evaluate_batch,
    evaluate_once,
    orders_two_and_three,
    parameter_gradient,
    worse,
)


def special_places(s: Subject) -> Iterator[tuple]:
    """Isolated, distant, collinear, symmetric atoms and the cutoff: values and three derivatives finite."""
    rc, d = s.potential.cutoff or 3.0, s.nearest
    kinds = s.species()
    x, y, z = np.eye(3)
    shapes = {
        "an isolated atom": [0 * x],
        "a pair beyond the cutoff": [0 * x, 1.5 * rc * x],
        "a pair at the cutoff": [0 * x, rc * z],
        "a pair one ulp within": [0 * x, np.nextafter(rc, 0) * y],
        "a pair one ulp beyond": [0 * x, np.nextafter(rc, 9 * rc) * y],
        "a pair near the cutoff": [0 * x, (rc - 1e-6) * x],
        "a pair": [0 * x, d * x],
        "three in a row": [-d * z, 0 * z, d * z],
        "four in a row, two at the cutoff": [0 * x, d * x, rc * x, (d + rc) * x],
        "a right angle": [0 * x, d * x, d * y],
        "an equilateral triangle": [0 * x, d * x, d * (0.5 * x + 0.75**0.5 * y)],
        "a tetrahedron": [d * (x + y + z), d * (x - y - z), d * (y - x - z), d * (z - x - y)],
        "an octahedron": [0 * x, d * x, -d * x, d * y, -d * y, d * z, -d * z],
    }
    if not np.isfinite(s.potential.reach):  # nothing is far apart
        shapes = {label: points for label, points in shapes.items() if np.abs(points).max() <= rc}
    alone, bad = {}, []
    worst_force, worst_energy = 0.0, 0.0
    for (label, points), shift in itertools.product(shapes.items(), range(len(kinds))):
        if len(points) > s.size:
            continue
        numbers = [kinds[(k + shift) % len(kinds)] for k in range(len(points))]
        padded, listed = s.prepare(s.cluster(np.array(points) + 0.1, numbers))
        result = s.evaluate(padded, listed)
        v, w = s.rng.normal(size=(2, s.size, 3))
        second, third = orders_two_and_three(s.potential, padded, listed, v, w)
        arrays = {"energy": result.energies, "forces": result.forces, "second": second, "third": third}
        if s.periodic:
            arrays["stress"] = result.stress
        for name, array in arrays.items():
            if not np.isfinite(np.asarray(array)).all():
                bad.append(f"{name} {'derivatives ' if name in ('second', 'third') else ''}of {label}")
        if len(points) == 1:
            alone[numbers[0]] = float(result.energy)
        if label in ("an isolated atom", "a pair beyond the cutoff"):
            worst_force = worse(worst_force, np.abs(result.forces).max())
            worst_energy = worse(worst_energy, abs(result.energy - sum(alone[z] for z in numbers)))
    yield "all finite to third order", float(len(bad)), 0.0, "; ".join(dict.fromkeys(bad))
    if np.isfinite(s.potential.reach):
        yield "forces on atoms far apart", worst_force, 0.0
        yield "energy of atoms far apart is the sum", worst_energy, 1e-12
    given = s.evaluate(s.given)
    yield "the structure as given", float(not np.isfinite(given.forces).all()), 0.0


def execution(s: Subject) -> Iterator[tuple]:
    """jit against eager evaluation of the model's own function, vmap against a loop."""
    potential = s.potential
    graph = jax.tree.map(np.asarray, connect_once(s.padded, s.listed))
    with jax.disable_jit():
        if potential.local:
            rows = [jax.tree.map(lambda a, k=k: jnp.asarray(a[k]), graph.environments()) for k in range(2)]
            eager = np.array([float(potential.site_energy(row)) for row in rows])
        else:
            eager = np.asarray(site_energies(potential, s.padded, s.listed))
    expected = s.reference.energies[graph.centers[: len(eager)]] if potential.local else s.reference.energies
    yield "jit = eager", np.abs(eager - expected).max() / s.e_scale, 1e-13
    others = [s.prepare(s.given), (s.padded, s.listed)]
    stacked, lists = (jax.tree.map(lambda *a: np.stack(a), *pair) for pair in zip(*others, strict=True))
    batch = jax.tree.map(np.asarray, evaluate_batch(potential, stacked, lists))
    worst = 0.0
    for k, (padded, listed) in enumerate(others):
        single = s.evaluate(padded, listed)
        worst = worse(worst, np.abs(batch.energies[k] - single.energies).max() / s.e_scale)
        worst = worse(worst, np.abs(batch.forces[k] - single.forces).max() / s.f_scale)
    yield "vmap = loop", worst, 1e-12


def single_precision(s: Subject) -> Iterator[tuple]:
    if s.potential.double_only:
        padded, listed = s.prepare(s.rattled, np.float32)
        refused = []
        for given in (None, listed):
            try:
                energy(s.potential, padded, given)
            except PrecisionError:
                refused.append(True)
        yield "refused", float(2 - len(refused)), 0.0
        return
    single = jax.tree.map(np.asarray, evaluate_once(s.potential, *s.prepare(s.rattled, np.float32)))
    wrong = [k for k in ("energy", "energies", "forces") if getattr(single, k).dtype != np.float32]
    note = f"{', '.join(wrong)} came back in another precision" if wrong else ""
    yield "results are float32", float(len(wrong)), 0.0, note
    yield "energy", abs(single.energy - s.reference.energy) / s.e_scale, 1e-5
    if s.interacts:
        yield "forces", np.abs(single.forces - s.reference.forces).max() / s.f_scale, 1e-3


def parameters(s: Subject) -> Iterator[tuple]:
    """Gradients of the energy by every array leaf, against differences."""
    leaves, tree = jax.tree.flatten(s.potential)
    names = parameter_names(s.potential)
    if not leaves:
        raise NotAsked("the potential has no parameters")
    whole = [
        name for name, leaf in zip(names, leaves, strict=True) if not jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    if whole:
        raise DataError(f"parameters must be floating (jax.grad fails on integers): {', '.join(whole)}")
    gradients = jax.tree.leaves(parameter_gradient(s.potential, s.padded, s.listed))
    for k, (name, leaf, gradient) in enumerate(zip(names, leaves, gradients, strict=True)):
        leaf, gradient = np.asarray(leaf), np.asarray(gradient)
        if not np.isfinite(gradient).all():
            yield f"{name} finite", np.nan, 0.0
            continue
        silent = (
            "" if gradient.any() else "it changes nothing here: give a structure on which it has an effect"
        )
        yield f"{name} not zero", float(bool(silent)), 0.0, silent
        direction = np.where(leaf != 0, np.abs(leaf), 1e-2) * s.rng.uniform(0.5, 1.5, leaf.shape)

        def shifted(t, k=k, leaf=leaf, direction=direction):
            changed = [*leaves[:k], leaf + t * direction, *leaves[k + 1 :]]
            return s.evaluate(s.padded, s.listed, jax.tree.unflatten(tree, changed)).energy

        slope = s.difference(shifted, 0.01, SMOOTH_LEVELS)  # kinks are in distances, not in parameters
        scale = max(np.abs(gradient * direction).sum(), 1e-3 * s.e_scale)
        limit = 1e-8 if s.potential.smoothness >= 2 else 1e-6
        yield f"dE/d {name}", abs(slope - np.sum(gradient * direction)) / scale, limit


def saving(s: Subject) -> Iterator[tuple]:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "potential.jaxpot")
        save_tree(s.potential, path)
        loaded = load_tree(path)
    loaded_as: Any = jax.tree.structure(loaded)
    # A compiled program is found by equality, and a tuple equals what is made of one: types are compared as well.
    same = loaded_as == jax.tree.structure(s.potential) and _types(loaded) == _types(s.potential)
    yield "same class and static fields", float(not same), 0.0
    found = s.evaluate(s.padded, s.listed, loaded)
    yield "same energy, to the bit", abs(found.energy - s.reference.energy), 0.0


def _types(value):
    """The classes of all that a tree holds but its arrays."""
    if isinstance(value, tuple | list):
        return (type(value), *map(_types, value))
    if dataclasses.is_dataclass(value):
        return (type(value), *map(_types, static_fields(value).values()), *map(_types, leaf_fields(value).values()))
    return None if hasattr(value, "dtype") or isinstance(value, dict) else type(value)


def refusal(s: Subject) -> Iterator[tuple]:
    """Elements the potential does not know: a typed error, and NaN where nothing can be raised."""
    if s.potential.species is None:
        raise NotAsked("the potential knows every element")
    unknown = next(z for z in range(118, 0, -1) if z not in s.potential.species)
    numbers = np.asarray(s.padded.numbers).copy()
    numbers[0] = unknown
    wrong = s.padded.replace(numbers=numbers)
    try:
        energy(s.potential, wrong, s.listed)
        refused = False
    except JaxpotError:
        refused = True
    yield "typed error", float(not refused), 0.0, "" if refused else f"{symbol(unknown)} was accepted"
    result = s.evaluate(wrong, s.listed)
    finite = np.isfinite(result.energy) or np.isfinite(result.forces).any()
    yield "NaN under jit", float(finite), 0.0

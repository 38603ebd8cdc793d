"""Learning from a pool of structures: the most informative are labelled, batch by batch."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpot.active.label import label
from jaxpot.active.learner import Learned, digest, errors_of
from jaxpot.active.record import Label, PoolProgress, Record
from jaxpot.active.refits import checked_recipe, refit
from jaxpot.active.search import select_batch
from jaxpot.core.numbers import as_whole
from jaxpot.core.structure import Structure
from jaxpot.data.dataset import Dataset
from jaxpot.errors import DataError
from jaxpot.fitting.linear.recipe import Recipe
from jaxpot.fitting.networks.recipe import NetworkRecipe
from jaxpot.potentials.base import Potential
from jaxpot.typing import FilePath, StructureLike


def learn_from_pool(
    dataset: Dataset, source: Any, candidates: Sequence[StructureLike], *,
    recipe: Recipe | NetworkRecipe | FilePath = "gap", budget: int = 50, batch: int = 10,
    model: Potential | None = None, baseline: Potential | None = None, folder: FilePath | None = None, seed: int = 0,
    jitter: float = 1e-8, progress: Callable[..., None] | None = None
) -> Learned:
    """Label the structures of a pool that would tell the potential most, and learn them.

    Batch by batch: those that `select_batch` chooses are labelled by `source`, and the potential is fitted anew.

    Args:
        dataset: `Dataset` to begin with.
        source: what is taken for the truth: an ASE calculator or a potential.
        candidates: `Structure`s or `ase.Atoms`, such as `random_structures` or frames of a simulation.
        recipe, model, baseline, seed, jitter: as of `learn_on_the_fly`.
        budget: labels at most.
        batch: how many are chosen at once.
        folder: as of `learn_on_the_fly`.
        progress: called with a sentence.

    Returns:
        `Learned`, without `threshold` and `state`; entries of its log have `candidate`, the number of the structure,
        instead of a step. `finished`: nothing of the pool is left.

    Raises:
        DataError: wrong arguments, the folder of another run. What a calculator raises is its own; nothing is lost.
    """
    recipe = checked_recipe(dataset, recipe)
    budget, batch = as_whole(budget, "budget", 1, 10**6), as_whole(batch, "batch", 1, 10**6)
    seed, say = as_whole(seed, "seed", 0, 2**31 - 1), progress or (lambda text: None)
    candidates = [Structure.of(c) for c in candidates]
    if not candidates:
        raise DataError("candidates: expected at least one structure")
    settings = digest(dataset.frames, (candidates, baseline, model), ("pool", recipe, budget, batch, seed, jitter))
    fit, record = refit(recipe, model, baseline, seed, jitter, say), Record(folder)
    kept = record.kept(PoolProgress, settings)
    asked, chosen = ([], []) if kept is None else (record.labels(), np.asarray(kept.candidates).tolist())
    if kept is not None:
        say(f"goes on with {len(asked)} labels")

    def learn(labels):
        data = dataset.with_frames([label.frame(k) for k, label in enumerate(labels)])
        fitted = fit(data)
        record.keep_posterior(fitted)
        return data, fitted

    labels = asked[: max(len(chosen) - 1, 0) // batch * batch]  # what the last batch was chosen with
    data, posterior = learn(labels)
    while True:
        left = [k for k in range(len(candidates)) if k not in chosen]
        if len(labels) == len(chosen):
            wanted = min(batch, budget - len(labels), len(left))
            if wanted == 0:
                break
            say(f"choosing {wanted} of {len(left)} structures")
            chosen += [left[k] for k in select_batch(posterior, [candidates[k] for k in left], wanted)]
            record.keep_walk(PoolProgress(jnp.asarray(chosen), settings))
        for number in chosen[len(labels) :]:
            if len(labels) < len(asked):
                labels.append(asked[len(labels)])
                continue
            frame = label(candidates[number], source, origin=f"label {len(labels)}")
            labels.append(Label.of(frame, candidate=number, **errors_of(posterior.potential, frame)))
            record.keep_label(labels)
            say(f"label {len(labels)}: forces were off by {labels[-1].entry()['force_rmse_eV_per_A']:.4f} eV/A")
        data, posterior = learn(labels)
    return Learned(posterior, data, tuple(one.entry() for one in labels), None, None, not left)

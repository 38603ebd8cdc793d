"""A fit that is interrupted loses nothing: the same call goes on and comes to the same numbers."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from ase.build import bulk

import jaxpot as jp
from jaxpot.data.targets import Sigmas
from jaxpot.errors import DataError, FormatError, JaxpotWarning
from jaxpot.fitting.linear import checkpoint
from jaxpot.fitting.linear.moments import Accumulator

PAIR = {"descriptor": "distance_2b", "cutoff": 1.6, "theta": 0.4, "sparse_points": 8, "sparse_method": "uniform"}
RECIPE = jp.fitting.Recipe((PAIR,), Sigmas(stress=1e-3), "cross-validation", folds=2, name="pair")


@pytest.fixture(scope="module")
def dataset():
    potential, frames = jp.potentials.StillingerWeber.silicon(), []
    for k in range(6):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05, seed=k)
        found = jp.evaluate(potential, atoms)
        frames.append(jp.Frame(atoms, float(found.energy), np.array(found.forces), np.array(found.stress)))
    return jp.Dataset.of(frames)


@pytest.fixture
def often(monkeypatch):
    """Write after each frame."""
    monkeypatch.setattr(checkpoint, "_EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)


def interrupt_after(count):
    def progress(text):
        if text.startswith(f"rows of {count} frames kept" if count else "kept in"):
            raise KeyboardInterrupt

    return progress


def weights(fit):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(fit.potential)]


def test_an_interrupted_fit_goes_on_to_the_same_result(dataset, tmp_path, often):
    path = tmp_path / "si.partial.npz"
    whole = jp.fit(dataset, RECIPE, predictions=False)
    for count in (0, 2, 4, 6):  # the first: sparse points are chosen; the last: all rows are done
        with pytest.raises(KeyboardInterrupt):
            jp.fit(dataset, RECIPE, checkpoint=path, progress=interrupt_after(count))
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
    said = []
    resumed = jp.fit(dataset, RECIPE, checkpoint=path, progress=said.append, predictions=False)
    assert any("going on" in text and "6 frames" in text for text in said)
    # The sparse points come from the file, and no row is made again.
    assert not any(text.startswith(("sparse points", "rows of")) for text in said)
    for own, other in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(own, other)
    assert resumed.choice == whole.choice
    assert not path.exists()


@pytest.mark.parametrize("choice", ["cross-validation", "evidence"])
def test_trials_are_not_made_again(dataset, tmp_path, often, choice):
    recipe = replace(RECIPE, choice=choice)
    whole = jp.fit(dataset, recipe, predictions=False)

    def interrupt(text):
        if "trial 4," in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jp.fit(dataset, recipe, checkpoint=tmp_path / "a.npz", progress=interrupt)
    said = []
    resumed = jp.fit(dataset, recipe, checkpoint=tmp_path / "a.npz", progress=said.append, predictions=False)
    assert any("3 trials are there" in text for text in said) and not any("trial 3," in text for text in said)
    assert resumed.choice == whole.choice
    assert not list(tmp_path.iterdir())


def test_a_file_that_holds_no_trials_is_left_alone(dataset, tmp_path):
    (tmp_path / "a.npz.trials").write_text("[]")
    with pytest.raises(FormatError, match="no trials of a fit"):
        jp.fit(dataset, RECIPE, checkpoint=tmp_path / "a.npz")
    assert (tmp_path / "a.npz.trials").read_text() == "[]"


def test_short_fits_write_nothing(dataset, tmp_path):
    said = []
    jp.fit(dataset, RECIPE, checkpoint=tmp_path / "a.npz", progress=said.append, predictions=False)
    assert not any("kept" in text for text in said) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", [pytest.param("data", id="labels"), "recipe", "seed", "baseline"])
def test_the_file_of_another_fit_is_not_used(dataset, tmp_path, often, what):
    path = tmp_path / "a.npz"
    with pytest.raises(KeyboardInterrupt):
        jp.fit(dataset, RECIPE, checkpoint=path, progress=interrupt_after(2))
    before, options = path.read_bytes(), {"recipe": RECIPE}
    if what == "data":
        frame = dataset[3]
        changed = replace(frame, forces=np.nextafter(frame.forces, 1.0))
        dataset = replace(dataset, frames=(*dataset.frames[:3], changed, *dataset.frames[4:]))
    elif what == "recipe":
        options = {"recipe": replace(RECIPE, terms=({**PAIR, "theta": 0.5},))}
    elif what == "seed":
        options |= {"seed": 1}
    else:
        options |= {"baseline": jp.potentials.StillingerWeber.silicon()}

    def stop(text):
        assert "going on" not in text
        raise KeyboardInterrupt

    with pytest.warns(JaxpotWarning, match=f"other {what}"), pytest.raises(KeyboardInterrupt):
        jp.fit(dataset, checkpoint=path, progress=stop, **options)
    assert path.read_bytes() == before  # until there is something better


def test_files_that_are_no_checkpoint_are_refused_and_kept(dataset, tmp_path, often):
    path = tmp_path / "a.npz"
    with pytest.raises(KeyboardInterrupt):
        jp.fit(dataset, RECIPE, checkpoint=path, progress=interrupt_after(2))
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    np.savez(tmp_path / "b.npz", x=np.zeros(3))
    np.savez(tmp_path / "c.npz", about=np.array(json.dumps({"kind": "something"})))
    np.save(tmp_path / "d.npy", np.zeros(3))
    others = [(tmp_path / name).read_bytes() for name in ("b.npz", "c.npz", "d.npy")]
    for content in (b"", b"text", good[: len(good) // 2], bytes(flipped), *others):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=r"a\.npz: this is no checkpoint"):
            jp.fit(dataset, RECIPE, checkpoint=path)
        assert path.read_bytes() == content
    with pytest.raises(DataError, match="does not exist"):
        jp.fit(dataset, RECIPE, checkpoint=tmp_path / "nowhere" / "a.npz")


def test_a_full_disk_does_not_end_the_fit(dataset, tmp_path, often, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    said = []
    jp.fit(dataset, RECIPE, checkpoint=tmp_path / "a.npz", progress=said.append, predictions=False)
    assert sum("No space left" in text for text in said) >= 6 and not list(tmp_path.iterdir())


def test_moments_are_restored_to_the_bit():
    rng = np.random.default_rng(0)
    factors = [np.linalg.cholesky(np.eye(5) + 0.1), np.linalg.cholesky(np.eye(3) + 0.2)]
    blocks = [(rng.normal(size=(n, 8)), rng.normal(size=n), rng.uniform(1, 2, n)) for n in (300, 400, 1, 700)]

    def add(accumulator, blocks):
        for k, block in enumerate(blocks):
            accumulator.add(("forces", k % 2), *block)

    whole, first, second = (Accumulator(factors) for _ in range(3))
    add(whole, blocks)
    add(first, blocks[:2])
    second.restore(first.state())
    add(second, blocks[2:])
    resumed = second.finish()
    for group, moments in whole.finish().items():
        for own, other in zip(jax.tree.leaves(moments), jax.tree.leaves(resumed[group]), strict=True):
            np.testing.assert_array_equal(own, other)

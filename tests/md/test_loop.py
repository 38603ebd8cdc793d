"""The loop around steps, with a clockwork in place of atoms: when it prunes, when it stops, and with which state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpot.core.pytree import pytree, static
from jaxpot.md.loop import BROKEN, GOING, ROOM, WIDE, _finite, advance

EXTENT = 4.0


@pytree
class Place:
    positions: jax.Array
    cell: jax.Array


@pytree
class Hand:
    """A state: a place that goes on by one at each step."""

    structure: Place
    velocities: jax.Array
    energy: jax.Array
    step: jax.Array
    stressed: jax.Array  # sum of the steps whose stress was asked for

    @classmethod
    def start(cls, step=0):
        at = jnp.asarray(float(step))
        return cls(Place(at, jnp.eye(3)), jnp.ones(1), jnp.zeros(()), jnp.asarray(step), jnp.zeros(()))


@pytree
class Range:
    def extent(self):
        return jnp.asarray(EXTENT)


@pytree
class Clockwork:
    """Dynamics: `breaks` is the step at which `what` is no number."""

    potential: Range
    breaks: jax.Array
    what: str = static(default="energy")
    barostat: bool = static(default=False)

    def first(self, state):
        x = state.structure.positions + 1.0
        broken = jnp.where(x == self.breaks, jnp.nan, 0.0)
        return state.replace(structure=Place(
            x + (broken if self.what == "positions" else 0.0),
            state.structure.cell + (broken if self.what == "cell" else 0.0),
        ))

    def forces_at(self, state, short, with_stress):
        broken = jnp.where(state.structure.positions == self.breaks, jnp.nan, 0.0)
        return state.replace(
            energy=broken if self.what == "energy" else jnp.zeros(()),
            velocities=jnp.ones(1) + (broken if self.what == "velocities" else 0.0),
            stressed=state.stressed + jnp.where(with_stress, state.structure.positions, 0.0),
        )

    def second(self, state):
        return state.replace(step=state.step + 1)


@pytree
class Bands:
    """Lists: a short one serves up to `near` from where it was pruned, a wide one prunes up to `far`."""

    at: jax.Array
    near: jax.Array
    far: jax.Array
    room: jax.Array  # prunings before a row is full
    short: jax.Array
    pruned_at: jax.Array  # (9,) where, in turn

    @classmethod
    def of(cls, near, far=1e9, room=99):
        return cls(*map(jnp.asarray, (0.0, float(near), float(far), room, 0.0, np.full(9, -1.0))))

    @property
    def sound(self):
        return self.room >= 0

    def covers(self, structure, extent):
        # NaN is no reason to prune: what is broken shall come to the check of the numbers.
        return ~(jnp.abs(structure.positions - self.at) > self.near) & (extent == EXTENT)

    def may_prune(self, structure):
        return structure.positions <= self.far

    def pruned(self, structure):
        x = structure.positions
        return self.replace(at=x, room=self.room - 1, pruned_at=jnp.roll(self.pruned_at, 1).at[0].set(x))


def run(lists, target=20, breaks=-1.0, start=0, **changed):
    return advance(Clockwork(Range(), jnp.asarray(float(breaks)), **changed), Hand.start(start), lists, target)


def test_all_steps_with_prunings_on_the_way():
    found = run(Bands.of(near=6))
    assert (int(found.state.step), int(found.reason), float(found.state.structure.positions)) == (20, GOING, 20.0)
    assert found.lists.pruned_at.tolist()[:3] == [14.0, 7.0, -1.0]  # where a step would have left the short list
    assert int(found.state.stressed) == 20  # the last
    assert int(run(Bands.of(near=6), barostat=True).state.stressed) == 210


def test_nothing_is_to_be_done():
    for start in (5, 6):
        found = run(Bands.of(near=0), target=5, start=start)
        assert (int(found.state.step), int(found.reason), int(found.state.stressed)) == (start, GOING, 0)
        assert (np.asarray(found.lists.pruned_at) == -1.0).all()


def test_a_wide_list_that_is_outgrown():
    found = run(Bands.of(near=6, far=10))
    assert (int(found.state.step), int(found.reason)) == (13, WIDE)
    assert found.lists.pruned_at.tolist()[:2] == [7.0, -1.0]
    assert int(run(Bands.of(near=6, far=14)).reason) == GOING


def test_a_list_that_does_not_serve_when_it_is_new_is_pruned_once():
    found = run(Bands.of(near=-1.0))
    assert (int(found.state.step), int(found.reason)) == (0, WIDE)
    assert found.lists.pruned_at.tolist()[:2] == [1.0, -1.0]
    one = run(Bands.of(near=0.0), target=3)  # anew for each step
    assert (int(one.state.step), int(one.reason)) == (3, GOING)
    assert one.lists.pruned_at.tolist()[:4] == [3.0, 2.0, 1.0, -1.0]


def test_a_row_that_is_full():
    found = run(Bands.of(near=6, room=1))
    assert (int(found.state.step), int(found.reason)) == (13, ROOM)
    assert found.lists.pruned_at.tolist()[:2] == [14.0, 7.0]
    assert (int(run(Bands.of(near=6, room=-1)).state.step), int(run(Bands.of(near=6, room=-1)).reason)) == (0, ROOM)


@pytest.mark.parametrize("what", ["energy", "velocities", "positions", "cell"])
def test_the_state_before_numbers_that_are_none(what):
    found = run(Bands.of(near=99), breaks=9, what=what)
    assert (int(found.state.step), int(found.reason)) == (8, BROKEN)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.state))


def test_reasons_differ():
    assert len({GOING, WIDE, ROOM, BROKEN}) == 4


def test_what_is_finite():
    state = Hand.start()
    assert _finite(state, state.structure)
    mixed = state.replace(velocities=jnp.array([1.0, jnp.inf]))
    assert not _finite(mixed, state.structure)
    for name in ("positions", "cell"):
        place = Place(jnp.ones(2), jnp.eye(3)).replace(**{name: jnp.array([1.0, jnp.nan])})
        assert not _finite(state, place)

"""Where the derivatives of a potential jump, and which neighbours are near."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpot as jp
from jaxpot.descriptors import Pair
from jaxpot.errors import JaxpotWarning
from jaxpot.kernels import SquaredExponential
from jaxpot.potentials import Described, LennardJones, StillingerWeber
from jaxpot.properties.kinks import how_to_smooth, shells_near, warn_of_kinks
from jaxpot.readouts import SparseGP

SILICON = StillingerWeber.silicon()
CRYSTAL = jp.Structure(np.array([[0.0] * 3, [5.43 / 4] * 3]), 5.43 / 2 * (1 - np.eye(3)), ["Si", "Si"])


def pairs(cutoff, width):
    return Described(Pair(cutoff, width), SparseGP(SquaredExponential(1.0), [[2.4], [3.8]], [0.1, -0.1]), ("Si",))


def test_kinks_of_sums():
    gap = pairs(5.4, 0.5)
    assert SILICON.kinks == () and gap.kinks == (4.9, 5.4)
    assert (SILICON + gap + 0.5 * pairs(4.0, 1.0)).kinks == (3.0, 4.0, 4.9, 5.4)
    assert (gap + LennardJones(0.01, 2.1, 4.0)).kinks is None


@pytest.mark.parametrize(
    ("shift", "jumps"), [("none", "energies of this LennardJones jump"), ("energy", "forces of this LennardJones jump"),
                         ("force", r"second derivatives \(force constants\) of this LennardJones jump")],
)
def test_what_jumps_is_said_in_words(shift, jumps):
    with pytest.warns(JaxpotWarning, match=f"^{jumps}, at its cutoff .*: careful$"):
        warn_of_kinks(LennardJones(0.01, 2.1, 4.0, shift=shift), CRYSTAL, 0.006, "careful", stacklevel=1)


def test_what_makes_tables_smooth_is_said_where_it_does():
    tables = jp.load(Path(__file__).parents[1] / "formats" / "files" / "copper.eam")
    assert "jp.smoothed(potential), on the command line --smooth" in how_to_smooth(0.5 * tables)
    assert how_to_smooth(SILICON + LennardJones(0.01, 2.1, 4.0)) == ""
    copper = jp.Structure(np.zeros((1, 3)), 3.61 / 2 * (1 - np.eye(3)), ["Cu"])
    with pytest.warns(JaxpotWarning, match=r"careful; jp.smoothed\(potential\)"):
        warn_of_kinks(tables, copper, 0.006, "careful", stacklevel=1)


def test_the_shell_that_crosses_is_named():
    gap = SILICON + pairs(5.4, 0.5)  # the fourth shell of silicon is at a = 5.43 A
    assert shells_near(gap, CRYSTAL, 0.002) == []
    ((distance, kink),) = shells_near(gap, CRYSTAL, 0.006)
    assert (distance, kink) == (pytest.approx(5.43), 5.4)
    assert shells_near(SILICON + pairs(5.45, 0.5), CRYSTAL, 0.006) == [(pytest.approx(5.43), 5.45)]
    with pytest.warns(JaxpotWarning, match=r"kink within a strain of 0.006 of the neighbours at 5.43 A \(of 5.4 A\)"):
        warn_of_kinks(gap, CRYSTAL, 0.006, "careful", stacklevel=1)


def test_under_jit_over_the_potential():
    near = jax.jit(lambda gap: jnp.array(shells_near(gap, CRYSTAL, 0.006)))(pairs(5.4, 0.5))
    np.testing.assert_allclose(near, [[5.43, 5.4]])


@pytest.mark.thorough
def test_grueneisen_by_differences_are_the_derivatives():
    """Where nothing jumps, fourth-order differences are as good as third derivatives."""
    smooth = SILICON
    rough = SILICON + 1e-12 * pairs(5.0, 0.3)
    q = [0.5, 0.0, 0.5]
    expected = jp.gruneisen(smooth, jp.relax(smooth, CRYSTAL, cell=True).structure, q).gamma
    found = jp.gruneisen(rough, jp.relax(smooth, CRYSTAL, cell=True).structure, q).gamma
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)

"""Every model keeps the contract, and the contract finds every model that does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import MODELS, diamond
from tiers import thorough_but

import jaxpot as jp
from jaxpot.basis.cutoffs import inside
from jaxpot.core.pytree import pytree, static
from jaxpot.potentials import Potential
from jaxpot.testing import CHECKS, ContractError, check

# One row of each kind of energy: pairs, bonds, densities, Gaussian processes, linear models, networks. `physics/` looks
# at hops and charges.
QUICK = (
    "lj, smooth, two elements", "stillinger-weber", "eam", "gap, soap", "linear in soap", "network of bonds",
)
# A quarter of a minute and more each; their parts, and their like, have rows in the tiers.
SLOW = (
    "gap and charges", "gap and two hops", "gap, sum for two elements", "chgnet, a molecule, without norms", "nequip",
    "networks, symmetry functions, two elements", "networks of bonds, two elements", "charges in a crystal",
    "two hops, a molecule", "tersoff, triplets of two elements", "snap, densities of two elements", "snap, two elements",
    "ace, two elements", "nep, two elements", "chgnet, two elements", "ani, two elements",
    "mace, two elements", "meam, two elements", "schnet, two elements", "dtnn, two elements",
)


@pytest.mark.parametrize("name", thorough_but(QUICK, MODELS, SLOW))
def test_contract(name):
    make, structure, *options = MODELS[name]
    report = check(make(), structure, **dict(*options))
    assert report.passed and len(report.outcomes) > 20


# Models that are wrong, each in one way, and what must be said about it.


class Wrong(Potential):
    """A Morse-like pair that ends smoothly; the broken models change one thing each."""

    cutoff = 4.0
    smoothness = 3

    def pair(self, r):
        return self.strength * (jnp.exp(-2.0 * (r - 2.4)) - 2.0 * jnp.exp(-(r - 2.4)))

    def fade(self, r):
        return (1.0 - (r / self.cutoff) ** 2) ** 4

    def pairs(self, environment):
        mask, r = inside(environment.distances, self.cutoff)
        return jnp.where(mask, self.pair(r) * self.fade(r), 0.0)

    def site_energy(self, environment):
        return 0.5 * jnp.sum(self.pairs(environment))


@pytree
class Right(Wrong):
    strength: jax.Array


@pytree
class Kink(Wrong):
    """The force jumps at the cutoff."""

    strength: jax.Array

    def fade(self, r):
        return 1.0 - r / self.cutoff


@pytree
class InnerKink(Wrong):
    """The second derivative jumps at 3 A."""

    strength: jax.Array

    def fade(self, r):
        return Wrong.fade(self, r) + 1e-3 * jnp.maximum(r - 3.0, 0.0) ** 2 * (4.0 - r) ** 4


@pytree
class Step(Wrong):
    """The energy jumps at the cutoff by a nano electronvolt."""

    strength: jax.Array

    def fade(self, r):
        return Wrong.fade(self, r) + 1e-8


@pytree
class NotExtensive(Wrong):
    """The energy is the square of a sum over all atoms."""

    strength: jax.Array
    local = False

    def site_energies(self, graph):
        sites = jnp.where(graph.real, jax.vmap(self.site_energy)(graph.environments()), 0.0)
        return sites * jnp.sum(sites)


@pytree
class CountsPadding(Wrong):
    """Padded rows enter a sum over all rows."""

    strength: jax.Array
    local = False

    def site_energies(self, graph):
        sites = jax.vmap(self.site_energy)(graph.environments())
        return sites + 1e-3 * jnp.mean(sites)


@pytree
class NaNBeyond(Wrong):
    """A root that is cut by `where` only afterwards: empty places poison the derivatives."""

    strength: jax.Array

    def site_energy(self, environment):
        r = environment.distances
        bump = self.strength * jnp.where(r < self.cutoff, jnp.sqrt(self.cutoff - r) ** 9, 0.0)
        return 0.5 * jnp.sum(bump)


@pytree
class NaNHessian(Wrong):
    """|dipole|^3 has two derivatives everywhere, but JAX finds 0/0 for the second where the dipole vanishes."""

    strength: jax.Array

    def site_energy(self, environment):
        dipole = jnp.sum(self.pairs(environment)[:, None] * environment.vectors, axis=0)
        return jnp.dot(dipole, dipole) ** 1.5


@pytree
class NaNForward(Wrong):
    """The power of a sum that is zero without neighbours: 0/0 in the second derivative of an empty row."""

    strength: jax.Array

    def site_energy(self, environment):
        return jnp.sum(self.pairs(environment) ** 2) ** 1.5


@jax.custom_vjp
def _square(x):
    return x * x


_square.defvjp(lambda x: (x * x, x), lambda x, g: (2.001 * x * g,))


@pytree
class WrongForces(Wrong):
    """A hand-written derivative that is off by half a thousandth."""

    strength: jax.Array

    def site_energy(self, environment):
        return _square(0.5 * jnp.sum(self.pairs(environment)))


@pytree
class Directional(Wrong):
    """Neighbours along z count more."""

    strength: jax.Array

    def site_energy(self, environment):
        z = environment.z / environment.distances
        return 0.5 * jnp.sum(self.pairs(environment) * (1.0 + 1e-6 * z * z))


@pytree
class Chiral(Wrong):
    """A triple product: turns with the crystal, but not with its mirror image."""

    strength: jax.Array

    def site_energy(self, environment):
        w = self.pairs(environment)
        u = environment.vectors / environment.distances[:, None]
        a, b, c = (jnp.sum((w * environment.distances**k)[:, None] * u, axis=0) for k in (0, 1, 2))
        return 0.5 * jnp.sum(w) + 0.1 * jnp.dot(a, jnp.cross(b, c))


@pytree
class FirstNeighbour(Wrong):
    """The first neighbour of the list is special: depends on an order that means nothing."""

    strength: jax.Array

    def site_energy(self, environment):
        return 0.5 * jnp.sum(self.pairs(environment).at[3].multiply(1.1))


@pytree
class ReadsPadding(Wrong):
    """Reads beyond its cutoff: depends on how long the list is."""

    strength: jax.Array

    def site_energy(self, environment):
        return 0.5 * jnp.sum(self.pairs(environment)) + 1e-9 * self.strength * jnp.sum(environment.distances)


@pytree
class NoForces(Wrong):
    """The gradient has been stopped."""

    strength: jax.Array

    def site_energy(self, environment):
        return 0.5 * jax.lax.stop_gradient(jnp.sum(self.pairs(environment)))


@pytree
class DeadParameter(Wrong):
    strength: jax.Array
    width: jax.Array


@pytree
class IntegerParameter(Wrong):
    strength: jax.Array
    power: jax.Array


@pytree
class ForcedDouble(Wrong):
    """A NumPy double in a formula: everything becomes float64."""

    strength: jax.Array

    def pair(self, r):
        return Wrong.pair(self, r) * jnp.asarray(np.float64(1.0))


@pytree
class TracedBranch(Wrong):
    """An `if` on a traced value."""

    strength: jax.Array

    def site_energy(self, environment):
        return jnp.sum(self.pairs(environment)) if environment.distances[0] < 3.0 else 0.0


@pytree
class SevereCutoff(Wrong):
    """Declares a shorter cutoff than its formula has."""

    strength: jax.Array
    cutoff: float = static(default=2.6)

    def pairs(self, environment):
        r = jnp.minimum(environment.distances, 3.9)
        return self.pair(r) * (1.0 - (r / 3.9) ** 2) ** 4


ONE = jnp.asarray
CRYSTAL = diamond(5.0, ["Si", "Si"])
# Name: the model, the check that must find it, and what it must say.
BROKEN = {
    "kink": (Kink, "smoothness", r"force \(eV/A\) at the cutoff.*declared smoothness 3"),
    "inner kink": (InnerKink, "smoothness", r"second derivative .* anywhere.*at r = 3\.0000\d\d A, Si-Si"),
    "step": (Step, "smoothness", r"energy \(eV\) at the cutoff"),
    "not extensive": (NotExtensive, "extensivity", r"twice the system, energy"),
    "counts padding": (CountsPadding, "padding", r"none, and a longer list, energy"),
    "nan beyond": (NaNBeyond, "special places", r"finite to third order.*forces of a pair one ulp beyond"),
    "nan in the hessian": (NaNHessian, "special places", r"second derivatives of three in a row"),
    "nan in an empty row": (NaNForward, "smoothness", r"second derivative .* nan"),
    "wrong forces": (WrongForces, "forces", r"-dE/dr .*e-04 \(limit 1e-08\)"),
    "once differentiable": (WrongForces, "smoothness", r"(TypeError|NotImplementedError): "),
    "directional": (Directional, "invariance", r"rotation, energy"),
    "chiral": (Chiral, "invariance", r"mirror image, energy"),
    "first neighbour": (FirstNeighbour, "invariance", r"rotation of the structure as given"),
    "reads padding": (ReadsPadding, "padding", r"none, and a longer list, energy"),
    "no forces": (NoForces, "forces", r"not all zero"),
    "dead parameter": (
        lambda x: DeadParameter(x, 2 * x),
        "parameters",
        r"width not zero .*changes nothing here",
    ),
    "integer parameter": (
        lambda x: IntegerParameter(x, jnp.asarray(2)),
        "parameters",
        r"must be floating .*: power",
    ),
    "forced double": (ForcedDouble, "single precision", r"energy came back in another precision"),
    "severe cutoff": (SevereCutoff, "padding", r"none, and a longer list, energy"),
}


def test_the_right_one_is_right():
    assert check(Right(ONE(1.0)), CRYSTAL).passed


def test_the_rounding_of_a_table_is_forgiven_on_request():
    others = [name for name in CHECKS if name != "smoothness"]
    assert check(Step(ONE(1.0)), CRYSTAL, skip=others, jump=1e-7).passed


def test_mirror_images_may_be_left_out_by_name():
    names = [o.name for o in check(Right(ONE(1.0)), CRYSTAL, skip=("invariance", "saving")).outcomes]
    assert "invariance" in names and not any("mirror" in name for name in names)
    with pytest.raises(jp.errors.DataError, match="unknown names .*'mirror'.*expected some of .*invariance"):
        check(Right(ONE(1.0)), CRYSTAL, skip=("mirror",))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_are_caught(name):
    make, which, message = BROKEN[name]
    with pytest.raises(ContractError, match=message) as caught:
        check(make(ONE(1.0)), CRYSTAL, directions=2, skip=[other for other in CHECKS if other != which])
    assert isinstance(caught.value, jp.JaxpotError) and isinstance(caught.value, AssertionError)
    assert not caught.value.report.passed and "passed" not in str(caught.value)


def test_code_that_cannot_be_traced_is_not_hidden():
    with pytest.raises(TypeError, match="[Tt]racer"):
        check(TracedBranch(ONE(1.0)), CRYSTAL)


def test_wrong_arguments():
    with pytest.raises(jp.errors.DataError, match="expected a jaxpot potential .* got str"):
        check("sw-silicon", CRYSTAL)
    with pytest.raises(jp.errors.DataError, match="1 to 32 atoms, got 64"):
        check(Right(ONE(1.0)), CRYSTAL.repeated((4, 4, 2)))
    with pytest.raises(jp.errors.DataError, match="at least two atoms"):
        check(Right(ONE(1.0)), jp.Structure(np.zeros((1, 3)), np.eye(3), ["Si"], pbc=False))
    assert set(CHECKS) >= {"forces", "smoothness", "parameters"}

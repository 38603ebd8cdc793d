"""`NetworkRecipe`: layers of neural networks, and how their training goes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from jaxpot.core.numbers import as_number, as_positive, as_whole
from jaxpot.data.bond_length import bond_length
from jaxpot.data.dataset import Dataset
from jaxpot.data.targets import Sigmas
from jaxpot.descriptors import Bond, SymmetryFunctions
from jaxpot.descriptors.base import Descriptor
from jaxpot.errors import DataError, FormatError
from jaxpot.fitting.networks.descent import MEASURES, OPTIMISERS
from jaxpot.fitting.recipe_files import checked_number, checked_sigmas, checked_table, checked_whole
from jaxpot.potentials.base import Potential, Sum
from jaxpot.potentials.described import Described
from jaxpot.potentials.dtnn import DTNN
from jaxpot.potentials.mace import MACE
from jaxpot.potentials.message_passing import MessagePassing
from jaxpot.potentials.nequip import NequIP
from jaxpot.potentials.schnet import SchNet
from jaxpot.readouts.network import ACTIVATIONS, MLP
from jaxpot.readouts.neural import Neural

_ARCHITECTURE = (
    "reads", "cutoff", "nearest", "radial", "angular", "hidden", "activation", "members", "channels", "hops",
    "architecture",
)
_TRAINING = ("epochs", "steps", "batch", "optimiser", "rate", "loss", "validation", "patience", "average", "folds")

# Networks of several hops by name. A further one is one row: its class has `random(key, species, cutoff, channels,
# hops, radial, hidden, neighbors)`, and `scale`, an array by which energies are multiplied.
ARCHITECTURES: dict[str, Any] = {
    "nequip": NequIP,
    "schnet": SchNet,
    "dtnn": DTNN,
    "mace": MACE,
}


@dataclass(frozen=True)
class NetworkRecipe:
    """Layers of neural networks, and how their training goes.

    Attributes:
        reads: "atoms", a network for each element that reads its `SymmetryFunctions.automatic`; "bonds", a network for
            each two elements that reads their `Bond`s; or "hops", one network whose atoms hand states to their
            neighbours (`architecture`).
        cutoff, nearest: in bond lengths (the median distance to the nearest neighbour in the data). Angular functions
            see only neighbours that are nearer to each other than the cutoff; in diamond those are 1.63 bond lengths
            apart.
        radial, angular: how many functions: `radial` and `angular` of symmetry functions, `radial` and `around` of
            bonds; of hops `radial`.
        hidden: widths of the hidden layers; of hops those of the networks that make weights of distances.
        activation: of these; of hops that of the architecture.
        channels, hops: of states of each degree, and how often they are handed on; of hops alone.
        architecture: of hops: "nequip", states of several degrees that turn with the structure; "schnet" or "dtnn",
            scalars alone: one number of channels (and for "dtnn" one of `hidden`); "mace", states of several degrees
            that see many bodies in a hop, by products of up to three sums over neighbours.
        sigmas: what each error is divided by in the loss, where frames give none.
        epochs: passes over the training set.
        steps: of the descent, at least: a small training set gets more epochs, and as much more patience.
        batch: frames in a step.
        optimiser: "adam"; or "muon", whose steps of matrices have singular values that are all alike.
        rate: of it, at the beginning; it falls to zero like a cosine.
        loss: of an error x over its sigma: "squared", x^2; or "huber", 2 |x| - 1 above one sigma: frames whose errors
            are large, such as melts, count less then.
        validation: part of the training set that is not trained on, and tells when to stop.
        patience: epochs without a better error on these after which it stops.
        average: of the weights, exponential: how much of it stays from step to step.
        folds: parts that a calibration of error bars leaves out in turn (`keep_folds`).
        members: how many networks are trained at once.
        name: of the file.
    """

    reads: str = "atoms"
    cutoff: float = 2.4
    nearest: float = 0.8
    radial: int = 10
    angular: int = 4
    hidden: tuple = (32, 32)
    activation: str = "silu"
    sigmas: Sigmas = Sigmas(energy=0.005, forces=0.1)
    epochs: int = 500
    steps: int = 0
    batch: int = 8
    optimiser: str = "adam"
    rate: float = 2e-3
    loss: str = "squared"
    validation: float = 0.1
    patience: int = 200
    average: float = 0.99
    folds: int = 3
    members: int = 4
    channels: tuple = (32, 16, 8)
    hops: int = 2
    architecture: str = "nequip"
    name: str = ""

    family: ClassVar[str] = "neural networks"
    table: ClassVar[str] = "network"

    @classmethod
    def from_tables(cls, document: dict, file: str, name: str) -> "NetworkRecipe":
        """Recipe of the tables of a file.

        Raises:
            FormatError: says which table and field.
        """
        unknown = set(document) - {"network", "training", "sigma"}
        if unknown:
            raise FormatError(f"expected [network], [training] and [sigma], found {sorted(unknown)}", file=file)
        given = checked_table(document, "network", set(_ARCHITECTURE), file)
        given = given | checked_table(document, "training", set(_TRAINING), file)
        for key in ("cutoff", "nearest"):
            checked_number(given.get(key, 1.0), file, f"network, {key}")
        for key, least in (("radial", 1), ("angular", 0), ("hops", 1)):
            checked_whole(given.get(key, 1), least, file, f"network, {key}")
        if "sigma" in document:
            given["sigmas"] = checked_sigmas(document, file)
        try:
            return cls(**given, name=name)
        except (DataError, TypeError) as error:
            raise FormatError(str(error), file=file) from error

    def __post_init__(self):
        if self.reads not in ("atoms", "bonds", "hops"):
            raise DataError(f"reads: expected atoms, bonds or hops, got {self.reads!r}")
        for name, most in (("epochs", 10**7), ("batch", 10**6), ("members", 1000), ("patience", 10**7)):
            as_whole(getattr(self, name), name, 1, most)
        as_whole(self.folds, "folds", 2, 100)
        as_whole(self.steps, "steps", 0, 10**9)
        as_positive(self.rate, "rate")
        for name in ("validation", "average"):
            value = as_number(getattr(self, name), name)
            if not 0.0 <= value < 1.0:
                raise DataError(f"{name}: expected a number from 0 to below 1, got {value:g}")
        for name, what in (("hidden", "the widths of one layer"), ("channels", "the channels of one degree")):
            given = getattr(self, name)
            widths = given if isinstance(given, tuple | list) else ()
            if not widths:
                raise DataError(f"{name}: expected {what} or more, got {given!r}")
            object.__setattr__(self, name, tuple(as_whole(width, name, 1, 10**6) for width in widths))
        choices = {
            "activation": ACTIVATIONS, "architecture": ARCHITECTURES, "loss": MEASURES, "optimiser": OPTIMISERS,
        }
        for name, known in choices.items():
            given = getattr(self, name)
            if given not in list(known):
                raise DataError(f"{name}: expected one of {', '.join(known)}, got {given!r}")
        if self.reads != "hops" and self.architecture != "nequip":
            raise DataError(
                f'architecture: {self.architecture} is a network of several hops, and this recipe reads {self.reads}: '
                'give reads = "hops"'
            )

    def lengthened(self, batches: int) -> "NetworkRecipe":
        """Recipe with epochs, and patience, for the steps that it asks for, if an epoch has so many batches."""
        times = max(1.0, self.steps / (batches * self.epochs))
        return replace(self, epochs=math.ceil(times * self.epochs), patience=math.ceil(times * self.patience))

    def unfitted(self, dataset: Dataset) -> Potential:
        """Potential of the same parts as a training, with networks of random weights."""
        if self.reads == "hops":
            member = self.random_network(0, dataset.species, self.cutoff * bond_length(dataset))
            return Sum.or_one([member] if self.members == 1 else [(1.0 / self.members) * member] * self.members)
        terms = []
        for descriptor in self.descriptors(dataset.species, bond_length(dataset)):
            width = descriptor.dimension
            network = MLP.random(0, width, self.hidden, self.activation)
            terms.append(Described(descriptor, Neural(network, np.zeros(width), np.ones(width)), dataset.species))
        return Sum.or_one(terms)

    def random_network(
        self, key: Any, species: Sequence[int], cutoff: float, neighbors: float = 20.0
    ) -> MessagePassing:
        """Network of several hops, of random weights.

        Args:
            key: of `jax.random`, or a seed.
            species: elements.
            cutoff: A.
            neighbors: mean number within the cutoff.

        Raises:
            DataError: channels or widths that this architecture does not have.
        """
        return ARCHITECTURES[self.architecture].random(
            key, species, cutoff, self.channels, self.hops, self.radial, self.hidden, neighbors
        )

    def tables(self) -> dict:
        """Tables of the file of the recipe, but [sigma]."""
        network, training = ({key: getattr(self, key) for key in keys} for keys in (_ARCHITECTURE, _TRAINING))
        network |= {name: list(network[name]) for name in ("hidden", "channels")}
        return {"network": network, "training": training}

    def descriptors(self, species: tuple[int, ...], bond: float) -> list[Descriptor]:
        """Descriptor of each network, for a bond length in A."""
        cutoff, nearest = self.cutoff * bond, self.nearest * bond
        if self.reads == "bonds":
            pairs = [(one, two) for one in species for two in species]
            return [Bond(cutoff, species, pair, self.radial, self.angular, nearest=nearest) for pair in pairs]
        return [
            SymmetryFunctions.automatic(species, cutoff, self.radial, self.angular, z, nearest) for z in species
        ]

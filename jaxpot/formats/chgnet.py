"""CHGNet's checkpoints, as its training writes them with torch."""

import math
import re
from typing import Any

import numpy as np

from jaxpot.core.elements import SYMBOLS
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.record import Family, Format
from jaxpot.formats.torch_archive import is_torch_archive, read_torch_archive
from jaxpot.potentials.chgnet import CHGNet
from jaxpot.potentials.chgnet_layers import Gated, Layers, Update
from jaxpot.typing import FilePath

_FIXED = {  # settings of which one value is read
    "update_bond": True, "update_angle": True, "read_out": "ave", "mlp_first": True, "is_intensive": True,
    "non_linearity": "silu", "skip_connection": False, "conv_norm": None,
}
_NORMS = ("gMLP_norm", "readout_norm")


def read_chgnet(path: FilePath) -> CHGNet:
    """Read a checkpoint.

    Args:
        path: of the checkpoint.

    Returns:
        `CHGNet`, whose energies are totals: with those of the elements, which are trained apart.

    Raises:
        FormatError: a file that is damaged, no checkpoint of CHGNet, or of an architecture that is not read.

    References:
        B. Deng et al., Nature Machine Intelligence 5, 1031 (2023).
    """
    document = read_torch_archive(path)
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, dict) or not {"state_dict", "model_args"} <= set(model):
        raise FormatError("expected a checkpoint of CHGNet, with `state_dict` and `model_args` of its model", path)
    settings, weights = _Settings(model["model_args"], str(path)), _Weights(model["state_dict"], str(path))
    try:
        return _network(settings, weights)
    except DataError as error:
        raise FormatError(str(error), path) from error


def _network(settings, weights):
    """`CHGNet` of the weights of a checkpoint."""
    hops = settings.count("n_conv")
    embedding = weights.array("atom_embedding.embedding.weight", (None, None))
    elements, channels = embedding.shape
    if elements >= len(SYMBOLS):
        raise FormatError(f"weights atom_embedding: {elements} elements", weights.path)
    radial, short = (weights.array(f"bond_basis_expansion.rbf_expansion_{name}.frequencies", (None,))
                     for name in ("ag", "bg"))
    angular = weights.array("angle_basis_expansion.fourier_expansion.frequencies", (None,))
    return CHGNet(
        embedding, weights.array("composition_model.fc.weight", (1, elements))[0], radial, short, angular,
        weights.kernel("bond_embedding", len(radial), channels),
        weights.kernel("bond_weights_ag", len(radial), channels),
        weights.kernel("bond_weights_bg", len(short), channels),
        weights.kernel("angle_embedding", 1 + 2 * len(angular), channels),
        tuple(weights.update(f"atom_conv_layers.{k}", "twoBody_atom", 3, channels) for k in range(hops)),
        tuple(weights.update(f"bond_conv_layers.{k}", "twoBody_bond", 4, channels) for k in range(hops - 1)),
        tuple(weights.gated(f"angle_layers.{k}.twoBody_bond", 4 * channels, channels) for k in range(hops - 2)),
        weights.layers("mlp", channels, 1), weights.norm("readout_norm", channels),
        (weights.kernel("site_wise", channels, 1)[:, 0], weights.array("site_wise.bias", (1,))[0]),
        tuple(range(1, elements + 1)), *settings.cutoffs(), settings.number("cutoff_coeff"),
    )


class _Settings:
    """Settings of a checkpoint that shape the network, and a typed error for those that are not read."""

    def __init__(self, settings: Any, path: str) -> None:
        self.path, self.settings = path, settings
        if not isinstance(settings, dict):
            raise FormatError(f"model_args: expected settings, got {type(settings).__name__}", path)
        for name, value in _FIXED.items():
            if settings.get(name, value) != value:
                raise FormatError(f"{name}={settings[name]!r} is not read; expected {value!r}", path)
        for name in _NORMS:
            if settings.get(name) not in (None, "layer"):
                raise FormatError(f"{name}={settings[name]!r} is not read; expected 'layer' or None", path)

    def number(self, name: str) -> float:
        """A positive number."""
        value = self.settings.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 < value < math.inf:
            raise FormatError(f"model_args: expected a positive number as {name}, got {value!r}", self.path)
        return float(value)

    def count(self, name: str) -> int:
        """A number of layers, two at least: magnetic moments are read before the last."""
        value = self.number(name)
        if value < 2 or not value.is_integer():
            raise FormatError(f"model_args: expected a whole number of at least 2 as {name}, got {value}", self.path)
        return int(value)

    def cutoffs(self) -> tuple[float, float]:
        """Cutoffs of bonds, and of those that have angles, A."""
        cutoff, short = self.number("atom_graph_cutoff"), self.number("bond_graph_cutoff")
        if short > cutoff:
            raise FormatError(f"bond_graph_cutoff={short} is longer than atom_graph_cutoff={cutoff}", self.path)
        return cutoff, short


class _Weights:
    """Weights of a checkpoint by name, in double precision."""

    def __init__(self, state: Any, path: str) -> None:
        self.path = path
        self.state = state if isinstance(state, dict) else {}

    def array(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """An array, and a typed error if it is missing, of another shape (None: any size), or not finite."""
        value = self.state.get(name)
        if not isinstance(value, np.ndarray) or not _fits(value.shape, shape):
            sizes = "x".join("any" if n is None else str(n) for n in shape)
            got = value.shape if isinstance(value, np.ndarray) else "nothing"
            raise FormatError(f"weights {name}: expected {sizes} numbers, got {got}", self.path)
        array = value.astype(np.float64)
        if not array.size or not np.isfinite(array).all():
            raise FormatError(f"weights {name}: not finite, or none", self.path)
        return array

    def kernel(self, name: str, inputs: int, outputs: int | None) -> np.ndarray:
        """Matrix (inputs, outputs) of a linear layer."""
        return self.array(f"{name}.weight", (outputs, inputs)).T

    def layers(self, name: str, inputs: int, outputs: int, norm: str = "") -> Layers:
        """Layers numbered in order, with gaps for what has no weights; the norm behind the last by its name, if any."""
        found = [re.fullmatch(re.escape(name) + r"\.layers\.(\d{1,4})\.weight", str(key)) for key in self.state]
        numbers = sorted(int(match[1]) for match in found if match)
        kernels, biases = [], []
        for k in numbers:
            kernels.append(self.kernel(f"{name}.layers.{k}", inputs, outputs if k == numbers[-1] else None))
            inputs = kernels[-1].shape[1]
            biases.append(self.array(f"{name}.layers.{k}.bias", (inputs,)))
        if not kernels:
            raise FormatError(f"weights {name}: no layers", self.path)
        return Layers(tuple(kernels), tuple(biases), self.norm(norm, outputs) if norm else ())

    def norm(self, name: str, channels: int) -> tuple[np.ndarray, ...]:
        """Weights and offsets of a norm, () where there is none."""
        if f"{name}.weight" not in self.state:
            return ()
        return self.array(f"{name}.weight", (channels,)), self.array(f"{name}.bias", (channels,))

    def gated(self, name: str, inputs: int, outputs: int) -> Gated:
        """Network with a gate."""
        core = self.layers(f"{name}.mlp_core", inputs, outputs, f"{name}.bn1")
        return Gated(core, self.layers(f"{name}.mlp_gate", inputs, outputs, f"{name}.bn2"))

    def update(self, name: str, message: str, states: int, channels: int) -> Update:
        """Weights of an update, of messages that are made of some states."""
        last = f"{name}.mlp_out.layers.1"
        bias = (self.array(f"{last}.bias", (channels,)),) if f"{last}.bias" in self.state else ()
        gated = self.gated(f"{name}.{message}", states * channels, channels)
        return Update(gated, self.kernel(last, channels, channels), bias)


def _fits(found, expected):
    return len(found) == len(expected) and all(n in (None, m) for n, m in zip(expected, found, strict=True))


def _contents(head, path):
    return is_torch_archive(head, path, b"bond_graph_cutoff")


FORMAT = Format(
    name="CHGNet checkpoint (.pth.tar)", read=read_chgnet, family=Family.MACHINE_LEARNED, contents=_contents,
)

"""SevenNet's checkpoints: `NequIP` networks for most of the periodic table, as its training writes them with torch."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpot.basis.coupling import coupling
from jaxpot.core.elements import SYMBOLS
from jaxpot.errors import DataError, FormatError
from jaxpot.formats.record import Family, Format, Option
from jaxpot.formats.torch_archive import is_torch_archive, read_torch_archive
from jaxpot.potentials.equivariant_messages import HIGHEST_DEGREE
from jaxpot.potentials.nequip import HopWidths, Interaction, NequIP
from jaxpot.typing import FilePath

SILU = 1.6791767923989418  # what e3nn multiplies silu with: from a seeded sample of its square, not its integral
_SORTED_SINCE = (0, 11)  # versions that store radial weights sorted by the degree of the messages
_FIXED = {  # settings of which one value is read
    "_model_type": "E3_equivariant_model", "interaction_type": "nequip", "self_connection_type": "linear",
    "act_radial": "silu", "is_parity": False, "use_bias_in_linear": False, "readout_as_fcn": False,
    "use_modal_node_embedding": False, "_normalize_sph": True,
}
_BLOCK = re.compile(r"(\d+)x(\d+)e")


def read_sevennet(path: FilePath, modality: str | None = None) -> NequIP:
    """Read a checkpoint.

    Constant factors (roots of numbers of inputs, the norm of silu, denominators) are multiplied into the weights, which
    double precision keeps to the last digits.

    Args:
        path: of the checkpoint.
        modality: which of several levels of theory that a model was trained on, such as "PBE"; required for these.

    Returns:
        `NequIP`.

    Raises:
        FormatError: a file that is damaged, no checkpoint of SevenNet, or of an architecture that is not read.
        DataError: a modality that the model does not have, or none given where there are several.

    References:
        Y. Park, J. Kim, S. Hwang, S. Han, J. Chem. Theory Comput. 20, 4857 (2024); J. Kim et al., J. Am. Chem. Soc.
        147, 1042 (2025).
    """
    document = read_torch_archive(path)
    if not isinstance(document, dict) or not {"model_state_dict", "config"} <= set(document):
        raise FormatError("expected a checkpoint of SevenNet, with `model_state_dict` and `config`", path)
    weights = _Weights(document["model_state_dict"], str(path))
    settings = _Settings.of(document["config"], str(path))
    place = _modality(settings, modality)
    hidden = settings.hidden
    interactions = tuple(_interaction(weights, settings, hop, place) for hop in range(len(hidden) - 1))
    readout, constant = _readout(weights, settings, place)
    scale, shift = (weights.array(f"rescale_atomic_energy.{name}") for name in ("scale", "shift"))
    scale, shift = (a[place] if a.ndim == 2 else a for a in (scale, shift))
    count = len(settings.species)
    scale, shift = (np.broadcast_to(a, (count,)) for a in (scale, shift))
    embedding = weights.matrices("onehot_to_feature_x", [count], [hidden[0][0]])[0]
    try:
        return NequIP(
            embedding, interactions, readout, scale, shift + scale * constant,
            weights.array("edge_embedding.basis_function.coeffs"), np.array(2.0 / settings.cutoff), settings.species,
            settings.cutoff, settings.harmonics, False, settings.envelope,
        )
    except DataError as error:
        raise FormatError(str(error), path) from error


@dataclass(frozen=True)
class _Settings:
    """Settings of a checkpoint that shape the network.

    Attributes:
        hidden: channels of each degree that enter the hops, and leave the last one.
        sorted: whether radial weights are stored in the order of the degrees of messages.
        modalities: name -> number; empty without them.
    """

    path: str
    species: tuple[int, ...]
    hidden: tuple[tuple[int, ...], ...]
    cutoff: float
    harmonics: int
    envelope: tuple[str, float]
    sorted: bool
    modalities: dict[str, int]

    @classmethod
    def of(cls, config: Any, path: str) -> "_Settings":
        """Settings of a configuration."""
        if not isinstance(config, dict):
            raise FormatError(f"config: expected settings, got {type(config).__name__}", path)
        for name, value in _FIXED.items():
            if config.get(name, value) != value:
                raise FormatError(f"{name}={config[name]!r} is not read; expected {value!r}", path)
        for name in ("act_gate", "act_scalar"):
            if _setting(config, name, dict, path).get("e") != "silu":
                raise FormatError(f"{name}={config[name]!r} is not read; expected silu", path)
        numbers = {place: z for z, place in _setting(config, "_type_map", dict, path).items()}
        if set(numbers) != set(range(len(numbers))) or not set(numbers.values()) <= set(range(1, len(SYMBOLS))):
            raise FormatError(f"_type_map does not number elements from 0: {numbers}", path)
        used = config.get("use_modality", False)
        return cls(
            path, tuple(int(numbers[k]) for k in range(len(numbers))),
            tuple(_channels(text, path) for text in _setting(config, "irreps_manual", list, path)),
            _cutoff(config, path), _highest(config, path), _envelope(config, path),
            _version(config.get("version", "0")) >= _SORTED_SINCE,
            dict(_setting(config, "_modal_map", dict, path)) if used else {},
        )


def _setting(config, name, kind, path):
    value = config.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise FormatError(f"config: {name} is missing or not what it should be: {value!r}", path)
    return value


def _cutoff(config, path):
    cutoff = float(_setting(config, "cutoff", (int, float), path))
    if not 0.0 < cutoff < math.inf:
        raise FormatError(f"config: expected a positive cutoff in A, got {cutoff}", path)
    return cutoff


def _highest(config, path):
    """Highest degree of the harmonics."""
    name = "lmax" if config.get("lmax_edge", -1) in (None, -1) else "lmax_edge"
    highest = int(_setting(config, name, int, path))
    if not 0 <= highest <= HIGHEST_DEGREE:
        raise FormatError(f"config: {name}={highest} is not read; expected 0 to {HIGHEST_DEGREE}", path)
    return highest


def _version(text):
    return tuple(int(part) for part in re.findall(r"\d+", str(text))[:2])


def _channels(text, path):
    """Channels of each degree in words such as 128x0e+64x1e."""
    blocks = [_BLOCK.fullmatch(part.strip()) for part in str(text).split("+")]
    if not all(blocks) or [int(b[2]) for b in blocks] != list(range(len(blocks))):
        raise FormatError(f"irreps {text!r} are not read; expected one block of each degree, as 128x0e+64x1e", path)
    return tuple(int(b[1]) for b in blocks)


def _envelope(config, path):
    """`NequIP.envelope` of the settings."""
    basis = _setting(config, "radial_basis", dict, path)
    if basis.get("radial_basis_name") != "bessel":
        raise FormatError(f"radial_basis {basis.get('radial_basis_name')!r} is not read; expected 'bessel'", path)
    function = _setting(config, "cutoff_function", dict, path)
    name = function.get("cutoff_function_name")
    if name == "XPLOR":
        return "xplor", float(_setting(function, "cutoff_on", (int, float), path))
    if name == "poly_cut":
        return "polynomial", float(_setting(function, "poly_cut_p_value", (int, float), path))
    raise FormatError(f"cutoff_function {name!r} is not read; expected XPLOR or poly_cut", path)


def _modality(settings, modality):
    """Number of the modality; None without."""
    known = settings.modalities
    if not known:
        if modality is not None:
            raise DataError(f"{settings.path}: modality={modality!r}: this model has none; leave that out")
        return None
    if modality not in known:
        raise DataError(
            f"{settings.path}: this model was trained on several levels of theory: give modality= (--modality) one of "
            f"{', '.join(sorted(known))}" + ("" if modality is None else f"; got {modality!r}")
        )
    return known[modality]


class _Weights:
    """Arrays of a checkpoint by name, in double precision."""

    def __init__(self, state: Any, path: str) -> None:
        self.path = path
        self.state = state if isinstance(state, dict) else {}

    def array(self, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """An array, and a typed error if it is missing or of another shape."""
        value = self.state.get(name)
        if not isinstance(value, np.ndarray) or shape is not None and value.shape != shape:
            got = value.shape if isinstance(value, np.ndarray) else "nothing"
            raise FormatError(f"weights {name}: expected an array{'' if shape is None else f' {shape}'}, got {got}",
                              self.path)
        with np.errstate(invalid="ignore"):
            array = value.astype(np.float64)
        if not np.isfinite(array).all():
            raise FormatError(f"weights {name}: {np.sum(~np.isfinite(array))} of {array.size} numbers are not finite",
                              self.path)
        return array

    def number(self, name: str) -> float:
        """A number, which files hold as an array of one."""
        array = self.array(name)
        if array.size != 1:
            raise FormatError(f"weights {name}: expected one number, got an array {array.shape}", self.path)
        return float(array.item())

    def matrices(self, name: str, inputs: Any, outputs: Any, further: int = 0) -> list[np.ndarray]:
        """Matrices (inputs, outputs) of each degree that has both, over the root of the number of inputs.

        Args:
            name: of the layer.
            inputs, outputs: channels of each degree.
            further: scalars that enter behind all others; their rows are the last ones of the first matrix.
        """
        shapes = [(n, m) for n, m in zip(inputs, outputs, strict=False)]
        counts = [n * m for n, m in shapes]
        flat = self.array(f"{name}.linear.weight", (sum(counts) + further * outputs[0],))
        blocks = [
            part.reshape(shape) for part, shape in zip(np.split(flat, np.cumsum(counts)), shapes, strict=False)
        ]
        if further:
            blocks[0] = np.concatenate([blocks[0], flat[sum(counts) :].reshape(further, outputs[0])])
        return [block / math.sqrt(max(len(block), 1)) for block in blocks]


def _interaction(weights, settings, hop, place):
    """`Interaction` of a hop."""
    shown, leaving = settings.hidden[hop], settings.hidden[hop + 1]
    widths = HopWidths.of(shown, leaving, settings.harmonics, False)
    entering, received = widths.entering, widths.received
    further, before = len(settings.modalities), SILU if hop else 1.0
    itself = weights.matrices(f"{hop}_self_connection_intro", shown, entering)
    sent, sent_bias = _split(weights.matrices(f"{hop}_self_interaction_1", shown, shown, further), shown[0], place)
    into, into_bias = _split(
        weights.matrices(f"{hop}_self_interaction_2", received, entering, further), received[0], place
    )
    denominator = weights.number(f"{hop}_convolution.denominator")
    return Interaction(
        tuple(before * w for w in itself), tuple(before * w for w in sent),
        tuple(_radial(weights, settings, hop, widths)), tuple(w / denominator for w in into), sent_bias,
        into_bias,
    )


def _split(matrices, inputs, place):
    """Matrices without the rows of modalities, and the one of these that is chosen, as a bias of the scalars."""
    first = matrices[0]
    bias = np.zeros(first.shape[1]) if place is None else first[inputs + place]
    return [first[:inputs], *matrices[1:]], bias


def _radial(weights, settings, hop, widths):
    """Layers of the radial network, columns in the order of `paths`, with the signs of the stored couplings."""
    layers, inputs, k = [], None, 0
    while f"{hop}_convolution.weight_nn.layer{k}.weight" in weights.state:
        layer = weights.array(f"{hop}_convolution.weight_nn.layer{k}.weight")
        if layer.ndim != 2 or inputs not in (None, layer.shape[0]):
            raise FormatError(f"weights {hop}_convolution.weight_nn.layer{k}: layers do not follow one another",
                              weights.path)
        layers.append((SILU if k else 1.0) * layer / math.sqrt(layer.shape[0]))
        inputs, k = layer.shape[1], k + 1
    if not layers or inputs != sum(widths.weights):
        raise FormatError(
            f"weights {hop}_convolution.weight_nn: expected {sum(widths.weights)} in the end, got {inputs}",
            weights.path,
        )
    if settings.sorted:
        order = sorted(range(len(widths.paths)), key=lambda n: widths.paths[n][2])
        layers[-1] = widths.in_turn(layers[-1], order)
    signs = [_sign(weights, hop, *path) for path in widths.paths]
    layers[-1] = layers[-1] * np.repeat(signs, widths.weights)
    return layers


def _sign(weights, hop, first, second, third):
    """Sign of a stored coupling beside that of `coupling`; 1 where none is stored."""
    name = f"{hop}_convolution.convolution._compiled_main_left_right._w3j_{first}_{second}_{third}"
    if name not in weights.state:
        return 1.0
    symbols = coupling(first, second, third)
    stored = weights.array(name, symbols.shape)[np.ix_(*(_orders(degree) for degree in (first, second, third)))]
    overlap = float(np.sum(stored * symbols))
    if not math.isclose(abs(overlap), 1.0, abs_tol=1e-4):
        raise FormatError(f"weights {name}: these are no coupling of degrees {first}, {second}, {third}", weights.path)
    return math.copysign(1.0, overlap)


def _orders(degree):
    """Places of m = -1 ... -l, 0, 1 ... l in what begins with -l."""
    return [*range(degree - 1, -1, -1), *range(degree, 2 * degree + 1)]


def _readout(weights, settings, place):
    """Vector of the last scalars, two layers without anything between; and what the modality adds."""
    count = settings.hidden[-1][0]
    names = ("reduce_input_to_hidden", "reduce_hidden_to_energy")
    width = weights.array(f"{names[1]}.linear.weight").size
    first, bias = _split(weights.matrices(names[0], [count], [width], len(settings.modalities)), count, place)
    last = weights.matrices(names[1], [width], [1])[0][:, 0]
    return SILU * (first[0] @ last), float(bias @ last)


def _contents(head, path):
    return is_torch_archive(head, path, b"E3_equivariant_model")


FORMAT = Format(
    name="SevenNet checkpoint (.pth)", read=read_sevennet, family=Family.MACHINE_LEARNED, contents=_contents,
    options=(Option("modality", "the level of theory, of a model that was trained on several (SevenNet-MF)",
                    metavar="NAME"),),
)

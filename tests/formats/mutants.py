"""Files with one or two things wrong, and what a reader may do with them: shared by `test_damage` and `test_fuzz`."""

import re
import signal
import time
from dataclasses import dataclass, field

import jax
import numpy as np

import jaxpot as jp
from jaxpot.descriptors import SymmetryFunctions
from jaxpot.errors import DataError, FormatError, JaxpotError
from jaxpot.potentials import Constants, Described
from jaxpot.readouts import MLP, Neural

SECONDS = 2.0  # of processor time, for one file
MEMORY, MEMORY_PER_BYTE = 200e6, 4.0  # bytes that reading may add to the peak
_TOKEN = re.compile(rb"[^\s<>=\"',:;(){}]+")
_WHOLE = re.compile(rb"\d+$")
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
_ELEMENT = re.compile(rb"[A-Z][a-z]?$")
COUNTS = b"0 -1 1 2 3 4 5 13 118 119 999999999 1e9 1000000000000 9223372036854775808 nan 1.5 0x10 1_0 007 +3".split()
NUMBERS = COUNTS + (
    b"inf -inf NaN infinity 1e308 -1e308 1.7976931348623157e308 1e999 1e-320 5e-324 -5e-324 1e-999 1e200 -1e200 1e-200 "
    b"-0 -0.0 1e9 1e5 -1e5 1e-5 0.5 1.0D+00 1,5 1.2.3 1e 1e+ - . 1__0 _1 1_000.5 3.0e1_0 True None x"
).split() + [b"9" * 400, b"9" * 5000, b"0." + b"3" * 2000, "\u0663".encode(), "1\u0662".encode(), b"\xb2", b"\xb9\xb3"]
ELEMENTS = b"Si C Ge H Cu Ni Al Mg Fe Zr Xx si SI NULL X 0 14 119 Si(B) Uuo Siq".split() + ["\u00c9".encode()]
STRAY = [b"\x00", b"\x85", b"\x0b", b"\x0c", b"\x1c", b"\xa0", b"\xef\xbb\xbf", b"\xc3\x85", b"#", b"\r", b"\t",
         b"\xff", b"_", b"'", b'"', b"<", b">", b"&#0;", b"]]>", b"\\", b"{", b"[", b"=", b"%", b"-", b"."]


def damaged(data, rng):
    """One of: bytes replaced, a piece lost, a piece repeated, the end lost, digits turned into words."""
    data = bytearray(data)
    kind = rng.integers(5)
    a, b = sorted(rng.integers(0, len(data), 2))
    if kind == 0:
        for k in rng.integers(0, len(data), rng.integers(1, 4)):
            data[k] = rng.integers(0, 256)
    elif kind == 1:
        del data[a:min(b, a + 60)]
    elif kind == 2:
        data[a:a] = data[a:min(b, a + 60)]
    elif kind == 3:
        del data[a:]
    else:
        data[a:a + 3] = rng.choice([b"nan", b"inf", b"1e9", b"-1 ", b"0 0", b"\n\n\n", b"#  "])
    return bytes(data)


def mutated(data, rng):
    """One thing wrong, seldom two: mostly in words and lines, as people and programs get them wrong."""
    for _ in range(1 if rng.random() < 0.85 else 2):
        change = _CHANGES[rng.integers(len(_CHANGES))]
        data = change(data, rng) if data else data
    return data


def _one(choices, rng):
    return choices[rng.integers(len(choices))]


def _token(data, rng, kind=None):
    """Where a random word (of a kind, if there is one) begins and ends."""
    found = [m.span() for m in _TOKEN.finditer(data)]
    wanted = [(a, b) for a, b in found if kind is None or kind.match(data[a:b])] or found
    return _one(wanted, rng) if wanted else (0, 0)


def _count(data, rng):
    a, b = _token(data, rng, _WHOLE)
    return data[:a] + _one(COUNTS, rng) + data[b:]


def _number(data, rng):
    a, b = _token(data, rng, _NUMBER)
    return data[:a] + _one(NUMBERS, rng) + data[b:]


def _any_word(data, rng):
    a, b = _token(data, rng)
    return data[:a] + _one(NUMBERS, rng) + data[b:]


def _sign(data, rng):
    a, b = _token(data, rng, _NUMBER)
    return data[:a] + (data[a + 1:b] if data[a:a + 1] in b"-+" else b"-" + data[a:b]) + data[b:]


def _exponent(data, rng):
    a, b = _token(data, rng, _NUMBER)
    word = re.split(rb"[eE]", data[a:b])[0]
    return data[:a] + word + b"e%d" % _one((308, -308, -320, 150, -150, 30, -30, 5, -5, 400), rng) + data[b:]


def _digit(data, rng):
    a, b = _token(data, rng, _NUMBER)
    digits = [k for k in range(a, b) if data[k:k + 1].isdigit()]
    k = _one(digits, rng) if digits else a
    return data[:k] + b"%d" % rng.integers(10) + data[k + 1:]


def _element(data, rng):
    a, b = _token(data, rng, _ELEMENT)
    return data[:a] + _one(ELEMENTS, rng) + data[b:]


def _lose_word(data, rng):
    a, b = _token(data, rng)
    return data[:a] + data[b:]


def _repeat_word(data, rng):
    a, b = _token(data, rng)
    return data[:b] + b" " + data[a:b] + data[b:]


def _swap_words(data, rng):
    (a, b), (c, d) = sorted((_token(data, rng), _token(data, rng)))
    return data if b > c else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _cut_at_word(data, rng):
    return data[:_token(data, rng)[int(rng.integers(2))]]


def _lines(data, rng):
    lines = data.split(b"\n")
    k, m = rng.integers(len(lines), size=2)
    kind = rng.integers(7)
    if kind == 0:
        lines[k], lines[m] = lines[m], lines[k]
    elif kind == 1:
        del lines[k]
    elif kind == 2:
        lines.insert(k, lines[m])
    elif kind == 3:
        lines[k:k + 2] = [b" ".join(lines[k:k + 2])]
    elif kind == 4:
        lines.insert(k, b"")
    elif kind == 5:
        lines[k] = b"# " + lines[k]
    else:
        words = lines[k].split(b" ")
        lines[k:k + 1] = [b" ".join(words[:len(words) // 2]), b" ".join(words[len(words) // 2:])]
    return b"\n".join(lines)


def _stray(data, rng):
    a = int(rng.integers(len(data) + 1))
    return data[:a] + _one(STRAY, rng) + data[a:]


def _whole_file(data, rng):
    kind = rng.integers(8)
    changed = {
        0: data + data, 1: data.replace(b"\n", b"\r\n"), 2: data.replace(b"\n", b"\r"), 3: data.replace(b" ", b"\t"),
        4: b"\xef\xbb\xbf" + data, 5: b"", 6: data[::-1], 7: data.replace(b"\n", b" "),
    }
    return changed[int(kind)]


# Those that stand there twice find more.
_CHANGES = (
    damaged, _count, _count, _number, _number, _any_word, _sign, _exponent, _exponent, _digit, _element, _lose_word,
    _repeat_word, _swap_words, _cut_at_word, _lines, _lines, _stray, _whole_file,
)


def network():
    """A small network of silicon, which says in which ranges it was trained."""
    descriptor = SymmetryFunctions.automatic(("Si",), 4.0, 2, 1, "Si")
    width = descriptor.dimension
    lower, upper = np.zeros(width), np.linspace(1.0, 2.0, width)
    readout = Neural(MLP.random(0, width, (4,)), lower, 1.0 / upper, -1.0, 0.5, tuple(lower), tuple(upper))
    return Described(descriptor, readout, ("Si",)) + Constants({"Si": -5.0})


class TooSlow(Exception):
    """A file was still being read after `SECONDS` of processor time."""


@dataclass
class Outcome:
    """What became of the mutants that a reader was given."""

    tried: int = 0
    refused: int = 0
    computed: int = 0  # energies and forces that were asked for
    declined: int = 0  # of these, those that were refused with a typed error
    slowest: float = 0.0  # s of processor time
    memory: float = 0.0  # bytes added to the peak
    wrong: list = field(default_factory=list)  # (what, the error or the values)

    @property
    def accepted(self):
        return self.tried - self.refused - len(self.wrong)


def watched(read, size, names, outcome):
    """What `read()` gives, or None where it refuses as it should; anything else goes to `outcome.wrong`.

    Args:
        read: without arguments.
        size: of the files, in bytes.
        names: one of these must be in the message of a refusal.
        outcome: `Outcome`, which is told.
    """

    def too_slow(*_):
        raise TooSlow

    found, wrong = None, None
    start, memory = time.process_time(), _memory(reset=True)
    handler = signal.signal(signal.SIGPROF, too_slow)
    signal.setitimer(signal.ITIMER_PROF, SECONDS, 0.2)  # again and again: callbacks of XLA swallow exceptions
    try:
        found = read()
    except (FormatError, DataError) as error:
        if any(name in str(error) for name in names):
            outcome.refused += 1
        else:
            wrong = ("the file is not named", str(error)[:300])
    except Exception as error:
        wrong = (type(error).__name__, str(error)[:300])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, handler)
    memory = _memory() - memory
    outcome.tried += 1
    outcome.slowest = max(outcome.slowest, time.process_time() - start)
    outcome.memory = max(outcome.memory, memory)
    if memory > MEMORY + MEMORY_PER_BYTE * size:
        wrong = ("memory", f"{memory / 1e6:.0f} MB for {size} bytes")
    if wrong:
        outcome.wrong.append(wrong)
        return None
    return found


def _memory(reset=False):
    """The peak of this process's memory since the last reset, bytes; 0 where that is not to be known (not Linux)."""
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        with open("/proc/self/status") as file:
            return 1024.0 * float(re.search(r"VmHWM:\s*(\d+) kB", file.read())[1])
    except OSError:
        return 0.0


def finite(potential):
    """Whether all parameters are finite, and the range is."""
    leaves = jax.tree.leaves(potential)
    return all(np.isfinite(np.asarray(leaf)).all() for leaf in leaves) and 0.0 <= potential.cutoff < np.inf


def computes(potential, outcome):
    """Energy and forces of four atoms: finite, or refused with a typed error."""
    outcome.computed += 1
    species = potential.species
    positions = np.array([[0.0, 0.0, 0.0], [2.3, 0.1, 0.0], [0.2, 2.4, 0.1], [2.1, 2.2, 2.0]])
    structure = jp.Structure(positions, 30.0 * np.eye(3), [species[k % len(species)] for k in range(4)], pbc=False)
    try:
        with jax.disable_jit():  # every mutant would be a program of its own
            result = jp.evaluate(potential, structure)
    except JaxpotError:
        outcome.declined += 1
        return True
    return bool(np.isfinite(result.energy) and np.isfinite(np.asarray(result.forces)).all())

"""LAMMPS inputs in which `fix external` takes the place of a pair style: cut in two where the potential belongs."""

from dataclasses import dataclass

from jaxpot.errors import DataError

LONGEST_SKIN = 2.0  # A, LAMMPS's own in metal units
_QUOTES = '"""'


@dataclass(frozen=True)
class Cut:
    """An input in two parts: up to the pair style and what follows; the words of `pair_coeff` behind the asterisks."""

    before: str
    after: str
    words: tuple[str, ...]


def cut_at_zero(text: str) -> Cut:
    """Cut an input behind the `pair_coeff` of its `pair_style zero`.

    Raises:
        DataError: no such lines, or `pair_style jaxpot`, which names a model of its own.
    """
    lines, style = _lines(text), _first(_lines(text), "pair_style")
    if style is None or lines[style][1][1:2] != ["zero"]:
        given = "it has none" if style is None else f"it has {' '.join(lines[style][1])}"
        raise DataError(
            "with --model the input needs `pair_style zero CUTOFF` and `pair_coeff * *` where the potential belongs; "
            f"{given}"
        )
    coefficients = _after(lines, style)
    return Cut(_joined(lines[: coefficients + 1]), _joined(lines[coefficients + 1 :]), ())


def cut_at_jaxpot(text: str) -> Cut:
    """Cut an input at its `pair_style jaxpot`, whose two lines are left out.

    Raises:
        DataError: no such lines, or a hybrid style.
    """
    lines = _lines(text)
    style = _first(lines, "pair_style")
    if style is None or lines[style][1][1:2] != ["jaxpot"]:
        raise DataError("there is no line `pair_style jaxpot` that stands by itself")
    coefficients = _after(lines, style)
    words = lines[coefficients][1]
    if words[1:3] != ["*", "*"]:
        raise DataError(f"expected pair_coeff * * MODEL ELEMENTS, got {' '.join(words)}")
    before = _joined(lines[:style] + lines[style + 1 : coefficients])
    return Cut(before, _joined(lines[coefficients + 1 :]), tuple(words[3:]))


def names_jaxpot(text: str) -> bool:
    """Whether an input has a pair style of jaxpot, alone or in a hybrid one."""
    return any(words[0] == "pair_style" and "jaxpot" in words[1:] for _, words in _lines(text) if words)


def goes_elsewhere(text: str) -> bool:
    """Whether commands of an input may stand in other files, or be made by it: then its lines do not say all."""
    return any(
        words[0] in ("include", "jump", "if", "python") or (words[0] == "pair_style" and "$" in command)
        for command, words in _lines(text) if words
    )


def check_stays(cut: Cut) -> None:
    """Refuse commands that would end a model that acts by `fix external`, or thin its halo, without a word.

    Raises:
        DataError: `clear`, another pair style, `comm_modify` with a cutoff, or a skin beyond LAMMPS's own.
    """
    for place, text in enumerate((cut.before, cut.after)):
        for _, words in _lines(text):
            ends = words[:1] in (["clear"], ["pair_style"]) or words[:2] == ["unfix", "jaxpot"]
            if place and ends:
                raise DataError(
                    f"by fix external one model acts to the end of the input, and `{' '.join(words)}` behind its "
                    "pair_coeff would end it: split the input, or use pair_style jaxpot, which can change"
                )
            thin = place and words[:1] == ["comm_modify"] and "cutoff" in words
            if thin or (words[:1] == ["neighbor"] and not _at_most(words[1:2], LONGEST_SKIN)):
                raise DataError(
                    f"by fix external a model has the halo for a skin of {LONGEST_SKIN:g} A at most, and "
                    f"with `{' '.join(words)}` atoms would be missing: use pair_style jaxpot, or leave it out"
                )


def _at_most(words, limit):
    try:
        return float(words[0]) <= limit
    except (IndexError, ValueError):  # a variable, or what LAMMPS itself will refuse
        return False


def _after(lines, style):
    """Number of the line `pair_coeff` that follows a pair style."""
    for k in range(style + 1, len(lines)):
        if lines[k][1][:1] == ["pair_coeff"]:
            return k
    raise DataError("the pair style has no line `pair_coeff * *`")


def _first(lines, command):
    return next((k for k, (_, words) in enumerate(lines) if words[:1] == [command]), None)


def _joined(lines):
    return "".join(text for text, _ in lines)


def _lines(text):
    """Pairs (text, words) of commands: lines that end in & go on, and so do texts in triple quotes."""
    commands, current = [], ""
    for line in text.splitlines(keepends=True):
        current += line
        goes_on = current.split("#")[0].rstrip().endswith("&") or current.count(_QUOTES) % 2
        if not goes_on:
            commands.append(current)
            current = ""
    commands += [current] if current else []
    return [(command, command.split("#")[0].replace("&\n", " ").split()) for command in commands]

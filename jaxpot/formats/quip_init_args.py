"""The parts of a QUIP potential: `init_args` such as `Sum init_args_pot1={IP Glue} init_args_pot2={IP GAP}`."""

import re

from jaxpot.formats.quip_classical import CLASSICAL
from jaxpot.formats.quip_document import Document

_WORD = re.compile(r"\s*(\w+)\s*=\s*")
_MOST_NESTED = 20


def read_parts(document: Document) -> list[tuple[str, str | None]]:
    """(kind, label) of all parts beside the GAP itself.

    Raises:
        FormatError: the text cannot be read, there is not one GAP, or a part is not understood.
    """
    if not document.potentials:
        parts = [("GAP", None)]
    else:
        read = [_parts(document, text, _MOST_NESTED) for text in document.potentials]
        # A core that was given to gap_fit as a file may have brought its own `Potential`.
        with_gap = [parts for parts in read if any(kind == "GAP" for kind, _ in parts)]
        if len(with_gap) != 1 or sum(kind == "GAP" for kind, _ in with_gap[0]) != 1:
            raise document.error(f"expected one GAP in one Potential, got {document.potentials}", "init_args", 1)
        parts = with_gap[0]
    others: list[tuple[str, str | None]] = [(kind, label) for kind, label in parts if kind != "GAP"]
    if document.has_core and not others:
        raise document.error(
            "the GAP was fitted on a core potential (do_core=T), but init_args does not add it: give "
            '`<Potential init_args="Sum init_args_pot1={IP Glue} init_args_pot2={IP GAP}"/>`', "init_args", 1,
        )
    return others


def _parts(document, text, depth):
    kind, words = _words(document, text)
    if kind == "Sum" and depth and words and set(words) <= {"init_args_pot1", "init_args_pot2"}:
        return [part for inner in words.values() for part in _parts(document, inner, depth - 1)]
    name, label = kind.removeprefix("IP "), words.pop("label", None)
    if name != "GAP" and name not in CLASSICAL:
        known = ", ".join(CLASSICAL)
        raise document.error(f"the part {kind!r} is not read; known are a GAP and {known}", "init_args", 1)
    if words:
        raise document.error(f"settings of {kind} that are not known: {', '.join(words)}", "init_args", 1)
    return [(name, label)]


def _words(document, text):
    """Split into the text before the first `key=value`, and these; values may be in braces, which may be nested."""
    first = _WORD.search(text)
    kind = " ".join(text[: first.start() if first else None].split())
    words, position = {}, first.start() if first else len(text)
    while text[position:].strip():
        match = _WORD.match(text, position)
        end = _end_of_value(text, match.end()) if match else None
        if end is None or match.group(1) in words:
            raise document.error(f"expected key=value words, got {text[position:][:40]!r}", "init_args", 1)
        value = text[match.end() : end]
        words[match.group(1)] = value[1:-1].strip() if value[:1] == "{" else value
        position = end
    return kind, words


def _end_of_value(text, begin):
    """Index of the end of the value that begins here; None if braces do not close or nothing is there."""
    if text[begin : begin + 1] != "{":
        return re.compile(r"[^\s{}=]*").match(text, begin).end()
    depth = 0
    for k in range(begin, len(text)):
        depth += (text[k] == "{") - (text[k] == "}")
        if depth == 0:
            return k + 1
    return None

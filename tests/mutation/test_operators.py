"""The engine of mutation testing: which mutants there are, and that each is one change."""

import ast

from operators import mutants

SOURCE = '''"""A docstring: 1 < 2."""
from math import floor

LIMIT = 3

def cut(values, count=2, strict=False):
    """Not this: 4."""
    message = f"{count} of 5"
    if count < LIMIT and not strict:
        raise ValueError("expected 6 or " + message)
    values = values[1:count]
    values.sort()
    return min(values) + 0.5
'''


def changes(kind):
    return {(m.start[0], " ".join(m.after.split())) for m in mutants("cut.py", SOURCE) if m.kind == kind}


def test_kinds_of_mutants():
    assert changes("constant") == {(4, "(4)"), (4, "(2)"), (11, "(2)"), (11, "(0)"), (13, "(1.5)"), (13, "(-0.5)")}
    assert changes("default") == {(6, "(3)"), (6, "(1)"), (6, "(True)")}
    assert changes("comparison") == {(9, "(count <= LIMIT)"), (9, "(count >= LIMIT)")}
    assert changes("and/or") == {(9, "(count < LIMIT or not strict)")}
    assert changes("negated") == {(9, "(not (count < LIMIT and (not strict)))"), (9, "(strict)")}
    assert changes("raise removed") == {(10, "pass")}
    assert changes("statement removed") == {(11, "pass"), (12, "pass")}
    assert changes("slice") == {(11, "(count + 1)"), (11, "(count - 1)")}
    assert changes("exchanged") == {(13, "(max)")}
    assert changes("arithmetic") == {(13, "(min(values) - 0.5)")}
    assert changes("return value") == {(13, "return None")}


def test_each_is_one_change():
    texts = [m.applied(SOURCE) for m in mutants("cut.py", SOURCE)]
    assert len(set(texts)) == len(texts) > 20
    for text in texts:
        ast.parse(text)
        assert len(set(text.splitlines()) - set(SOURCE.splitlines())) == 1


def test_messages_stay():
    assert not [m for m in mutants("cut.py", SOURCE) if m.start[0] in (1, 7, 8) or (m.start[0] == 10 and m.after != "pass")]

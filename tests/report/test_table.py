"""The property card in words."""

from jaxpot.report.table import _wrapped


def test_long_lists_go_on_in_the_next_line():
    numbers = ", ".join(f"{x:.3f}" for x in range(12))
    lines = _wrapped(numbers, 30)
    assert len(lines) > 2 and all(len(line) <= 30 for line in lines)
    assert " ".join(lines) == numbers
    assert _wrapped(numbers, None) == _wrapped(numbers, 200) == [numbers]

"""Every verb on every kind of model does what the page in the documentation says."""

import jax
import pytest
from table import KINDS, PAGE, VERBS, outcome, page, read_page

EXPECTED = read_page()
# What a change of the package is most likely to break, and compiles in seconds. The others are slow, and run with
#     pytest -m slow -n 2 --dist loadgroup tests/contracts/test_what_works.py
QUICK_KINDS = ("pairs", "many-body", "charges")  # those that need no fit
QUICK = {(kind, verb) for kind in QUICK_KINDS for verb in ("evaluate", "virials", "heat_flux", "ase", "save")} | {
    (kind, verb)
    for kind in QUICK_KINDS[:2]
    for verb in ("relax", "elastic_constants", "active_set", "select_frames", "mixed_precision")
}
_before = [None]


@pytest.fixture(autouse=True)
def forget_programs(request):
    """Programs serve all cells of a kind, slow ones as well."""
    kind = request.node.callspec.params["kind"] if hasattr(request.node, "callspec") else None
    if kind != _before[0]:
        jax.clear_caches()
        _before[0] = kind
    yield


def _cells():
    for kind in KINDS:
        for verb in VERBS:
            tier = [] if kind == "pairs" else [pytest.mark.thorough]
            marks = [pytest.mark.xdist_group(kind), *(tier if (kind, verb) in QUICK else [pytest.mark.slow])]
            yield pytest.param(kind, verb, marks=marks, id=f"{kind}, {verb}")


@pytest.mark.parametrize(("kind", "verb"), list(_cells()))
def test_cell(kind, verb):
    assert outcome(verb, kind) == EXPECTED[verb, kind]


def test_the_page_has_every_cell():
    """`python tests/contracts/table.py --write` makes it anew."""
    assert set(EXPECTED) == {(verb, kind) for verb in VERBS for kind in KINDS}
    assert page(EXPECTED) == PAGE.read_text(encoding="utf-8")

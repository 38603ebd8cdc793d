"""The compiler option of the command line: where it is known, once, and never against the user."""

import pytest

from jaxpot.cli import compiler


@pytest.mark.parametrize(("version", "before", "after"), [
    ((0, 10), None, "--xla_cpu_use_fusion_emitters=false"),
    ((0, 10), "--xla_foo=1", "--xla_foo=1 --xla_cpu_use_fusion_emitters=false"),
    ((0, 10), "--xla_cpu_use_fusion_emitters=true", "--xla_cpu_use_fusion_emitters=true"),
    ((0, 12), None, ""),
])
def test_the_option_is_given_where_it_is_known(monkeypatch, version, before, after):
    monkeypatch.setattr(compiler, "_version", lambda: version)
    monkeypatch.setenv("XLA_FLAGS", before or "")
    compiler.compile_sooner()
    compiler.compile_sooner()
    assert compiler.os.environ["XLA_FLAGS"] == after

"""How commands compile, where that is known and never against the user; and that they keep XLA's messages to itself."""

import os
import subprocess
import sys

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


@pytest.mark.parametrize(("chosen", "level"), [({}, "CRITICAL"), ({"JAX_LOGGING_LEVEL": "WARNING"}, "WARNING")])
def test_xla_says_nothing_to_users_of_commands(chosen, level):
    """At this level XLA is silent about long compilations ("Very slow compile?") and kept programs."""
    code = (
        "import jaxpot, jax; untouched = jax.config.jax_logging_level\n"
        "from jaxpot.cli.main import main; main(['models', '--no-cache', '--json'])\n"
        "import sys; print(untouched, jax.config.jax_logging_level, file=sys.stderr)"
    )
    plain = {name: value for name, value in os.environ.items() if name not in ("JAX_LOGGING_LEVEL", "TF_CPP_MIN_LOG_LEVEL")}
    done = subprocess.run([sys.executable, "-c", code], env=plain | chosen, capture_output=True, text=True, check=True)
    untouched, after = done.stderr.split()[-2:]
    assert after == level and (untouched != level or chosen)  # a process that imports the library is left as it is

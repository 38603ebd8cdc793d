"""Running the command in this process."""

import pytest

from jaxpot.cli import cache
from jaxpot.cli.main import main


@pytest.fixture
def call(capsys, monkeypatch):
    """Run the command, which keeps no programs: (exit code, standard output, standard error)."""
    monkeypatch.setattr(cache, "use_cache", lambda: None)
    monkeypatch.setattr("jaxpot.cli.main.use_cache", lambda: None)

    def run(*argv):
        code = main([*map(str, argv)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run

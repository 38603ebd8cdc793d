"""Every notebook runs from top to bottom, in a fresh kernel, and shows what it promises."""

import os
from pathlib import Path

import pytest

from jaxpot.published import where

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def marked(path):
    """A notebook with the marks of its test: of one that loads published models, there must be data."""
    models = nbformat.read(path, as_version=4).metadata.get("models", [])
    return pytest.param(path, models, id=path.stem, marks=[pytest.mark.thorough, *[pytest.mark.data][: len(models)]])


@pytest.mark.parametrize(("path", "models"), [marked(path) for path in NOTEBOOKS])
def test_runs(path, models, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in models:  # as if they had been fetched
        place = where(name)
        place.parent.mkdir(parents=True)
        place.symlink_to(Path(os.environ["JAXPOT_DATA"]) / "models" / name / place.name)
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_there_is_one():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_without_outputs(path):
    """Outputs in the repository would be pictures of another day."""
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")

"""Every notebook runs from top to bottom, in a fresh kernel, and shows what it promises."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def needs_data(path):
    """Whether a notebook says in its metadata that it loads a published model."""
    return "weights" in nbformat.read(path, as_version=4).metadata


@pytest.fixture
def weights(tmp_path_factory, monkeypatch):
    """The published weights of JAXPOT_DATA, where `jaxpot models --fetch` keeps them."""
    if "JAXPOT_DATA" in os.environ:
        folder = tmp_path_factory.mktemp("data") / "jaxpot"
        folder.mkdir()
        (folder / "models").symlink_to(Path(os.environ["JAXPOT_DATA"]).resolve() / "models")
        monkeypatch.setenv("XDG_DATA_HOME", str(folder.parent))


@pytest.mark.thorough
@pytest.mark.parametrize("path", [
    pytest.param(path, id=path.stem, marks=[pytest.mark.data] if needs_data(path) else []) for path in NOTEBOOKS
])
def test_runs(path, tmp_path, weights):
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

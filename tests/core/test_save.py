import pytest

import jaxpot as jp
from jaxpot.core import save
from jaxpot.errors import FormatError


def test_files_older_than_a_static_field_are_read(tmp_path, monkeypatch):
    path = tmp_path / "morse.model"
    monkeypatch.setattr(save, "static_fields", lambda node: {"cutoff": 5.0, "species": None})  # Morse, once
    jp.save(jp.potentials.Morse(0.6, 1.3, 2.4, 5.0, shift="smooth"), path)
    monkeypatch.undo()
    assert (jp.load(path).shift, jp.load(path).cutoff) == ("none", 5.0)
    monkeypatch.setattr(save, "static_fields", lambda node: {"species": None})
    jp.save(jp.potentials.Morse(0.6, 1.3, 2.4, 5.0), path)
    with pytest.raises(FormatError, match="Morse has the fields"):
        jp.load(path)

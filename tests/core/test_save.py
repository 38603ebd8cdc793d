import jax.numpy as jnp
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


def test_posteriors_older_than_what_they_say_of_their_data_are_read(tmp_path, monkeypatch):
    path, leaf_fields = tmp_path / "x.posterior", save.leaf_fields
    posterior = jp.Posterior.of(jp.potentials.Morse(0.6, 1.3, 2.4, 5.0), {"depth": 0.1})
    posterior = posterior.replace(ranges={"volume_per_atom": jnp.array([18.0, 22.0])})
    jp.save(posterior, path)
    assert jp.load(path).ranges["volume_per_atom"].tolist() == [18.0, 22.0]
    monkeypatch.setattr(
        save, "leaf_fields", lambda node: {key: x for key, x in leaf_fields(node).items() if key != "ranges"}
    )
    jp.save(posterior, path)
    assert jp.load(path).ranges == {}

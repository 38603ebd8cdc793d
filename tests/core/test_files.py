"""Which files are read, and what messages show of what stands in them."""

import os

import pytest

from jaxpot.core.files import check_beside, file_size
from jaxpot.errors import DataError, FormatError, JaxpotWarning, escaped


def test_pipes_devices_folders_and_names_that_cannot_be_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    for path, says in (
        (tmp_path / "pipe", "a pipe or a device"), ("/dev/zero", "a pipe or a device"), (tmp_path, "a folder"),
        (tmp_path / "none", "No such file"), (tmp_path / "circle", "cannot be read"), ("a\0b", r"a\\x00b: cannot be read"),
        (tmp_path / ("x" * 5000), "cannot be read"),
    ):
        with pytest.raises(FormatError, match=says):
            file_size(path)


def test_a_file_that_is_too_large_is_refused_and_others_tell_their_size(tmp_path):
    (tmp_path / "a").write_bytes(bytes(10))
    assert file_size(tmp_path / "a", 10) == 10
    with pytest.raises(FormatError, match="10 bytes; expected at most 9"):
        file_size(tmp_path / "a", 9)


def test_a_file_that_another_asks_for_lies_beside_it(tmp_path):
    for folder in ("here", "store", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "side").write_text("1")
        (tmp_path / folder / "main").write_text("1")
    check_beside(tmp_path / "here" / "side", tmp_path / "here" / "main")
    out = tmp_path / "here" / "out"
    out.symlink_to("../elsewhere/side")
    with pytest.raises(FormatError, match="a link to another folder, which is not followed"):
        check_beside(out, tmp_path / "here" / "main")
    with pytest.raises(FormatError, match="cannot be read"):
        check_beside(tmp_path / "here" / "none", tmp_path / "here" / "main")
    # As in caches of downloads: the main file is a link into a store, and the other lies there, too.
    linked = tmp_path / "here" / "linked"
    linked.symlink_to("../store/main")
    stored = tmp_path / "here" / "stored"
    stored.symlink_to("../store/side")
    check_beside(stored, linked)


def test_messages_spell_out_what_acts_on_a_terminal_and_end_somewhere():
    assert escaped("a\x1b[2J\u202eb\x9b\u2028\r") == r"a\x1b[2J\u202eb\x9b\u2028\r"
    assert escaped("Grüneisen γ, 5 Å\n\tB") == "Grüneisen γ, 5 Å\n\tB"
    assert str(FormatError("x", "a\nb\x07")) == r"a\nb\x07: x"
    assert str(DataError("\x1b]0;x\x07")) == r"\x1b]0;x\x07"
    assert str(JaxpotWarning("\x1b[2J")) == r"\x1b[2J"
    long = str(DataError("a" * 10**6 + "end"))
    assert len(long) < 2100 and " [...] " in long and long.endswith("end")

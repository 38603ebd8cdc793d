"""Published models on this machine: read from where they are, checked by sha256, kept as a whole or not at all."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from jaxpot.core.files import file_size, read_bytes
from jaxpot.core.save import write_atomically
from jaxpot.errors import DataError, FormatError, first_few
from jaxpot.published import Published, where


def read_model(model: Published, path: Path) -> dict[str, bytes]:
    """Contents of the files of a model by name; other files beside them are left alone.

    Args:
        model: which one.
        path: of its file or, if it has several, of the folder with them.

    Raises:
        DataError: no such file or folder, files of the model are missing in it, or they have another size.
        FormatError: a file that cannot be read.
    """
    if not os.path.lexists(path):
        raise DataError(f"{path}: there is no such file or folder; expected {_expected(model)}")
    if os.path.isdir(path) != model.is_folder:
        raise DataError(f"{path}: this is {'a file' if model.is_folder else 'a folder'}; expected {_expected(model)}")
    paths = {name: path / name if model.is_folder else path for name in model.files}
    missing = [name for name, one in paths.items() if not os.path.lexists(one)]
    if missing:
        raise DataError(
            f"{path}: expected {_expected(model)}; {len(missing)} of them are not there: {first_few(missing, 3)}"
        )
    sizes = {name: file_size(one) for name, one in paths.items()}
    if sum(sizes.values()) != model.size:
        raise DataError(
            f"{path} is not {model.name} as it was published: expected {model.size} bytes, got {sum(sizes.values())}; "
            "nothing was kept"
        )
    return {name: read_bytes(one, sizes[name]) for name, one in paths.items()}


def is_intact(model: Published) -> bool:
    """Whether a model is kept here, and is what was published."""
    try:
        return model.digest(read_model(model, where(model.name))) == model.sha256
    except (DataError, FormatError):
        return False


def keep(model: Published, contents: Mapping[str, bytes], source: str) -> Path:
    """Check the files of a model, and keep them in the user's folder of data in place of what is there.

    Args:
        model: which one.
        contents: of its files by name.
        source: where they come from, for messages.

    Returns:
        Path of the model.

    Raises:
        DataError: they are not what was published, and nothing is kept; or the folder cannot be written to.
    """
    sha256 = model.digest(contents)
    if sha256 != model.sha256:
        what = f"the {len(model.files)} files have" if model.is_folder else "it has"
        raise DataError(
            f"{source} is not {model.name} as it was published: {what} the sha256 {sha256}, expected {model.sha256}; "
            "nothing was kept"
        )
    path = where(model.name)
    folder = path if model.is_folder else path.parent
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".jaxpot-") as temporary:
            _write(Path(temporary) / "new", contents)
            if os.path.lexists(folder):
                os.replace(folder, Path(temporary) / "old")
            os.replace(Path(temporary) / "new", folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from error
    return path


def _write(folder, contents):
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, data)


def _expected(model):
    """The file or files of a model, for messages."""
    if model.is_folder:
        return f"the folder of {model.name} with its {len(model.files)} files ({first_few(model.files, 3)})"
    return f"the file of {model.name}, {model.files[0]}"

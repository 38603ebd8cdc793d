"""Potentials and posteriors in jaxpot's own format (`core.save`)."""

from jaxpot.core.save import MAGIC, load_tree, save_tree
from jaxpot.errors import DataError
from jaxpot.formats.record import Format
from jaxpot.potentials.base import Potential
from jaxpot.potentials.posterior import Posterior
from jaxpot.typing import FilePath


def read_saved(path: FilePath) -> Potential | Posterior:
    """Read a potential or posterior that `jaxpot.save` has written.

    Raises:
        FormatError: not such a file, damaged, or of a class that no imported module defines.
        DataError: a tree of another kind.
        PrecisionError: the file holds double precision and JAX has x64 off.
    """
    tree = load_tree(path)
    if not isinstance(tree, Potential | Posterior):
        raise DataError(f"{path} holds a {type(tree).__name__}, neither a potential nor a posterior")
    return tree


FORMAT = Format(
    name="a potential or posterior saved by jaxpot.save",
    magic=MAGIC,
    read=read_saved,
    write=save_tree,
)

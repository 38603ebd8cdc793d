"""A folder for what is kept between processes, which nobody but its user can change: what is kept is run again."""

import os
import stat
from pathlib import Path


def private_folder(*names: str) -> Path | None:
    """XDG_CACHE_HOME/jaxpot/<names>, made with mode 0700; None if it is not the user's alone, or cannot be made."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(root) or not hasattr(os, "getuid"):
        return None
    path = Path(root)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in ("jaxpot", *names):
            path = path / part
            path.mkdir(mode=0o700, exist_ok=True)
            status = os.lstat(path)
            private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
            if not private or stat.S_IMODE(status.st_mode) & 0o077:
                return None
    except OSError:
        return None
    return path

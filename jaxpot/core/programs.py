"""Compiled programs that a process keeps: each takes places in the table of its memory, which has an end."""

from pathlib import Path

import jax

_TABLE, _MOST = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
_SHARE = 0.5  # of the table


def make_room_for_programs() -> None:
    """Forget all compiled programs of the process where they fill half of the table of its memory.

    A process that fills it, by some thousands of programs, dies while it compiles. Programs that the persistent cache
    of JAX keeps come back from there.
    """
    try:
        with _TABLE.open("rb") as table:
            used = sum(1 for _ in table)
        most = int(_MOST.read_text(encoding="ascii"))
    except (OSError, ValueError):  # another system: its table is not known
        return
    if used > _SHARE * most:
        jax.clear_caches()

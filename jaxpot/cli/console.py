"""Output of a command: results on standard output (a table or JSON), progress and notes on standard error."""

import json
import math
import sys
import threading
import time
from typing import Any

from jaxpot.errors import escaped
from jaxpot.report.table import to_ascii

_PATIENCE = 120.0  # s, after which a stage is said to be still running


class Console:
    """Output of one command; as a context manager, it stops watching long stages when the command ends.

    Args:
        as_json: results are one JSON document instead of text.
        quiet: no progress.
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet
        self.start = time.monotonic()
        self._watch = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        """Stop watching the stage that was announced last."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()

    def progress(self, text: str) -> None:
        """Announce a stage on standard error, with the seconds since the start; repeat it while it takes minutes."""
        if self.quiet:
            return
        self.note(f"[{time.monotonic() - self.start:6.1f} s] {text}")
        self._look_again(text, time.monotonic(), time.process_time())

    def _look_again(self, stage, since, used):
        """Say after some minutes, and again, that a stage still runs, and whether it uses the processor at all."""
        self.close()

        def look():
            if self._watch is not watch:  # closed, or another stage's turn, while this timer went off
                return
            minutes, now = (time.monotonic() - since) / 60.0, time.process_time()
            idle = now - used < 0.01 * _PATIENCE
            state = "without using the processor: interrupt it (Ctrl-C) and report this, please" if idle else "at work"
            self.note(f"[{time.monotonic() - self.start:6.1f} s] for {minutes:.0f} min at \"{stage}\", {state}")
            self._look_again(stage, since, now)

        watch = self._watch = threading.Timer(_PATIENCE, look)
        watch.daemon = True  # the process does not wait for it
        watch.start()

    def note(self, text: str) -> None:
        """Print a line on standard error."""
        print(_printable(text, sys.stderr), file=sys.stderr, flush=True)

    def text(self, text: str) -> None:
        """Print text on standard output; nothing when the result is JSON."""
        if not self.as_json:
            print(_printable(text, sys.stdout), flush=True)

    def result(self, document: Any, indent: int | None = 2) -> None:
        """Print the result as JSON on standard output; nothing when it is shown as text."""
        if self.as_json:
            print(to_json(document, indent), flush=True)


def to_json(document: Any, indent: int | None = 2) -> str:
    """JSON text; floats in full precision (they read back to the same bits), NaN and infinity as null."""
    return json.dumps(_finite(document), indent=indent, allow_nan=False)


def _finite(node):
    if isinstance(node, dict):
        return {str(key): _finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_finite(value) for value in node]
    if isinstance(node, float):
        return node if math.isfinite(node) else None
    return node


def _printable(text, stream):
    """The text in letters that the stream can show, and that show only themselves: names come from files."""
    text = escaped(text)
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return to_ascii(text)
    return text

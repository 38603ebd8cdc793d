"""A process that reads files while an audit hook watches: what was read, refused or done is told line by line, in JSON.

Run as `python guarded.py JOBS`, where JOBS is a file of JSON lines, each [name, reader, path, folder]. Of the operating
system, reading may use files in the folder (and the modules of Python), and nothing else. Before each job its name is
printed, so that the one at which a process ends is known.
"""

import builtins
import contextlib
import hashlib
import json
import os
import resource
import signal
import sys
import sysconfig
import time
import unicodedata
import warnings
from pathlib import Path

sys.dont_write_bytecode = True
SECONDS = float(os.environ.get("HOSTILE_SECONDS", "2"))  # of processor time, for one file
MEMORY, MEMORY_PER_BYTE = 200e6, 4.0  # bytes that reading may add to the peak
SOURCES = tuple(
    os.path.realpath(path) + os.sep
    for path in {*map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")), sys.base_prefix, sys.prefix}
)
WAITS = 15.0  # s, of what waits instead of computing
ROOM = 2 << 30  # addresses that threads of XLA reserve and do not use
MACHINE = ("/proc/self/", "/proc/meminfo", "/proc/cpuinfo", "/sys/devices/system/cpu", "/etc/localtime", "/dev/null",
           "/usr/share/zoneinfo")
# What makes code of its own in the standard library, of no file's contents.
MAKERS = ("dataclasses.py", f"collections{os.sep}__init__.py", "ast.py", "enum.py", "functools.py", "typing.py",
          "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>", "inspect.py", "textwrap.py")
FORBIDDEN = (
    "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "os.kill", "pty.",
    "socket.", "urllib.", "http.", "ftplib.", "smtplib.", "poplib.", "imaplib.", "telnetlib.", "nntplib.", "webbrowser.",
    "pickle.", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
    "os.chown", "os.utime", "os.setxattr", "os.removexattr", "os.putenv", "os.unsetenv", "os.chdir", "shutil.",
    "tempfile.", "sqlite3.enable_load_extension", "sqlite3.load_extension", "ctypes.dlopen", "code.__new__", "function.__new__", "sys.addaudithook", "sys.setprofile",
    "sys.settrace", "signal.pthread_kill", "syslog.", "fcntl.", "mmap.",
)


class Watch:
    """The audit hook: switched on for one job, it keeps what should not have happened."""

    def __init__(self):
        Watch.on, self.folder, self.given, self.acts = False, None, None, []
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        if not Watch.on:
            return
        Watch.on = False  # looking up paths raises events of its own
        try:
            act = self.judge(event, args)
            if act:
                self.acts.append(act)
        finally:
            Watch.on = True

    def judge(self, event, args):
        """A word about an event that should not be, or None."""
        if event == "open":
            return self.opened(*args)
        if event.startswith("sqlite3.connect"):  # a data base that is written into would be another file afterwards
            name = str(args[0]).removeprefix("file://").partition("?")[0]
            return None if event.endswith("/handle") or self.allowed(name) else f"{event} {name}"
        if event in ("os.listdir", "os.scandir"):
            return None if self.allowed(args[0]) else f"{event} {args[0]}"
        if event in ("exec", "compile", "marshal.loads", "marshal.load"):
            return None if ours(args[0]) else f"{event} {str(args[0])[:80]}"
        if event == "os.mkdir" and os.path.isdir(args[0]):
            return None  # which fails
        if event.startswith(FORBIDDEN):
            return f"{event} {str(args)[:120]}"
        return None

    def opened(self, path, mode, flags):
        if isinstance(path, int):
            return None
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        if (writes and os.fspath(path) != "/dev/null") or not self.allowed(path):
            return f"open {path!r} {mode} {flags}"
        return None

    def allowed(self, path):
        path = os.path.realpath(os.fsdecode(path) if path is not None else ".")
        if path == self.given:
            return True
        inside = path == self.folder or path.startswith(self.folder + os.sep)
        return inside or path.startswith((*SOURCES, *MACHINE, PACKAGE))


def ours(code):
    """Whether code that is run or made comes from an installed module, or from what makes code in the standard library."""
    name = getattr(code, "co_filename", "")
    if name.startswith((*SOURCES, "<frozen ")):
        return True
    frame, depth = sys._getframe(4), 0
    while frame is not None and depth < 3:
        if frame.f_code.co_filename.endswith(MAKERS):
            return True
        frame, depth = frame.f_back, depth + 1
    return False


def peak(reset=False):
    """The peak of this process's memory since the last reset, bytes; 0 where that is not to be known (not Linux)."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024.0 * next(float(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0.0


def size_of(path):
    """Bytes of a file, or of all files in a folder."""
    paths = [p for p in Path(path).rglob("*") if p.is_file()] if os.path.isdir(path) else [Path(path)]
    return sum(p.stat().st_size for p in paths if os.path.isfile(p) and p.stat().st_size < 1 << 40)


def contents(folder):
    """{name: digest} of the files in a folder."""
    files = [p for p in Path(folder).rglob("*") if p.is_file() and not p.is_symlink()]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class TooSlow(BaseException):
    """A file was still being read after `SECONDS`."""


def too_slow(*_):
    if Watch.on:
        raise TooSlow


def raw(text):
    """The first character of a message that would act on a terminal or turn its order around, or None."""
    return next((c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")), None)


def main(jobs):
    import readers

    from jaxpot.errors import JaxpotError

    readers.warm_up()
    watch = Watch()
    for line in Path(jobs).read_text().splitlines():
        name, reader, path, folder = json.loads(line)
        print(json.dumps({"begins": name}), flush=True)
        read = readers.READERS[reader]
        said, kind, reason = [], "value", ""
        watch.acts, watch.folder = [], os.path.realpath(folder)
        watch.given = None if path.startswith(folder) or "\0" in path else os.path.realpath(path)
        holds = contents(folder)
        limit = MEMORY + MEMORY_PER_BYTE * size_of(folder)
        before = peak(reset=True)
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        virtual = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (int(virtual + limit) + ROOM, most))
        start, wall = time.process_time(), time.monotonic()
        try:
            with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(sys.stderr):
                warnings.simplefilter("always")
                Watch.on = True
                signal.setitimer(signal.ITIMER_PROF, SECONDS, 0.2)
                signal.setitimer(signal.ITIMER_REAL, WAITS, 0.2)
                try:
                    value = read(path)
                finally:
                    Watch.on = False
            kind = readers.described(value)
        except JaxpotError as error:
            kind, reason = type(error).__name__, str(error)
        except TooSlow:
            kind = "too slow"
        except BaseException as error:
            kind, reason = f"untyped {type(error).__name__}", str(error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            seconds = time.process_time() - start
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        said = [str(w.message) for w in caught if type(w.message).__module__.startswith("jaxpot")]
        grown = peak() - before
        value = None
        if contents(folder) != holds:
            watch.acts.append("files in the folder have changed")
        print(json.dumps({
            "name": name, "kind": kind, "reason": reason[:600], "length": len(reason), "acts": watch.acts,
            "seconds": seconds, "wall": time.monotonic() - wall, "memory": grown, "limit": limit,
            "raw": [repr(c) for c in map(raw, [reason, *said]) if c],
        }), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, too_slow)
    signal.signal(signal.SIGALRM, too_slow)
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import jaxpot

    PACKAGE = os.path.realpath(os.path.dirname(jaxpot.__file__)) + os.sep
    builtins.input = None
    main(sys.argv[1])

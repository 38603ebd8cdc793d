"""Test runs in processes that are forked from one which has imported JAX and ASE, but nothing of jaxpot."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from pytest import hookimpl as _hook

_MISTAKE = 70  # exit status
_ALL = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
_PATIENCE = 10.0  # of clock time for processor time: the machine may have other work
_MEMORY = 8 << 30  # bytes, of one process
_PARTS = ("jaxpot", "tests", "pyproject.toml", "README.md")


def preload(cache):
    """Import what all tests import, compiled programs going to a folder that all processes share."""
    os.environ.update(
        JAX_COMPILATION_CACHE_DIR=str(cache), JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
        PYTHONDONTWRITEBYTECODE="1",
    )
    sys.dont_write_bytecode = True
    import ase.build
    import ase.io  # noqa: F401
    import hypothesis  # noqa: F401
    import jax  # noqa: F401
    import matplotlib  # noqa: F401
    import optax  # noqa: F401
    import pytest  # noqa: F401
    import scipy.optimize  # noqa: F401
    import spglib  # noqa: F401
    import vesin  # noqa: F401

    assert "jaxpot" not in sys.modules


def copied(root, place, targets):
    """A copy of the package and its tests; files to be mutated have no byte code that could outlive a mutation."""
    shutil.rmtree(place, ignore_errors=True)
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *_PARTS], cwd=root, check=True,
        capture_output=True, text=True,
    ).stdout.split("\n")
    for name in filter(None, names):
        if (Path(root) / name).exists():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(root) / name, place / name)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "jaxpot", "tests"], cwd=place, check=True)
    for path in targets:
        for old in (place / path).parent.glob(f"__pycache__/{Path(path).stem}.*.pyc"):
            old.unlink()


@dataclass
class Run:
    """A running process: what is awaited of it, and since when."""

    pid: int
    answer: Path
    start: float
    limit: float  # s of processor time, and `_PATIENCE` times as many on the clock

    def over(self):
        """None while it runs; then (status, answer or None, s of processor time)."""
        pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        if pid == 0:
            if time.monotonic() - self.start < _PATIENCE * self.limit:
                return None
            os.killpg(self.pid, signal.SIGKILL)
            _, status, usage = os.wait4(self.pid, 0)
        seconds = usage.ru_utime + usage.ru_stime
        try:
            os.killpg(self.pid, signal.SIGKILL)  # what it started
        except ProcessLookupError:
            pass
        code = os.waitstatus_to_exitcode(status)
        if code == _MISTAKE:
            raise RuntimeError(f"not the mutant, but what runs it went wrong: see {self.answer.with_suffix('.log')}")
        answer = json.loads(self.answer.read_text()) if self.answer.exists() else None
        return code, answer, seconds

    def timed_out(self, seconds):
        """Whether it was ended for its time."""
        return seconds >= self.limit or time.monotonic() - self.start >= _PATIENCE * self.limit


def done(run):
    """Wait for a process, in a generator that yields meanwhile; its answer stays in its file."""
    while (over := run.over()) is None:
        yield
    if over[1] is None:
        raise RuntimeError(f"tests without a mutant have ended without an answer: see {run.answer.with_suffix('.log')}")


def start(place, answer, test_files, wanted=None, traced=(), limit=3600.0, stop=False):
    """Fork a process that runs tests.

    Args:
        place: copy of the repository.
        answer: file, for its JSON: {"failed": test or None, "tests": {test: [s, passed, {path: lines}]}}.
        test_files: to collect.
        wanted: tests to run in this order; None: all.
        traced: paths of which the lines that run are noted.
        limit: s of processor time.
        stop: whether to stop at the first test that fails.
    """
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return Run(pid, answer, time.monotonic(), limit)
    code = _MISTAKE
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        log = os.open(answer.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.chdir(place)
        os.environ["PYTHONPATH"] = str(place)
        sys.path[:] = [str(place), *(p for p in sys.path if not (Path(p) / "jaxpot").is_dir())]
        code = _tests(Path(place), answer, test_files, wanted, traced, stop)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _tests(place, answer, test_files, wanted, traced, stop):
    import hypothesis
    import pytest

    hypothesis.settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("mutation")
    plugin = _Plugin(place, wanted, traced)
    options = ["-o", "addopts=", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "--tb=line", "--assert=plain"]
    code = pytest.main([*options, *(["-x"] if stop else []), *test_files], plugins=[plugin])
    answer.write_text(json.dumps({"failed": plugin.failed, "tests": plugin.tests}))
    return int(code)


class _Plugin:
    """Chooses tests and sorts them, and notes their time, their outcome and the lines they come by."""

    def __init__(self, place, wanted, traced):
        self.place, self.wanted = place, wanted
        self.paths = {str(place / path): path for path in traced}
        self.lines, self.shared, self.tests, self.failed = set(), {}, {}, None

    def pytest_collection_modifyitems(self, items):
        if self.wanted is not None:
            place = {name: k for k, name in enumerate(self.wanted)}
            items[:] = sorted((i for i in items if i.nodeid in place), key=lambda i: place[i.nodeid])

    def pytest_runtest_logreport(self, report):
        row = self.tests.setdefault(report.nodeid, [0.0, True, []])
        row[1] = row[1] and report.passed
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_collectreport(self, report):
        if report.failed and self.failed is None:
            self.failed = f"collection of {report.nodeid}"

    @_hook(hookwrapper=True)
    def pytest_runtest_protocol(self, item, nextitem):
        """One test, timed; if it is traced, nothing that an earlier test has compiled or computed is there."""
        begin = _processor_time()
        if self.paths:
            _forget()
            self.lines = set()
            sys.settrace(self.trace)
        yield
        sys.settrace(None)
        row = self.tests[item.nodeid]
        row[0] = _processor_time() - begin
        row[2] = sorted(self.lines | self.shared.get(item.nodeid.split("::")[0], set()))

    def trace(self, frame, event, _):
        path = self.paths.get(frame.f_code.co_filename)
        if path is None:
            return None
        lines = self.lines

        def local(frame, event, _):
            if event == "line":
                lines.add((path, frame.f_lineno))
            return local

        lines.add((path, frame.f_lineno))
        return local

    def pytest_fixture_setup(self, fixturedef, request):
        if not self.paths or fixturedef.scope == "function":
            return None
        from _pytest.fixtures import pytest_fixture_setup

        before, self.lines = self.lines, set()
        try:
            return pytest_fixture_setup(fixturedef, request)
        finally:
            self.shared.setdefault(request.node.nodeid, set()).update(self.lines)
            self.lines = before | self.lines


def _processor_time():
    """s, of this process and of those that it has started and awaited."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, _ALL))


def _forget():
    """Clear what functions of the package keep: compiled programs, and cached values."""
    import jax

    jax.clear_caches()
    for name, module in list(sys.modules.items()):
        if name.startswith("jaxpot."):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear") and hasattr(value, "cache_info"):
                    value.cache_clear()

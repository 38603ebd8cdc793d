"""Shared by all tests: double precision, how XLA compiles, what it keeps, and the marker for the data folder."""

import os

import jax
import jaxlib
import pytest

from jaxpot.cli.cache import use_cache
from jaxpot.cli.compiler import compile_sooner, silence

jax.config.update("jax_enable_x64", True)
# As the commands do, and for the same reason: most of the time of the suite is compilation. Notebooks and scripts that
# tests start inherit it; `XLA_FLAGS=--xla_cpu_use_fusion_emitters=true pytest` compiles in the other way.
compile_sooner()
# Programs are kept, as those of the commands are: the two processes of a run, what they start, and the next run share
# them, and a program that was forgotten (`forget_programs`) is read back.
silence()
_kept = use_cache()
if _kept is not None:
    os.environ |= {"JAX_COMPILATION_CACHE_DIR": str(_kept), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def pytest_configure(config):
    """Compile without LLVM's optimisations, which take longer here than all that they save (slow tests run long), and
    each program in one piece: each process has one core, and pieces cost a tenth of the time.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if config.option.markexpr != "slow" and "xla_backend_optimization_level" not in flags:
        flags += " --xla_backend_optimization_level=0"
    known = jaxlib.__version__.startswith(("0.10.", "0.12."))  # a flag that is unknown ends the process
    if known and "xla_cpu_parallel_codegen_split_count" not in flags:
        flags += " --xla_cpu_parallel_codegen_split_count=1"
    os.environ["XLA_FLAGS"] = flags.strip()


def pytest_collection_modifyitems(items):
    if not os.environ.get("JAXPOT_DATA"):
        skip = pytest.mark.skip(reason="needs JAXPOT_DATA, the folder of published data")
        for item in items:
            if item.get_closest_marker("data"):
                item.add_marker(skip)


# Every program that XLA compiles for the CPU maps memory of its own, and a process may hold 65,530
# mappings on Linux: a whole suite compiles more than that, and XLA then dies without a message.
MAPPINGS_KEPT = 20_000


def mappings() -> int:
    try:
        with open("/proc/self/maps") as maps:
            return sum(1 for _ in maps)
    except OSError:
        return 0


@pytest.fixture(autouse=True)
def forget_programs(request):
    """Programs are kept for the tests that follow until they are many, or one of them is huge (slow tests)."""
    yield
    if "slow" in request.keywords or mappings() > MAPPINGS_KEPT:
        jax.clear_caches()

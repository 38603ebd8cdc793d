"""Settings of XLA for CPUs in a process that belongs to a command: how it compiles, and which messages it prints."""

import os

import jax
import jaxlib

_FLAG = "xla_cpu_use_fusion_emitters"
_KNOWN = ((0, 10),)  # jaxlib versions that have the flag: an unknown one ends the process


def compile_sooner() -> None:
    """Turn XLA's newer fusion emitters off, where that can be done: compiling takes less long, running no longer.

    Must come before the first computation. What a user has said in XLA_FLAGS stays. With jaxlib 0.10.1,
    `jaxpot card sw-silicon --structure diamond:Si --no-cache` takes 17 to 18 s of processor time, and 23 to 24 s with
    XLA_FLAGS=--xla_cpu_use_fusion_emitters=true.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _version() in _KNOWN and _FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{_FLAG}=false".strip()


def silence() -> None:
    """Silence XLA, unless the user has chosen a level of messages.

    XLA warns of kept programs by two lines of 2,000 characters each, as it takes hints such as "prefer-no-gather" for
    features that the processor lacks (those of other processors are in other folders), and of compilations of more than
    two minutes by asking for a bug report. Failures raise all the same, and `Console` tells of long stages.
    """
    by_default = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1"  # as JAX sets it
    if by_default and "JAX_LOGGING_LEVEL" not in os.environ:
        jax.config.update("jax_logging_level", "CRITICAL")


def _version():
    return tuple(int(part) for part in jaxlib.__version__.split(".")[:2])

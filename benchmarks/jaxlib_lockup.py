"""Does jaxlib lock up when batches of matrices are decomposed by several threads, and what do sequences cost instead?

    python benchmarks/jaxlib_lockup.py            every decomposition, JAX's batches beside ours
    python benchmarks/jaxlib_lockup.py --rows 60

Each row runs in a process of its own, three threads with batches of 200 matrices for ten seconds, and is ended when no
thread has finished a call for five seconds. `jaxlib_lockup.md` describes the fault.
"""

import argparse
import os
import subprocess
import sys
import threading
import time

BATCH, THREADS, SECONDS, PATIENCE = 200, 3, 10.0, 5.0
KINDS = ("eigh", "solve", "cholesky", "solve_triangular", "qr", "svd")


def calls(kind):
    """JAX's function of one matrix, and ours (None where jaxpot needs none)."""
    import jax
    import jax.numpy as jnp

    from jaxpot.core import linalg

    return {
        "eigh": (lambda a: jnp.linalg.eigh(a + a.T)[0], lambda a: linalg.eigh(a + a.T)[0]),
        "solve": (lambda a: jnp.linalg.solve(a, a[0]), lambda a: linalg.solve(a, a[0])),
        "cholesky": (lambda a: jnp.linalg.cholesky(a @ a.T), lambda a: linalg.cholesky(a @ a.T)),
        "solve_triangular": (
            lambda a: jax.scipy.linalg.solve_triangular(a, a, lower=True), lambda a: linalg.solve_lower(a, a),
        ),
        "qr": (lambda a: jnp.linalg.qr(a)[1], None),
        "svd": (lambda a: jnp.linalg.svd(a)[1], None),
    }[kind]


def measure(kind, ours, rows):
    """Print the time of one call, then how far the threads came."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    function = calls(kind)[ours]
    if function is None:
        print("-")
        return
    matrices = np.random.default_rng(0).normal(size=(BATCH, rows, rows)) + 3.0 * np.sqrt(rows) * np.eye(rows)
    matrices = jnp.asarray(matrices)
    run = jax.jit(jax.vmap(function))
    jax.block_until_ready(run(matrices))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(run(matrices))
        times.append(time.perf_counter() - start)
    counts, stop = [0] * THREADS, time.monotonic() + SECONDS

    def work(k):
        while time.monotonic() < stop:
            jax.block_until_ready(run(matrices))
            counts[k] += 1

    threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(THREADS)]
    [thread.start() for thread in threads]
    last, since = sum(counts), time.monotonic()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.2)
        if sum(counts) != last:
            last, since = sum(counts), time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            break
    locked = any(thread.is_alive() for thread in threads)
    state = f"LOCKED UP after {last} calls" if locked else f"{last} calls"
    print(f"{sorted(times)[2] * 1e3:.2f} ms, {state}", flush=True)
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=27, help="of each matrix (27)")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one[0], options.one[1] == "jaxpot", options.rows)
        return
    import jaxlib

    print(f"jaxlib {jaxlib.__version__}, {os.cpu_count()} cores; {THREADS} threads")
    print(f"{BATCH} matrices of {options.rows} rows")
    for kind in KINDS:
        for whose in ("jax", "jaxpot"):
            command = [sys.executable, __file__, "--rows", str(options.rows), "--one", kind, whose]
            said = subprocess.run(command, capture_output=True, text=True).stdout.strip()
            print(f"{kind:18}{whose:8}{said}", flush=True)


if __name__ == "__main__":
    main()

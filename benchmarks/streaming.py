"""How long, and in how much memory, are rows of a design matrix turned into weights, and how near is that to the floor?

Synthetic rows, made block by block, so that memory is what the solution needs: the Gram matrix, its factor, and one
block. The floor is rows x M^2 multiply-adds at the rate of this machine's dgemm, measured in the same process.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/streaming.py [--rows 500000] [--width 2000]
"""

import argparse
import resource
import time

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np

from jaxpot.fitting.linear.moments import Accumulator, covariance_factor, posterior, unwhiten

_BLOCK = 4096


def dgemm_rate(width):
    """Multiply-adds a second, the best of five products."""
    a, best = np.random.default_rng(0).normal(size=(width, width)), np.inf
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return width**3 / best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--width", type=int, default=2000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    points = rng.normal(size=(options.width, 8))
    overlap = np.exp(-0.1 * ((points[:, None] - points) ** 2).sum(-1))
    factor, jitter = covariance_factor(overlap)
    del overlap
    truth, noise = rng.normal(size=options.width), 0.1
    accumulator, seconds, before = Accumulator([factor]), 0.0, dgemm_rate(options.width)
    for begin in range(0, options.rows, _BLOCK):
        rows = rng.normal(size=(min(_BLOCK, options.rows - begin), options.width))
        targets = rows @ truth + noise * rng.normal(size=len(rows))
        start = time.perf_counter()
        accumulator.add("rows", rows, targets, noise)
        seconds += time.perf_counter() - start
    start = time.perf_counter()
    found = posterior(accumulator.finish(), {"rows": 1.0})
    (weights,) = unwhiten(found.mean, [factor])
    seconds += time.perf_counter() - start
    rate = 0.5 * (before + dgemm_rate(options.width))
    floor = options.rows * options.width**2 / rate
    error = np.sqrt(np.mean((np.asarray(weights) - truth) ** 2))
    print(f"{options.rows} rows x {options.width} weights, jitter {jitter:.0e}: {seconds:.1f} s")
    print(f"floor {floor:.1f} s at {rate / 1e9:.1f} G multiply-adds/s: {seconds / floor:.2f} x")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB (Linux)")
    print(f"root mean square error of the weights {error:.1e}; of noise alone {noise / np.sqrt(options.rows):.1e}")


if __name__ == "__main__":
    main()

"""How near to DFT does a published model come after fine-tuning, beside training from nothing and a GAP?

Draws frames from the training sets of Zuo et al. (J. Phys. Chem. A 124, 731 (2020)), the same ones for all, and gives
mean absolute errors on their test sets, by which nothing is chosen, with the share of labels inside the 90 % intervals
of bars; these were calibrated on frames left out (of networks the validation frames), if there are four or more.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/fine_tuning.py run Si --frames 30 --model CHECKPOINT --out FOLDER
    python benchmarks/fine_tuning.py page --out FOLDER

`--kinds` chooses among fine-tuning, equivariant (from nothing) and gap; `--members`, `--epochs` and `--rate` change the
recipe of networks, `--seed` the frames.
"""

import argparse
import dataclasses
import json
import pathlib
import time

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner

KINDS = ("fine-tuning", "equivariant", "gap")
LEAST = 4  # frames that a calibration needs
CHANGES = ("members", "epochs", "rate", "batch", "average")


def fitted(kind, train, test, options):
    """A fit of one kind."""
    def say(text):
        print(f"  {text}", flush=True)

    if kind == "gap":
        return jp.fit(train, "gap", test=test, progress=say, keep_folds=True)
    changes = {name: getattr(options, name) for name in CHANGES if getattr(options, name) is not None}
    recipe = dataclasses.replace(jp.read_recipe(kind), **changes)
    start = {"start": jp.load(options.model), "pretrained": True} if kind == "fine-tuning" else {}
    return jp.train(train, recipe, test=test, progress=say, predictions=False, **start)


def scored(fit, train, test):
    """Errors on the test set, and how much of it lies inside 90 % intervals."""
    errors = {name: row["mae"] for name, row in fit.test.errors()["all"].items()}
    if fit.posterior is None:
        return {"mae": errors}
    posterior = fit.posterior
    if sum(len(frames) for frames, _ in fit.left_out()) >= LEAST:
        posterior = jp.calibrate(fit, train).apply(posterior)
    inside = {"energy": [], "forces": []}
    for frame, bars in zip(test, jp.std_many(posterior, [frame.structure for frame in test]), strict=True):
        predicted, total = jp.evaluate(posterior.potential, frame.structure), bars.total
        inside["energy"].append(abs(float(predicted.energy) - frame.energy) < 1.645 * float(total.energy))
        off = np.abs(np.asarray(predicted.forces) - frame.forces)
        inside["forces"].append(np.mean(off < 1.645 * np.asarray(total.forces)))
    return {"mae": errors, "inside": {name: float(np.mean(shares)) for name, shares in inside.items()}}


def run(options):
    options.out.mkdir(parents=True, exist_ok=True)
    for element in options.elements:
        whole, test = (jp.datasets.mlearn(element, split) for split in ("train", "test"))
        order = np.random.default_rng(options.seed).permutation(len(whole))
        for count in options.frames:
            train = whole[np.sort(order[:count])]
            for kind in options.kinds:
                start = time.perf_counter()
                print(f"{element}, {len(train)} frames, {kind}", flush=True)
                fit = fitted(kind, train, test, options)
                row = {
                    "element": element, "frames": len(train), "kind": kind, "seed": options.seed,
                    "seconds": time.perf_counter() - start, **scored(fit, train, test),
                }
                name = f"{element}-{len(train)}-{kind}-{options.seed}"
                (options.out / f"{name}.json").write_text(json.dumps(row))
                if fit.posterior is not None:
                    jp.save(fit.posterior, options.out / f"{name}.posterior")
                print(row, flush=True)


def page(options):
    """Print the table of all that was run."""
    rows = [json.loads(path.read_text()) for path in sorted(options.out.glob("*.json"))]
    print("| | frames | kind | energy, meV/atom | forces, eV/A | inside 90 %: energies, forces | s |")
    print("|---" * 7 + "|")
    for row in sorted(rows, key=lambda row: (row["element"], row["frames"], KINDS.index(row["kind"]))):
        inside = row.get("inside")
        shares = "" if inside is None else f"{100 * inside['energy']:.0f} %, {100 * inside['forces']:.0f} %"
        print(
            f"| {row['element']} | {row['frames']} | {row['kind']} | {1e3 * row['mae']['energy']:.2f} | "
            f"{row['mae']['forces']:.4f} | {shares} | {row['seconds']:.0f} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs, pages = commands.add_parser("run"), commands.add_parser("page")
    runs.add_argument("elements", nargs="+")
    runs.add_argument("--frames", nargs="+", type=int, default=[10, 30, 100])
    runs.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    runs.add_argument("--model", help="to start from, for fine-tuning")
    runs.add_argument("--seed", type=int, default=0)
    for name in ("members", "epochs", "batch"):
        runs.add_argument(f"--{name}", type=int)
    for name in ("rate", "average"):
        runs.add_argument(f"--{name}", type=float)
    for command in (runs, pages):
        command.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    compile_sooner()
    run(options) if options.command == "run" else page(options)


if __name__ == "__main__":
    main()

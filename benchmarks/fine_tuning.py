"""How near to DFT does a published model come after fine-tuning, beside training from nothing and a GAP?

Draws frames from the training sets of Zuo et al. (J. Phys. Chem. A 124, 731 (2020)), the same ones for all, and gives
mean absolute errors on their test sets, by which nothing is chosen, with the share of labels inside the 90 % intervals
of bars; these were calibrated on frames left out (of networks the validation frames), if there are four or more.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/fine_tuning.py run Si --frames 30 --model CHECKPOINT --out FOLDER
    python benchmarks/fine_tuning.py page --out FOLDER
    python benchmarks/fine_tuning.py card Si --frames 30 --out FOLDER

The last is for cubic crystals: how many numbers of the fine-tuned model's property card, with bars, lie within two of
them of what the strained DFT frames say (lattice constant, C11, C12, and C44 with ions held), and else of the card of a
GAP fitted to all frames.

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
from ase.build import bulk

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner
from jaxpot.report.card import property_card
from jaxpot.units import GPa

KINDS = ("fine-tuning", "equivariant", "gap")
LEAST = 4  # frames that a calibration needs
LEAST_BAR = 1e-8  # of a number, relative: rounding is less
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


def calibrated(fit, train):
    """Posterior of a fit, calibrated if there are enough frames that it left out; None where it has none."""
    if fit.posterior is None or sum(len(frames) for frames, _ in fit.left_out()) < LEAST:
        return fit.posterior
    return jp.calibrate(fit, train).apply(fit.posterior)


def scored(fit, posterior, test):
    """Errors on the test set, and how much of it lies inside 90 % intervals."""
    errors = {name: row["mae"] for name, row in fit.test.errors()["all"].items()}
    if posterior is None:
        return {"mae": errors}
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
                seconds, posterior = time.perf_counter() - start, calibrated(fit, train)
                row = {
                    "element": element, "frames": len(train), "kind": kind, "seed": options.seed, "seconds": seconds,
                    **scored(fit, posterior, test),
                }
                name = f"{element}-{len(train)}-{kind}-{options.seed}"
                (options.out / f"{name}.json").write_text(json.dumps(row))
                if posterior is not None:
                    jp.save(posterior, options.out / f"{name}.posterior")
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


def strained(frames):
    """Lattice constant, C11, C12 and C44 with ions held, A and GPa, of frames that strain the cubic ground state.

    Slopes at zero of polynomials of the stress in the strain of Lagrange.
    """
    ground = next(np.asarray(f.structure.cell) for f in frames if f.config_type == "Ground_state")
    along, across, sheared = [], [], []
    for frame in frames:
        change = np.linalg.solve(ground, np.asarray(frame.structure.cell)) if frame.config_type == "Elastic" else None
        if change is None:
            continue
        strain, stress = 0.5 * (change @ change.T - np.eye(3)), np.asarray(frame.stress) / GPa
        if np.abs(change - np.diag(np.diag(change))).max() < 1e-6:
            axis = int(np.abs(np.diag(strain)).argmax())
            along.append((strain[axis, axis], stress[axis, axis]))
            across += [(strain[axis, axis], stress[k, k]) for k in range(3) if k != axis]
        else:
            one, other = max(((1, 2), (0, 2), (0, 1)), key=lambda pair: abs(strain[pair]))
            sheared.append((2.0 * strain[one, other], stress[one, other]))
    c11, c12, c44 = (np.polyfit(*np.transpose(points), 4)[-2] for points in (along, across, sheared))
    rest = next(np.trace(np.asarray(f.stress)) / 3.0 / GPa for f in frames if f.config_type == "Ground_state")
    cell = np.linalg.norm(ground[0]) / 2.0 * (1.0 - rest / (c11 + 2.0 * c12))
    return {"a0": cell, "C11": c11, "C12": c12, "C44, ions held": c44}


def card(options):
    """Print the numbers of a fine-tuned model's card beside those of DFT, or of a fit to all frames."""
    (element,), (count,) = options.elements, options.frames
    frames = [*jp.datasets.mlearn(element), *jp.datasets.mlearn(element, "test")]
    posterior = jp.load(options.out / f"{element}-{count}-fine-tuning-{options.seed}.posterior")
    everything = jp.fit(jp.datasets.mlearn(element), "gap", predictions=False).potential
    tuned, other = (
        property_card(potential, bulk(element), element, posterior=bars, defects=False, progress=print)
        for potential, bars in ((posterior.potential, posterior), (everything, None))
    )
    tuned.write(options.out / f"card-{element}-{count}")
    crystal = jp.relax(posterior.potential, bulk(element, cubic=True), cell=True).structure

    def held(potential, structure):
        voigt = jp.elastic_constants(potential, structure, relaxed=False).voigt / GPa
        return {"C11": voigt[0, 0], "C12": voigt[0, 1], "C44, ions held": voigt[3, 3]}

    ours, dft = jp.propagate(posterior, held, crystal), strained(frames)
    rows = [("a0", tuned.values["a0_A"]["value"], tuned.values["a0_A"]["sd"], dft["a0"], "DFT")]
    rows += [(name, ours.value[name], ours.std[name], dft[name], "DFT") for name in ours.value]
    for key, entry in tuned.values.items():
        if key != "a0_A":
            beside = _beside(key, entry["value"], entry["sd"], other.values[key]["value"])
            rows += [(*row, "all frames") for row in beside]
    known = [row for row in rows if row[2] > LEAST_BAR * abs(row[1])]  # what symmetry makes zero has none
    for name, value, sd, reference, source in known:
        print(f"{name:36} {value:10.4f} +- {sd:8.4f}   {reference:10.4f} ({source}), {abs(value - reference) / sd:.1f}")
    inside = [abs(value - reference) < 2.0 * sd for _, value, sd, reference, _ in known]
    print(f"{len(rows) - len(known)} of {len(rows)} numbers have no bar")
    print(f"{100 * np.mean(inside):.0f} % of {len(inside)} within two bars")


def _beside(name, value, sd, reference):
    """(name, value, bar, reference) of all numbers of an entry of a card that both have, bar 0 where there is none."""
    if isinstance(value, dict):
        reference, sd = reference or {}, sd or {}
        inner = [key for key in value if key in reference and key != "voigt"]  # the same numbers again
        return [row for key in inner for row in _beside(f"{name} {key}", value[key], sd.get(key), reference[key])]
    if isinstance(value, list):
        bars = sd or [None] * len(value)
        return [row for parts in zip(value, bars, reference, strict=True) for row in _beside(name, *parts)]
    if value is None or reference is None:
        return []
    return [(name, value, sd or 0.0, reference)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs, pages, cards = (commands.add_parser(name) for name in ("run", "page", "card"))
    for command, count in ((runs, "+"), (cards, 1)):
        command.add_argument("elements", nargs=count)
        command.add_argument("--frames", nargs=count, type=int, default=[10, 30, 100] if command is runs else [30])
        command.add_argument("--seed", type=int, default=0)
    runs.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    runs.add_argument("--model", help="to start from, for fine-tuning")
    for name in ("members", "epochs", "batch"):
        runs.add_argument(f"--{name}", type=int)
    for name in ("rate", "average"):
        runs.add_argument(f"--{name}", type=float)
    for command in (runs, pages, cards):
        command.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    compile_sooner()
    {"run": run, "page": page, "card": card}[options.command](options)


if __name__ == "__main__":
    main()

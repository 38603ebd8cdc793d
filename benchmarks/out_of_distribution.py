"""Do error bars hold where the data end?

Recipes are fitted to a part of mlearn's data and shown the rest, train and test sets together: groups of frames that
nothing in the fit resembles. Groups are told by what is in a frame, since some of the names are exchanged:

    bulk        crystals below 2,000 K, by the name of the run, which AIMD of crystals has right
    strained    crystals at rest, in strained cells
    hot         crystals above 2,000 K
    vacancies   cells of a crystal that lack one atom; molten ones apart
    surfaces    cells with a gap of more than 5 A
    melt        cells whose shells of neighbours run into one another

For each group: coverage of central intervals, sharpness (mean half-width of the 90 % interval over the 90 % quantile of
errors), CRPS, negative log likelihood; and AUROC, how surely the bar per atom tells a frame of the group from frames of
the groups fitted to that took no part in the fit (0.5: not at all). Energies of formation are those of whole frames
less that of as many atoms of the crystal at rest with the lowest energy, both by the model, their bars added in
quadrature. Stresses, which no recipe is fitted to, have bars of what is fitted alone, and errors less the mean pressure
of the frames held out (mlearn's lack a Pulay stress).

    python benchmarks/out_of_distribution.py run [Ni Si ...] --out FOLDER
        [--family gap ace snap behler-parrinello bond-networks formulas]
        [--without vacancies | (default) --fitted-to bulk strained]
    python benchmarks/out_of_distribution.py properties [Ni Si ...] --out FOLDER    # vacancies, surfaces, C44 far away
    python benchmarks/out_of_distribution.py learned [Ni ...] --out FOLDER    # labels of vacancies, few at a time
    python benchmarks/out_of_distribution.py rescore --out FOLDER      # with another calibration: nothing is fitted
    python benchmarks/out_of_distribution.py page --out FOLDER         # one page and one picture of all that was run

Frames that are held out of the groups fitted to: every fifth, and the test set's.

`properties`, after `run`, compares energies of a vacancy, as cut and relaxed, and of two surfaces, and C44 with atoms
held at a volume 10 % larger and smaller, with those of the same recipe fitted to all of the data: by how many bars are
they off?

`learned` adds frames of vacancies to those fitted to, the least certain first, as learning on the fly asks for them,
and scores what is left of that group: do bars shrink with the errors?
"""

import argparse
import json
import pickle
import re
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from ase.build import bulk
from ase.data import atomic_numbers

import jaxpot as jp
from jaxpot.cli.compiler import compile_sooner
from jaxpot.core.neighbors import find_pairs
from jaxpot.uncertainty.calibration import calibration_of
from jaxpot.uncertainty.held_out import frames_left_out, held_out
from jaxpot.uncertainty.linear_terms import can_be_widened
from jaxpot.uncertainty.misfit import COMMITTEE, FUNCTIONS, PROCESS
from jaxpot.uncertainty.scores import normal_quantile, score

ELEMENTS = ("Li", "Mo", "Ge", "Si", "Cu", "Ni")
LINEAR = ("gap", "ace", "snap", "qsnap", "mtp")
FAMILIES = (*LINEAR, "behler-parrinello", "bond-networks", "formulas")
GROUPS = ("bulk", "strained", "hot", "vacancies", "molten vacancies", "surfaces", "melt")
SHELLS = {"Li": 14, "Mo": 14, "Ge": 4, "Si": 4, "Cu": 12, "Ni": 12}  # neighbours that are nearer than all others
LACKING = (53, 63, 107)  # atoms of the cells of 54, 64, 108 with a vacancy
MOLTEN = {14: 0.07, 12: 0.1, 4: 0.1}  # relative gap behind the last of these neighbours, mean over atoms
VACUUM, AT_REST, HOT = 5.0, 0.01, 2000.0  # A; relative spread of distances over atoms; K
FACES = {14: ((1, 1, 0), (1, 0, 0)), 12: ((1, 1, 1), (1, 0, 0)), 4: ((1, 1, 1), (1, 1, 0))}  # by `SHELLS`
SHEAR = 0.01
MISFIT = dict.fromkeys((*LINEAR, "formulas"), FUNCTIONS) | {"gap": PROCESS}
NEAREST = {"Li": 3.04, "Mo": 2.73, "Ge": 2.45, "Si": 2.35, "Cu": 2.56, "Ni": 2.49}  # A
FACTORS = ("epistemic", "far", "usual", "largest_force")
DEFECTS = ("vacancies", "molten vacancies", "surfaces")  # have energies of formation
UNFITTED = 1e-12  # eV/A^3, noise of the stresses, which are not fitted
DIAGONAL = [0, 3, 5]  # of the upper triangle of a stress
HELD = 5  # every fifth frame is held out
LEARNED = (1, 2, 5, 0)  # frames that are added, one step after the other


def group_of(frame, element):
    """Group of a frame, by what is in it."""
    structure = frame.structure
    positions, cell, n = structure.positions, structure.cell, len(structure)
    inverse = np.linalg.inv(cell)
    fractions = np.sort((positions @ inverse) % 1.0, axis=0)
    gaps = np.concatenate([np.diff(fractions, axis=0), [1.0 + fractions[0] - fractions[-1]]])
    if (gaps.max(0) / np.linalg.norm(inverse, axis=0)).max() > VACUUM:
        return "surfaces"
    centers, _, _, distances = find_pairs(positions, cell, structure.pbc, 6.0)
    rows = np.stack([np.sort(distances[centers == k])[: SHELLS[element] + 1] for k in range(n)])
    molten = np.mean(rows[:, -1] / rows[:, -2] - 1.0) < MOLTEN[SHELLS[element]]
    if n in LACKING:
        return "molten vacancies" if molten else "vacancies"
    if rows.std(0).max() < AT_REST * rows.mean():
        return "strained"
    run = re.search(r"(\d+)K", frame.config_type)
    if run and float(run[1]) > HOT and not molten:
        return "hot"
    return "melt" if molten else "bulk"


def frames_by_group(element):
    """(frames of the training set, of the test set) of each group; labels and names as they are."""
    groups = {name: ([], []) for name in GROUPS}
    for place, split in enumerate(("train", "test")):
        for frame in jp.datasets.mlearn(element, split):
            groups[group_of(frame, element)][place].append(frame)
    return groups


def form(element):
    """A formula with the first values of its parameters, and options of its fit."""
    near = NEAREST[element]
    if SHELLS[element] == 4:
        first = jp.potentials.StillingerWeber.silicon()
        sigma = float(first.sigma) * near / NEAREST["Si"]
        bounds = {"sigma": (0.85 * sigma, 1.15 * sigma)}
        first = first.replace(sigma=sigma, species=(atomic_numbers[element],))
        return first, {"free": ["sigma", "A", "B", "lam", "gamma"], "bounds": bounds}
    cutoff = (2.1 if SHELLS[element] == 12 else 2.0) * near
    return jp.potentials.SecondMoment(0.1, 1.3, 10.0, 2.5, near, cutoff), {
        "free": ["A", "xi", "p", "q"], "bounds": {"A": (0.003, 3.0), "xi": (0.1, 10.0)},
    }


def calibrated(family, data, element, progress):
    """A family's fit, its calibration, the seconds that they took, and what was left out."""
    start = time.perf_counter()
    if family == "formulas":
        first, options = form(element)
        fit = jp.fit(data, first, starts=8, refined=3, keep_folds=True, progress=progress, **options)
    else:
        fit = jp.fit(data, family, predictions=False, keep_folds=True, progress=progress)
    fitted = time.perf_counter() - start
    left_out = frames_left_out(fit, data)
    calibration = calibration_of(*left_out, [frame.config_type for frame in data], MISFIT.get(family, COMMITTEE))
    if progress:
        progress(str(calibration))
    return fit, calibration, {"fit": fitted, "calibration": time.perf_counter() - start - fitted}, left_out


def compared(held, calibration):
    """Errors and bars of the frames of a group, energies per atom: kind -> (differences, bars); and the bars of each
    frame: that of its energy per atom, the root mean square of those of its forces.
    """
    pairs = {}
    for kind, differences in held.differences.items():
        noise = calibration.noise.get(kind, 1.0) * held.noise[kind]
        bars = np.hypot(held.inflated(kind, calibration.inflation), noise)
        per = held.atoms[held.frames[kind]] if kind == "energy" else 1.0
        pairs[kind] = differences / per, bars / per
    squares, counts = (np.bincount(held.frames["forces"], w) for w in (pairs["forces"][1] ** 2, None))
    return pairs, {"energy": pairs["energy"][1], "forces": np.sqrt(squares / counts)}


def of_formation(pairs, atoms, crystal):
    """Differences and bars of energies of formation, eV of whole frames, from those of energies per atom."""
    differences, bars = pairs["energy"]
    (error,), (bar,) = crystal["energy"]
    return atoms * (differences - error), atoms * np.hypot(bars, bar)


def ground_state(groups):
    """The frame of the crystal at rest that has the lowest energy."""
    return min((f for part in groups["strained"] for f in part), key=lambda frame: frame.energy / len(frame))


def auroc(inside, outside):
    """Probability that a number of `outside` is larger than one of `inside`, ties counted by half."""
    difference = outside[:, None] - inside[None, :]
    return float(np.mean((difference > 0.0) + 0.5 * (difference == 0.0)))


def scores(pairs):
    """Scores of each kind of label of a group."""
    table = {}
    for kind, (differences, bars) in pairs.items():
        row = score(differences, bars)
        width, worst = normal_quantile(0.9) * bars.mean(), np.quantile(np.abs(differences), 0.9)
        table[kind] = {
            "count": len(differences), "coverage": {f"{level:g}": share for level, share in row["coverage"].items()},
            "crps": row["crps"], "nll": row["nll"], "half_width": float(width), "error": float(worst),
            "sharpness": float(width / worst), "mae": float(np.abs(differences).mean()),
        }
    return table


def run(element, family, fitted_to, progress=None):
    """Scores of all groups for a fit to some of them, as a tree for JSON; what they are of, to try others on; and the
    calibrated posterior.
    """
    groups = frames_by_group(element)
    used, held = [], []
    for name in fitted_to:
        train, test = groups[name]
        used += [frame for k, frame in enumerate(train) if k % HELD != HELD - 1]
        held += train[HELD - 1 :: HELD] + test
    fit, calibration, seconds, left_out = calibrated(family, jp.Dataset.of(used), element, progress)
    parts = {"held out": held} | {name: train + test for name, (train, test) in groups.items() if name not in fitted_to}
    parts["crystal"] = [ground_state(groups)]
    stressed = fit.posterior.replace(sigmas=fit.posterior.sigmas | {"stress": UNFITTED})
    raw = {
        name: held_out([(np.arange(len(frames)), stressed)], jp.Dataset.of(frames))
        for name, frames in parts.items() if frames
    }
    raw["left out"] = left_out
    result = {
        "element": element, "family": family, "fitted_to": list(fitted_to), "frames": len(used), "seconds": seconds,
    }
    return result | scored(raw, calibration), raw, calibration.apply(fit.posterior)


def scored(raw, calibration):
    """Scores of the groups under a calibration, and its factors."""
    rows, familiar, pressure = {}, None, 0.0
    crystal = compared(raw["crystal"], calibration)[0] if "crystal" in raw else None
    for name, group in raw.items():
        if name in ("left out", "crystal"):
            continue
        pairs, per_frame = compared(group, calibration)
        familiar = per_frame if familiar is None else familiar
        if "stress" in pairs:
            stresses = pairs["stress"][0].reshape(-1, 6)
            pressure = stresses[:, DIAGONAL].mean() if name == "held out" else pressure
            pairs["stress"] = ((stresses - pressure * np.isin(np.arange(6), DIAGONAL)).ravel(), pairs["stress"][1])
        if name in DEFECTS and crystal:
            pairs["formation"] = of_formation(pairs, group.atoms[group.frames["energy"]], crystal)
        rows[name] = {"frames": len(per_frame["energy"]), "scores": scores(pairs)}
        if name != "held out":
            rows[name]["auroc"] = {kind: auroc(familiar[kind], bars) for kind, bars in per_frame.items()}
    return {"factors": {name: getattr(calibration, name) for name in FACTORS}, "groups": rows}


def rescore(folder):
    """Scores of all that was run, under the calibration as it is now: from errors and bars, nothing is fitted."""
    paths = sorted(folder.glob("*.pickle"))
    if not paths:
        raise SystemExit(f"{folder}: nothing was run; make it with `run` first")
    for path in paths:
        raw = pickle.loads(path.read_bytes())
        by_chance, clusters = raw["left out"]
        file = path.with_suffix(".json")
        result = json.loads(file.read_text())
        names = [""] * len(by_chance.atoms)
        calibration = calibration_of(by_chance, clusters, names, MISFIT.get(result["family"], COMMITTEE))
        result |= scored(raw, calibration)
        if path.with_suffix(".posterior").exists():
            jp.save(calibration.apply(jp.load(path.with_suffix(".posterior"))), path.with_suffix(".posterior"))
        file.write_text(json.dumps(result, indent=1))
        report(result)


def report(result):
    """Print the table of a result."""
    print(f"{result['element']}, {result['family']}: {result['factors']}, {result['seconds']}")
    print("\n".join(tables(result)), flush=True)


def crystal_of(potential, element):
    """The primitive crystal at rest."""
    return jp.relax(potential, bulk(element), cell=True).structure


def stiffness(potential, crystal, volume):
    """C44 at another volume, eV/A^3, atoms held: the second derivative of the energy by a shear, by differences."""
    grown = crystal.strained((volume ** (1.0 / 3.0) - 1.0) * np.eye(3))
    shear = np.zeros((3, 3))
    shear[1, 2] = shear[2, 1] = 0.5 * SHEAR
    energies = [jp.energy(potential, grown.strained(sign * shear)) for sign in (-1.0, 0.0, 1.0)]
    return (energies[0] - 2.0 * energies[1] + energies[2]) / (SHEAR**2 * grown.volume)


def properties_of(potential, element):
    """Name -> (value, function of a potential that varies as the property does, structures it is of)."""
    crystal = crystal_of(potential, element)
    arranged = {
        "vacancy, as cut": lambda: jp.vacancy_energy(potential, crystal, distance=10.0, relaxed=False),
        "vacancy": lambda: jp.vacancy_energy(potential, crystal, distance=10.0, fmax=1e-3),
        **{
            f"surface {''.join(map(str, face))}": lambda face=face: jp.surface_energy(
                potential, crystal, face, thickness=12.0, relaxed=False
            )
            for face in FACES[SHELLS[element]]
        },
    }
    table = {}
    for name, make in arranged.items():
        try:
            excess = make()
        except jp.JaxpotError as error:  # a potential that has seen no vacancy may not hold one together
            print(f"{element}: no {name}: {error}", flush=True)
            continue
        unit = 1.0 if "vacancy" in name else jp.units.J_per_m2
        table[name] = (
            float(excess.energy) / unit, lambda p, excess=excess, unit=unit: excess.at(p, crystal) / unit,
            [excess.structure],
        )
    for volume in (0.9, 1.1):
        def c44(p, volume=volume):
            return stiffness(p, crystal, volume) / jp.units.GPa

        grown = crystal.strained((volume ** (1.0 / 3.0) - 1.0) * np.eye(3))
        table[f"C44 at {volume:g} V"] = (float(c44(potential)), c44, [grown, grown.strained(0.01 * np.eye(3))])
    return table


def properties(element, family, posterior, progress=None):
    """Values, bars and what a fit to all data gives, as a tree for JSON.

    Args:
        element, family: of `run`.
        posterior: what `run` has saved.
        progress: called with a sentence.
    """
    groups = frames_by_group(element)
    everything = jp.Dataset.of([frame for pair in groups.values() for part in pair for frame in part])
    if family == "formulas":
        first, options = form(element)
        to_all = jp.fit(everything, first, starts=8, refined=3, progress=progress, **options)
    else:
        to_all = jp.fit(everything, family, predictions=False, progress=progress)
    reference = properties_of(to_all.potential, element)
    own = properties_of(posterior.potential, element)
    rows = {}
    for name in own.keys() & reference.keys():
        value, function, structures = own[name]
        near = jp.widened(posterior, structures) if can_be_widened(posterior) else posterior
        bar = float(jp.propagate(near, function).std)
        rows[name] = {"value": value, "bar": bar, "all data": reference[name][0]}
    return {
        "element": element, "family": family,
        "properties": {name: rows[name] for name in own if name in rows},
        "missing": sorted(own.keys() ^ reference.keys()),
    }


def learned(element, family, fitted_to, progress=None):
    """Scores of the vacancies that are left when some have been added to the fit, the least certain first."""
    groups = frames_by_group(element)
    used = [f for name in fitted_to for k, f in enumerate(groups[name][0]) if k % HELD != HELD - 1]
    pool, rows = [f for part in groups["vacancies"] for f in part], []
    for count in LEARNED:
        fit, calibration, _, _ = calibrated(family, jp.Dataset.of(used), element, progress)
        left = held_out([(np.arange(len(pool)), fit.posterior)], jp.Dataset.of(pool))
        pairs, per_frame = compared(left, calibration)
        rows.append({"added": sum(LEARNED) - sum(LEARNED[len(rows) :]), "scores": scores(pairs)})
        order = np.argsort(-per_frame["energy"], kind="stable")[:count].tolist()
        used = used + [pool[k] for k in order]
        pool = [f for k, f in enumerate(pool) if k not in order]
    return {"element": element, "family": family, "learned": rows}


def learned_lines(result):
    """Table of `learned`."""
    kinds = ("energy", "forces")
    names = [f"{NAMES[kind]} inside 90 % | 90 % of errors below (half-width), {UNITS[kind]}" for kind in kinds]
    yield f"| vacancies fitted to | {' | '.join(names)} |\n|---|---|---|---|---|"
    for row in result["learned"]:
        cells = [str(row["added"])]
        for kind in kinds:
            told, scale = row["scores"][kind], SCALES[kind]
            error, half_width = scale * told["error"], scale * told["half_width"]
            cells += [f"{100 * told['coverage']['0.9']:.0f}", f"{error:.3g} ({half_width:.3g})"]
        yield "| " + " | ".join(cells) + " |"


def property_lines(result):
    """Table of `properties`."""
    yield "| property | fitted to the groups | to all data | off by bars |\n|---|---|---|---|"
    for name, row in result["properties"].items():
        off = (row["value"] - row["all data"]) / row["bar"]
        unit = "eV" if "vacancy" in name else "J/m^2" if "surface" in name else "GPa"
        yield f"| {name} ({unit}) | {row['value']:.3f} +- {row['bar']:.3f} | {row['all data']:.3f} | {off:+.1f} |"


def line(name, row, kinds):
    """A row of a table: a group's frames, and of each kind coverage, sharpness, AUROC."""
    cells = [f"{name} ({row['frames']})"]
    for kind in kinds:
        told, scale = row["scores"].get(kind), SCALES[kind]
        if told is None:
            cells += ["-"] * 4
            continue
        coverage = " / ".join(f"{100 * told['coverage'][level]:.0f}" for level in ("0.5", "0.9", "0.95"))
        area = f"{row['auroc'][kind]:.2f}" if kind in row.get("auroc", ()) else ""
        cells += [
            coverage, f"{scale * told['error']:.3g} ({scale * told['half_width']:.3g})", f"{told['sharpness']:.2g}",
            area,
        ]
    return "| " + " | ".join(cells) + " |"


def tables(result):
    """Lines of the tables of a result: energies and forces, and what follows from them."""
    for kinds in (("energy", "forces"), ("formation", "stress")):
        rows = {n: row for n, row in result["groups"].items() if set(kinds) & set(row["scores"])}
        if rows:
            names = [
                f"{NAMES[kind]} inside 50 / 90 / 95 % | 90 % of errors below (mean half-width of the 90 % interval), "
                f"{UNITS[kind]} | sharpness | AUROC" for kind in kinds
            ]
            yield f"| group (frames) | {' | '.join(names)} |\n|---{'|---' * 8}|"
            yield from (line(name, row, kinds) for name, row in rows.items())
            yield ""


NAMES = {"energy": "energies", "forces": "forces", "formation": "energies of formation", "stress": "stresses"}
UNITS = {"energy": "meV/atom", "forces": "eV/A", "formation": "eV", "stress": "GPa"}
SCALES = {"energy": 1e3, "forces": 1.0, "formation": 1.0, "stress": 1.0 / jp.units.GPa}


def page(folder):
    """Page and picture of all results in a folder."""
    read = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    results = [result for result in read if "groups" in result]
    if not results:
        raise SystemExit(f"{folder}: no results; make them with `run` first")
    lines = ["# Error bars where the data end", ""]
    for result in results:
        seconds = result["seconds"]
        lines += [
            f"## {result['element']}, {result['family']}, fitted to {result['frames']} frames: "
            f"{', '.join(result['fitted_to'])}", "",
            f"Epistemic factor {result['factors']['epistemic']['energy']:.2f} of energies, "
            f"{result['factors']['epistemic']['forces']:.2f} of forces, away from the data the larger times "
            f"{result['factors']['far']:.2f}. "
            f"Fit {seconds['fit']:.0f} s, calibration {seconds['calibration']:.0f} s.", "", *tables(result),
        ]
    for result in (result for result in read if "properties" in result):
        lines += [f"## {result['element']}, {result['family']}: properties", "", *property_lines(result), ""]
    for result in (result for result in read if "learned" in result):
        lines += [f"## {result['element']}, {result['family']}: some vacancies learnt", "", *learned_lines(result), ""]
    (folder / "page.md").write_text("\n".join(lines), encoding="utf-8")
    picture(results, folder / "page.png")


def picture(results, path):
    """Coverage of 90 % intervals and sharpness of every group: a panel for each kind of label and family."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    families = sorted({r["family"] for r in results})
    names = [name for name in ("held out", *GROUPS) if any(name in r["groups"] for r in results)]
    figure, axes = plt.subplots(2, len(families), figsize=(1.5 + 5.0 * len(families), 7.0), squeeze=False, sharey=True)
    for column, family in enumerate(families):
        for row, kind in enumerate(("energy", "forces")):
            axis = axes[row, column]
            axis.axhspan(80, 100, color="0.92", zorder=0)
            axis.axhline(90, color="0.5", lw=1, zorder=1)
            for result in (r for r in results if r["family"] == family):
                places = [k for k, name in enumerate(names) if name in result["groups"]]
                shares = [100 * result["groups"][names[k]]["scores"][kind]["coverage"]["0.9"] for k in places]
                shift = 0.1 * (ELEMENTS.index(result["element"]) - 2.5)
                axis.plot(np.array(places) + shift, shares, "o", ms=6, label=result["element"])
            axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
            axis.set_ylim(-3, 103)
            axis.set_title(f"{family}: {'energies' if kind == 'energy' else 'forces'}", fontsize=10)
            if not column:
                axis.set_ylabel("% inside the 90 % interval")
    axes[0, 0].legend(fontsize=8, ncol=3, loc="lower left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "rescore", "properties", "learned", "page"))
    parser.add_argument("elements", nargs="*", default=list(ELEMENTS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=["gap"])
    parser.add_argument("--fitted-to", nargs="+", choices=GROUPS, default=["bulk", "strained"])
    parser.add_argument("--without", choices=GROUPS, help="fit to all groups but this one")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    compile_sooner()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.what in ("page", "rescore"):
        {"page": page, "rescore": rescore}[options.what](options.out)
        return
    fitted_to = options.fitted_to if options.without is None else [g for g in GROUPS if g != options.without]
    progress = (lambda text: print(f"  {text}", flush=True)) if options.verbose else None
    for element in options.elements:
        for family in options.family:
            name = f"{element}-{family}-{'bulk' if options.without is None else 'without-' + options.without}.json"
            path = options.out / name.replace(" ", "-")
            if options.what == "properties":
                if not path.with_suffix(".posterior").exists():
                    raise SystemExit(f"{path.with_suffix('.posterior')}: make it with `run` first")
                result = properties(element, family, jp.load(path.with_suffix(".posterior")), progress)
                (options.out / f"{element}-{family}-properties.json").write_text(json.dumps(result, indent=1))
                print(f"{element}, {family}\n" + "\n".join(property_lines(result)), flush=True)
                continue
            if options.what == "learned":
                result = learned(element, family, fitted_to, progress)
                (options.out / f"{element}-{family}-learned.json").write_text(json.dumps(result, indent=1))
                print(f"{element}, {family}\n" + "\n".join(learned_lines(result)), flush=True)
                continue
            result, raw, posterior = run(element, family, fitted_to, progress)
            path.write_text(json.dumps(result, indent=1))
            path.with_suffix(".pickle").write_bytes(pickle.dumps(raw))
            jp.save(posterior, path.with_suffix(".posterior"))
            report(result)


if __name__ == "__main__":
    main()

"""`jaxpot analyse`: what a trajectory shows, as numbers, tables and pictures."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxpot import md, units
from jaxpot.cli.console import Console, to_json
from jaxpot.cli.files import output_folder, write_text
from jaxpot.cli.numbers import count
from jaxpot.core.save import write_atomically
from jaxpot.report import trajectory_plots as shown

NAME = "analyse"
HELP = "look at a trajectory: g(r), coordination, diffusion, vibrations"
EPILOG = """TRAJECTORY is frames.xyz or frames.nc of `jaxpot md`, or any trajectory that ASE reads. g(r) and
coordination numbers (up to the first minimum of g(r)) need a periodic cell, displacements and diffusion coefficients
the time between frames, the vibrational density of states momenta. What cannot be computed is null in analysis.json,
and `notes` says why. Positions of atoms that come back into the cell on its other side are unwrapped.

DIR gets analysis.json and, of each that there is, rdf.txt, msd.txt, vdos.txt (tables) and rdf.png, msd.png, vdos.png.

examples:
  jaxpot analyse hot/frames.xyz --skip-ps 2 --out hot-analysis
  jaxpot analyse dump.extxyz --time-step-fs 50 --cutoff 6 --coordination-cutoff 3.4 --json
"""
PICTURES: dict[str, tuple[Callable, Callable]] = {
    "rdf": (shown.plot_rdf, shown.table_of_rdf), "msd": (shown.plot_msd, shown.table_of_msd),
    "vdos": (shown.plot_vdos, shown.table_of_vdos),
}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("trajectory", metavar="TRAJECTORY", help="a file of frames")
    parser.add_argument("--out", metavar="DIR", help="folder to write into; made if it is not there (default: none)")
    left_out = parser.add_mutually_exclusive_group()
    left_out.add_argument("--skip-ps", type=float, default=0.0, metavar="T", help="time to leave out in front (0)")
    left_out.add_argument("--start", type=int, default=0, metavar="N", help="frames to leave out in front (0)")
    parser.add_argument(
        "--time-step-fs", type=float, metavar="T", help="time between frames, where the file does not say it"
    )
    parser.add_argument("--cutoff", type=float, default=8.0, metavar="R", help="of g(r), A (default: 8)")
    parser.add_argument("--bins", type=count, default=200, metavar="N", help="of g(r) (default: 200)")
    parser.add_argument(
        "--coordination-cutoff", type=float, metavar="R", help="A (default: the first minimum of each g(r))"
    )
    parser.add_argument(
        "--blocks", type=count, default=5, metavar="N", help="of the run, for errors of diffusion coefficients (5)"
    )
    wrapping = parser.add_mutually_exclusive_group()
    wrapping.add_argument(
        "--wrapped", dest="wrapped", action="store_true", default=None, help="atoms come back into the cell"
    )
    wrapping.add_argument(
        "--unwrapped", dest="wrapped", action="store_false", default=None,
        help="atoms do not (default: told from how they move)",
    )


def run(options: Namespace, console: Console) -> None:
    folder = None if options.out is None else output_folder(options.out)
    console.progress(f"reading {options.trajectory}")
    whole = md.analyse(
        options.trajectory, options.cutoff, options.bins, options.start, options.skip_ps * units.ps,
        None if options.time_step_fs is None else options.time_step_fs * units.fs, options.coordination_cutoff,
        options.blocks, options.wrapped, console.progress,
    )
    document = whole.to_dict()
    console.text(_summary(whole))
    if folder is not None:
        console.progress("pictures")
        curves = {"rdf": whole.pairs, "msd": whole.displacement, "vdos": whole.spectrum}
        names = write_curves(folder, {name: curve for name, curve in curves.items() if curve}, whole.diffusion)
        write_text(folder / "analysis.json", to_json(document) + "\n")
        console.text(f"Written: {folder / 'analysis.json'}{''.join(f', {name}' for name in names)}")
    console.result(document, indent=None)


def write_curves(folder: Path, curves: dict[str, Any], diffusion: Mapping[str, Any] | None = None) -> list[str]:
    """Write tables and pictures of curves, by their names; returns the names of the files."""
    names = []
    for name, curve in curves.items():
        plot, table = PICTURES[name]
        picture = plot(curve, diffusion) if name == "msd" else plot(curve)
        write_text(folder / f"{name}.txt", table(curve))
        write_atomically(folder / f"{name}.png", picture.png())
        names += [f"{name}.txt", f"{name}.png"]
    return names


def diffusion_lines(diffusion: Mapping[str, Any]) -> list[str]:
    """One line for each diffusion coefficient."""
    return [
        f"diffusion coefficient{'' if name == 'all' else f' of {name}'}: {d.coefficient / units.cm2_per_s:.3e} ± "
        f"{d.error / units.cm2_per_s:.1e} cm2/s"
        for name, d in diffusion.items()
    ]


def note_lines(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """One line for each note about a quantity."""
    return [f"note ({name}): {sentence}" for name, said in notes.items() for sentence in said]


def _summary(whole):
    length = "" if whole.interval is None or whole.frames < 2 else (
        f", one in {1000.0 * whole.interval / units.ps:g} fs, {(whole.frames - 1) * whole.interval / units.ps:.4g} ps"
    )
    lines = [f"{whole.frames} frames of {whole.atoms} atoms ({' '.join(whole.elements)}){length}"]
    if whole.pairs is not None:
        top = whole.pairs.total.argmax()
        lines.append(f"g(r): highest at {whole.pairs.distances[top]:.3f} A, {whole.pairs.total[top]:.3g}")
    for pair, (number, cutoff) in whole.coordination.items():
        one, other = pair.split("-")
        lines.append(f"coordination: {number:.3f} {other} around {one} within {cutoff:.3f} A")
    lines += diffusion_lines(whole.diffusion)
    if whole.spectrum is not None:
        seen = whole.spectrum
        mean = (seen.frequencies * seen.total).sum() / max(seen.total.sum(), 1e-300)
        lines.append(
            f"vibrations: mean frequency {mean / units.THz:.3g} THz, highest density at "
            f"{seen.frequencies[seen.total.argmax()] / units.THz:.3g} THz"
        )
    return "\n".join([*lines, *note_lines(whole.notes)])

"""`jaxpot card --structures`: cards of many crystals, with one model or several, in one run that can be interrupted."""

import os
import subprocess  # noqa: S404  # this command again, with arguments of its own
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxpot import io, units
from jaxpot.cli.console import Console
from jaxpot.cli.files import output_folder, write_text
from jaxpot.cli.model import load_posterior, model_files, separate_models, smooth_if_asked
from jaxpot.cli.structure import ready, start
from jaxpot.core.structure import Structure
from jaxpot.errors import DataError, JaxpotError
from jaxpot.potentials.base import Potential
from jaxpot.report.card import Card, check_size, property_card
from jaxpot.report.cards_table import as_csv, as_html, as_json, leaderboard, table
from jaxpot.report.entries import ROOM
from jaxpot.report.many_cards import DONE, Crystal, ManyCards, distinct_names

_POLL = 1.0  # s


def run_many(options: Namespace, console: Console, describe: Callable[[Namespace, Potential], dict[str, Any]]) -> None:
    """Compute the cards that are missing, and write the table of all."""
    models = separate_models(options)
    crystals = crystals_of(options.structures)
    root = output_folder(options.out)
    sets = {}
    for name, one in models.items():
        folder = output_folder(root / _folder_name(name)) if len(models) > 1 else root
        sets[name] = _cards_of(one, folder, crystals, describe, console)
        if options.share is None:
            sets[name].forget_failures()
    if options.share is not None:  # a worker: its part, no table
        for cards in sets.values():
            cards.compute(share(cards.due(), *options.share))
        return
    if options.workers > 1:
        os.environ["PJRT_NPROC"] = "1"  # each worker has a core; before the first computation
    begin, due = time.perf_counter(), sum(len(cards.due()) for cards in sets.values())
    console.progress(f"{len(crystals)} crystals, {len(models)} model{'s' * (len(models) > 1)}: {due} cards to compute")
    workers = [_worker(options, k) for k in range(1, min(options.workers, max(due, 1)))]
    _compute(sets, len(workers) + 1, console, begin)
    _wait(workers, sets, due, console, begin)
    for cards in sets.values():  # what a worker that died has left
        cards.compute(cards.due(), _progress(console, begin))
    flat = _written(options, root, sets, console)
    failed = sum(row["status"] != DONE for row in flat)
    console.text(f"{len(flat)} cards, {failed} failed, {due} computed in {time.perf_counter() - begin:.0f} s")
    console.text(f"Written: {root}{os.sep}cards.html, cards.csv, cards.json, and a folder for each crystal")
    console.result({"rows": flat, "computed": due, "failed": failed})
    if failed == len(flat):
        raise DataError(f"no card could be made; of the first: {flat[0]['message']}")


def crystals_of(given: list[str]) -> list[Crystal]:
    """Read all structures of files, folders and prototypes by name; one that cannot be read has a problem instead.

    Raises:
        DataError: an empty folder, one that cannot be read, or nothing at all.
    """
    places: list[tuple[str, Structure | None, str]] = []
    for words in given:
        files = [words]
        if os.path.isdir(words):
            try:
                files = sorted(str(path) for path in Path(words).iterdir() if path.is_file() and path.name[0] != ".")
            except OSError as error:
                raise DataError(f"--structures {words}: this folder cannot be read: {error.strerror}") from error
            if not files:
                raise DataError(f"--structures {words}: there are no files in this folder")
        for file in files:
            places += _read(file)
    names = distinct_names([_short(place) for place, _, _ in places])
    return [Crystal(name, *place) for name, place in zip(names, places, strict=True)]


def _read(words):
    """Triples (words, structure or None, problem) of the frames of a file, or of a prototype."""
    if not os.path.exists(words) and ":" in words:
        return [(words, None, "")]
    try:
        frames = io.read(words)
    except JaxpotError as error:
        return [(words, None, " ".join(str(error).split()))]
    return [(words if len(frames) == 1 else f"{words}@{k}", frame, "") for k, frame in enumerate(frames)]


def _short(place):
    """The name of a file without its folder and its ending, with the number of a frame."""
    name, at, frame = place.rpartition("@") if "@" in place else (place, "", "")
    return f"{Path(name).stem or name}{'-' if at else ''}{frame}" if os.path.exists(name) else place


def _cards_of(options, folder, crystals, describe, console):
    """`ManyCards` of one model."""
    potential, posterior = load_posterior(options)
    potential = smooth_if_asked(options, potential, posterior, console)
    model = describe(options, potential)
    kelvins = sorted({ROOM, *(options.temperatures or ())})

    def make(crystal: Crystal) -> Card:
        structure = crystal.structure
        if structure is None:
            structure = start(crystal.given, potential, console, check_size)
        else:
            check_size(len(structure))
            structure = ready(crystal.given, structure, potential)
        return property_card(
            potential, structure, crystal.name, model=model, mesh=options.mesh, dos_mesh=options.dos_mesh,
            points=options.points, posterior=posterior, defects=options.defects, temperatures=kelvins,
            pressure=options.pressure_GPa * units.GPa,
        )

    about = {
        "model": model, "files": str(model_files(options)), "mesh": options.mesh, "dos_mesh": options.dos_mesh,
        "points": options.points, "defects": options.defects, "temperatures": kelvins, "pressure": options.pressure_GPa,
    }
    return ManyCards(folder, crystals, make, about, options.pictures)


def share(due: list[Crystal], part: int, parts: int) -> list[Crystal]:
    """A contiguous part of the crystals, those of a size share programs; of parts with as many atoms each."""
    before = np.cumsum([0, *(max(crystal.atoms, 1) for crystal in due)])
    first, last = (np.searchsorted(before, before[-1] * k / parts) for k in (part, part + 1))
    return due[first:last] if part + 1 < parts else due[first:]


def _worker(options, part):
    """Start this command again for a part of the crystals."""
    words = [*options.words, "--share", str(part), str(options.workers), "--quiet"]
    environment = os.environ | {"PJRT_NPROC": "1"}
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "jaxpot", *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )


def _compute(sets, parts, console, begin):
    for cards in sets.values():
        cards.compute(share(cards.due(), 0, parts), _progress(console, begin))


def _progress(console, begin):
    def say(done, count, name):
        left = (time.perf_counter() - begin) / done * (count - done) if done else None
        rest = "" if left is None else f", about {_spoken(left)} left"
        console.progress(f"card {done + 1} of {count}: {name}{rest}")

    return say


def _spoken(seconds):
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _wait(workers, sets, due, console, begin):
    """Wait for the workers, and say every few seconds how many cards are left."""
    try:
        before = None
        while any(worker.poll() is None for worker in workers):
            left = sum(len(cards.due()) for cards in sets.values())
            if left != before:
                console.progress(f"{due - left} of {due} cards, waiting for {len(workers)} more workers")
            before = left
            time.sleep(_POLL)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.terminate()


def _written(options, root, sets, console):
    """Write the table; returns its rows."""
    several = len(sets) > 1
    rows = [row | ({"model": name} if several else {}) for name, cards in sets.items() for row in cards.rows()]
    flat = table(rows)
    title = f"{len(rows) // len(sets)} crystals, " + ", ".join(Path(name).name for name in sets)
    write_text(root / "cards.csv", as_csv(flat))
    write_text(root / "cards.json", as_json(flat))
    write_text(root / "cards.html", as_html(title, flat, options.pictures))
    for row in flat:
        if row["status"] != DONE:
            console.note(f"note: {row['name']}: {row['message']}")
    if several:
        for entry in leaderboard(flat):
            volume, bulk = (entry[key] for key in ("volume_per_atom_A3", "bulk_GPa"))
            named = [("volume", volume), ("bulk modulus", bulk)]
            means = ", ".join(f"{what} {100.0 * mean:.2f} %" for what, mean in named if mean is not None)
            console.text(f"{entry['model']}: {entry['cards']} cards in common with {next(iter(sets))}, off by {means}")
    return flat


def _folder_name(name):
    return distinct_names([Path(name).name])[0]

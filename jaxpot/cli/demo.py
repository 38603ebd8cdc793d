"""`jaxpot demo`: silicon and copper, from relaxation to thermal expansion."""

from jaxpot import catalog
from jaxpot.cli.card import describe, finish, meshes, start
from jaxpot.cli.files import output_folder
from jaxpot.report.card import property_card

NAME = "demo"
HELP = "property cards of silicon (Stillinger-Weber) and copper (Cleri-Rosato), a tour in a minute"
EPILOG = """Two folders are written, each with card.html (open it in a browser), card.json and the pictures.

examples:
  jaxpot demo
  jaxpot demo --out cards --json
"""

MATERIALS = (
    ("Silicon", "sw-silicon", "diamond:Si"),
    ("Copper", "cleri-rosato-copper", "fcc:Cu"),
)


def arguments(parser):
    parser.add_argument(
        "--out", default="jaxpot-card", metavar="DIR", help="folder to write into (default: jaxpot-card)"
    )
    meshes(parser)


def run(options, console):
    root = output_folder(options.out)
    documents = {}
    for name, model, spec in MATERIALS:
        potential = catalog.load(model)
        folder = output_folder(root / name.lower())
        card = property_card(
            potential,
            start(spec, potential, console),
            name,
            progress=lambda text, name=name: console.progress(f"{name}: {text}"),
            model=describe(model, potential),
            mesh=options.mesh,
            dos_mesh=options.dos_mesh,
            points=options.points,
        )
        finish(card, folder, console)
        console.text("")
        documents[name.lower()] = card.document()
    console.result(documents)

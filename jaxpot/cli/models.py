"""`jaxpot models`: the built-in potentials."""

from jaxpot import catalog

NAME = "models"
HELP = "list the built-in models with their sources"
EPILOG = """examples:
  jaxpot models
  jaxpot models --json
"""


def arguments(parser):
    pass


def run(options, console):
    records = [
        {"name": m.name, "elements": list(m.elements), "form": m.form, "source": m.source}
        for m in catalog.models()
    ]
    for record in records:
        console.text(
            f"{record['name']}\n    {', '.join(record['elements'])}: {record['form']}\n    {record['source']}"
        )
    console.text(
        f"\nWherever a MODEL is asked for, give one of these names or a file: "
        f"{'; '.join(name for name, _, _ in catalog.FORMATS)}."
    )
    console.result({"models": records})

"""QUIP's `local_gap_variance` of the GAPs in this folder, and its gradient, in `variance.json`.

    pip install quippy-ase
    python variance.py

Structures are those of `reference.json`. The gradient is that of the sum over atoms.
"""

import json
from pathlib import Path

from ase import Atoms
from quippy.potential import Potential

HERE = Path(__file__).parent
ASKED = "local_gap_variance=variance gap_variance_gradient=gradient gap_variance_regularisation={}"


def main():
    found = {}
    for name, structures in json.loads((HERE / "reference.json").read_text()).items():
        atoms = Atoms(**{key: structures[0][key] for key in ("symbols", "positions", "cell")}, pbc=True)
        found[name] = []
        for regularisation in (0.001, 0.03):
            # A calculator keeps the matrix of its first call, whatever regularisation comes after.
            calculator = Potential(param_filename=str(HERE / f"{name}.xml"))
            calculator.calculate(atoms, ["energy", "energies", "forces"], calc_args=ASKED.format(regularisation))
            results = calculator.extra_results["atoms"]
            found[name].append({
                "regularisation": regularisation, "variance": results["variance"].tolist(),
                "gradient": results["gap_variance_gradient"].tolist(),
            })
    (HERE / "variance.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

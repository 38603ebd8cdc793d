"""What is mutated, by which tests each file is held, and the sample."""

import random
from pathlib import Path

from operators import mutants

BOUNDARY = ["tests/test_bad_input.py::test_wrong_file", "tests/formats/test_damage.py"]

# Group: file (or files) to the test files of its module, or to single tests. Of these, those are run that come by a line.
GROUPS = {
    "neighbours": {
        "jaxpot/core/neighbors.py": ["tests/core/test_neighbors.py"],
    },
    "cutoffs": {
        "jaxpot/basis/cutoffs.py": ["tests/basis/test_cutoffs.py"],
        "jaxpot/basis/fades.py": ["tests/basis/test_fades.py", "tests/descriptors/test_symmetry_functions.py"],
    },
    "readers": {
        "jaxpot/formats/funcfl.py": ["tests/formats/test_funcfl.py", *BOUNDARY],
        "jaxpot/formats/setfl.py": ["tests/formats/test_setfl.py", *BOUNDARY],
        "jaxpot/formats/lammps_sw.py": ["tests/formats/test_lammps_sw.py", *BOUNDARY],
        "jaxpot/formats/lammps_tersoff.py": ["tests/formats/test_lammps_tersoff.py", *BOUNDARY],
        "jaxpot/formats/lammps_triplets.py": [
            "tests/formats/test_lammps_sw.py", "tests/formats/test_lammps_tersoff.py", *BOUNDARY,
        ],
        "jaxpot/formats/lammps_meam.py": ["tests/formats/test_lammps_meam.py", *BOUNDARY],
        "jaxpot/formats/meam_reference.py": ["tests/formats/test_meam_reference.py", "tests/formats/test_lammps_meam.py"],
        "jaxpot/formats/text.py": [
            "tests/formats/test_setfl.py", "tests/formats/test_funcfl.py", "tests/formats/test_lammps_sw.py", *BOUNDARY,
        ],
        "jaxpot/formats/record.py": ["tests/formats/test_record.py"],
        "jaxpot/formats/unread.py": ["tests/formats/test_unread.py"],
        "jaxpot/formats/n2p2*.py": ["tests/formats/test_n2p2.py", *BOUNDARY],
        "jaxpot/formats/quip_*.py": ["tests/formats/test_quip_write.py", "tests/formats/test_quip_xml.py"],
        "jaxpot/io/extxyz.py": ["tests/test_ase_files.py", "tests/test_io.py"],
        "jaxpot/io/cif.py": ["tests/test_cif.py"],
        "jaxpot/io/files.py": ["tests/test_io.py", "tests/test_cif.py"],
        "jaxpot/io/formats.py": ["tests/test_ase_files.py", "tests/test_io.py"],
        "jaxpot/io/ase_files.py": ["tests/test_ase_files.py"],
    },
    "integrators": {
        f"jaxpot/md/{name}.py": [f"tests/md/test_{tests}.py"]
        for name, tests in (
            ("loop", "loop"), ("dynamics", "steps"), ("ensembles", "steps"), ("barostats", "steps"), ("lists", "lists"),
        )
    },
    "hops": {
        "jaxpot/potentials/equivariant_messages.py": ["tests/formats/test_nequix.py", "tests/potentials/test_mace.py"],
        "jaxpot/potentials/nequip.py": ["tests/formats/test_nequix.py", "tests/formats/test_sevennet.py"],
        "jaxpot/potentials/mace.py": ["tests/potentials/test_mace.py"],
        "jaxpot/potentials/schnet.py": ["tests/potentials/test_schnet.py"],
        "jaxpot/potentials/dtnn.py": ["tests/potentials/test_dtnn.py"],
        "jaxpot/potentials/chgnet.py": ["tests/formats/test_chgnet.py"],
    },
}


def files(root):
    """Group of each file, and its test files: {path: (group, [test file])}."""
    held = {}
    for group, rows in GROUPS.items():
        for pattern, tests in rows.items():
            for path in sorted(Path(root).glob(pattern)):
                held[str(path.relative_to(root))] = (group, tests)
    return held


def everything(root):
    """{group: all its mutants}."""
    total = {group: [] for group in GROUPS}
    for path, (group, _) in files(root).items():
        total[group] += mutants(path, (Path(root) / path).read_text())
    return total


def sample(total, count, seed):
    """A random sample with as many mutants of each group: numerics are few beside the readers of twenty formats.

    Returns:
        list of (group, `Mutant`), the groups in turns, so that any beginning of it is a smaller sample.
    """
    shuffled = {group: random.Random(f"{seed} {group}").sample(some, len(some)) for group, some in total.items()}
    each = -(-count // len(total))
    turns = [(group, shuffled[group][k]) for k in range(each) for group in total if k < len(shuffled[group])]
    return turns[:count]

"""Writes the model files of the tests. All numbers are made up; no published table is used.

Run `python tests/formats/files/make.py`, then `python benchmarks/parity_lammps.py --store`, which asks
LAMMPS for the energies that go with them.
"""

import itertools
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def alloy(path):
    """Two metals that mix: oscillating tails, a density table that dense cells leave, and an odd layout."""
    n_rho, n_r = 60, 120
    dr, cutoff = 0.045, 5.35
    drho = 0.32
    r = dr * np.arange(n_r)
    rho = drho * np.arange(n_rho)
    tail = np.clip(1.0 - r / 5.2, 0.0, None) ** 4  # zero before the cutoff: the curves end without a jump

    def pair(strength, size):
        return r * strength * (np.exp(-4.0 * (r / size - 1.0)) - 1.6 * np.exp(-2.0 * (r / size - 1.0))) * tail

    tables = []
    for number, mass, band, size in ((28, 58.7, 1.6, 2.5), (13, 27.0, 1.2, 2.9)):
        tables.append((f"{number} {mass} 3.6 fcc", None))
        tables.append((None, -band * np.sqrt(rho) + 0.02 * rho))
        tables.append((None, 6.0 * np.exp(-2.2 * (r / size - 1.0)) * tail))
    tables += [(None, pair(6.0, 2.5)), (None, pair(7.0, 2.7)), (None, pair(5.0, 2.9))]

    lines = ["Two made-up metals", "for the tests of jaxpot", "", "2 Ni Al",
             f"{n_rho} {drho} {n_r} {dr} {cutoff}"]
    for k, (header, values) in enumerate(tables):
        if header:
            lines.append(header)
            continue
        width = (1, 4, 7)[k % 3]  # numbers may stand on lines of any length
        words = [f"{v:.8e}" for v in values]
        lines += [" ".join(words[i:i + width]) for i in range(0, len(words), width)]
    path.write_text("\n".join(lines) + "\n")


def densities_of_pairs(path):
    """Two metals, each of which brings another density to each of them; tables that dense cells leave."""
    n_rho, n_r, drho, dr, cutoff = 50, 100, 0.4, 0.052, 5.1
    r, rho = dr * np.arange(n_r), drho * np.arange(n_rho)
    tail = np.clip(1.0 - r / 5.05, 0.0, None) ** 4
    lines = ["Two made-up metals with densities of pairs", "for the tests of jaxpot", "", "2 Fe Zr",
             f"{n_rho} {drho} {n_r} {dr} {cutoff}"]

    def add(values):
        words = [f"{v:.8e}" for v in values]
        lines.extend(" ".join(words[i:i + 5]) for i in range(0, len(words), 5))

    for k, (number, mass) in enumerate(((26, 55.8), (40, 91.2))):
        lines.append(f"{number} {mass} 2.9 bcc")
        add(-(1.5 - 0.3 * k) * np.sqrt(rho) + 0.02 * rho)
        for m in range(2):
            add((5.0 + k - 2.0 * m) * np.exp(-(2.0 + 0.3 * m) * (r / (2.5 + 0.3 * k) - 1.0)) * tail)
    for size, strength in ((2.5, 6.0), (2.7, 7.0), (3.0, 5.0)):
        add(r * strength * (np.exp(-4.0 * (r / size - 1.0)) - 1.6 * np.exp(-2.0 * (r / size - 1.0))) * tail)
    path.write_text("\n".join(lines) + "\n")


def one_metal(path, number, mass, n_rho, drho, n_r, dr, cutoff, size):
    """A metal on a grid of its own: embedding energy, effective charge and density."""
    r, rho = dr * np.arange(n_r), drho * np.arange(n_rho)
    tail = np.clip(1.0 - r / (cutoff - 4 * dr), 0.0, None) ** 4  # zero where the last slopes are found
    lines = [f"A made-up metal of size {size}", f"{number} {mass} 3.6 fcc", f"{n_rho} {drho} {n_r} {dr} {cutoff}"]
    for values in (
        -1.4 * np.sqrt(rho) + 0.02 * rho, 11.0 * np.exp(-1.7 * (r / size)) * tail,
        6.0 * np.exp(-2.2 * (r / size - 1.0)) * tail,
    ):
        words = [f"{v:.8e}" for v in values]
        lines += [" ".join(words[i:i + 5]) for i in range(0, len(words), 5)]
    path.write_text("\n".join(lines) + "\n")


def pairs_and_angles(path):
    """Two kinds of atoms whose every Stillinger-Weber parameter differs."""
    kinds = ("Si", "Ge")
    epsilon = {"SiSi": 2.1, "SiGe": 1.9, "GeGe": 1.7}
    sigma = {"SiSi": 2.1, "SiGe": 2.15, "GeGe": 2.2}
    reach = {"SiSi": 1.8, "SiGe": 1.75, "GeGe": 1.7}
    a_strength = {"SiSi": 7.0, "SiGe": 7.3, "GeGe": 7.6}
    b_strength = {"SiSi": 0.60, "SiGe": 0.62, "GeGe": 0.64}
    gamma = {"SiSi": 1.2, "SiGe": 1.3, "GeSi": 1.1, "GeGe": 0.9}
    tol = {"SiSi": 0.0, "SiGe": 0.001, "GeGe": 0.03}

    def of(table, i, j):
        return table.get(i + j, table.get(j + i))

    lines = ["# Made-up parameters for the tests of jaxpot", ""]
    for i in kinds:
        for j in kinds:
            for k in kinds:
                eps = of(epsilon, i, j) if j == k else 1.5
                angle = -0.333 + 0.05 * (j != k) + 0.03 * (i == "Ge")
                lam = (20.0 + 3.0 * (i == "Ge") + 2.0 * (j != k)) / eps
                if j == k:
                    numbers = (of(sigma, i, j), of(reach, i, j), lam, gamma.get(i + j), angle,
                               of(a_strength, i, j), of(b_strength, i, j), 4.0, 0.0, of(tol, i, j))
                else:
                    numbers = (0.0, 0.0, lam, 0.0, angle, 0.0, 0.0, 0.0, 0.0, 0.0)
                words = [f"{v:.9g}" for v in (eps, *numbers)]
                lines += [f"{i} {j} {k} " + " ".join(words[:5]) + "  # centre, two neighbours",
                          "      " + " ".join(words[5:])]
    path.write_text("\n".join(lines) + "\n")


def bond_orders(path):
    """Two kinds of atoms whose every Tersoff parameter differs; triplets that end elsewhere than their pairs."""
    kinds = ("Si", "C")
    pair = {"SiSi": (1800.0, 2.5, 2.6, 0.2), "SiC": (1600.0, 2.9, 2.3, 0.15), "CC": (1400.0, 3.4, 2.0, 0.12)}
    lines = ["# Made-up parameters for the tests of jaxpot", ""]
    for s, (i, j, k) in enumerate((i, j, k) for i in kinds for j in kinds for k in kinds):
        a, lam1, middle, half = pair.get(i + j, pair.get(j + i))
        if j == k:
            bond = (0.7 + 0.3 * (i == "C") + 0.1 * (i != j), 0.02 + 0.01 * s, 1.7 + 0.05 * s, 300.0 + 20.0 * s)
            ends = (middle, half, lam1, a)
        else:
            bond, ends = (0.0, 0.0, 0.0, 0.0), (2.25 + 0.03 * s, 0.2, 0.0, 0.0)
        angle = (3.0 if s % 3 else 1.0, 0.8 + 0.05 * s, 0.9 + 0.1 * s, 9.0 + s, 5.0 - 0.3 * s, round(-0.6 + 0.1 * s, 6))
        words = [f"{v:.9g}" for v in (*angle, *bond, *ends)]
        lines += [f"{i} {j} {k} " + " ".join(words[:7]) + "  # centre, bond, neighbour", "     " + " ".join(words[7:])]
    path.write_text("\n".join(lines) + "\n")


# Name: elements, settings.
SNAP = {
    "two_kinds": (("Ta", "W"), {"rcutfac": 4.2, "twojmax": 3, "bnormflag": 1}),
    "by_element": (
        ("In", "P"), {"rcutfac": 4.0, "twojmax": 2, "chemflag": 1, "bzeroflag": 1, "rfac0": 0.95},
    ),
    "by_element_quadratic": (
        ("In", "P"),
        {"rcutfac": 3.9, "twojmax": 1, "chemflag": 1, "wselfallflag": 1, "quadraticflag": 1, "bnormflag": 1,
         "switchinnerflag": 1, "sinner": "2.0 2.2", "dinner": "0.5 0.6"},
    ),
    "quadratic": (
        ("Cu",), {"rcutfac": 4.4, "twojmax": 4, "rmin0": 0.6, "rfac0": 0.9, "quadraticflag": 1, "bzeroflag": 1},
    ),
    "not_switched": (("Mo",), {"rcutfac": 4.1, "twojmax": 4, "switchflag": 0, "bzeroflag": 0}),
}


def snap(folder):
    """SNAP with each of its options somewhere.

    Components that are equal, whatever the order of elements, have equal coefficients: with chemflag LAMMPS's forces are
    the derivatives of its energies only then.
    """
    rng = np.random.default_rng(30)
    for name, (elements, settings) in SNAP.items():
        densities = len(elements) if settings.get("chemflag") else 1
        keys = [tuple(sorted(triple)) for triple in component_channels(settings["twojmax"], densities)]
        _, same = np.unique(keys, axis=0, return_inverse=True)
        lines = []
        for k, element in enumerate(elements):
            linear, first, second = (0.02 * rng.normal(size=same.max() + 1) - 0.01 for _ in range(3))
            values = np.append(-1.0 - k, linear[same])
            if settings.get("quadraticflag"):
                matrix = np.outer(first[same], second[same])
                values = np.append(values, (matrix + matrix.T)[np.triu_indices(len(same))])
            lines.append(f"{element} {0.5 + 0.04 * k:g} {1.0 - 0.15 * k:g}")
            lines += [f"{c:.6e} # B[{n}]" for n, c in enumerate(values)]
        lines = ["# made-up coefficients", "", f"{len(elements)} {len(values)}", *lines]
        (folder / f"{name}.snapcoeff").write_text("\n".join(lines) + "\n")
        lines = ["# made-up parameters", *(f"{key} {value}" for key, value in settings.items())]
        (folder / f"{name}.snapparam").write_text("\n".join(lines) + "\n")


def component_channels(twojmax, densities):
    """(density, degree) of the three factors of each component, in LAMMPS's order."""
    for elements in itertools.product(range(densities), repeat=3):
        for one in range(twojmax + 1):
            for two in range(one + 1):
                for three in range(one - two, min(twojmax, one + two) + 1, 2):
                    if three >= one:
                        yield tuple(e * (twojmax + 1) + n for e, n in zip(elements, (one, two, three), strict=True))


NEP = {  # lines behind the elements: zbl, cutoff, n_max, basis_size, l_max, ANN
    "one_kind.nep": ("nep4 1 Si", "cutoff 4.5 4.5 60 60", "n_max 2 1", "basis_size 3 3", "l_max 4 2 1", "ANN 4 0"),
    "shared.nep": (
        "nep3_zbl 2 W Be", "zbl 0.9 2.1", "cutoff 4.6 4 80 60", "n_max 1 2", "basis_size 3 2", "l_max 3 0 1", "ANN 5 0"
    ),
    "invariants.nep": (
        "nep4_zbl 2 Mg O", "zbl 0.5 2.4 0.7", "cutoff 4.4 3.6 4.8 4.1 80 60", "n_max 1 1", "basis_size 2 3",
        "l_max 8 1 1 1 1 1 1", "ANN 3 0",
    ),
    "flexible.nep": (
        "nep4_zbl 2 Si C", "zbl 0 0", "cutoff 4.2 3.9 80 60", "n_max 2 1", "basis_size 2 2", "l_max 2 2 0", "ANN 4 0"
    ),
}


def neuroevolution(folder):
    """NEP with each of its options somewhere."""
    rng = np.random.default_rng(31)
    for name, lines in NEP.items():
        values = {word: [int(n) for n in rest] for word, *rest in map(str.split, lines[-4:])}
        first = lines[0].split()
        count, networks = int(first[1]), int(first[1]) if first[0].startswith("nep4") else 1
        (n, n_), (b, b_), (l_max, *flags), (hidden, _) = values.values()
        inputs = n + 1 + (n_ + 1) * (l_max + sum(flag > 0 for flag in flags))
        numbers = []
        for _ in range(networks):
            numbers += [0.5 * rng.normal(size=inputs * hidden), rng.normal(size=hidden), 0.2 * rng.normal(size=hidden)]
        numbers += [[2.5], rng.normal(size=count**2 * ((n + 1) * (b + 1) + (n_ + 1) * (b_ + 1)))]
        numbers += [rng.uniform(0.1, 1.0, n + 1)]
        # Of invariants of high degree and many factors, the sizes differ much.
        numbers += [rng.uniform(0.02, 0.2, inputs - n - 1)]
        if lines[1] == "zbl 0 0":
            for k in range(count * (count + 1) // 2):
                pair = [0.3 + 0.2 * k, 1.6 + 0.3 * k, 0.2, 3.0 + k, 0.5, 0.9, 0.28, 0.4, 0.02 + 0.01 * k, 0.2]
                numbers.append(pair)
        text = [*lines, *(f"{x:.7e}" for part in numbers for x in part)]
        (folder / name).write_text("\n".join(text) + "\n")
def moment_tensors(path):
    """MTP of two types: moments of degree 0 to 2, and products up to three of them, one by way of a vector."""
    rng = np.random.default_rng(7)
    basic = [(m, a, b, d - a - b) for m, highest in enumerate((2, 1)) for d in range(highest + 1)
             for a in range(d, -1, -1) for b in range(d - a, -1, -1)]
    at = {moment: k for k, moment in enumerate(basic)}
    axes = np.eye(3, dtype=int)
    vector = [at[0, *axis] for axis in axes]
    other = [at[1, *axis] for axis in axes]
    tensor = [[at[0, *(a + b)] for b in axes] for a in axes]
    times, scalars = [], [at[0, 0, 0, 0], at[1, 0, 0, 0]]

    def product(pairs):
        number = len(basic) + len({target for *_, target in times})
        times.extend((*sorted(pair), pairs.count(pair), number) for pair in dict.fromkeys(pairs))
        return number

    square = product(list(zip(vector, vector, strict=True)))
    turned = [product(list(zip(row, vector, strict=True))) for row in tensor]
    scalars += [square, product(list(zip(vector, other, strict=True))), product([(k, k) for row in tensor for k in row])]
    scalars += [product([(0, 0)]), product(list(zip(vector, turned, strict=True))), product([(0, square)])]
    count, functions, size = 2, 2, 4

    def listed(values):
        return "{" + ", ".join(listed(v) if isinstance(v, tuple | list) else str(v) for v in values) + "}"

    lines = ["MTP", "version = 1.1.0", "potential_name = made-up", "scaling = 8.0e-02", f"species_count = {count}",
             "potential_tag = ", "radial_basis_type = RBChebyshev", "\tmin_dist = 1.6", "\tmax_dist = 4.3",
             f"\tradial_basis_size = {size}", f"\tradial_funcs_count = {functions}", "\tradial_coeffs"]
    for i, j in itertools.product(range(count), repeat=2):
        lines.append(f"\t\t{i}-{j}")
        for _ in range(functions):
            lines.append("\t\t\t" + listed([f"{c:.6e}" for c in 0.3 * rng.normal(size=size) + (0.5, 0.0, 0.0, 0.0)]))
    lines += [
        f"alpha_moments_count = {times[-1][3] + 1}", f"alpha_index_basic_count = {len(basic)}",
        f"alpha_index_basic = {listed(basic)}", f"alpha_index_times_count = {len(times)}",
        f"alpha_index_times = {listed(times)}", f"alpha_scalar_moments = {len(scalars)}",
        f"alpha_moment_mapping = {listed(scalars)}", "species_coeffs = {-1.5, -2.5}",
        f"moment_coeffs = {listed([f'{c:.6e}' for c in 0.2 * rng.normal(size=len(scalars))])}",
    ]
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    alloy(HERE / "two_metals.eam.alloy")
    densities_of_pairs(HERE / "two_metals.eam.fs")
    one_metal(HERE / "copper.eam", 29, 63.5, 60, 0.9, 90, 0.06, 5.1, 2.5)
    one_metal(HERE / "nickel.eam", 28, 58.7, 75, 0.7, 100, 0.05, 4.7, 2.4)
    pairs_and_angles(HERE / "two_kinds.sw")
    bond_orders(HERE / "two_kinds.tersoff")
    snap(HERE)
    neuroevolution(HERE)
    moment_tensors(HERE / "two_kinds.mtp")

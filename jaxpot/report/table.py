"""The property card in words: rows of name, value and unit, and a plain-text table of them.

The rows serve the terminal and the HTML page alike. They are made from the card's document (what is in
`card.json`), so that nothing is shown that is not in the file.
"""

from dataclasses import dataclass

_SAME = 5e-4  # relative; modes closer than this are shown as one, with its degeneracy
_MOLAR = 8.31446261815324  # J/(mol K), the gas constant: kB per atom in the unit of the tables
_MISSING = "not available"
_ASCII = {
    "Γ": "Gamma",
    "γ": "gamma",
    "α": "alpha",
    "×": "x",
    "Å": "A",
    "²": "^2",
    "³": "^3",
    "⁻": "^-",
    "⁶": "6",
    "·": ".",
    "–": "-",
    "—": "-",
    "ü": "ue",
    "−": "-",
    "│": "|",
    "─": "-",
    "₀": "0",
    "′": "'",
    "±": "+-",
    "σ": "sigma",
}


@dataclass(frozen=True)
class Row:
    """One line of the table; `section` opens a new part when it differs from the row before.

    `numbers` are those that `value` shows, each with its standard deviation or None.
    """

    section: str
    name: str
    value: str
    unit: str
    numbers: tuple = ()


def rows(document):
    """The rows of a card's document (the contents of `card.json`)."""
    return [*_crystal(document), *_elastic(document), *_defects(document), *_phonons(document), *_thermal(document)]


def deviations_off(truth, document):
    """Rows that say by how many of its standard deviations each number of a card is off that of another card.

    Only of rows that both have, with as many numbers, and where there are deviations.
    """
    known, found = {(row.section, row.name): row.numbers for row in rows(truth)}, []
    for row in rows(document):
        reference = known.get((row.section, row.name), ())
        if len(row.numbers) != len(reference) or not any(deviation for _, deviation in row.numbers):
            continue
        off = [
            f"{(value - true) / deviation:+.1f}" if deviation and true is not None else "–"
            for (value, deviation), (true, _) in zip(row.numbers, reference, strict=True)
        ]
        found.append(Row(row.section, row.name, ", ".join(off) + " σ", ""))
    return found


def text_table(document, unicode=True, width=None):
    """The table as text for a terminal.

    Args:
        unicode: False for terminals that show ASCII only.
        width: letters in a line; longer lists of numbers go on in the next one. By default they do not.
    """
    found = rows(document)
    name_width = max(len(row.name) for row in found)
    unit_width = max(len(row.unit) for row in found)
    room = max(30, width - name_width - unit_width - 6) if width else None
    value_width = max(len(line) for row in found if row.unit for line in _wrapped(row.value, room))
    title = _title(document)
    lines = [title, "─" * len(title)]
    section = None
    for row in found:
        if row.section != section:
            if section is not None:
                lines.append("")
            lines.append(row.section)
            section = row.section
        first, *more = _wrapped(row.value, room)
        lines.append(f"  {row.name:<{name_width}}  {first:<{value_width}}  {row.unit}".rstrip())
        lines += [f"  {'':<{name_width}}  {line}" for line in more]
    for warning in document["meta"]["warnings"]:
        lines.append(f"\nNote: {warning}")
    text = "\n".join(lines)
    return text if unicode else to_ascii(text)


def _wrapped(value, room):
    """The lines of a list of numbers, broken after commas."""
    if room is None or len(value) <= room:
        return [value]
    lines = [""]
    for part in value.split(", "):
        joined = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and len(joined) >= room:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = joined
    return lines


def to_ascii(text):
    """The text for a terminal that cannot show Greek letters."""
    for letter, plain in _ASCII.items():
        text = text.replace(letter, plain)
    return text.encode("ascii", "replace").decode("ascii")


def _title(document):
    meta = document["meta"]
    structure, model = meta["structure"], meta["model"]
    return f"{meta['name']}: {structure['formula']}, {structure['spacegroup']}, {model['name']}"


def _crystal(document):
    section = "Crystal (static, T = 0)"
    structure, pressure = document["meta"]["structure"], document["meta"].get("settings", {}).get("pressure_GPa")
    if pressure:
        yield Row(section, "Pressure", _number(pressure, 3), "GPa")
    yield _entry(section, "Lattice constant a", document["a0_A"], 4, "Å")
    lengths, bars = structure["lattice"], structure.get("sd") or {}
    sides = bars.get("lattice", {})
    for key in ("b", "c"):
        if abs(lengths[key] - lengths["a"]) > 1e-6 * lengths["a"]:
            yield _row(section, f"Lattice constant {key}", lengths[key], 4, "Å", sides.get(key))
    for key, name in (("alpha", "α"), ("beta", "β"), ("gamma", "γ")):
        if abs(lengths[key] - 90.0) > 1e-4 and abs(lengths[key] - 120.0) > 1e-4:
            yield _row(section, f"Lattice angle {name}", lengths[key], 2, "°", sides.get(key))
    volume, bar = structure["volume_per_atom_A3"], bars.get("volume_per_atom_A3")
    yield _row(section, "Volume per atom", volume, 4, "Å³", bar)
    yield _entry(section, "Cohesive energy", document["e_coh_eV"], 4, "eV/atom")


def _elastic(document):
    section = "Elasticity (static, relaxed ions)"
    yield _entry(section, "Bulk modulus", document["bulk_GPa"], 2, "GPa")
    elastic, bars = document["elastic_GPa"]["value"], document["elastic_GPa"]["sd"] or {}
    if elastic is None:
        yield Row(section, "Elastic constants", _MISSING, "")
        return
    yield from _axes(section, document["meta"].get("elastic_axes"))
    for key, value in elastic.items():
        if key[0] == "c" and key[1:].isdigit():
            yield _row(section, f"C{key[1:]}", value, 2, "GPa", bars.get(key))
    for key, name in (("shear_hill", "Shear modulus (Hill)"), ("young_hill", "Young's modulus (Hill)")):
        if key in elastic:
            yield _row(section, name, elastic[key], 2, "GPa", bars.get(key))


def _axes(section, axes):
    """The Laue class, and the axes of the named constants where they are not those of the file."""
    if axes is None:
        return
    yield Row(section, "Laue class", axes["laue_class"], "")
    rotation = axes["rotation"]
    if all(abs(x - (i == j)) < 5e-5 for i, row in enumerate(rotation) for j, x in enumerate(row)):
        return
    for name, row in zip("XYZ", rotation, strict=True):
        shown = ", ".join(f"{x:.4f}".replace("-0.0000", "0.0000") for x in row)
        yield Row(section, f"IEEE axis {name} in those of the file", f"({shown})", "")


def _defects(document):
    section = "Defects (static, relaxed)"
    vacancy, surfaces = document["vacancy_eV"], document["surface_J_per_m2"]
    if vacancy["value"] is not None:
        yield _entry(section, "Vacancy formation energy", vacancy, 3, "eV")
    for face, value in (surfaces["value"] or {}).items():
        yield _row(section, f"Surface energy ({face})", value, 3, "J/m²", (surfaces["sd"] or {}).get(face))


def _phonons(document):
    phonons, gamma = document["phonons_THz"]["value"], document["gamma"]["value"]
    modes = None if gamma is None else gamma["modes"]
    bars, mode_bars = document["phonons_THz"]["sd"], (document["gamma"]["sd"] or {}).get("modes")
    for section, table, deviations, unit in (
        ("Phonon frequencies", phonons, bars, "THz"),
        ("Mode Grüneisen parameters, in the order of the frequencies", modes, mode_bars, ""),
    ):
        if table is None:
            yield Row(section, "At the special points", _MISSING, "")
            continue
        scale = max(abs(f) for frequencies in phonons.values() for f in frequencies)
        for point, values in table.items():
            shown = _grouped(values, 3, phonons[point], scale, None if deviations is None else deviations[point])
            yield Row(section, f"At {_point(point)}", shown[0], unit, shown[1])


def _thermal(document):
    section = "At 300 K (quasi-harmonic)"
    gamma = document["gamma"]["value"]
    thermodynamic = None if gamma is None else gamma["thermodynamic_300K"]
    alpha, capacity = document["alpha_1_per_K"]["value"], document["heat_capacity"]["value"]
    bar = (document["gamma"]["sd"] or {}).get("thermodynamic_300K")
    yield _row(section, "Thermodynamic Grüneisen parameter γ", thermodynamic, 3, "", bar)
    bar = document["alpha_1_per_K"]["sd"]
    scaled, bar = (None if x is None else 1e6 * x for x in (alpha, bar))
    unit = "10⁻⁶/K" if alpha is not None else ""
    yield _row(section, "Linear thermal expansion α", scaled, 3, unit, bar)
    molar = "" if capacity is None else f"kB/atom  ({capacity * _MOLAR:.2f} J/(mol K))"
    yield _entry(section, "Heat capacity Cp", document["heat_capacity"], 3, molar)
    yield from _at_temperatures(document["meta"])


def _at_temperatures(meta):
    """Rows of the temperatures that were asked for."""
    table = meta.get("thermal") or {"temperature_K": []}
    asked = meta.get("settings", {}).get("temperatures_K", [])
    for kelvin in sorted(asked, key=lambda kelvin: (kelvin != 300.0, kelvin)):
        section = f"At {kelvin:g} K (quasi-harmonic)"
        if kelvin not in table["temperature_K"]:
            yield Row(section, "Thermal properties", _MISSING, "")
            continue
        at = {name: column[table["temperature_K"].index(kelvin)] for name, column in table.items()}
        yield Row(section, "Volume per atom", _number(at["volume_per_atom_A3"], 4), "Å³")
        yield Row(section, "Bulk modulus (isothermal)", _number(at["bulk_GPa"], 2), "GPa")
        if kelvin != 300.0:  # these are shown already
            alpha = None if at["alpha_1_per_K"] is None else 1e6 * at["alpha_1_per_K"]
            yield Row(section, "Thermodynamic Grüneisen parameter γ", _number(at["gamma"], 3), "")
            yield Row(section, "Linear thermal expansion α", _number(alpha, 3), "10⁻⁶/K")
            yield Row(section, "Heat capacity Cp", _number(at["heat_capacity_p_kB_per_atom"], 3), "kB/atom")


def _point(name):
    return "Γ" if name == "Gamma" else name


def _entry(section, name, entry, digits, unit):
    return _row(section, name, entry["value"], digits, unit, entry["sd"])


def _row(section, name, value, digits, unit, deviation):
    return Row(section, name, _number(value, digits, deviation), unit, ((value, deviation),))


def _number(value, digits, deviation=None):
    """A value, with more digits where its standard deviation asks for them."""
    if value is None:
        return _MISSING
    if deviation is None:
        return f"{value:.{digits}f}"
    while digits < 8 and 0.0 < deviation < 9.5 * 10.0**-(digits + 1):
        digits += 1
    return f"{value:.{digits}f} ± {deviation:.{digits}f}"


def _grouped(values, digits, frequencies, scale, deviations=None):
    """Values of modes with equal frequency stand once, with the degeneracy, 4.480 ×2; and the numbers shown."""
    groups = []
    deviations = [None] * len(values) if deviations is None else deviations
    for value, frequency, deviation in zip(values, frequencies, deviations, strict=True):
        last = groups[-1] if groups else None
        if last and abs(frequency - last[1]) <= _SAME * scale and _close(value, last[0]):
            last[2] += 1
        else:
            groups.append([value, frequency, 1, deviation])
    text = ", ".join(
        ("–" if value is None else _number(value + 0.0, digits, deviation or None).replace("-0.000", "0.000"))
        + (f" ×{count}" if count > 1 else "")
        for value, _, count, deviation in groups
    )
    return text, tuple((value, deviation) for value, _, _, deviation in groups)


def _close(a, b):
    if a is None or b is None:
        return a is b
    return abs(a - b) <= _SAME * max(1.0, abs(a))

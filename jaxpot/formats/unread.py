"""Published files that are not read: known by the ending of the name, and answered with their next of kin."""

from collections.abc import Sequence

from jaxpot.formats.record import Family, Format

_UNREAD = {  # family: (ending, potential)
    Family.THREE_BODY: (
        (".sw.mod", "Stillinger-Weber with angles left out beyond a tolerance (LAMMPS `sw/mod`)"),
        (".sw.quip", "Stillinger-Weber for QUIP, in XML"),
        (".edip", "the environment-dependent interatomic potential (LAMMPS `edip`)"),
        (".vashishta", "Vashishta's potential (LAMMPS `vashishta`)"),
        (".nb3b.harmonic", "a harmonic three-body term (LAMMPS `nb3b/harmonic`)"),
        (".nb3b.screened", "a screened three-body term (LAMMPS `nb3b/screened`)"),
    ),
    Family.BOND_ORDER: (
        (".tersoff.mod", "Tersoff's potential with another angular function (LAMMPS `tersoff/mod`)"),
        (".tersoff.modc", "Tersoff's potential with another angular function (LAMMPS `tersoff/mod/c`)"),
        (".tersoff.zbl", "Tersoff's potential with a nuclear repulsion (LAMMPS `tersoff/zbl`)"),
        (".tersoff.shift", "Tersoff's potential with shifted distances (LAMMPS `tersoff/shift`)"),
        (".tersoff.table", "Tersoff's potential for tables (LAMMPS `tersoff/table`)"),
        (".extep", "Tersoff's potential with corrections for boron nitride (LAMMPS `extep`)"),
        (".gw", "the Gao-Weber potential (LAMMPS `gw`)"),
        (".gw.zbl", "the Gao-Weber potential with a nuclear repulsion (LAMMPS `gw/zbl`)"),
        (".lcbop", "the long-range carbon bond-order potential (LAMMPS `lcbop`)"),
        (".airebo", "the AIREBO potential (LAMMPS `airebo`)"),
        (".airebo-m", "the AIREBO-M potential (LAMMPS `airebo/morse`)"),
        (".rebo", "the second REBO potential (LAMMPS `rebo`)"),
        (".rebomos", "the REBO potential of molybdenum and sulphur (LAMMPS `rebomos`)"),
        (".bop.table", "a bond-order potential (LAMMPS `bop`)"),
        (".poly", "a polymorphic potential (LAMMPS `polymorphic`)"),
        (".comb", "a charge-optimised potential (LAMMPS `comb`)"),
        (".comb3", "a charge-optimised potential (LAMMPS `comb3`)"),
    ),
    Family.EMBEDDED_ATOM: (
        (".eam.he", "the embedded-atom method with negative densities (LAMMPS `eam/he`)"),
        (".cdeam", "the concentration-dependent embedded-atom method (LAMMPS `eam/cd`)"),
        (".eim", "the embedded-ion method (LAMMPS `eim`)"),
        (".adp", "the angular-dependent potential (LAMMPS `adp`)"),
        (".msmeam", "the multi-state modified embedded-atom method (LAMMPS `meam/ms`)"),
        (".meam.spline", "the spline form of the modified embedded-atom method (LAMMPS `meam/spline`)"),
        (".meam.sw.spline", "a spline form of MEAM with Stillinger-Weber (LAMMPS `meam/sw/spline`)"),
        (".mgpt.parmin", "a generalised pseudopotential (LAMMPS `mgpt`)"),
        (".mgpt.potin", "a generalised pseudopotential (LAMMPS `mgpt`)"),
    ),
    Family.MACHINE_LEARNED: (
        (".mliap.model", "a machine-learned potential of LAMMPS (`mliap`)"),
        (".mliap.descriptor", "a machine-learned potential of LAMMPS (`mliap`)"),
        (".agni", "the AGNI potential (LAMMPS `agni`)"),
        (".rann", "a rapid artificial neural network (LAMMPS `rann`)"),
        (".pod", "a proper orthogonal descriptor potential (LAMMPS `pod`)"),
        (".uf3", "an ultra-fast force field (LAMMPS `uf3`)"),
    ),
}


def unread(path: str, formats: Sequence[Format]) -> str | None:
    """Why a file of this name is not read, and which formats of its family are; None if the name does not say.

    Args:
        path: of the file.
        formats: those that are read.
    """
    for family, potentials in _UNREAD.items():
        for ending, potential in potentials:
            if path.lower().endswith(ending):
                kin = "; ".join(record.name for record in formats if record.family == family)
                return f"this is {potential}, which is not read" + (f"; {family} that are read: {kin}" if kin else "")
    return None

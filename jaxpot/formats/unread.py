"""Published files that are not read: what they are, known by the ending of the name."""

_NEAREST = {
    "sw": "Stillinger-Weber is read from .sw",
    "tersoff": "Tersoff's potential is read from .tersoff",
    "eam": "the embedded-atom method is read from .eam, .eam.alloy and .eam.fs",
    "gap": "of potentials with descriptors, GAPs (QUIP's .xml) and n2p2's folders are read",
}
_UNREAD = (
    (".sw.mod", "Stillinger-Weber with angles left out beyond a tolerance (LAMMPS `sw/mod`)", "sw"),
    (".sw.quip", "Stillinger-Weber for QUIP, in XML", "sw"),
    (".tersoff.mod", "Tersoff's potential with another angular function (LAMMPS `tersoff/mod`)", "tersoff"),
    (".tersoff.modc", "Tersoff's potential with another angular function (LAMMPS `tersoff/mod/c`)", "tersoff"),
    (".tersoff.zbl", "Tersoff's potential with a nuclear repulsion (LAMMPS `tersoff/zbl`)", "tersoff"),
    (".tersoff.shift", "Tersoff's potential with shifted distances (LAMMPS `tersoff/shift`)", "tersoff"),
    (".tersoff.table", "Tersoff's potential for tables (LAMMPS `tersoff/table`)", "tersoff"),
    (".extep", "Tersoff's potential with corrections for boron nitride (LAMMPS `extep`)", "tersoff"),
    (".gw", "the Gao-Weber potential (LAMMPS `gw`)", "tersoff"),
    (".gw.zbl", "the Gao-Weber potential with a nuclear repulsion (LAMMPS `gw/zbl`)", "tersoff"),
    (".lcbop", "the long-range carbon bond-order potential (LAMMPS `lcbop`)", "tersoff"),
    (".airebo", "the AIREBO potential (LAMMPS `airebo`)", "tersoff"),
    (".airebo-m", "the AIREBO-M potential (LAMMPS `airebo/morse`)", "tersoff"),
    (".rebo", "the second REBO potential (LAMMPS `rebo`)", "tersoff"),
    (".rebomos", "the REBO potential of molybdenum and sulphur (LAMMPS `rebomos`)", "tersoff"),
    (".bop.table", "a bond-order potential (LAMMPS `bop`)", "tersoff"),
    (".poly", "a polymorphic potential (LAMMPS `polymorphic`)", "tersoff"),
    (".comb", "a charge-optimised potential (LAMMPS `comb`)", "tersoff"),
    (".comb3", "a charge-optimised potential (LAMMPS `comb3`)", "tersoff"),
    (".edip", "the environment-dependent interatomic potential (LAMMPS `edip`)", "sw"),
    (".vashishta", "Vashishta's potential (LAMMPS `vashishta`)", "sw"),
    (".nb3b.harmonic", "a harmonic three-body term (LAMMPS `nb3b/harmonic`)", "sw"),
    (".nb3b.screened", "a screened three-body term (LAMMPS `nb3b/screened`)", "sw"),
    (".eam.he", "the embedded-atom method with negative densities (LAMMPS `eam/he`)", "eam"),
    (".cdeam", "the concentration-dependent embedded-atom method (LAMMPS `eam/cd`)", "eam"),
    (".eim", "the embedded-ion method (LAMMPS `eim`)", "eam"),
    (".adp", "the angular-dependent potential (LAMMPS `adp`)", "eam"),
    (".msmeam", "the multi-state modified embedded-atom method (LAMMPS `meam/ms`)", "eam"),
    (".meam.spline", "the spline form of the modified embedded-atom method (LAMMPS `meam/spline`)", "eam"),
    (".meam.sw.spline", "a spline form of MEAM with Stillinger-Weber (LAMMPS `meam/sw/spline`)", "eam"),
    (".mgpt.parmin", "a generalised pseudopotential (LAMMPS `mgpt`)", "eam"),
    (".mgpt.potin", "a generalised pseudopotential (LAMMPS `mgpt`)", "eam"),
    (".snapcoeff", "a spectral neighbour analysis potential (LAMMPS `snap`)", "gap"),
    (".snapparam", "a spectral neighbour analysis potential (LAMMPS `snap`)", "gap"),
    (".mliap.model", "a machine-learned potential of LAMMPS (`mliap`)", "gap"),
    (".mliap.descriptor", "a machine-learned potential of LAMMPS (`mliap`)", "gap"),
    (".agni", "the AGNI potential (LAMMPS `agni`)", "gap"),
    (".rann", "a rapid artificial neural network (LAMMPS `rann`)", "gap"),
    (".pod", "a proper orthogonal descriptor potential (LAMMPS `pod`)", "gap"),
    (".uf3", "an ultra-fast force field (LAMMPS `uf3`)", "gap"),
    (".mtp", "a moment tensor potential (MLIP)", "gap"),
    (".yace", "an atomic cluster expansion (LAMMPS `pace`)", "gap"),
)


def unread(name):
    """What a file of this name is, and what is read instead; None if the ending says nothing."""
    found = [(what, near) for ending, what, near in _UNREAD if name.lower().endswith(ending)]
    return f"this is {found[0][0]}, which is not read; {_NEAREST[found[0][1]]}" if found else None

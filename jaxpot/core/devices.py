"""Several devices (CPU cores or GPUs): an axis "atoms" of a mesh shares the atoms, an axis "systems" divides systems.

JAX takes a CPU for one device and runs the chunks of a program one after the other. Two cores are two devices where
the user says so, before anything else is done with JAX:

    jax.config.update("jax_num_cpu_devices", 2)
    jax.set_mesh(jax.make_mesh((2,), ("atoms",)))      # one large system
    jax.set_mesh(jax.make_mesh((2,), ("systems",)))    # many small ones

With "atoms", each device has its part of the rows of one system, of any number, and forces are summed over devices:

- `jp.evaluate`, `jp.forces`, `jp.stress`, `jp.virials` and `jp.heat_flux`, and all that is made of them (`jp.relax`,
  `jp.md.run`): local potentials in one pass, potentials of several hops hop by hop, with the states of all atoms on
  every device, CHGNet as its slower form that is written so; those with sums over all atoms in three passes, one for
  the sums. `jp.train` gives each device its part of every batch.
- Not shared, but computed whole and equal on every device: other addends of infinite reach; `jp.energy`, derivatives
  through it, Hessians and their products, phonons, error bars; short lists that are pruned in `jp.md.run`.

With "systems", each device has its part of many:

- `jp.md.run_many`, `jp.md.temper`: replicas, in one program, to the last bit until a list needs longer rows. Where
  devices do not divide their number, some are filled up with replicas that take no step; checkpoints go on with any
  number of devices.
- `jp.evaluate_many`, `jp.relax_many`: structures, of any size and potential, but for potentials that prepare arrays of
  other shapes for each (`Potential.plan`; wave vectors of Ewald sums): these are evaluated one after the other.

Everything else runs as before, on every device. In a mesh with both axes, many systems are divided along "systems" (and
devices along "atoms" do the same), and one system is shared along "atoms". Sums over devices are those of one device in
another order, and always in the same one. Axes of any type do (`jax.sharding.AxisType`), and within a map over an axis
its devices have systems of their own.

Every device holds everything: systems whose atoms live where their device is, with halos, are LAMMPS's
(`notebooks/lammps.md` says why).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from jaxpot.typing import PyTree

AXIS = "atoms"
SYSTEMS = "systems"


def sharing() -> int:
    """Number of devices that share the atoms: the length of the axis "atoms" of the mesh that is set, else 1."""
    return _along(AXIS)


def dividing() -> int:
    """Number of devices that divide systems among them: the length of the axis "systems" of the mesh, else 1."""
    return _along(SYSTEMS)


def _along(name):
    """Length of an axis of the mesh that is set; 1 if it has none, and inside a map over it."""
    mesh = jax.sharding.get_abstract_mesh()
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    return mesh.shape[name] if types.get(name, AxisType.Manual) != AxisType.Manual else 1


def sum_shares(function: Callable[..., PyTree], rows: PyTree, *arguments: PyTree) -> PyTree:
    """function(rows, *arguments), arrays that are sums over rows, where each device takes its part of the rows.

    Args:
        rows: arrays with the same number in front, a multiple of `sharing()`.
    """
    devices = sharing()
    if devices == 1:
        return function(rows, *arguments)

    def share(rows, *arguments):
        return jax.lax.psum(function(_part_of(rows, AXIS, devices), *arguments), AXIS)

    return _on_all(share, {AXIS}, rows, *arguments)


def each_system(function: Callable[..., PyTree], systems: PyTree, *arguments: PyTree) -> PyTree:
    """function(systems, *arguments), arrays with an axis of systems in front, of which each device computes its part.

    Every device returns with the results of all. Where devices do not divide the number of systems, zeros fill it up.

    Args:
        systems: arrays with the same number in front, of any size.
    """
    devices, count = dividing(), jax.tree.leaves(systems)[0].shape[0]
    if devices == 1:
        return function(systems, *arguments)

    def filled(array):
        array = jnp.asarray(array)
        return jnp.concatenate([array, jnp.zeros((-count % devices, *array.shape[1:]), array.dtype)])

    def share(systems, *arguments):
        results = function(_part_of(systems, SYSTEMS, devices), *arguments)
        return jax.tree.map(lambda a: jax.lax.all_gather(a, SYSTEMS, tiled=True)[:count], results)

    # Along all axes: JAX 0.10.1 compiles a map over one axis within a map over another in some programs only.
    return _on_all(share, None, jax.tree.map(filled, systems), *arguments)


def _part_of(tree, axis, devices):
    """The part of arrays, cut along the first axis, that belongs to the device that asks."""
    def cut(array):
        size = array.shape[0] // devices
        return jax.lax.dynamic_slice_in_dim(array, jax.lax.axis_index(axis) * size, size)

    return jax.tree.map(cut, tree)


def _on_all(share, axes, *arguments):
    """share(*arguments) on all devices along some axes of the mesh, None for all; what it returns is the same on each.

    Every device has everything, and takes what is its own: nothing is asked of how the arguments are laid out, and
    results can be read in every process. Replication is not tracked: carries of loops inside a potential would have to
    say that they vary.
    """
    alike, names = PartitionSpec(), jax.sharding.get_abstract_mesh().axis_names if axes is None else axes
    specs = (alike,) * len(arguments)
    return jax.shard_map(share, in_specs=specs, out_specs=alike, axis_names=set(names), check_vma=False)(*arguments)

"""Several devices (CPU cores or GPUs) that share the atoms: what a mesh with an axis "atoms" does.

JAX takes a CPU for one device and runs the chunks of a program one after the other. Two cores are two devices where
the user says so, before anything else is done with JAX:

    jax.config.update("jax_num_cpu_devices", 2)
    jax.set_mesh(jax.make_mesh((2,), ("atoms",)))

From then on, `jp.evaluate`, `jp.forces`, `jp.stress`, `jp.virials` and `jp.heat_flux` of local potentials give each
device its part of the rows, and `jp.train` its part of every batch. Everything else runs as before, on every device.
Sums are those of one device in another order, and always in the same one.
"""

from collections.abc import Callable

import jax
from jax.sharding import AxisType, PartitionSpec

from jaxpot.typing import PyTree

AXIS = "atoms"


def sharing() -> int:
    """Number of devices that share the atoms: the length of the axis "atoms" of the mesh that is set, else 1."""
    mesh = jax.sharding.get_abstract_mesh()
    types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    return mesh.shape[AXIS] if types.get(AXIS, AxisType.Manual) != AxisType.Manual else 1


def sum_shares(function: Callable[..., PyTree], rows: PyTree, *arguments: PyTree) -> PyTree:
    """function(rows, *arguments), arrays that are sums over rows, where each device takes its part of the rows.

    Args:
        rows: arrays with the same number in front, a multiple of `sharing()`.
    """
    devices = sharing()
    if devices == 1:
        return function(rows, *arguments)

    def share(rows, *arguments):
        def own(array):
            size = array.shape[0] // devices
            return jax.lax.dynamic_slice_in_dim(array, jax.lax.axis_index(AXIS) * size, size)

        return jax.lax.psum(function(jax.tree.map(own, rows), *arguments), AXIS)

    # Every device has everything, and takes what is its own: nothing is asked of how the arguments are laid out.
    # Replication is not tracked: carries of loops inside a potential would have to say that they vary.
    alike = PartitionSpec()
    specs = (alike,) * (1 + len(arguments))
    return jax.shard_map(share, in_specs=specs, out_specs=alike, axis_names={AXIS}, check_vma=False)(rows, *arguments)

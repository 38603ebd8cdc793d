"""The equation of state on a card: energy against volume."""

import jax.numpy as jnp
import numpy as np

from jaxpot import units
from jaxpot.observables import energy
from jaxpot.properties.eos import equation_of_state
from jaxpot.properties.relax import relax
from jaxpot.report.elastic_plots import plot_equation_of_state
from jaxpot.report.entries.record import Figure, Property


def _compute(study):
    return {"equation_of_state": equation_of_state(study.potential, study.crystal)}


def _spreads(uncertain, results):
    """Of E(V) - E(V0): to first order V0 itself does not matter, E has its minimum there."""
    if "equation_of_state" not in results:
        return {}
    potential, crystal = uncertain.posterior.potential, uncertain.study.crystal
    volumes = np.asarray(results["equation_of_state"].volumes)
    scales = (volumes / float(crystal.volume)) ** (1.0 / 3.0) - 1.0
    states = [relax(potential, crystal.strained(s * np.eye(3))).structure for s in scales]

    def above(potential):
        return jnp.stack([energy(potential, state) for state in states]) - energy(potential, crystal)

    spread = uncertain.spread("energies", above, relaxed=False)
    return {"energies": None if spread is None else np.asarray(spread.std)}


def _meta(results, spreads, study):
    result, atoms = results.get("equation_of_state"), len(study.crystal)
    return {
        "equation_of_state": result and {
            "volume_per_atom_A3": float(result.volume) / atoms,
            "bulk_GPa": float(result.bulk) / units.GPa,
            "bulk_derivative": float(result.bulk_derivative),
        }
    }


PROPERTY = Property(
    about="equation of state",
    compute=_compute,
    figures=(
        Figure(
            "equation_of_state",
            lambda results, spreads: plot_equation_of_state(
                results["equation_of_state"], len(results["crystal"]), sd=spreads.get("energies")
            ),
            "Energy against volume, the cell in its shape: computed points and the Birch-Murnaghan curve (fourth "
            "order) through them; B₀ is the Voigt average of the elastic constants.",
        ),
    ),
    meta=_meta,
    spreads=_spreads,
    under_pressure=False,
)

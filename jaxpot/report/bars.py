"""The error bars of a property card: how its properties vary with what is uncertain of the potential."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxpot.potentials.posterior import Posterior, check_posterior
from jaxpot.report.entries.record import Property, Study, Uncertain
from jaxpot.uncertainty.linear_terms import can_be_widened
from jaxpot.uncertainty.propagation import shape_response
from jaxpot.uncertainty.widening import widened, widened_near


def card_spreads(
    posterior: Posterior, study: Study, results: Mapping[str, Any], properties: Sequence[Property]
) -> dict[str, Any]:
    """Propagate a posterior to the properties of a card.

    Args:
        posterior: whose mean is the potential of the study.
        study: of the card.
        results: of its properties.
        properties: those of the card.

    Returns:
        What their `deviation` and `draw` need, by name.
    """
    check_posterior(posterior)
    if can_be_widened(posterior):
        study.say("error bars: what the sparse points do not see")
        # Those far from the data first: what a calibration says of these is brought in once.
        beyond = [one for prop in properties if prop.structures is not None for one in prop.structures(results)]
        if beyond:
            posterior = widened(posterior, beyond)
        posterior = widened_near(posterior, study.crystal)
    study.say("error bars: the shape of the crystal")
    uncertain = Uncertain(study, posterior, shape_response(posterior, study.crystal))
    spreads: dict = {}
    for prop in properties:
        if prop.spreads is not None:
            spreads |= prop.spreads(uncertain, results)
    return {name: spread for name, spread in spreads.items() if spread is not None}

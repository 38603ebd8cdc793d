"""The cutoff of descriptors that end with a transition, in A."""

from typing import Any


def lengths(table: dict, unit: float) -> dict[str, Any]:
    """Arguments `cutoff` and `cutoff_transition_width` of a table whose lengths are in a unit."""
    width = table.get("transition_width")
    cutoff = table["cutoff"] * unit
    return {"cutoff": cutoff, "cutoff_transition_width": min(0.5, cutoff) if width is None else width * unit}

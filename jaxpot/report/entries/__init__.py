"""The properties on a card. A new one is a file that ends with its `PROPERTY`, and its row here.

Their order is that of the document, of the table and of the pictures.
"""

from jaxpot.report.entries import (
    anharmonicity,
    cohesion,
    defects,
    elasticity,
    shape,
    thermal,
    vibrations,
    volume_curve,
)
from jaxpot.report.entries.record import ROOM, Entry, Figure, Property, Study

__all__ = ["DEFECTS", "PROPERTIES", "ROOM", "Entry", "Figure", "Property", "Study"]

DEFECTS = defects.PROPERTY
PROPERTIES = (
    shape.PROPERTY,
    cohesion.PROPERTY,
    volume_curve.PROPERTY,
    elasticity.PROPERTY,
    vibrations.PROPERTY,
    anharmonicity.PROPERTY,
    thermal.PROPERTY,
    DEFECTS,
)

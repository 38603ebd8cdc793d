"""Properties of crystals: derivatives of the energy, and what thermodynamics makes of them."""

"""Structures, neighbour lists and graphs: what exists before there is an energy."""

"""Runs the data plane. The only package that imports the compiled module. What it is told is in `settings`."""

from mutualgate.gate.dataplane import (
    DataPlane,
    Judge,
    Publication,
    Verdict,
    adoption_fault,
    decide_batch,
    field_refused,
    most_of_a_name,
    names_permitted,
    reasons,
)

__all__ = [
    "DataPlane",
    "Judge",
    "Publication",
    "Verdict",
    "adoption_fault",
    "decide_batch",
    "field_refused",
    "most_of_a_name",
    "names_permitted",
    "reasons",
]

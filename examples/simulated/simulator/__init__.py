"""A small simulator of twelve-lead ECGs with known findings. See ../README.md."""

from simulator.findings import JAPANESE
from simulator.leads import LEADS
from simulator.record import (
    SimulatedEcg,
    Truth,
    find_patient,
    find_ventricle,
    measure_echo,
    simulate_record,
)

__all__ = [
    "JAPANESE",
    "LEADS",
    "SimulatedEcg",
    "Truth",
    "find_patient",
    "find_ventricle",
    "measure_echo",
    "simulate_record",
]

"""Repairs a fault that tests show, without a model: small changes, tried by the thousand.

`repair(sources, red, engine=..., seconds=...)` gives a Repair: the ranked patches, the red/green
proof of the first, the lines doubted, and an explanation in plain words.
"""

from agent.repair.flow import is_test_file, repair
from agent.repair.proof import Order, Proof, ProofFailed, Run, clean_runs
from agent.repair.results import Ended, Explanation, Patch, Progress, Repair, Suspect

__all__ = [
    "Ended",
    "Explanation",
    "Order",
    "Patch",
    "Progress",
    "Proof",
    "ProofFailed",
    "Repair",
    "Run",
    "Suspect",
    "clean_runs",
    "is_test_file",
    "repair",
]

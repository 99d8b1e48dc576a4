"""Runs what nobody has vetted, apart from this machine and without a network."""

from agent.sandbox.job import (
    BadJob,
    Ended,
    Engine,
    Environment,
    Job,
    Limits,
    Outcome,
    SandboxUnavailable,
    Session,
)
from agent.sandbox.selection import engine

__all__ = [
    "BadJob",
    "Ended",
    "Engine",
    "Environment",
    "Job",
    "Limits",
    "Outcome",
    "SandboxUnavailable",
    "Session",
    "engine",
]

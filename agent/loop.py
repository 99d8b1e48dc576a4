"""Plan, act, verify: the state machine of one task, without knowing where anything is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol


class Phase(StrEnum):
    """How far a task has come."""

    PLAN = "plan"
    ACT = "act"
    VERIFY = "verify"
    DONE = "done"


@dataclass(frozen=True)
class PlannedStep:
    """One tool call that the plan foresees."""

    tool: str
    why: str


@dataclass(frozen=True)
class Plan:
    """What the agent sets out to do. risk_score: 0 (none) to 1."""

    steps: tuple[PlannedStep, ...]
    approvals: tuple[str, ...]
    risk_score: float
    compliance_targets: tuple[str, ...]


@dataclass(frozen=True)
class Action:
    """One tool call."""

    tool: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """An action with what came back. outputs: name -> sha256 of what it left behind."""

    action: Action
    observation: str
    ok: bool = True
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """Everything known about a task. Replaced, never edited, so each state can be stored."""

    goal: str
    constraints: Mapping[str, Any]
    phase: Phase = Phase.PLAN
    plan: Plan | None = None
    steps: tuple[Step, ...] = ()

    def done(self, tool: str) -> bool:
        """Whether the tool has been called with success."""
        return any(step.action.tool == tool and step.ok for step in self.steps)


class Model(Protocol):
    """Whatever decides what to do next: an engine of ours, or a language model."""

    def plan(self, work: Work) -> Plan: ...

    def choose(self, work: Work) -> Action | None:
        """The next action; None when there is nothing left but to verify.

        Raises NothingLeftToTry when the work cannot succeed.
        """


class Tools(Protocol):
    """Whatever carries actions out."""

    def perform(self, action: Action, work: Work) -> Step: ...


VERIFY = Action("verify_pull_request")


def take_step(work: Work, *, model: Model, tools: Tools) -> Work:
    """Advance `work` by one phase or one action; returns what is known afterwards.

    What the model can put right comes back as a step with ok=False. What it cannot (no forge, no
    store, nothing left to try) is raised by `model` or `tools`.
    """
    match work.phase:
        case Phase.PLAN:
            return replace(work, plan=model.plan(work), phase=Phase.ACT)
        case Phase.ACT:
            action = model.choose(work)
            if action is None:
                return replace(work, phase=Phase.VERIFY)
            return replace(work, steps=(*work.steps, tools.perform(action, work)))
        case Phase.VERIFY:
            # The model's word is not evidence: only what stands on the forge can finish the work.
            step = tools.perform(VERIFY, work)
            return replace(
                work, steps=(*work.steps, step), phase=Phase.DONE if step.ok else Phase.ACT
            )
        case Phase.DONE:
            raise ValueError("finished work takes no further steps")

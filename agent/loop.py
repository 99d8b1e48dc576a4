"""Plan, act, verify: the state machine of one task, without knowing where anything is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

# A model that has not understood a tool's contract after so many tries in a row will not.
REFUSALS_IN_A_ROW = 3
# The same call with the same answer, so many times in a row, leads nowhere.
SAME_IN_A_ROW = 3


class Phase(StrEnum):
    """How far a task has come."""

    PLAN = "plan"
    ACT = "act"
    VERIFY = "verify"
    DONE = "done"


class Stuck(Exception):
    """The model goes round in circles; the message says in which."""


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
    """An action with what came back.

    outputs: name -> sha256 of what it left behind. result: as the tool's contract describes it.
    refused: the tool never ran, because the action does not keep to its contract.
    """

    action: Action
    observation: str
    ok: bool = True
    outputs: Mapping[str, str] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    refused: bool = False


@dataclass(frozen=True)
class Work:
    """Everything known about a task. Replaced, never edited, so each state can be stored.

    messages: what people said to it since it was filed, oldest first.
    """

    goal: str
    constraints: Mapping[str, Any]
    phase: Phase = Phase.PLAN
    plan: Plan | None = None
    steps: tuple[Step, ...] = ()
    messages: tuple[str, ...] = ()

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
    store, nothing left to try) is raised by `model` or `tools`. Raises Stuck.
    """
    match work.phase:
        case Phase.PLAN:
            return replace(work, plan=model.plan(work), phase=Phase.ACT)
        case Phase.ACT:
            _require_progress(work.steps)
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


def _require_progress(steps: tuple[Step, ...]) -> None:
    refused = steps[-REFUSALS_IN_A_ROW:]
    if len(refused) == REFUSALS_IN_A_ROW and all(step.refused for step in refused):
        raise Stuck(f"{REFUSALS_IN_A_ROW} calls in a row were refused: {refused[-1].observation}")
    same = steps[-SAME_IN_A_ROW:]
    if len(same) == SAME_IN_A_ROW and all(
        (step.action, step.observation, step.outputs)
        == (same[0].action, same[0].observation, same[0].outputs)
        for step in same
    ):
        raise Stuck(f"{same[0].action.tool} gave the same answer {SAME_IN_A_ROW} times in a row")

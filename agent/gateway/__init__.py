"""The one door to language models: nothing reaches one, and nothing of one comes in, by another."""

from agent.errors import ModelUnavailable
from agent.gateway.asking import KEY_PURPOSE, Answer, Asker, Question, ask, is_offered
from agent.gateway.guard import Material, plain

__all__ = [
    "KEY_PURPOSE",
    "Answer",
    "Asker",
    "Material",
    "ModelUnavailable",
    "Question",
    "ask",
    "is_offered",
    "plain",
]

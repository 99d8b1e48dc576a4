"""The rows that the agent's floor keeps, all of them walled by tenant."""

from agent.models.answers import ChangeReport, Fix, Recommendation
from agent.models.catalogue import CatalogueEntry, CatalogueRefresh, CatalogueSource
from agent.models.gateway import (
    BriefReading,
    ModelAnswer,
    ModelCall,
    ModelProvider,
    ModelRules,
    OfferedModel,
)
from agent.models.indexes import CodeIndex, CodePiece, Passage
from agent.models.proposals import Bypass, Proposal, Review
from agent.models.repositories import Repository
from agent.models.tasks import Action, Artifact, Draft, FlakyTest, Message, Plan, PlanRule, Task

__all__ = [
    "Action",
    "Artifact",
    "BriefReading",
    "Bypass",
    "CatalogueEntry",
    "CatalogueRefresh",
    "CatalogueSource",
    "ChangeReport",
    "CodeIndex",
    "CodePiece",
    "Draft",
    "Fix",
    "FlakyTest",
    "Message",
    "ModelAnswer",
    "ModelCall",
    "ModelProvider",
    "ModelRules",
    "OfferedModel",
    "Passage",
    "Plan",
    "PlanRule",
    "Proposal",
    "Recommendation",
    "Repository",
    "Review",
    "Task",
]

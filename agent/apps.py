"""Names the agent app to Django."""

from django.apps import AppConfig


class AgentConfig(AppConfig):
    """Tasks with everything they lead to."""

    name = "agent"

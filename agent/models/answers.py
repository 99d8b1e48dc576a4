"""What tasks end with: a recommendation, a repair, another change."""

from django.db import models

from agent.models.tasks import Task
from tenants.models import TenantScoped


class Recommendation(TenantScoped):
    """The answer to a recommendation task: ranked options per layer with figures and reasons."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="recommendation")
    catalogue_digest = models.CharField(max_length=64)
    result = models.JSONField()  # agent.recommender.score()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        pass


class Fix(TenantScoped):
    """The answer to a bugfix task: what was wrong, what was changed, the proof that it helps."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="fix")
    # agent.tools.proving: what was wrong, why this change, alternatives, what tests cannot tell
    explanation = models.JSONField()
    proof = models.JSONField()  # agent.proof: red, green, suite, reverted, with digests
    proof_sha256 = models.CharField(max_length=64)
    confidence = models.FloatField()  # 0 to 1
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        pass


class ChangeReport(TenantScoped):
    """The answer to an upgrade or a refactoring: what was changed, what the tests say of it."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="change_report")
    report = models.JSONField()  # agent.changes
    report_sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantScoped.Meta):
        pass

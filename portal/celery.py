"""The Celery application: jobs of the floors below, run for the tenant that queued them."""

import os

from celery import Celery

# Imported, not named by a string: this also connects what stamps the tenant on every message.
from tenants.jobs import TenantJob

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("countersign", task_cls=TenantJob)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["evidence", "authz", "agent"], related_name="jobs")
# The queue `evidence` is served by the one worker that holds signing keys.
app.conf.task_routes = {
    # The one job of the ledger that goes outside, so not where the keys are.
    "evidence.jobs.cosign": {"queue": "agent"},
    "evidence.jobs.*": {"queue": "evidence"},
    "authz.jobs.*": {"queue": "evidence"},
    "agent.jobs.build_pack": {"queue": "evidence"},
    "agent.jobs.sign_record": {"queue": "evidence"},
    # Reads for minutes where the log is long, which would keep an agent from its work.
    "agent.jobs.check_log": {"queue": "evidence"},
    # Nobody waits for an index, and there may be hundreds: whatever else is asked for goes first.
    # 0 is the first to be taken, 9 the last; kombu keeps a list for each.
    "agent.jobs.index_code": {"queue": "agent", "priority": 9},
    "agent.jobs.index_repository": {"queue": "agent", "priority": 9},
    "agent.jobs.refresh_source": {"queue": "agent", "priority": 9},
}

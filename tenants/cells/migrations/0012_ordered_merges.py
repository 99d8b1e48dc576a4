"""A merge that was ordered and not carried out is unfinished work."""

from django.db import migrations

from tenants.cells.finding import tenants_where

WORK = {
    "unsealed": "EXISTS (SELECT 1 FROM %1$I.evidence_stagedentry)",
    "stalled": "EXISTS (SELECT 1 FROM %1$I.agent_task WHERE state IN ('queued', 'in_progress')"
    " AND touched_at < now() - interval '20 seconds')"
    " OR EXISTS (SELECT 1 FROM %1$I.evidence_pack WHERE state IN ('queued', 'building')"
    " AND created_at < now() - interval '20 seconds')"
    " OR EXISTS (SELECT 1 FROM %1$I.agent_proposal"
    " WHERE state NOT IN ('open', 'withdrawn') AND NOT review_sent"
    " OR state = 'countersigned' AND merge_ordered_at IS NOT NULL"
    " OR state = 'withdrawn' AND NOT branch_gone)",
    "untidy": "EXISTS (SELECT 1 FROM %1$I.tenants_session WHERE expire_date < now())"
    " OR EXISTS (SELECT 1 FROM %1$I.tenants_replay WHERE expires_at < now())"
    " OR EXISTS (SELECT 1 FROM %1$I.authz_emergency"
    " WHERE state = 'approved' AND expires_at < now()"
    " OR state = 'requested' AND requested_at < now() - interval '24 hours')",
}


class Migration(migrations.Migration):
    dependencies = [("cells", "0011_files_over")]
    operations = [tenants_where("tenants_with_work", WORK)]

"""Which tenants have a file on offer whose time is over."""

from django.db import migrations

from tenants.cells.finding import tenants_where

WORK = {
    "intents": "EXISTS (SELECT 1 FROM %1$I.evidence_openintent)",
    "expired": "EXISTS (SELECT 1 FROM %1$I.evidence_entry"
    " WHERE recorded_at < now() - interval '90 days')"
    " OR EXISTS (SELECT 1 FROM %1$I.evidence_decisionrecord"
    " WHERE at < now() - interval '90 days')",
    "files": "EXISTS (SELECT 1 FROM %1$I.evidence_pack"
    " WHERE state = 'ready' AND deleted_at IS NULL AND expires_at < now())",
}


class Migration(migrations.Migration):
    dependencies = [("cells", "0010_undone_work")]
    operations = [tenants_where("tenants_with_evidence_work", WORK)]

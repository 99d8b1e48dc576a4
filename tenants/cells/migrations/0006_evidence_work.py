"""Which tenants have work of the ledger's own waiting."""

from django.db import migrations

from tenants.cells.finding import tenants_where

WORK = {
    "intents": "EXISTS (SELECT 1 FROM %1$I.evidence_openintent)",
    "expired": "EXISTS (SELECT 1 FROM %1$I.evidence_entry"
    " WHERE recorded_at < now() - interval '90 days')"
    " OR EXISTS (SELECT 1 FROM %1$I.evidence_decisionrecord"
    " WHERE at < now() - interval '90 days')",
}


class Migration(migrations.Migration):
    dependencies = [("cells", "0005_residence")]
    operations = [tenants_where("tenants_with_evidence_work", WORK)]

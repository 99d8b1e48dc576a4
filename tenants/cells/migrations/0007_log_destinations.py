"""Which tenants have their ledger copied somewhere."""

from django.db import migrations

from tenants.cells.finding import EVERY_TENANT, tenants_where

SENT = "EXISTS (SELECT 1 FROM %1$I.authz_logdestination)"
ACTIVE = f"{EVERY_TENANT} WHERE t.suspended_at IS NULL"


class Migration(migrations.Migration):
    dependencies = [("cells", "0006_evidence_work")]
    operations = [tenants_where("tenants_with_log_destinations", SENT, among=ACTIVE)]

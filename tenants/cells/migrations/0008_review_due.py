"""Which tenants have to look at everybody's access again."""

from django.db import migrations

from tenants.cells.finding import tenants_where

DUE = (
    "NOT EXISTS (SELECT 1 FROM %1$I.authz_accessreview WHERE state <> 'closed')"
    " AND coalesce((SELECT max(started_at) FROM %1$I.authz_accessreview),"
    " (SELECT min(created_at) FROM %1$I.authz_grant)) < now() - interval '91 days'"
)


class Migration(migrations.Migration):
    dependencies = [("cells", "0007_log_destinations")]
    operations = [tenants_where("tenants_with_review_due", DUE)]

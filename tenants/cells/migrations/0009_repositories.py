"""Which tenants have repositories, whose branches somebody may have pushed to."""

from django.db import migrations

from tenants.cells.finding import tenants_where

ANY = "EXISTS (SELECT 1 FROM %1$I.agent_repository)"


class Migration(migrations.Migration):
    dependencies = [("cells", "0008_review_due")]
    operations = [tenants_where("tenants_with_repositories", ANY)]

"""One-to-one columns are unique inside a tenant, no longer over all tenants."""

from django.db import migrations


def wall(apps, schema_editor):
    for name in ("Draft", "Plan", "Proposal", "Recommendation"):
        schema_editor.wall_unique_columns(apps.get_model("agent", name))


class Migration(migrations.Migration):
    dependencies = [("agent", "0001_initial")]
    operations = [migrations.RunPython(wall, migrations.RunPython.noop)]

"""One-to-one columns are unique inside a tenant, no longer over all tenants."""

from django.db import migrations


def wall(apps, schema_editor):
    for name in ("Membership", "DirectoryPerson"):
        schema_editor.wall_unique_columns(apps.get_model("tenants", name))


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_identity")]
    operations = [migrations.RunPython(wall, migrations.RunPython.noop)]

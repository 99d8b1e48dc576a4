"""People of the directory are found by every address and by their display name."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_walled_unique")]

    operations = [
        migrations.RemoveIndex("directoryperson", "tenants_dirperson_external"),
        migrations.RemoveIndex("directoryperson", "tenants_dirperson_email"),
        migrations.RemoveField("directoryperson", "email_key"),
        migrations.AddField(
            "directoryperson", "email_keys", models.JSONField(default=list)
        ),
        migrations.RenameField("directoryperson", "display_name", "display_name_key"),
        migrations.AddIndex(
            "directoryperson",
            models.Index(
                fields=["tenant", "display_name_key"], name="tenants_dirperson_display"
            ),
        ),
        migrations.AddConstraint(
            "directoryperson",
            models.UniqueConstraint(
                condition=models.Q(("external_id", ""), _negated=True),
                fields=("tenant", "external_id"),
                name="tenants_dirperson_external",
            ),
        ),
    ]

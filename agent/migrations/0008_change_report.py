"""Upgrades and refactorings: what was changed and what the tests say of it."""

import django.db.models.deletion
import tenants.models
import tenants.scope
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agent', '0007_language_models'),
        ('cells', '0009_repositories'),
    ]

    operations = [
        migrations.AlterField(
            model_name='task',
            name='kind',
            field=models.CharField(choices=[('recommendation', 'Recommendation'), ('bugfix', 'Bugfix'), ('upgrade', 'Upgrade'), ('refactoring', 'Refactoring')], max_length=20),
        ),
        migrations.CreateModel(
            name='ChangeReport',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
                ('report', models.JSONField()),
                ('report_sha256', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('task', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='change_report', to='agent.task')),
            ],
            options={
                'abstract': False,
                'constraints': [models.UniqueConstraint(fields=('tenant', 'id'), name='agent_changereport_wall')],
            },
        ),
    ]

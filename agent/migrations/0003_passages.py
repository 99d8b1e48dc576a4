"""Passages of documents, to be searched by words and by meaning."""

import agent.vectors
import django.contrib.postgres.search
import django.db.models.deletion
import tenants.models
import tenants.scope
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agent', '0002_walled_unique'),
        ('cells', '0006_evidence_work'),
    ]

    operations = [
        migrations.CreateModel(
            name='Passage',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
                ('path', models.CharField(max_length=500)),
                ('content_sha256', models.CharField(max_length=64)),
                ('kind', models.CharField(choices=[('adr', 'Adr'), ('document', 'Document'), ('code', 'Code')], max_length=8)),
                ('status', models.CharField(blank=True, max_length=20)),
                ('document', models.CharField(max_length=300)),
                ('title', models.CharField(max_length=300)),
                ('line', models.PositiveIntegerField()),
                ('text', models.TextField()),
                ('vector', agent.vectors.VectorField(dimensions=384)),
                ('words', models.GeneratedField(db_persist=True, expression=django.contrib.postgres.search.SearchVector('title', 'text', config='english'), output_field=agent.vectors.WordsField())),
                ('repository', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='passages', to='agent.repository')),
            ],
            options={
                'ordering': ['path', 'line'],
                'abstract': False,
                'indexes': [models.Index(fields=['tenant', 'repository', 'path'], name='agent_passage_place')],
                'constraints': [models.UniqueConstraint(fields=('tenant', 'id'), name='agent_passage_wall')],
            },
        ),
        # Vectors in the row itself: fetched from beside it, a search of 5,000 takes ten times as long.
        migrations.RunSQL(
            "ALTER TABLE agent_passage ALTER COLUMN vector SET STORAGE PLAIN",
            migrations.RunSQL.noop,
        ),
    ]

"""The code of repositories, to be searched by name, by words and by meaning."""

import agent.vectors
import django.contrib.postgres.search
import django.db.models.deletion
import django.utils.timezone
import tenants.models
import tenants.scope
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agent', '0005_bugfix'),
        ('cells', '0008_review_due'),
    ]

    operations = [
        migrations.CreateModel(
            name='CodeIndex',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
                ('state', models.CharField(choices=[('reading', 'Reading'), ('ready', 'Ready'), ('failed', 'Failed')], default='reading', max_length=7)),
                ('commit', models.CharField(blank=True, max_length=64)),
                ('target', models.CharField(max_length=64)),
                ('files', models.PositiveIntegerField(default=0)),
                ('files_done', models.PositiveIntegerField(default=0)),
                ('pieces', models.PositiveIntegerField(default=0)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(null=True)),
                ('repository', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='code_index', to='agent.repository')),
            ],
            options={
                'abstract': False,
                'constraints': [models.UniqueConstraint(fields=('tenant', 'id'), name='agent_codeindex_wall')],
            },
        ),
        migrations.CreateModel(
            name='CodePiece',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
                ('path', models.CharField(max_length=500)),
                ('content_sha256', models.CharField(max_length=64)),
                ('kind', models.CharField(choices=[('file', 'File'), ('class', 'Class'), ('function', 'Function'), ('method', 'Method'), ('part', 'Part')], max_length=8)),
                ('name', models.CharField(max_length=500)),
                ('symbol', models.CharField(max_length=200)),
                ('line', models.PositiveIntegerField()),
                ('end_line', models.PositiveIntegerField()),
                ('text', models.TextField()),
                ('terms', models.TextField()),
                ('meant_sha256', models.CharField(max_length=64)),
                ('vector', agent.vectors.VectorField(dimensions=384)),
                ('words', models.GeneratedField(db_persist=True, expression=django.contrib.postgres.search.SearchVector('terms', config='simple'), output_field=agent.vectors.WordsField())),
                ('repository', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='code', to='agent.repository')),
            ],
            options={
                'ordering': ['path', 'line'],
                'abstract': False,
                'indexes': [models.Index(fields=['tenant', 'repository', 'path'], name='agent_codepiece_place'), models.Index(fields=['tenant', 'repository', 'symbol'], name='agent_codepiece_name')],
                'constraints': [models.UniqueConstraint(fields=('tenant', 'id'), name='agent_codepiece_wall')],
            },
        ),
        # Vectors in the row itself: fetched from beside it, a search takes many times as long.
        migrations.RunSQL(
            "ALTER TABLE agent_codepiece ALTER COLUMN vector SET STORAGE PLAIN",
            migrations.RunSQL.noop,
        ),
    ]

"""Teams and shares; tuples, which authz.installing makes from the rows that are there."""

import django.db.models.deletion
import tenants.models
import tenants.scope
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('authz', '0004_policies'),
        ('agent', '0002_walled_unique'),
        ('cells', '0005_residence'),
        ('evidence', '0001_initial'),
        ('tenants', '0004_directory_search'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Team',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('slug', models.SlugField(max_length=60)),
                ('name', models.CharField(max_length=200)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
            ],
            options={
                'ordering': ['name'],
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Share',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('object_type', models.CharField(choices=[('project', 'Project'), ('task', 'Task')], max_length=20)),
                ('object_id', models.UUIDField()),
                ('shared_by', models.CharField(max_length=200)),
                ('expires_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='shares', to='authz.team')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='TeamMember',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('nested', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='authz.team')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='members', to='authz.team')),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Tuple',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('object_type', models.CharField(db_collation='C', max_length=20)),
                ('object_id', models.UUIDField()),
                ('relation', models.CharField(db_collation='C', max_length=20)),
                ('subject_type', models.CharField(db_collation='C', max_length=20)),
                ('subject_id', models.UUIDField()),
                ('subject_relation', models.CharField(blank=True, db_collation='C', max_length=20)),
                ('source_id', models.UUIDField()),
                ('expires_at', models.DateTimeField(null=True)),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='TupleLog',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('object_type', models.CharField(db_collation='C', max_length=20)),
                ('object_id', models.UUIDField()),
                ('relation', models.CharField(db_collation='C', max_length=20)),
                ('subject_type', models.CharField(db_collation='C', max_length=20)),
                ('subject_id', models.UUIDField()),
                ('subject_relation', models.CharField(blank=True, db_collation='C', max_length=20)),
                ('source_id', models.UUIDField()),
                ('expires_at', models.DateTimeField(null=True)),
                ('revision', models.BigIntegerField()),
                ('place', models.IntegerField()),
                ('added', models.BooleanField()),
                ('at', models.DateTimeField()),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Revision',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('number', models.BigIntegerField()),
                ('tenant', models.ForeignKey(db_default=tenants.models.BoundTenant(), default=tenants.scope.pinned_tenant_id, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='cells.tenant')),
            ],
            options={
                'abstract': False,
                'constraints': [models.UniqueConstraint(fields=('tenant', 'id'), name='authz_revision_wall'), models.UniqueConstraint(fields=('tenant',), name='authz_revision_one')],
            },
        ),
        migrations.AddConstraint(
            model_name='team',
            constraint=models.UniqueConstraint(fields=('tenant', 'id'), name='authz_team_wall'),
        ),
        migrations.AddConstraint(
            model_name='team',
            constraint=models.UniqueConstraint(fields=('tenant', 'slug'), name='authz_team_slug'),
        ),
        migrations.AddConstraint(
            model_name='share',
            constraint=models.UniqueConstraint(fields=('tenant', 'id'), name='authz_share_wall'),
        ),
        migrations.AddConstraint(
            model_name='share',
            constraint=models.CheckConstraint(condition=models.Q(('user', None), ('team', None), _connector='XOR'), name='authz_share_either'),
        ),
        migrations.AddConstraint(
            model_name='share',
            constraint=models.UniqueConstraint(fields=('tenant', 'object_type', 'object_id', 'user', 'team'), name='authz_share_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='teammember',
            constraint=models.UniqueConstraint(fields=('tenant', 'id'), name='authz_teammember_wall'),
        ),
        migrations.AddConstraint(
            model_name='teammember',
            constraint=models.CheckConstraint(condition=models.Q(('user', None), ('nested', None), _connector='XOR'), name='authz_teammember_either'),
        ),
        migrations.AddConstraint(
            model_name='teammember',
            constraint=models.UniqueConstraint(fields=('tenant', 'team', 'user', 'nested'), name='authz_teammember_once', nulls_distinct=False),
        ),
        migrations.AddIndex(
            model_name='tuple',
            index=models.Index(fields=['tenant', 'subject_id', 'object_type', 'relation', 'subject_type', 'subject_relation'], include=('object_id', 'expires_at'), name='authz_tuple_reverse'),
        ),
        migrations.AddConstraint(
            model_name='tuple',
            constraint=models.UniqueConstraint(fields=('tenant', 'object_id', 'object_type', 'relation', 'subject_id', 'subject_type', 'subject_relation', 'source_id'), include=('expires_at',), name='authz_tuple_forward'),
        ),
        migrations.AddConstraint(
            model_name='tuplelog',
            constraint=models.UniqueConstraint(fields=('tenant', 'revision', 'place'), name='authz_tuplelog_place'),
        ),
    ]

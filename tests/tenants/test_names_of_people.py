"""Where names of people are kept: each column is accounted for, and what shall be erased is."""

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection, models

from agent import erasure
from agent.models import Plan, Task
from authz import people
from evidence import ledger
from evidence.models import Pack
from tenants.actor import system_actor
from tenants.models import User
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.attack.two_companies import stocked

NAME, ADDRESS = "Nora Quist-Alvarez", "nora.quist@acme.example"
TEXT = (models.CharField, models.TextField, models.JSONField, models.BinaryField)

# The person's own rows, which go with the person.
GO_WITH_THE_PERSON = {
    "agent.BriefReading": "text readings model reason",
    "agent.Draft": "fields",
    "authz.ApiToken": "name digest hint scopes made_by",
    "tenants.DirectoryPerson": "user_name user_name_key external_id display_name_key email_keys"
    " resource",
    "tenants.DirectoryRequest": "path problem",
    "tenants.Identity": "issuer subject groups",
    "tenants.IdentityProvider": "tested_claims",
    "tenants.Session": "session_key session_data way provider_session device",
    "tenants.User": "name email password",
}
# Names stay in leaves, or no proof would hold; facts that name the person go. Of decisions the
# names are ids.
LOG = {
    "evidence.DecisionRecord": "actor_id body object_id",
    "evidence.Entry": "leaf actor_id actor_name object_id",
    "evidence.Payload": "body",
    "evidence.StagedEntry": "leaf payload",
}
# What people wrote or repositories and signed records hold; docs/operating.md says that it stays.
WRITTEN = {
    "agent.Action": "params observation outputs result reserved",
    "agent.Artifact": "name",
    "agent.Bypass": "commits",
    "agent.CatalogueEntry": "content",
    "agent.CatalogueRefresh": "document difference affected",
    "agent.ChangeReport": "report",
    "agent.CodePiece": "path name symbol text terms",
    "agent.Fix": "explanation proof",
    "agent.FlakyTest": "test",
    "agent.Message": "text",
    "agent.ModelAnswer": "text",
    "agent.ModelCall": "said",
    "agent.Passage": "path status document title text",
    "agent.Plan": "steps tools approvals compliance_targets waits_because",
    "agent.Proposal": "title body risk_reasons checks",
    "agent.Recommendation": "result",
    "agent.Review": "comment",
    "agent.Task": "goal constraints raised_for phase",
    "authz.AccessReview": "note",
    "authz.AccessReviewItem": "reason what holder",
    "authz.Emergency": "reason",
    "authz.PolicyVersion": "text note",
    "authz.Team": "name slug",
    "evidence.ControlDocument": "title note filename reason",
    "evidence.OwnFramework": "title version groups rules",
    "evidence.Pack": "title nonce problem",
    "tenants.Project": "name slug",
    "tenants.DirectoryGroup": "display_name display_name_key external_id resource",
}
# Ids, digests, states, keys, addresses of machines, names of things.
NO_NAMES = {
    "agent.CatalogueEntry": "technology attribute",
    "agent.Bypass": "before_sha after_sha",
    "agent.CatalogueSource": "connector address said canary",
    "agent.CatalogueRefresh": "connector base_digest digest requester_id",
    "agent.Action": "tool",
    "agent.Artifact": "sha256",
    "agent.ChangeReport": "report_sha256",
    "agent.CodeIndex": "commit target reason",
    "agent.CodePiece": "content_sha256 meant_sha256 vector",
    "agent.Fix": "proof_sha256",
    "agent.ModelAnswer": "question_sha256 model",
    "agent.ModelCall": "provider model question_sha256 answer_sha256",
    "agent.ModelProvider": "name address key trusted problem test_said",
    "agent.ModelRules": "regions",
    "agent.OfferedModel": "name price_source",
    "agent.Passage": "content_sha256 vector",
    "agent.Plan": "digest",
    "agent.Proposal": "branch base_branch base_sha head_sha diff_sha256 url digest merge_refused"
    " merge_sha merge_signed_in",
    "agent.Recommendation": "catalogue_digest",
    "agent.Repository": "name default_branch watched_sha",
    "agent.Review": "digest",
    "agent.Task": "branch base_sha budgets",
    "authz.AccessReview": "started_by revision closed_by",
    "authz.AccessReviewItem": "role answered_by",
    "authz.Emergency": "requester_id",
    "authz.Grant": "source",
    "authz.GroupRole": "group",
    "authz.LogDestination": "name address secret trusted problem",
    "authz.OutsideEngine": "store token",
    "authz.PolicyVersion": "digest requester_id decided_by",
    "authz.Tuple": "object_type relation subject_type subject_relation",
    "authz.TupleLog": "object_type relation subject_type subject_relation",
    "evidence.Checkpoint": "root note",
    "evidence.ControlDocument": "controls sha256 requester_id decided_by",
    "evidence.Cosignature": "witness line",
    "evidence.DecisionRecord": "writer actor_type door action object_type outcome policy_digest"
    " relation_path revision trace predicate",
    "evidence.DecisionStream": "writer head",
    "evidence.Entry": "leaf_hash action outcome actor_type object_type run door",
    "evidence.LogCheck": "requested_by root problem",
    "evidence.LogHead": "frontier",
    "evidence.LogKey": "origin vkey",
    "evidence.OpenIntent": "action object_type object_id run trace",
    "evidence.OwnFramework": "framework_id sha256",
    "evidence.Pack": "object_type object_id requested_by sha256 run framework timestamp"
    " timestamped_by timestamp_problem",
    "evidence.Payload": "salt",
    "evidence.SignedRecord": "object_id head_sha files manifest_sha256 fingerprint",
    "evidence.StagedEntry": "salt",
    "evidence.SubtreeRoot": "root",
    "tenants.DirectoryClient": "name token_digest token_hint secret_digest",
    "tenants.DirectoryRequest": "method",
    "tenants.IdentityProvider": "name discovery_url client_id client_secret scopes entity_id"
    " sso_url slo_url certificates signing_key signing_certificate email_claim name_claim"
    " groups_claim directory_claim first_role tested_digest",
    "tenants.Invitation": "digest",
    "tenants.Membership": "source",
    "tenants.Replay": "kind digest",
}


def tables():
    return [
        model
        for label in settings.TENANT_APPS
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    ]


def text_columns():
    """Every column that could hold a name: texts that are not one of a few words, JSON, bytes."""
    return {
        f"{model._meta.label}.{field.attname}"
        for model in tables()
        for field in model._meta.concrete_fields
        if isinstance(getattr(field, "output_field", field), TEXT) and not field.choices
    }


def listed(told):
    return {f"{label}.{name}" for label, names in told.items() for name in names.split()}


def erased():
    beside = {f"{label}.{name}" for label, names in erasure.NAMES_BESIDE.items() for name in names}
    return beside | {f"{label}.{column}" for label, column in erasure.NAMES_WITHIN}


def test_whoever_adds_a_column_says_whether_it_holds_names_of_people():
    accounted = [erased(), *map(listed, (GO_WITH_THE_PERSON, LOG, WRITTEN, NO_NAMES))]

    undecided = text_columns() - set().union(*accounted)
    stale = set().union(*accounted) - text_columns()

    assert undecided == set(), (
        "put it into NAMES_BESIDE of agent/erasure.py, or say here why it needs not be erased"
    )
    assert stale == set()
    assert sum(map(len, accounted)) == len(set().union(*accounted)), "listed twice"


@pytest.fixture
def acme(open_company):
    """A company with one of everything, where Nora has had a hand in all of it, and has left."""
    acme = stocked(open_company("acme"), "zanzibar", 1).company
    nora = acme.people["nora"]
    with tenant_scope(acme.scope):
        User.objects.filter(pk=nora.pk).update(name=NAME, email=ADDRESS)
        nora.refresh_from_db()
        task = Task.objects.first()
        Plan.objects.create(task=task, digest="0" * 64)
        for label, columns in erasure.NAMES_BESIDE.items():
            rows = apps.get_model(label)._default_manager.all()
            assert rows.exists(), f"the test needs a row of {label}"
            for column, of in columns.items():
                rows.update(**{column: ADDRESS if column.endswith("email") else NAME})
                if of:
                    field = rows.model._meta.get_field(of)
                    rows.update(**{of: nora if field.is_relation else str(nora.pk)})
        for label, column in erasure.NAMES_WITHIN:
            rows = apps.get_model(label)._default_manager.all()
            rows.update(**{column: f"{NAME} did it, and Lin saw it"})
        ledger.record(
            "test.note", by=nora.actor("page"), on=task, facts={"told": NAME, "at": ADDRESS}
        )
        people.remove(nora, by=acme.people["tomas"].actor("page", signed_in=JUST_NOW))
    return acme


def where(word):
    """Columns of the pinned tenant in which a word stands somewhere."""
    found = set()
    with connection.cursor() as cursor:
        for model in tables():
            for field in model._meta.concrete_fields:
                name = f"{model._meta.label}.{field.attname}"
                if name not in text_columns():
                    continue
                binary = isinstance(field, models.BinaryField)
                text = f"encode(\"{field.column}\", 'escape')" if binary else f'"{field.column}"'
                cursor.execute(
                    f'SELECT 1 FROM "{model._meta.db_table}"'
                    f" WHERE strpos(lower(({text})::text), lower(%s)) > 0 LIMIT 1",
                    [word],
                )
                if cursor.fetchone():
                    found.add(name)
    return found


def test_no_name_is_left_where_it_is_said_to_go(acme):
    nora = acme.people["nora"]
    with tenant_scope(acme.scope):
        before = where(NAME) | where(ADDRESS)
        said = erasure.erase_person(nora, by=system_actor("test", "cli"))
        after = where(NAME) | where(ADDRESS)
        task = Task.objects.first()
        pack = Pack.objects.first()

    assert before >= erased(), "the test would prove nothing of what never held the name"
    assert after <= listed(LOG), "names are left outside of the log"
    assert said["names_beside"] >= len(erasure.NAMES_BESIDE)
    assert task.reason == "Erased person did it, and Lin saw it"
    assert pack.requested_by_name == "Erased person"


def test_names_of_others_stay(acme):
    with tenant_scope(acme.scope):
        pack, review = Pack.objects.order_by("pk").first(), "authz.AccessReview"
        Pack.objects.filter(pk=pack.pk).update(requested_by="somebody", requested_by_name=NAME)
        apps.get_model(review)._default_manager.update(closed_by="", closed_by_name="Lin")
        erasure.erase_person(acme.people["nora"], by=system_actor("test", "cli"))
        pack.refresh_from_db()

        # A namesake's, who is told apart by their id.
        assert pack.requested_by_name == NAME
        assert apps.get_model(review)._default_manager.get().closed_by_name == "Lin"

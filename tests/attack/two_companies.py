"""Two companies that have one of everything, and the ids of what one of them has."""

import secrets
from dataclasses import dataclass, field
from uuid import uuid4

from django.conf import settings
from django.test import Client

from agent import (
    catalogue_sources,
    control_documents,
    log_check,
    model_setup,
    own_catalogue,
    own_frameworks,
)
from agent.digests import proposal_digest
from agent.models import BriefReading, Bypass, CatalogueRefresh, FlakyTest, Recommendation, Task
from agent.places import artifact_store
from authz import (
    access_reviews,
    decisions,
    directory,
    emergency,
    groups,
    invitations,
    log_export,
    people,
    policy_versions,
    providers,
    provisioning,
    teams,
    tokens,
)
from authz.certificates import new_key_pair
from authz.errors import Denied
from authz.permissions import Permission
from authz.roles import Role
from evidence.models import Checkpoint, Entry
from tenants.actor import directory_actor, system_actor
from tenants.models import Membership, Session, User
from tenants.scope import tenant_scope
from tests.at_browser import JUST_NOW
from tests.evidence.small_catalogue import small_catalogue
from tests.portal.standing import (
    export_of,
    pack_of,
    proposal_of,
    record_of,
    repository_in,
    sealed,
    task_of,
)

DIFF = b"""diff --git a/docs/adr/one.md b/docs/adr/one.md
new file mode 100644
--- /dev/null
+++ b/docs/adr/one.md
@@ -0,0 +1 @@
+# One
"""


@dataclass
class Stocked:
    """A company with one of everything. ids: what recipes call by name, as text."""

    company: object
    word: str  # stands in the name of everything that has one, and nowhere at anybody else's
    ids: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)  # person -> session cookie

    @property
    def host(self) -> str:
        return self.company.host

    @property
    def scope(self) -> object:
        return self.company.scope


def stocked(company, word: str, entries: int) -> Stocked:
    """Fill a company. entries: how many there shall be in its sealed log, at least."""
    made = Stocked(company, word)
    with tenant_scope(company.scope):
        nora = User.objects.create(email=f"nora@{company.slug}.example", name="Nora")
        Membership.objects.create(user=nora, source="test")
    company.people["nora"] = nora  # a member who was given nothing yet
    for person in ("tomas", "ada", "bo", "iris", "nora"):
        client = Client(headers={"host": company.host})
        with tenant_scope(company.scope):
            client.force_login(company.people[person])
        made.cookies[person] = client.cookies[settings.SESSION_COOKIE_NAME].value
    with tenant_scope(company.scope):
        _fill(made, entries)
    return made


def _fill(made: Stocked, entries: int) -> None:
    company, word, ids = made.company, made.word, made.ids
    tomas, bo, project = company.people["tomas"], company.people["bo"], company.project
    by = tomas.actor("page", signed_in=JUST_NOW)
    asked_for = {"title": f"{word} portal"}

    repository = repository_in(project, word)
    second = people.create_project(
        word, word, tenant=people.AsTenant(company.scope.tenant_id), by=system_actor("test", "cli")
    )
    failed = task_of(bo, project, Task.State.FAILED, goal=f"{word} 1", constraints=asked_for)
    running = task_of(bo, project, Task.State.IN_PROGRESS, goal=f"{word} 2", constraints=asked_for)
    flaky = FlakyTest.objects.create(
        repository=repository, test=f"tests/test_{word}.py::test_it", seen_by=failed
    )
    proposal = proposal_of(bo, project, title=f"{word} proposal", body=f"{word} body")
    proposal.diff_sha256 = artifact_store().put(company.scope.tenant_id, DIFF).sha256
    proposal.digest = proposal_digest(proposal)
    proposal.save()
    Recommendation.objects.update(result={"layers": []})
    pack = pack_of(proposal)
    old_pack = pack_of(proposal, over=True)
    export = export_of(word.encode())
    record_of(proposal, word.encode())
    Bypass.objects.create(
        repository=proposal.repository,
        proposal=proposal,
        before_sha="a" * 40,
        after_sha="c" * 40,
        commits=[{"sha": "c" * 40, "at": "", "by": f"{word} author", "said": f"{word} by hand"}],
        commit_count=2,
        rewritten=True,
    )
    service = tokens.add_service(word, [Role.DEVELOPER], project=project, by=by)
    token, secret = tokens.create_token(
        tomas, word, [Permission.TASK_VIEW, Permission.LEDGER_VIEW], days=9, by=by
    )
    copy = log_export.add(log_export.Said("syslog", word, f"{word}.invalid:6514"), by=by)
    models = model_setup.add_provider(
        {
            "name": word,
            "protocol": "compatible",
            "address": f"https://{word}.invalid/v1",
            "key": word,
            "region": "own",
        },
        by=by,
    )
    offered = model_setup.put_model(
        models,
        {
            "name": word,
            "size": "small",
            "usd_in": "1",
            "usd_out": "1",
            "price_on": "2026-11-23",
            "price_source": word,
        },
        by=by,
    )
    brief = BriefReading.objects.create(user=tomas, repository=repository, text=word)
    technology = own_catalogue.add_technology(
        {
            "id": f"{word}-queue-of-the-house",
            "name": f"{word} queue",
            "layers": ["cache-queue"],
            "kind": "server",
            "source": word,
        },
        by=by,
    )
    refresh = CatalogueRefresh.objects.create(
        connector=word,
        document={},
        difference={
            f"{key}{end}": [] if not end else 0
            for key in ("changed", "added", "removed")
            for end in ("", "_altogether")
        },
        base_digest="0" * 64,
        digest="1" * 64,
        requester_id=word,
        requester_name=word,
    )
    # Nowhere: a worker may run beside this, and tests ask nobody outside.
    catalogue_sources.alter("endoflife", {"address": f"https://{word}.invalid/api"}, by=by)
    source = catalogue_sources.ask_for_refresh("endoflife", by=by)
    document = control_documents.add_document(
        {
            "title": word,
            "owner": word,
            "valid_until": control_documents.today(),
            "controls": ["ssdf-1.1:PO.2.2"],
        },
        word.encode(),
        f"{word}.txt",
        by=by,
    )
    check = log_check.ask_for_check(by=by)
    framework = own_frameworks.import_framework(
        f"{word}-own", small_catalogue(title=word.capitalize()), by=by
    )
    invitation = invitations.invite(company.people["lin"], by=by)
    ours = new_key_pair()["signing_certificate"]
    provider = providers.draft_provider(
        "oidc",
        {"name": word, "discovery_url": "https://id.invalid/", "client_id": word},
        by=by,
    )
    saml = providers.draft_provider(
        "saml",
        {
            "name": word,
            "entity_id": f"https://{word}.invalid/saml",
            "sso_url": f"https://{word}.invalid/sso",
            "certificates": ours,
        },
        by=by,
    )
    client, scim_token, client_secret = directory.add_client(word, by=by)
    synced = directory_actor(client.pk, client.name)
    person = provisioning.add_person(
        provisioning.PersonSaid(
            user_name=word,
            external_id=f"{word}-7",
            display_name=word,
            name=word.capitalize(),
            emails=(f"{word}@{company.slug}.example",),
            active=True,
            resource={"userName": word, "externalId": f"{word}-7", "active": True},
        ),
        by=synced,
    )
    group = provisioning.add_group(
        provisioning.GroupSaid(
            display_name=word,
            external_id=word,
            joins=frozenset({person.pk}),
            leaves=frozenset(),
            resource={"displayName": word},
        ),
        by=synced,
    )
    groups.map_group(word, [Role.DEVELOPER], project=project, by=by)
    asked = emergency.request_access(
        word.capitalize(),
        f"{word}@operators.example",
        f"the {word} of this customer stands still",
        30,
        by=emergency.operator_actor(f"{word}@operators.example", word),
    )
    team = teams.create_team(word, word.capitalize(), by=by)
    teams.add_member(team, company.people["lin"], by=by)
    share = teams.share(running, team, by=by)
    review = access_reviews.start(21, by=by)
    try:
        decisions.require(bo.actor("page"), Permission.LEDGER_VIEW, second)
    except Denied as denied:
        refusal = denied.record_id
    policy = policy_versions.propose(f"// {word}: no rules\n", word, by=by)
    sealed()
    while Entry.objects.count() < entries:
        invitations.invite(company.people["lin"], by=by)
        invitation = invitations.invite(company.people["lin"], by=by)
        sealed()
    ids |= {
        "task": str(running.pk),
        "failed": str(failed.pk),
        "proposal": str(proposal.pk),
        "digest": proposal.digest,
        "pack": str(pack.pk),
        "old_pack": str(old_pack.pk),
        "export": str(export.pk),
        "person": str(bo.pk),
        "email": bo.email,
        "agent": str(User.objects.get(kind=User.Kind.AGENT, grants__project=project).pk),
        "service": str(service.pk),
        "project": str(second.pk),
        "project_slug": second.slug,
        "repository": str(repository.pk),
        "repositorys_project": str(project.pk),
        "flaky": str(flaky.pk),
        "session": str(Session.objects.get(user=bo).handle),
        "token": str(token.pk),
        "token_secret": secret,
        "invitation": invitation,
        "provider": str(provider.pk),
        "saml": str(saml.pk),
        "directory": str(client.pk),
        "directory_token": scim_token,
        "directory_secret": client_secret,
        "User": str(person.pk),
        "Group": str(group.pk),
        "user_name": word,
        "emergency": str(asked.pk),
        "policy": str(policy.pk),
        "team": str(team.pk),
        "team_member": str(team.members.get().pk),
        "share": str(share.pk),
        "refusal": str(refusal),
        "destination": str(copy.pk),
        "model_provider": str(models.pk),
        "model": str(offered.pk),
        "brief_reading": str(brief.pk),
        "technology": technology.technology,
        "refresh": str(refresh.pk),
        "source": str(source.pk),
        "document": str(document.pk),
        "check": str(check.pk),
        "framework": framework.framework_id,
        "review": str(review.pk),
        "item": str(review.items.get(kind="membership").pk),
        "index": str(Entry.objects.order_by("-index").first().index),
        "size": str(Checkpoint.objects.order_by("-size").first().size),
        "run": str(proposal.run_id),
        "host": company.host,
        "slug": company.slug,
    }


def nowhere(like: dict[str, str]) -> dict[str, str]:
    """Ids of the same shape that exist nowhere."""
    made, known = {}, {}
    for name, value in like.items():
        if value in known:
            made[name] = known[value]
        elif value.count("-") == 4 and len(value) == 36:
            made[name] = str(uuid4())
        elif name in {"index", "size"}:
            made[name] = str(int(value) + 1)
        elif value.startswith(("cst_", "csd_", "cso_")):
            made[name] = value[:4] + secrets.token_urlsafe(32)
        elif name == "digest":
            made[name] = secrets.token_hex(32)
        else:
            # The same length, so that lengths can be compared too.
            head, at, tail = value.partition(".") if name == "host" else (value, "", "")
            made[name] = secrets.token_hex(len(head))[: len(head)] + at + tail
        known[value] = made[name]
    return made

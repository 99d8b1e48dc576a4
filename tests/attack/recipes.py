"""How each door is tried: whose ids go where. A door that is not in here makes the tests fail."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """One way to try a door. Words in braces are names of ids (two_companies), for example {task}.

    body: a form's fields, or what is sent as JSON to the API and to SCIM. at: what stands in a
    parameter of the address, where that is not what PARAMETERS says. `own:x` is the stranger's own
    x. works: who does it at home, to see that the recipe is a good one (None: nobody can here, and
    why). answers: what a stranger may be told besides "not found" and "not yours". open: this door
    asks nobody who they are.
    """

    body: Any = None
    query: str = ""
    at: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    works: str | None = "tomas"
    why_not: str = ""
    answers: frozenset[int] = frozenset()
    open: bool = False
    bo: bool = False  # a developer may do this too
    everybodys: str = ""  # why a member without any role may do this, and it asks for no right


# What stands in a parameter of an address, by the parameter's name.
PARAMETERS = {
    "task_id": "{task}",
    "recommendation_id": "{task}",
    "proposal_id": "{proposal}",
    "pack_id": "{pack}",
    "export_id": "{export}",
    "framework_id": "ssdf-1.1",
    "control_id": "PO.2.2",
    "attribute": "license",
    "document_id": "{document}",
    "check_id": "{check}",
    "user_id": "{person}",
    "member_id": "{person}",
    "handle": "{session}",
    "session_id": "{session}",
    "token_id": "{token}",
    "provider_id": "{provider}",
    "client_id": "{directory}",
    "emergency_id": "{emergency}",
    "version_id": "{policy}",
    "team_id": "{team}",
    "row_id": "{team_member}",
    "project_id": "{project}",
    "kind": "task",
    "thing_id": "{task}",
    "share_id": "{share}",
    "record_id": "{refusal}",
    "destination_id": "{destination}",
    "model_provider_id": "{model_provider}",
    "model_id": "{model}",
    "technology_id": "{technology}",
    "refresh_id": "{refresh}",
    "connector": "endoflife",
    "review_id": "{review}",
    "item_id": "{item}",
    "flaky_id": "{flaky}",
    "index": "{index}",
    "size": "{size}",
    "secret": "{invitation}",
    "User": "{User}",
    "Group": "{Group}",
    "path": "docs/adr/one.md",
    "anything": "nothing/{task}",
}

LOOK = Recipe(bo=True)  # a page without ids, for everybody who is signed in
LOOK_HARD = Recipe()  # the same, for admins and auditors
NEITHER = Recipe(works=None, why_not="there is nothing at this address")
HEALTH = Recipe(works=None, why_not="it answers without a tenant", open=True)
SAML = {"provider_id": "{saml}"}
OIDC = {"name": "x", "discovery_url": "https://id.invalid/", "client_id": "x"}
MEANING = {"group": "{user_name}", "roles": ["developer"], "project": "{project}"}
NO_FILE = frozenset({422})
OWN_SOURCE = frozenset({302})
OWN_FRAMEWORK = {"framework_id": "{framework}"}
FOUND_NOTHING = frozenset({200})  # a list that is empty
NOT_IN_CATALOGUE = frozenset({422})  # the same for somebody else's as for nobody's
BUG = {"repository": "{repository}", "title": "x", "what_is_wrong": "x", "how": "find"}
UPGRADE = {"repository": "{repository}", "package": "requests"}
RENAME = {"repository": "{repository}", "how": "rename", "name": "a.b.c", "new_name": "a.b.d"}
RECOMMENDATION = {"repository": "{repository}", "title": "Shop"}
OWN_TECHNOLOGY = {
    "id": "house-cache",
    "name": "House cache",
    "layers": ["cache-queue"],
    "kind": "server",
    "source": "x",
}
MODEL_PROVIDER = {
    "name": "another",
    "protocol": "compatible",
    "address": "https://x.invalid/v1",
    "key": "x",
    "region": "own",
    "data_class": "internal",
    "position": 1,
}
MODEL = {
    "name": "another",
    "size": "small",
    "usd_in": "1",
    "usd_out": "1",
    "price_on": "2026-11-23",
    "price_source": "x",
    "most_in": 1000,
    "most_out": 1000,
}
MODEL_RULES = {
    "code_class": "internal",
    "brief_class": "internal",
    "keep_hours": "1",
    **dict.fromkeys(("tenant_month_usd", "person_day_usd", "task_usd"), "1"),
    **dict.fromkeys(("tenant_month_tokens", "person_day_tokens", "task_tokens"), "1"),
}
WHO = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
CLIENT = {
    "grant_type": "client_credentials",
    "client_id": "{directory}",
    "client_secret": "{directory_secret}",
}

# "METHOD address", or "* address" where the method makes no difference.
RECIPES: dict[str, Recipe | tuple[Recipe, ...]] = {
    # Doors that ask nobody who they are
    "* healthz": HEALTH,
    "* readyz": HEALTH,
    "GET signin/": Recipe(works=None, why_not="it is for everybody", open=True),
    "POST signin/": Recipe({"person": "{person}"}, works=None, why_not="demo", open=True),
    "GET signin/start/": Recipe(works=None, why_not="no provider is on", open=True),
    "GET signin/invitation/<str:secret>/": Recipe(works="nobody", open=True),
    "POST signin/invitation/<str:secret>/": Recipe({}, works="nobody", open=True),
    "GET signin/oidc/callback/": Recipe(
        query="state={task}&code={digest}", works=None, why_not="no provider is on", open=True
    ),
    "POST signin/oidc/logout/": Recipe(
        {"logout_token": "{token_secret}"}, works=None, why_not="no provider is on", open=True
    ),
    "GET signin/saml/<uuid:provider_id>/metadata/": Recipe(at=SAML, works="nobody", open=True),
    "POST signin/saml/<uuid:provider_id>/acs/": Recipe(
        {"SAMLResponse": "{digest}", "again": "1"},
        at=SAML,
        works=None,
        why_not="it is signed",
        open=True,
    ),
    "GET signin/saml/<uuid:provider_id>/logout/": Recipe(
        query="SAMLRequest={digest}", at=SAML, works=None, why_not="no provider is on", open=True
    ),
    "POST signout/": Recipe({}, bo=True),
    # Pages
    "GET ": LOOK,
    "GET account/": Recipe(bo=True, everybodys="it shows who they are"),
    "POST account/tokens/": Recipe(
        {"name": "x", "days": "9", "scopes": "task.view"},
        bo=True,
        everybodys="a token of one's own, for what one holds; she holds nothing: a wrong field",
    ),
    "POST sessions/<uuid:handle>/end/": Recipe({}, bo=True),
    "POST sessions/end-others/": Recipe({}, bo=True),
    "POST tokens/<uuid:token_id>/revoke/": Recipe({}),
    "GET audit/": LOOK_HARD,
    "GET audit/entries.csv": LOOK_HARD,
    "GET audit/entries.jsonl": LOOK_HARD,
    "GET audit/heads/": LOOK_HARD,
    "GET audit/keeping/": LOOK_HARD,
    "POST audit/keeping/": Recipe(
        {"days": "400", "reason": "x"}, answers=frozenset({302})
    ),  # her own log
    "GET audit/checks/": LOOK_HARD,
    "POST audit/checks/": Recipe({}, answers=frozenset({302})),  # her own log
    "GET audit/checks/<uuid:check_id>/": LOOK_HARD,
    "GET audit/<int:index>/": LOOK_HARD,
    "GET controls/": LOOK_HARD,
    "GET controls/<str:framework_id>/": LOOK_HARD,
    "POST controls/<str:framework_id>/remove/": Recipe({}, at=OWN_FRAMEWORK),
    "GET controls/<str:framework_id>/of/<path:control_id>/": LOOK_HARD,
    "POST controls/<str:framework_id>/of/<path:control_id>/": Recipe(
        {}, at=OWN_FRAMEWORK | {"control_id": "X-1"}
    ),
    "GET controls/import/": LOOK_HARD,
    "POST controls/import/": Recipe(
        {"id": "x"}, works=None, why_not="it takes a file", answers=NO_FILE
    ),
    "GET controls/documents/": LOOK_HARD,
    "GET controls/documents/new/": LOOK_HARD,
    "POST controls/documents/new/": Recipe(
        {"title": "x"}, works=None, why_not="it takes a file", answers=NO_FILE
    ),
    "GET controls/documents/<uuid:document_id>/": LOOK_HARD,
    "POST controls/documents/<uuid:document_id>/": (
        Recipe({"answer": "withdraw", "reason": "x"}),
        Recipe({"answer": "refuse", "reason": "x"}, works="iris"),
    ),
    "GET controls/documents/<uuid:document_id>/file/": LOOK_HARD,
    "GET packs/": LOOK_HARD,
    "GET packs/order/": LOOK_HARD,
    "POST packs/order/": Recipe({"kind": "period"}),
    "GET packs/<uuid:pack_id>/": LOOK_HARD,
    "GET packs/<uuid:pack_id>/download/": LOOK_HARD,
    "POST packs/<uuid:pack_id>/again/": Recipe({}, at={"pack_id": "{old_pack}"}),
    "GET people/": LOOK,
    "POST people/": Recipe(
        {"email": "x@x.example", "name": "X", "roles": "developer", "project": "{project}"}
    ),
    "GET people/<uuid:user_id>/roles/": LOOK_HARD,
    "POST people/<uuid:user_id>/roles/": (
        Recipe({"roles": "auditor"}),
        Recipe({"roles": "developer", "project": "{project}"}, at={"user_id": "own:{person}"}),
    ),
    "GET people/<uuid:user_id>/access/": LOOK,
    "GET people/teams/": LOOK_HARD,
    "POST people/teams/": Recipe({"slug": "x", "name": "X"}),
    "GET people/teams/<uuid:team_id>/": LOOK_HARD,
    "POST people/teams/<uuid:team_id>/add/": (
        Recipe({"email": "{email}"}),
        Recipe({"email": "{email}", "preview": "1"}),
        Recipe(
            {"email": "{email}"},
            at={"team_id": "own:{team}"},
            works=None,
            why_not="he is in by then",
            answers=frozenset({422}),
        ),
        Recipe(
            {"team": "{user_name}"},
            at={"team_id": "own:{team}"},
            works=None,
            why_not="no team contains itself",
            answers=frozenset({422}),
        ),
    ),
    "GET people/teams/<uuid:team_id>/remove/": Recipe(),
    "POST people/teams/<uuid:team_id>/remove/": Recipe({}),
    "POST people/teams/<uuid:team_id>/members/<uuid:row_id>/take-out/": (
        Recipe({}),
        Recipe({}, at={"team_id": "own:{team}"}, works=None, why_not="a row of another team"),
    ),
    "GET people/projects/": LOOK,
    "GET people/projects/new/": LOOK_HARD,
    "POST people/projects/new/": Recipe({"slug": "annex", "name": "Annex"}),
    "GET people/projects/<uuid:project_id>/": LOOK_HARD,
    "GET people/projects/<uuid:project_id>/repositories/new/": LOOK_HARD,
    "POST people/projects/<uuid:project_id>/repositories/new/": Recipe({"name": "annex"}),
    "POST people/projects/<uuid:project_id>/classification/": Recipe(
        {"classification": "confidential"}
    ),
    "GET people/projects/<uuid:project_id>/repairs/": LOOK_HARD,
    "POST people/projects/<uuid:project_id>/repairs/": Recipe({"ask": "always"}),
    "POST people/projects/<uuid:project_id>/repairs/flaky/<uuid:flaky_id>/release/": (
        Recipe({}, at={"project_id": "{repositorys_project}"}, bo=True),
        Recipe({}, at={"project_id": "own:{repositorys_project}"}, works=None, why_not="elsewhere"),
    ),
    "GET people/reviews/": LOOK_HARD,
    "POST people/reviews/": Recipe(
        {"days": "21"}, works=None, why_not="one is open already", answers=frozenset({409})
    ),
    "GET people/reviews/<uuid:review_id>/": LOOK_HARD,
    "POST people/reviews/<uuid:review_id>/answer/": (
        Recipe({"items": "{item}"}),
        Recipe(
            {"items": "{item}"},
            at={"review_id": "own:{review}"},
            works=None,
            why_not="it is answered by then",
            answers=frozenset({422}),
        ),
    ),
    "POST people/reviews/<uuid:review_id>/items/<uuid:item_id>/assign/": Recipe(
        {}, works=None, why_not="the field is named after the item"
    ),
    "POST people/reviews/<uuid:review_id>/close/": Recipe({"note": "enough"}),
    "GET people/reviews/<uuid:review_id>/items.csv": LOOK_HARD,
    "GET people/reviews/<uuid:review_id>/evidence.json": LOOK_HARD,
    "GET sharing/<str:kind>/<uuid:thing_id>/": Recipe(),
    "POST sharing/<str:kind>/<uuid:thing_id>/": (
        Recipe({"email": "{email}"}),
        Recipe({"email": "{email}"}, at={"thing_id": "own:{task}"}, answers=frozenset({422})),
        Recipe({"team": "{user_name}"}, at={"thing_id": "own:{task}"}, answers=frozenset({422})),
    ),
    "POST sharing/<str:kind>/<uuid:thing_id>/<uuid:share_id>/end/": (
        Recipe({}),
        Recipe({}, at={"thing_id": "own:{task}"}, works=None, why_not="a share of another task"),
    ),
    "GET access/<str:kind>/<uuid:thing_id>/": (
        LOOK,
        Recipe(at={"kind": "project", "thing_id": "{project}"}),
        Recipe(at={"kind": "repository", "thing_id": "{repository}"}, bo=True),
        Recipe(at={"kind": "proposal", "thing_id": "{proposal}"}, bo=True),
        Recipe(at={"kind": "pack", "thing_id": "{pack}"}),
    ),
    "GET refusals/<uuid:record_id>/": LOOK,
    "GET help/permissions/": Recipe(bo=True, everybodys="it is the same anywhere"),
    "GET people/<uuid:user_id>/remove/": LOOK_HARD,
    "POST people/<uuid:user_id>/remove/": Recipe({}),
    "POST people/<uuid:user_id>/invitation/": Recipe({}),
    "GET people/<uuid:user_id>/sessions/": Recipe(bo=True),
    "POST people/<uuid:user_id>/sessions/": Recipe({}, bo=True),
    "GET proposals/": LOOK,
    "GET proposals/<uuid:proposal_id>/": tuple(
        Recipe(query=f"tab={tab}", bo=True) for tab in ("options", "diff", "checks", "evidence")
    ),
    "GET proposals/<uuid:proposal_id>/files/<path:path>": Recipe(
        works=None, why_not="its commit stands on no forge", bo=True
    ),
    "GET proposals/<uuid:proposal_id>/record/": LOOK_HARD,
    "POST proposals/<uuid:proposal_id>/countersign/": Recipe({"digest": "{digest}"}),
    "POST proposals/<uuid:proposal_id>/merge/": Recipe(
        {"digest": "{digest}"}, works=None, why_not="nobody has countersigned it"
    ),
    "POST proposals/<uuid:proposal_id>/reject/": Recipe({"digest": "{digest}", "comment": "no"}),
    "POST proposals/<uuid:proposal_id>/packs/": Recipe({}),
    "GET radar/": LOOK,
    "GET radar.json": LOOK,
    "GET drift/": LOOK,
    "POST drift/": Recipe(
        {"proposal": "{proposal}"}, works=None, why_not="its request was never typed", bo=True
    ),
    "GET recommendations/compare/": Recipe(query="one={run}", bo=True),
    "GET recommendations/<uuid:task_id>/weights/": Recipe(
        at={"task_id": "{run}"}, works=None, why_not="its request was never typed", bo=True
    ),
    "GET code/": Recipe(query="q={task}&repository={repository}", bo=True, answers=FOUND_NOTHING),
    "GET tasks/": LOOK,
    "GET tasks/new/": LOOK,
    "POST tasks/new/": Recipe(BUG, answers=frozenset({422}), bo=True),  # not one of hers
    "GET tasks/upgrade/": LOOK,
    "POST tasks/upgrade/": Recipe(UPGRADE, answers=frozenset({422}), bo=True),  # not one of hers
    "GET tasks/refactor/": LOOK,
    "POST tasks/refactor/": Recipe(RENAME, answers=frozenset({422}), bo=True),  # not one of hers
    "GET tasks/<uuid:task_id>/": LOOK,
    "POST tasks/<uuid:task_id>/approve/": Recipe(
        {"digest": "{digest}"}, works=None, why_not="its plan waits for nobody"
    ),
    "POST tasks/<uuid:task_id>/refuse/": Recipe(
        {"digest": "{digest}", "comment": "no"}, works=None, why_not="its plan waits for nobody"
    ),
    "POST tasks/<uuid:task_id>/say/": Recipe({"text": "x"}, bo=True),
    "POST tasks/<uuid:task_id>/cancel/": Recipe({}, bo=True),
    "POST tasks/<uuid:task_id>/resume/": (
        Recipe({}, at={"task_id": "{failed}"}, bo=True),
        Recipe({"wall_s": "3600"}, at={"task_id": "{failed}"}),
    ),
    "POST tasks/<uuid:task_id>/undo/": Recipe(
        {}, works=None, why_not="it led to no pull request", bo=True
    ),
    "GET recommendations/": LOOK,
    "GET recommendations/new/": LOOK,
    "POST recommendations/new/": Recipe(
        {"repository": "{repository}", "title": "Shop", "ask": "1"},
        answers=frozenset({302}),  # her own repository is taken instead
        bo=True,
    ),
    "POST recommendations/new/draft/": Recipe(
        {"repository": "{repository}"}, answers=frozenset({200}), bo=True
    ),
    "GET recommendations/<uuid:task_id>/": LOOK,
    "POST recommendations/<uuid:task_id>/cancel/": Recipe({}, bo=True),
    "POST recommendations/<uuid:task_id>/resume/": Recipe({}, at={"task_id": "{failed}"}, bo=True),
    "GET settings/": LOOK_HARD,
    "GET settings/emergency/": LOOK_HARD,
    "POST settings/emergency/<uuid:emergency_id>/": Recipe({"answer": "refuse"}),
    "GET settings/sign-in/": LOOK_HARD,
    "POST settings/sign-in/": Recipe({"protocol": "oidc", "at": "other"}),
    "GET settings/sign-in/<uuid:provider_id>/": LOOK_HARD,
    "POST settings/sign-in/<uuid:provider_id>/": Recipe(
        {**OIDC, "scopes": "openid", "email_claim": "email", "name_claim": "name"}
    ),
    "POST settings/sign-in/<uuid:provider_id>/switch/": Recipe({"off": "1"}),
    "POST settings/sign-in/<uuid:provider_id>/remove/": Recipe({}),
    "GET settings/sign-in/<uuid:provider_id>/test/": Recipe(
        works=None, why_not="its provider answers nobody"
    ),
    "GET settings/policies/": LOOK_HARD,
    "GET settings/policies/edit/": Recipe(query="from={policy}"),
    "POST settings/policies/edit/": Recipe({"text": ""}),
    "GET settings/policies/<uuid:version_id>/": LOOK_HARD,
    "POST settings/policies/<uuid:version_id>/decide/": Recipe({"answer": "withdraw"}),
    "GET settings/groups/": LOOK_HARD,
    "GET settings/groups/meaning/": Recipe(query="group={user_name}", answers=FOUND_NOTHING),
    "POST settings/groups/meaning/": Recipe(
        {"group": "x", "roles": "developer", "project": "{project}", "save": "1"}
    ),
    "GET settings/directory/": LOOK_HARD,
    "POST settings/directory/": Recipe({"name": "x"}),
    "POST settings/directory/<uuid:client_id>/renew/": Recipe({}),
    "POST settings/directory/<uuid:client_id>/revoke/": Recipe({}),
    "GET settings/log/": LOOK_HARD,
    "POST settings/log/": Recipe({"kind": "syslog", "name": "x", "address": "x.invalid:6514"}),
    "GET settings/log/<uuid:destination_id>/": LOOK_HARD,
    "POST settings/log/<uuid:destination_id>/": Recipe({"name": "x", "address": "x.invalid:6514"}),
    "POST settings/log/<uuid:destination_id>/remove/": Recipe({}),
    "GET settings/export/": LOOK_HARD,
    # Her own: what she gets of it is nothing of anybody else's.
    "POST settings/export/": Recipe({}, answers=frozenset({302, 409})),
    "GET settings/export/<uuid:export_id>/download/": LOOK_HARD,
    "GET settings/models/": LOOK_HARD,
    "POST settings/models/": Recipe(MODEL_PROVIDER),
    "POST settings/models/rules/": Recipe(MODEL_RULES),
    "GET settings/models/<uuid:model_provider_id>/": LOOK_HARD,
    "POST settings/models/<uuid:model_provider_id>/": Recipe(MODEL_PROVIDER),
    "POST settings/models/<uuid:model_provider_id>/remove/": Recipe({}),
    "POST settings/models/<uuid:model_provider_id>/test/": Recipe({}),
    "POST settings/models/<uuid:model_provider_id>/model/": Recipe(MODEL),
    "POST settings/models/<uuid:model_provider_id>/model/<uuid:model_id>/remove/": (
        Recipe({}),
        Recipe(
            {},
            at={"model_provider_id": "own:{model_provider}"},
            works=None,
            why_not="a model of another provider",
        ),
    ),
    "GET spend/": LOOK_HARD,
    "GET spend/costs.csv": LOOK_HARD,
    "GET settings/services/": LOOK_HARD,
    "POST settings/services/": Recipe({"name": "x", "roles": "developer", "project": "{project}"}),
    "GET settings/services/<uuid:user_id>/": Recipe(at={"user_id": "{service}"}),
    "POST settings/services/<uuid:user_id>/": Recipe(
        {"name": "x", "days": "9", "scopes": "task.view"}, at={"user_id": "{service}"}
    ),
    "GET catalogue/": LOOK,
    "GET catalogue/new/": LOOK_HARD,
    "POST catalogue/new/": Recipe(OWN_TECHNOLOGY, answers=frozenset({302})),  # her own, then
    "GET catalogue/quality/": LOOK,
    "GET catalogue/sources/": LOOK,
    # Her own: each tenant has every source.
    "POST catalogue/sources/<slug:connector>/": Recipe({"every_days": "7"}, answers=OWN_SOURCE),
    "POST catalogue/sources/<slug:connector>/refresh/": Recipe({}, answers=OWN_SOURCE),
    "GET catalogue/refreshes/": LOOK,
    "GET catalogue/refreshes/<uuid:refresh_id>/": LOOK,
    "POST catalogue/refreshes/<uuid:refresh_id>/": Recipe({"answer": "reject", "why": "no"}),
    "GET catalogue/of/<slug:technology_id>/": LOOK,
    "POST catalogue/of/<slug:technology_id>/": (
        Recipe({"verdict": "banned", "reason": "no"}),
        Recipe(
            {"attribute": "size_on_disk", "value": "1", "source": "x"},
            works=None,
            why_not="its attribute is checked first",
        ),
    ),
    # The API
    "GET api/v1/catalogue/technologies": LOOK,
    "GET api/v1/catalogue/technologies/<technology_id>": LOOK,
    "POST api/v1/catalogue/technologies": Recipe(OWN_TECHNOLOGY, answers=frozenset({201})),
    "POST api/v1/catalogue/technologies/<technology_id>/facts": Recipe(
        {"attribute": "license", "value": "MIT", "source": "x"}, answers=NOT_IN_CATALOGUE
    ),
    "DELETE api/v1/catalogue/technologies/<technology_id>": Recipe(
        works=None, why_not="it is shared by all", answers=frozenset({409})
    ),
    "DELETE api/v1/catalogue/technologies/<technology_id>/facts/<attribute>": Recipe(
        works=None, why_not="nobody said such a fact", answers=frozenset({409})
    ),
    "PUT api/v1/catalogue/technologies/<technology_id>/standard": Recipe(
        {"verdict": "banned", "reason": "no"}, answers=NOT_IN_CATALOGUE
    ),
    "GET api/v1/catalogue/additions": LOOK,
    "GET api/v1/catalogue/sources": LOOK,
    "PUT api/v1/catalogue/sources/<connector>": Recipe({"is_on": True}, answers=frozenset({200})),
    "POST api/v1/catalogue/sources/<connector>/refresh": Recipe(answers=frozenset({202})),
    "GET api/v1/catalogue/refreshes": LOOK,
    "POST api/v1/catalogue/refreshes/<refresh_id>/answer": Recipe({"accept": False, "why": "no"}),
    "* api/v1/": NEITHER,
    "* api/v1/<path:anything>": NEITHER,
    "* api/v1/openapi.json": Recipe(
        works=None, why_not="it describes, and shows nothing", open=True
    ),
    "POST api/v1/decisions": Recipe(
        {"questions": [{"permission": "task.view", "type": "task", "id": "{task}"}]},
        answers=frozenset({200}),  # "there is nothing here with this id"
        bo=True,
    ),
    "GET api/v1/me": Recipe(bo=True, everybodys="it says who they are"),
    "GET api/v1/access/teams": LOOK_HARD,
    "POST api/v1/access/teams": Recipe({"slug": "x", "name": "X"}),
    "DELETE api/v1/access/teams/<team_id>": Recipe(),
    "PUT api/v1/access/teams/<team_id>/people": (
        Recipe({"email": "{email}"}),
        Recipe(
            {"email": "{email}"},
            at={"team_id": "own:{team}"},
            works=None,
            why_not="he is in by then",
            answers=frozenset({422}),
        ),
    ),
    "DELETE api/v1/access/teams/<team_id>/people/<member_id>": Recipe(
        works=None, why_not="he is not in"
    ),
    "GET api/v1/access/shares/<kind>/<thing_id>": Recipe(),
    "PUT api/v1/access/shares/<kind>/<thing_id>": (
        Recipe({"email": "{email}"}),
        Recipe({"email": "{email}"}, at={"thing_id": "own:{task}"}, answers=frozenset({422})),
    ),
    "DELETE api/v1/access/shares/<kind>/<thing_id>/<share_id>": Recipe(),
    "GET api/v1/access/holders/<kind>/<thing_id>": LOOK,
    "GET api/v1/access/reviews": LOOK_HARD,
    "POST api/v1/access/reviews": Recipe(
        {"days": 21}, works=None, why_not="one is open already", answers=frozenset({409})
    ),
    "GET api/v1/access/reviews/<review_id>": LOOK_HARD,
    "GET api/v1/access/reviews/<review_id>/items": LOOK_HARD,
    "PUT api/v1/access/reviews/<review_id>/items/<item_id>": (
        Recipe({"keep": True}),
        Recipe(
            {"keep": True},
            at={"review_id": "own:{review}"},
            works=None,
            why_not="it is an item of another review",
        ),
    ),
    "PUT api/v1/access/reviews/<review_id>/items/<item_id>/reviewer": Recipe(
        {"email": "{email}"}, works=None, why_not="a developer reviews nothing"
    ),
    "POST api/v1/access/reviews/<review_id>/close": Recipe({"note": "enough"}),
    "GET api/v1/access/reviews/<review_id>/evidence": LOOK_HARD,
    "GET api/v1/log/key": LOOK_HARD,
    "GET api/v1/log/checkpoint": LOOK_HARD,
    "GET api/v1/log/keys": LOOK_HARD,
    "GET api/v1/log/checkpoints": LOOK_HARD,
    "GET api/v1/log/checkpoints/<size>": LOOK_HARD,
    "GET api/v1/log/entries/<index>/proof": LOOK_HARD,
    "GET api/v1/log/witnesses": LOOK_HARD,
    "GET api/v1/log/retention": LOOK_HARD,
    "PUT api/v1/log/retention": Recipe(
        {"days": 400, "reason": "x"}, answers=frozenset({200})
    ),  # her own log
    "GET api/v1/log/checks": LOOK_HARD,
    "POST api/v1/log/checks": Recipe(answers=frozenset({202})),  # her own log
    "GET api/v1/log/checks/<check_id>": LOOK_HARD,
    "GET api/v1/log/consistency": Recipe(query="old=1"),
    "GET api/v1/log/entries": Recipe(query="run={run}", answers=FOUND_NOTHING),
    "GET api/v1/members": LOOK,
    "POST api/v1/members": Recipe(
        {"email": "x@x.example", "name": "X", "roles": ["developer"], "project": "{project}"}
    ),
    "PUT api/v1/members/<member_id>/roles": (
        Recipe({"roles": ["auditor"]}),
        Recipe({"roles": ["developer"], "project": "{project}"}, at={"member_id": "own:{person}"}),
    ),
    "DELETE api/v1/members/<member_id>": Recipe(),
    "GET api/v1/controls": LOOK_HARD,
    "GET api/v1/controls/<framework_id>": LOOK_HARD,
    "GET api/v1/frameworks": LOOK_HARD,
    "POST api/v1/frameworks": Recipe(works=None, why_not="it takes a file", answers=NO_FILE),
    "PUT api/v1/frameworks/<framework_id>/controls/<path:control_id>": Recipe(
        {"rules": []}, at=OWN_FRAMEWORK | {"control_id": "X-1"}
    ),
    "DELETE api/v1/frameworks/<framework_id>": Recipe(at=OWN_FRAMEWORK),
    "GET api/v1/control-rules": LOOK_HARD,
    "GET api/v1/documents": LOOK_HARD,
    "POST api/v1/documents": Recipe(works=None, why_not="it takes a file", answers=NO_FILE),
    "GET api/v1/documents/<document_id>": LOOK_HARD,
    "GET api/v1/documents/<document_id>/file": LOOK_HARD,
    "POST api/v1/documents/<document_id>/answer": Recipe({"answer": "withdraw", "reason": "x"}),
    "GET api/v1/packs": LOOK_HARD,
    "POST api/v1/packs": Recipe({"kind": "period"}),
    "GET api/v1/packs/<pack_id>": LOOK_HARD,
    "GET api/v1/packs/<pack_id>/download": LOOK_HARD,
    "POST api/v1/packs/<pack_id>/again": Recipe(at={"pack_id": "{old_pack}"}),
    "GET api/v1/exports": LOOK_HARD,
    "POST api/v1/exports": Recipe(
        works=None, why_not="one is on its way already", answers=frozenset({202, 409})
    ),
    "GET api/v1/exports/<export_id>": LOOK_HARD,
    "GET api/v1/exports/<export_id>/download": LOOK_HARD,
    "GET api/v1/proposals": LOOK,
    "GET api/v1/proposals/<proposal_id>": LOOK,
    "GET api/v1/proposals/<proposal_id>/diff": LOOK,
    "GET api/v1/proposals/<proposal_id>/files/<path:path>": LOOK,
    "GET api/v1/proposals/<proposal_id>/record": LOOK_HARD,
    "POST api/v1/proposals/<proposal_id>/merge": Recipe(
        {"digest": "{digest}"}, works=None, why_not="nobody has countersigned it"
    ),
    "POST api/v1/proposals/<proposal_id>/countersignature": Recipe({"digest": "{digest}"}),
    "POST api/v1/proposals/<proposal_id>/rejection": Recipe({"digest": "{digest}", "comment": "x"}),
    "POST api/v1/proposals/<proposal_id>/packs": Recipe(),
    "GET api/v1/code": Recipe(query="q=x&repository={repository}", bo=True, answers=FOUND_NOTHING),
    "GET api/v1/tasks": LOOK,
    "POST api/v1/tasks": Recipe(BUG, bo=True),
    "POST api/v1/tasks/upgrades": Recipe(UPGRADE, bo=True),
    "POST api/v1/tasks/refactorings": Recipe(RENAME, bo=True),
    "GET api/v1/tasks/<task_id>": LOOK,
    "POST api/v1/tasks/<task_id>/approval": Recipe(
        {"digest": "{digest}"}, works=None, why_not="its plan waits for nobody"
    ),
    "POST api/v1/tasks/<task_id>/refusal": Recipe(
        {"digest": "{digest}", "comment": "no"}, works=None, why_not="its plan waits for nobody"
    ),
    "POST api/v1/tasks/<task_id>/messages": Recipe(
        {"text": "x"}, works=None, why_not="it has ended, or ends meanwhile", bo=True
    ),
    "POST api/v1/tasks/<task_id>/cancellation": Recipe(
        works=None, why_not="it has ended, or ends meanwhile", bo=True
    ),
    "POST api/v1/tasks/<task_id>/resumption": Recipe(
        {}, works=None, why_not="it has not failed", bo=True
    ),
    "POST api/v1/tasks/<task_id>/undoing": Recipe(
        works=None, why_not="its pull request stands on no forge", bo=True
    ),
    "GET api/v1/projects": LOOK,
    "POST api/v1/projects": Recipe({"slug": "annexe", "name": "Annexe"}),
    "GET api/v1/projects/<project_id>": LOOK_HARD,
    "PATCH api/v1/projects/<project_id>": Recipe({"classification": "confidential"}),
    "GET api/v1/repair-rules/<project_id>": LOOK_HARD,
    "PUT api/v1/repair-rules/<project_id>": Recipe({"ask": "always", "risk_from": 0.2}),
    "GET api/v1/flaky-tests": LOOK,
    "POST api/v1/flaky-tests/<flaky_id>/release": Recipe(
        works=None, why_not="it was released on its page", bo=True
    ),
    "GET api/v1/recommendations": LOOK,
    "GET api/v1/recommendations/examples": Recipe(bo=True, everybodys="it is the same anywhere"),
    "GET api/v1/recommendations/<recommendation_id>": LOOK,
    "POST api/v1/recommendations": Recipe(RECOMMENDATION, bo=True),
    "POST api/v1/recommendations/<recommendation_id>/cancellation": Recipe(bo=True),
    "POST api/v1/recommendations/<recommendation_id>/resumption": Recipe(
        at={"recommendation_id": "{failed}"}, bo=True
    ),
    "GET api/v1/repositories": LOOK,
    "POST api/v1/repositories": Recipe(
        works=None, why_not="it takes a form, which tests/portal try", answers=NO_FILE
    ),
    "GET api/v1/sessions": LOOK,
    "DELETE api/v1/sessions": LOOK,
    "DELETE api/v1/sessions/<session_id>": LOOK,
    "DELETE api/v1/members/<member_id>/sessions": LOOK,
    "GET api/v1/tokens": Recipe(query="account={service}"),
    "POST api/v1/tokens": Recipe(
        {"name": "x", "scopes": ["task.view"], "days": 9, "account": "{service}"}
    ),
    "DELETE api/v1/tokens/<token_id>": Recipe(),
    "GET api/v1/models/providers": LOOK_HARD,
    "POST api/v1/models/providers": Recipe(MODEL_PROVIDER),
    "PATCH api/v1/models/providers/<model_provider_id>": Recipe({"name": "another"}),
    "DELETE api/v1/models/providers/<model_provider_id>": Recipe(),
    "POST api/v1/models/providers/<model_provider_id>/test": Recipe(),
    "POST api/v1/models/providers/<model_provider_id>/models": Recipe(MODEL),
    "PUT api/v1/models/providers/<model_provider_id>/models/<model_id>": (
        Recipe(MODEL),
        Recipe(
            MODEL,
            at={"model_provider_id": "own:{model_provider}"},
            works=None,
            why_not="a model of another provider",
        ),
    ),
    "DELETE api/v1/models/providers/<model_provider_id>/models/<model_id>": Recipe(),
    "GET api/v1/models/rules": LOOK_HARD,
    "PATCH api/v1/models/rules": Recipe({"keep_hours": 1}),
    "GET api/v1/models/spending": LOOK_HARD,
    "GET api/v1/services": LOOK_HARD,
    "POST api/v1/services": Recipe({"name": "x", "roles": ["developer"], "project": "{project}"}),
    "GET api/v1/sign-in/providers": LOOK_HARD,
    "POST api/v1/sign-in/providers": Recipe({"protocol": "oidc", **OIDC}),
    "GET api/v1/sign-in/providers/<provider_id>": LOOK_HARD,
    "PATCH api/v1/sign-in/providers/<provider_id>": Recipe({"name": "x"}),
    "DELETE api/v1/sign-in/providers/<provider_id>": Recipe(),
    "PUT api/v1/sign-in/providers/<provider_id>/activation": Recipe(
        works=None, why_not="it takes a test sign-in first"
    ),
    "DELETE api/v1/sign-in/providers/<provider_id>/activation": Recipe(),
    "GET api/v1/directory/clients": LOOK_HARD,
    "POST api/v1/directory/clients": Recipe({"name": "x"}),
    "POST api/v1/directory/clients/<client_id>/renewal": Recipe(),
    "DELETE api/v1/directory/clients/<client_id>": Recipe(),
    "GET api/v1/directory/clients/<client_id>/requests": LOOK_HARD,
    "GET api/v1/directory/groups": LOOK_HARD,
    "POST api/v1/directory/groups/effects": Recipe(MEANING),
    "PUT api/v1/directory/groups/meaning": Recipe(MEANING),
    # The directory's door
    "* scim/v2/": Recipe(works=None, why_not="it can only be read"),
    "GET scim/v2/": Recipe(works="directory"),
    "GET scim/v2/Users": Recipe(
        query='filter=userName eq "{user_name}"', works="directory", answers=FOUND_NOTHING
    ),
    "POST scim/v2/Users": Recipe({"schemas": [WHO], "userName": "x"}, works="directory"),
    "GET scim/v2/Users/<User>": Recipe(works="directory"),
    "PUT scim/v2/Users/<User>": Recipe(
        {"schemas": [WHO], "userName": "x", "id": "{User}"}, works="directory"
    ),
    "PATCH scim/v2/Users/<User>": Recipe(
        {
            "schemas": [PATCH],
            "Operations": [{"op": "replace", "path": "active", "value": False}],
        },
        works="directory",
    ),
    "DELETE scim/v2/Users/<User>": Recipe(works="directory"),
    "POST scim/v2/Users/.search": Recipe(
        {"schemas": [SEARCH], "filter": 'id eq "{User}"'},
        works="directory",
        answers=FOUND_NOTHING,
    ),
    "GET scim/v2/Groups": Recipe(
        query='filter=members.value eq "{User}"', works="directory", answers=FOUND_NOTHING
    ),
    "POST scim/v2/Groups": Recipe(
        {"schemas": [GROUP], "displayName": "x", "members": [{"value": "{User}"}]},
        works="directory",
        answers=frozenset({400}),
    ),
    "GET scim/v2/Groups/<Group>": Recipe(works="directory"),
    "PUT scim/v2/Groups/<Group>": (
        Recipe({"schemas": [GROUP], "displayName": "x"}, works="directory"),
        Recipe(
            {"schemas": [GROUP], "displayName": "y", "members": [{"value": "{User}"}]},
            at={"Group": "own:{Group}"},
            works="directory",
            answers=frozenset({400}),
        ),
    ),
    "PATCH scim/v2/Groups/<Group>": (
        Recipe(
            {
                "schemas": [PATCH],
                "Operations": [{"op": "replace", "path": "displayName", "value": "x"}],
            },
            works="directory",
        ),
        Recipe(
            {
                "schemas": [PATCH],
                "Operations": [{"op": "add", "path": "members", "value": [{"value": "{User}"}]}],
            },
            at={"Group": "own:{Group}"},
            works="directory",
            answers=frozenset({400}),
        ),
    ),
    "DELETE scim/v2/Groups/<Group>": Recipe(works="directory"),
    "POST scim/v2/Groups/.search": Recipe(
        {"schemas": [SEARCH], "filter": 'id eq "{Group}"'},
        works="directory",
        answers=FOUND_NOTHING,
    ),
    "POST scim/v2/.search": Recipe(
        {"schemas": [SEARCH], "filter": 'id eq "{User}"'},
        works="directory",
        answers=FOUND_NOTHING,
    ),
    "* scim/v2/Me": Recipe(works=None, why_not="not offered", answers=frozenset({501})),
    "POST scim/v2/Bulk": Recipe({}, works=None, why_not="not offered", answers=frozenset({501})),
    "GET scim/v2/ServiceProviderConfig": Recipe(works="directory"),
    "GET scim/v2/ResourceTypes": Recipe(works="directory"),
    "GET scim/v2/ResourceTypes/<path>": Recipe(at={"path": "User"}, works="directory"),
    "GET scim/v2/Schemas": Recipe(works="directory"),
    "GET scim/v2/Schemas/<path>": Recipe(at={"path": WHO}, works="directory"),
    "* scim/oauth/token": Recipe(works=None, why_not="it takes a POST", open=True),
    "POST scim/oauth/token": Recipe(CLIENT, works="nobody", open=True),
}


@dataclass(frozen=True)
class Job:
    """arguments: ids of somebody else's. None: it takes none, so nobody can aim it."""

    arguments: tuple[str, ...] | None


JOBS = {
    "agent.jobs.advance_task": Job(("{task}",)),
    "agent.jobs.publish_review": Job(("{proposal}",)),
    "agent.jobs.merge_proposal": Job(("{proposal}",)),
    "agent.jobs.refresh_proposal": Job(("{proposal}",)),
    "agent.jobs.build_pack": Job(("{pack}",)),
    "agent.jobs.stamp_pack": Job(("{pack}",)),
    "agent.jobs.withdraw_proposal": Job(("{proposal}",)),
    "agent.jobs.index_repository": Job(("{repository}",)),
    "agent.jobs.index_code": Job(("{repository}",)),
    "agent.jobs.watch_branch": Job(("{repository}",)),
    "agent.jobs.look_for_drift": Job(None),
    "agent.jobs.look_for_due_sources": Job(None),
    "agent.jobs.refresh_source": Job(("{source}",)),
    "agent.jobs.look_for_pushes": Job(None),
    "agent.jobs.delete_expired_packs": Job(None),
    "agent.jobs.delete_unused": Job(None),
    "agent.jobs.check_log": Job(("{check}",)),
    "agent.jobs.raise_drift": Job(("{proposal}",)),
    "agent.jobs.sign_record": Job(("{proposal}",)),
    "agent.jobs.read_brief": Job(("{brief_reading}",)),
    "agent.jobs.try_provider": Job(("{model_provider}",)),
    "agent.jobs.resume_stalled": Job(None),
    "authz.jobs.apply_retention": Job(None),
    "authz.jobs.remind_of_reviews": Job(None),
    "authz.jobs.tidy": Job(None),
    "evidence.jobs.cosign": Job(()),
    "evidence.jobs.name_gaps": Job(None),
    "evidence.jobs.seal_waiting": Job(None),
    "evidence.jobs.ship_decisions": Job(None),
}


@dataclass(frozen=True)
class Order:
    """A command line. role: the database role that it is for; any: it touches no tenant's rows.

    words: the command at the stranger's own host with somebody else's things; none where there is
    nothing to name but the tenant itself.
    """

    role: str
    words: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


COMMANDS = {
    # Names a host and a file: what is in it goes to that host's own frameworks.
    "import_controls": Order("app"),
    "add_repository": Order("app", ("{own_host}", "{project_slug}", "x")),
    "bootstrap": Order("owner"),
    "break_glass": Order("app"),
    "check_catalogue": Order("any"),
    "check_rls": Order("any"),
    "evaluate_recommender": Order("any"),
    "evaluate_repair": Order("any"),
    # Names a host and no ids: what it finds is put to that host's own people.
    "refresh_catalogue": Order("app"),
    "demo_data": Order("owner"),
    "export_log": Order("app"),
    "erase_person": Order("app", ("{own_host}", "{email}")),
    "erase_tenant": Order("owner", ("{slug}",), {"yes_erase": "{slug}"}),
    "export_tenant": Order("app"),
    "invite": Order("app", ("{own_host}", "{email}")),
    "move_tenant": Order("owner", ("{slug}",), {"to": "silo_x"}),
    "open_tenant": Order(
        "owner", ("{slug}", "X"), {"admin_email": "x@x.example", "admin_name": "X"}
    ),
    "relations_engine": Order("app", ("{own_host}", "compare")),
    "resume_tenant": Order("owner", ("{slug}",)),
    "keep_facts": Order("app"),
    "rotate_log_key": Order("app"),
    "suspend_tenant": Order("owner", ("{slug}",)),
    "verify_log": Order("app"),
    "write_matrix": Order("any"),
    "write_openapi": Order("any"),
    "write_tool_schemas": Order("any"),
}

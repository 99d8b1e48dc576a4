"""Whatever reaches the world outside is done between an intent and its result."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.forge import Forge
from tenants import outbound
from tests.call_graph import Graph, Site, read_packages

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("portal", "agent", "authz", "evidence", "tenants")

# Around the call itself, or around a call that leads to it: the intent is committed before.
INTENDED = frozenset({"effect", "answered"})

# What starts processes, connects, deletes files or sends mail, and the only modules that may.
LIBRARY = (
    *("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_"),
    *("os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.popen"),
    *("socket.socket", "socket.create_connection", "http.client.HTTPConnection"),
    *("http.client.HTTPSConnection", "urllib.request.urlopen", "urllib3.PoolManager"),
    *("smtplib.", "django.core.mail.", "shutil.rmtree", "os.remove", "os.unlink", "os.rmdir"),
    "botocore.",
)
MAY_USE_LIBRARY = {
    "agent.forge": "writes are counted below; reads change nothing",
    "agent.sandbox": "runs are counted below",
    "agent.repair.inside": "is shipped into the sandbox as sources and runs there",
    "agent.tools.recorder": "is shipped into the sandbox as a text and runs there",
    "agent.recommender.refresh": "reading the sources is counted below",
    "agent.recommender.linters": "the linter gets texts in a folder of its own and judges",
    "agent.export": "counted below; deletes what was half written",
    "authz.outside": "asking for a server is counted below",
    "evidence.aws_kms_keys": "a key that was made is on record before anything bears its signature",
    "evidence.shipping": "spool files whose records have all arrived in the database",
    "evidence.store": "deleting is counted below; half-written files are nobody's yet",
    "evidence.witnessing": "asking a witness is counted below",
    "portal.management.commands.write_tool_schemas": "for developers: writes into the checkout",
    "tenants.outbound": "every request is counted below",
}

# Methods of a forge that change nothing. Whatever else a forge can do is a write.
FORGE_READS = frozenset(
    {"default_branch", "head", "tree", "read", "read_files", "list_files", "diff", "clone_url"}
    | {"arrivals", "only_joins", "commit"}
    | {"pull_request", "pull_requests"}
)
FORGE_WRITES = {n for n in vars(Forge) if not n.startswith("_")} - FORGE_READS | {
    "merge",  # of Merging, which the agent has not
    "create_repository",
    "erase",  # of the store, too
}
REQUESTS = {"fetch_document", "fetch_json", "post_json", "deliver"}
NO_REQUESTS = {"may_be_named"}

# Functions that are effects, by the module they are in, wherever another module names them.
FUNCTIONS = {f"tenants.outbound.{name}" for name in REQUESTS} | {
    "authz.outside.engine_called",  # a server outside, to be asked or told something
    "agent.recommender.refresh.read",
    "agent.registry.Offers",  # requests to a registry of packages
    "agent.sandbox.preparing.from_wheels",
    "portal.siem.transports.send",
}
# The same inside of their own module.
OWN_FUNCTIONS = {"agent.export:_write", "evidence.witnessing:_post"}

# Effects without an intent: the function where the way up may end, and why.
EXCUSED = {
    "authz.feeding": (
        "carries over tuples, each of which has an entry, and asks as part of a decision, which has"
        " one; the copy can be made anew from the tuples at any time"
    ),
    "evidence.witnessing:_ask": (
        "an entry for each head that is cosigned would need another head, without end; the head is"
        " public, and what the witness answered is kept as its cosignature"
    ),
    "portal.management.commands.refresh_catalogue": (
        "reads public sources into the checkout, for the operator; there is no tenant and no ledger"
    ),
    "portal.siem": (
        "copies entries that would need copying themselves if they were about copies; how far it"
        " has got and what went wrong stand on the destination"
    ),
    "portal.signin.oidc_party:_asked": (
        "asks who somebody is before there is anybody to act for; each sign-in and refusal is an"
        " entry"
    ),
    "portal.signin.oidc_provider:_fetched": "reads public metadata and keys of a provider",
    "agent.repair.evaluation": "measures the repair engine on exercises; no tenant, no ledger",
    "agent.supplies:environment_of": (
        "handed to tools, which call it inside the intent of their step (bench.environment)"
    ),
}


def _effects(graph: Graph) -> Iterator[tuple[str, Site]]:
    """Every place that does something outside of this process and its database, with its name."""
    for name, sites in graph.named.items():
        for site in sites:
            meaning = graph.meaning(site)
            if meaning in FUNCTIONS or f"{site.module}:{meaning}" in OWN_FUNCTIONS:
                yield meaning, site
            elif site.call and isinstance(site.node, ast.Attribute) and _is_method(site, name):
                yield f".{name}()", site


def _is_method(site: Site, name: str) -> bool:
    """Methods by their names and arguments, because what they belong to cannot be read."""
    assert site.call
    if site.module.startswith(("agent.forge", "agent.sandbox", "evidence.store")):
        return False
    receiver = _receiver(site)
    given = len(site.call.args) + len(site.call.keywords)
    if receiver in {"self", "cls", "super"}:
        return False
    if name in {"run", "open"}:
        return receiver in {"engine", "_engine", "sandbox"}
    if name == "delete":
        # A query takes nothing; the store takes whose file, and which. Routes are no calls of it.
        return given == 2 and receiver not in {"router", "of_members"}
    return name in FORGE_WRITES


def _receiver(site: Site) -> str:
    """The last name before the method: "sandbox" of `bench.sandbox().run`."""
    assert isinstance(site.node, ast.Attribute)
    value = site.node.value
    while isinstance(value, ast.Call):
        value = value.func
    return value.attr if isinstance(value, ast.Attribute) else ast.unparse(value)


class _Search:
    """Goes from each effect up through all callers until an intent or an excuse."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.effects = list(_effects(graph))
        self.used: set[str] = set()
        self._known: dict[str, list[str]] = {}

    def outside(self) -> list[str]:
        """Ways that lead to an effect without an intent, in words."""
        return sorted({f"{n}: {way}" for n, site in self.effects for way in self._ways(site)})

    def _ways(self, site: Site) -> list[str]:
        if site.is_within(INTENDED):
            return []
        if excuse := _excuse(site.inside):
            self.used.add(excuse)
            return []
        here = f"{site.inside} line {site.line}"
        return [f"{here}, called by {way}" if way else here for way in self._ways_to(site.inside)]

    def _ways_to(self, function: str) -> list[str]:
        """Nobody calls a job, a page, a command or what happens on import: that is a way."""
        if function not in self._known:
            self._known[function] = []  # whoever comes back here has found no other way
            callers = list(self._callers(function))
            ways = [way for site in callers for way in self._ways(site)]
            self._known[function] = ways[:3] if callers else [""]
        return self._known[function]

    def _callers(self, function: str) -> Iterator[Site]:
        if function not in self.graph.functions:
            return
        for site in self.graph.callers(function):
            if _is_row_of_tools(site):
                # Tool(run=...) is called where a step runs its tool.
                yield from self.graph.method_calls("tool", "run")
            else:
                yield site


def _is_row_of_tools(site: Site) -> bool:
    calls = [parent for parent in site.parents if isinstance(parent, ast.Call)]
    at_top = site.inside.endswith(":")
    return at_top and bool(calls) and ast.unparse(calls[-1].func) == "Tool"


def _excuse(function: str) -> str | None:
    above = [function, function.partition(":")[0]]
    while "." in above[-1]:
        above.append(above[-1].rpartition(".")[0])
    return next((known for known in above if known in EXCUSED), None)


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return read_packages(ROOT, *PACKAGES)


@pytest.fixture(scope="module")
def graph(sources) -> Graph:
    return Graph.read(sources)


def test_effects_happen_between_an_intent_and_its_result(graph):
    search = _Search(graph)

    assert search.outside() == []
    assert sorted(set(EXCUSED) - search.used) == []  # excuses that nothing needs any more
    found = {name for name, _ in search.effects}
    assert {".publish()", ".open_pull_request()", ".delete()", ".erase()", ".run()", ".open()"} <= (
        found
    )
    assert found >= FUNCTIONS


def test_only_known_modules_start_processes_connect_or_delete_files(graph):
    users = {
        site.module
        for name, sites in graph.named.items()
        for site in sites
        if graph.meaning(site).startswith(LIBRARY)
        or (name == "unlink" and site.call and not graph.meaning(site).startswith("os."))
    }
    known = {user: [m for m in MAY_USE_LIBRARY if f"{user}.".startswith(f"{m}.")] for user in users}

    assert sorted(user for user, of in known.items() if not of) == []
    assert sorted(set(MAY_USE_LIBRARY) - {m for of in known.values() for m in of}) == []


def test_every_request_to_another_host_is_counted():
    public = {
        name
        for name, one in vars(outbound).items()
        if getattr(one, "__module__", "") == outbound.__name__
        and callable(one)
        and not isinstance(one, type)
        and not name.startswith("_")
    }

    assert public == REQUESTS | NO_REQUESTS


# One of each way that an intent stands around an effect: module, its line, the line without it.
TAKEN_OUT = [
    (
        "agent.repositories",
        "    with answered(intent, by, Permission.REPOSITORY_REGISTER, on=project):\n",
        "    if intent:\n",
        ".create_repository(): agent.repositories:register",
    ),
    (
        "agent.upkeep",
        "    with effect(by, Permission.PULL_REQUEST_OPEN, on=proposal, **said) as facts:\n",
        "    with change(by, Permission.PULL_REQUEST_OPEN, on=proposal) as facts:\n",
        ".delete_branch(): agent.upkeep:withdraw",
    ),
    (
        "agent.merging",
        "        with effect(by, Permission.PROPOSAL_MERGE, on=proposal, **said) as came:\n",
        "        if came := Facts():\n",
        ".merge(): agent.merging:carry_out",
    ),
    (
        "agent.runner",
        "            with answered(intent, self.by, tool.permission, on=self.task):\n",
        "            if intent:\n",
        ".publish(): agent.tools.publishing:",
    ),
    (
        "agent.gateway.asking",
        "        with answered(facts.intent, asker.by, asker.permission, on=asker.on):\n",
        "        if facts.intent:\n",
        "tenants.outbound.post_json: agent.gateway.asking:_send",
    ),
]


def test_an_effect_taken_out_of_its_intent_is_found(sources):
    changed = dict(sources)
    for module, within, without, _ in TAKEN_OUT:
        assert within in changed[module], module
        changed[module] = changed[module].replace(within, without)

    found = _Search(Graph.read(changed)).outside()

    for *_, told in TAKEN_OUT:
        assert any(way.startswith(told) for way in found), (told, found)

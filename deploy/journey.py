"""Takes the main job through a running portal as its users would, and says whether it held.

Over HTTP only, with each person's own session: a tech lead files the request, a second one
countersigns the pull request, the auditor fetches the evidence pack, and the offline verifier
checks it against the key that was fetched apart from it.
"""

import http.client
import json
import os
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).resolve().parent.parent
VERIFIER = CHECKOUT / "evidence" / "verifier"

BUGS = CHECKOUT / "deploy" / "demo" / "bugs.yaml"
DEMO_BUG = "boxes"
DEVELOPER = "Bo Haugen"
REQUESTER, COUNTERSIGNER, AUDITOR = "Ada Lindqvist", "Lin Zhao", "Iris Marchetti"
SECONDS_TO_WAIT = 120
SECONDS_TO_REPAIR = 300


class Broken(Exception):
    """A step of the journey did not hold; the message says which, and what was seen."""


@dataclass
class Answer:
    """What the portal answered."""

    status: int
    headers: Message
    content: bytes


@dataclass
class Session:
    """One person's browser: cookies, the forgery token, nothing else."""

    address: str  # http://acme.localhost:8000
    name: str
    cookies: dict[str, str] = field(default_factory=dict)

    def sign_in(self) -> None:
        page = _SignInPage()
        page.feed(self._send("GET", "/signin/", {}).decode())
        if self.name not in page.people:
            raise Broken(f"{self.name} is not on the sign-in page; it offers {page.people or '-'}")
        form = {"person": page.people[self.name], "csrfmiddlewaretoken": page.token}
        self._send(
            "POST",
            "/signin/",
            {"Content-Type": "application/x-www-form-urlencoded"},
            urllib.parse.urlencode(form).encode(),
        )

    def read(self, path: str) -> Any:
        return json.loads(self.download(path))

    def download(self, path: str) -> bytes:
        return self._send("GET", f"/api/v1{path}", {})

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {
            "Content-Type": "application/json",
            "X-CSRFToken": self.cookies.get("csrftoken", ""),
        }
        return json.loads(self._send("POST", f"/api/v1{path}", headers, json.dumps(body).encode()))

    def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> bytes:
        """Send one request. Raises Broken for any answer from 400 on."""
        answer = self.answer(method, path, headers, body)
        if answer.status >= 400:
            said = answer.content[:500].decode(errors="replace")
            raise Broken(f"{method} {path} as {self.name}: {answer.status} {said}")
        return answer.content

    def answer(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> "Answer":
        """Send one request with this person's cookies. Raises Broken when nobody answers."""
        where = urllib.parse.urlsplit(self.address)
        # Browsers know that *.localhost is this machine; name servers need not.
        connection = http.client.HTTPConnection("127.0.0.1", where.port, timeout=60)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(
                method, path, body, {"Host": where.netloc, "Cookie": cookies, **(headers or {})}
            )
            response = connection.getresponse()
            content = response.read()
        except OSError as error:
            raise Broken(f"{method} {path} as {self.name}: {error}") from error
        finally:
            connection.close()
        for header in response.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(header).items():
                self.cookies[name] = morsel.value
        return Answer(response.status, response.headers, content)


class _SignInPage(HTMLParser):
    """Reads the people and the forgery token off the demo's sign-in page."""

    def __init__(self) -> None:
        super().__init__()
        self.token = ""
        self.people: dict[str, str] = {}  # name -> what to post as `person`
        self._person: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("name") == "csrfmiddlewaretoken":
            self.token = given.get("value") or ""
        if tag == "button":
            self._person = given.get("value") if given.get("name") == "person" else None

    def handle_data(self, data: str) -> None:
        # A button's first words are the name; the roles follow.
        if self._person and data.strip():
            self.people[data.strip()] = self._person
            self._person = None


def travel(address: str, folder: Path, require_alive: Callable[[], None]) -> None:
    """Go the whole way, print each step, and raise Broken where it does not hold.

    folder: takes the downloaded pack and the key. require_alive: raises when the portal has gone.
    """
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    requester, countersigner, auditor = (
        Session(address, name) for name in (REQUESTER, COUNTERSIGNER, AUDITOR)
    )
    for person in (requester, countersigner, auditor):
        person.sign_in()

    # The first example that the form offers is the request the product was built for.
    request = requester.read("/recommendations/examples")[0]
    request["repository"] = requester.read("/repositories")["items"][0]["id"]
    print(f"\n{REQUESTER} files: {request['title']}", flush=True)
    task = requester.post("/recommendations", request)
    task = _finished_task(requester, task["id"], require_alive)
    proposal = requester.read(f"/proposals/{task['proposal_id']}")
    proposed = time.monotonic()
    print(f"Pull request #{proposal['number']} {proposal['title']}\n  {proposal['url']}")

    # The digest binds the signature to what was read; any change since then refuses it.
    signed = countersigner.post(
        f"/proposals/{proposal['id']}/countersignature", {"digest": proposal["digest"]}
    )
    if signed["verdict"] != "countersigned":
        raise Broken(f"the answer is {signed['verdict']} after {COUNTERSIGNER}'s countersignature")
    print(f"{COUNTERSIGNER} countersigns {proposal['digest'][:16]}", flush=True)

    pack = auditor.post(f"/proposals/{proposal['id']}/packs", {})
    pack = _ready_pack(auditor, pack["id"], require_alive)
    archive, key = folder / f"pack-{pack['id']}.zip", folder / "acme.vkey"
    archive.write_bytes(auditor.download(f"/packs/{pack['id']}/download"))
    key.write_text(auditor.read("/log/key")["vkey"] + "\n")
    print(f"{AUDITOR} fetches the evidence pack\n  {archive}", flush=True)

    verdict = _verified(archive, key)
    ended = time.monotonic()
    print(f"Verifier: {verdict}")
    print(
        f"Request to pull request {proposed - started:.1f} s, all of it {ended - started:.1f} s\n"
        f"Again: make verify PACK={archive} KEY={key}",
        flush=True,
    )


def repair(address: str, require_alive: Callable[[], None]) -> None:
    """Have one seeded bug repaired, print each step and the proof; raises Broken otherwise."""
    started = time.monotonic()
    developer = Session(address, DEVELOPER)
    developer.sign_in()
    [bug] = [one for one in yaml.safe_load(BUGS.read_text()) if one["id"] == DEMO_BUG]
    [repository] = [
        one for one in developer.read("/repositories")["items"] if one["name"] == bug["repository"]
    ]
    print(f"\n{DEVELOPER} files: {bug['title']}", flush=True)
    filed = developer.post(
        "/tasks",
        {
            "repository": repository["id"],
            "title": bug["title"],
            "what_is_wrong": bug["what_is_wrong"],
            "how": "pasted",
            "code": bug["test"],
        },
    )
    task = _finished_task(developer, filed["id"], require_alive, "tasks", SECONDS_TO_REPAIR)
    fix = task["fix"]
    if fix is None or task["proposal_id"] is None:
        raise Broken("the repair ended without a proof or a pull request")
    proposal = developer.read(f"/proposals/{task['proposal_id']}")
    print(
        f"What was wrong: {fix['explanation']['what_was_wrong']}\n"
        f"Pull request #{proposal['number']} {proposal['title']}\n  {proposal['url']}\n"
        f"Proof {fix['proof_sha256'][:16]}: red three times, green three times, red again without"
        f" the change; run in {fix['proof']['tier']}\n"
        f"Bug to pull request {time.monotonic() - started:.1f} s",
        flush=True,
    )


def _finished_task(
    person: Session,
    task_id: str,
    require_alive: Callable[[], None],
    kind: str = "recommendations",
    patience: float = SECONDS_TO_WAIT,
) -> dict[str, Any]:
    """Print each step of the agent once it is done, until the task has ended well."""
    shown = 0
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        require_alive()
        task: dict[str, Any] = person.read(f"/{kind}/{task_id}")
        steps = task["actions"] if kind == "recommendations" else task["steps"]
        done = [step for step in steps if step["status"] == "done"]
        for step in done[shown:]:
            print(
                f"  {step['duration_ms'] / 1000:5.2f} s  {step['tool']}: {step['observation']}",
                flush=True,
            )
        shown = len(done)
        if task["state"] == "completed":
            return task
        if task["state"] in {"failed", "timed_out", "cancelled"}:
            raise Broken(f"the request ended as {task['state']}: {task['reason']}")
        time.sleep(0.1)
    raise Broken(
        f"the request did not end in {patience:.0f} s; what the worker says is in log/agent.log"
        " of the data folder (var/), and /readyz tells whether sandboxes are refused"
    )


def _ready_pack(person: Session, pack_id: str, require_alive: Callable[[], None]) -> dict[str, Any]:
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while time.monotonic() < deadline:
        require_alive()
        pack: dict[str, Any] = person.read(f"/packs/{pack_id}")
        if pack["state"] == "ready":
            return pack
        if pack["state"] == "failed":
            raise Broken(f"the evidence pack could not be built: {pack['problem']}")
        time.sleep(0.1)
    raise Broken(f"the evidence pack was not there after {SECONDS_TO_WAIT} s")


def _verified(archive: Path, key: Path) -> str:
    """The verifier's last line. Raises Broken unless it found the pack whole."""
    ran = subprocess.run(
        [sys.executable, "-m", "countersign_verify", str(archive), "--key", str(key)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(VERIFIER)},
    )
    # 3 is "whole, with warnings": nobody witnesses a log that was born a minute ago.
    if ran.returncode not in (0, 3):
        raise Broken(f"the verifier rejects the pack:\n{ran.stdout}{ran.stderr}")
    return ran.stdout.strip().splitlines()[-1]

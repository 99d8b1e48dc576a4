"""Ledger entries in the words that security teams' tools read: OCSF 1.8.0.

API Activity (6003) for everything that was done or refused; Compliance Finding (2003) for what lets
work through or stops it; one more event a day names the signed size and root of the log, so that a
copy can be reconciled with it. `metadata.uid` is `origin#index`: whoever gets an event twice knows
it by that. Source: https://schema.ocsf.io/1.8.0/classes/api_activity and .../compliance_finding.
"""

import json
from datetime import datetime
from hashlib import sha256
from typing import Any

VERSION = "1.8.0"
API_ACTIVITY, COMPLIANCE_FINDING = 6003, 2003
CREATE, READ, UPDATE, DELETE, OTHER = 1, 2, 3, 4, 99
INFORMATIONAL, LOW, MEDIUM = 1, 2, 3
SUCCESS, FAILURE = 1, 2
PASS, FAIL = 1, 3

# What lets work through or stops it: action -> the control in plain words.
GATES = {
    "proposal.countersign": "A second person countersigns what an agent proposes",
    "proposal.reject": "A second person countersigns what an agent proposes",
    "branch.bypassed": "A second person countersigns what reaches a default branch",
    "policy.approve": "Two people change a policy",
    "emergency.approve": "A tenant lets an operator in",
}
STANDARD = "Countersign change control"
_VERBS = {
    "create": CREATE,
    "open": CREATE,
    "admit": CREATE,
    "request": CREATE,
    "register": CREATE,
    "build": CREATE,
    "view": READ,
    "list": READ,
    "download": READ,
    "export": READ,
    "remove": DELETE,
    "revoke": DELETE,
    "erase": DELETE,
    "end": DELETE,
}


def event(leaf: bytes, *, origin: str, index: int, product_version: str) -> dict[str, Any]:
    """The event of one sealed entry. origin: of the tenant's log."""
    said = json.loads(leaf)
    action = str(said["action"])
    base = action.removesuffix(".denied").removesuffix(".refused")
    ok = said["outcome"] == "ok"
    gate = GATES.get(base) if said["phase"] in ("result", "decision") else None
    told = {
        "time": _milliseconds(said["ts"]),
        "severity_id": INFORMATIONAL if ok else MEDIUM if said["outcome"] == "failed" else LOW,
        "status_id": SUCCESS if ok else FAILURE,
        "status_detail": said["outcome"],
        "message": f"{said['actor']['name']}: {action} ({said['outcome']})",
        "metadata": _metadata(said, origin, index, product_version),
        "actor": _actor(said["actor"]),
        "resources": [{"type": said["object"]["type"], "uid": said["object"]["id"]}],
        "unmapped": {
            "index": index,
            "leaf_sha256": sha256(b"\x00" + leaf).hexdigest(),
            "phase": said["phase"],
            "run": said["run"],
            "policy": said["policy"],
            "on_behalf_of": said["actor"]["on_behalf_of"],
        },
    }
    if said["actor"]["type"] == "agent":
        told["ai_model"] = {"ai_provider": "Internal", "name": said["actor"]["name"]}
    if gate is None:
        activity = _VERBS.get(base.rsplit(".", 1)[-1], UPDATE)
        told["api"] = {"operation": action, "service": {"name": "Countersign"}}
        # Where a request came from is not in the ledger; through which door it came is.
        told["src_endpoint"] = {"name": said["door"]}
        return _classified(told, 6, API_ACTIVITY, activity)
    passed = ok and base != "proposal.reject"
    told["finding_info"] = {"uid": f"{origin}#{index}", "title": f"{gate}: {said['outcome']}"}
    told["compliance"] = {
        "control": gate,
        "standards": [STANDARD],
        "status_id": PASS if passed else FAIL,
        "status": "Pass" if passed else "Fail",
    }
    return _classified(told, 2, COMPLIANCE_FINDING, CREATE)


def checkpoint_event(
    *, origin: str, size: int, root: bytes, note: str, signed_at: datetime, product_version: str
) -> dict[str, Any]:
    """The event of a signed tree head: size of the log, root (hex), the note as it was signed."""
    told = {
        "time": int(signed_at.timestamp() * 1000),
        "severity_id": INFORMATIONAL,
        "status_id": SUCCESS,
        "message": f"{origin} had {size} entries",
        "metadata": {
            "uid": f"{origin}@{size}",
            "log_name": origin,
            "version": VERSION,
            "product": _product(product_version),
        },
        "actor": {"app_name": "Countersign"},
        "api": {"operation": "log.checkpoint", "service": {"name": "Countersign"}},
        "src_endpoint": {"name": "job"},
        "unmapped": {"size": size, "root": root.hex(), "note": note},
        "activity_name": "Checkpoint",
    }
    return _classified(told, 6, API_ACTIVITY, OTHER)


def _classified(told: dict[str, Any], category: int, class_: int, activity: int) -> dict[str, Any]:
    return {
        "category_uid": category,
        "class_uid": class_,
        "activity_id": activity,
        "type_uid": class_ * 100 + activity,
        **told,
    }


def _metadata(
    said: dict[str, Any], origin: str, index: int, product_version: str
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "uid": f"{origin}#{index}",
        "sequence": index,
        "log_name": origin,
        "tenant_uid": said["tenant"],
        "version": VERSION,
        "product": _product(product_version),
    }
    if said["trace"]:
        metadata["correlation_uid"] = said["trace"]
    if said["actor"]["type"] == "agent":
        metadata["profiles"] = ["ai_operation"]
    return metadata


def _product(version: str) -> dict[str, str]:
    return {"name": "Countersign", "vendor_name": "Countersign", "version": version}


def _actor(actor: dict[str, Any]) -> dict[str, Any]:
    if actor["type"] == "system":
        return {"app_name": actor["name"], "app_uid": actor["id"]}
    kind = {"human": 1, "robot": 4, "agent": 4}[actor["type"]]  # 1: a person, 4: a service
    return {"user": {"uid": actor["id"], "name": actor["name"], "type_id": kind}}


def _milliseconds(ts: str) -> int:
    return int(datetime.fromisoformat(ts).timestamp() * 1000)

"""The ways a batch of events leaves: each returns once the other side has it, or raises NotSent."""

import json
import os
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from authz.log_export import secret_of
from authz.models import LogDestination
from tenants import outbound
from tenants.secrets import SecretsUnavailable

Events = Sequence[dict[str, Any]]

# RFC 5424: facility 13 (log audit), by OCSF's severity; 6 informational, 5 notice, 4 warning.
FACILITY = 13
SYSLOG_SEVERITY = {1: 6, 2: 5, 3: 4}
APP_NAME = "countersign"
# A private enterprise number is needed for data of our own; 32473 is the one for documentation
# (RFC 5612), as we have none.
DATA_ID = "countersign@32473"


class NotSent(Exception):
    """The other side does not have the batch for sure; send it again."""


def send(destination: LogDestination, events: Events) -> None:
    """Bring the events there, in order. Raises NotSent."""
    _WAYS[destination.kind](destination, events)


def _to_file(destination: LogDestination, events: Events) -> None:
    folder = settings.LOG_COPIES_DIR
    if folder is None:
        raise NotSent("the operator has set no LOG_COPIES_DIR, so no file can be written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{destination.tenant_id}-{destination.pk}.jsonl"
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o640)
        with os.fdopen(number, "rb+") as file:
            # Whoever was killed in the middle of a line left half of one: cut off, it comes again.
            file.truncate(_whole_lines(file))
            file.seek(0, os.SEEK_END)
            file.write(b"".join(json.dumps(event).encode() + b"\n" for event in events))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NotSent(f"the file cannot be written: {error.strerror}") from error


def _whole_lines(file: Any) -> int:
    """Bytes up to the end of the last line that has an end."""
    end: int = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65_536)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + int(found) + 1
        end = start
    return 0


def _to_hec(destination: LogDestination, events: Events) -> None:
    """Splunk's HTTP event collector: several events, one after the other, in one request."""
    body = "".join(
        json.dumps(
            {
                "time": event["time"] / 1000,  # seconds, as the collector counts
                "source": event["metadata"]["log_name"],
                "sourcetype": "countersign:ocsf",
                "event": event,
            }
        )
        for event in events
    )
    try:
        token = secret_of(destination)
        answer = outbound.post_json(
            destination.address,
            body.encode(),
            headers={"Authorization": f"Splunk {token}"},
            trusted=destination.trusted,
        )
    except (outbound.NotFetched, SecretsUnavailable) as fault:
        raise NotSent(str(fault)) from fault
    said = answer.document if isinstance(answer.document, dict) else {}
    if answer.status != 200 or said.get("code") != 0:
        raise NotSent(f"the collector answers {answer.status}: {str(said.get('text'))[:200]}")


def _to_syslog(destination: LogDestination, events: Events) -> None:
    """RFC 5424 messages over TLS (RFC 5425), each with its length before it."""
    host, _, port = destination.address.rpartition(":")
    body = b"".join(b"%d %s" % (len(one), one) for one in map(syslog_message, events))
    try:
        outbound.deliver(host.strip("[]"), int(port), body, trusted=destination.trusted)
    except outbound.NotFetched as fault:
        raise NotSent(str(fault)) from fault


def syslog_message(event: dict[str, Any]) -> bytes:
    """One message; the event itself as JSON in UTF-8, its dedupe key as structured data too."""
    priority = FACILITY * 8 + SYSLOG_SEVERITY.get(event["severity_id"], 5)
    seconds, milliseconds = divmod(event["time"], 1000)
    at = f"{_utc(seconds)}.{milliseconds:03}Z"
    uid = event["metadata"]["uid"].translate({ord(sign): f"\\{sign}" for sign in '"\\]'})
    head = (
        f"<{priority}>1 {at} {socket.gethostname()[:255] or '-'} {APP_NAME} -"
        f' {event["class_uid"]} [{DATA_ID} uid="{uid}"] '
    )
    return head.encode() + b"\xef\xbb\xbf" + json.dumps(event).encode()


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_WAYS: dict[str, Callable[[LogDestination, Events], None]] = {
    LogDestination.Kind.FILE: _to_file,
    LogDestination.Kind.HEC: _to_hec,
    LogDestination.Kind.SYSLOG: _to_syslog,
}

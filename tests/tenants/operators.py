"""Operators' commands, run in this process under the database role that they need."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from urllib.parse import urlsplit

from django.core.management import call_command
from django.db import connection
from django.test import override_settings

URLS = {"owner": "DATABASE_OWNER_URL", "app": "DATABASE_URL"}


@contextmanager
def as_role(role: str) -> Iterator[None]:
    """Everything in the block talks to the database as `role`."""
    url = urlsplit(os.environ[URLS[role]])
    before = connection.settings_dict
    connection.close()
    # A dict of its own: the other one is shared with the connections of all threads.
    connection.settings_dict = {**before, "USER": url.username, "PASSWORD": url.password}
    try:
        with override_settings(DATABASE_ROLE=role):
            yield
    finally:
        connection.close()
        connection.settings_dict = before


def manage(command: str, *words: str, role: str = "owner") -> str:
    """What a command says. Raises CommandError."""
    said = StringIO()
    with as_role(role):
        call_command(command, *words, stdout=said, stderr=said)
    return said.getvalue()

"""Counts how many recorded changes one process makes in a while; the bench runs several at once.

Run by tests.bench: python -m tests.bench.appends HOST SECONDS, in the environment of a portal.
"""

import os
import sys
import time

import django

TOGETHER = 10  # entries of one change


def main() -> None:
    """Print five numbers a second: entries by themselves, changes with an empty block, changes
    that update a row, entries of changes that leave ten each, and bare committed updates."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from django.db import transaction

    from authz.change import change, entry
    from authz.permissions import Permission
    from authz.roles import Role
    from evidence import ledger
    from tenants.models import Project, User
    from tenants.scope import scope_of_host, tenant_scope

    host, seconds = sys.argv[1], float(sys.argv[2])
    scope = scope_of_host(host)
    assert scope is not None, host
    with tenant_scope(scope):
        admin = User.objects.get(grants__role=Role.TENANT_ADMIN).actor("cli")
        project = Project.objects.create(slug=f"bench-{os.getpid()}", name="Bench")
        mine = Project.objects.filter(pk=project.pk)

        def alone(number: int) -> None:
            entry(admin, Permission.PROJECT_CREATE, on=project, facts={"number": number})

        def empty_block(number: int) -> None:
            with change(admin, Permission.PROJECT_CREATE, on=project) as facts:
                facts["number"] = number

        def ten_entries(number: int) -> None:
            with change(admin, Permission.PROJECT_CREATE, on=project) as facts:
                for part in range(TOGETHER - 1):
                    said = {"number": number, "part": part}
                    ledger.record(Permission.PROJECT_CREATE, by=admin, on=project, facts=said)
                facts["number"] = number

        def recorded(number: int) -> None:
            with change(admin, Permission.PROJECT_CREATE, on=project) as facts:
                mine.update(name=f"Bench {number}")
                facts["number"] = number

        def bare(number: int) -> None:
            with transaction.atomic():
                mine.update(name=f"Bare {number}")

        print(
            _rate(alone, seconds),
            _rate(empty_block, seconds / 4),
            _rate(recorded, seconds),
            _rate(ten_entries, seconds / 4) * TOGETHER,
            _rate(bare, seconds / 4),
        )


def _rate(work, seconds: float) -> float:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    done = 0
    while time.perf_counter() - started < seconds:
        work(done)
        done += 1
    return done / (time.perf_counter() - started)


if __name__ == "__main__":
    main()

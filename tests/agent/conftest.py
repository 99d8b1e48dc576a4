"""A sample repository with seeded bugs, and a way to file one of them."""

import pytest

from agent.packages import Shelf
from deploy import demo_packages
from tests.agent.bug_cases import PATIENT, WRITTEN, cases, files_of, report_of


@pytest.fixture
def toolshed(in_acme):
    from agent import repositories
    from tenants.actor import system_actor

    return repositories.register(
        "toolshed",
        project=in_acme.project,
        files=files_of("toolshed"),
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )


@pytest.fixture
def file_bug(in_acme, toolshed):
    """Files a seeded bug of the repository, with a budget that no busy machine uses up."""
    from agent import lifecycle
    from tests.at_browser import JUST_NOW

    def filed(case="overlaps", who="bo", report=(), budgets=PATIENT):
        person = in_acme.people[who]
        return lifecycle.file_bugfix(
            {**report_of(cases()[case]), **dict(report)},
            repository=toolshed,
            owner=person,
            by=person.actor("page", signed_in=JUST_NOW),
            budgets=budgets,
        )

    return filed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The wheels of the demonstration's package, each version."""
    made = tmp_path_factory.mktemp("packages")
    demo_packages.write(made)
    return made


@pytest.fixture
def shelf(folder):
    return Shelf.of({}, folder)

"""A fault in a program that needs packages is repaired with these installed."""

import pytest

from agent import lifecycle, repositories, runner
from agent.places import forge_address, local_forge
from deploy import demo_packages
from tenants.actor import system_actor
from tests.agent.bug_cases import PATIENT, WRITTEN
from tests.at_browser import JUST_NOW

SHOP = b'''"""Adds up what was bought."""

import coinage


def pieces(basket):
    """How many things are in a basket of (name, number) pairs."""
    assert coinage.__name__
    total = 1
    for _, number in basket:
        total += number
    return total
'''
TESTS = b"""import pytest
from shop import pieces


@pytest.mark.parametrize("basket, number", [([], 0), ([("tea", 2)], 2), ([("a", 1), ("b", 3)], 4)])
def test_pieces(basket, number):
    assert pieces(basket) == number
"""


@pytest.fixture
def bug(in_acme, tmp_path, settings):
    settings.PACKAGES_DIR = tmp_path / "packages"
    demo_packages.write(settings.PACKAGES_DIR)
    repository = repositories.register(
        "shop",
        project=in_acme.project,
        files={"shop.py": SHOP, "test_shop.py": TESTS, "requirements.txt": b"coinage==1.4.0\n"},
        written=WRITTEN,
        by=system_actor("test", "cli"),
    )
    bo = in_acme.people["bo"]
    report = {"title": "One too many", "what_is_wrong": "None are 1.", "how": "find"}
    task = lifecycle.file_bugfix(
        report,
        repository=repository,
        owner=bo,
        by=bo.actor("page", signed_in=JUST_NOW),
        budgets=PATIENT,
    )
    task.base_sha = local_forge().head(forge_address(repository), "main")
    return task


@pytest.mark.timeout(600)
def test_tests_and_search_find_what_the_repository_declares(bug):
    bench = runner.bench_for(bug, {})
    seen = runner.TOOLS["run_tests"].run(bench, {"target": [], "on": "base", "purpose": "baseline"})
    red = [row["id"] for row in seen.result["failing"]]
    assert len(red) == 3
    assert seen.result["broken"] == []

    found = runner.TOOLS["propose_repair"].run(bench, {"red": red, "seconds": 60})

    assert found.result["ended"] == "repaired", found.said
    [part] = found.result["patches"][0]["parts"]
    assert "+    total = 0" in part["unified_diff"]

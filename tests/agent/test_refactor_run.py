"""What code does is written down, then it is changed, then it still does it."""

import subprocess
import sys

import pytest

from agent import lifecycle, repositories, runner
from agent.models import ChangeReport, Task
from agent.places import forge_address, local_forge
from agent.tools.characterising import test_file as written_as_tests
from authz.errors import BadRequest, Denied
from tenants.actor import system_actor
from tests.agent.bug_cases import WRITTEN
from tests.at_browser import JUST_NOW

FILES = {
    "pyproject.toml": b'[tool.pytest.ini_options]\npythonpath = ["src"]\n',
    "src/shop/__init__.py": b"",
    "src/shop/pricing.py": b'''"""Prices."""


def discount(cents, percent):
    """Half a cent goes to the customer."""
    if percent > 100:
        raise ValueError(percent)
    cut = cents * percent + 50
    cut = cut // 100
    return cents - cut
''',
    "src/shop/cart.py": b"from shop import pricing\n\n\ndef pay(lines):\n"
    b"    return sum(pricing.discount(line, 5) for line in lines)\n",
    "tests/test_cart.py": b"from shop.cart import pay\nfrom shop.pricing import discount\n\n\n"
    b"def test_a_cart():\n    assert pay([1000, 250]) == 1187\n\n\n"
    b"def test_none():\n    assert discount(999, 0) == 999\n",
}


@pytest.fixture
def file(in_acme):
    def filed(who="bo", files=FILES, **fields):
        shop = repositories.register(
            "shop",
            project=in_acme.project,
            files=files,
            written=WRITTEN,
            by=system_actor("test", "cli"),
        )
        person = in_acme.people[who]
        return lifecycle.file_refactoring(
            fields,
            repository=shop,
            owner=person,
            by=person.actor("page", signed_in=JUST_NOW),
        )

    return filed


def _run(task):
    for _ in range(40):
        if not runner.advance(task.pk):
            break
    task.refresh_from_db()


def _standing(task, *paths):
    address = forge_address(task.repository)
    return local_forge().read_files(address, task.proposal.head_sha, list(paths))


RENAME = {
    "how": "rename",
    "name": "shop.pricing.discount",
    "new_name": "shop.pricing.reduced",
}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({**RENAME, "name": "discount"}, {"name"}),
        ({**RENAME, "new_name": "shop.other.reduced"}, {"new_name"}),
        ({**RENAME, "how": "move"}, {"new_name"}),
        ({"how": "extract", "path": "../x.py", "first": "0", "new_name": "a.b"}, None),
        ({"how": "burn"}, {"how"}),
    ],
)
def test_fields_that_make_no_sense_are_told_one_by_one(file, fields, wrong):
    with pytest.raises(BadRequest) as refused:
        file(**fields)

    assert set(refused.value.errors) == (wrong or {"path", "first", "last", "new_name"})


def test_an_auditor_asks_for_no_change(file):
    with pytest.raises(Denied):
        file(who="iris", **RENAME)


def test_calls_become_a_test_file_that_can_be_run(tmp_path):
    rows = [(["1", "'a\\n'"], ("value", "'a\\n'")), (["0", "''"], ("raises", "ValueError"))]
    (tmp_path / "thing.py").write_text(
        "def twice(n, text):\n    if not n:\n        raise ValueError\n    return n * text\n"
    )
    (tmp_path / "test_it.py").write_text(written_as_tests("thing", "twice", rows))

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:django"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "2 passed" in ran.stdout, ran.stdout


def test_what_is_written_down_tells_the_function_from_its_mutants(file):
    task = file(**RENAME)
    task.base_sha = local_forge().head(forge_address(task.repository), "main")
    tool = runner.TOOLS["characterise"]

    seen = tool.run(runner.bench_for(task, {}), {"name": "shop.pricing.discount"})

    tool.check_result(seen.result)
    assert seen.result["mutants"] >= 15
    # Two tests of the repository alone notice far fewer.
    assert seen.result["killed"] >= 0.7 * seen.result["mutants"]
    assert 2 <= seen.result["tests"] <= 12
    [code] = runner.json.loads(seen.outputs["written-tests.json"]).values()
    assert "from shop.pricing import discount" in code


@pytest.mark.slow
def test_a_rename_becomes_a_pull_request_whose_tests_speak_for_both_names(file):
    task = file(**RENAME, why="It says what it does.")

    _run(task)

    assert task.state == Task.State.COMPLETED, task.reason
    assert task.proposal.failing_checks == []
    [request] = local_forge().pull_requests(forge_address(task.repository))
    assert request.draft is False
    assert request.title.startswith("refactor: rename shop.pricing.discount to reduced")
    assert "Stage 2, by whoever uses shop.pricing.discount from outside" in request.body
    report = ChangeReport.objects.get(task=task).report
    assert any("small changes from it" in said for said in report["risks"])
    files = _standing(
        task, "src/shop/pricing.py", "src/shop/cart.py", "tests/test_what_discount_did.py"
    )
    assert b"pricing.reduced(line, 5)" in files["src/shop/cart.py"]
    assert files["src/shop/pricing.py"].endswith(b"discount = reduced\n")
    assert b"from shop.pricing import reduced" in files["tests/test_what_discount_did.py"]


METHODS = {
    "pyproject.toml": FILES["pyproject.toml"],
    "src/shop/__init__.py": b"",
    "src/shop/cart.py": b"class Cart:\n    def total(self):\n        return 3\n",
    "tests/test_cart.py": b"from shop.cart import Cart\n\n\ndef test_a_cart():\n"
    b"    assert Cart().total() == 3\n\n\ndef test_another():\n"
    b"    [one] = [Cart()]\n    assert one.total() == 3\n",
}


@pytest.mark.slow
def test_a_method_gets_another_name_and_what_is_not_evident_goes_on_by_the_old_one(file):
    names = {"name": "shop.cart.Cart.total", "new_name": "shop.cart.Cart.price"}
    task = file(files=METHODS, how="rename", **names)

    _run(task)

    assert task.state == Task.State.COMPLETED, task.reason
    assert task.proposal.failing_checks == []
    files = _standing(task, "src/shop/cart.py", "tests/test_cart.py")
    assert b"def price(self):" in files["src/shop/cart.py"]
    assert files["src/shop/cart.py"].endswith(b"    total = price\n")
    assert b"Cart().price() == 3" in files["tests/test_cart.py"]
    assert b"one.total() == 3" in files["tests/test_cart.py"]
    report = ChangeReport.objects.get(task=task).report
    assert report["left"] == ["tests/test_cart.py:10: one.total may be of another class"]
    assert "Nothing could be written down before" in report["risks"][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        (
            {"how": "move", "name": RENAME["name"], "new_name": "shop.reductions.discount"},
            "src/shop/reductions.py",
            b"def discount(cents, percent):",
        ),
        (
            {
                "how": "extract",
                "path": "src/shop/pricing.py",
                "first": 8,
                "last": 9,
                "new_name": "rounded_cut",
            },
            "src/shop/pricing.py",
            b"    cut = rounded_cut(cents, percent)\n    return cents - cut\n",
        ),
    ],
)
def test_a_move_and_an_extraction_keep_what_the_code_does(file, fields, path, words):
    task = file(**fields)

    _run(task)

    assert task.state == Task.State.COMPLETED, task.reason
    assert task.proposal.failing_checks == []
    assert words in _standing(task, path)[path]


@pytest.mark.slow
def test_nothing_is_changed_while_a_test_fails(file):
    broken = {**FILES, "tests/test_cart.py": b"def test_it():\n    assert False\n"}
    task = file(files=broken, **RENAME)

    _run(task)

    assert task.state == Task.State.FAILED
    assert "fails before anything is changed" in task.reason
    assert local_forge().pull_requests(forge_address(task.repository)) == []

"""A fault goes in, a proven patch comes out, inside the real sandbox."""

import pytest

from agent.repair import Ended, evaluation, repair
from agent.repair.edits import Edit
from agent.repair.operators.base import Candidate
from agent.repair.proof import ProofFailed, Prover
from agent.repair.session import Limit, Session
from agent.sandbox import engine

CODE = b'''"""Prices of a desk."""

RATE = 0.2


def total(prices, paid):
    """What is still owed."""
    owed = 0
    for price in prices:
        owed += price  # with tax
    if owed < paid:
        return owed + paid
    return owed - paid
'''
TESTS = b"""import pytest
from desk import total


@pytest.mark.parametrize(
    "prices, paid, owed",
    [([], 0, 0), ([5, 5], 3, 7), ([5], 8, -3), ([2, 1], 9, -6), ([4], 4, 0)],
)
def test_total(prices, paid, owed):
    assert total(prices, paid) == owed
"""
LIMIT = Limit(1_000_000, 10.0)
DESK = {"desk.py": CODE, "tests/test_desk.py": TESTS}


def test_a_fault_is_found_repaired_proven_and_explained():
    told = []

    done = repair(DESK, None, engine=engine(), seconds=60, on_progress=told.append)

    assert done.ended == Ended.REPAIRED
    assert sorted(done.red) == [
        "tests/test_desk.py::test_total[prices2-8--3]",
        "tests/test_desk.py::test_total[prices3-9--6]",
    ]
    first = done.patches[0]
    assert "-        return owed + paid" in first.diff
    assert "+        return owed - paid" in first.diff
    assert b"# with tax" in first.files["desk.py"]
    assert list(first.files) == ["desk.py"]
    assert done.suspects[0].text == "return owed + paid"
    assert done.proof is not None
    assert done.proof.tier == "gvisor"
    assert [run.name for run in done.proof.runs] == [
        "red 1", "red 2", "red 3", "all before", "all after", "taken back",
    ]  # fmt: skip
    assert len({run.result for run in done.proof.runs[:3]}) == 1
    assert done.proof.kept == 3
    assert done.explanation is not None
    assert "desk.py, line 12" in done.explanation.wrong
    assert "`return owed + paid`" in done.explanation.why
    assert {"collect", "baseline", "localise", "search", "rank", "prove"} == {p.stage for p in told}
    assert done.tried > 0


def test_a_patch_that_breaks_a_test_or_repairs_none_is_not_proven():
    red = ["tests/test_desk.py::test_total[prices2-8--3]"]
    breaking = {**DESK, "desk.py": CODE.replace(b"owed - paid", b"paid - owed").replace(
        b"owed + paid", b"owed - paid")}  # fmt: skip

    with Prover(engine(), DESK, red, environment=None, limit=LIMIT, wall=60) as prover:
        with pytest.raises(ProofFailed, match="passed before and fails now"):
            prover.prove(breaking)
        with pytest.raises(ProofFailed, match="still fails"):
            prover.prove({**DESK, "README.md": b"nothing"})


@pytest.mark.slow
def test_nothing_is_repaired_where_nothing_is_red():
    whole = {**DESK, "desk.py": CODE.replace(b"owed + paid", b"owed - paid")}

    assert repair(whole, None, engine=engine(), seconds=30).ended == Ended.NOTHING_RED


@pytest.mark.slow
def test_tests_that_cannot_be_collected_are_said():
    broken = {"desk.py": b"def total(:\n", "tests/test_desk.py": TESTS}

    done = repair(broken, None, engine=engine(), seconds=30)

    assert done.ended == Ended.NOT_COLLECTED
    assert "SyntaxError" in done.reason or "invalid syntax" in done.reason


@pytest.mark.slow
def test_the_proof_of_the_same_patch_is_the_same_to_the_byte():
    red = [f"tests/test_desk.py::test_total[{one}]" for one in ("prices2-8--3", "prices3-9--6")]
    patched = {**DESK, "desk.py": CODE.replace(b"owed + paid", b"owed - paid")}

    proofs = []
    for _ in range(2):
        with Prover(engine(), DESK, red, environment=None, limit=LIMIT, wall=60) as prover:
            proofs.append(prover.prove(patched))

    assert proofs[0].as_json() == proofs[1].as_json()
    assert proofs[0].digest == proofs[1].digest


@pytest.mark.slow
def test_an_endless_loop_is_repaired_and_a_reported_test_may_be_named_without_parameters():
    code = (
        b"def halvings(n):\n    count = 0\n    while n > 1:\n        n = n / 1\n"
        b"        count += 1\n    return count\n"
    )
    tests = (
        b"import pytest\nfrom work import halvings\n\n\n"
        b"@pytest.mark.parametrize('n, c', [(2, 1), (8, 3), (1024, 10)])\n"
        b"def test_halvings(n, c):\n    assert halvings(n) == c\n"
    )

    done = repair(
        {"work.py": code, "test_work.py": tests}, ["test_work.py::test_halvings"],
        engine=engine(), seconds=60,
    )  # fmt: skip

    assert done.ended == Ended.REPAIRED
    assert set(done.red.values()) == {"timeout"}
    assert b"n = n / 2" in done.patches[0].files["work.py"]


@pytest.mark.slow
def test_the_first_patch_is_judged_by_tests_the_engine_never_saw(tmp_path):
    case = tmp_path / "desk"
    for path, text in DESK.items():
        (case / path).parent.mkdir(parents=True, exist_ok=True)
        (case / path).write_bytes(text)
    (case / "hidden").mkdir()
    hidden = "from desk import total\n\n\ndef test_hidden():\n    assert total([1], 3) == {}\n"
    (case / "case.json").write_text('{"python": "3.13", "red": null, "hidden": "hidden"}')

    judged = []
    for answer in (-2, 99):
        (case / "hidden" / "test_hidden.py").write_text(hidden.format(answer))
        read = evaluation.read(case)
        assert not any(path.startswith("hidden") for path in read.sources)
        judged.append(evaluation.judged(read, engine=engine(), seconds=60))

    assert [verdict.correct for verdict in judged] == [True, False]
    assert evaluation.totals(judged)["correct"] == 1


ENUMERATED = {
    "orders.py": b"""import enum


class State(enum.Enum):
    PLACED = "placed"
    SENT = "sent"


class Order:
    def __init__(self, state, pieces):
        self.state, self.pieces = state, pieces


def boxes(order, size):
    return (order.pieces + size) // size


def waits(state):
    return state is State.PLACED
""",
    "tests/test_orders.py": b"""from orders import Order, State, boxes, waits


def test_boxes():
    assert boxes(Order(State.PLACED, 12), 12) == 1
    assert boxes(Order(State.SENT, 0), 12) == 0


def test_one_more():
    assert boxes(Order(State.PLACED, 13), 12) == 2


def test_waits():
    assert waits(State.PLACED)
    assert not waits(State.SENT)
""",
}


def test_members_of_an_enumeration_stay_as_they_are_while_inputs_are_made():
    # Which of several right changes is first depends on how many were compared in the time.
    done = repair(ENUMERATED, None, engine=engine(), seconds=120)

    assert done.ended == Ended.REPAIRED
    repaired: dict = {}
    exec(done.patches[0].files["orders.py"], repaired)
    order, placed = repaired["Order"], repaired["State"].PLACED
    assert [repaired["boxes"](order(placed, n), 5) for n in (0, 1, 5, 6)] == [0, 1, 1, 2]


CHANGING = {
    "orders.py": b"""def cheapest(prices, most):
    found = []
    for price in prices:
        if price > most:
            found.append(price)
    return found
""",
    "conftest.py": b"""import pytest


@pytest.fixture(autouse=True)
def around():
    yield


@pytest.fixture
def prices():
    return [3, 1, 5]
""",
    "tests/test_orders.py": b"""import pytest
from orders import cheapest


@pytest.mark.parametrize("given, wanted", [([1, 9, 2], [1, 2]), ([7], []), ([4, 5], [4, 5])])
def test_given(given, wanted):
    assert cheapest(given, 5) == wanted


def test_fixture(prices):
    assert cheapest(prices, 3) == [3, 1]
    prices.clear()
""",
}


def test_what_one_candidate_does_to_fixtures_and_parameters_the_next_does_not_see():
    done = repair(CHANGING, None, engine=engine(), seconds=60)

    assert done.ended == Ended.REPAIRED
    assert b"if price <= most" in done.patches[0].files["orders.py"]


LONG = {
    "sums.py": b"""def add(n):
    total = 1
    for one in range(n):
        total += one
    return total
""",
    "tests/test_sums.py": b"""from sums import add


def test_add():
    assert add(5_000) == 12_497_500


def test_add_with_a_fixture(tmp_path):
    assert add(0) == 0
""",
}


def test_runs_on_the_base_are_made_again_only_where_a_test_was_cut_off():
    red = "tests/test_sums.py::test_add"
    found = []

    with Prover(engine(), LONG, [red], environment=None, limit=Limit(500, 10.0), wall=60) as prover:
        for taken in (0, 10_000, 100_000):
            prover.allow(Limit(taken, 1.0))
            found.append(prover.before()[0][0])

    cut, whole, same = found
    assert "took longer than it may" in cut.outcomes[red][1]
    assert "assert 12497501 == 12497500" in whole.outcomes[red][1]
    assert same is whole


def test_what_passed_alone_is_not_run_again_unless_pytest_does_more_than_call_it():
    candidate = Candidate((Edit("sums.py", 0, 0, ""),), "nothing", 1.0, 1, "add")

    with Session(engine(), LONG, environment=None, seconds=60) as session:
        tests, _ = session.hello()
        run = session.confirm(candidate, tests, LIMIT, [])
        seen = session.confirm(candidate, tests, LIMIT, tests)

    assert [got["ok"] for got in run.values()] == [False]
    assert [got["ok"] for got in seen.values()] == [True, False]

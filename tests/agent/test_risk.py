"""The risk score of a proposal: what gives points, what does not, that it can be recounted."""

import pytest

from agent.forge import diff as unified
from agent.models import Plan, Proposal
from agent.risk import HIGHEST, measure, risk_of


def changed(path, added=1, removed=0, old=None):
    """A diff of one file with so many lines added and removed."""
    old = old or path
    moved = "" if old == path else f"rename from {old}\nrename to {path}\n"
    return (
        f"diff --git a/{old} b/{path}\n{moved}--- a/{old}\n+++ b/{path}\n"
        f"@@ -1,{removed} +1,{added} @@\n" + "-x\n" * removed + "+x\n" * added
    ).encode()


def said(*diffs, plan=0.0):
    risk = risk_of(unified.files(b"".join(diffs)), plan)
    return (
        risk.score,
        [points for points, _ in risk.reasons],
        " / ".join(words for _, words in risk.reasons),
    )


def test_a_small_document_of_a_harmless_plan_has_no_risk():
    assert said(changed("docs/auth.md")) == (0, [], "")


@pytest.mark.parametrize(
    ("lines", "points"), [(50, 0), (51, 5), (200, 5), (201, 10), (501, 20), (1500, 20), (1501, 30)]
)
def test_the_size_counts(lines, points):
    assert said(changed("a.md", added=lines - 1, removed=1))[0] == points


@pytest.mark.parametrize(
    ("path", "points", "words"),
    [
        (".github/workflows/ci.yaml", 25, "built and checked"),
        ("Jenkinsfile", 25, "built and checked"),
        (".github/CODEOWNERS", 25, "built and checked"),
        ("Dockerfile", 20, "deployed"),
        ("infra/main.tf", 20, "deployed"),
        ("deploy/values.yaml", 20, "deployed"),
        ("conf/secrets.yaml", 25, "who may do what"),
        ("conf/userPermissions.json", 25, "who may do what"),
        ("shop/migrations/0002_more.txt", 20, "shape of the database"),
        ("uv.lock", 10, "depends on"),
        ("requirements.txt", 10, "depends on"),
        ("web/package.json", 10, "depends on"),
    ],
)
def test_sensitive_places_count(path, points, words):
    score, each, reasons = said(changed(path))

    assert (score, each) == (points, [points])
    assert words in reasons
    assert path in reasons


@pytest.mark.parametrize(
    "path", ["authors.txt", "docs/deploy/notes.md", "tests/test_login.py", "tokenizer/data.txt"]
)
def test_what_only_sounds_like_it_does_not(path):
    assert said(changed(path))[0] == 0


def test_a_place_counts_once_and_moving_a_file_out_of_it_counts():
    assert said(changed("deploy/a.yaml"), changed("deploy/b.yaml"))[1] == [20]
    assert "deploy/a.yaml and 1 more" in said(changed("deploy/a.yaml"), changed("deploy/b.yaml"))[2]
    assert said(changed("data/a.yaml", old="deploy/a.yaml"))[1] == [20]


def test_code_without_tests_and_tests_that_shrink_count():
    assert said(changed("shop/cart.py"))[2] == "the program changes, and no test does"
    assert said(changed("shop/cart.py"), changed("tests/test_cart.py"))[0] == 0
    assert said(changed("shop/cart.py"), changed("tests/test_cart.py", 1, 2))[1] == [15]
    assert said(changed("web/cart.ts"), changed("web/cart.spec.ts"))[0] == 0


def test_a_file_that_is_not_text_counts():
    binary = b"diff --git a/x.png b/x.png\nBinary files a/x.png and b/x.png differ\n"

    assert said(binary)[1] == [10]


def test_the_plans_risk_counts_and_one_that_is_not_known_is_the_highest():
    assert said(plan=0.45)[0] == 18
    assert said(plan=1.0)[0] == said(plan=None)[0] == 40


def test_points_are_cut_off_at_a_hundred():
    worst = [
        changed(path, added=400)
        for path in ("ci/.github/x.sh", "deploy/auth.py", "migrations/1.sql", "uv.lock")
    ]

    score, points, _ = said(*worst, plan=1.0)

    assert score == HIGHEST < sum(points)


def test_a_diff_that_cannot_be_read_is_as_risky_as_can_be():
    proposal = Proposal()

    measure(proposal, b"+++ x\n+y\n-z\n", Plan(risk_score=0))

    assert proposal.risk_score == HIGHEST
    assert proposal.diff_lines == 3
    assert "cannot be read" in proposal.risk_reasons[0]["said"]


def test_lines_that_look_like_a_heading_are_counted():
    proposal = Proposal()
    tricky = (
        b"diff --git a/a.md b/a.md\n--- a/a.md\n+++ b/a.md\n@@ -1,1 +1,2 @@\n--- x\n+++ y\n+z\n"
    )

    measure(proposal, tricky, Plan(risk_score=0.1))

    assert (proposal.lines_added, proposal.lines_removed) == (2, 1)
    assert proposal.risk_score == 4
    assert proposal.risk_reasons == [{"points": 4, "said": "the plan has a risk of 0.1 of 1"}]

"""Requests of every shape, for tests that must hold for all of them."""

from collections.abc import Sequence

from hypothesis import strategies as st

from agent.recommender import Catalogue, Constraints
from agent.recommender.constraints import COMPLIANCE_TARGETS, HOSTING, LICENCE_POLICIES

PHRASES = (
    "",
    "GitHub-first, strict TDD, RBAC/multi-tenancy",
    "A RAG service with few moving parts and an audit log",
    "Offline records system with SSO, SCIM and Kubernetes",
)
SKILLS = ("python", "django", "typescript", "java", "go", "sql", "kubernetes", "aws", "cobol")


def requests(catalogue: Catalogue, **fixed: st.SearchStrategy) -> st.SearchStrategy[Constraints]:
    """Any request the form could send. fixed: strategies in place of the default ones."""
    names = sorted(catalogue.technologies)

    def some(items: Sequence[str], size: int) -> st.SearchStrategy[list[str]]:
        return st.lists(st.sampled_from(items), max_size=size, unique=True)

    amounts = st.none() | st.floats(min_value=0.1, max_value=5000)
    fields = {
        "title": st.just("Portal"),
        "building": st.sampled_from(PHRASES),
        "skills": some(SKILLS, 4),
        "already_run": some([*names, "something of our own"], 4),
        "requests_per_second": amounts,
        "data_gb": amounts,
        "latency_budget_ms": amounts,
        "hosting": st.sampled_from(HOSTING),
        "regions": some(["eu-west", "us-east"], 2),
        "licence_policy": st.sampled_from(LICENCE_POLICIES),
        "monthly_budget_usd": amounts,
        "compliance": some(COMPLIANCE_TARGETS, 3),
        "must_haves": some(sorted(catalogue.capabilities), 2),
        "must_nots": some(names, 3),
        "priorities": some(sorted(catalogue.criteria), 5),
        "layers": some([layer.id for layer in catalogue.layers], 3),
        "horizon_months": st.integers(1, 120),
    }
    return st.fixed_dictionaries(fields | fixed).map(Constraints.parse)

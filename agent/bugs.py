"""What somebody said is wrong: the report that a bugfix task starts from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

HOWS = ("pasted", "named", "find")
FRAMEWORKS = ("ssdf", "asvs_l2", "slsa_l3")
TITLE_LIMIT = 120  # characters
TEXT_LIMIT = 4_000
CODE_LIMIT = 20_000
NAMES_LIMIT = 20
# A test as pytest names it: a path below the repository, then class and function.
_NODE = re.compile(r"(?P<path>[\w./-]+\.py)(?:::\w+)*(?:\[[^\n]*\])?")
_TEST = re.compile(r"^\s*(?:async\s+)?def\s+test\w*\s*\(", re.MULTILINE)


class BadReport(Exception):
    """Some fields cannot be used. errors: field -> what was expected of it."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name} {said}" for name, said in errors.items()))
        self.errors = dict(errors)


@dataclass(frozen=True)
class BugReport:
    """What is wrong, and which test shows it.

    how: "pasted" (code is a test file to add), "named" (names are tests of the repository that
    fail) or "find" (run all tests, repair what fails).
    """

    title: str
    what_is_wrong: str
    how: str
    code: str = ""
    names: tuple[str, ...] = ()
    compliance: tuple[str, ...] = field(default=())

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Reads what came from a form or the API. Raises BadReport with a message per field."""
        errors: dict[str, str] = {}
        title = " ".join(str(fields.get("title", "")).split())
        said = str(fields.get("what_is_wrong", "")).strip()
        how = str(fields.get("how", ""))
        code = str(fields.get("code", "")).replace("\r\n", "\n")
        names = _names(fields.get("names", ()))
        compliance = tuple(fields.get("compliance", ()))
        if not title or len(title) > TITLE_LIMIT:
            errors["title"] = f"must have 1 to {TITLE_LIMIT} characters"
        if not said or len(said) > TEXT_LIMIT:
            errors["what_is_wrong"] = (
                f"must have 1 to {TEXT_LIMIT} characters: what happens, what should happen"
            )
        if how not in HOWS:
            errors["how"] = f"must be one of {', '.join(HOWS)}"
        if how == "pasted" and (problem := _problem_of_code(code)):
            errors["code"] = problem
        if how == "named" and (problem := _problem_of_names(names)):
            errors["names"] = problem
        if unknown := [name for name in compliance if name not in FRAMEWORKS]:
            errors["compliance"] = f"has {unknown[0]!r}; known are {', '.join(FRAMEWORKS)}"
        if errors:
            raise BadReport(errors)
        return cls(
            title,
            said,
            how,
            code.rstrip() + "\n" if how == "pasted" else "",
            names if how == "named" else (),
            compliance,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "what_is_wrong": self.what_is_wrong,
            "how": self.how,
            "code": self.code,
            "names": list(self.names),
            "compliance": list(self.compliance),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """What to_json() gave."""
        return cls(
            said["title"],
            said["what_is_wrong"],
            said["how"],
            said["code"],
            tuple(said["names"]),
            tuple(said["compliance"]),
        )


def named_in(text: str) -> list[str]:
    """Files and tests that a text names, in its order: what a message can steer by."""
    found = [match[0].rstrip(".,;:") for match in _NODE.finditer(text)]
    return list(dict.fromkeys(found))


def is_test_path(path: str) -> bool:
    """Whether a file belongs to the tests, which a repair may not touch."""
    *folders, name = path.split("/")
    return (
        name.startswith("test_")
        or name.endswith("_test.py")
        or name == "conftest.py"
        or any(folder in {"test", "tests", "testing"} for folder in folders)
    )


def _names(said: Any) -> tuple[str, ...]:
    words = re.split(r"[\n]+", said) if isinstance(said, str) else list(said)
    return tuple(word.strip() for word in words if str(word).strip())


def _problem_of_code(code: str) -> str:
    if not code.strip():
        return "is empty; paste a test that fails because of the bug, such as def test_total(): ..."
    if len(code) > CODE_LIMIT:
        return f"has more than {CODE_LIMIT} characters; one failing test is enough"
    if not _TEST.search(code):
        return "holds no test: pytest runs functions whose name begins with test"
    return ""


def _problem_of_names(names: tuple[str, ...]) -> str:
    if not names or len(names) > NAMES_LIMIT:
        return f"must name 1 to {NAMES_LIMIT} tests, such as tests/test_orders.py::test_total"
    wrong = [name for name in names if not _NODE.fullmatch(name) or ".." in name]
    if wrong:
        return f"has {wrong[0]!r}; a test is named like tests/test_orders.py::test_total"
    return ""

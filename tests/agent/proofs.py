"""Red/green proofs made up for tests; nothing was run for them."""


def run_of(tests, outcome, reason="assert 1 == 0"):
    failing = [{"id": test, "reason": reason} for test in tests] if outcome == "failed" else []
    return {
        "ended": "exited",
        "exit_code": int(outcome == "failed"),
        "failing": failing,
        "passed": [] if failing else list(tests),
        "skipped": [],
        "log_sha256": "e" * 64,
        "seconds": 0.5,
    }


def proof_of(files, tests=("tests/test_shop.py::test_total",)):
    """A red/green proof that holds. files: path -> SHA-256 after the change."""
    reports = {}
    for name, times, on, outcome in (
        ("baseline", 1, "base", "failed"),
        ("red", 3, "base", "failed"),
        ("green", 3, "patched", "passed"),
        ("suite", 1, "patched", "passed"),
        ("reverted", 1, "base", "failed"),
    ):
        reports[name] = {
            "runs": [run_of(tests, outcome)] * times,
            "flaky": [],
            "quarantined": [],
            "problem": "",
            "tier": "gvisor",
            "environment_digest": "c" * 64,
            "tree_sha256": {"base": "a" * 64, "patched": "b" * 64}[on],
        }
    return {
        "format": "countersign-red-green/1",
        "tests": list(tests),
        "written": {},
        "patch": {
            "id": "9" * 64,
            "lines": 2,
            "files": {path: {"before": "0" * 64, "after": sha} for path, sha in files.items()},
        },
        "trees": {"base": "a" * 64, "patched": "b" * 64},
        "command": ["python", "-m", "pytest"],
        "tier": "gvisor",
        "environment_digest": "c" * 64,
        **reports,
    }

"""What tests counted and say at the end of a run, whichever process ran them."""

import pytest

_TOLD = pytest.StashKey[dict[str, list[str]]]()


def told(config: pytest.Config) -> dict[str, list[str]]:
    """Sections of lines by title; what a process of `pytest -n` puts here reaches its parent."""
    if hasattr(config, "workerinput"):
        return config.workeroutput.setdefault("told", {})  # type: ignore[attr-defined, no-any-return]  # xdist's
    return config.stash.setdefault(_TOLD, {})

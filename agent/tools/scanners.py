"""Packs the scanners that come with the product, so that they can run inside the sandbox."""

import io
import zipfile
from functools import cache
from importlib.metadata import distribution

# bandit and detect-secrets with what they import. Compiled parts stay out: they have fallbacks.
_BANDIT = ("bandit", "stevedore", "PyYAML", "rich", "Pygments", "markdown-it-py", "mdurl")
_SECRETS = ("detect-secrets", "PyYAML", "requests", "urllib3", "idna", "certifi")
_WHEN = (1980, 1, 1, 0, 0, 0)


@cache
def bandit() -> bytes:
    """A ZIP for PYTHONPATH that holds bandit."""
    return _packed(_BANDIT)


@cache
def detect_secrets() -> bytes:
    """A ZIP for PYTHONPATH that holds detect-secrets."""
    return _packed((*_SECRETS, "charset-normalizer"))


def _packed(names: tuple[str, ...]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in names:
            for path in distribution(name).files or ():
                inside = str(path)
                if inside.startswith("..") or not inside.endswith(
                    (".py", ".txt", ".pem", "METADATA")
                ):
                    continue
                archive.writestr(
                    zipfile.ZipInfo(inside, _WHEN), path.read_binary(), zipfile.ZIP_DEFLATED
                )
    return packed.getvalue()

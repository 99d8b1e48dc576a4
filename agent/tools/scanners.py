"""Packs the scanners that come with the product, so that they can run inside the sandbox."""

import io
import marshal
import zipfile
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import distribution
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

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

        def add(inside: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(inside, _WHEN), content, zipfile.ZIP_DEFLATED)

        for name in names:
            for path in distribution(name).files or ():
                inside = str(path)
                if inside.startswith("..") or not inside.endswith(
                    (".py", ".txt", ".pem", "METADATA")
                ):
                    continue
                content = path.read_binary()
                add(inside, content)
                if inside.endswith(".py"):
                    add(f"{inside}c", _compiled(Path(str(path.locate())), content))
    return packed.getvalue()


def _compiled(path: Path, source: bytes) -> bytes:
    """What Python would keep of a module: read in a fraction of the time that compiling takes.

    A Python of another version passes it over and takes the source beside it.
    """
    code = SourceFileLoader(path.stem, str(path)).get_code(path.stem)
    # PEP 552: with a hash that nobody compares.
    unchecked = (1).to_bytes(4, "little")
    return MAGIC_NUMBER + unchecked + source_hash(source) + marshal.dumps(code)

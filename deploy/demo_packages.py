"""Builds the wheels of the demonstration's own package, so that upgrades work without a network."""

import base64
import hashlib
import io
import shutil
import zipfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "demo" / "packages"
_WHEN = (1980, 1, 1, 0, 0, 0)


def write(folder: Path) -> list[Path]:
    """Every version as a wheel, and the codemods beside them. The same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for project in sorted(path for path in SOURCES.iterdir() if path.name != "codemods"):
        for version in sorted(path for path in project.iterdir() if path.is_dir()):
            name = f"{project.name}-{version.name}-py3-none-any.whl"
            (folder / name).write_bytes(_wheel(project, version))
            made.append(folder / name)
    shutil.copytree(SOURCES / "codemods", folder / "codemods", dirs_exist_ok=True)
    return made


def _wheel(project: Path, version: Path) -> bytes:
    about = f"{project.name}-{version.name}.dist-info"
    notes = (project / "CHANGELOG.md").read_text("utf-8")
    # What came later is not in an earlier version.
    notes = f"## {version.name}" + notes.partition(f"## {version.name}")[2]
    metadata = (
        f"Metadata-Version: 2.1\nName: {project.name}\nVersion: {version.name}\n"
        "License-Expression: Apache-2.0\nRequires-Python: >=3.12\n"
        f"Description-Content-Type: text/markdown\n\n# Changelog\n\n{notes}"
    )
    files = {
        str(path.relative_to(version)): path.read_bytes() for path in sorted(version.rglob("*.py"))
    }
    files[f"{about}/METADATA"] = metadata.encode()
    files[f"{about}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: countersign-demo\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n"
    )
    rows = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*rows, f"{about}/RECORD,,", ""]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, _WHEN), content)
    return packed.getvalue()


def _digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

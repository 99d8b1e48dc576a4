"""Scanners are packed so that Python need not compile them each time."""

import zipfile
from io import BytesIO
from zipimport import zipimporter

import pytest

from agent.tools import scanners


@pytest.mark.parametrize(
    "packed, name", [(scanners.bandit, "bandit"), (scanners.detect_secrets, "detect_secrets")]
)
def test_every_module_is_there_compiled_for_this_python_and_as_source_for_others(
    tmp_path, packed, name
):
    compiled = tmp_path / "compiled.zip"
    with zipfile.ZipFile(BytesIO(packed())) as archive, zipfile.ZipFile(compiled, "w") as kept:
        sources = {one for one in archive.namelist() if one.endswith(".py")}
        ready = {one for one in archive.namelist() if one.endswith(".pyc")}
        for one in ready:
            kept.writestr(one, archive.read(one))

    assert f"{name}/__init__.py" in sources
    assert {one.removesuffix("c") for one in ready} == sources
    code = zipimporter(str(compiled)).get_code(name)
    assert code.co_name == "<module>"

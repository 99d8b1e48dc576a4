"""What a repository declares is read, resolved and bumped as pip would have it."""

from pathlib import Path

import pytest
from packaging.version import Version

from agent.packages import CannotResolve, Shelf, bumped, declared, resolved
from deploy import demo_packages


def _wheel(shelf, version):
    return next(w for w in shelf.versions("coinage") if w.version == Version(version))


def test_wheels_are_the_same_bytes_each_time_and_know_what_they_are(folder, shelf, tmp_path):
    again = demo_packages.write(tmp_path)

    assert [path.read_bytes() for path in again] == [
        (folder / path.name).read_bytes() for path in again
    ]
    assert [str(w.version) for w in shelf.versions("Coinage")] == [
        "3.0.0",
        "2.0.0",
        "1.5.0",
        "1.4.0",
    ]
    wheel = _wheel(shelf, "2.0.0")
    assert wheel.modules == ["coinage"]
    assert [version for version, _ in wheel.notes(Version("1.4.0"))] == ["2.0.0", "1.5.0"]
    assert "read_money" in wheel.notes(Version("1.4.0"))[0][1]


def test_wheels_of_the_repository_itself_count_too(folder):
    name = "coinage-1.5.0-py3-none-any.whl"
    shelf = Shelf.of({f"vendor/{name}": (folder / name).read_bytes()}, Path("/nowhere"))

    assert [str(w.version) for w in shelf.versions("coinage")] == ["1.5.0"]


def test_what_is_no_wheel_or_cannot_run_here_is_left_alone(tmp_path):
    (tmp_path / "coinage-1.0-cp27-cp27m-win32.whl").write_bytes(b"")
    (tmp_path / "nonsense.whl").write_bytes(b"")
    (tmp_path / "coinage-1.0-py3-none-any.whl").write_bytes(b"not a zip")

    [wheel] = Shelf.of({}, tmp_path).versions("coinage")

    assert wheel.requires == []
    assert wheel.modules == []
    assert wheel.notes(Version("0")) == []


@pytest.mark.parametrize(
    ("line", "spec"),
    [
        ("coinage==1.4.0", "==1.4.0"),
        ("Coinage [fast] >= 1.4 , <2  # why", "<2,>=1.4"),
        ('coinage~=1.4; python_version >= "3.8"', "~=1.4"),
        ("coinage==1.4.0 --hash=sha256:" + "a" * 64, "==1.4.0"),
        ("coinage==1.4.0 \\", "==1.4.0"),
    ],
)
def test_requirements_are_read_as_they_are_written(line, spec):
    [found] = declared({"requirements.txt": line.encode()})

    assert (found.name, str(found.requirement.specifier)) == ("coinage", spec)


@pytest.mark.parametrize(
    "line", ["-r other.txt", "# coinage==1", "", "https://x.example/y.whl", "--index-url x", "=="]
)
def test_what_declares_nothing_is_no_requirement(line):
    assert declared({"requirements.txt": line.encode()}) == []


def test_a_pin_gets_the_version_and_the_hash_and_nothing_else_changes(shelf):
    wheel = _wheel(shelf, "1.5.0")
    lock = (
        "# made by hand\n"
        "attrs==24.1.0 \\\n    --hash=sha256:" + "a" * 64 + "\n"
        "coinage==1.4.0 ; python_version >= '3.12' \\\n"
        "    --hash=sha256:" + "b" * 64 + " \\\n    --hash=sha256:" + "c" * 64 + "\n"
        "zope==1\n"
    )

    after = bumped({"requirements.lock": lock.encode()}, "coinage", wheel, widen=False)

    assert after["requirements.lock"] == (
        "# made by hand\n"
        "attrs==24.1.0 \\\n    --hash=sha256:" + "a" * 64 + "\n"
        "coinage==1.5.0 ; python_version >= '3.12' \\\n"
        f"    --hash=sha256:{wheel.sha256()}\n"
        "zope==1\n"
    )


@pytest.mark.parametrize(
    ("said", "widen", "after"),
    [
        ("coinage>=1.4,<2", False, None),
        ("coinage>=1.4,<2", True, "coinage>=2.0.0"),
        ("coinage~=1.4", True, "coinage~=2.0"),
        ("coinage==1.4.0", False, "coinage==2.0.0"),
        ("coinage>=1", True, None),
    ],
)
def test_a_range_stays_unless_it_has_to_give_way(shelf, said, widen, after):
    project = f'[project]\nname = "x"\ndependencies = ["{said}", "attrs"]\n'

    found = bumped(
        {"pyproject.toml": project.encode()}, "coinage", _wheel(shelf, "2.0.0"), widen=widen
    )

    assert found == ({"pyproject.toml": project.replace(said, after)} if after else {})


def test_the_newest_that_everything_allows_is_taken_and_what_is_missing_is_told(shelf):
    project = b'[project]\ndependencies = ["coinage>=1.4,<2", "attrs", "pytest"]\n'

    found = resolved({"pyproject.toml": project}, shelf)

    assert {name: str(w.version) for name, w in found.wheels.items()} == {"coinage": "1.5.0"}
    assert found.missing == ("attrs",)


def test_what_does_not_fit_together_is_told_with_who_asks_for_it(shelf):
    files = {
        "pyproject.toml": b'[project]\ndependencies = ["coinage<2"]\n',
        "requirements.txt": b"coinage==2.0.0\n",
    }

    with pytest.raises(CannotResolve, match=r"pyproject.toml: <2, requirements.txt: ==2.0.0"):
        resolved(files, shelf)

"""Set-up picks what it may use, and says what to do about the rest."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import install

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pyenv with one real Python, whose shim comes first on the PATH and refuses to work."""
    real = tmp_path / "versions" / "3.13.0" / "bin"
    real.mkdir(parents=True)
    (real / "python3").symlink_to(Path(sys.executable).resolve())
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("python3", "python3.13"):
        (shims / name).write_text("#!/bin/sh\necho 'pyenv: version not installed' >&2\nexit 1\n")
        (shims / name).chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("COUNTERSIGN_PYTHON", raising=False)
    monkeypatch.setattr(install.sys, "executable", str(shims / "python3"))
    return real / "python3"


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="stands in for the one looked for")
def test_the_real_binary_below_pyenv_is_chosen_and_its_shim_is_not_asked(pyenv):
    old = pyenv.parents[2] / "3.9.1" / "bin"
    old.mkdir(parents=True)
    (old / "python3").write_text("#!/bin/sh\necho 3 9\n")
    (old / "python3").chmod(0o755)

    assert install._find_python() == str(pyenv)


def test_a_named_interpreter_of_another_version_is_refused_by_name(pyenv, monkeypatch, tmp_path):
    (tmp_path / "other").write_text("#!/bin/sh\necho 3 12\n")
    (tmp_path / "other").chmod(0o755)
    pyenv.unlink()
    monkeypatch.setenv("COUNTERSIGN_PYTHON", str(tmp_path / "other"))
    monkeypatch.setattr(install, "PYTHON_WANTED", (3, 99))

    with pytest.raises(install.CannotInstall, match=r"COUNTERSIGN_PYTHON names .*other"):
        install._find_python()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("error: dns error: failed to lookup address information", "No network: uv"),
        ("npm error code ENOTFOUND", "No network"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("npm error code SELF_SIGNED_CERT_IN_CHAIN", "does not trust"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend", "Another program is installing"),
        ("something else entirely", "something else entirely"),
    ],
)
def test_what_a_tool_printed_becomes_what_to_do(output, sentence):
    assert sentence in install._reason(["/somewhere/uv", "pip", "sync"], output)


def test_missing_debian_packages_without_apt_are_listed(monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(install.CannotInstall, match=r"Missing here.*git.*no apt-get"):
        install.install_system_packages(for_tests=False)


def test_an_old_python_is_answered_with_a_sentence():
    asked = "import sys; sys.version_info = (3, 8, 1); import deploy.install as i; i.main()"

    ran = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert "needs Python 3.11 or later" in ran.stderr


def test_browser_assets_are_pinned_exactly_and_their_lock_names_no_server():
    asked = json.loads((ROOT / "static" / "package.json").read_text())
    lock = json.loads((ROOT / "static" / "package-lock.json").read_text())
    installed = {name: found for name, found in lock["packages"].items() if name}

    assert set(asked["comments"]) == set(asked["dependencies"])
    assert lock["packages"][""]["dependencies"] == asked["dependencies"]
    for name, version in asked["dependencies"].items():
        assert installed[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in found and "resolved" not in found for found in installed.values())


@pytest.mark.parametrize(
    ("said", "enough"),
    [
        ("runsc version 0.0~20240729.0\nspec: 1.0.2-dev", True),
        ("runsc version release-20260105.0\nspec: 1.1.0", True),
        ("runsc version 0.0~20221219.0\nspec: 1.0.2-dev", False),
        ("runsc version VERSION_MISSING", False),
    ],
)
def test_a_gvisor_that_is_too_old_does_not_count(tmp_path, monkeypatch, said, enough):
    (tmp_path / "runsc").write_text(f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "runsc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert install._has_gvisor() is enough


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine where nothing but gVisor is missing; gives a function that says what apt has.

    The programs are stand-ins that write down how they were called, and read and write no more
    than files of the test. The stand-in for apt-get brings the `runsc` that apt-cache names, or
    one of 2024 where the backports are asked for.
    """
    programs, lists = tmp_path / "programs", tmp_path / "lists"
    programs.mkdir()
    lists.mkdir()
    calls, version = tmp_path / "calls", tmp_path / "version"
    calls.touch()

    def program(name: str, script: str) -> None:
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)

    program(
        "apt-cache",
        f"""test -e {lists}/archive_Packages || exit 0
test -e {version} || exit 0
printf 'runsc:\n  Installed: (none)\n  Candidate: %s\n' "$(cat {version})"
printf '  Version table:\n     0.0~20991231.0 100\n'""",
    )
    program(
        "apt-get",
        f"""test "$1" = indextargets && {{ echo http://mirror.example/debian bookworm main; exit; }}
echo "$@" >> {calls}
case "$*" in
*update) touch {lists}/archive_Packages ;;
*runsc*)
    case "$*" in */bookworm-backports*) echo 0.0~20240729.0-4~bpo12+1 > {version} ;; esac
    printf '#!/bin/sh\necho runsc version %s\n' "$(cat {version})" > {programs}/runsc
    chmod 755 {programs}/runsc ;;
esac""",
    )
    for name in ("git", "bwrap"):
        program(name, "exit 0")
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    found = shutil.which
    monkeypatch.setattr(install.shutil, "which", lambda name: found(name, path=str(programs)))
    monkeypatch.setattr(install, "APT_LISTS", lists)
    monkeypatch.setattr(install, "BACKPORTS_FILE", tmp_path / "backports.sources")
    monkeypatch.setattr(install, "LOG", tmp_path / "install.log")
    monkeypatch.setattr(install, "_way_to_root", lambda names: [])
    for name in ("_has_fonts", "_has_ensurepip", "_has_tools"):
        monkeypatch.setattr(install, name, lambda: True)
    monkeypatch.setattr(install, "_loads", lambda library: True)

    def prepared(release: str, has: str | None, *, fetched: bool) -> Path:
        monkeypatch.setattr(install, "_debian_release", lambda: release)
        if has:
            version.write_text(has)
        if fetched:
            (lists / "archive_Packages").touch()
        return calls

    return prepared


@pytest.mark.parametrize("fetched", [True, False], ids=["lists there", "no lists yet"])
@pytest.mark.parametrize("release", ["trixie", "forky", ""])
def test_gvisor_comes_from_the_archive_that_has_a_newer_one(machine, release, fetched, capsys):
    calls = machine(release, "0.0~20240729.0-4+b7", fetched=fetched)

    install.install_system_packages(for_tests=False)

    assert calls.read_text().splitlines() == [
        "-q update",
        "-q install --yes --no-install-recommends runsc",
    ]
    assert not install.BACKPORTS_FILE.exists()
    assert capsys.readouterr().err == ""


def test_on_bookworm_gvisor_comes_from_the_backports(machine, capsys):
    calls = machine("bookworm", "0.0~20221219.0-1", fetched=True)

    install.install_system_packages(for_tests=False)

    assert capsys.readouterr().err == ""
    assert calls.read_text().endswith("--no-install-recommends runsc/bookworm-backports\n")
    assert "Suites: bookworm-backports" in install.BACKPORTS_FILE.read_text()


@pytest.mark.parametrize("fetched", [True, False], ids=["lists there", "no lists yet"])
@pytest.mark.parametrize("has", [None, "(none)", "0.0~20221219.0-1"])
def test_where_no_package_brings_gvisor_it_is_said_and_the_tests_do_not_start(
    machine, capsys, has, fetched
):
    calls = machine("trixie", has, fetched=fetched)

    install.install_system_packages(for_tests=False)
    assert "apt has no `runsc` of 2024 or later here" in capsys.readouterr().err
    assert calls.read_text().count("update") == (0 if fetched else 1)
    with pytest.raises(install.CannotInstall, match=r"gVisor is missing.*/usr/local/bin"):
        install.install_system_packages(for_tests=True)
    assert "runsc" not in calls.read_text()


def test_the_backports_are_taken_from_the_mirror_in_use(monkeypatch):
    monkeypatch.setattr(
        install,
        "_sources",
        lambda form: (
            "http://other.example/tools/ bookworm stable\n"
            "http://mirror.example/security/ bookworm-security main\n"
            "http://mirror.example/debian/ bookworm main\n"
        ),
    )

    entry = install._backports_entry()

    assert "URIs: http://mirror.example/debian/\n" in entry
    assert "Suites: bookworm-backports\n" in entry
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n" in entry
    assert not install._has_backports()


def test_without_a_mirror_nobody_is_asked_that_nobody_named(monkeypatch):
    monkeypatch.setattr(install, "_sources", lambda form: "http://other.example/ sid main\n")

    with pytest.raises(install.CannotInstall, match="No mirror of Debian bookworm"):
        install._backports_entry()

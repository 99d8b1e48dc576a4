"""Virtual environments that sandboxes run with: kept by what is in them, bound read-only."""

import compileall
import configparser
import hashlib
import importlib.metadata
import json
import platform
import py_compile
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from agent.sandbox.job import ENVIRONMENT, PYTHON, Environment, SandboxUnavailable
from agent.sandbox.reuse import Held

# What a job without an environment of its own finds beside the standard library.
PLAIN = ("pytest",)
# Counted into every digest: change it when the form of an environment changes.
_FORM = 1


@cache
def plain(store: Path) -> Environment:
    """The interpreter that runs the product, with pytest; made at the first call."""
    return installed(PLAIN, store)


def installed(names: Iterable[str], store: Path) -> Environment:
    """An environment of packages that are installed beside the product, with what they need.

    store: folder of environments, one below it for each digest.
    Raises SandboxUnavailable when one is not installed. Nothing is downloaded.
    """
    packages = _with_requirements(names)
    facts = {
        "form": _FORM,
        "python": interpreter(),
        "packages": {
            name: [package.version, hashlib.sha256(_record(package)).hexdigest()]
            for name, package in sorted(packages.items())
        },
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    final = store / digest
    while (found := held(digest, final)) is None:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store, prefix=".making-") as made:
            folder = Path(made) / "environment"
            site = make_empty(folder)
            for package in packages.values():
                _copy(package, site)
                _scripts(package, folder / "bin")
            finish(folder, final)
    return found


def held(digest: str, final: Path) -> Environment | None:
    """The environment that is kept at `final`, which stays there as long as this object lives."""
    lock = Held.at(final)
    return Environment(digest, final, Path(sys.base_prefix), lock) if lock else None


def interpreter() -> list[str]:
    """What makes this interpreter another one than the next, for a digest."""
    return [platform.python_implementation(), sys.version, platform.machine(), sys.base_prefix]


def make_empty(folder: Path) -> Path:
    """A virtual environment without packages, as it will look from inside.

    Returns the folder that packages go to.
    """
    major, minor = sys.version_info[:2]
    prefix = Path(sys.base_prefix)
    inside = prefix if is_of_the_system(prefix) else Path(PYTHON)
    program = inside / "bin" / f"python{major}.{minor}"
    bin_folder = folder / "bin"
    bin_folder.mkdir(parents=True)
    for name in ("python", "python3", f"python{major}.{minor}"):
        (bin_folder / name).symlink_to(program)
    settings = f"home = {inside}/bin\ninclude-system-site-packages = false\n"
    (folder / "pyvenv.cfg").write_text(settings + f"version = {platform.python_version()}\n")
    site = folder / "lib" / f"python{major}.{minor}" / "site-packages"
    site.mkdir(parents=True)
    return site


def is_of_the_system(prefix: Path) -> bool:
    """Whether an interpreter is seen inside anyway, because all of /usr is."""
    return prefix.resolve().is_relative_to("/usr")


def add_plain(site: Path, without: Collection[str]) -> None:
    """Put what every job finds beside the standard library into a folder of packages, compiled.

    without: names, as the index writes them, that come from elsewhere.
    """
    for name, package in _with_requirements(PLAIN).items():
        if canonicalize_name(name) not in without:
            _copy(package, site)
    compileall.compile_dir(
        site,
        quiet=2,
        stripdir=str(site.parents[2]),
        prependdir=ENVIRONMENT,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def finish(folder: Path, final: Path) -> None:
    """Compile an environment of packages that we trust, and keep it.

    Compiled now: where Python may not write its bytecode, every start would take twice as long.
    """
    compileall.compile_dir(
        folder / "lib",
        quiet=2,
        stripdir=str(folder),
        prependdir=ENVIRONMENT,
        # Nothing here changes any more, so that no start has to look.
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    keep(folder, final)


def keep(folder: Path, final: Path) -> None:
    """Put an environment where it belongs, unless another process was faster."""
    try:
        folder.rename(final)
    except OSError:
        if not final.is_dir():
            raise


def _with_requirements(names: Iterable[str]) -> dict[str, importlib.metadata.Distribution]:
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            raise SandboxUnavailable(
                f"{name} is not installed beside the product: run the installation again"
            ) from None
        key = package.metadata["Name"].lower().replace("_", "-")
        if key not in found:
            found[key] = package
            needed = [Requirement(line) for line in package.requires or []]
            waiting += [
                need.name
                for need in needed
                if need.marker is None or need.marker.evaluate({"extra": ""})
            ]
    return found


def _record(package: importlib.metadata.Distribution) -> bytes:
    return (package.read_text("RECORD") or "").encode()


def _copy(package: importlib.metadata.Distribution, site: Path) -> None:
    for file in package.files or []:
        # Programs are made anew: those installed name this machine's interpreter.
        if ".." in file.parts or "__pycache__" in file.parts or file.is_absolute():
            continue
        target = site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(package.locate_file(file)), target)


def _scripts(package: importlib.metadata.Distribution, folder: Path) -> None:
    declared = configparser.ConfigParser(delimiters=("=",))
    declared.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    declared.read_string(package.read_text("entry_points.txt") or "")
    if not declared.has_section("console_scripts"):
        return
    for name, target in declared.items("console_scripts"):
        module, _, attribute = target.partition(":")
        script = folder / Path(name).name
        script.write_text(
            f"#!{ENVIRONMENT}/bin/python\nimport sys\nfrom {module} import "
            f"{attribute.split('.')[0]}\nsys.exit({attribute}())\n"
        )
        script.chmod(0o755)

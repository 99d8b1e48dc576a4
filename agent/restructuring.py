"""Moves a definition to another module; gives lines of a function a name of their own."""

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from agent.recasting import CannotRecast, Recast, Rename, module_of, parsed, renamed

type _Function = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Place:
    """Where something is defined: its file, the syntax tree of it, the statement."""

    path: str
    tree: ast.Module
    node: ast.stmt

    @property
    def first(self) -> int:
        """Its first line, decorators included."""
        decorators = getattr(self.node, "decorator_list", [])
        lines: list[int] = [self.node.lineno, *(each.lineno for each in decorators)]
        return min(lines)

    @property
    def last(self) -> int:
        return self.node.end_lineno or self.node.lineno


def definition(files: Mapping[str, bytes], module: str, name: str) -> Place:
    """The function or class of that name at the top of a module. Raises CannotRecast."""
    for path in sorted(files):
        if module_of(path) != module:
            continue
        tree = parsed(path, files[path])
        for node in tree.body if tree else ():
            if isinstance(node, _DEFINES) and node.name == name:
                return Place(path, tree, node)  # type: ignore[arg-type]
        raise CannotRecast(f"{path} defines no function or class {name} at its top")
    raise CannotRecast(f"there is no module {module} in the repository")


def renamed_everywhere(files: Mapping[str, bytes], rename: Rename) -> Recast:
    """Definition and uses get the new name; the old one stays as an alias beside it."""
    place = definition(files, rename.old_module, rename.old_name)
    found = renamed(files, rename, definition=True)
    text = found.files[place.path].rstrip("\n")
    text += (
        f"\n\n\n# The old name, for whoever is outside of this repository.\n"
        f"{rename.old_name} = {rename.new_name}\n"
    )
    return Recast({**found.files, place.path: text}, found.counts, found.left)


def moved(files: Mapping[str, bytes], rename: Rename) -> Recast:
    """A definition goes to another module with the imports it needs; the old one imports it.

    Raises CannotRecast when it needs something else that its old module defines.
    """
    name = rename.old_name
    place = definition(files, rename.old_module, name)
    target = _target(files, place.path, rename)
    imports = _needed(place, rename.old_module)
    lines = files[place.path].decode().split("\n")
    text = "\n".join(lines[place.first - 1 : place.last])
    others = {path: said for path, said in files.items() if path not in {place.path, target}}
    found = renamed(others, rename)
    old = lines[: place.first - 1] + lines[place.last :]
    said = f"from {rename.new_module} import {name}  # noqa: F401  # it was defined here once"
    changed = {
        **found.files,
        place.path: _with_imports("\n".join(old), [said]),
        target: _appended(files.get(target), imports, text, target, rename),
    }
    counts = {**found.counts, place.path: 1, target: 1}
    return Recast(changed, counts, found.left)


def _target(files: Mapping[str, bytes], path: str, rename: Rename) -> str:
    """The file of the new module, there or not."""
    for known in sorted(files):
        if module_of(known) == rename.new_module:
            return known
    root = path.removesuffix(str(PurePosixPath(*rename.old_module.split("."))) + ".py")
    if root == path:  # the old module is a package
        root = path.removesuffix(str(PurePosixPath(*rename.old_module.split("."), "__init__.py")))
    made = root + str(PurePosixPath(*rename.new_module.split("."))) + ".py"
    folder = made.rpartition("/")[0]
    if folder and not any(known.startswith(f"{folder}/") for known in files):
        raise CannotRecast(f"there is no package for {rename.new_module}; {folder} is missing")
    return made


def _needed(place: Place, module: str) -> list[str]:
    """Import lines that the definition cannot do without. Raises CannotRecast."""
    own = getattr(place.node, "name", "")
    used = {n.id for n in ast.walk(place.node) if isinstance(n, ast.Name)} - {own}
    package = module if place.path.endswith("__init__.py") else module.rpartition(".")[0]
    lines = []
    for node in place.tree.body:
        if node is place.node:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) in used:
                    also = f" as {alias.asname}" if alias.asname else ""
                    lines.append(f"import {alias.name}{also}")
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                bound = alias.asname or alias.name
                if bound in used or node.module == "__future__":
                    also = f" as {alias.asname}" if alias.asname else ""
                    lines.append(f"from {_absolute(node, package)} import {alias.name}{also}")
        elif taken := _bound_by(node) & used:
            one = sorted(taken)[0]
            raise CannotRecast(f"{own} needs {one}, which {module} defines; move that first")
    return lines


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _bound_by(node: ast.stmt) -> set[str]:
    if isinstance(node, _DEFINES):
        return {node.name}
    return {
        one.id
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }


def _appended(
    content: bytes | None, imports: list[str], text: str, path: str, rename: Rename
) -> str:
    if content is None:
        head = f'"""What was moved out of {rename.old_module}."""\n'
        return _with_imports(head, imports).rstrip("\n") + f"\n\n\n{text}\n"
    tree = parsed(path, content)
    if tree is None:
        raise CannotRecast(f"{path} cannot be read as Python")
    for node in tree.body:
        if rename.old_name in _bound_by(node):
            raise CannotRecast(f"{path} has a {rename.old_name} already")
    for inner in ast.walk(tree):
        if isinstance(inner, ast.Import | ast.ImportFrom):
            named = {getattr(inner, "module", "") or "", *(alias.name for alias in inner.names)}
            last = rename.old_module.rpartition(".")[2]
            if rename.old_module in named or last in named:
                raise CannotRecast(f"{path} imports {rename.old_module}, which would import it")
    known = content.decode()
    new = [line for line in imports if not re.search(rf"^{re.escape(line)}$", known, re.MULTILINE)]
    return _with_imports(known, new).rstrip("\n") + f"\n\n\n{text}\n"


def _with_imports(text: str, imports: list[str]) -> str:
    """The text with import lines after those at its top, after its first string, or first."""
    if not imports:
        return text
    tree = ast.parse(text)
    after = 0
    for number, node in enumerate(tree.body):
        opens = number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if opens or isinstance(node, ast.Import | ast.ImportFrom):
            after = node.end_lineno or node.lineno
    lines = text.split("\n")
    gap = [""] if after and tree.body and isinstance(tree.body[0], ast.Expr) else []
    there = any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)
    return "\n".join([*lines[:after], *([] if there else gap), *imports, *lines[after:]])


def enclosing(path: str, content: bytes, first: int, last: int) -> str:
    """Name of the top-level function that holds the lines; empty when none does."""
    tree = parsed(path, content)
    for node in tree.body if tree else ():
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.lineno <= first and last <= (node.end_lineno or 0):
            return node.name
    return ""


def extracted(files: Mapping[str, bytes], path: str, first: int, last: int, name: str) -> Recast:
    """Whole statements of a function become a function of their own, before it.

    first, last: lines, from 1. What they read is passed, what is read after them comes back.
    Raises CannotRecast when they leave the function, or bind what may stay unbound.
    """
    tree = parsed(path, files[path]) if path in files else None
    if tree is None:
        raise CannotRecast(f"there is no Python file {path}")
    if any(name in _bound_by(node) or name in _imported(node) for node in tree.body):
        raise CannotRecast(f"{path} has a {name} already")
    lines = files[path].decode().split("\n")
    said = [n for n in range(first, min(last, len(lines)) + 1) if lines[n - 1].strip()]
    if not said:
        raise CannotRecast(f"{path} has nothing on lines {first} to {last}")
    top, function, block = _block(tree, path, said[0], said[-1])
    _require_whole(block, path)
    passed, given = _flow(function, block)
    begin, end = block[0].lineno, block[-1].end_lineno or block[-1].lineno
    indent = " " * block[0].col_offset
    body = textwrap.indent(textwrap.dedent("\n".join(lines[begin - 1 : end])), "    ")
    if any(_spans(node) for one in block for node in ast.walk(one)) and indent != "    ":
        raise CannotRecast(f"{path}:{begin} holds a string of several lines, which would change")
    made = [f"def {name}({', '.join(passed)}):", body]
    if given:
        made.append(f"    return {', '.join(given)}")
    call = f"{indent}{', '.join(given) + ' = ' if given else ''}{name}({', '.join(passed)})"
    start = min([top.lineno, *(d.lineno for d in getattr(top, "decorator_list", []))])
    text = [
        *lines[: start - 1],
        *made,
        "",
        "",
        *lines[start - 1 : begin - 1],
        call,
        *lines[end:],
    ]
    return Recast({path: "\n".join(text)}, {path: 2})


def _imported(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    return set()


def _block(
    tree: ast.Module, path: str, first: int, last: int
) -> tuple[ast.stmt, _Function, list[ast.stmt]]:
    """What stands at the top around the lines, the function they are in, the statements."""
    for top in tree.body:
        if not (top.lineno <= first and last <= (top.end_lineno or 0)):
            continue
        for function in ast.walk(top):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for body in _bodies(function):
                inside = [n for n in body if first <= n.lineno and (n.end_lineno or 0) <= last]
                touched = [n for n in body if n.lineno <= last and (n.end_lineno or 0) >= first]
                whole = inside and (inside[0].lineno, inside[-1].end_lineno) == (first, last)
                if whole and inside == touched:
                    return top, function, inside
    raise CannotRecast(f"lines {first} to {last} of {path} are no whole statements of a function")


def _bodies(function: _Function) -> Iterator[list[ast.stmt]]:
    """Every block of a function, not of functions in it."""
    waiting: list[ast.AST] = [function]
    while waiting:
        node = waiting.pop()
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                yield block
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, (*_DEFINES, ast.Lambda)):
                waiting.append(child)


def _require_whole(block: list[ast.stmt], path: str) -> None:
    for one in block:
        for node in ast.walk(one):
            if isinstance(
                node,
                ast.Return
                | ast.Yield
                | ast.YieldFrom
                | ast.Await
                | ast.Global
                | ast.Nonlocal
                | ast.AsyncFor
                | ast.AsyncWith
                | ast.Delete,
            ):
                raise CannotRecast(f"{path}:{node.lineno} leaves the function or its names")
        for node, looped in _with_loops(one, looped=False):
            if isinstance(node, ast.Break | ast.Continue) and not looped:
                raise CannotRecast(f"{path}:{node.lineno} leaves a loop that stays behind")


def _with_loops(node: ast.AST, *, looped: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, looped
    inside = looped or isinstance(node, ast.For | ast.While)
    for child in ast.iter_child_nodes(node):
        yield from _with_loops(child, looped=inside)


def _flow(function: _Function, block: list[ast.stmt]) -> tuple[list[str], list[str]]:
    """Names that go in, names that come out, each in the order in which they are met."""
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [one for one in (arguments.vararg, arguments.kwarg) if one]
    inside = {id(node) for one in block for node in ast.walk(one)}
    outside = [n for n in ast.walk(function) if isinstance(n, ast.Name) and id(n) not in inside]
    within = [n for one in block for n in ast.walk(one) if isinstance(n, ast.Name)]
    grown = {
        n.target.id
        for one in block
        for n in ast.walk(one)
        if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)
    }
    before = {one.arg for one in every}
    before |= {n.id for n in outside if isinstance(n.ctx, ast.Store)}
    stored = list(dict.fromkeys(n.id for n in within if isinstance(n.ctx, ast.Store)))
    read = {n.id for n in within if isinstance(n.ctx, ast.Load)} | grown
    wanted = {n.id for n in outside if isinstance(n.ctx, ast.Load)}
    given = [name for name in stored if name in wanted]
    sure = {
        target.id
        for one in block
        if isinstance(one, ast.Assign | ast.AnnAssign)
        for target in ast.walk(one)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    }
    for name in given:
        if name not in sure and name not in before:
            raise CannotRecast(f"{name} may stay without a value on the way through these lines")
    needs = read | {name for name in given if name not in sure}
    ordered = dict.fromkeys(n.id for n in within)
    return [name for name in ordered if name in needs and name in before], given


def _spans(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant | ast.JoinedStr)
        and (getattr(node, "end_lineno", 0) or 0) > node.lineno
    )

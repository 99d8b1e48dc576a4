"""Gives names of a program other names, and definitions other places, wherever they are used.

Works on the text by what the syntax tree says, so that comments and layout stay. What it cannot be
sure of it leaves alone and says so: names in strings, names made while the program runs.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

MAXIMUM_BYTES = 400_000  # of one file
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef)
_NAME = re.compile(r"[A-Za-z_]\w*")
_DEFINES = (*FUNCTIONS, ast.ClassDef)
HEAD = re.compile(rb"(?:async\s+)?(?:def|class)\s+")
_BINDS = (ast.Import, ast.ImportFrom)


class CannotRecast(Exception):
    """It cannot be done safely; the message says why."""


@dataclass(frozen=True)
class Rename:
    """A name at the top of a module, and what it is called from now on: module, name."""

    old_module: str
    old_name: str
    new_module: str
    new_name: str

    @classmethod
    def parse(cls, old: str, new: str) -> "Rename":
        """From dotted names such as "shop.pricing.total". Raises CannotRecast."""
        for said in (old, new):
            if "." not in said or not all(_NAME.fullmatch(part) for part in said.split(".")):
                raise CannotRecast(f"{said!r} is no dotted name such as package.module.name")
        old_module, _, old_name = old.rpartition(".")
        new_module, _, new_name = new.rpartition(".")
        return cls(old_module, old_name, new_module, new_name)

    @property
    def moves(self) -> bool:
        return self.old_module != self.new_module


@dataclass(frozen=True)
class Recast:
    """What came of it. files: path -> text, only what changed. counts: path -> places changed.

    left: places as "path:line: why" that a person should look at.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()


def module_of(path: str) -> str | None:
    """The module that a file is imported as; None for what is no Python."""
    if not path.endswith(".py"):
        return None
    parts = list(PurePosixPath(path).with_suffix("").parts)
    if parts and parts[0] in {"src", "lib"}:
        parts = parts[1:]
    if parts and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts) if all(_NAME.fullmatch(part) for part in parts) else None


def parsed(path: str, content: bytes) -> ast.Module | None:
    """The syntax tree of a Python file; None of what cannot be read."""
    if not path.endswith(".py") or len(content) > MAXIMUM_BYTES:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes in somebody else's strings
        try:
            return ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def renamed(files: Mapping[str, bytes], rename: Rename, *, definition: bool = False) -> Recast:
    """Every use of a name gets the new one. definition: whether what defines it changes too."""
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    left: list[str] = []
    for path in sorted(files):
        tree = parsed(path, files[path])
        if tree is None:
            if path.endswith(".py") and rename.old_name.encode() in files[path]:
                left.append(f"{path}: it cannot be read as Python, and names {rename.old_name}")
            continue
        text = Text(path, files[path], tree)
        edits = Uses(text, rename, definition=definition).edits()
        left += list(_mentions(text, rename))
        if edits:
            found[path], counts[path] = text.with_edits(edits), len(edits)
    return Recast(found, counts, tuple(left))


def keyword_renamed(files: Mapping[str, bytes], function: str, old: str, new: str) -> Recast:
    """Calls of a function pass an argument by its new name. function: dotted."""
    target = Rename.parse(function, function)
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for path in sorted(files):
        tree = parsed(path, files[path])
        if tree is None:
            continue
        text = Text(path, files[path], tree)
        uses = Uses(text, target, definition=False)
        edits = [
            text.edit(keyword, len(old.encode()), new)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and uses.is_target(call.func)
            for keyword in call.keywords
            if keyword.arg == old
        ]
        if edits:
            found[path], counts[path] = text.with_edits(edits), len(edits)
    return Recast(found, counts)


def imports_of(files: Mapping[str, bytes], modules: Sequence[str]) -> dict[str, list[int]]:
    """Path -> lines on which one of the top-level modules is imported or what it gave is used."""
    wanted = set(modules)
    found: dict[str, list[int]] = {}
    for path in sorted(files):
        tree = parsed(path, files[path])
        if tree is None:
            continue
        lines = set()
        bound = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.partition(".")[0] in wanted:
                        lines.add(node.lineno)
                        bound.add((alias.asname or alias.name).partition(".")[0])
            elif isinstance(node, ast.ImportFrom):
                top = (node.module or "").partition(".")[0]
                if not node.level and top in wanted:
                    lines.add(node.lineno)
                    bound |= {alias.asname or alias.name for alias in node.names}
        lines |= {
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and node.id in bound
        }
        if bound:
            found[path] = sorted(lines)
    return found


type Edit = tuple[int, int, str]  # start, end, what takes their place


class Text:
    """One file: its bytes, where its lines begin, its tree."""

    def __init__(self, path: str, content: bytes, tree: ast.Module) -> None:
        self.path, self.content, self.tree = path, content, tree
        self.module = module_of(path) or ""
        self.package = (
            self.module if path.endswith("__init__.py") else self.module.rpartition(".")[0]
        )
        self._starts = [0]
        for line in content.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def place(self, line: int, column: int) -> int:
        # Like the tree, by bytes and from line 1.
        return self._starts[line - 1] + column

    def edit(self, node: ast.AST, length: int, text: str) -> Edit:
        start = self.place(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return start, start + length, text

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.place(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self.place(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def with_edits(self, edits: Sequence[Edit]) -> str:
        content = self.content
        for start, end, text in sorted(set(edits), reverse=True):
            content = content[:start] + text.encode() + content[end:]
        return content.decode()

    def source_of(self, node: ast.ImportFrom) -> str:
        """The module that an import names, relative ones worked out."""
        if not node.level:
            return node.module or ""
        base = self.package.split(".") if self.package else []
        base = base[: len(base) - (node.level - 1)] if node.level > 1 else base
        return ".".join([*base, *([node.module] if node.module else [])])


class Uses:
    """Where one file uses a name of some module."""

    def __init__(self, text: Text, rename: Rename, *, definition: bool) -> None:
        self.text, self.rename = text, rename
        self.defines = definition and text.module == rename.old_module
        self.direct: set[str] = set()  # local names of the thing itself
        self.dotted: set[str] = set()  # local names of its module, dotted
        self.imports: list[tuple[ast.ImportFrom, ast.alias]] = []
        for node in ast.walk(text.tree):
            if isinstance(node, ast.ImportFrom):
                self._read_from(node)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name == rename.old_module:
                        self.dotted.add(alias.asname or alias.name)
                    elif alias.asname is None and rename.old_module.startswith(f"{alias.name}."):
                        # "import shop" makes shop.pricing reachable where something imported it.
                        self.dotted.add(rename.old_module)
        if self.defines:
            self.direct.add(rename.old_name)

    def _read_from(self, node: ast.ImportFrom) -> None:
        source = self.text.source_of(node)
        for alias in node.names:
            if source == self.rename.old_module and alias.name == self.rename.old_name:
                self.direct.add(alias.asname or alias.name)
                self.imports.append((node, alias))
            elif f"{source}.{alias.name}" == self.rename.old_module:
                self.dotted.add(alias.asname or alias.name)

    def edits(self) -> list[Edit]:
        rename, text = self.rename, self.text
        if not (self.direct or self.dotted):
            return []
        found = list(self._import_edits())
        needs_module = False
        for node in self._nodes():
            if isinstance(node, ast.Name):
                # Under an alias it keeps that alias.
                if node.id == rename.old_name and rename.new_name != node.id:
                    found.append(text.edit(node, len(node.id.encode()), rename.new_name))
            elif rename.moves:
                start, end = text.span(node)
                found.append((start, end, f"{rename.new_module}.{rename.new_name}"))
                needs_module = True
            else:
                _, end = text.span(node)
                found.append((end - len(rename.old_name.encode()), end, rename.new_name))
        if self.defines and rename.new_name != rename.old_name:
            found += self._definition_edits()
        if found and rename.new_name != rename.old_name:
            self._require_free()
        if needs_module and not self._imports_module():
            found.append(self._new_import())
        return found

    def is_target(self, node: ast.AST) -> bool:
        """Whether an expression is the thing, by what is imported at the top."""
        if isinstance(node, ast.Name):
            return node.id in self.direct
        return (
            isinstance(node, ast.Attribute)
            and node.attr == self.rename.old_name
            and dotted(node.value) in self.dotted
        )

    def _nodes(self) -> Iterator[ast.Name | ast.Attribute]:
        yield from self._within(self.text.tree, frozenset())

    def _within(self, scope: ast.AST, hidden: frozenset[str]) -> Iterator[ast.Name | ast.Attribute]:
        """Uses in a scope. hidden: names that mean something else in here."""
        for node in standing_in(scope):
            if isinstance(node, SCOPES):
                outer = [*getattr(node, "decorator_list", []), *_defaults(node)]
                for expression in outer:
                    yield from self._within(ast.Expression(expression), hidden)
                if isinstance(node, ast.ClassDef):
                    self._require_plain(node)
                own = set() if isinstance(node, ast.ClassDef) else own_names(node)
                yield from self._within(node, hidden | own)
            elif isinstance(node, ast.Name):
                if node.id in self.direct and node.id not in hidden:
                    yield node
            elif isinstance(node, ast.Attribute) and self.is_target(node):
                first = (dotted(node.value) or "").partition(".")[0]
                if first not in hidden:
                    yield node

    def _require_plain(self, node: ast.ClassDef) -> None:
        """What a class binds is its attribute, which reads the outer name until it is bound."""
        for inner in standing_in(node):
            if not isinstance(inner, ast.Name) or inner.id not in self.direct:
                continue
            if isinstance(inner.ctx, ast.Store):
                where = f"{self.text.path}:{inner.lineno}"
                raise CannotRecast(f"{where} binds {inner.id} in a class, too")

    def _import_edits(self) -> Iterator[Edit]:
        rename, text = self.rename, self.text
        for node, alias in self.imports:
            said = rename.new_name + (f" as {alias.asname}" if alias.asname else "")
            if not rename.moves:
                yield text.edit(alias, len(alias.name.encode()), rename.new_name)
                continue
            others = [one for one in node.names if one is not alias]
            indent = " " * node.col_offset
            lines = [f"from {rename.new_module} import {said}"]
            if others:
                kept = ", ".join(
                    one.name + (f" as {one.asname}" if one.asname else "") for one in others
                )
                lines.insert(0, f"from {'.' * node.level}{node.module or ''} import {kept}")
            start, end = text.span(node)
            yield start, end, f"\n{indent}".join(lines)

    def _definition_edits(self) -> Iterator[Edit]:
        old = self.rename.old_name
        for node in self.text.tree.body:
            if isinstance(node, _DEFINES) and node.name == old:
                start = self.text.place(node.lineno, node.col_offset)
                head = HEAD.match(self.text.content, start)
                if head is not None:
                    yield head.end(), head.end() + len(old.encode()), self.rename.new_name
        for node in self.text.tree.body:
            if isinstance(node, ast.Assign) and any(
                isinstance(one, ast.Name) and one.id == "__all__" for one in node.targets
            ):
                for value in ast.walk(node.value):
                    if isinstance(value, ast.Constant) and value.value == old:
                        start, end = self.text.span(value)
                        yield start + 1, end - 1, self.rename.new_name

    def _require_free(self) -> None:
        new = self.rename.new_name
        imported = {alias for _, alias in self.imports}
        for node in ast.walk(self.text.tree):
            taken = (
                (isinstance(node, ast.Name) and node.id == new)
                or (isinstance(node, ast.arg) and node.arg == new)
                or (
                    isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                    and node.name == new
                )
                or (
                    isinstance(node, ast.alias)
                    and (node.asname or node.name) == new
                    and node not in imported
                )
            )
            if taken and self.direct & {self.rename.old_name}:
                line = getattr(node, "lineno", 1)
                raise CannotRecast(f"{self.text.path}:{line} uses {new} for something else already")

    def _imports_module(self) -> bool:
        return any(
            isinstance(node, ast.Import)
            and any(a.name == self.rename.new_module and not a.asname for a in node.names)
            for node in self.text.tree.body
        )

    def _new_import(self) -> Edit:
        """After the imports that stand at the top, or after the first string."""
        last = None
        for number, node in enumerate(self.text.tree.body):
            if isinstance(node, _BINDS) or (
                number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            ):
                last = node
        place = self.text.span(last)[1] if last is not None else 0
        said = f"import {self.rename.new_module}"
        return (place, place, f"\n{said}") if last is not None else (0, 0, f"{said}\n")


def standing_in(scope: ast.AST) -> Iterator[ast.AST]:
    """What stands in a scope, without what stands in scopes inside of it."""
    if isinstance(scope, SCOPES):
        body = scope.body if isinstance(scope.body, list) else [scope.body]
        waiting: list[ast.AST] = [*body, *getattr(scope, "bases", [])]
        waiting += getattr(scope, "keywords", [])
    else:
        waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop(0)
        yield node
        if isinstance(node, ast.Attribute) and dotted(node) is not None:
            waiting.insert(0, node.value)
        elif not isinstance(node, SCOPES):
            waiting = [*ast.iter_child_nodes(node), *waiting]


def _defaults(node: ast.AST) -> list[ast.expr]:
    """What of a function is worked out where it stands: defaults and annotations."""
    if isinstance(node, ast.ClassDef):
        return []
    arguments: ast.arguments = node.args  # type: ignore[attr-defined]
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [one for one in (arguments.vararg, arguments.kwarg) if one]
    notes = [one.annotation for one in every if one.annotation]
    if returns := getattr(node, "returns", None):
        notes.append(returns)
    return [*arguments.defaults, *(one for one in arguments.kw_defaults if one), *notes]


def own_names(function: ast.AST) -> set[str]:
    """Names that a function binds itself: arguments, assignments; not what it declares global."""
    arguments: ast.arguments = function.args  # type: ignore[attr-defined]
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    found = {one.arg for one in every}
    found |= {one.arg for one in (arguments.vararg, arguments.kwarg) if one}
    outer: set[str] = set()
    for node in standing_in(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            found.add(node.id)
        elif isinstance(
            node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.ExceptHandler
        ):
            found.add(node.name or "")
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outer |= set(node.names)
    return found - outer


def dotted(node: ast.AST) -> str | None:
    """ "a.b.c" of such an expression; None of any other."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def _mentions(text: Text, rename: Rename) -> Iterator[str]:
    """Strings that name it, which nobody can be sure of."""
    whole = f"{rename.old_module}.{rename.old_name}"
    for node in ast.walk(text.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and whole in node.value:
            yield f"{text.path}:{node.lineno}: a string names {whole}"

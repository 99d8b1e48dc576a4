"""Who calls what in the product, read from its sources, and what stands around each call.

Names stand for what they are bound to by `def`, `class` and `import`. Of a method whose object's
type cannot be read, every method of that name is meant: rather one caller too many than one too
few. A function that is handed on (to a thread, a table, partial()) counts as called there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Site:
    """One place where something is named. inside: "module:Class.method", or "module:" outside."""

    inside: str
    line: int
    node: ast.expr
    parents: tuple[ast.AST, ...]  # from the function's body down to the node

    @property
    def module(self) -> str:
        return self.inside.partition(":")[0]

    @property
    def call(self) -> ast.Call | None:
        """The call, when what is named here is called here."""
        parent = self.parents[-1] if self.parents else None
        return parent if isinstance(parent, ast.Call) and parent.func is self.node else None

    @property
    def is_used(self) -> bool:
        """Whether a method is called or handed on, rather than a field of that name looked at."""
        holders = [one for one in self.parents[-2:] if isinstance(one, ast.Call)]
        if self.call or not holders:
            return self.call is not None
        taker = ast.unparse(holders[-1].func).rpartition(".")[2]
        own = ast.unparse(self.node).startswith(("self.", "cls."))
        return own or taker in {"partial", "Thread", "Timer", "submit", "on_commit"}

    def is_within(self, managers: frozenset[str]) -> bool:
        """Whether a `with` of one of these managers stands around it in the same function."""
        chain = (*self.parents, self.node)
        return any(
            _manager(item) in managers
            for outer, inner in pairwise(chain)
            if isinstance(outer, ast.With) and inner in outer.body
            for item in outer.items
        )


def _manager(item: ast.withitem) -> str:
    called = item.context_expr
    if not isinstance(called, ast.Call):
        return ""
    return called.func.attr if isinstance(called.func, ast.Attribute) else ast.unparse(called.func)


@dataclass
class Module:
    """A source file with what its names stand for."""

    name: str
    tree: ast.Module
    imported: dict[str, str] = field(default_factory=dict)  # name here -> "module" or "module.name"


@dataclass
class Graph:
    """All that is named in some packages."""

    modules: dict[str, Module] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)  # "module:Class.method"
    bases: dict[str, list[str]] = field(default_factory=dict)  # "module:Class" -> names of bases
    named: dict[str, list[Site]] = field(default_factory=dict)
    # Name where it is defined -> (module, name there) of everybody who imports it.
    _known_as: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def read(cls, sources: Mapping[str, str]) -> Graph:
        """sources: name of a module, such as "agent.runner" -> its text."""
        graph = cls()
        for name, text in sources.items():
            module = Module(name, ast.parse(text))
            graph.modules[name] = module
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ImportFrom) and node.module:
                    for alias in node.names:
                        known = alias.asname or alias.name
                        module.imported[known] = f"{node.module}.{alias.name}"
                        graph._known_as.setdefault(alias.name, []).append((name, known))
                elif isinstance(node, ast.Import):
                    for alias in node.names:
                        known = alias.asname or alias.name.partition(".")[0]
                        module.imported[known] = alias.name if alias.asname else known
            graph._walk(module, module.tree, "", ())
        return graph

    def _walk(
        self, module: Module, node: ast.AST, inside: str, parents: tuple[ast.AST, ...]
    ) -> None:
        below = (*parents, node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function | ast.ClassDef):
                # Decorators, defaults and bases are evaluated where the definition stands.
                for outer in [*child.decorator_list, *_evaluated_outside(child)]:
                    self._note(module, outer, inside, below)
                    self._walk(module, outer, inside, below)
                name = f"{inside}.{child.name}".lstrip(".")
                if isinstance(child, ast.ClassDef):
                    self.bases[f"{module.name}:{name}"] = [ast.unparse(b) for b in child.bases]
                else:
                    self.functions[f"{module.name}:{name}"] = child
                for part in child.body:
                    self._walk(module, ast.Module(body=[part], type_ignores=[]), name, ())
                continue
            self._note(module, child, inside, below)
            self._walk(module, child, inside, below)

    def _note(
        self, module: Module, node: ast.AST, inside: str, parents: tuple[ast.AST, ...]
    ) -> None:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            name = node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = node.attr
        else:
            return
        self.named.setdefault(name, []).append(
            Site(f"{module.name}:{inside}", node.lineno, node, parents)
        )

    def meaning(self, site: Site) -> str:
        """What a name stands for as far as imports say: "subprocess.run", else only "run"."""
        parts = _dotted(site.node)
        imported = self.modules[site.module].imported
        if parts[0] not in imported:
            return parts[-1] if isinstance(site.node, ast.Attribute) else parts[0]
        return ".".join([imported[parts[0]], *parts[1:]])

    def callers(self, function: str) -> Iterator[Site]:
        """Every place where a function or method of the product is named, and so may be called."""
        module, _, path = function.partition(":")
        owner, _, name = path.rpartition(".")
        is_method = f"{module}:{owner}" in self.bases
        if is_method and name.startswith("__"):
            # Whoever makes or names the class may call what the language calls by itself.
            yield from self._of_module(module, owner.rpartition(".")[2])
        elif is_method:
            yield from (
                s for s in self.named.get(name, []) if self._may_be_method(s, module, owner)
            )
        elif owner:
            # A function in a function: nobody else knows its name.
            yield from (
                s for s in self.named.get(name, []) if s.inside.startswith(f"{module}:{owner}")
            )
        else:
            yield from self._of_module(module, name)

    def method_calls(self, receiver: str, name: str) -> Iterator[Site]:
        """Calls of `receiver.name()`."""
        for site in self.named.get(name, []):
            if site.call and _dotted(site.node) == [receiver, name]:
                yield site

    def _of_module(self, module: str, name: str) -> Iterator[Site]:
        for site in self.named.get(name, []):
            if isinstance(site.node, ast.Attribute):
                if self._same(self.meaning(site), module, name):
                    yield site
            elif site.module == module and name not in self.modules[module].imported:
                yield site
        for here, known in self._known_as.get(name, []):
            if self._same(self.modules[here].imported[known], module, name):
                yield from (
                    site
                    for site in self.named.get(known, [])
                    if isinstance(site.node, ast.Name) and site.module == here
                )

    def _same(self, said: str, module: str, name: str) -> bool:
        """Whether "package.name" is the function of that module, also when handed through."""
        if said == f"{module}.{name}":
            return True
        holder, _, last = said.rpartition(".")
        known = self.modules.get(holder)
        onward = known.imported.get(last) if known else None
        return onward is not None and onward != said and self._same(onward, module, name)

    def _may_be_method(self, site: Site, module: str, owner: str) -> bool:
        if not (isinstance(site.node, ast.Attribute) and site.is_used):
            return False
        if site.call and not _takes(
            self.functions[f"{module}:{owner}.{site.node.attr}"], site.call
        ):
            return False
        receiver = site.node.value
        here, _, path = site.inside.partition(":")
        if isinstance(receiver, ast.Name) and receiver.id in {"self", "cls"}:
            return self._related(f"{here}:{_class_of(self, here, path)}", f"{module}:{owner}")
        if isinstance(receiver, ast.Name) and receiver.id in self.modules[here].imported:
            stands_for = self.modules[here].imported[receiver.id]
            # `git.run` with an imported module called git is no method.
            return not (stands_for in self.modules or _is_foreign(self, stands_for))
        return True

    def _related(self, one: str, other: str) -> bool:
        return one == other or bool(self._line(one) & self._line(other))

    def _line(self, cls: str) -> set[str]:
        """A class and all that it is made from, by their last names."""
        found = {cls.rpartition(":")[2]}
        waiting = list(self.bases.get(cls, []))
        while waiting:
            base = waiting.pop().partition("[")[0].rpartition(".")[2]
            if base in found or base in {"Protocol", "object", "Generic", "ABC"}:
                continue
            found.add(base)
            for known, bases in self.bases.items():
                if known.rpartition(":")[2] == base:
                    waiting += bases
        return found


def _dotted(node: ast.expr) -> list[str]:
    """The names of `a.b.c`; "" stands for whatever else the first may be."""
    if isinstance(node, ast.Attribute):
        return [*_dotted(node.value), node.attr]
    return [node.id if isinstance(node, ast.Name) else ""]


def _evaluated_outside(child: Function | ast.ClassDef) -> list[ast.expr]:
    if isinstance(child, ast.ClassDef):
        return [*child.bases, *(keyword.value for keyword in child.keywords)]
    return [*child.args.defaults, *(one for one in child.args.kw_defaults if one is not None)]


def _takes(method: Function, call: ast.Call) -> bool:
    """Whether a method can take what it is given here."""
    names = [one.arg for one in (*method.args.posonlyargs, *method.args.args)]
    if not any(ast.unparse(one) == "staticmethod" for one in method.decorator_list):
        names = names[1:]
    given = [one for one in call.args if not isinstance(one, ast.Starred)]
    known = {*names, *(one.arg for one in method.args.kwonlyargs)}
    return (method.args.vararg is not None or len(given) <= len(names)) and (
        method.args.kwarg is not None or all(k.arg in known for k in call.keywords if k.arg)
    )


def _class_of(graph: Graph, module: str, path: str) -> str:
    while path and f"{module}:{path}" not in graph.bases:
        path = path.rpartition(".")[0]
    return path


def _is_foreign(graph: Graph, stands_for: str) -> bool:
    """Whether an imported name is a module of somebody else's."""
    top = stands_for.partition(".")[0]
    ours = {name.partition(".")[0] for name in graph.modules}
    return top not in ours and stands_for.rpartition(".")[2].islower()


def read_packages(root: Path, *packages: str) -> dict[str, str]:
    """The sources of some packages as Graph.read() takes them; without migrations."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            if "migrations" not in path.parts:
                parts = path.relative_to(root).with_suffix("").parts
                found[".".join(parts).removesuffix(".__init__")] = path.read_text()
    return found

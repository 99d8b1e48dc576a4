"""Gives a method of a class another name, with the calls of it whose object's class is evident.

Evident is what the text itself says: `self` in the class and in those that derive from it, the
class by its name, what it has just made, a variable that only ever holds such, an annotation. Any
other use of the name is left, works on by the old name, and is listed for a person.
"""

import ast
import builtins
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.recasting import (
    FUNCTIONS,
    HEAD,
    SCOPES,
    CannotRecast,
    Edit,
    Recast,
    Rename,
    Text,
    Uses,
    module_of,
    own_names,
    parsed,
    standing_in,
)

_SUPER = "super()"  # among variables: whether this is written in a method of the family
_NAME = re.compile(r"[A-Za-z_]\w*")
# Classes of the standard library that people derive from, and that define no method by a plain name
# except `register`, which is not one of an object.
_PLAIN = frozenset({"ABC", "Protocol", "Generic", "NamedTuple", "TypedDict"})


@dataclass(frozen=True)
class Method:
    """A method: the module and the name of its class, its own name."""

    module: str
    owner: str
    name: str

    @classmethod
    def of(cls, files: Mapping[str, bytes], said: str) -> "Method | None":
        """What "shop.cart.Cart.total" names, if it is a method of a class at a module's top."""
        parts = said.split(".")
        if len(parts) < 3:
            return None
        module, owner, name = ".".join(parts[:-2]), parts[-2], parts[-1]
        for path in sorted(files):
            if module_of(path) == module and (tree := parsed(path, files[path])):
                for node in tree.body:
                    if isinstance(node, ast.ClassDef) and node.name == owner:
                        return cls(module, owner, name) if _defines(node, name) else None
        return None


def renamed_method(files: Mapping[str, bytes], method: Method, new: str) -> Recast:
    """Definitions and evident calls get the new name; the old one stays as an alias in the class.

    Classes that derive from it follow. Raises CannotRecast where a base may have a method of that
    name too, or the new name is taken.
    """
    if method.name.startswith("__") or not _NAME.fullmatch(new) or new.startswith("__"):
        raise CannotRecast("names that begin with two underscores mean something to Python")
    return _Renaming(files, method, new).recast()


@dataclass(frozen=True)
class _Member:
    """The class itself, or one that derives from it."""

    text: Text
    module: str
    node: ast.ClassDef


class _Renaming:
    def __init__(self, files: Mapping[str, bytes], method: Method, new: str) -> None:
        self.method, self.new = method, new
        self.texts = [
            Text(path, files[path], tree)
            for path in sorted(files)
            if (tree := parsed(path, files[path])) is not None
        ]
        self.family: list[_Member] = []
        self.uses: dict[str, list[Uses]] = {text.path: [] for text in self.texts}
        self._add(method.module, method.owner)
        self._require_sound()

    def recast(self) -> Recast:
        found, counts, left = {}, {}, []
        for text in self.texts:
            walk = _Walk(self, text)
            edits = [*walk.edits(), *self._definitions(text)]
            left += walk.left
            if edits:
                aliases = self._aliases(text)
                found[text.path] = text.with_edits([*edits, *aliases])
                counts[text.path] = len(edits)
        return Recast(found, counts, tuple(left))

    def _add(self, module: str, owner: str) -> None:
        """A class and, again and again, those that derive from it."""
        if any((one.module, one.node.name) == (module, owner) for one in self.family):
            return
        target = Rename(module, owner, module, owner)
        own = {text.path: Uses(text, target, definition=True) for text in self.texts}
        for text in self.texts:
            self.uses[text.path].append(own[text.path])
            for node in text.tree.body:
                if text.module == module and isinstance(node, ast.ClassDef) and node.name == owner:
                    self.family.append(_Member(text, module, node))
        for text in self.texts:
            for derived in ast.walk(text.tree):
                if isinstance(derived, ast.ClassDef) and any(
                    own[text.path].is_target(base) for base in derived.bases
                ):
                    if derived not in text.tree.body:
                        where = f"{text.path}:{derived.lineno}"
                        raise CannotRecast(f"{where} derives from {owner} inside of something")
                    self._add(text.module, derived.name)

    def _require_sound(self) -> None:
        members = {id(one.node) for one in self.family}
        for one in self.family:
            for base in one.node.bases:
                self._require_no_such_base(one, base, members)
            for node in ast.walk(one.node):
                taken = (isinstance(node, ast.Attribute) and node.attr == self.new) or (
                    isinstance(node, ast.Name | FUNCTIONS[0] | FUNCTIONS[1] | ast.ClassDef)
                    and self.new == (node.id if isinstance(node, ast.Name) else node.name)
                )
                if taken:
                    where = f"{one.text.path}:{getattr(node, 'lineno', 1)}"
                    raise CannotRecast(f"{where} uses {self.new} for something else already")

    def _require_no_such_base(self, one: _Member, base: ast.expr, members: set[int]) -> None:
        said = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
        last = said.rpartition(".")[2]
        known = getattr(builtins, said, None)
        if isinstance(known, type) and not hasattr(known, self.method.name):
            return
        if last in _PLAIN or any(use.is_target(base) for use in self.uses[one.text.path]):
            return
        for text in self.texts:
            for node in text.tree.body:
                if not (isinstance(node, ast.ClassDef) and node.name == last):
                    continue
                if id(node) in members:
                    return
                probe = Uses(
                    one.text, Rename(text.module, last, text.module, last), definition=True
                )
                if probe.is_target(base) and not _defines(node, self.method.name):
                    for above in node.bases:
                        self._require_no_such_base(_Member(text, text.module, node), above, members)
                    return
        raise CannotRecast(
            f"{one.text.path}:{one.node.lineno}: {one.node.name} derives from {said}, which may"
            f" have a {self.method.name} of its own"
        )

    def _definitions(self, text: Text) -> Iterator[Edit]:
        """The name after `def`, and where the class uses it for decorators and other names."""
        old = self.method.name
        for one in self.family:
            if one.text is not text:
                continue
            for node in one.node.body:
                if isinstance(node, FUNCTIONS) and node.name == old:
                    head = HEAD.match(text.content, text.place(node.lineno, node.col_offset))
                    if head is not None:
                        yield head.end(), head.end() + len(old.encode()), self.new
            outside = [
                *(node for node in standing_in(one.node)),
                *(
                    inner
                    for node in one.node.body
                    for decorator in getattr(node, "decorator_list", [])
                    for inner in ast.walk(decorator)
                ),
            ]
            for use in outside:
                if isinstance(use, ast.Name) and use.id == old:
                    yield text.edit(use, len(old.encode()), self.new)

    def _aliases(self, text: Text) -> Iterator[Edit]:
        """The old name at the end of each class that defines it."""
        for one in self.family:
            if one.text is text and _defines(one.node, self.method.name):
                last = one.node.body[-1]
                _, end = text.span(last)
                indent = " " * one.node.body[0].col_offset
                said = "# The old name, for whoever is outside of this repository."
                alias = f"\n\n{indent}{said}\n{indent}{self.method.name} = {self.new}"
                yield end, end, alias


class _Walk:
    """One file: uses of the name on what is evidently of the family, and all others."""

    def __init__(self, renaming: _Renaming, text: Text) -> None:
        self._old, self._new, self._text = renaming.method.name, renaming.new, text
        self._uses = renaming.uses[text.path]
        self._members = {id(one.node) for one in renaming.family}
        self._found: list[Edit] = []
        self.left: list[str] = []

    def edits(self) -> list[Edit]:
        self._scope(self._text.tree, frozenset(), frozenset(), owner=False)
        return self._found

    def _scope(
        self, scope: ast.AST, known: frozenset[str], hidden: frozenset[str], *, owner: bool
    ) -> None:
        """known: variables that hold such an object. hidden: names that mean something else.

        owner: whether it is a method of the family.
        """
        if isinstance(scope, (*FUNCTIONS, ast.Lambda)):
            own = own_names(scope)
            hidden, known = hidden | own, known - own
        known |= self._variables(scope, hidden, owner=owner)
        for node in standing_in(scope):
            if isinstance(node, SCOPES):
                for part in [*getattr(node, "decorator_list", []), *_defaults_of(node)]:
                    self._scope(ast.Expression(part), known, hidden, owner=False)
                inside = isinstance(scope, ast.ClassDef) and id(scope) in self._members
                self._scope(node, known, hidden, owner=inside)
            elif isinstance(node, ast.Attribute) and node.attr == self._old:
                self._attribute(node, known, hidden)
            elif isinstance(node, ast.Constant) and node.value == self._old:
                self._leave(node, f"a string names {self._old}")

    def _attribute(
        self, node: ast.Attribute, known: frozenset[str], hidden: frozenset[str]
    ) -> None:
        if not self._is_evident(node.value, known, hidden):
            self._leave(node, f"{ast.unparse(node)[:80]} may be of another class")
        elif isinstance(node.ctx, ast.Load):
            _, end = self._text.span(node)
            self._found.append((end - len(self._old.encode()), end, self._new))
        else:
            where = f"{self._text.path}:{node.lineno}"
            raise CannotRecast(f"{where} binds {self._old} of an object anew")

    def _leave(self, node: ast.expr, why: str) -> None:
        self.left.append(f"{self._text.path}:{node.lineno}: {why}")

    def _is_evident(self, node: ast.AST, known: frozenset[str], hidden: frozenset[str]) -> bool:
        if isinstance(node, ast.Name) and node.id in known:
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _SUPER in known:
            return node.func.id == "super" or self._is_class(node.func, hidden)
        return self._is_class(node.func if isinstance(node, ast.Call) else node, hidden)

    def _is_class(self, node: ast.AST, hidden: frozenset[str]) -> bool:
        first = node
        while isinstance(first, ast.Attribute):
            first = first.value
        if isinstance(first, ast.Name) and first.id in hidden:
            return False
        return any(use.is_target(node) for use in self._uses)

    def _is_note(self, note: ast.expr | None, hidden: frozenset[str]) -> bool:
        """Whether an annotation says that it is such an object, or None."""
        if isinstance(note, ast.Constant) and isinstance(note.value, str):
            try:
                note = ast.parse(note.value, mode="eval").body
            except SyntaxError:
                return False
        if isinstance(note, ast.BinOp) and isinstance(note.op, ast.BitOr):
            sides = [note.left, note.right]
            rest = [x for x in sides if not (isinstance(x, ast.Constant) and x.value is None)]
            return len(rest) == 1 and self._is_note(rest[0], hidden)
        return note is not None and self._is_class(note, hidden)

    def _variables(self, scope: ast.AST, hidden: frozenset[str], *, owner: bool) -> frozenset[str]:
        """Names that a scope binds to such an object, and to nothing else."""
        sure: dict[str, int] = {}
        bound: dict[str, int] = {}
        outer = hidden - (
            own_names(scope) if isinstance(scope, (*FUNCTIONS, ast.Lambda)) else set()
        )
        for node in standing_in(scope):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
                bound[node.id] = bound.get(node.id, 0) + 1
            target = getattr(node, "target", None)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                if self._is_class(node.value.func, outer):
                    for one in node.targets:
                        if isinstance(one, ast.Name):
                            sure[one.id] = sure.get(one.id, 0) + 1
            elif (
                isinstance(node, ast.AnnAssign)
                and isinstance(target, ast.Name)
                and self._is_note(node.annotation, outer)
            ):
                sure[target.id] = sure.get(target.id, 0) + 1
        found = {name for name, times in sure.items() if bound.get(name) == times}
        if isinstance(scope, FUNCTIONS):
            arguments = scope.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            found -= {one.arg for one in every}
            static = any(ast.unparse(one) == "staticmethod" for one in scope.decorator_list)
            for number, given in enumerate(every):
                is_self = owner and number == 0 and not static
                if is_self:
                    found.add(_SUPER)
                if given.arg not in bound and (is_self or self._is_note(given.annotation, outer)):
                    found.add(given.arg)
        return frozenset(found)


def _defines(node: ast.ClassDef, name: str) -> bool:
    return any(isinstance(one, FUNCTIONS) and one.name == name for one in node.body)


def _defaults_of(node: ast.AST) -> list[ast.expr]:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return []
    return [*node.args.defaults, *(one for one in node.args.kw_defaults if one)]

"""One function of the sources as the operators see it: its text, its names, what they hold."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from agent.repair.edits import Edit

# How tightly expressions bind, weakest first (Python reference, section 6.17).
CHOICE, OR, AND, NOT, COMPARE, BIT_OR, BIT_XOR, BIT_AND, SHIFT, ADD, MULTIPLY, SIGN, POWER = range(
    13
)
ATOM = 14

BINARY: dict[type[ast.operator], tuple[str, int]] = {
    ast.Add: ("+", ADD),
    ast.Sub: ("-", ADD),
    ast.Mult: ("*", MULTIPLY),
    ast.Div: ("/", MULTIPLY),
    ast.FloorDiv: ("//", MULTIPLY),
    ast.Mod: ("%", MULTIPLY),
    ast.Pow: ("**", POWER),
    ast.BitAnd: ("&", BIT_AND),
    ast.BitOr: ("|", BIT_OR),
    ast.BitXor: ("^", BIT_XOR),
    ast.LShift: ("<<", SHIFT),
    ast.RShift: (">>", SHIFT),
    ast.MatMult: ("@", MULTIPLY),
}

NUMBERS = frozenset({"int", "float", "bool", "complex", "Decimal", "Fraction"})
SEQUENCES = frozenset({"list", "tuple", "str", "bytes", "deque", "range"})

type Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Knowledge:
    """What runs of the tests told about the code.

    suspicion: by (path, line), 0 to 1. types: by (path, outermost function, name), such as
    {"int", "list[str]"}. attributes: by type. literals: from the failing tests. symptoms: kinds of
    the errors, such as "IndexError". missing: names and attributes that errors say are not there.
    """

    suspicion: Mapping[tuple[str, int], float]
    types: Mapping[tuple[str, str, str], frozenset[str]] = field(default_factory=dict)
    returns: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    attributes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    used_attributes: frozenset[str] = frozenset()
    literals: Sequence[object] = ()
    symptoms: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


class Unit:
    """A function that stands outermost in its module or class."""

    def __init__(
        self, path: str, source: bytes, node: Function, qualified: str, module: ast.Module,
        known: Knowledge,
    ) -> None:  # fmt: skip
        self.path = path
        self.source = source
        self.node = node
        self.qualified = qualified
        self.module = module
        self.known = known
        self.starts = line_starts(source)
        self.parents: dict[ast.AST, ast.AST] = {}
        for parent in ast.walk(node):
            for child in ast.iter_child_nodes(parent):
                self.parents[child] = parent

    # text

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Bytes of the node, from start to end."""
        assert isinstance(node, ast.expr | ast.stmt | ast.arg | ast.keyword | ast.ExceptHandler)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def text(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode("utf-8", "replace")

    def atom(self, node: ast.expr, level: int) -> str:
        """The node's text, in brackets where something that binds like `level` stands around it."""
        text = self.text(node)
        return f"({text})" if binding(node) < level else text

    def put(self, node: ast.AST, text: str, level: int = ATOM) -> Edit:
        """An edit that writes an expression of this level in place of the node."""
        start, end = self.span(node)
        if level < self.needed(node):
            text = f"({text})"
        return Edit(self.path, start, end, text)

    def needed(self, node: ast.AST) -> int:
        """How tightly an expression has to bind to stand here without brackets."""
        start, end = self.span(node)
        before = self.source[:start].rstrip()
        after = self.source[end:].lstrip()
        parent = self.parents.get(node)
        if before.endswith(b"(") and after.startswith(b")") and not isinstance(parent, ast.Call):
            return CHOICE
        match parent:
            case ast.BinOp():
                level = BINARY[type(parent.op)][1]
                return level if node is parent.left and level != POWER else level + 1
            case ast.Compare():
                return COMPARE + 1
            case ast.BoolOp():
                return (AND if isinstance(parent.op, ast.And) else OR) + 1
            case ast.UnaryOp():
                return NOT if isinstance(parent.op, ast.Not) else SIGN
            case ast.Attribute() | ast.Starred() | ast.Await():
                return ATOM
            case ast.Subscript() if node is parent.value:
                return ATOM
            case ast.Call() if node is parent.func:
                return ATOM
            case ast.IfExp():
                return OR
            case ast.comprehension():
                return OR
        return CHOICE

    # places

    def line(self, node: ast.AST) -> int:
        """Line of the node; for a condition the line of the condition."""
        return int(getattr(node, "lineno", self.node.lineno))

    def suspicion(self, node: ast.AST) -> float:
        """How suspicious the statement around the node is, 0 to 1."""
        own = self.known.suspicion.get((self.path, self.line(node)), 0.0)
        statement = self.statement(node)
        first = self.known.suspicion.get((self.path, statement.lineno), 0.0)
        return max(own, first)

    def statement(self, node: ast.AST) -> ast.stmt:
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def expressions(self) -> Iterator[ast.expr]:
        """Every expression that is evaluated when the function runs, annotations left out."""
        skipped: set[ast.AST] = set()
        for node in ast.walk(self.node):
            if isinstance(node, ast.arg) and node.annotation is not None:
                skipped.update(ast.walk(node.annotation))
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.returns is not None:
                    skipped.update(ast.walk(node.returns))
                for decorator in node.decorator_list:
                    skipped.update(ast.walk(decorator))
            elif isinstance(node, ast.AnnAssign):
                skipped.update(ast.walk(node.annotation))
            elif isinstance(node, ast.JoinedStr):
                # Positions inside of f-strings are those of their parts only since 3.12.
                skipped.update(n for n in ast.walk(node) if isinstance(n, ast.Constant))
            if isinstance(node, ast.expr) and node not in skipped and not self.is_text(node):
                yield node

    def is_text(self, node: ast.expr) -> bool:
        """Whether this is a docstring or another text that stands as a statement."""
        return isinstance(node, ast.Constant) and isinstance(self.parents.get(node), ast.Expr)

    def blocks(self) -> Iterator[tuple[ast.AST, list[ast.stmt]]]:
        """Every list of statements with what it belongs to."""
        for node in ast.walk(self.node):
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                    yield node, block

    def indent(self, statement: ast.stmt) -> str | None:
        """What stands before the statement on its line, or None when that is not only space."""
        start = self.starts[statement.lineno - 1]
        first = self.source[start : start + statement.col_offset]
        return first.decode() if not first.strip() else None

    # names

    @cached_property
    def variables(self) -> list[str]:
        """Parameters and what is assigned, in order of first use."""
        found: dict[str, None] = {}
        inside = set(self.comprehension_names)
        for node in ast.walk(self.node):
            if isinstance(node, ast.arg):
                found[node.arg] = None
            elif (
                isinstance(node, ast.Name)
                and isinstance(node.ctx, ast.Store)
                and (node.id not in inside or node.id in self._assigned)
            ):
                found[node.id] = None
        found.pop("self", None)
        found.pop("cls", None)
        found.pop("_", None)
        return list(found)

    @cached_property
    def _assigned(self) -> frozenset[str]:
        return frozenset(
            n.id
            for n in ast.walk(self.node)
            if isinstance(n, ast.Name)
            and isinstance(n.ctx, ast.Store)
            and not isinstance(self.outer_of_target(n), ast.comprehension)
        )

    @cached_property
    def reads(self) -> dict[str, list[int]]:
        """Offsets at which each variable of the function is read."""
        known = {*self.variables, *self.comprehension_names}
        found: dict[str, list[int]] = {}
        for node in ast.walk(self.node):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in known:
                found.setdefault(node.id, []).append(self.span(node)[0])
        return found

    def outer_of_target(self, node: ast.AST) -> ast.AST:
        parent = self.parents.get(node, self.node)
        while isinstance(parent, ast.Tuple | ast.List | ast.Starred):
            parent = self.parents.get(parent, self.node)
        return parent

    @cached_property
    def comprehension_names(self) -> dict[str, list[ast.AST]]:
        """Names bound in comprehensions, with the comprehensions that bind them."""
        found: dict[str, list[ast.AST]] = {}
        for node in ast.walk(self.node):
            for generator in getattr(node, "generators", ()):
                for name in ast.walk(generator.target):
                    if isinstance(name, ast.Name):
                        found.setdefault(name.id, []).append(node)
        return found

    def names_at(self, node: ast.AST) -> list[str]:
        """Variables that may be used where the node stands."""
        around: set[ast.AST] = set()
        here: ast.AST | None = node
        while here is not None:
            around.add(here)
            here = self.parents.get(here)
        extra = [
            name
            for name, homes in self.comprehension_names.items()
            if name not in self.variables and any(home in around for home in homes)
        ]
        return self.variables + extra

    @cached_property
    def functions(self) -> dict[str, int]:
        """Functions of the module and those defined inside, with their number of parameters."""
        found = {
            s.name: len(s.args.args)
            for s in self.module.body
            if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        for node in ast.walk(self.node):
            if isinstance(node, ast.FunctionDef) and node is not self.node:
                found[node.name] = len(node.args.args)
        return found

    # kinds of values

    def seen(self, name: str) -> frozenset[str]:
        """Types that a variable held when the tests ran; empty when never seen."""
        return self.known.types.get((self.path, self.qualified, name), frozenset())

    def kind(self, node: ast.expr) -> frozenset[str]:
        """Types that the expression may have, without the types of elements; empty: unknown."""
        match node:
            case ast.Constant():
                return frozenset({type(node.value).__name__})
            case ast.Name():
                return bare(self.seen(node.id))
            case ast.Compare():
                return frozenset({"bool"})
            case ast.UnaryOp():
                if isinstance(node.op, ast.Not):
                    return frozenset({"bool"})
                return self.kind(node.operand)
            case ast.List() | ast.ListComp():
                return frozenset({"list"})
            case ast.Set() | ast.SetComp():
                return frozenset({"set"})
            case ast.Dict() | ast.DictComp():
                return frozenset({"dict"})
            case ast.Tuple():
                return frozenset({"tuple"})
            case ast.JoinedStr():
                return frozenset({"str"})
            case ast.BinOp():
                left, right = self.kind(node.left), self.kind(node.right)
                if isinstance(node.op, ast.Div):
                    return frozenset({"float"}) if left & NUMBERS else left
                if isinstance(node.op, ast.Mod | ast.Mult) and left & {"str", "list"}:
                    return left
                return (left | right) if left and right else left or right
            case ast.BoolOp():
                kinds = [self.kind(value) for value in node.values]
                return frozenset().union(*kinds) if all(kinds) else frozenset()
            case ast.IfExp():
                return self.kind(node.body) or self.kind(node.orelse)
            case ast.Subscript():
                if isinstance(node.slice, ast.Slice):
                    return self.kind(node.value)
                if isinstance(node.value, ast.Name):
                    return elements(self.seen(node.value.id))
            case ast.Call():
                return self._kind_of_call(node)
        return frozenset()

    def _kind_of_call(self, node: ast.Call) -> frozenset[str]:
        if isinstance(node.func, ast.Name):
            name = node.func.id
            if name in RETURNS:
                return frozenset({RETURNS[name]})
            if name in {"max", "min", "sum", "abs", "round"} and node.args:
                return self.kind(node.args[0]) & NUMBERS
            for (path, qualified), kinds in self.known.returns.items():
                if path == self.path and qualified.rpartition(".")[2] == name:
                    return bare(kinds)
        elif isinstance(node.func, ast.Attribute) and node.func.attr in METHOD_RETURNS:
            return frozenset({METHOD_RETURNS[node.func.attr]})
        return frozenset()

    def kind_of_constant(self, name: str) -> frozenset[str]:
        """Type of a constant of the module, where it is written down as one."""
        for statement in self.module.body:
            if (
                isinstance(statement, ast.Assign)
                and isinstance(statement.targets[0], ast.Name)
                and statement.targets[0].id == name
            ):
                return self.kind(statement.value)
        return frozenset()

    def numeric(self, node: ast.expr) -> bool:
        """Whether the expression may be a number."""
        kind = self.kind(node) - {"NoneType"}
        return not kind or bool(kind & NUMBERS)

    def sequence(self, node: ast.expr) -> bool:
        kind = self.kind(node) - {"NoneType"}
        return not kind or bool(kind & SEQUENCES)


RETURNS = {
    "len": "int", "int": "int", "float": "float", "str": "str", "list": "list", "sorted": "list",
    "set": "set", "dict": "dict", "tuple": "tuple", "bool": "bool", "any": "bool", "all": "bool",
    "ord": "int", "chr": "str", "isinstance": "bool", "range": "range", "bin": "str", "hex": "str",
    "repr": "str", "enumerate": "enumerate", "zip": "zip", "map": "map", "reversed": "reversed",
}  # fmt: skip
METHOD_RETURNS = {
    "join": "str", "lower": "str", "upper": "str", "strip": "str", "replace": "str",
    "split": "list",
    "count": "int", "find": "int", "index": "int", "isdigit": "bool", "isalpha": "bool",
    "startswith": "bool", "endswith": "bool", "swapcase": "str", "title": "str",
    "keys": "dict_keys",
    "isupper": "bool", "islower": "bool", "lstrip": "str", "rstrip": "str", "capitalize": "str",
}  # fmt: skip


def line_starts(source: bytes) -> list[int]:
    """Offset of each line's first byte, and of the end."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def bare(kinds: frozenset[str]) -> frozenset[str]:
    return frozenset(kind.partition("[")[0] for kind in kinds)


def elements(kinds: frozenset[str]) -> frozenset[str]:
    """What indexing values of these kinds gives; empty when unknown."""
    found: set[str] = set()
    for kind in kinds:
        base, _, inside = kind.partition("[")
        if base == "str":
            found.add("str")
        elif inside and base in {"list", "tuple"}:
            found.add(inside.rstrip("]"))
    return frozenset(found)


def compatible(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether values of these kinds may stand for each other; unknown kinds may always."""
    if not one or not other:
        return True
    if one & other:
        return True
    return bool(one & NUMBERS and other & NUMBERS)


def binding(node: ast.expr) -> int:
    """How tightly this expression binds."""
    match node:
        case ast.IfExp() | ast.Lambda() | ast.NamedExpr() | ast.Yield() | ast.YieldFrom():
            return CHOICE
        case ast.BoolOp():
            return AND if isinstance(node.op, ast.And) else OR
        case ast.UnaryOp():
            return NOT if isinstance(node.op, ast.Not) else SIGN
        case ast.Compare():
            return COMPARE
        case ast.BinOp():
            return BINARY[type(node.op)][1]
        case ast.Starred():
            return CHOICE
        case ast.Tuple():
            return ATOM
        case _:
            return ATOM


def units(path: str, source: bytes, known: Knowledge) -> Iterator[Unit]:
    """Every outermost function of a file. Raises SyntaxError or ValueError for no Python."""
    tree = ast.parse(source)

    def walk(body: list[ast.stmt], prefix: str) -> Iterator[Unit]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Unit(path, source, node, prefix + node.name, tree, known)
            elif isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}.")

    yield from walk(tree.body, "")

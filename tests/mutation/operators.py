"""Mutants of a source file: one place of its syntax tree changed, spliced into the text so that all other lines stay.

What is changed: comparisons (`<` to `<=`, and to its contrary), arithmetic, constants (one more, one less, the other
sign), conditions negated, `and` and `or`, statements removed (calls, `raise`, second assignments, `break`, `continue`),
`min` and `max` and the like exchanged, bounds of slices moved by one, defaults, returned values.

What is not, and why:
    - docstrings, annotations, imports: nothing runs there;
    - messages: everything within `raise`, `warnings.warn`, a call of `...Error` or of a method `error`, and the
      assignments that serve these alone (removal of the `raise` itself is a mutant). What a message says is not what
      this measures;
    - other texts, and what stands in f-strings: words of file formats are compared with whole files by the tests, and
      Python before 3.12 does not say where the parts of an f-string are;
    - decorators (`lru_cache(maxsize=1)`) and `del`: speed and memory;
    - first assignments of a name, `+` with a text or a list: a name or type error, killed by any test that comes by.
"""

import ast
import copy
from dataclasses import dataclass

_EDGE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_CONTRARY = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}
_ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_PAIRS = (
    ("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"), ("floor", "ceil"), ("sin", "cos"),
    ("zeros", "ones"), ("zeros_like", "ones_like"), ("startswith", "endswith"),
)
_EXCHANGED = {**dict(_PAIRS), **{b: a for a, b in _PAIRS}}
_MANY = 1000  # constants from here on are limits of size: one more or less says nothing, they are doubled and halved


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    start, end: (line, column in bytes) of what is replaced by `after`; first, last: lines of the statement around it;
    body: lines of the function whose default it is, None elsewhere; at_import: whether it is outside of functions.
    """

    path: str
    kind: str
    start: tuple
    end: tuple
    before: str
    after: str
    first: int
    last: int
    body: tuple | None = None
    at_import: bool = False

    @property
    def name(self):
        """What tells it from all others."""
        return f"{self.path}:{self.start[0]}:{self.start[1]} {self.kind}: {_short(self.before)} -> {_short(self.after)}"

    def applied(self, source):
        """The source text with this change."""
        lines = [line.encode() for line in source.splitlines(keepends=True)]
        (a, i), (b, j) = self.start, self.end
        lines[a - 1:b] = [lines[a - 1][:i] + self.after.encode() + lines[b - 1][j:]]
        return b"".join(lines).decode()


def _short(text):
    text = " ".join(text.split())
    return text if len(text) <= 90 else text[:87] + "..."


def mutants(path, source):
    """All `Mutant`s of a file, in the order of the text."""
    visitor = _Visitor(path, source)
    visitor.visit(ast.parse(source))
    unique = {(m.start, m.end, m.after): m for m in visitor.mutants}
    return sorted(unique.values(), key=lambda m: (m.start, m.end, m.kind, m.after))


class _Visitor:
    def __init__(self, path, source):
        self.path, self.source, self.mutants = path, source, []
        self.statement = None
        self.body = None
        self.assigned = set()

    def add(self, kind, node, after):
        text = after if isinstance(after, str) else ast.unparse(after)
        if isinstance(node, ast.expr):
            text = f"({text})"
        before = ast.get_source_segment(self.source, node)
        first, last = _header(self.statement)
        self.mutants.append(Mutant(
            self.path, kind, (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset), before, text,
            first, last, self.body, not self.within_function,
        ))

    def visit(self, node, **flags):
        if isinstance(node, ast.stmt):
            outer, self.statement = self.statement, node
            self.statement_(node)
            self.statement = outer
        elif isinstance(node, ast.expr):
            self.expression(node, **flags)
        else:
            self.children(node)

    def children(self, node):
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    # Statements

    def statement_(self, node):
        method = getattr(self, "on_" + type(node).__name__, None)
        if method:
            method(node)
        else:
            self.children(node)

    def on_Import(self, node):
        pass

    on_ImportFrom = on_Delete = on_Import

    def on_Raise(self, node):
        self.add("raise removed", node, "pass")

    def on_Break(self, node):
        self.add("statement removed", node, "pass")

    on_Continue = on_Break

    def on_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if not _is_message(node.value) and not isinstance(node.value, ast.Yield | ast.YieldFrom):
            self.add("statement removed", node, "pass")
            self.visit(node.value)

    def on_Return(self, node):
        if node.value is None:
            return
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.add("return value", node, "return None")
        self.visit(node.value)

    def on_If(self, node):
        self.condition(node.test)
        for child in (*node.body, *node.orelse):
            self.visit(child)

    on_While = on_If

    def on_Assert(self, node):
        self.condition(node.test)

    def on_Assign(self, node):
        if id(node) in self.silent:
            return
        names = [n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        stored = any(isinstance(target, ast.Subscript) for target in node.targets)
        if stored or (self.within_function and all(name in self.assigned for name in names)):
            self.add("statement removed", node, "pass")
        self.assigned.update(names)
        for target in node.targets:
            self.visit(target)
        self.visit(node.value)

    def on_AugAssign(self, node):
        new = copy.deepcopy(node)
        if type(node.op) in _ARITHMETIC and not _is_sequence(node.value):
            new.op = _ARITHMETIC[type(node.op)]()
            self.add("arithmetic", node, new)
        self.add("statement removed", node, "pass")
        self.visit(node.target)
        self.visit(node.value)

    def on_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def on_FunctionDef(self, node):
        body, assigned, silent = self.body, self.assigned, self.silent
        self.body = (node.body[0].lineno, node.end_lineno)
        for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)):
            self.visit(default)
        self.body, self.within_function = None, True
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        self.assigned = {a.arg for a in arguments}
        self.silent = silent | _for_messages(node)
        for child in node.body:
            self.visit(child)
        self.body, self.assigned, self.silent, self.within_function = body, assigned, silent, False

    def on_ClassDef(self, node):
        for child in node.body:
            self.visit(child)

    silent = frozenset()
    within_function = False

    # Expressions

    def condition(self, test):
        """A condition, and its negation."""
        plain = isinstance(test, ast.Compare) and len(test.ops) == 1
        if not plain and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            self.add("negated", test, ast.UnaryOp(ast.Not(), test))
        self.visit(test)

    def expression(self, node):
        if isinstance(node, ast.JoinedStr) or _is_message(node):
            return
        method = getattr(self, "at_" + type(node).__name__, None)
        if method:
            method(node)
        else:
            self.children(node)

    def at_Compare(self, node):
        for k, op in enumerate(node.ops):
            for table in (_EDGE, _CONTRARY):
                if type(op) in table:
                    new = copy.deepcopy(node)
                    new.ops[k] = table[type(op)]()
                    self.add("comparison", node, new)
        self.children(node)

    def at_BinOp(self, node):
        if type(node.op) in _ARITHMETIC and not any(map(_is_sequence, (node.left, node.right))):
            new = copy.deepcopy(node)
            new.op = _ARITHMETIC[type(node.op)]()
            self.add("arithmetic", node, new)
        self.children(node)

    def at_BoolOp(self, node):
        new = copy.deepcopy(node)
        new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add("and/or", node, new)
        self.children(node)

    def at_UnaryOp(self, node):
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            self.number(node, -node.operand.value)
            return
        kind = {ast.Not: "negated", ast.Invert: "negated", ast.USub: "sign"}.get(type(node.op))
        if kind:
            self.add(kind, node, node.operand)
        self.visit(node.operand)

    def at_IfExp(self, node):
        self.condition(node.test)
        self.visit(node.body)
        self.visit(node.orelse)

    def at_ListComp(self, node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.comprehension):
                self.visit(child.iter)
                for test in child.ifs:
                    self.condition(test)
            else:
                self.visit(child)

    at_SetComp = at_DictComp = at_GeneratorExp = at_ListComp

    def at_Constant(self, node):
        if isinstance(node.value, bool):
            self.add("default" if self.body else "constant", node, str(not node.value))
        elif isinstance(node.value, int | float):
            self.number(node, node.value)

    def number(self, node, value):
        if abs(value) >= _MANY:
            changed = [2 * value, value // 2 if isinstance(value, int) else 0.5 * value]
        else:
            changed = [value + 1, value - 1] + ([-value] if isinstance(value, float) else [])
        for new in dict.fromkeys(changed):
            if new != value:
                self.add("default" if self.body else "constant", node, repr(new))

    def at_Slice(self, node):
        for bound in (node.lower, node.upper):
            if isinstance(bound, ast.Constant):
                self.visit(bound)  # one more, one less
            elif bound is not None:
                self.add("slice", bound, f"{ast.unparse(bound)} + 1")
                self.add("slice", bound, f"{ast.unparse(bound)} - 1")
                self.visit(bound)
        if node.step is not None:
            self.visit(node.step)

    def at_Call(self, node):
        name = _name(node.func)
        if name in ("isinstance", "issubclass", "getLogger", "TypeVar"):
            return
        if name in _EXCHANGED:
            new = copy.deepcopy(node.func)
            if isinstance(new, ast.Name):
                new.id = _EXCHANGED[name]
            else:
                new.attr = _EXCHANGED[name]
            self.add("exchanged", node.func, new)
        self.children(node)


def _name(function):
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _is_message(node):
    """A call that makes an error or a warning."""
    if not isinstance(node, ast.Call):
        return False
    name = _name(node.func)
    return name in ("warn", "error") or name.endswith(("Error", "Warning"))


def _is_sequence(node):
    """A text or a list, which has no other arithmetic."""
    return isinstance(node, ast.JoinedStr | ast.List | ast.Tuple | ast.ListComp) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def _for_messages(function):
    """Ids of the assignments of a function to names that only messages read."""
    inside = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) or _is_message(node):
            inside |= {id(part) for part in ast.walk(node)}
    loads, spoken = set(), set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            (spoken if id(node) in inside else loads).add(node.id)
    only = spoken - loads
    return {
        id(node) for node in ast.walk(function)
        if isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) and t.id in only for t in node.targets)
    }


def _header(node):
    """First and last line of what is run of a statement before those in its body."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body:
        return node.lineno, max(node.lineno, body[0].lineno - 1)
    return node.lineno, node.end_lineno

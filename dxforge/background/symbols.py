"""Which of a package's names an edit uses, and whether the newest version still has them. Pure."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dxforge.background.reading import decode, parse

_MAX_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Use:
    """A name of the package, ``module`` and ``symbol`` (``Class.method``), used at ``line`` of an edited file.

    ``sure`` is False where only the attribute's name is known, not what object it is of.
    """

    module: str
    symbol: str
    line: int
    sure: bool = True


@dataclass(slots=True)
class Symbols:
    """What a package's modules define, by dotted module name: ``name`` and ``Class.name``."""

    modules: dict[str, set[str]] = field(default_factory=dict)
    imported: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """By module: its names that are imported from the package, as (module, name); name "" is the module itself."""
    bases: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """By module and class: its bases as written."""
    stars: dict[str, list[str]] = field(default_factory=dict)

    def resolve(self, module: str, symbol: str, *, depth: int = 8) -> bool:
        """Whether ``symbol`` is there: defined, imported, inherited, made by ``__getattr__``, or a submodule."""
        if depth == 0:
            return True  # modules that import from each other in a circle
        names = self.modules.get(module)
        if names is None:
            return f"{module}.{symbol}" in self.modules
        if symbol in names or f"{module}.{symbol}" in self.modules or "__getattr__" in names:
            return True
        if any(self.resolve(star, symbol, depth=depth - 1) for star in self.stars.get(module, ())):
            return True
        owner, dot, attribute = symbol.rpartition(".")
        if not dot:
            return False
        if owner not in names and not self.resolve(module, owner, depth=depth - 1):
            return False
        source = self.imported.get(module, {}).get(owner)
        if source is not None and source[1]:
            return self.resolve(source[0], f"{source[1]}.{attribute}", depth=depth - 1)
        if (module, owner) not in self.bases:
            return True  # an instance or a function: nobody knows its attributes
        return self._inherits(module, owner, attribute, depth)

    def _inherits(self, module: str, owner: str, attribute: str, depth: int) -> bool:
        if f"{owner}.__getattr__" in self.modules[module]:
            return True
        for base in self.bases[module, owner]:
            if base == "object":
                continue
            if (module, base) in self.bases or base in self.imported.get(module, {}):
                if self.resolve(module, f"{base}.{attribute}", depth=depth - 1):
                    return True
            else:
                return True  # a base from elsewhere: nobody knows what it has
        return False

    def attributes(self) -> set[str]:
        """The names of every class's own attributes and methods."""
        return {name.rpartition(".")[2] for names in self.modules.values() for name in names if "." in name}

    def everything(self) -> set[str]:
        """The last parts of all names."""
        return {name.rpartition(".")[2] for names in self.modules.values() for name in names}


def module_of(path: str) -> str:
    """The dotted name of a file of a package's folder: ``src/a/__init__.py`` is ``a``."""
    parts = path.removesuffix(".py").removesuffix(".pyi").split("/")
    if len(parts) > 2 and parts[0] == "src":
        parts = parts[1:]
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts)


def symbols_of(files: Mapping[str, bytes]) -> Symbols:
    """What the Python files of a package (by path in its folder) define; one that cannot be parsed defines nothing."""
    found = Symbols()
    for path, content in files.items():
        if path.endswith(".py"):
            tree = _tree(content)
            if tree is not None:
                _Module(found, module_of(path), is_package=path.endswith("__init__.py")).read(tree)
    return found


def _tree(content: bytes) -> ast.Module | None:
    try:
        return parse(decode(content))
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError):
        return None


class _Module:
    def __init__(self, found: Symbols, name: str, *, is_package: bool) -> None:
        self._found = found
        self._name = name
        self._is_package = is_package
        self._names = found.modules.setdefault(name, set())

    def read(self, tree: ast.Module) -> None:
        for node in _statements(tree.body):
            if isinstance(node, ast.ClassDef):
                self._class(node, node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                self._import(node)
            else:
                self._names.update(_bound(node))

    def _class(self, node: ast.ClassDef, name: str) -> None:
        self._names.add(name)
        self._found.bases[self._name, name] = [ast.unparse(base) for base in node.bases]
        for child in _statements(node.body):
            if isinstance(child, ast.ClassDef):
                self._class(child, f"{name}.{child.name}")
            else:
                self._names.update(f"{name}.{bound}" for bound in _bound(child))
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                self._names.update(f"{name}.{attribute}" for attribute in _set_on_self(child))

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        imported = self._found.imported.setdefault(self._name, {})
        for bound, module, name in imported_names(node, self._name, is_package=self._is_package):
            if bound == "*":
                self._found.stars.setdefault(self._name, []).append(module)
            else:
                self._names.add(bound)
                imported[bound] = (module, name)


def imported_names(
    node: ast.Import | ast.ImportFrom, module: str, *, is_package: bool
) -> Iterator[tuple[str, str, str]]:
    """For each name that an import in ``module`` binds: the name, the module it is from, and its name there."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name, "") if alias.asname else (alias.name.partition(".")[0],) * 2 + ("",)
        return
    source = node.module or ""
    if node.level:
        parts = module.split(".")
        kept = len(parts) - node.level + int(is_package)
        source = ".".join([*parts[: max(0, kept)], *([source] if source else [])])
    for alias in node.names:
        yield alias.asname or alias.name, source, alias.name


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of ``body``, and of its blocks that bind names in the same scope."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, name, ()))
        for handler in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            yield from _statements(handler.body)


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.For | ast.AsyncFor):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    yield part.id
    elif isinstance(node, ast.With | ast.AsyncWith):
        for item in node.items:
            if isinstance(item.optional_vars, ast.Name):
                yield item.optional_vars.id
    elif node.__class__.__name__ == "TypeAlias":  # Python 3.12
        yield node.name.id  # type: ignore[attr-defined]


def _set_on_self(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    if not node.args.args:
        return
    own = node.args.args[0].arg
    for part in ast.walk(node):
        if not isinstance(part, ast.Attribute) or not isinstance(part.ctx, ast.Store):
            continue
        if isinstance(part.value, ast.Name) and part.value.id == own:
            yield part.attr


# -- what an edit uses --------------------------------------------------------------------------------------------


def changed_lines(base: bytes, local: bytes) -> set[int]:
    """The lines (from 1) of ``local`` that are not in ``base``."""
    old, new = base.splitlines(), local.splitlines()
    if len(old) + len(new) > _MAX_LINES:
        known = set(old)
        return {number for number, line in enumerate(new, 1) if line not in known}
    found: set[int] = set()
    for kind, _, _, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            found.update(range(start + 1, end + 1))
    return found


def uses(path: str, local: bytes, lines: set[int], base: Symbols) -> list[Use]:
    """The names of the package (as ``base`` has them) that the ``lines`` of an edited file use, each once."""
    tree = _tree(local)
    if tree is None:
        return []
    module = module_of(path)
    visitor = _Uses(module, lines, base, is_package=path.endswith("__init__.py"))
    visitor.visit(tree)
    first: dict[tuple[str, str], Use] = {}
    for use in visitor.found:
        known = first.get((use.module, use.symbol))
        if known is None or (use.sure and not known.sure):
            first[use.module, use.symbol] = use
    return sorted(first.values(), key=lambda use: (use.line, use.module, use.symbol))


class _Uses(ast.NodeVisitor):
    def __init__(self, module: str, lines: set[int], base: Symbols, *, is_package: bool) -> None:
        self.found: list[Use] = []
        self._module = module
        self._lines = lines
        self._base = base
        self._is_package = is_package
        self._classes: list[str] = []
        self._local: dict[str, tuple[str, str]] = {}
        self._attributes = base.attributes()
        self._hidden: list[set[str]] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        own = {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}
        stored = (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
        self._hidden.append(own | {part.id for part in stored})
        self.generic_visit(node)
        self._hidden.pop()

    def _hides(self, name: str) -> bool:
        return any(name in names for names in self._hidden)

    def visit_Import(self, node: ast.Import) -> None:
        self._bind(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._bind(node)

    def _bind(self, node: ast.Import | ast.ImportFrom) -> None:
        for bound, module, name in imported_names(node, self._module, is_package=self._is_package):
            self._local[bound] = (module, name)
            if name and name != "*":
                self._use(module, name, node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._classes.append(".".join([*self._classes[-1:], node.name]))
        self.generic_visit(node)
        self._classes.pop()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and not self._hides(node.id):
            module, name = self._local.get(node.id, (self._module, node.id))
            if name:
                self._use(module, name, node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = _chain(node)
        own = bool(self._classes) and chain[:1] in (["self"], ["cls"])
        if not chain or (not own and self._hides(chain[0])):
            if node.attr in self._attributes:
                self._use("", node.attr, node, sure=False)
        elif own:
            self._use(self._module, f"{self._classes[-1]}.{chain[1]}", node)
        else:
            self._chain(chain, node)
        self.generic_visit(node)

    def _chain(self, chain: list[str], node: ast.AST) -> None:
        """``a.b.c``: as far as modules go, then a name and an attribute of it."""
        module, name = self._local.get(chain[0], (self._module, chain[0]))
        rest = chain[1:]
        if name and f"{module}.{name}" in self._base.modules:
            module, name = f"{module}.{name}", ""
        while not name and rest and f"{module}.{rest[0]}" in self._base.modules:
            module, rest = f"{module}.{rest[0]}", rest[1:]
        if not name and rest:
            name, rest = rest[0], rest[1:]
        if module in self._base.modules and name in self._base.modules[module]:
            self._use(module, name, node)
            if rest:
                self._use(module, f"{name}.{rest[0]}", node)
        elif rest and rest[0] in self._attributes:
            self._use("", rest[0], node, sure=False)

    def _use(self, module: str, symbol: str, node: ast.AST, *, sure: bool = True) -> None:
        first = getattr(node, "lineno", 0)
        if not self._lines.isdisjoint(range(first, (getattr(node, "end_lineno", None) or first) + 1)):
            self.found.append(Use(module, symbol, first, sure))


def _chain(node: ast.expr) -> list[str]:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return []
    return [node.id, *reversed(parts)]


def vanished(found: Iterable[Use], base: Symbols, newest: Symbols) -> list[Use]:
    """Those that the base has and the newest version has not; of a class that is gone, only the class."""
    gone: dict[tuple[str, str], Use] = {}
    left: set[str] | None = None
    for use in found:
        if use.sure:
            if use.module in base.modules and base.resolve(use.module, use.symbol):
                symbol = next((name for name in _outward(use.symbol) if not newest.resolve(use.module, name)), "")
                if symbol:
                    gone.setdefault((use.module, symbol), Use(use.module, symbol, use.line))
        else:
            left = newest.everything() if left is None else left
            if use.symbol not in left:
                gone.setdefault(("", use.symbol), use)
    known = {symbol.rpartition(".")[2] for module, symbol in gone if module}
    return [use for (module, symbol), use in gone.items() if module or symbol not in known]


def _outward(symbol: str) -> Iterator[str]:
    """``A``, ``A.B``, ``A.B.c`` of ``A.B.c``."""
    parts = symbol.split(".")
    yield from (".".join(parts[: count + 1]) for count in range(len(parts)))

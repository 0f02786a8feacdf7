"""What a kind takes: its arguments, their types, ranges and defaults, read from the source."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from .hints import (
    Anything,
    Choice,
    Hint,
    Instance,
    ListOf,
    Mapping,
    Nothing,
    Numbers,
    Scalar,
    Union,
    read_limit,
    with_limits,
)
from .source import Found, Module, dotted, find_in

SIMPLE: dict[str, Hint] = {
    "float": Scalar(kind="float"),
    "int": Scalar(kind="int"),
    "bool": Scalar(kind="bool"),
    "str": Scalar(kind="str"),
    "list": ListOf(),
    "tuple": ListOf(as_tuple=True),
    "dict": Mapping(),
    "pathlib:Path": Scalar(kind="path"),
    "thermojax._component:Numbers": Numbers(),
    "jax:Array": Numbers(),
    "jax.typing:ArrayLike": Numbers(),
    "jaxtyping:Array": Numbers(),
}
ROOTS = ("equinox:Module", "abc:ABC", "object")  # bases that add no arguments


@dataclass(frozen=True)
class Argument:
    """One argument. `default` is its text in the source, None where the argument is required."""

    name: str
    hint: Hint
    default: str | None


@dataclass(frozen=True)
class Signature:
    """A class or function that a config can name.

    - `bases`: where it and the classes it derives from are defined, `package.module:Class`; of a
      function, those of the class it returns. None where that is not known.
    - `missing`: the abstract members that nobody has filled in.
    - `open`: whether it takes arguments of any name.
    """

    name: str
    doc: str
    arguments: dict[str, Argument]
    bases: tuple[str, ...] | None = None
    missing: tuple[str, ...] = ()
    open: bool = False

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.strip().split("\n")[0]


@dataclass
class Fields:
    """What the bodies of a class and its bases say, collected from the base up."""

    arguments: dict[str, Argument] = field(default_factory=dict)
    shapes: dict[str, Numbers] = field(default_factory=dict)
    abstract: dict[str, None] = field(default_factory=dict)
    filled: bool = False  # whether the stated fields are arguments, as in a dataclass
    init: Found | None = None
    bases: list[str] = field(default_factory=list)


def signature_of(found: Found) -> Signature | None:
    """The signature of a definition, or None where its source does not tell."""
    node, module = found.node, found.module
    if isinstance(node, ast.FunctionDef):
        owner = found.owner
        inherited = None if owner is None else fields_of(owner)
        shapes = {} if inherited is None else inherited.shapes
        bound = owner is not None and "staticmethod" not in decorators(node)
        made = Found(module, node)
        result = hint_of(node.returns, module) if node.returns else Anything()
        if owner is not None and node.returns is not None and dotted(node.returns) == "Self":
            result = Instance(target=owner.target)
        bases = bases_of(result, module)
        taken, free = arguments(made, bound, shapes)
        return Signature(node.name, doc(node), taken, bases, open=free)
    if not isinstance(node, ast.ClassDef):
        return None
    fields = fields_of(found)
    if fields is None:
        return None
    taken, free = fields.arguments if fields.filled else {}, False
    if fields.init is not None:
        taken, free = arguments(fields.init, True, fields.shapes)
    bases, missing = tuple(fields.bases), tuple(fields.abstract)
    return Signature(node.name, doc(node), taken, bases, missing, free)


def live_signature(thing: Any) -> Signature:
    """What can be asked of an imported class or function whose source does not tell."""
    import inspect

    function = thing
    if inspect.isclass(thing):
        function = thing.__new__ if thing.__init__ is object.__init__ else thing.__init__
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if inspect.isclass(thing):
        parameters = parameters[1:] if function is not object.__new__ else []
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    taken = {
        p.name: Argument(p.name, Anything(), None if p.default is p.empty else repr(p.default))
        for p in named
    }
    free = any(p.kind is p.VAR_KEYWORD for p in parameters)
    missing = tuple(sorted(getattr(thing, "__abstractmethods__", ())))
    name = getattr(thing, "__qualname__", str(thing))
    return Signature(name, inspect.getdoc(thing) or "", taken, None, missing, free)


def fields_of(found: Found) -> Fields | None:
    """What a class inherits and states; None where one of its bases is not known."""
    node = found.node
    if not isinstance(node, ast.ClassDef):
        return None
    fields = Fields()
    for base in reversed(node.bases):
        inherited = base_fields(base, found.module)
        if inherited is None:
            return None
        fields.arguments |= inherited.arguments
        fields.shapes |= inherited.shapes
        fields.abstract |= inherited.abstract
        fields.filled |= inherited.filled
        fields.init = inherited.init or fields.init
        fields.bases = [*inherited.bases, *fields.bases]
    fields.bases = [found.target, *fields.bases]
    if "dataclass" in decorators(node):  # which writes an __init__ of its own
        fields.filled, fields.init = True, None
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef):
            note_method(fields, statement, found.module)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            note_field(fields, statement, statement.target.id, found.module)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                fields.abstract.pop(getattr(target, "id", ""), None)
    return fields


def base_fields(base: ast.expr, module: Module) -> Fields | None:
    name = dotted(base)
    found = module.find(name) if name else None
    if isinstance(found, Found):
        return fields_of(found)
    root = found or name
    return Fields(filled=root == "equinox:Module") if root in ROOTS else None


def note_method(fields: Fields, method: ast.FunctionDef, module: Module) -> None:
    if method.name == "__init__":
        fields.init = Found(module, method)
    if "abstractmethod" in decorators(method):
        fields.abstract[method.name] = None
    else:
        fields.abstract.pop(method.name, None)


def note_field(fields: Fields, statement: ast.AnnAssign, name: str, module: Module) -> None:
    annotation = statement.annotation
    outer = last_name(annotation.value) if isinstance(annotation, ast.Subscript) else ""
    if outer == "ClassVar":
        return
    if outer in ("AbstractVar", "AbstractClassVar"):
        fields.abstract[name] = None
        return
    fields.abstract.pop(name, None)
    hint = hint_of(annotation, module)
    numbers = hint.options[0] if isinstance(hint, Union) else hint
    if isinstance(numbers, Numbers):
        fields.shapes[name] = numbers
    default = statement.value
    if isinstance(default, ast.Call) and last_name(default.func) == "field":
        options = {keyword.arg: keyword.value for keyword in default.keywords}
        if getattr(options.get("init"), "value", True) is False:
            return
        default = options.get("default") or options.get("default_factory")
    text = None if default is None else ast.unparse(default)
    fields.arguments[name] = Argument(name, by_default(hint, default), text)


def arguments(
    found: Found, bound: bool, shapes: dict[str, Numbers]
) -> tuple[dict[str, Argument], bool]:
    """The arguments of a function, and whether it takes any others by name."""
    node = found.node
    assert isinstance(node, ast.FunctionDef)
    plain = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(node.args.defaults))
    pairs = list(zip(plain, [*defaults, *node.args.defaults], strict=True))[bound:]
    pairs += list(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))
    taken = {}
    for argument, default in pairs:
        hint = hint_of(argument.annotation, found.module) if argument.annotation else Anything()
        hint = by_default(hint, default)
        # The field that an argument fills says more about its shape than "numbers".
        if argument.arg in shapes:
            hint = shaped(hint, shapes[argument.arg].shape)
        text = None if default is None else ast.unparse(default)
        taken[argument.arg] = Argument(argument.arg, hint, text)
    return taken, node.args.kwarg is not None


def shaped(hint: Hint, shape: str) -> Hint:
    if isinstance(hint, Numbers) and hint.shape == "...":
        return Numbers(hint.limits, shape)
    if isinstance(hint, Union):
        return Union((), tuple(shaped(option, shape) for option in hint.options))
    return hint


def by_default(hint: Hint, default: ast.expr | None) -> Hint:
    """A default that is a number says that numbers are meant, where no annotation does."""
    value = getattr(default, "value", None)
    if isinstance(hint, Anything) and type(value) in (int, float):
        return Numbers(hint.limits)
    return hint


def hint_of(node: ast.expr | None, module: Module) -> Hint:
    """The type that an annotation states, as far as it is understood; else Anything."""
    if isinstance(node, ast.Constant):
        if node.value is None:
            return Nothing()
        if isinstance(node.value, str):
            try:
                return hint_of(ast.parse(node.value, mode="eval").body, module)
            except SyntaxError:
                return Anything()
    if isinstance(node, ast.BinOp):
        return union(hint_of(node.left, module), hint_of(node.right, module))
    if isinstance(node, ast.Subscript):
        return subscripted(node, module)
    name = dotted(node) if node is not None else ""
    found = module.find(name) if name else None
    if isinstance(found, Found):
        if found.target in SIMPLE:
            return SIMPLE[found.target]
        if isinstance(found.node, ast.ClassDef):
            return Instance(target=found.target)
        if isinstance(found.node, ast.expr):
            known = SIMPLE.get(f"{found.module.name}:{name.rpartition('.')[2]}")
            return known or hint_of(found.node, found.module)
        return Anything()
    return SIMPLE.get(found or name, Anything())


def subscripted(node: ast.Subscript, module: Module) -> Hint:
    outer = last_name(node.value)
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if outer == "Literal":
        return Choice(options=tuple(getattr(x, "value", None) for x in inner))
    if outer == "Annotated":
        notes = [read_limit(text_of(x) or "") for x in inner[1:]]
        return with_limits(hint_of(inner[0], module), tuple(n for n in notes if n is not None))
    if outer == "Optional":
        return union(hint_of(inner[0], module), Nothing())
    if outer == "Union":
        return union(*(hint_of(x, module) for x in inner))
    if outer in ("list", "List", "Sequence"):
        return ListOf(item=hint_of(inner[0], module))
    if outer in ("tuple", "Tuple"):
        return ListOf(item=hint_of(inner[0], module), as_tuple=True)
    if outer in ("dict", "Dict", "Mapping"):
        return Mapping()
    if outer in ("Float", "Int", "Num", "Real", "Shaped") and len(inner) == 2:
        shape = text_of(inner[1])
        return Anything() if shape is None else Numbers(shape=shape)
    return Anything()


def union(*hints: Hint) -> Hint:
    parts = [p for h in hints for p in (h.options if isinstance(h, Union) else (h,))]
    known = [part for part in parts if not isinstance(part, Anything)]
    return Union(options=tuple(parts)) if len(known) == len(parts) else Anything()


def bases_of(hint: Hint, module: Module) -> tuple[str, ...] | None:
    if not isinstance(hint, Instance):
        return None
    source, _, name = hint.target.partition(":")
    found = find_in(source, name, module.folders)
    fields = fields_of(found) if isinstance(found, Found) else None
    return None if fields is None else tuple(fields.bases)


def decorators(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    called = (x.func if isinstance(x, ast.Call) else x for x in node.decorator_list)
    return {last_name(x) for x in called}


def last_name(node: ast.expr) -> str:
    return dotted(node).rpartition(".")[2]


def text_of(node: ast.expr) -> str | None:
    """A text written as such, None for anything else."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else None


def doc(node: ast.ClassDef | ast.FunctionDef) -> str:
    return ast.get_docstring(node) or ""

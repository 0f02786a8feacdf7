"""The house keeps its shape: imports run downward, classes are abstract or final, names are told.

All of it is read from the source or from the imported package; nothing here computes.
"""

import ast
import dataclasses
import graphlib
import importlib
import importlib.util
import inspect
import itertools
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import pytest

import thermojax

HOUSE = Path(thermojax.__file__).parent
ROOT = HOUSE.parent
FILES = sorted(HOUSE.rglob("*.py"))

# From the bottom to the top: a file may import from its own level and from those below.
LEVELS = (
    (
        *("_lazy", "_arguments", "_calls", "_component", "_files", "_keys", "_platform", "_repr"),
        *("_scale", "_tree", "_tuning", "compilation_cache", "cpu", "version"),
    ),
    ("checkpoint",),
    ("saving",),
    ("potential",),
    ("interop",),
    ("distances",),
    ("protocol",),
    ("system",),
    ("ledger",),
    ("estimate",),
    ("dynamics",),
    ("linear", "execution"),
    ("sampling",),
    ("distribution",),
    ("estimators",),
    ("diagnostics",),
    ("adaptation",),
    ("bounds",),
    ("optimization",),
    ("linalg",),
    ("bayes",),
    ("anneal", "circuits", "ebm", "generate"),
    ("checking",),
    ("experiment",),
    ("demo",),
    ("cli",),
    ("", "__main__"),  # thermojax itself
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}

LONGEST_FILE = 500
NOT_FOR_EVERYONE = (
    *("pydantic", "h5py", "matplotlib", "tqdm", "yaml", "scipy", "sklearn"),
    *("numpyro", "arviz", "xarray", "blackjax", "flax", "thrml"),
    *("starlette", "uvicorn", "websockets", "playwright"),
)
NO_MEMBERS = {"AbstractComponent"}  # what all parts share: it asks nothing of a subclass


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """`dynamics` of `thermojax.dynamics.terms`; empty for thermojax itself."""
    return module.removeprefix("thermojax").lstrip(".").split(".")[0]


MODULES = {module_name(file): file for file in FILES}


def imported(file: Path):
    """(line, module of ours) for every import in a file, those inside of functions too."""
    module = module_name(file)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            # `from .. import sampling` imports a module, `from ..ledger import Ledger` does not.
            found = [
                name if (name := f"{base}.{alias.name}") in MODULES else base
                for alias in node.names
            ]
        else:
            continue
        yield from ((node.lineno, name) for name in found if (name + ".").startswith("thermojax."))


def test_every_file_has_a_level():
    unknown = sorted({part_of(module) for module in MODULES} - LEVEL.keys())
    assert not unknown, f"not in LEVELS: {unknown}"


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downward(module):
    upward = [
        f"{module}, line {line}: imports {name}"
        for line, name in imported(MODULES[module])
        if LEVEL[part_of(name)] > LEVEL[part_of(module)]
    ]
    assert not upward, "\n".join(upward)


def test_the_reader_of_imports_sees_all_kinds(tmp_path, monkeypatch):
    """The test of the test: each way to write an import is found."""
    folder = tmp_path / "thermojax" / "potential"
    folder.mkdir(parents=True)
    file = folder / "file.py"
    file.write_text(
        "import jax, thermojax.cli\n"
        "from . import base\n"
        "from .. import sampling\n"
        "from ..ledger import Ledger\n"
        "from thermojax.checking import Report\n"
        "def f():\n"
        "    from ..optimization.fit import Fit\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert [name.removeprefix("thermojax.") for _, name in imported(file)] == [
        "cli",
        "potential.base",
        "sampling",
        "ledger",
        "checking",
        "optimization.fit",
    ]


def exported() -> dict[str, object]:
    """The public names of thermojax and of its namespaces, and what they are."""
    tree = ast.parse((HOUSE / "__init__.pyi").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [alias.asname or alias.name for node in imports for alias in node.names]
    found = {name: getattr(thermojax, name) for name in names if not name.startswith("__")}
    for space in ("anneal", "bounds", "circuits", "diagnostics", "distances", "ebm", "generate"):
        own = ast.parse(Path(found[space].__file__).read_text()).body
        listed = [x.name for node in own if isinstance(node, ast.ImportFrom) for x in node.names]
        found |= {f"{space}.{name}": getattr(found[space], name) for name in listed}
    return found


EXPORTED = exported()


def all_modules_imported():
    for found in pkgutil.walk_packages(thermojax.__path__, "thermojax."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def eqx_classes() -> dict[str, type]:
    """Every class of the package that is an eqx.Module, whoever exports it."""
    return {
        f"{module.__name__}.{name}": thing
        for module in all_modules_imported()
        for name, thing in vars(module).items()
        if inspect.isclass(thing)
        and issubclass(thing, eqx.Module)
        and thing.__module__ == module.__name__
    }


CLASSES = eqx_classes()


def open_members(cls: type) -> set[str]:
    """Abstract methods, variables and class variables that a subclass must fill in."""
    kinds = ("__abstractmethods__", "__abstractvars__", "__abstractclassvars__")
    return {name for kind in kinds for name in getattr(cls, kind, ())}


def test_exported_classes_are_among_those_looked_at():
    classes = {x for x in EXPORTED.values() if inspect.isclass(x) and issubclass(x, eqx.Module)}
    assert classes and classes <= set(CLASSES.values())


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_abstract_or_final(name):
    cls = CLASSES[name]
    if cls.__name__.startswith("Abstract"):
        assert open_members(cls) or cls.__name__ in NO_MEMBERS, "abstract, and asks for nothing"
        return
    assert not open_members(cls), f"{open_members(cls)} are open: call it Abstract..."
    heirs = [x.__name__ for x in cls.__subclasses__() if x.__module__.startswith("thermojax.")]
    assert not heirs, f"final, but {heirs} derive from it"


@pytest.mark.parametrize("name", CLASSES)
def test_fields_and_init_are_in_one_class(name):
    cls = CLASSES[name]
    if "def __init__(" in inspect.getsource(cls):
        inherited = {field.name for field in dataclasses.fields(cls)} - set(
            inspect.get_annotations(cls)
        )
        assert not inherited, f"{inherited} are fields of a base class: state them here"


def takes_arrays(thing) -> bool:
    """Whether the signature of a function, or a field of a class, speaks of arrays."""
    hints = inspect.get_annotations(thing).values()
    return any(re.search(r"\bArray\b|\bNumbers\b", str(hint)) for hint in hints)


SHAPE = re.compile(
    r"`\((\w+, ?)+(\w*|\.\.\.)\)`|\(\w+,\)|\bshapes?\b|\bscalar\b|\ba number\b|"
    r"\bfirst axis\b|\bleading axis"
)


@pytest.mark.parametrize("name", EXPORTED)
def test_public_names_say_what_they_are_and_of_what_shape(name):
    thing = EXPORTED[name]
    text = (vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__) or ""
    # Dataclasses and named tuples write their signature where nobody writes a docstring.
    assert text.strip() and not text.startswith(f"{name.rpartition('.')[2]}("), "no docstring"
    if takes_arrays(thing):
        assert SHAPE.search(text), "its docstring does not say the shapes of its arrays"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_stay_short(file):
    assert len(file.read_text().splitlines()) <= LONGEST_FILE, "a second concept: split the file"


def loaded_after(program: str) -> set[str]:
    """The packages that a program has imported at its end, in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return {name.partition(".")[0] for name in done.stdout.split("\n")[-2].split()}


def test_import_loads_nothing_heavy():
    loaded = loaded_after("import thermojax, thermojax.cli")
    assert not loaded & {"jax", "numpy", "diffrax", *NOT_FOR_EVERYONE}


def test_names_load_only_what_a_simulation_needs():
    loaded = loaded_after("import thermojax; [getattr(thermojax, x) for x in dir(thermojax)]")
    assert "diffrax" in loaded and not loaded & set(NOT_FOR_EVERYONE)


def test_the_package_is_an_ordinary_lazy_one():
    """Names and namespaces in any order, help, dir, star, pickle; a wrong name is an error."""
    loaded_after(
        "import thermojax as tj, thermojax.diagnostics\n"
        "from thermojax import bounds, check, distances, optimize\n"
        "from thermojax.checking import Report\n"
        "from thermojax.optimization.fit import Fit\n"
        "import thermojax.optimization, pickle, pydoc\n"
        "assert check.__name__ == 'check' and optimize.__name__ == 'optimize'\n"
        "assert tj.check is check and tj.optimize is optimize and tj.bounds is bounds\n"
        "assert tj.distances is distances and tj.diagnostics is thermojax.diagnostics\n"
        "assert pickle.loads(pickle.dumps(tj.MeanWork)) is tj.MeanWork\n"
        "assert tj.Report is Report and tj.Fit is Fit\n"
        "assert {'Harmonic', 'bounds', '__version__'} <= set(dir(tj))\n"
        "assert not hasattr(tj, 'Harmnic') and 'simulate(' in pydoc.plain(pydoc.render_doc(tj))\n"
        "from thermojax import *\n"
        "assert Harmonic is tj.Harmonic"
    )


def test_no_public_name_is_that_of_a_module():
    """`from thermojax import x` means one thing: a function or class, or a namespace."""
    rooms = {part_of(module) for module in MODULES}
    hidden = [n for n in EXPORTED if n in rooms and not inspect.ismodule(EXPORTED[n])]
    assert not hidden, f"{hidden} are names of modules as well"


def unmentioned(text: str) -> list[str]:
    """Public names that stand nowhere in code: `name`, or tj.name in an example.

    Of a name in a namespace the last part will do.
    """
    code = " ".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))
    words = set(re.findall(r"\w+", code))
    return [name for name in EXPORTED if name.rpartition(".")[2] not in words]


def test_public_names_are_in_the_changelog():
    missing = unmentioned((ROOT / "CHANGELOG.md").read_text())
    assert not missing, f"CHANGELOG.md does not list {', '.join(missing)}"


def test_public_names_are_in_the_documentation():
    files = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    missing = unmentioned("\n\n".join(file.read_text() for file in files))
    assert not missing, f"neither README.md nor docs/ mention {', '.join(missing)}"


def test_no_module_imports_itself_in_a_circle():
    """Inside folders as well: there is an order in which the files can be read."""
    graph = {
        module: {name for _, name in imported(file) if name in MODULES and name != module}
        for module, file in MODULES.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names it


PARTS = (
    *("adjoint", "bath", "drift", "drawing", "forces", "integrator", "layout", "ledger", "noise"),
    *("path", "potential", "protocol", "solver", "state", "stepper", "system", "table"),
)


@pytest.mark.parametrize("room", ["dynamics", "execution"])
def test_no_type_is_erased(room):
    """What is an integrator is said to be one."""
    erased = []
    for file in (HOUSE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
                target = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
                if target in PARTS and ast.unparse(node.annotation) in ("Any", "object"):
                    erased.append(f"{file.name}, line {node.lineno}: {target}")
    assert [one for one in erased if not one.endswith(": adjoint")] == []


# What a base answers for most of its kind, and a subclass may answer otherwise.
ANSWERS = {
    "AbstractGradient": {"objective", "picture"},
    "AbstractLikelihood": {"by_name"},
    "AbstractObjective": {"counts", "of", "runs_reverse", "smoothed"},
    "AbstractPotential": {"free_energy", "opposite", "sample", "sampled_by", "template"},
    "AbstractProtocol": {
        *("events", "impulses", "jumps", "mirrored", "project", "tabulated", "trainable"),
        "tabulated_unevenly",
    },
    "AbstractSolver": {"order", "strong_order"},  # of diffrax
}


def test_no_concrete_method_is_overridden():
    """But for the questions that a base answers for most, each named above."""
    overridden = []
    for cls in eqx_classes().values():
        for name, method in vars(cls).items():
            if name.startswith("__") or not callable(getattr(method, "__func__", method)):
                continue
            for base in cls.__mro__[1:]:
                first = vars(base).get(name)
                if first is None or not base.__module__.startswith(("thermojax", "diffrax")):
                    continue
                abstract = getattr(first, "__isabstractmethod__", False)
                if not abstract and name not in ANSWERS.get(base.__name__, ()):
                    overridden.append(f"{cls.__name__}.{name} of {base.__name__}")
                break
    assert overridden == []


def test_from_simulate_to_a_step_is_a_short_way():
    """At most 14 frames of ours, and no file is entered twice."""
    script = (
        "import traceback, jax, jax.numpy as jnp, thermojax as tj\n"
        "from thermojax.dynamics import BAOAB\n"
        "substep, seen = BAOAB.substep, []\n"
        "def step(*arguments):\n"
        "    seen.append([f.filename for f in traceback.extract_stack()[:-1]])\n"
        "    return substep(*arguments)\n"
        "BAOAB.substep = step\n"
        "start = jnp.zeros((1024, 1))\n"
        "system = tj.Underdamped(tj.DoubleWell(), tj.Linear(0.0, 1.0, 4.0), tj.Bath())\n"
        "run = lambda: tj.simulate(system, jax.random.key(0), time_steps=9, initial=start)\n"
        "jax.eval_shape(run)\n"
        "print('\\n'.join(seen[0]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    ours = [name for name in done.stdout.split("\n") if name.startswith(str(HOUSE))]
    entered = [name for name, _ in itertools.groupby(ours)]
    assert 0 < len(ours) <= 14
    assert len(set(entered)) == len(entered)


def test_the_picture_of_the_house_is_true():
    """`docs/architecture.svg` is what `docs/draw_architecture.py` draws."""
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs" / "draw_architecture.py")
    assert spec is not None and spec.loader is not None
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    assert draw.PICTURE.read_text() == draw.drawn(), "run python docs/draw_architecture.py"

"""The short names that `kind:` understands, in one place, and what any `kind:` leads to.

A name points to `package.module:attribute` and is imported when it is used, so that listing the
names costs nothing and a new component is one line here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UserError, nearest, one_line, own_frames, own_traceback
from ..shipped import HOUSE, shipped_root
from .own_code import file_in, import_own, locate, look_in

KINDS: dict[str, dict[str, str]] = {  # family: name: what it is
    "potential": {
        "Harmonic": "the harmonic trap U = (x - c)^T K (x - c) / 2",
        "Gaussian": "the normalized Gaussian as an energy, U = -ln N(x; mean, covariance)",
        "GaussianMixture": "the normalized mixture of Gaussians as an energy",
        "DoubleWell": "the double well, summed over the coordinates",
        "DiagonalGaussian": "the normalized Gaussian of independent coordinates, of any shape",
        "GaussianLikelihood": "the likelihood of y = H x + noise of any covariance",
        "LinearRegression": "the Gaussian likelihood of weights x, as an energy",
        "LogisticRegression": "the Bernoulli likelihood of weights x, as an energy",
        "PoissonRegression": "the Poisson likelihood of weights x, with a log link",
        "RandomEffects": "the binomial likelihood of coefficients and effects of groups",
        "SoftmaxRegression": "the categorical likelihood of weights x (dim, classes)",
        "Interpolation": "(1 - lambda) U_prior + lambda U_target, lambda from 0 to 1",
        "Tempering": "U_prior + sum_k lambda_k U_k, one lambda for each likelihood",
        "Sum": "U_1 + U_2 + ...: every term sees the same sample and the same control",
    },
    "protocol": {
        "Constant": "the control stays at one value",
        "Linear": "the straight ramp from start to end, without jumps",
        "PiecewiseLinear": "straight lines between values on equally spaced knots",
        "PiecewiseLinear.between": "straight lines on knots: a linear ramp that can train",
        "PiecewiseConstant.between": "a staircase: a linear ramp that can train",
        "CubicSpline.between": "a natural cubic spline: a linear ramp that can train",
        "Chebyshev.between": "a polynomial on Chebyshev points: a linear ramp that can train",
        "Monotone.between": "lines that never turn back: a linear ramp that can train",
    },
    "system": {
        "Bath": "temperature, friction and mass",
        "Underdamped": "Langevin dynamics with momenta",
        "Overdamped": "Langevin dynamics without momenta",
    },
    "study": {
        "Driven": "work, heat and dissipation of a potential under a schedule, and a better one"
    },
    "data": {"Table": "features and labels from a CSV file"},
}
HOMES = {  # the module of a family
    "potential": "thermojax.potential",
    "protocol": "thermojax.protocol",
    "system": "thermojax.system",
    "study": "thermojax.experiment.study.driven",
    "data": "thermojax.experiment.study.data",
}


def short_names() -> dict[str, str]:
    """Every registered name and where it points, `package.module:attribute`."""
    return {name: f"{HOMES[family]}:{name}" for family in KINDS for name in KINDS[family]}


def find(kind: Any, folders: list[Path], where: str = "kind") -> Any:
    """The class (or function) behind a `kind`: a registered name or `package.module:Class`.

    **Arguments:** `folders`, searched for modules beside the installed packages; `where`, the
    place to name in errors.

    **Raises:** UserError for a name that leads nowhere, or a module whose import fails.
    """
    names = short_names()
    if not isinstance(kind, str) or not kind:
        raise UserError(f"{where} = {kind!r}: expected a name, see `thermojax list`")
    name, _, attribute = names.get(kind, kind).partition(":")
    if not all(part.isidentifier() for part in f"{name}.{attribute}".split(".")):
        raise UserError(
            f"{where} = {kind}: no registered kind has this name; use one of `thermojax list` or "
            f"package.module:Class{nearest(kind, names)}"
        )
    if folders:
        look_in(folders)
    refuse_two(name, folders, f"{where} = {kind}")
    module = found = imported(name, folders, where)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UserError(
                f"{where} = {kind}: {name} ({getattr(module, '__file__', 'built in')}) has no "
                f"'{attribute}'{nearest(part, (n for n in dir(found) if n[:1] != '_'))}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise UserError(f"{where} = {kind}: expected a class, found a {type(found).__name__}")
    return found


def refuse_two(module: str, folders: list[Path], said: str) -> None:
    """UserError where an import finds one module of a name, and the config lies beside another.

    Whoever keeps an older study in a folder of its own, and runs it from that of the present one,
    means one of them.
    """
    parts = module.split(".")
    if parts[0] == HOUSE.name:
        return
    taken = locate(module, folders)
    around = [folder for folder in folders[1:] if folder != shipped_root()]
    beside = file_in(around, parts)
    if taken is None or beside is None or taken.read_bytes() == beside.read_bytes():
        return
    raise UserError(
        f"{said}: could be that of {taken.resolve()} or, beside the config, of {beside}, and they "
        "differ: rename one of them, or run from the folder of the one that you mean"
    )


def imported(name: str, folders: list[Path], where: str) -> Any:
    """A module. **Raises:** UserError, with the place in the user's code, where that fails."""
    try:
        return import_own(name, folders)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            looked = ", ".join(dict.fromkeys(str(folder) for folder in folders))
            raise UserError(
                f"{where}: there is no module '{missing}' among the installed packages or in "
                f"{looked}: correct the name, or run from the folder that holds it"
            ) from None
        raise UserError(
            f"{where}: '{name}' needs the module '{missing}', which is not installed: "
            f"pip install it{place_of(error)}",
            own_traceback(error),
        ) from None
    except SyntaxError as error:
        raise UserError(
            f"{where}: {error.filename}, line {error.lineno}: this is no Python ({error.msg})"
        ) from None
    except Exception as error:
        raise UserError(
            f"{where}: importing '{name}' failed with {type(error).__name__}: "
            f"{one_line(error)}{place_of(error)}",
            own_traceback(error),
        ) from None


def place_of(error: BaseException) -> str:
    """The file and line in the user's code that raised, for the end of a sentence."""
    frames = own_frames(error)
    return f" ({frames[-1][0]}, line {frames[-1][1]})" if frames else ""

"""Whether a system and a position fit: shapes and dtypes, looked at once, before anything runs.

NumPy's broadcasting would make most of what does not fit into something that runs: a center of
three coordinates and a position of one give an energy, and a force of the shape of the position.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from .._tree import broadcasts, leaf_shapes
from ..protocol import AbstractProtocol
from ..system import AbstractSystem, Overdamped


def check_shapes(system: AbstractSystem, sample) -> None:
    """Try the parts of a system on the shapes of ONE position, all of its leaves of one dtype.

    **Raises:** ValueError for a position of another shape than the potential's template, an energy
    that is no scalar or of a wider dtype than the position, a bath that does not broadcast to it,
    and a drive of another shape or of a wider dtype.
    """
    sample = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), sample)
    control = system.protocol.initial
    check_template(system.potential, sample, control)
    check_energy(system.potential, sample, control)
    check_bath(system, sample)
    if system.drive is not None:
        check_drive(system.drive, sample, control)


def check_template(potential, sample, control) -> None:
    template = jax.eval_shape(lambda: potential.template(control))
    if template is None:
        return
    if leaf_shapes(template) != leaf_shapes(sample):
        raise ValueError(
            f"a position of {type(potential).__name__} has the shape {leaf_shapes(template)}, and "
            f"initial holds samples of the shape {leaf_shapes(sample)}: make them one; positions "
            "have a batch axis first, the template of tj.Equilibrium none"
        )


def check_energy(potential, sample, control) -> None:
    name, dtype = type(potential).__name__, jax.tree.leaves(sample)[0].dtype
    energy = jax.eval_shape(potential.energy, sample, control)
    if not hasattr(energy, "shape") or energy.shape != ():
        got = getattr(energy, "shape", type(energy).__name__)
        raise ValueError(
            f"{name}.energy returned shape {got} for one sample: expected a scalar; sum over the "
            "coordinates"
        )
    if not jnp.issubdtype(energy.dtype, jnp.floating) or is_wider(energy.dtype, dtype):
        raise ValueError(
            f"{name}.energy returned {energy.dtype} for positions of {dtype}: expected {dtype}; "
            "write jnp.asarray(data, x.dtype) for data of its own, keep data as a field, or give a "
            f"template or positions of {energy.dtype}"
        )


def check_bath(system: AbstractSystem, sample) -> None:
    structure = jax.tree.structure(sample)
    # An overdamped system does not use its mass.
    for name in ("friction",) if isinstance(system, Overdamped) else ("friction", "mass"):
        value = getattr(system.bath, name)
        value = value.initial if isinstance(value, AbstractProtocol) else value
        if jax.tree.structure(value) == structure:
            values = jax.tree.leaves(value)
        elif jax.tree.structure(value) == jax.tree.structure(0):
            values = [value] * structure.num_leaves
        else:
            raise ValueError(
                f"{name} has the leaves {leaf_names(value)}, the position {leaf_names(sample)}: "
                f"expected one number, or one {name} for each leaf of the position"
            )
        for own, leaf in zip(values, jax.tree.leaves(sample), strict=True):
            if not broadcasts(jnp.shape(own), leaf.shape):
                raise ValueError(
                    f"{name} has shape {jnp.shape(own)}, which does not broadcast to one position "
                    f"of shape {leaf.shape}: expected one number, or one for each coordinate"
                )


def check_drive(drive, sample, control) -> None:
    force = jax.eval_shape(drive, sample, control)
    if leaf_shapes(force) != leaf_shapes(sample):
        raise ValueError(
            f"drive(x, control) returned the shape {leaf_shapes(force)} for one sample of the "
            f"shape {leaf_shapes(sample)}: expected a force of the shape of x"
        )
    dtype = jax.tree.leaves(sample)[0].dtype
    for leaf in jax.tree.leaves(force):
        if is_wider(leaf.dtype, dtype):
            raise ValueError(
                f"drive(x, control) returned {leaf.dtype} for positions of {dtype}: expected "
                f"{dtype}; write jnp.asarray(data, x.dtype) for data of its own"
            )


def is_wider(dtype, than) -> bool:
    """Whether arithmetic of both is no longer of the second."""
    return jnp.promote_types(dtype, than) != than


def leaf_names(tree) -> str:
    """The places of the leaves of a pytree, in words."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    return ", ".join(paths) if paths != [""] else "one array"

"""Imperfections of a device: components, converters, and the noise and drift of its meters."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..._arguments import choice, real, whole
from ..._component import known, shown

ROUNDING = ("nearest", "random")
MOST_BITS = 52


class Imperfections(eqx.Module):
    r"""The imperfections of a device, each of them absent unless it is given.

    Programmed is, in place of A (and of b alike, each in its own range),

        A'_ij = A'_ji = (1 + e z_ij) round(A_ij / D) D,  D = max |A| / (2^(bits - 1) - 1),

    and read, in place of a position x_i at a time t after programming,

        x'_i = quantized(x_i + w z + o_i(t) + r t).

    **Arguments:**

    - `component_error`: e, the relative standard deviation of every coupling and field. Their
      errors are independent, and stay as they are until the device is programmed anew.
    - `input_bits`, `rounding`: of programmed numbers; "nearest", or "random", up or down with
      the probabilities for which the mean is right, so that copies of a program average it out.
    - `output_bits`, `output_range`: of the read-out, whose levels lie `output_range` /
      (2^(bits - 1) - 1) apart; what is beyond +-`output_range`, a length, is read as that. Thermal
      motion over more than half a level is a dither: the mean of many read-outs is then right to
      a small part of a level.
    - `white_noise`: w, a length, anew at every read-out.
    - `flicker_noise`, `flicker_band`: the standard deviation, a length, of the offset o_i of every
      meter, with a spectrum that is 1/f between two rates (low, high), 1/time. Every trajectory has
      meters of its own.
    - `drift`: r, length/time, by which the offset of all meters moves from programming on.
    - `excess_temperature`: the noise of the device is that of kT (1 + `excess_temperature`).

    **Raises:** ValueError, which names the argument, for numbers out of range.
    """

    component_error: float = eqx.field(static=True)
    input_bits: int | None = eqx.field(static=True)
    rounding: str = eqx.field(static=True)
    output_bits: int | None = eqx.field(static=True)
    output_range: float | None = eqx.field(static=True)
    white_noise: float = eqx.field(static=True)
    flicker_noise: float = eqx.field(static=True)
    flicker_band: tuple[float, float] | None = eqx.field(static=True)
    drift: float = eqx.field(static=True)
    excess_temperature: float = eqx.field(static=True)

    def __init__(
        self,
        *,
        component_error: float = 0.0,
        input_bits: int | None = None,
        rounding: str = "nearest",
        output_bits: int | None = None,
        output_range: float | None = None,
        white_noise: float = 0.0,
        flicker_noise: float = 0.0,
        flicker_band: tuple[float, float] | None = None,
        drift: float = 0.0,
        excess_temperature: float = 0.0,
    ):
        self.component_error = number(
            "component_error", component_error, "a relative error, 0 or more, below 1", below=1.0
        )
        self.input_bits = bits("input_bits", input_bits)
        self.rounding = choice("rounding", rounding, ROUNDING)
        self.output_bits = bits("output_bits", output_bits)
        if (output_bits is None) != (output_range is None):
            raise ValueError(
                f"output_bits = {shown(output_bits)}, output_range = {shown(output_range)}: "
                "expected both or neither; levels need the range that they divide"
            )
        self.output_range = None
        if output_range is not None:
            self.output_range = number("output_range", output_range, "a positive length", above=0.0)
        self.white_noise = number("white_noise", white_noise, "a length, 0 or more")
        self.flicker_noise = number("flicker_noise", flicker_noise, "a length, 0 or more")
        if flicker_noise and flicker_band is None:
            raise ValueError(
                "flicker_band is None: expected (low, high), the rates in 1/time between which the "
                "spectrum is 1/f"
            )
        self.flicker_band = band(flicker_band)
        self.drift = number("drift", drift, "a length per time", least=-math.inf)
        self.excess_temperature = number(
            "excess_temperature", excess_temperature, "a part of kT, 0 or more"
        )


def number(name, value, expected: str, least=0.0, above=-math.inf, below=math.inf) -> float:
    """A number that is known. **Raises:** ValueError for one out of range, or being traced."""
    inside = lambda x: (x >= least) & (x > above) & (x < below) & (x > -math.inf)
    if known(real(name, value, expected, inside)) is None:
        raise ValueError(
            f"{name} is being traced by jit, vmap or grad: a device is chosen by numbers; make "
            "its imperfections outside"
        )
    return float(value)


def bits(name: str, value) -> int | None:
    if value is None:
        return None
    count = whole(name, value, 2, "bits, the sign among them, or None for no rounding")
    if count > MOST_BITS:
        raise ValueError(f"{name} = {count}: expected at most {MOST_BITS}, or None for no rounding")
    return count


def band(value) -> tuple[float, float] | None:
    if value is None:
        return None
    if isinstance(value, tuple | list) and len(value) == 2:
        low, high = (number("flicker_band", x, "rates, 1/time", above=0.0) for x in value)
        if low < high:
            return low, high
    raise ValueError(
        f"flicker_band = {shown(value)}: expected two rates (low, high), 1/time, 0 < low < high"
    )


def level(bits: int, top: Array | float) -> Array | float:
    """The distance of two levels, of which 2^(bits - 1) - 1 lie above zero and as many below."""
    return top / (2 ** (bits - 1) - 1)


class Programs(NamedTuple):
    """Numbers that a device has been programmed with, a copy on the first axis of each.

    - `A`, `b`: as they came out. `rounded`: A as it was meant, and the relative error of each of
      its components for an error of 1, from which one can tell how much A would have borne.
    """

    A: Float[Array, "copies dim dim"]
    b: Float[Array, "copies dim"]
    rounded: Float[Array, "copies dim dim"]
    errors: Float[Array, "copies dim dim"]


class Programming(NamedTuple):
    """Numbers that decide what becomes of A and b; the distance of two levels is 0 of none."""

    component_error: Array
    apart: Array
    apart_b: Array
    at_random: Array


def programs_of(
    imperfections: Imperfections,
    A: Float[Array, "dim dim"],
    b: Float[Array, " dim"],
    copies: int,
    extrapolate: bool,
    key: PRNGKeyArray,
) -> Programs:
    """The programs of some copies; to extrapolate, three of each (see `tj.linalg.solve`)."""
    numbers = Programming(
        jnp.asarray(imperfections.component_error, A.dtype),
        spacing_of(imperfections, A),
        spacing_of(imperfections, b),
        jnp.asarray(imperfections.rounding == "random"),
    )
    return programmed(numbers, A, b, jax.random.split(key, copies), extrapolate)


@partial(jax.jit, static_argnums=4)
def programmed(numbers: Programming, A, b, keys, extrapolate: bool) -> Programs:
    signs = jnp.asarray([0.0, 1.0, -1.0][: 1 + 2 * extrapolate], A.dtype)
    found = jax.vmap(lambda key: one_program(numbers, A, b, signs, key))(keys)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)


def one_program(numbers: Programming, A, b, signs, key) -> Programs:
    """One program, on a first axis, or the three of an extrapolation."""
    keys, e = jax.random.split(key, 6), numbers.component_error
    chance = symmetric(jax.random.uniform, keys[0], A)
    chance_b = jax.random.uniform(keys[1], b.shape, b.dtype)
    shift, shift_b = (jnp.where(numbers.at_random, u, 0.5) for u in (chance, chance_b))
    meant, meant_b = rounded(A, numbers.apart, shift), rounded(b, numbers.apart_b, shift_b)
    own, known = (symmetric(jax.random.normal, k, A) for k in keys[2:4])
    own_b, known_b = (jax.random.normal(k, b.shape, b.dtype) for k in keys[4:])

    def each(sign):
        errors = own + sign * known
        fields = meant_b * (1 + e * (own_b + sign * known_b))
        return Programs(meant * (1 + e * errors), fields, meant, errors)

    return jax.vmap(each)(signs)


def symmetric(draw, key, like):
    """A symmetric matrix of independent numbers on and above its diagonal."""
    upper = jnp.triu(draw(key, like.shape, like.dtype))
    return upper + jnp.triu(upper, 1).T


def rounded(values: Array, apart: Array, shift: Array | float) -> Array:
    """Numbers as levels; a `shift` of 1/2 takes the nearest, one from [0, 1) decides at random."""
    levels = jnp.floor(values / jnp.where(apart > 0, apart, 1) + shift) * apart
    return jnp.where(apart > 0, levels, values)


def spacing_of(imperfections: Imperfections, values: Array) -> Array:
    """The distance of the levels of what is programmed; 0 where nothing is rounded."""
    if imperfections.input_bits is None:
        return jnp.zeros((), values.dtype)
    return jnp.asarray(level(imperfections.input_bits, jnp.max(jnp.abs(values))), values.dtype)


def rounding_variance(imperfections: Imperfections, values: Array) -> Array:
    """D^2 f (1 - f) of random rounding, f the part of a level by which a number is above one."""
    apart = spacing_of(imperfections, values)
    levels = values / jnp.where(apart > 0, apart, 1)
    part = levels - jnp.floor(levels)
    return apart**2 * part * (1 - part) * (imperfections.rounding == "random")

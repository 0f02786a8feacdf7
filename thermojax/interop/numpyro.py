"""A NumPyro model taken apart: prior and likelihood as energies of unconstrained parameters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer import init_to_feasible
from numpyro.primitives import Messenger

from .._component import known, shown
from ..potential import AbstractLikelihood, AbstractPotential
from .numpyro_sites import (
    check_observed,
    check_plates,
    is_factor,
    is_improper,
    unconstrained_shape,
    whole,
)

UNKNOWN = (  # what JAX raises where a program asks for the value of an array that it is to trace
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
)


class Program:
    """A model with its arguments, to be called with the arrays among these."""

    def __init__(self, model: Callable, arguments: tuple[tuple, dict]):
        self.model = model
        self.leaves, self.structure = jax.tree.flatten(arguments)
        self.places = tuple(i for i, leaf in enumerate(self.leaves) if holds_numbers(leaf))

    @property
    def arrays(self) -> tuple[Array, ...]:
        return tuple(jnp.asarray(self.leaves[i]) for i in self.places)

    def __call__(self, arrays: tuple[Array, ...]):
        leaves = list(self.leaves)
        for place, array in zip(self.places, arrays, strict=True):
            leaves[place] = array
        args, kwargs = self.structure.unflatten(leaves)
        return self.model(*args, **kwargs)


def holds_numbers(leaf) -> bool:
    """Whether a leaf is an array of real numbers or truth values."""
    if not isinstance(leaf, np.ndarray | jax.Array):
        return False
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    return any(jnp.issubdtype(leaf.dtype, kind) for kind in kinds)


class Sites(eqx.Module):
    """The sites of a model at one position: a dict of unconstrained arrays by their names.

    Arrays among the arguments are leaves. `held`: what `numpyro.param` and mutable sites begin
    with, and keep, as in NumPyro's own Markov chains.
    """

    program: Program = eqx.field(static=True)
    arrays: tuple[Array, ...]
    held: dict[str, Any]
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True, default=())

    def run(self):
        return handlers.substitute(self.program, data=self.held)(self.arrays)

    def first(self, key) -> dict[str, dict]:
        """The sites where every unconstrained parameter is zero, improper ones too."""
        feasible = handlers.substitute(
            handlers.seed(self.run, key), substitute_fn=init_to_feasible()
        )
        return handlers.trace(feasible).get_trace()

    def at(self, x: dict[str, Array], data: dict[str, Array] | None = None, key=None):
        """The sites at a position, a factor `_NAME_log_det` beside each that was constrained.

        `data` stands in for what observed sites observe; with a `key` they are drawn.
        """
        self.check(x)
        model = handlers.substitute(self.run, substitute_fn=lambda site: constrained(site, x))
        if data is not None:
            model = handlers.substitute(model, data=data)
        if key is not None:
            model = Redrawn(model)
        # Of latent sites nothing is drawn; models may ask for a key of their own.
        seeded = handlers.seed(model, jax.random.key(0) if key is None else key)
        return handlers.trace(seeded).get_trace()

    def drawn(self, key) -> dict[str, Array]:
        """One position from the prior, site after site as the model has it."""
        sites = handlers.trace(handlers.seed(self.run, key)).get_trace()
        found = ((name, sites[name]) for name, _ in self.shapes)
        return {name: biject_to(site["fn"].support).inv(site["value"]) for name, site in found}

    def check(self, x) -> None:
        """**Raises:** ValueError for a position of another structure than the model's."""
        shapes = dict(self.shapes)
        found = {k: jnp.shape(v) for k, v in x.items()} if isinstance(x, dict) else shown(x)
        if found != shapes:
            raise ValueError(
                f"x is {found}: expected a dict of unconstrained arrays by site, of shapes {shapes}"
            )

    @property
    def prior_names(self) -> tuple[str, ...]:
        names = [name for name, _ in self.shapes]
        return (*names, *map(jacobian, names))


class Redrawn(Messenger):
    """Observed sites are drawn, in the shape of what they have observed."""

    def process_message(self, msg):
        if msg["type"] != "sample" or not msg["is_observed"] or is_factor(msg):
            return
        fn, shape = msg["fn"], jnp.shape(msg["value"])
        # One distribution may stand for all of its data: numpyro.sample("y", Normal(), obs=y).
        msg["fn"] = fn.expand(shape[: len(shape) - fn.event_dim])
        msg["value"], msg["is_observed"] = None, False
        if msg["kwargs"]["rng_key"] is None:
            msg["kwargs"]["rng_key"] = numpyro.prng_key()


def jacobian(name: str) -> str:
    """The name of the factor that a constraining transform leaves behind."""
    return f"_{name}_log_det"


def constrained(site: dict, x: dict[str, Array]):
    """The value of a latent site at a position; its Jacobian becomes a factor of the trace."""
    if site["type"] != "sample" or site["name"] not in x:
        return None
    free, transform = x[site["name"]], biject_to(site["fn"].support)
    place = site["infer"].get("_scan_current_index")  # in numpyro.contrib.control_flow.scan
    if place is not None:
        grown = transform.codomain.event_dim - transform.domain.event_dim
        if jnp.ndim(free) > len(site["fn"].shape()) - grown:
            free = free[place]
    value = transform(free)
    change = transform.log_abs_det_jacobian(free, value)
    # One number for each element of the batch: a plate would count their sum as often.
    inner = jnp.ndim(change) - jnp.ndim(value) + len(site["fn"].event_shape)
    change = jnp.sum(change, axis=tuple(range(jnp.ndim(change) - inner, jnp.ndim(change))))
    numpyro.factor(jacobian(site["name"]), change)
    return value


def log_prob(site: dict) -> Array:
    """ln p of what stands at a site, one number for each of its independent elements."""
    found = site["fn"].log_prob(site["value"])
    return found if site["scale"] is None else site["scale"] * found


def total(sites: dict[str, dict], names: tuple[str, ...]) -> Float[Array, ""]:
    found = (jnp.sum(log_prob(sites[name])) for name in names if name in sites)
    return functools.reduce(jnp.add, found)


class NumPyroPrior(AbstractPotential):
    """U = -ln p of the latent sites and their Jacobians. Exact draws where `proper`, kT = 1."""

    reparametrized: ClassVar[bool] = False

    sites: Sites
    proper: bool = eqx.field(static=True)

    def energy(self, x, control):
        return -total(self.sites.at(x), self.sites.prior_names)

    def template(self, control):
        return {name: jnp.zeros(shape) for name, shape in self.sites.shapes}

    def sampled_by(self, control, temperature):
        kt = known(temperature)
        return self if self.proper and kt is not None and kt == 1 else None

    def sample(self, key, control, temperature, batch, template):
        drawn = jax.vmap(self.sites.drawn)(jax.random.split(key, batch))
        return jax.tree.map(lambda x, like: x.astype(like.dtype), drawn, dict(template))


class NumPyroLikelihood(AbstractLikelihood):
    """U = -ln p of the observed sites; rows are their elements, one site after the other.

    Data are an array where one site is observed, else a dict of arrays by site.
    """

    sites: Sites
    names: tuple[str, ...] = eqx.field(static=True)
    data: dict[str, Array] | None = None  # None: what the model itself observes
    rows: Array | None = None  # None: all

    def energy(self, x, control):
        if self.rows is None:
            return -total(self.sites.at(x, self.data), self.names)
        return -jnp.sum(self.log_likelihood(x))

    def template(self, control):
        return {name: jnp.zeros(shape) for name, shape in self.sites.shapes}

    def log_likelihood(self, x):
        rows = jnp.concatenate([jnp.ravel(each) for each in self.of_sites(x).values()])
        return rows if self.rows is None else rows[self.rows]

    def by_name(self, x):
        return self.of_sites(x) if self.rows is None else {"y": self.log_likelihood(x)}

    def of_sites(self, x) -> dict[str, Array]:
        """The log probability of every site that is observed, whichever rows are kept."""
        sites = self.sites.at(x, self.data)
        return {name: log_prob(sites[name]) for name in self.names}

    def draw_data(self, key, x):
        sites = self.sites.at(x, key=key)
        drawn = {name: sites[name]["value"] for name in self.names}
        return drawn if len(drawn) > 1 else drawn[self.names[0]]

    def with_data(self, data):
        data = data if isinstance(data, dict) else {self.names[0]: data}
        return dataclasses.replace(self, data=data)

    def with_rows(self, rows):
        return dataclasses.replace(self, rows=rows if self.rows is None else self.rows[rows])


class NumPyroFactors(AbstractPotential):
    """U = -(sum of what `numpyro.factor` and scaled observed sites add), which draw no data."""

    sites: Sites
    names: tuple[str, ...] = eqx.field(static=True)

    def energy(self, x, control):
        return -total(self.sites.at(x), self.names)

    def template(self, control):
        return {name: jnp.zeros(shape) for name, shape in self.sites.shapes}


class Constrain(eqx.Module):
    """An unconstrained position as the model's own sites, deterministic ones with them."""

    sites: Sites

    def __call__(self, x: dict[str, Array]) -> dict[str, Array]:
        kept = dict(self.sites.shapes)
        return {
            name: site["value"]
            for name, site in self.sites.at(x).items()
            if name in kept or site["type"] == "deterministic"
        }


class Parts(NamedTuple):
    """The parts of a model; `improper`: the latent sites that have no density."""

    prior: NumPyroPrior
    likelihood: AbstractPotential
    constrain: Constrain
    improper: tuple[str, ...]


def taken_apart(model: Callable, args: tuple, kwargs: dict) -> Parts:
    """The parts of a model. **Raises:** ValueError for sites that no Langevin system can hold."""
    sites, trace = prepared(model, args, kwargs)
    samples = {name: site for name, site in trace.items() if site["type"] == "sample"}
    latent = {name: site for name, site in samples.items() if not site["is_observed"]}
    observed = {name: site for name, site in samples.items() if site["is_observed"]}
    check_plates(trace)
    if not latent or not observed:
        missing = "latent" if not latent else "observed"
        cure = "give every parameter a prior by numpyro.sample"
        if not observed:
            cure = "pass the data, numpyro.sample(..., obs=data)"
        raise ValueError(f"model has no {missing} site: {cure}")
    shapes = tuple((name, unconstrained_shape(name, site)) for name, site in latent.items())
    sites = dataclasses.replace(sites, shapes=shapes)
    for name, site in observed.items():
        check_observed(name, site)
    improper = tuple(name for name, site in latent.items() if is_improper(site["fn"]))
    # A scaled density is not that which sites are drawn from.
    proper = not improper and all(whole(site) for site in latent.values())
    drawable = tuple(n for n, s in observed.items() if whole(s) and not is_factor(s))
    others = tuple(name for name in observed if name not in drawable)
    likelihood = [NumPyroLikelihood(sites, drawable)] if drawable else []
    likelihood += [NumPyroFactors(sites, others)] if others else []
    total_likelihood = likelihood[0] if len(likelihood) == 1 else likelihood[0] + likelihood[1]
    return Parts(NumPyroPrior(sites, proper), total_likelihood, Constrain(sites), improper)


def prepared(model: Callable, args: tuple, kwargs: dict) -> tuple[Sites, dict[str, dict]]:
    """The model's sites with nothing looked at yet, and the trace of its first position.

    Arrays are traced like all else in a potential, unless the model needs to know their values (to
    take a number of groups from an index, say): then they are constants of it.
    """
    program, key = Program(model, (args, kwargs)), jax.random.key(0)
    try:
        jax.eval_shape(
            lambda arrays: values_of(Sites(program, arrays, {}).first(key)), program.arrays
        )
    except UNKNOWN:
        program.places = ()
    trace = Sites(program, program.arrays, {}).first(key)
    held = {n: site["value"] for n, site in trace.items() if site["type"] in ("param", "mutable")}
    return Sites(program, program.arrays, held), trace


def values_of(trace: dict[str, dict]) -> list:
    return [site["value"] for site in trace.values() if site["type"] == "sample"]

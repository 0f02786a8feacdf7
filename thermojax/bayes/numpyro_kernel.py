"""Langevin chains as a kernel of NumPyro's MCMC."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree
from numpyro.infer import init_to_uniform
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import initialize_model

from .._arguments import function, instance, real, whole
from .._component import positive
from ..adaptation import tune
from ..potential import LogDensity
from ..protocol import Constant
from ..sampling import LocalStep
from ..system import Bath, Underdamped
from .proposal import STEPS, log_density, propose_from

WALKERS = 16  # that tune one chain: what one alone has seen says little about the others


class LangevinKernelState(NamedTuple):
    """The state of NumPyro's chains, all with the chain as their first axis where vectorized.

    - `z`: unconstrained position, a pytree. `potential_energy` there, a scalar.
    - `accept_prob`: whether the last proposal was kept, as a number; `mean_accept_prob`, of all.
    - `diverging`: whether the chain stands where its energy is not finite. `i`: iterations.
    - `step_size`, a scalar, and `mass`, like `z`: what warm-up has found. `rng_key`.
    """

    z: PyTree[Array]
    potential_energy: Float[Array, "*chains"]
    accept_prob: Float[Array, "*chains"]
    mean_accept_prob: Float[Array, "*chains"]
    diverging: Array
    i: Int[Array, "*chains"]
    step_size: Float[Array, "*chains"]
    mass: PyTree[Array]
    rng_key: Array


class NumPyroKernel(MCMCKernel):
    """A kernel for `numpyro.infer.MCMC`: Langevin dynamics with a step of its own for every place.

        kernel = tj.bayes.NumPyroKernel(model)
        mcmc = numpyro.infer.MCMC(kernel, num_warmup=200, num_samples=1000, num_chains=4,
                                  chain_method="vectorized")
        mcmc.run(key, *args)

    An iteration is one proposal of `tj.advance(..., adjusted=tj.LocalStep())` with fresh momenta,
    exact at any step. Warm-up begins with `tj.tune`, which finds masses and step with 16 walkers
    around each start (or all chains together, where they are vectorized and more), and goes on
    from there. Of `extra_fields` there are the names of `LangevinKernelState`.

    **Arguments:** `model`, a function of NumPyro primitives, or `potential_fn`, minus a log density
    of one position (any pytree). `step_size`, a scalar, and `mass`, a number or a pytree like the
    position, where they are known: nothing is tuned then. `steps`, integration steps of a proposal;
    `adjusted`, a `tj.LocalStep`; `init_strategy`, of NumPyro.

    **Raises:** ValueError for both or neither of `model` and `potential_fn`, for a mass without a
    step, and, where it runs, for a potential without `init_params` or nothing to tune by.
    """

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: Callable | None = None,
        *,
        step_size: float | None = None,
        mass: Any = None,
        steps: int = STEPS,
        adjusted: LocalStep | None = None,
        init_strategy: Callable = init_to_uniform,
    ):
        if (model is None) == (potential_fn is None):
            raise ValueError(
                "model and potential_fn are both given or both None: expected one of them"
            )
        name, given = ("model", model) if model is not None else ("potential_fn", potential_fn)
        function(name, given, "a function")
        if step_size is not None:
            real("step_size", step_size, "a positive time step, or None to tune it", positive)
        if mass is not None and step_size is None:
            raise ValueError("mass is given and step_size = None: expected both, or neither")
        function("init_strategy", init_strategy, "a strategy such as numpyro.infer.init_to_median")
        self.model, self.potential_fn = model, potential_fn
        self.step_size, self.mass = step_size, Bath(mass=1.0 if mass is None else mass).mass
        self.steps = whole("steps", steps, cure="integration steps of a proposal")
        self.adjusted = LocalStep() if adjusted is None else adjusted
        instance("adjusted", self.adjusted, LocalStep, "a tj.LocalStep()")
        self.init_strategy = init_strategy
        self._potential_of = self._constrain_of = self._tuned_for = None
        self._sample_fn = None  # MCMC asks for this name, to know that a kernel has begun

    @property
    def sample_field(self):
        """The field of a state that is collected as samples."""
        return "z"

    @property
    def default_fields(self):
        """The fields that are collected unasked."""
        return ("z", "diverging")

    def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
        """The first state of a chain, or of all of them where `rng_key` holds several keys."""
        keys = typed(rng_key)
        first = keys if keys.ndim == 0 else keys[0]
        init_key, tune_key = jax.random.split(first)
        if self.model is not None:
            model_keys = init_key if keys.ndim == 0 else jax.random.split(init_key, len(keys))
            info, self._potential_of, self._constrain_of, _ = initialize_model(
                model_keys,
                self.model,
                init_strategy=self.init_strategy,
                dynamic_args=True,
                model_args=model_args,
                model_kwargs=model_kwargs,
            )
            init_params = info.z if init_params is None else init_params
        if init_params is None:
            raise ValueError("init_params = None: expected a first position for potential_fn")
        position = init_params if keys.ndim else jax.tree.map(lambda x: x[None], init_params)
        position = jax.tree.map(jnp.asarray, position)
        density = self.density(model_args, model_kwargs)
        step_size, mass, position = self.tuned(tune_key, position, num_warmup, density)
        self._sample_fn = self.sample
        energy = -jax.vmap(density)(position)
        zero, chains = jnp.zeros_like(energy), len(energy)
        spread = lambda x, like: jnp.broadcast_to(jnp.asarray(x, like.dtype), like.shape)
        state = LangevinKernelState(
            z=position,
            potential_energy=energy,
            accept_prob=zero,
            mean_accept_prob=zero,
            diverging=~jnp.isfinite(energy),
            i=jnp.zeros(chains, int),
            step_size=spread(step_size, energy),
            mass=jax.tree.map(spread, mass, position),
            rng_key=rng_key if keys.ndim else rng_key[None],
        )
        return state if keys.ndim else jax.tree.map(lambda x: x[0], state)

    def tuned(self, key, position, num_warmup: int, density: Callable):
        """The step, the masses of one position, and where the chains begin."""
        one = jax.tree.map(lambda x: x[0], position)
        if self.step_size is not None:
            whole_tree = jax.tree.structure(self.mass) == jax.tree.structure(one)
            mass = self.mass if whole_tree else jax.tree.map(lambda x: self.mass, one)
            return self.step_size, mass, position
        if num_warmup == 0:
            raise ValueError(
                "num_warmup = 0 and step_size = None: expected warm-up iterations, in which the "
                "step is found, or step_size= and mass= as known"
            )
        chains = len(jax.tree.leaves(position)[0])
        walkers = chains * -(-WALKERS // chains)
        begin = jax.tree.map(
            lambda x: jnp.tile(x, (walkers // chains,) + (1,) * (x.ndim - 1)), position
        )
        system = Underdamped(LogDensity(density), Constant(), Bath())
        with warnings.catch_warnings():
            # What its report may doubt is whether these walkers have mixed. Chains are exact with
            # any step and masses, and NumPyro shows how well they mix themselves.
            warnings.simplefilter("ignore")
            found = tune(system, key, initial=begin, adjusted=self.adjusted)
        taken = jax.tree.map(lambda x: x[:chains], found.chain.position)
        return found.dt, found.system.bath.mass, taken

    def density(self, model_args, model_kwargs) -> Callable:
        """The log density of one unconstrained position.

        One function for all chains of a run, which share what is compiled for it.
        """
        kept = self._tuned_for
        if kept is None or kept[0] is not model_args or kept[1] is not model_kwargs:
            potential_fn = self.potential(model_args, model_kwargs)
            kept = self._tuned_for = model_args, model_kwargs, lambda x: -potential_fn(x)
        return kept[2]

    def potential(self, model_args, model_kwargs) -> Callable:
        """Minus the log density of one unconstrained position."""
        if self.potential_fn is not None:
            return self.potential_fn
        assert self._potential_of is not None
        return self._potential_of(*model_args, **(model_kwargs or {}))

    def sample(self, state, model_args, model_kwargs):
        """The next state."""
        several = jnp.ndim(state.potential_energy) > 0
        batch = state if several else jax.tree.map(lambda x: x[None], state)
        potential_fn = self.potential(model_args, model_kwargs)
        keys = jax.vmap(jax.random.split)(typed(batch.rng_key))
        chain = propose_from(
            batch.z,
            LogDensity(lambda x: -potential_fn(x)),
            keys[0, 0],
            dt=batch.step_size[0],
            mass=jax.tree.map(lambda x: x[0], batch.mass),
            steps=self.steps,
            adjusted=self.adjusted,
        )
        accepted = chain.accepted.astype(batch.accept_prob.dtype)
        count = batch.i + 1
        after = batch._replace(
            z=chain.position,
            potential_energy=-log_density(chain),
            accept_prob=accepted,
            mean_accept_prob=batch.mean_accept_prob + (accepted - batch.mean_accept_prob) / count,
            diverging=chain.ledger.diverged,
            i=count,
            rng_key=like(keys[:, 1], batch.rng_key),
        )
        return after if several else jax.tree.map(lambda x: x[0], after)

    def postprocess_fn(self, model_args, model_kwargs):
        """Unconstrained positions to sites, deterministic ones with them."""
        if self._constrain_of is None:
            return lambda x: x
        return self._constrain_of(*model_args, **(model_kwargs or {}))

    def get_diagnostics_str(self, state):
        """The words beside the progress bar."""
        return f"step size {state.step_size:.2e}. acc. prob={state.mean_accept_prob:.2f}"


def typed(keys):
    """Typed keys, also of those that are arrays of words."""
    if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
        return keys
    return jax.random.wrap_key_data(keys)


def like(keys, given):
    """Keys in the form of those given."""
    raw = not jnp.issubdtype(given.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(keys) if raw else keys

"""Online conditioning: observations that arrive one by one, and couplings that come and go."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._arguments import instance, real, whole
from .._component import Numbers, finite, known, positive_number
from .._keys import check_key
from ..potential import AbstractPotential
from ..protocol import AbstractProtocol, values_at
from .coupling import coupling
from .exact import ExactPosterior, exact
from .particles import Particles, coupled, particles
from .posterior import Posterior

State = TypeVar("State", ExactPosterior, Particles)
STATE = (
    "a prior or a tj.bayes.ExactPosterior (Gaussian, no key), or tj.bayes.particles(prior, key), a "
    "tj.bayes.Particles or a tj.bayes.Posterior (with a key)"
)


def observe(
    state,
    datum: AbstractPotential,
    key: PRNGKeyArray | None = None,
    *,
    weight: float = 1.0,
    steps: int = 8,
    duration: float = 1.0,
    schedule: str | AbstractProtocol = "linear",
    friction: float = 1.0,
) -> Any:
    r"""The state after one more observation: its coupling goes from 0 to `weight`, all others stay.

        ln p(y_1..k) = sum_k ln p(y_k | y_1..k-1)

    Without a key, in the Gaussian case, exactly: the law goes on from where it is, and the evidence
    is that of the conditioning itself, however fast the coupling grows. With a key, by particles:
    the coupling grows in jumps, whose work weighs them, and they move by Metropolis-adjusted
    proposals in between; where their effective number falls below half they are resampled.

    A loop over observations of one class and shape compiles once (`capacity=` of
    `tj.bayes.particles`; each doubling beyond it once more).

    **Arguments:**

    - `state`: a Gaussian prior or `tj.bayes.ExactPosterior`; or a `tj.bayes.Particles`, or the
      `tj.bayes.Posterior` of an inference, with a key.
    - `datum`: the energy of the observation, -ln p(y_k|x): `tj.Gaussian(y, noise)`, one row of a
      `tj.LogisticRegression`, a potential of your own with the data in its fields.
    - `weight`: how much it counts, a scalar: 1 in full.
    - `steps`: jumps of the coupling, of particles. `schedule`: `"linear"`, `"sudden"`, or a
      protocol from 0 to 1 of that `duration`; duration and `friction`, of the exact picture, as in
      `tj.bayes.exact`; particles see the shape of the schedule alone.

    **Returns:** a new `tj.bayes.ExactPosterior` or `tj.bayes.Particles`, with the `log_evidence` of
    all observations; heat and work of this one in the state, or in its `last`.

    **Raises:** ValueError for a state of another kind, a missing or a needless key, and an
    observation that differs from those before in more than its numbers (particles), or is not
    quadratic (exactly).

    **Source:** annealed importance sampling with resampling: P. Del Moral, A. Doucet, A. Jasra,
    JRSS B 68, 411 (2006); one observation after the other: N. Chopin, Biometrika 89, 539 (2002).
    """
    instance("datum", datum, AbstractPotential, "the energy of one observation, a potential")
    real("weight", weight, "how much the observation counts, a finite number; 1 in full")
    how = checked_coupling(steps, duration, schedule, friction)
    if isinstance(state, Posterior):
        state = particles(state, needed(key))
    if not isinstance(state, Particles | ExactPosterior):
        instance("state", state, AbstractPotential, STATE)
        if key is not None:
            raise ValueError(
                "state is a potential, and a key was given: begin with tj.bayes.particles(prior, "
                "key); without a key the Gaussian case is computed exactly"
            )
        return exact(state, scaled(datum, weight), **how).holding((datum,), (weight,))
    if isinstance(state, ExactPosterior):
        refuse_key(key)
        held, weights = (*state.data, datum), (*state.attention, weight)
        return state.followed_by(scaled(datum, weight), **how).holding(held, weights)
    key = needed(key)
    state = state.with_datum(datum)
    return moved(state, state.couplings.at[state.count - 1].set(weight), key, steps, how)


def attend(
    state: State,
    attention: Numbers,
    key: PRNGKeyArray | None = None,
    *,
    steps: int = 8,
    duration: float = 1.0,
    schedule: str | AbstractProtocol = "linear",
    friction: float = 1.0,
) -> State:
    """The state with other weights on the observations that it holds: 0 forgets one, 1 keeps it.

    The couplings go from `state.attention` to the new weights as in `tj.bayes.observe`, all at the
    same time, and the evidence becomes that of the observations as they are weighted now: one that
    is switched off gives back what it took.

    **Arguments:** `state`, as `tj.bayes.observe` returns it; `attention`, `(held,)`, for example
    `jnp.asarray(state.attention, float).at[3].set(0.0)`; the others as there.

    **Returns:** a new state. **Raises:** ValueError for weights of another number than held, and
    as `tj.bayes.observe`.
    """
    instance("state", state, (ExactPosterior, Particles), "what tj.bayes.observe returned")
    how = checked_coupling(steps, duration, schedule, friction)
    wanted = finite("attention", attention)
    held = jnp.asarray(state.attention)
    if wanted.shape != held.shape:
        raise ValueError(
            f"attention has shape {wanted.shape}: expected {held.shape}, one weight for each "
            "observation that is held"
        )
    if isinstance(state, Particles):
        if state.data is None:
            raise ValueError("state holds no observation yet: tj.bayes.observe comes first")
        couplings = state.couplings.at[: wanted.size].set(wanted)
        return moved(state, couplings, needed(key), steps, how)
    refuse_key(key)
    changes = [(d, float(c)) for d, c in zip(state.data, wanted - held, strict=True) if c != 0]
    if not changes:
        return state
    (first, share), *rest = changes
    energy = sum((scaled(d, c) for d, c in rest), scaled(first, share))
    found = state.followed_by(energy, **how)
    return found.holding(state.data, tuple(np.asarray(wanted).tolist()))


def scaled(datum: AbstractPotential, weight) -> AbstractPotential:
    """The energy of an observation that counts by its weight."""
    return datum if known(weight) == 1 else weight * datum


def refuse_key(key) -> None:
    """**Raises:** ValueError for a key where nothing is random."""
    if key is not None:
        raise ValueError(
            "key: an exact state has nothing random; leave the key out, or begin with "
            "tj.bayes.particles(prior, key)"
        )


def needed(key: PRNGKeyArray | None) -> PRNGKeyArray:
    """The key of the next change. **Raises:** ValueError for none."""
    check_key(key)
    assert key is not None
    return key


def checked_coupling(steps, duration, schedule, friction) -> dict[str, Any]:
    """The arguments of a change of couplings, checked, by the names of `tj.bayes.exact`."""
    whole("steps", steps, cure="jumps of the coupling")
    positive_number("friction", friction)
    protocol = coupling(schedule, duration)
    return dict(duration=protocol.duration, schedule=protocol, friction=friction)


def moved(state: Particles, couplings, key, steps, how) -> Particles:
    """Particles under other couplings."""
    protocol = how["schedule"]
    fractions = jnp.arange(1, int(steps)) / int(steps)
    shares = jnp.append(values_at(protocol, fractions * protocol.duration), 1.0)
    found = coupled(dataclasses.replace(state, last=None), couplings, key, shares)
    assert found.last is not None
    number = known(found.last.log_evidence)
    if number is not None and not np.isfinite(number):
        raise ValueError(
            "datum has no finite energy at any of the particles: look for NaN in its data, or for "
            "a value that no particle can have given rise to"
        )
    return found

"""No two purposes of a key share a draw, and no `split` or `fold_in` of it reaches one of them."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from thermojax._keys import Purpose, part_key, purpose_key
from thermojax.estimators import free_energy as free_energy_module
from thermojax.estimators.free_energy import bennett
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.evaluate import evaluate
from thermojax.optimization.picture import Runs, prepare_picture

KEY = jax.random.key(11)
PATHS = 4096
# `split(key)[i]` is `fold_in(key, i)`: one of the two stands for both.
KEYS = {"key": KEY, **{f"fold_in(key, {i})": jax.random.fold_in(KEY, i) for i in range(5)}}
POINT = tj.Equilibrium(jnp.zeros(1))
# So short that positions are still those of the start, and an overdamped momentum is the noise.
RAMP = tj.PiecewiseLinear.between(0.0, 1.0, 1e-4, knots=3)
DRAGGED = tj.Overdamped(tj.Harmonic(1.0, control="center"), RAMP, tj.Bath())
QUARTIC = tj.LogDensity(lambda x, c: -jnp.sum(x**4 / 4 - c * x), controlled=True)
WELLS = tj.Overdamped(QUARTIC, RAMP, tj.Bath())
QUIET = tj.Overdamped(tj.Harmonic(1.0), tj.Constant(), tj.Bath())
ADAM = optax.adam(1e-6)
STILL = tj.Underdamped(tj.Harmonic(1.0), tj.Constant(), tj.Bath())


def ran(system, key):
    """Positions and momenta of the start, and of both steps."""
    out = tj.simulate(system, key, time_steps=2, batch=PATHS, initial=POINT, save=3)
    assert out.saved is not None
    state, _ = out.saved.values
    return [state.position[0], *state.momentum]


def persistent(key):
    chain = tj.start(QUIET, key, batch=PATHS, initial=POINT)
    moved = tj.advance(QUIET, chain, dt=1e-4, steps=1)
    kept = tj.advance(QUIET, moved, dt=1e-4, steps=1, adjusted=tj.LocalStep())
    return [chain.position, chain.momentum, moved.momentum, kept.momentum]


def tuned(key):
    with pytest.warns(UserWarning, match="tj.tune"):
        done = tj.tune(STILL, key, batch=PATHS, initial=jnp.zeros((PATHS, 1)), steps=768)
    forgetful = done.system.replace(bath=tj.Bath(friction=1e9))  # a momentum is the noise
    moved = tj.advance(forgetful, done.chain, dt=1e-6, steps=1)
    return [done.chain.position, done.chain.momentum, moved.momentum]


SEEN: dict[bytes, list] = {}


class Watched(tj.AbstractObjective):
    """The mean work, of which a test sees the draws of both runs: one entry for each key."""

    def of(self, runs):
        there, back = runs.forward, runs.reverse
        draws = [there.position, there.momentum, back.position, back.momentum]

        def keep(data, *draws) -> None:
            SEEN.setdefault(np.asarray(data).tobytes(), list(draws))

        jax.debug.callback(keep, jax.random.key_data(runs.key), *jax.lax.stop_gradient(draws))
        return tj.MeanWork().of(runs)

    def __call__(self, system, result):
        return tj.MeanWork()(system, result)


def trained(key):
    SEEN.clear()
    how: Any = dict(time_steps=2, batch=PATHS, steps=2, initial=POINT)
    tj.optimize(DRAGGED, Watched(), ADAM, key, **how)
    jax.effects_barrier()
    assert len(SEEN) == 2 + 10  # the steps, and the comparison of candidates
    return list(itertools.chain.from_iterable(SEEN.values()))


def integrated(key, monkeypatch):
    seen, inside = [], free_energy_module.weighted_mean
    watch = lambda values, weights: (seen.append(values), inside(values, weights))[1]
    with monkeypatch.context() as patch:
        patch.setattr(free_energy_module, "weighted_mean", watch)
        tj.free_energy.thermodynamic_integration(DRAGGED, key, batch=PATHS, nodes=4, initial=POINT)
    assert len(seen) == 4
    return seen


def measured(key):
    how: Any = dict(dt=5e-5, batch=2 * PATHS, chunk=PATHS, initial=POINT, name="given")
    with open("/dev/null", "w") as nowhere:
        found = evaluate(DRAGGED, key, progress=Progress(nowhere), **how)
    return [*found.position.reshape(2, PATHS), *found.paths["heat"].reshape(2, PATHS)]


def require_no_correlation(entries: dict[str, Callable]):
    """Of all pairs of draws: with one key, entries other than SEPARATE share their start."""
    names, rows = [], []
    for (entry, draws), (name, key) in itertools.product(entries.items(), KEYS.items()):
        for i, row in enumerate(draws(key)):
            names.append((entry, name, i))
            rows.append(np.asarray(row).reshape(PATHS))
    found = np.corrcoef(np.array(rows))
    for i, j in itertools.combinations(range(len(rows)), 2):
        (one, key, _), (other, same, _) = names[i], names[j]
        shared = key == same and one != other and not {one, other} & SEPARATE
        assert shared or abs(found[i, j]) < 5 / np.sqrt(PATHS), (names[i], names[j], found[i, j])


SEPARATE = {"optimize", "integration", "evaluate"}
RUNS = {
    "simulate": lambda key: ran(DRAGGED, key),
    "reverse": lambda key: ran(tj.reverse(DRAGGED), key),
    "chain": persistent,
}


@pytest.mark.slow
def test_no_two_draws_of_runs_and_chains_are_correlated():
    require_no_correlation(RUNS)


@pytest.mark.slow
def test_no_two_draws_of_any_entry_point_are_correlated(monkeypatch):
    others = {
        "burn-in": lambda key: ran(WELLS, key)[:1],
        "tune": tuned,
        "optimize": trained,
        "integration": lambda key: integrated(key, monkeypatch),
        "evaluate": measured,
    }
    require_no_correlation(RUNS | others)


@pytest.mark.slow
def test_bennett_scatters_as_it_says():
    """Over 4000 repetitions of what an objective runs both ways: a ratio known to 1.1 %."""
    system = tj.Underdamped(tj.Harmonic(1.0, control="center"), tj.Linear(0.0, 1.5, 1.0), tj.Bath())
    system, paths = prepare_picture(system, KEY, initial=POINT, batch=50, time_steps=10)

    def both(key):
        runs = Runs(system, paths, key)
        there, back = runs.forward, runs.reverse
        assert isinstance(there, tj.Result) and isinstance(back, tj.Result)
        return bennett(
            there.log_weight, back.log_weight, there.ledger.alive, back.ledger.alive
        ).log_ratio

    found = jax.jit(lambda keys: jax.lax.map(both, keys, batch_size=500))(
        jax.random.split(KEY, 4000)
    )
    values, errors = np.asarray(found.value), np.asarray(found.error)
    ratio = values.std() / np.sqrt(np.mean(errors**2))
    assert abs(ratio - 1) < 5 / np.sqrt(2 * 4000)
    assert abs(values.mean()) < 5 * values.std() / np.sqrt(4000)  # the free energy does not change


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_purposes_are_apart_and_out_of_reach(kind):
    """All keys of three generations of splits and folds, against those of all purposes."""
    key = jax.random.key(7, impl=kind)
    children = [jax.random.fold_in(key, i) for i in range(20)]
    mine = [key, *children, *(jax.random.fold_in(c, i) for c in children for i in range(20))]
    ours = [purpose_key(k, p) for k in (key, *children) for p in Purpose]
    ours += [part_key(key, p, i) for p in Purpose for i in range(20)]
    words: Any = jax.random.key_data
    data = [np.asarray(words(k)).tobytes() for k in (*mine, *ours)]
    assert len(set(data)) == len(data)
    assert part_key(None, Purpose.STAGE, 1) is None

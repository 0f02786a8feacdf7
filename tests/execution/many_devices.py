"""A program of its own, started by test_devices.py: its devices are set before jax computes.

    python many_devices.py DEVICES [COORDINATOR PROCESS PROCESSES]

Prints one JSON object. With a coordinator it is one of several processes that share one run.
"""

import json
import re
import sys
from typing import Any

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import thermojax as tj
from tests.aboba import ABOBA

devices = int(sys.argv[1])
jax.config.update("jax_num_cpu_devices", devices)
jax.config.update("jax_enable_x64", True)
if len(sys.argv) > 2:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(sys.argv[2], int(sys.argv[4]), int(sys.argv[3]))

EXCHANGES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def exchanges(program: str) -> list[str]:
    return [kind for kind in EXCHANGES if f" {kind}(" in program]


def exchanges_in_loops(program: str) -> list[str]:
    """The collectives of a compiled program that some loop runs over and over."""
    computations = re.split(r"\n(?=(?:ENTRY )?%[\w.\-]+ \()", program)
    bodies = {
        re.sub(r"(?s)^(?:ENTRY )?%([\w.\-]+).*", r"\1", computation): computation
        for computation in computations[1:]
    }
    reached, todo = set(), re.findall(r"body=%([\w.\-]+)", program)
    while todo:
        name = todo.pop()
        if name in reached or name not in bodies:
            continue
        reached.add(name)
        todo += re.findall(r"(?:calls|body|condition|to_apply)=%([\w.\-]+)", bodies[name])
    return [f"{name}: {kind}" for name in reached for kind in exchanges(bodies[name])]


def system(values):
    rng = np.random.default_rng(0)
    likelihood = tj.LogisticRegression(rng.normal(size=(6, 3)), np.array([0.0, 1, 1, 0, 1, 0]))
    prior = tj.Gaussian(jnp.zeros(3))
    ramp = tj.PiecewiseLinear(values, 1.0, 0.0, 1.0)
    return tj.Underdamped(tj.Interpolation(prior, prior + likelihood), ramp, tj.Bath())


def run(values, key, sharding=None):
    return tj.simulate(system(values), key, time_steps=12, batch=32, sharding=sharding)


def cost(values, key, sharding=None):
    result = run(values, key, sharding)
    mean = result.mean(result.ledger.total_work)
    return mean.value, mean.error


def of_potential(potential, key, sharding):
    """The same, for derivatives by the potential's own numbers."""
    driven = system(values).replace(potential=potential)
    result = tj.simulate(driven, key, time_steps=12, batch=32, sharding=sharding)
    return result.mean(result.ledger.total_work).value


class Quartic(tj.AbstractPotential):
    strength: jax.Array

    def energy(self, x, control):
        return self.strength * jnp.sum(x**4) + control * jnp.sum(x)


def survivors(strength, lost, sharding):
    """The mean work where the first `lost` of 16 paths start too far out for the step."""
    well = tj.Underdamped(Quartic(strength), tj.Linear(0.2, 0.6, 3.0), tj.Bath())
    x = jnp.concatenate([jnp.full(lost, 50.0), jnp.linspace(-1.0, 1.0, 16 - lost)])[:, None]
    start = tj.State(x, jnp.zeros_like(x))
    result = tj.simulate(well, key, time_steps=30, initial=start, sharding=sharding)
    return result.mean(result.ledger.total_work).value, result.diverged


def along_the_way(value, sharding, **options: Any):
    """A number that all snapshots make."""
    ramp = tj.PiecewiseLinear(jnp.array([value, 0.7]), 1.0, 0.0, 1.0)
    if "integrator" in options:
        ramp = tj.Linear(0.0, value, 1.0)
    driven = system(values).replace(protocol=ramp)
    options = {"save": np.array([0.0, 0.25, 1.0]), **options}
    result = tj.simulate(driven, key, time_steps=12, batch=32, sharding=sharding, **options)
    assert result.saved is not None
    state, ledger = result.saved.values
    return jnp.mean(state.position**2) + jnp.mean(ledger.total_work)


WAYS = {
    "direct, even snapshots": dict(adjoint=dfx.DirectAdjoint(), save=4),
    "OBABO, little memory": dict(integrator=tj.OBABO(), memory=200_000),
    "QUICSORT": dict(integrator=tj.QUICSORT()),
    "ABOBA, even snapshots": dict(integrator=ABOBA(), save=4),
}


values, key = jnp.linspace(0.1, 0.9, 4), jax.random.key(1)
sharding = tj.batch_sharding()
loss = jax.jit(jax.value_and_grad(cost, has_aux=True), static_argnums=2)
(mean, error), slope = loss(values, key, sharding)
report = {
    "devices": jax.device_count(),
    "mean": float(mean),
    "error": float(error),
    "slope": np.asarray(slope).tolist(),
}
if len(sys.argv) == 2:
    result = run(values, key, sharding)
    report["spread"] = len(result.position.sharding.device_set)
    report["position"] = np.asarray(result.position).tolist()
    report["work"] = np.asarray(result.ledger.work).tolist()
    chain = tj.start(system(values), key, batch=32, sharding=sharding)
    chain = tj.advance(system(values), chain, dt=0.1, steps=3, sharding=sharding)
    assert len(chain.position.sharding.device_set) == devices
    report["chain"] = np.asarray(chain.position).tolist()
    held = system(values).replace(protocol=tj.Constant(0.5))
    local: Any = dict(adjusted=tj.LocalStep(), sharding=sharding)
    chain = tj.advance(held, tj.switch(chain, system(values), held), dt=0.5, steps=9, **local)
    assert len(chain.position.sharding.device_set) == devices
    report["proposed"] = np.asarray(chain.position).tolist()
    # A training that carries its walkers along.
    moves = tj.ebm.Moves(0.05, 2, sharding=sharding)
    method = tj.ebm.Nonequilibrium(moves, walkers=32, witnesses=32)
    data = jax.random.normal(key, (64, 2))
    energy, step = tj.ebm.GaussianEnergy(2 * jnp.eye(2)), optax.sgd(0.1)
    fit = tj.ebm.fit(energy, data, step, key, method=method, batch=16, steps=4)
    assert fit.positions is not None
    assert len(jax.tree.leaves(fit.positions)[0].sharding.device_set) == devices
    report["energy model"] = [*fit.history["loss"], *fit.history["log_z"]]
    for lost in (0, 3, 11):  # all paths of a device, of several
        graded = jax.jit(jax.value_and_grad(survivors, has_aux=True), static_argnums=(1, 2))
        (work, diverged), slope = graded(jnp.asarray(1.0), lost, sharding)
        assert diverged == lost
        report[f"{lost} lost"] = [float(work), float(slope)]
    for way, options in WAYS.items():
        seen = jax.jit(lambda v, options=options: along_the_way(v, sharding, **options))
        report[way] = [float(x) for x in jax.value_and_grad(seen)(jnp.asarray(0.4))]
    forward = lambda v: along_the_way(v, sharding, adjoint=dfx.ForwardMode())
    at = jnp.asarray(0.4), jnp.asarray(1.0)
    report["forward mode"] = [
        float(x) for x in jax.jit(lambda a, b: jax.jvp(forward, (a,), (b,)))(*at)
    ]
    program = jax.jit(run, static_argnums=2).lower(values, key, sharding).compile().as_text() or ""
    report["loops"] = exchanges_in_loops(program)
    report["exchanges"] = exchanges(program)
    of_all = jax.jit(jax.grad(of_potential), static_argnums=2)
    backward = of_all.lower(system(values).potential, key, sharding).compile().as_text() or ""
    report["potential loops"] = exchanges_in_loops(backward)
    backward = loss.lower(values, key, sharding).compile().as_text() or ""
    report["backward loops"] = exchanges_in_loops(backward)
    report["backward exchanges"] = exchanges(backward)
print(json.dumps(report))

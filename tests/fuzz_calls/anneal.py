"""Calls of `tj.anneal`."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

import thermojax as tj

from .call import KEY, call


def log_density(x):
    return -0.5 * jnp.sum(x**2)


ANNEALER = tj.anneal.Annealer(None, log_density, steps=2, template=jnp.zeros(2))
call(
    "anneal.Annealer",
    tj.anneal.Annealer,
    {"base": "optional", "target": "any", "template": "tree"},
    says={"target": "fn"},
    base=None,
    target=log_density,
    steps=2,
    template=np.zeros(2),
    dt=0.3,
    rate=0.05,
    mass=1.0,
    drive=tj.anneal.LinearDrive(2),
    integrator=tj.OBABO(),
)
call("anneal.Schedule", tj.anneal.Schedule, steps=3, terms=2, dt=0.3, rate=0.05)
call("anneal.DiagonalBase", tj.anneal.DiagonalBase, mean=np.zeros(2), scale=1.0)
call("anneal.DenseBase", tj.anneal.DenseBase, mean=np.zeros(2), covariance=np.eye(2))
call(
    "anneal.DrawnBase",
    tj.anneal.DrawnBase,
    log_prob=log_density,
    sample=lambda key, n: jax.random.normal(key, (n, 2)),
)
call("anneal.LinearDrive", tj.anneal.LinearDrive, dim=2, knots=3, two_sided=True)
call(
    "anneal.NetworkDrive",
    tj.anneal.NetworkDrive,
    dim=2,
    key=KEY,
    width=4,
    knots=3,
    two_sided=True,
)
call(
    "anneal.fit",
    tj.anneal.fit,
    annealer=ANNEALER,
    optimizer=optax.adam(0.1),
    key=KEY,
    batch=8,
    steps=2,
    objective="elbo",
    callback=lambda progress: None,
    patience=2,
    checkpoint=None,
)
call(
    "anneal.laplace",
    tj.anneal.laplace,
    {"target": "any", "template": "tree"},
    says={"target": "fn"},
    target=log_density,
    template=np.zeros(2),
)
call(
    "anneal.variational",
    tj.anneal.variational,
    {"base": "optional", "target": "any", "template": "tree"},
    says={"target": "fn"},
    base=None,
    target=log_density,
    key=KEY,
    template=np.zeros(2),
    batch=8,
    steps=2,
    learning_rate=0.1,
)
call(
    "anneal.two_sided",
    tj.anneal.two_sided,
    there=ANNEALER.run(KEY, 8),
    back=ANNEALER.reverse(KEY, jnp.zeros((8, 2)) + jnp.arange(8.0)[:, None] / 8),
)

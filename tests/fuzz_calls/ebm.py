"""Calls of `tj.ebm`."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import optax

import thermojax as tj

from .call import KEY, call

MOVES = tj.ebm.Moves(dt=0.1, steps=1, adjusted=True)
NORMAL = tj.Gaussian(np.zeros(2), np.eye(2))
ENERGY = tj.ebm.GaussianEnergy(np.eye(2))
DATA = jnp.asarray([[0.0, 1.0], [1.0, 0.0], [0.5, -1.0]])
CHAIN = tj.start(MOVES.system(ENERGY), KEY, initial=DATA)
THEIRS = SimpleNamespace(
    nodes=["a", "b"],
    edges=[("a", "b")],
    biases=np.zeros(2),
    weights=np.ones(1),
    beta=np.ones(()),
)

call(
    "ebm.Moves",
    tj.ebm.Moves,
    dt=0.1,
    steps=2,
    friction=1.0,
    adjusted=True,
    sharding=None,
)
call("ebm.Ising", tj.ebm.Ising, coupling=1 - np.eye(2), field=np.zeros(2), beta=1.0)
call(
    "ebm.RestrictedBoltzmann",
    tj.ebm.RestrictedBoltzmann,
    weights=np.ones((2, 3)),
    visible_field=np.zeros(2),
    hidden_field=np.zeros(3),
)
call("ebm.SpinField", tj.ebm.SpinField, root=np.eye(2), bias=np.zeros(2))
call("ebm.SoftSpins", tj.ebm.SoftSpins, coupling=1 - np.eye(2), barrier=1.0, field=np.zeros(2))
call("ebm.GaussianEnergy", tj.ebm.GaussianEnergy, precision=np.eye(2), mean=np.zeros(2))
call(
    "ebm.NeuralEnergy",
    tj.ebm.NeuralEnergy,
    network=jnp.sum,
    scale=1.0,
    around=tj.Gaussian(np.zeros(2), np.eye(2)),
)
call(
    "ebm.Conditioned",
    tj.ebm.Conditioned,
    {"free": "any"},
    potential=ENERGY,
    values=np.zeros(2),
    free=np.array([True, False]),
)
call("ebm.lattice", tj.ebm.lattice, shape=(3, 3), coupling=1.0)
call("ebm.ContrastiveDivergence", tj.ebm.ContrastiveDivergence, moves=MOVES)
call("ebm.Persistent", tj.ebm.Persistent, moves=MOVES, buffer=8, renewed=0.1)
call(
    "ebm.Nonequilibrium",
    tj.ebm.Nonequilibrium,
    moves=MOVES,
    walkers=16,
    witnesses=16,
    resample_below=0.5,
    ramp=1,
)
call("ebm.ScoreMatching", tj.ebm.ScoreMatching, scale=0.5)
call(
    "ebm.contrast",
    tj.ebm.contrast,
    {"data": "tree", "positions": "tree", "weights": "any"},
    model=ENERGY,
    data=np.asarray(DATA),
    positions=np.asarray(DATA),
    weights=np.ones(3),
)
call(
    "ebm.likelihood_loss",
    tj.ebm.likelihood_loss,
    {"data": "tree"},
    model=ENERGY,
    data=np.asarray(DATA),
    chain=CHAIN,
)
call(
    "ebm.log_likelihood",
    tj.ebm.log_likelihood,
    {"data": "tree"},
    model=ENERGY,
    data=np.asarray(DATA),
    chain=CHAIN,
    log_z_start=0.0,
    groups=1,
)
call(
    "ebm.log_z",
    tj.ebm.log_z,
    {"data": "tree"},
    model=ENERGY,
    data=np.asarray(DATA),
    key=KEY,
    moves=MOVES,
    walkers=4,
    ramp=2,
)
call(
    "ebm.score_matching",
    tj.ebm.score_matching,
    {"data": "tree"},
    model=ENERGY,
    data=np.asarray(DATA),
    key=KEY,
    scale=0.5,
)
call(
    "ebm.spin_moments",
    tj.ebm.spin_moments,
    model=tj.ebm.Ising(1 - np.eye(2)),
    key=KEY,
    walkers=4,
    ramp=1,
    moves=4,
    move=MOVES,
)
call(
    "ebm.replica_exchange",
    tj.ebm.replica_exchange,
    {"initial": "tree"},
    potential=ENERGY,
    key=KEY,
    temperatures=[1.0, 2.0],
    initial=np.asarray(DATA),
    moves=MOVES,
    rounds=2,
)
call("ebm.from_thrml", tj.ebm.from_thrml, model=THEIRS)
call(
    "ebm.fit",
    tj.ebm.fit,
    {"data": "tree"},
    model=ENERGY,
    data=np.asarray(DATA),
    optimizer=optax.sgd(0.1),
    key=KEY,
    method=tj.ebm.ScoreMatching(0.5),
    batch=2,
    steps=1,
    callback=lambda progress: None,
    checkpoint=None,
)

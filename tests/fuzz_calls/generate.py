"""Calls of `tj.generate`."""

# What is of the wrong type here is so on purpose.
# pyright: reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import numpy as np
import optax

import thermojax as tj

from .call import KEY, call

IMAGES = np.array([[1.0, -1.0], [0.5, 2.0]])
COMPUTER = tj.generate.Computer(2, 1)
NOISING = tj.generate.Noising(IMAGES, 1, KEY, duration=0.1)
call(
    "generate.Computer",
    tj.generate.Computer,
    visible=2,
    hidden=1,
    quadratic=1.0,
    quartic=1.0,
    temperature=0.1,
    mobility=1.0,
    visible_couplings=False,
    visible_biases=False,
)
call(
    "generate.Noising",
    tj.generate.Noising,
    images=IMAGES,
    hidden=1,
    key=KEY,
    duration=1.0,
    protocol=tj.Linear(2.0, 0.0, 1.0),
    normalize=True,
)
call(
    "generate.fit",
    tj.generate.fit,
    says={"optimizer": "optimizer|learning_rate|rule", "rule": "rule|optimizer"},
    computer=COMPUTER,
    noising=NOISING,
    key=KEY,
    rule="batch",
    cycles=2,
    batch=2,
    dt=0.01,
    learning_rate=None,
    optimizer=optax.sgd(0.1),
    callback=lambda progress: None,
    checkpoint=None,
)
call(
    "generate.fit at a rate",
    tj.generate.fit,
    says={"optimizer": "optimizer|learning_rate"},
    computer=COMPUTER,
    noising=NOISING,
    key=KEY,
    rule="online",
    cycles=2,
    dt=0.01,
    learning_rate=0.1,
)
call(
    "generate.least_squares",
    tj.generate.least_squares,
    computer=COMPUTER,
    noising=NOISING,
    key=KEY,
    batch=2,
    dt=0.01,
    draws=2,
    iterations=3,
    tolerance=0.1,
)
call(
    "generate.loss",
    tj.generate.loss,
    computer=COMPUTER,
    noising=NOISING,
    key=KEY,
    batch=2,
    dt=0.01,
)
call(
    "generate.path_log_ratios",
    tj.generate.path_log_ratios,
    computer=COMPUTER,
    noising=NOISING,
    key=KEY,
    batch=2,
    dt=0.01,
)

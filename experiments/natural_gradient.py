"""A small network trained by natural gradients from a device, beside Adam and exact solves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from annotated_types import Ge, Gt
from jax.flatten_util import ravel_pytree

import thermojax as tj
from thermojax.estimate import weighted_mean
from thermojax.experiment.results.store import Record
from thermojax.experiment.results.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    legend,
    new,
)
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.experiment.study.data import Table

COLORS = (ORANGE, PURPLE, GREEN, SKY, BLUE, VERMILION)


@dataclass(frozen=True)
class Network:
    """One layer of tanh units, and one logit."""

    hidden: Annotated[int, Gt(0)]
    decay: Annotated[float, Gt(0)]  # half of it times the squared weights is in the loss
    copies: Annotated[int, Ge(2)]  # networks from random starts, whose mean is reported


@dataclass(frozen=True)
class Training:
    """`products`: gradients and products of the curvature with a vector, all together.

    Either is a forward and a backward pass through the network.
    """

    products: Annotated[int, Gt(0)]
    rates: tuple[float, ...]  # the learning rates that each natural gradient tries
    adam_rates: tuple[float, ...]
    damping: Annotated[float, Gt(0)]
    temperature: Annotated[float, Gt(0)]  # kT of the device, in units of the loss
    steps: tuple[int, ...]  # of the device for each update, underdamped
    overdamped_steps: Annotated[int, Gt(0)]
    goal: Annotated[float, Gt(0)]  # a loss, until which products are counted


class Optimizer(NamedTuple):
    """What a column trains with; `products` of one update, its gradient among them."""

    transformation: optax.GradientTransformation
    products: int
    rates: tuple[float, ...]
    curvature: bool = True


def loss_figure(results: Record):
    """The mean loss of the networks against products, each optimizer at its best rate."""
    figure, (axis,) = new()
    for name, color in zip(results.attributes["columns"], COLORS, strict=False):
        column = results[name]
        products, loss = np.asarray(column["products"]), np.asarray(column["curve"])
        axis.plot(products[1:], loss[1:], color=color, label=name, lw=1.5)
        axis.plot(products[-1:], loss[-1:], "o", color=color, markersize=3.5)
    axis.axhline(results.attributes["goal"], color=INK, lw=0.8, ls=":")
    axis.set(xlabel="gradients and products of the curvature", xscale="log")
    loss_axis(axis, "loss")
    legend(figure)
    return figure, (
        "Loss against what it costs: every gradient and every product of the curvature with a "
        "vector is a forward and a backward pass. Each optimizer has the best of its learning "
        "rates; lines are means over networks from random starts. Dotted, the goal."
    )


def loss_axis(axis, label: str) -> None:
    """Losses on a logarithmic scale, in plain numbers."""
    axis.set(ylabel=label, yscale="log")
    axis.set_yticks([0.03, 0.1, 0.3, 1.0], ["0.03", "0.1", "0.3", "1"])
    axis.set_yticks([], minor=True)


def rates_figure(results: Record):
    """The loss at the end against the learning rate, and how large a device with inertia allows."""
    figure, (axis,) = new()
    columns = results.attributes["columns"]
    worst = max(float(np.asarray(results[name]["curve"])[0]) for name in columns)
    rates = np.asarray(results[columns[-1]]["rates"])
    for name, color in zip(results.attributes["columns"], COLORS, strict=False):
        column = results[name]
        if name == "Adam":
            continue
        loss = np.asarray(column["by_rate"].value)
        loss = np.where(np.isfinite(loss), loss, np.inf)
        axis.plot(rates, np.minimum(loss, worst), "o-", color=color, label=name, lw=1.3, ms=4)
        if "rate_limit" in column:
            axis.axvline(column["rate_limit"], color=color, ls=":", lw=1.3)
    axis.set(xlabel="learning rate", xscale="log")
    axis.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axis.set_xticks([], minor=True)
    loss_axis(axis, "loss at the end")
    axis.set_ylim(top=1.15 * worst)
    legend(figure)
    return figure, (
        "The loss at the end against the learning rate, losses beyond the first one drawn at it. "
        "A device that lags is a momentum; dotted, steps sqrt(damping / largest eigenvalue), "
        "below which an underdamped one is stable."
    )


def bill(results: Record) -> list[list[str]]:
    """What the devices of the best rate took, all updates together."""
    rows = [["", "device time", "work", "heat", "updates discarded"]]
    for name in results.attributes["columns"]:
        column = results[name]
        if "device_time" in column:
            rows.append(
                [name, f"{column['device_time']:.4g}", str(column["work"]), str(column["heat"]),
                 f"{column['discarded']:.3g}"]
            )  # fmt: skip
    return rows if len(rows) > 1 else []


def verdict(results: Record) -> str:
    """Who needed how much, in words."""
    counts = {x: results[x]["to_goal"] for x in results.attributes["columns"]}
    goal = results.attributes["goal"]
    reached = [name for name, count in counts.items() if not isinstance(count, str)]
    said = "; ".join(
        f"{name}: {counts[name]:,}" for name in sorted(reached, key=lambda x: counts[x])
    )
    missed = " and ".join(name for name in counts if name not in reached)
    if not reached:
        return f"No mean loss comes to {goal:g}."
    missed = f" {missed} did not reach it." if missed else ""
    return f"Products until the mean loss is {goal:g}, fewest first: {said}.{missed}"


class NaturalGradient(AbstractStudy):
    r"""Logistic regression through a layer of tanh units, with one budget for every optimizer.

    The curvature is F + decay, F the Gauss-Newton matrix of the mean cross entropy, which is the
    Fisher matrix. Adam has no use for it. "Cholesky" takes a product for every weight, and solves;
    conjugate gradients take as many products for an update as the device of the same steps, and
    begin as it does where they were. Rates are tuned on the same networks, as many for each.
    """

    question = "What does a natural gradient from a device gain, at equal numbers of products?"
    figures: ClassVar = {"loss": loss_figure, "rates": rates_figure}
    tables: ClassVar = {"The devices": bill}
    sentences: ClassVar = (verdict,)
    doubts: ClassVar = ()
    headline: ClassVar[dict[str, str]] = {
        "loss at the end": "loss_at_end",
        "its standard error": "loss_error",
        "products until the goal": "to_goal",
        "learning rate": "rate",
        "products of an update": "products_of_update",
        "updates": "updates",
    }

    def __init__(self, data: Table, network: Network, training: Training):
        for name in ("rates", "adam_rates"):
            if not getattr(training, name) or min(getattr(training, name)) <= 0:
                raise ValueError(f"training.{name}: expected positive learning rates")
        if not training.steps or min(training.steps) < 1:
            raise ValueError("training.steps: expected positive whole numbers")
        self.data, self.network, self.training = data, network, training
        devices = [f"device ({steps} steps)" for steps in training.steps]
        self.columns = (
            "Adam",
            "Cholesky",
            f"conjugate gradients ({training.steps[-1]} steps)",
            *devices,
            f"overdamped ({training.overdamped_steps} steps)",
        )
        if len(self.columns) > len(COLORS):
            raise ValueError("training.steps: expected two numbers of steps at most")

    def run(self, key, progress: Progress) -> Record:
        features, labels, _ = self.data.load()
        model = Model(jnp.asarray(features), jnp.asarray(labels), self.network.decay)
        start_key, device_key = jax.random.split(key)
        starts = [
            model.start(own, self.network.hidden)
            for own in jax.random.split(start_key, self.network.copies)
        ]
        results = Record()
        results.attributes["goal"] = self.training.goal
        optimizers = self.optimizers(device_key, ravel_pytree(starts[0])[0].size)
        with progress.phase("training", sum(len(o.rates) for o in optimizers), "rates") as shown:
            for name, optimizer in zip(self.columns, optimizers, strict=True):
                results[name] = self.column(model, starts, optimizer, shown)
        return results

    def optimizers(self, key, dim: int) -> list[Optimizer]:
        """One for each column."""
        settings = self.training
        device = functools.partial(
            tj.linalg.natural_gradient,
            key,
            damping=settings.damping,
            temperature=settings.temperature,
        )
        # A gradient, the steps and the first force, and one product for the largest eigenvalue.
        one = lambda steps, **how: Optimizer(device(steps=steps, **how), steps + 3, settings.rates)
        last = settings.steps[-1]
        return [
            Optimizer(optax.scale_by_adam(), 1, settings.adam_rates, False),
            Optimizer(solved_by(dense_solve(settings.damping)), dim + 1, settings.rates),
            Optimizer(solved_by(some_steps(settings.damping, last)), last + 2, settings.rates),
            *(one(steps) for steps in settings.steps),
            one(settings.overdamped_steps, dynamics="overdamped"),
        ]

    def column(self, model: Model, starts, optimizer: Optimizer, shown) -> Record:
        """Every rate on every network; of the best, the loss against products and the bill."""
        updates = max(1, self.training.products // optimizer.products)
        ends, runs = [], []
        for rate in optimizer.rates:
            found = [train(model, optimizer, updates, rate, start) for start in starts]
            runs.append((np.stack([losses for losses, _ in found]), [s for _, s in found]))
            ends.append(estimate(runs[-1][0][:, -1]))
            shown.advance(note=f"loss {float(ends[-1].value):.4g}")
        values = [float(end.value) for end in ends]
        best = int(np.nanargmin(values))
        losses, states = runs[best]
        curve = np.mean(losses, axis=0)
        products = optimizer.products * np.arange(len(curve))
        record = Record()
        record.put("loss", ends[best], "1")
        # Apart: six columns of values with their errors are wider than the page.
        record.put("loss_at_end", float(f"{float(ends[best].value):.4g}"), "1")
        record.put("loss_error", float(f"{float(ends[best].error):.2g}"), "1")
        reached = np.flatnonzero(curve <= self.training.goal)
        record.put(
            "to_goal", int(products[reached[0]]) if len(reached) else "not reached", "products"
        )
        record.put("rate", optimizer.rates[best], "1")
        record.put("products_of_update", optimizer.products, "products")
        record.put("updates", updates, "updates")
        record.put("products", products, "products", ("update",))
        record.put("curve", curve, "1", ("update",))
        record.put("rates", np.asarray(optimizer.rates), "1", ("rate",))
        errors = [float(end.error) for end in ends]
        by_rate = tj.Estimate(
            np.asarray(values), np.asarray(errors), np.full(len(ends), len(starts))
        )
        record.put("by_rate", by_rate, "1", ("rate",))
        if isinstance(states[0], tj.linalg.NaturalGradientState):
            self.put_bill(record, states)
        return record

    def put_bill(self, record: Record, states) -> None:
        ledgers = [state.chain.ledger for state in states]
        record.put("work", estimate(np.concatenate([x.work for x in ledgers])), "loss")
        record.put("heat", estimate(np.concatenate([x.heat for x in ledgers])), "loss")
        record.put("device_time", float(np.mean([s.chain.time for s in states])), "time")
        record.put("discarded", float(np.mean([s.discarded for s in states])), "updates")
        if states[0].chain.dynamics == "underdamped":
            largest = np.mean([float(state.largest) for state in states]) + self.training.damping
            steps = record["products_of_update"] - 3
            record.put("rate_limit", steps * np.sqrt(self.training.damping / largest), "1")


class Model(NamedTuple):
    """The loss of a network on data, whose features hold a column of ones."""

    features: Any
    labels: Any
    decay: float

    def start(self, key, hidden: int):
        """Random weights, `(dim, hidden)` and `(hidden + 1,)`, of variance 1 / inputs."""
        dim = self.features.shape[1]
        inner = jax.random.normal(key, (dim, hidden), self.features.dtype) / jnp.sqrt(dim)
        outer = jax.random.normal(jax.random.fold_in(key, 0), (hidden + 1,), self.features.dtype)
        return inner, outer / jnp.sqrt(hidden)

    def logits(self, weights):
        inner, outer = weights
        return jnp.tanh(self.features @ inner) @ outer[:-1] + outer[-1]

    def cross_entropy(self, logits):
        return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, self.labels))

    def loss(self, weights):
        squares = sum(jnp.sum(w**2) for w in weights)
        return self.cross_entropy(self.logits(weights)) + 0.5 * self.decay * squares

    def curvature(self, weights) -> Callable:
        fisher = tj.linalg.gauss_newton(self.logits, self.cross_entropy, weights)
        return lambda v: jax.tree.map(lambda f, x: f + self.decay * x, fisher(v), v)


def train(model: Model, optimizer: Optimizer, updates: int, rate: float, start):
    """The loss before each update and after the last, `(updates + 1,)`; the state at the end."""
    return trained(
        optimizer.transformation, optimizer.curvature, updates, model, jnp.asarray(rate), start
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def trained(transformation, curved: bool, updates: int, model: Model, rate, start):
    def step(carry, _):
        weights, state = carry
        loss, gradient = jax.value_and_grad(model.loss)(weights)
        more = {"curvature": model.curvature(weights)} if curved else {}
        direction, state = transformation.update(gradient, state, weights, **more)
        weights = jax.tree.map(lambda w, d: w - rate * d, weights, direction)
        return (weights, state), loss

    begin = start, transformation.init(start)
    (weights, state), losses = jax.lax.scan(step, begin, length=updates)
    return jnp.append(losses, model.loss(weights)), state


def solved_by(solve: Callable) -> optax.GradientTransformationExtraArgs:
    """The natural gradient by `solve(product, gradient, before)`, on vectors; it keeps the last."""

    def init(params):
        return jnp.zeros_like(ravel_pytree(params)[0])

    def update(updates: Any, state: Any, params: Any = None, *, curvature: Any = None, **_: Any):
        del params
        gradient, unravel = ravel_pytree(updates)
        x = solve(lambda v: ravel_pytree(curvature(unravel(v)))[0], gradient, state)
        return unravel(x), x

    return optax.GradientTransformationExtraArgs(init, update)


def dense_solve(damping: float) -> Callable:
    """The matrix by a product for each of its columns, and Cholesky's factors."""

    def solve(product, gradient, before):
        del before
        matrix = jax.vmap(product)(jnp.eye(gradient.size, dtype=gradient.dtype))
        matrix = 0.5 * (matrix + matrix.T) + damping * jnp.eye(gradient.size, dtype=matrix.dtype)
        return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(matrix), gradient)

    return solve


def some_steps(damping: float, steps: int) -> Callable:
    """A fixed number of conjugate gradients, from the last solution on."""

    def solve(product, gradient, before):
        damped = lambda v: product(v) + damping * v
        return jax.scipy.sparse.linalg.cg(damped, gradient, before, tol=0, maxiter=steps)[0]

    return solve


def estimate(values) -> tj.Estimate:
    """Mean and standard error over networks."""
    values = jnp.asarray(values, float)
    return weighted_mean(values, jnp.ones_like(values))

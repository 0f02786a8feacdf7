"""The training of machines: both rules, what ends it, and what is refused."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from scipy import optimize

import thermojax as tj
from tests.generate.machines import DT, IMAGES, KEY, noising
from thermojax.generate.fit import default_rate
from thermojax.generate.noising import check_fits

PLAIN = tj.generate.Computer(2, 2, temperature=0.5, visible_couplings=True)


def trained(rule: str, cycles: int = 1, **options) -> tj.generate.ComputerFit:
    return tj.generate.fit(
        PLAIN, noising(), KEY, rule=rule, cycles=cycles, batch=8, dt=DT, **options
    )


def flat(computer: tj.generate.Computer) -> np.ndarray:
    return np.asarray(ravel_pytree(computer.couplings)[0])


def test_both_rules_agree_to_first_order_in_the_rate():
    """One and the same path: the difference of what they learn falls as the square of the rate."""
    apart = []
    for rate in (0.04, 0.02):
        batch, online = (flat(trained(rule, learning_rate=rate).computer) for rule in RULES)
        apart.append(np.linalg.norm(batch - online))
        assert apart[-1] < 0.3 * np.linalg.norm(batch)
    orders = np.log2(np.array(apart[:-1]) / apart[1:])
    np.testing.assert_allclose(orders, 2, atol=0.15)


RULES = ("batch", "online")


@pytest.mark.parametrize("rule", RULES)
def test_one_update_is_that_of_the_gradient(rule):
    """At a rate so small that the couplings stand still the loss is that of the start."""
    fit = trained(rule, learning_rate=1e-7)
    moved = -flat(fit.computer) / 1e-7
    seen = tj.generate.fit(
        PLAIN, noising(), KEY, cycles=1, batch=8, dt=DT, optimizer=SGD
    )  # the same path
    np.testing.assert_allclose(moved, -flat(seen.computer), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fit.history["loss"], seen.history["loss"], rtol=1e-5)
    assert fit.stopped == "all 1 cycles done"


SGD = optax.sgd(1.0)


def test_training_lowers_the_loss_on_fresh_paths():
    fit = trained("batch", 30, learning_rate=0.05)
    assert fit.history["loss"].shape == fit.history["error"].shape == (30,)
    before, after = (
        np.asarray(tj.generate.path_log_ratios(c, noising(), jax.random.key(9), batch=2000, dt=DT))
        for c in (PLAIN, fit.computer)
    )
    gained = before - after  # of the same paths
    assert gained.mean() > 4.5 * gained.std() / np.sqrt(len(gained))


def test_a_rate_that_is_too_high_ends_training_and_the_best_is_kept():
    seen = [flat(PLAIN)]  # before each cycle
    look = lambda progress: seen.append(flat(progress.computer))
    fit = trained("batch", 60, learning_rate=40.0, callback=look)
    assert "rose from" in fit.stopped and "take a lower learning_rate" in fit.stopped
    assert 0 < len(fit.history["loss"]) < 60
    best = int(np.argmin(fit.history["loss"]))
    np.testing.assert_array_equal(flat(fit.computer), seen[best])
    assert not np.array_equal(seen[best], seen[-1])
    fit = trained("online", 60, learning_rate=1e3)
    assert "at cycle 1; the best before is kept" in fit.stopped.replace("by cycle", "at cycle")
    np.testing.assert_array_equal(flat(fit.computer), 0)


def test_a_callback_looks_on_and_ends_training():
    seen = []

    def look(progress: tj.generate.ComputerProgress):
        seen.append((progress.cycle, float(progress.loss.value), flat(progress.computer)))
        return progress.cycle == 3

    fit = trained("batch", 60, learning_rate=0.05, callback=look)
    assert fit.stopped == "the callback ended training at cycle 3"
    assert [cycle for cycle, *_ in seen] == [1, 2, 3]
    np.testing.assert_array_equal([loss for _, loss, _ in seen], fit.history["loss"])
    np.testing.assert_array_equal(seen[-1][2], flat(fit.computer))


def test_a_training_that_was_killed_goes_on_to_the_same_end(tmp_path):
    whole = trained("online", 6)
    place = lambda: tj.Checkpoint(tmp_path / "training", interval=0)

    def killed(progress):
        if progress.cycle == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained("online", 6, callback=killed, checkpoint=place())
    again = trained("online", 6, checkpoint=place())
    np.testing.assert_array_equal(flat(again.computer), flat(whole.computer))
    np.testing.assert_array_equal(again.history["loss"], whole.history["loss"])
    with pytest.raises(tj.CheckpointError, match="checkpoint is of a training with another"):
        trained("online", 6, learning_rate=0.3, checkpoint=place())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(rule="both"), "rule = 'both': expected 'batch' or 'online'"),
        (dict(cycles=0), "cycles = 0: expected a positive whole number"),
        (dict(learning_rate=-1.0), "learning_rate = -1.0: expected a positive number"),
        (dict(optimizer=SGD, rule="online"), "optimizer and rule = 'online' were both given"),
        (dict(optimizer=SGD, learning_rate=0.1), "optimizer and learning_rate were both given"),
        (dict(dt=1.0), "dt"),
        (dict(noising=tj.generate.Noising(IMAGES, 3, KEY)), "has 2 hidden units and the noising"),
        (dict(noising=tj.generate.Noising(np.eye(3), 2, KEY)), "has 2 visible units and the nois"),
        (dict(noising=IMAGES), "noising is a ndarray: expected a tj.generate.Noising"),
    ],
)
def test_refused_trainings(change, words):
    given = dict(computer=PLAIN, noising=noising(), key=KEY, cycles=1, dt=DT)
    with pytest.raises(ValueError, match=words):
        tj.generate.fit(**(given | change))


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([[1.0, np.nan], [0.0, 1.0]], "images = .*: expected finite numbers"),
        ([[1.0, 0.0], [2.0, 2.0]], r"images\[1\] is constant and cannot be normalized"),
        ([1.0, 2.0], r"images have shape \(2,\): expected \(count, \.\.\.\)"),
    ],
)
def test_refused_images(images, words):
    with pytest.raises(ValueError, match=words):
        tj.generate.Noising(images, 2, KEY)


def test_images_of_any_shape_are_normalized():
    """Each to mean 0 and variance 1; hidden units are pulled by a fixed projection of them."""
    random = np.random.default_rng(0)
    images = random.uniform(size=(3, 4, 5))
    made = tj.generate.Noising(images, 400, KEY)
    seen, latent = np.asarray(made.fields[:, :20]), np.asarray(made.fields[:, 20:])
    flat_images = images.reshape(3, 20)
    exact = (flat_images - flat_images.mean(1)[:, None]) / flat_images.std(1)[:, None]
    np.testing.assert_allclose(seen, exact, rtol=1e-12)
    # P has variance 1 / 20: squares of P^T s have the mean 1, to sqrt(2 / 400).
    np.testing.assert_allclose(np.mean(latent**2, axis=1), 1, atol=4.5 * np.sqrt(2 / 400))
    projection = np.linalg.lstsq(seen, latent, rcond=None)[0]
    np.testing.assert_allclose(seen @ projection, latent, atol=1e-10)
    as_they_are = tj.generate.Noising(images, 2, KEY, normalize=False)
    np.testing.assert_array_equal(as_they_are.fields[:, :20], flat_images)
    strength = [float(made.protocol(jnp.array(t))) for t in (0.0, 0.9375, 1.875, 2.5)]
    np.testing.assert_allclose(strength, [2, 1, 0, 0], atol=1e-12)


def held_at(force: float) -> float:
    """Where a force holds a unit, 2 x + 4 x^3 = f."""
    found: Any = optimize.brentq(lambda x: 2 * x + 4 * x**3 - force, 0, 3)
    return found


def test_steps_too_coarse_for_the_curvature_are_refused():
    """Judged at the place where a typical force holds a unit, V'' = 2 + 12 x^2."""
    strong = tj.generate.Noising(np.array([[1.0, -1.0]]), 1, KEY, normalize=False)
    machine = tj.generate.Computer(2, 1)
    force = float(2 * jnp.sqrt(jnp.mean(strong.fields**2)))
    x = held_at(force)
    assert check_fits(machine, strong, 0.125) == 20
    with pytest.raises(ValueError, match=rf"is {0.25 * (2 + 12 * x**2):.2g}; take a dt"):
        strong.paths(machine, KEY, batch=2, dt=0.25)


def test_the_rate_by_default():
    """1 / steps, but where units that images hold would make descent unstable."""
    strong = tj.generate.Noising(np.tile([1.0, -1.0], (1, 50)), 1, KEY)
    force = 2 * np.abs(np.asarray(strong.fields[0]))
    x = [held_at(f) for f in force]
    stable = 2 * 0.1 / (2.5 * np.sum(np.square(x)))
    machine = tj.generate.Computer(100, 1)
    assert stable < 1 / 25
    assert float(default_rate(machine, strong, 25)) == pytest.approx(stable, rel=1e-6)
    assert float(default_rate(machine, strong, 2500)) == pytest.approx(1 / 2500)

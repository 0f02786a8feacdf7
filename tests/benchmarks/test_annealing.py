"""The annealing benchmark at tiny size: its plain loss is right, and its tables come from rows."""

import functools
import json
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj
from benchmarks import annealing
from benchmarks.annealing import DENSE, FLOORS, NAMES, PUBLISHED, OtherWork, Record
from benchmarks.annealing_modes import occupied
from benchmarks.annealing_peers import gradients
from benchmarks.annealing_training import Clock, Plan, trained
from experiments.annealing_targets import TARGETS


def small_annealer():
    """Three steps to a Gaussian off the base, with a drive that pushes and turns."""
    target = tj.Gaussian(jnp.array([0.5, -0.3]), jnp.array([[0.8, 0.3], [0.3, 0.6]]))
    base = tj.anneal.DiagonalBase(jnp.array([0.1, 0.2]), jnp.array([1.2, 0.7]))
    dt = jnp.array([0.3, 0.4, 0.5])
    drive = tj.anneal.LinearDrive(2, 2)
    made = tj.anneal.Annealer(base, target, steps=3, dt=dt, rate=0.7, mass=1.3, drive=drive)
    numbers = lambda a: (a.drive.matrix, a.drive.shift, a.schedule.logits)
    shapes = [leaf.shape for leaf in numbers(made)]
    keys = jax.random.split(jax.random.key(5), 3)
    drawn = [0.3 * jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]
    return eqx.tree_at(numbers, made, drawn)


@pytest.mark.slow
def test_the_plain_loss_and_its_gradient_are_those_of_the_annealer():
    """The means of 64 batches of 256 paths, of each leaf along one direction, to 4.5 errors."""
    params, own, plain = gradients(small_annealer(), 256)
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    along = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]

    def measured(function, seed):
        """`(64, 1 + leaves)`: the loss, and its slopes along the directions."""
        of_all = jax.jit(jax.vmap(lambda key: function(params, key)))
        loss, found = of_all(jax.random.split(jax.random.key(seed), 64))
        assert jax.tree.structure(found) == structure
        parts = zip(jax.tree.leaves(found), along, strict=True)
        return np.stack([loss, *(np.tensordot(x, d, d.ndim) for x, d in parts)], axis=1)

    first, second = measured(own, 3), measured(plain, 4)
    error = np.hypot(first.std(0, ddof=1), second.std(0, ddof=1)) / 64**0.5
    assert np.all(abs(first.mean(0) - second.mean(0)) < 4.5 * error)
    assert error[0] < 0.02
    # Nothing was compared with its own absence: most leaves have a slope that is seen.
    assert np.sum(abs(second.mean(0)) > 4.5 * error) > len(leaves) / 2


def test_every_row_has_a_target_a_floor_and_a_published_bound():
    assert set(FLOORS) == set(PUBLISHED) == {(name, k) for name in NAMES for k in (8, 32)}
    found = annealing.plans(
        NAMES, [8, 32], ("none", "linear", "network", "two-sided"), ("diagonal", "dense")
    )
    assert len({plan.name for plan in found}) == len(found) == 2 * (len(FLOORS) + len(DENSE))
    for plan in found:
        assert plan.target in TARGETS
        # A bound is one: below what is known of ln Z.
        true = TARGETS[plan.target]().log_z
        assert max(FLOORS[plan.target, plan.steps], PUBLISHED[plan.target, plan.steps]) < true


def test_modes_are_counted_where_draws_are():
    """Exact draws of forty equal modes, and of wells that are deep enough never to be between."""
    for name, count in (("forty_modes", 40), ("many_wells", 32), ("five_wells", 10)):
        target = TARGETS[name]()
        assert target.sample is not None
        inside = np.asarray(occupied(target, target.sample(jax.random.key(0), 4000)))
        assert inside.shape == (4000, count) and set(np.unique(inside)) == {0, 1}
        share = inside.mean(0)
        if name == "forty_modes":
            assert np.all(abs(share - 1 / 40) < 4.5 * (1 / 40 / 4000) ** 0.5)
        else:  # the two wells of a coordinate
            np.testing.assert_allclose(share[: count // 2] + share[count // 2 :], 1)


def test_a_pace_leaves_the_first_steps_out():
    clock = Clock(0.0, [9.0 + 0.5 * i + (5.0 if i > 24 else 0.0) for i in range(60)])
    assert clock.pace() == pytest.approx(0.5)


def test_other_work_is_what_this_process_and_its_own_did_not_do(monkeypatch):
    """Three seconds of processors in four seconds, one of them this process's."""
    for name, values in (("_busy", (10.0, 13.0)), ("_own", (1.0, 2.0))):
        monkeypatch.setattr(OtherWork, name, staticmethod(functools.partial(next, iter(values))))
    monkeypatch.setattr(time, "time", functools.partial(next, iter((100.0, 104.0))))
    with OtherWork() as other:
        pass
    assert other.cores == 0.5


def test_a_record_replaces_rows_by_name_and_refuses_those_of_another_machine(tmp_path):
    file, facts = tmp_path / "rows.json", {"date": "1", "cpu": "this", "blackjax": "missing"}
    first = Record(file, facts)
    first.put("c", "one", {"K": 1})
    second = Record(file, facts | {"date": "2", "blackjax": "1.7.1"})
    second.put("c", "one", {"K": 2})
    assert json.loads(file.read_text())["rows"]["c"] == {"one": {"K": 2}}
    assert Record(file, facts).facts["blackjax"] == "1.7.1"
    with pytest.raises(ValueError, match="another cpu"):
        Record(file, facts | {"cpu": "that"})


def row(seed: int, elbo: float, **changes) -> dict:
    found = dict(elbo=[elbo, 0.1], log_z=[elbo + 1, 0.1], seconds=50.0, asked="60", cores=1)
    plan = vars(Plan("sonar", 8, seed=seed, training=100))
    return {
        **plan,
        **found,
        "CPU seconds": 9.0,
        "other work": 0.0,
        "cores": 1,
        "estimates": [],
        **changes,
    }


def test_trainings_of_several_seeds_are_one_row_with_the_error_of_their_mean(tmp_path):
    record = Record(tmp_path / "rows.json", {})
    for seed, elbo in enumerate((-110.0, -112.0, -114.0, -120.0)):
        record.put("a", str(seed), row(seed, elbo))
    record.put("a", "another", row(0, -120.0, drive="none"))
    without, line = annealing.bound_rows(record)
    assert without["ELBO"] == "-120.000 ± 0.100" and without[">= floor"] == "MISSED"
    # The variance of the four is 56 / 3, and -114 is above the floor but not what was published.
    assert line["ELBO"] == f"-114.000 ± {(56 / 3 / 4) ** 0.5:.3f}" and line["seeds"] == 4
    assert (line[">= floor"], line[">= published"]) == ("met", "MISSED")
    assert line["|error|"] == f"{abs(-113 + 108.382):.3f}"


@pytest.mark.slow
def test_a_report_is_written_with_all_that_was_measured(tmp_path, monkeypatch):
    """Trained here and not in other processes, which would compile all of it again."""
    here = lambda plan, timed=False, core=None: trained(plan, time.time(), timed)
    monkeypatch.setattr(annealing, "in_a_process", here)
    monkeypatch.setattr("benchmarks.annealing_training.in_a_process", here)
    monkeypatch.setattr("benchmarks.annealing_training.PILOT", 4)
    page = tmp_path / "report.md"
    files = ["--json", str(tmp_path / "rows.json"), "--report", str(page)]
    sizes = "--targets funnel --steps 2 --drives none --bases diagonal --paths 16 --length 3"
    words = ["--only", "a", "b", "c", "--methods", "ours", "--repeats", "2", "--rounds", "1"]
    words += ["--raced", "2", "--batch", "4"]
    annealing.main([*words, *sizes.split(), *files])
    text = page.read_text()
    for part in ("## (a)", "## (b)", "## (c)", "funnel", "ours, K = 8, diagonal base"):
        assert part in text
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert len(rows["a"]) == 2 and len(rows["c"]) == 1 and not rows["b"]
    assert all(np.isfinite(found["elbo"]).all() for found in rows["a"].values())

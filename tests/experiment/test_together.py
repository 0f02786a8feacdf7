"""Computations that share programs give what each would give alone, and fail alone."""

import signal
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax.experiment.run.together as module
from tests import resuming
from thermojax._calls import Call, alone
from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.results.store import Record, is_estimate
from thermojax.experiment.run.together import at_once, signature, together

ROOT = Path(__file__).resolve().parents[2]


@eqx.filter_jit
def power(x, key, degree):
    return x**degree + jax.random.normal(key, (3,))


def refused(x):
    raise ValueError("nobody computes this")


def computation(x, key, degree=2, turns=2):
    x = jnp.full(3, x)
    for turn in range(turns):
        x = yield Call(power, (x, jax.random.fold_in(key, turn), degree), own=first)
    if not np.all(np.isfinite(x)):
        raise ValueError("diverged")
    return x


def first(arguments):
    return arguments[0]


def test_equal_calls_are_one_program(monkeypatch):
    key = jax.random.key(0)
    starts = [0.5, 1.5, jnp.nan, 0.7, 0.9]
    make = lambda: [
        computation(x, key, 3 if i == 4 else 2, turns=3 if i == 3 else 2)
        for i, x in enumerate(starts)
    ]
    expected: list[Any] = [alone(one) if i != 2 else None for i, one in enumerate(make())]
    sizes, joint = [], module.joint
    monkeypatch.setattr(
        module, "joint", lambda f, common, own: sizes.append(len(own)) or joint(f, common, own)
    )
    found: list[Any] = together(make())
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if i != 2:
            np.testing.assert_allclose(a, b, rtol=1e-6)
    assert isinstance(found[2], ValueError) and str(found[2]) == "diverged"
    # Twice the four of one degree; then one of them is left over, and one was never like them.
    assert sizes == [4, 4]
    # Other keys: noise of its own for each.
    keys = [jax.random.key(i) for i in range(3)]
    alone_ = [alone(computation(1.0, k)) for k in keys]
    joined: list[Any] = together([computation(1.0, k) for k in keys])
    for a, b in zip(joined, alone_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_what_is_the_same_for_all_is_computed_once():
    key = jax.random.key(0)
    call = Call(power, (jnp.ones(3), key, 2))
    first, second = at_once([call, Call(power, (jnp.ones(3), jax.random.key(0), 2))])
    assert first is second


def test_errors_go_to_those_who_asked():
    """A program that nobody can compute together is tried for each, and only those fail."""

    def asking(x):
        try:
            return (yield Call(refused, (jnp.full(2, x),)))
        except ValueError as error:
            return f"refused: {error}"

    assert alone(asking(1.0)) == "refused: nobody computes this"
    key = jax.random.key(0)
    found: list[Any] = together([asking(1.0), asking(2.0), computation(1.0, key)])
    assert found[0] == found[1] == "refused: nobody computes this"
    np.testing.assert_allclose(found[2], alone(computation(1.0, key)))


def stop(*arguments):
    raise KeyboardInterrupt


def test_ctrl_c_reaches_all():
    closed = []

    def asking(function):
        try:
            yield Call(function, (jnp.ones(3), jax.random.key(0), 2))
            yield Call(stop, ())
        finally:
            closed.append(function)

    found = together([asking(power), asking(power), asking(power)])
    assert all(isinstance(one, KeyboardInterrupt) for one in found) and len(closed) == 3


def test_signatures():
    assert signature({"a": jnp.ones(2), "b": 1}) == signature({"a": jnp.zeros(2), "b": 1})
    for other in ({"a": jnp.zeros(3), "b": 1}, {"a": jnp.zeros(2), "b": 2}, {"a": jnp.zeros(2)}):
        assert signature(other) != signature({"a": jnp.ones(2), "b": 1})
    assert signature([1]) != signature([True])


def same(a: Record, b: Record, tolerance: float):
    """Equal in form, and in every number to a relative tolerance of the largest."""
    assert list(a) == list(b) and a.units == b.units and a.axes == b.axes
    for name, one in a.items():
        if name in ("config", "versions"):
            continue
        if isinstance(one, Record):
            same(one, b[name], tolerance)
            continue
        values = [(x.value, x.error) if is_estimate(x) else (x,) for x in (one, b[name])]
        for u, v in zip(*values, strict=True):
            if np.asarray(u).dtype.kind in "OU":
                assert u == v
            else:
                np.testing.assert_allclose(u, v, rtol=tolerance, atol=tolerance, err_msg=name)


def small(folder: Path, **training) -> str:
    """A config of few paths and few steps."""
    (folder / "small.yaml").write_text(
        f"defaults: {ROOT}/configs/dragged_trap.yaml\nprecision: float64\ndt: 0.05\n"
        "protocol: {knots: 3}\nevaluation: {batch: 64, chunk: 32}\n"
        f"training: {training or 'null'}\n"
    )
    return str(folder / "small.yaml")


def test_a_sweep_in_one_program(tmp_path, monkeypatch, capsys):
    """One point is refused, by a process of its own; the others are what single runs are."""
    monkeypatch.chdir(tmp_path)
    words = ["sweep", small(tmp_path), "seed=1", "--out", "o", "potential.stiffness=1,2"]
    assert main([*words[:-1], "potential.stiffness=1,2,-1"]) == 2
    out, err = capsys.readouterr()
    assert "2 points as one program" in err and "Traceback" not in out + err
    assert "1 of 3 points failed" in err and "potential.stiffness = -1" in err
    folders = [x for x in sorted((tmp_path / "o").iterdir()) if (x / "results.h5").exists()]
    assert len(folders) == 2 and not any((x / ".checkpoint").exists() for x in folders)
    assert all((x / "report.html").exists() for x in folders)
    assert len({float(load(x)["linear"]["work"].value) for x in folders}) == 2
    one = folders[-1]
    assert one.name == "seed-1,potential.stiffness-2"
    assert main(["run", words[1], "seed=1", "potential.stiffness=2", "--out", "alone"]) == 0
    runs = load(one), load("alone")
    # Compiled without optimizations, float32 noise rounds differently in one batch of both.
    same(*runs, 1e-6 if jax.config.values["jax_disable_most_optimizations"] else 1e-9)
    assert [run.attributes.pop("computed_together") for run in runs] == [2, 1]
    assert list(runs[0].attributes) == list(runs[1].attributes)
    # Again: only what is missing.
    assert main(words) == 0
    assert "2 of 2 points are there already" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_sweep_in_one_program_continues(tmp_path):
    """Killed and stopped in the middle of training, it ends in the numbers of single runs."""
    config = small(tmp_path, steps=400, batch=16)
    words = ["sweep", config, "potential.stiffness=1,2", "--out", "o"]
    begun = lambda: sorted((tmp_path / "o").glob("*/.checkpoint/01-training.ckpt"))
    for sent, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        old = {file: file.stat().st_mtime_ns for file in begun()}
        process = resuming.start(tmp_path, *words)
        new = lambda old=old: [f for f in begun() if f.stat().st_mtime_ns != old.get(f)]
        while process.poll() is None and len(new()) < 2:
            time.sleep(0.02)
        process.send_signal(sent)
        _, err = process.communicate(timeout=180)
        assert process.returncode == code, err
    assert err.endswith("interrupted; the same command again continues the sweep\n")
    process = resuming.start(tmp_path, *words)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "2 points as one program" in err
    alone_ = str(tmp_path / "alone")
    assert main(["run", config, "potential.stiffness=2", "--out", alone_]) == 0
    same(load(tmp_path / "o" / "potential.stiffness-2"), load(alone_), 1e-6)

"""A checkpoint gives back what was put in, or says in words why it cannot."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from thermojax.checkpoint import FORMAT

STATE = {
    "values": jnp.arange(3.0),
    "half": jnp.ones((2, 2), jnp.bfloat16),
    "key": jax.random.key(3),
    "optimizer": optax.adam(0.1).init(jnp.ones(2)),
    "numpy": np.arange(4),
    "step": 3,
    "loss": float("nan"),
    "done": False,
    "text": "ü",
    "nothing": None,
    "function": jnp.sin,
}


@pytest.fixture
def kept(tmp_path):
    """A checkpoint that holds `STATE`."""
    checkpoint = tj.Checkpoint(tmp_path / "x.ckpt", interval=0)
    checkpoint.save(STATE)
    return checkpoint


def test_round_trip(kept):
    back = kept.load(STATE)
    assert jax.tree.structure(back) == jax.tree.structure(STATE)
    for name, (there, here) in {n: (STATE[n], back[n]) for n in STATE}.items():
        for a, b in zip(jax.tree.leaves(there), jax.tree.leaves(here), strict=True):
            assert type(a) is type(b), name
            if name == "key":
                a, b = jax.random.key_data(a), jax.random.key_data(b)
            if name not in ("text", "function"):
                np.testing.assert_array_equal(np.asarray(a, float), np.asarray(b, float), name)
    assert back["text"] == "ü" and back["function"] is jnp.sin and back["half"].dtype == "bfloat16"
    assert [file.name for file in kept.file.parent.iterdir()] == ["x.ckpt"]


def test_without_a_model_of_the_state(kept):
    back = kept.load()
    assert back["step"] == 3 and list(back["values"]) == [0, 1, 2]


def test_nothing_saved(tmp_path):
    assert tj.Checkpoint(tmp_path / "x.ckpt").load(STATE) is None


def test_saves_when_it_is_time(tmp_path):
    checkpoint = tj.Checkpoint(tmp_path / "x.ckpt", interval=1000.0)
    checkpoint.save({"step": 1})
    assert not checkpoint.file.exists()
    checkpoint.save({"step": 2}, last=True)
    assert checkpoint.load({"step": 0}) == {"step": 2}


def test_truncated_and_damaged_files_are_refused(kept):
    """Every length, and a bit anywhere: never a wrong state, never a long search."""
    content = kept.file.read_bytes()
    for length in range(0, len(content), 61):
        kept.file.write_bytes(content[:length])
        with pytest.raises(tj.CheckpointError, match="truncated or damaged"):
            kept.load(STATE)
    for place in range(len(FORMAT), len(content), 37):
        damaged = bytearray(content)
        damaged[place] ^= 16
        kept.file.write_bytes(damaged)
        with pytest.raises(tj.CheckpointError):
            kept.load(STATE)


def test_foreign_files_are_refused(kept):
    with pytest.raises(tj.CheckpointError, match="of another run: config is 'b' here and was ''"):
        tj.Checkpoint(kept.file, facts={"config": "b"}).load(STATE)
    assert tj.Checkpoint(kept.file, facts={"config": "b"}, anyway=True).load(STATE) is not None
    with pytest.raises(tj.CheckpointError, match=r"values is '\w+ \(4,\)' here and was"):
        kept.load({**STATE, "values": jnp.zeros(4)})
    kept.file.write_text("something else")
    with pytest.raises(tj.CheckpointError, match="is no checkpoint"):
        kept.load(STATE)


class Killed(Exception):
    pass


def trained(steps, checkpoint=None, stop=None, key=1, end=1.0):
    def callback(seen):
        seen_steps.append(seen.step)
        if seen.step == stop:
            raise Killed

    seen_steps: list[int] = []
    protocol = tj.PiecewiseLinear.between(0.0, end, duration=1.0, knots=3)
    fit = tj.optimize(
        tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath()),
        tj.MeanWork(),
        optax.adam(0.1),
        jax.random.key(key),
        time_steps=8,
        batch=16,
        steps=steps,
        initial=tj.Equilibrium(jnp.zeros(1)),
        callback=callback,
        checkpoint=checkpoint,
    )
    return fit, seen_steps


def test_training_goes_on_bit_for_bit(tmp_path):
    whole, _ = trained(9)
    checkpoint = tj.Checkpoint(tmp_path / "fit.ckpt", interval=0)
    for stop in (4, 7):
        with pytest.raises(Killed):
            trained(9, checkpoint, stop)
    again, steps = trained(9, checkpoint)
    assert steps == [7, 8, 9]
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (whole.chosen, whole.stopped) == (again.chosen, again.stopped)
    done, steps = trained(9, checkpoint)  # nothing is left to do
    assert steps == [] and float(done.value.value) == float(whole.value.value)


def test_another_training_is_refused(tmp_path):
    checkpoint = tj.Checkpoint(tmp_path / "fit.ckpt", interval=0)
    trained(3, checkpoint)
    with pytest.raises(ValueError, match="another key"):
        trained(3, checkpoint, key=2)
    with pytest.raises(ValueError, match="another system"):
        trained(3, checkpoint, end=2.0)
    with pytest.raises(ValueError, match="record is"):
        trained(4, checkpoint)

"""The script for a GPU runs on a CPU, and its unrolled kernel is the same motion."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import exact, gpu
from benchmarks.cases import stiffness_ramp
from benchmarks.unrolled import both_normals, unrolled
from thermojax.dynamics.random import normal


def test_both_normals_are_those_of_the_two_steps():
    words, index = (jnp.uint32(3), jnp.uint32(5)), jnp.arange(1000, dtype=jnp.uint32)
    for half, drawn in enumerate(both_normals(words, index, jnp.uint32(9))):
        expected = normal(words, index, jnp.uint32(18 + half))
        np.testing.assert_allclose(drawn, expected, rtol=1e-6, atol=1e-7)


def test_any_unrolling_is_the_same_motion_and_its_mean_work_is_exact():
    case = stiffness_ramp(batch=4096, dim=2, steps=60)
    _, state, key = case.inputs(jax.random.key(2))
    found = [jax.jit(unrolled(case, unroll))(state, key) for unroll in (2, 6)]
    for few, many in zip(*found, strict=True):
        np.testing.assert_allclose(few, many, rtol=1e-4, atol=1e-5)
    work = np.asarray(found[0][2], float)
    assert abs(work.mean() - exact.of_case(case)) < 4 * work.std() / case.batch**0.5
    for unroll in (3, 8):
        with pytest.raises(ValueError, match="an even number that divides"):
            unrolled(case, unroll)


def test_the_script_runs(tmp_path, capsys):
    file = tmp_path / "gpu.json"
    gpu.main(["--quick", "--rounds", "1", "--unroll", "2", "--json", str(file)])
    record = json.loads(file.read_text())
    programs = [row["program"] for row in record["forward"]]
    assert programs == ["engine", "unrolled 2"]
    numbers = [record["copy"], *(row["normals/s summed"] for row in record["normals"])]
    numbers += [row["of bandwidth"] for row in record["forward"]]
    numbers += [row["MiB"] for row in record["gradient"]]
    assert all(number > 0 for number in numbers)
    assert "jax.random.normal" in capsys.readouterr().out

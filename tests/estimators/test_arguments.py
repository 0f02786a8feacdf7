"""What no estimator can take is refused in one sentence with the argument's name."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thermojax as tj

KEY = jax.random.key(0)
CHAINS: Any = np.random.default_rng(0).standard_normal((20, 2))
WORKS: Any = np.random.default_rng(1).normal(1.0, 1.0, 100)
SYSTEM = tj.Overdamped(tj.Harmonic(1.0, jnp.zeros(1)), tj.Constant(0.0, 0.2), tj.Bath())
NO: Any = "no"
COUNT: Any = np.int64(3)
STREAM = tj.diagnostics.Streaming.start(jnp.zeros(2))

WRONG = {
    "None": None,
    "text": "work",
    "object": object(),
    "dictionary": {"work": 1.0},
    "class": tj.Harmonic,
    "complex": 1j * np.ones((20, 2)),
    "key": KEY,
    "ragged": [[1.0, 2.0], [3.0]],
    "texts": ["a", "b"],
    "objects": np.array([None, 1.0], object),
}

CALLS = {
    "values": (
        tj.diagnostics.autocorrelation,
        tj.diagnostics.autocorrelation_time,
        tj.diagnostics.effective_sample_size,
        tj.diagnostics.r_hat,
        tj.diagnostics.ergodicity,
        lambda x: STREAM.update(x),
    ),
    "template": (tj.diagnostics.Streaming.start,),
    "lags": (lambda x: tj.diagnostics.autocorrelation(CHAINS, NO if x is None else x),),
    "window": (
        lambda x: tj.diagnostics.autocorrelation_time(CHAINS, x),
        lambda x: tj.diagnostics.effective_sample_size(CHAINS, x),
        lambda x: tj.diagnostics.ergodicity(CHAINS, window=x),
    ),
    "rank_normalized": (lambda x: tj.diagnostics.r_hat(CHAINS, rank_normalized=x),),
    "ensemble": (lambda x: tj.diagnostics.ergodicity(CHAINS, NO if x is None else x),),
    "samples": (tj.knn_entropy,),
    "neighbor": (lambda x: tj.knn_entropy(CHAINS, x),),
    "log_weight": (tj.free_energy.jarzynski, lambda x: tj.fluctuation.integral(x, 0.0)),
    "alive": (
        lambda x: tj.free_energy.jarzynski(WORKS, NO if x is None else x),
        lambda x: tj.fluctuation.integral(WORKS, 0.0, NO if x is None else x),
    ),
    "forward": (
        lambda x: tj.free_energy.bar(x, WORKS),
        lambda x: tj.fluctuation.crooks(x, WORKS),
        lambda x: tj.fluctuation.detailed(x, WORKS),
    ),
    "reverse": (
        lambda x: tj.free_energy.bar(WORKS, x),
        lambda x: tj.fluctuation.crooks(WORKS, x),
        lambda x: tj.fluctuation.detailed(WORKS, x),
    ),
    "bins": (lambda x: tj.fluctuation.detailed(WORKS, WORKS, bins=x),),
    "log_ratio": (
        lambda x: tj.fluctuation.integral(WORKS, x),
        lambda x: tj.fluctuation.detailed(WORKS, WORKS, log_ratio=NO if x is None else x),
    ),
    "system": (
        tj.diagnostics.power,
        lambda x: tj.ensemble_ledger(x, NO),
        lambda x: tj.entropy_production(x, NO, np.sum),
        lambda x: tj.free_energy.thermodynamic_integration(x, KEY, batch=4),
        lambda x: tj.free_energy.jarzynski(WORKS, system=NO if x is None else x),
    ),
    "result": (
        lambda x: tj.ensemble_ledger(SYSTEM, x),
        lambda x: tj.entropy_production(SYSTEM, x, np.sum),
    ),
    "batch": (lambda x: tj.free_energy.thermodynamic_integration(SYSTEM, KEY, batch=x),),
    "nodes": (lambda x: tj.free_energy.thermodynamic_integration(SYSTEM, KEY, batch=4, nodes=x),),
    "value": (lambda x: tj.Estimate(x, 1.0, 1),),
    "error": (lambda x: tj.Estimate(1.0, x, 1),),
    "count": (lambda x: tj.Estimate(1.0, 1.0, x),),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_number_is_refused_by_name(name):
    for call in CALLS[name]:
        for kind, wrong in WRONG.items():
            with pytest.raises(ValueError, match=rf"\b{name}\b") as caught:
                call(wrong)
            words = str(caught.value)
            assert "expected" in words and len(words) < 300, (kind, words)


def test_numbers_that_are_out_of_range():
    for call, words in (
        (lambda: tj.diagnostics.autocorrelation(CHAINS, 0), "lags = 0"),
        (lambda: tj.diagnostics.autocorrelation_time(CHAINS, np.nan), "window = nan"),
        (lambda: tj.knn_entropy(np.full(20, np.inf)), "samples are not finite"),
        (lambda: tj.knn_entropy(CHAINS, 0), "neighbor = 0"),
        (lambda: tj.knn_entropy(np.zeros((20, 0))), r"samples have shape \(20, 0\)"),
        (
            lambda: tj.diagnostics.ergodicity(CHAINS, np.zeros(3)),
            r"ensemble has shape \(3,\): expected \(\)",
        ),
        (lambda: tj.fluctuation.integral(WORKS, np.zeros(3)), r"log_ratio has shape \(3,\)"),
        (lambda: tj.fluctuation.detailed(WORKS, WORKS, log_ratio=np.inf), "log_ratio = inf"),
        (
            lambda: tj.free_energy.thermodynamic_integration(SYSTEM, KEY, batch=1),
            "batch = 1: expected a whole number of at least 2",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_numbers_of_other_kinds_are_taken():
    """NumPy numbers, whole numbers, and half precision, in which no statistics can be taken."""
    half = tj.diagnostics.effective_sample_size(CHAINS.astype(np.float16), np.float64(5.0))
    whole = tj.diagnostics.effective_sample_size(CHAINS.astype(np.float16).astype(np.float32))
    assert float(half) == pytest.approx(float(whole), rel=1e-5) and half.dtype == jnp.float32
    assert tj.diagnostics.autocorrelation(np.arange(40).reshape(20, 2), COUNT).shape == (3,)
    stream = tj.diagnostics.Streaming.start(jnp.zeros(2, jnp.bfloat16))
    assert stream.mean.dtype == jnp.float32 and int(stream.update(np.array([1, 2])).count) == 1

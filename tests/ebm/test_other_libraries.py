"""Networks of flax and Ising models of thrml, where these are installed."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj

KEY = jax.random.key(0)


def test_a_module_of_flax_trains():
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.first, self.last = nnx.Linear(2, 8, rngs=rngs), nnx.Linear(8, 1, rngs=rngs)

        def __call__(self, x):
            return self.last(nnx.softplus(self.first(x)))

    model = tj.ebm.NeuralEnergy(Network(nnx.Rngs(0)), 2.0)
    data = jax.random.normal(KEY, (64, 2))
    how: dict[str, Any] = dict(method=tj.ebm.ScoreMatching(0.5), batch=64, steps=200)
    fit = tj.ebm.fit(model, data, optax.adam(3e-2), KEY, **how)
    many = jnp.tile(data, (16, 1))
    trained: Any = fit.model
    before, after = (tj.ebm.score_matching(m, many, KEY, 0.5) for m in (model, trained))
    assert after < before - 0.01


NODES = ["a", "b", "c"]
EDGES = [("a", "c"), ("c", "b")]
NUMBERS = (jnp.array([0.1, -0.2, 0.3]), jnp.array([0.7, -0.4]), jnp.array(0.5))


def alike(**changes) -> Any:
    """An object with the parts of an `IsingEBM`."""
    biases, weights, beta = NUMBERS
    given = dict(nodes=NODES, edges=EDGES, biases=biases, weights=weights, beta=beta)
    return SimpleNamespace(**(given | changes))


def theirs() -> Any:
    thrml = pytest.importorskip("thrml", reason="thrml is not installed")
    from thrml.models import IsingEBM

    nodes = {name: thrml.SpinNode() for name in NODES}
    edges = [(nodes[i], nodes[j]) for i, j in EDGES]
    return IsingEBM(list(nodes.values()), edges, *NUMBERS)


@pytest.mark.parametrize("made", [alike, theirs])
def test_a_model_of_thrml_has_the_same_law(made):
    s = jnp.array([1.0, -1.0, -1.0])
    energy = -0.5 * (0.1 + 0.2 - 0.3 + 0.7 * -1 - 0.4 * 1)
    np.testing.assert_allclose(tj.ebm.from_thrml(made()).joint_energy(s), energy, rtol=1e-6)


def test_what_is_no_model_of_thrml_is_refused():
    with pytest.raises(ValueError, match=r"expected a thrml\.models\.IsingEBM"):
        tj.ebm.from_thrml(3)
    with pytest.raises(ValueError, match="give each node a bias"):
        tj.ebm.from_thrml(alike(edges=[("a", "d"), ("c", "b")]))

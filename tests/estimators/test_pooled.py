"""One free energy difference from several pairs of runs, on works that obey Crooks exactly."""

import numpy as np
import pytest

from thermojax.estimators.free_energy import bar
from thermojax.estimators.pooled import pooled

CHANGE = 1.3


def gaussian_works(random, dissipated, n=200, m=None):
    """Log weights forward and reverse: W ~ N(dF + w, 2 w) and N(-dF + w, 2 w)."""
    spread = np.sqrt(2 * dissipated)
    forward = CHANGE + dissipated + spread * random.normal(size=n)
    reverse = -CHANGE + dissipated + spread * random.normal(size=m or n)
    return -forward, -reverse


def test_one_pair_is_bennetts_estimate():
    pair = gaussian_works(np.random.default_rng(0), 1.5, 400, 300)
    found, known = pooled([pair]), bar(*pair)
    assert float(found.log_ratio.value) == pytest.approx(float(known.log_ratio.value), abs=1e-6)
    assert float(found.log_ratio.error) == pytest.approx(float(known.log_ratio.error), rel=0.03)
    assert int(found.log_ratio.count) == 700 and found.doubt is None


@pytest.mark.parametrize("two", [(7.0, 0.7), (2.0, 0.01), (30.0, 1.0)])
def test_errors_of_all_that_is_said(two):
    """Stated errors are the scatter over 200 repetitions (known to 5 %), as small as can be.

    Of the free energy difference, and of both dissipated works, which share it.
    """
    random = np.random.default_rng(1)
    ratios, errors, dissipated, stated, alone = [], [], [], [], []
    for _ in range(200):
        pairs = [gaussian_works(random, w) for w in two]
        found = pooled(pairs)
        ratios.append(float(found.log_ratio.value))
        errors.append(float(found.log_ratio.error))
        both = [found.plus_mean(i, -pair[0]) for i, pair in enumerate(pairs)]
        dissipated.append([float(x.value) for x in both])
        stated.append([float(x.error) for x in both])
        alone.append(float(pooled(pairs[1:]).log_ratio.value))
    scatter = np.std(ratios, ddof=1)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(scatter, rel=0.2)
    assert abs(np.mean(ratios) + CHANGE) < 4.5 * scatter / np.sqrt(200)
    scatters = np.std(dissipated, axis=0, ddof=1)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(stated), axis=0)), scatters, rtol=0.2)
    assert np.all(np.abs(np.mean(dissipated, axis=0) - two) < 4.5 * scatters / np.sqrt(200))
    assert scatter < 1.03 * np.std(alone, ddof=1)  # the worse schedule takes nothing away


def test_no_overlap_is_said():
    """The truth is about zero; the works leave 370 kT between the two directions."""
    random = np.random.default_rng(0)
    far = random.normal(-200, 3, 500), random.normal(-200, 3, 500)
    found = pooled([far])
    assert np.isinf(found.log_ratio.error) and np.isfinite(found.log_ratio.value)
    assert "do not overlap" in str(found.doubt)
    assert np.isinf(found.plus_mean(0, -far[0]).error)
    # Beside a pair that does overlap it has no say.
    pair = gaussian_works(random, 1.0)
    both, one = pooled([far, pair]), pooled([pair])
    assert float(both.log_ratio.value) == pytest.approx(float(one.log_ratio.value), abs=1e-9)
    assert float(both.log_ratio.error) == pytest.approx(float(one.log_ratio.error), rel=0.03)


def test_few_paths_in_common_are_doubted():
    found = pooled([gaussian_works(np.random.default_rng(2), 11.0)])
    assert 1 < found.information < 5 and "hardly overlap" in str(found.doubt)
    assert abs(float(found.log_ratio.value) + CHANGE) < 4.5 * float(found.log_ratio.error)


def test_works_that_do_not_vary():
    found = pooled([(np.full(10, -3e4), np.full(10, 3e4))])
    assert float(found.log_ratio.value) == pytest.approx(-3e4) and found.log_ratio.error == 0


def test_refusals():
    with pytest.raises(ValueError, match=r"pairs\[0\] holds log weights of shape \(1,\)"):
        pooled([(np.zeros(1), np.zeros(3))])
    with pytest.raises(ValueError, match="finite; leave diverged paths out"):
        pooled([(np.zeros(3), np.array([0.0, np.nan]))])
    with pytest.raises(ValueError, match="pairs is empty"):
        pooled([])

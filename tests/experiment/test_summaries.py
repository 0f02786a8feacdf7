"""Warnings where numbers are doubtful, and tables that line up."""

import numpy as np
import pytest

from thermojax._repr import aligned_text
from thermojax.estimate import Estimate
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.provenance import diverged_paths
from thermojax.experiment.study.doubts import column_doubts, doubts, training_doubts
from thermojax.experiment.study.evidence import doubts_of_evidence


def column(**entries):
    record = Record(
        shadow_work=Estimate(0.01, 0.01, 100),
        dissipated_work=Estimate(1.0, 0.1, 100),
        effective_samples=900.0,
        paths_total=1000,
        diverged=0,
    )
    record.update(entries)
    return record


def test_silent_when_all_is_well():
    assert column_doubts("linear", column()) == []


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"diverged": 3}, "linear: 3 of 1,000 paths diverged"),
        ({"shadow_work": Estimate(-0.5, 0.01, 100)}, "dt too coarse"),
        ({"dissipated_work": Estimate(4.0, 0.1, 100)}, "low effective sample size: 900 of 1,000"),
        ({"effective_samples": 12.0}, "low effective sample size: 12 of 1,000 paths"),
        # What is no number is doubt.
        ({"shadow_work": Estimate(np.nan, np.nan, 100)}, "dt too coarse"),
        ({"effective_samples": np.nan}, "low effective sample size"),
    ],
)
def test_warnings(entries, said):
    (warning,) = column_doubts("linear", column(**entries))
    assert said in warning


def test_physicists_are_not_told_of_evidence():
    (warning,) = column_doubts("given", column(effective_samples=12.0))
    assert "error of its free energy difference" in warning and "evidence" not in warning
    results = Record(linear=column(effective_samples=12.0, log_evidence=Estimate(-3.0, 0.1, 9)))
    results.attributes["columns"] = ["linear"]
    assert "error of its log evidence" in doubts_of_evidence(results)[0]
    assert doubts(results) == [warning.replace("given", "linear")]


def test_paths_that_diverge_in_a_reverse_run_are_counted():
    back = Record(diverged=2, paths_total=50)
    both = column(diverged=3, reverse=back)
    assert diverged_paths(both) == 5 and diverged_paths(column()) == 0
    warnings = column_doubts("given", both)
    assert any(text.startswith("given, reversed: 2 of 50 paths diverged") for text in warnings)


def test_training_doubts():
    training = Record(diverged=np.zeros(3), value=Estimate(9.0, 0.1, 8))
    measured = column(total_work=Estimate(9.2, 0.1, 8))
    assert training_doubts(training, measured) == []
    training["value"] = Estimate(12.0, 0.1, 8)
    (warning,) = training_doubts(training, measured)
    assert "12.00 ± 0.10 kT there, and 9.20 ± 0.10 kT when measured" in warning
    training["value"] = Estimate(np.nan, 0.1, 8)
    assert len(training_doubts(training, measured)) == 1
    training["diverged"] = np.array([0, 2, 0])
    assert "2 paths diverged" in training_doubts(training, measured)[0]


def test_alignment():
    assert aligned_text([["", "a"], ["work", "1 ± 2"]]) == "      a\nwork  1 ± 2"


def test_no_minus_before_a_zero():
    assert str(Estimate(-0.000001, 0.00003, 9)) == "0.00000 ± 0.00003"
    assert str(Estimate(-0.0001, 0.00003, 9)) == "-0.00010 ± 0.00003"

"""What a run leaves behind: numbers with errors and units, and a page with four figures."""

import re
from typing import Any

import h5py
import numpy as np
import pytest

from thermojax.estimate import Estimate
from thermojax.experiment import Record, UserError, load
from thermojax.experiment.results.store import save, write_whole


def test_round_trip(tmp_path):
    record = Record()
    record.put("work", Estimate(1.5, 0.25, 7), "kT")
    record.put("path", np.arange(6.0).reshape(3, 2), "length", ("time", "coordinate"))
    record.put("names", ["a", "ü"], axes=("name",))
    record["inner"] = inner = Record()
    inner.put("count", 3)
    record.attributes = {"question": "why?", "labels": ["x", "y"], "seed": 3}
    save(tmp_path / "r.h5", record)
    back = load(tmp_path / "r.h5")
    assert str(back["work"]) == "1.5 ± 0.2" and back.units["work"] == "kT"
    assert int(back["work"].count) == 7
    np.testing.assert_array_equal(back["path"], record["path"])
    assert back.axes["path"] == ("time", "coordinate") and back["names"] == ["a", "ü"]
    assert back["inner"]["count"] == 3 and back.attributes == record.attributes
    assert [p.name for p in tmp_path.iterdir()] == ["r.h5"]


def test_never_half_written(tmp_path):
    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "r.h5", fail)
    assert list(tmp_path.iterdir()) == []


def test_no_results(tmp_path):
    with pytest.raises(UserError, match=r"holds no results\.h5"):
        load(tmp_path)
    (tmp_path / "results.h5").write_text("not HDF5")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)


def test_results_of_a_run(tiny_run):
    folder, _, _ = tiny_run
    assert {p.name for p in folder.iterdir()} == {"config.yaml", "results.h5", "report.html"}
    results = load(folder)
    for name in ("linear", "optimized"):
        column = results[name]
        for entry in ("work", "heat", "shadow_work", "dissipated_work", "log_evidence", "accuracy"):
            assert np.isfinite(column[entry].value) and column[entry].error >= 0
        assert column["posterior"]["mean"].value.shape == (31,)
        assert column["posterior"]["sd"].error.shape == (31,)
        assert column["schedule"]["control"][0] == 0 and column["schedule"]["control"][-1] == 1
        assert column["ledger"]["work"].value.shape == column["ledger"]["time"].shape
        assert column.units["work"] == "kT" and column["paths"].axes["work"] == ("path",)
        lost = column["total_work"].value - column["free_energy_change"].value
        assert column["dissipated_work"].value == pytest.approx(float(lost), rel=1e-5)
    changes = [results[name]["free_energy_change"].value for name in ("linear", "optimized")]
    assert changes[0] == changes[1]  # one for all columns, that of one of their evidences
    assert -changes[0] in [results[n]["log_evidence"].value for n in ("linear", "optimized")]
    assert results["training"]["loss"].shape == (3,)
    facts = results.attributes
    assert facts["seed"] == 0 and facts["diverged"] == 0 and facts["wall_time"] > 0
    assert facts["device"] and "steps: 3" in results["config"]
    assert {"python", "jax", "diffrax", "numpy"} <= set(results["versions"].attributes)
    with h5py.File(folder / "results.h5") as file:
        attributes: dict[str, Any] = dict(file["linear/ledger/work"].attrs)
        assert attributes["units"] == "kT"
        assert list(attributes["axes"]) == ["time"]


def test_numbers_agree_among_themselves(tiny_run):
    column = load(tiny_run[0])["linear"]
    paths, ledger = column["paths"], column["ledger"]
    total = paths["work"] + paths["shadow_work"]
    np.testing.assert_allclose(paths["total_work"], total, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(paths["log_weight"], -paths["total_work"], atol=2e-3)
    # The ledger through time ends where the paths do, means and errors.
    assert ledger["work"].value[-1] == pytest.approx(paths["work"].mean(), rel=1e-5)
    error = paths["work"].std(ddof=1) / 8
    assert ledger["work"].error[-1] == pytest.approx(error, rel=1e-4)
    first_law = (
        ledger["work"].value
        + ledger["shadow_work"].value
        - ledger["heat"].value
        - ledger["energy_change"].value
    )
    assert np.max(np.abs(first_law)) < 2e-3


def test_what_is_printed(tiny_run):
    _, printed, progress = tiny_run
    assert re.search(r"^log evidence -?\d+(\.\d+)? ± \d+(\.\d+)?$", printed, re.MULTILINE)
    assert re.search(r"^dissipated work +\S+ ± \S+ +\S+ ± \S+$", printed, re.MULTILINE)
    assert re.search(r"^worst radius .*±.*±.*±.*±", printed, re.MULTILINE)
    assert "no paths diverged" in printed
    assert "low effective sample size" in printed  # 64 paths cannot carry an exponential average
    stages = [line.partition(" in ")[0] for line in progress.splitlines()]
    assert stages[:2] == ["rehearsal: 3 steps", "training: 3 steps"]
    assert "\r" not in progress  # no bar where it cannot move


def test_report(tiny_run):
    page = (tiny_run[0] / "report.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 4 and page.count("<svg") == 4 and "</html>" in page
    assert not re.search(r"(src|href)=[\"'](http|//|file)", page) and "@import" not in page
    assert "<script" not in page and "<link" not in page
    assert "prefers-color-scheme: dark" in page and "width=device-width" in page
    assert "log evidence" in page and "Warning:" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for used in set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)):
        assert (used[0] or used[1]) in ids

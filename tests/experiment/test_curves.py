"""What is stored and drawn of a schedule is the control that ran, between its knots, too."""

from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest

import thermojax as tj
from tests.components import PROTOCOLS
from thermojax.experiment import load
from thermojax.experiment.results.drawing import drawn_figures
from thermojax.experiment.results.store import Record, save
from thermojax.experiment.results.style import STYLE
from thermojax.experiment.study.curves import put_schedules, schedule_record
from thermojax.experiment.study.figures import FIGURES
from thermojax.experiment.study.schedule_figures import plane, schedule


def made(figure: Callable, results: Record) -> Any:
    """(figure, caption) of results that have one."""
    found = figure(results)
    assert found is not None
    return found


def read(record):
    return np.asarray(record["time"]), np.asarray(record["control"])


def test_knots_are_stored_beside_the_curve():
    record = schedule_record(PROTOCOLS["piecewise constant"])
    time, control = read(record)
    assert len(time) == len(control) > 400
    np.testing.assert_allclose(record["knot_time"], [1 / 3, 1, 5 / 3])
    np.testing.assert_allclose(record["knot_control"], [0.2, 0.1, 0.9])


def results_of(*protocols, bath=None, kind: Callable = tj.Underdamped):
    results = Record()
    results.attributes = {"columns": ["given", "optimized"][: len(protocols)]}
    for name, protocol in zip(results.attributes["columns"], protocols, strict=True):
        results[name] = Record()
        put_schedules(results[name], kind(tj.DoubleWell(2.0), protocol, bath or tj.Bath()))
    return results


def test_schedules_of_the_bath_and_kicks_are_stored(tmp_path):
    kicked = tj.PiecewiseLinear([0.2, 0.9], 2.0, 0.0, 1.0, kicks=[0.25, -0.5])
    bath = tj.Bath(friction=tj.Linear(1.0, 3.0, 2.0), mass=tj.PiecewiseConstant([1.0, 2.0], 2.0))
    save(tmp_path / "results.h5", results_of(kicked, bath=bath))
    column = load(tmp_path)["given"]
    assert set(column["bath"]) == {"friction", "mass"}
    time, friction = read(column["bath"]["friction"])
    np.testing.assert_allclose(friction, 1 + time)
    np.testing.assert_allclose(column["schedule"]["kicks"], [0.25, -0.5])
    with matplotlib.rc_context(STYLE):
        figure, caption = made(schedule, load(tmp_path))
    assert [a.get_ylabel() for a in figure.axes] == ["control λ", "friction γ", "mass m"]
    assert "kicks (control times time), given: +0.25 at the start, -0.5 at the end" in caption
    # What the dynamics do not use is not shown.
    plain = tj.PiecewiseLinear([0.2, 0.9], 2.0, 0.0, 1.0)
    over = results_of(plain, bath=bath, kind=tj.Overdamped)
    assert set(over["given"]["bath"]) == {"friction"}


def test_two_controls_have_a_legend_and_their_plane():
    values = [[1.0, 0.0], [0.0, 5.0], [1.0, 0.0]]
    one = tj.PiecewiseLinear(values, 3.0, [1.0, 0.0], [1.0, 0.0])
    two = tj.CubicSpline([[1.0, 0.5], [0.0, 5.0], [1.0, 0.5]], 3.0, [1.0, 0.0], [1.0, 0.0])
    results = results_of(one, two)
    with matplotlib.rc_context(STYLE):
        figure, _ = made(schedule, results)
        (legend,) = figure.legends
        said = [text.get_text() for text in legend.get_texts()]
        assert said == ["given, λ₁", "given, λ₂", "optimized, λ₁", "optimized, λ₂"]
        figure, _ = made(plane, results)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("λ₁", "λ₂")
    x, y = (np.asarray(z) for z in axes.get_lines()[0].get_data())
    assert y.max() == 5 and x.min() == 0 and len(x) > 400
    assert plane(results_of(tj.Linear(0.0, 1.0, 1.0))) is None and "plane" in FIGURES


@pytest.mark.slow
def test_legends_are_beside_the_curves(tiny_run):
    """Drawn, no legend meets the axes that its figure has."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    results = load(tiny_run[0])
    with matplotlib.rc_context(STYLE):
        figures = drawn_figures(results, FIGURES)
        assert set(figures) == {"schedule", "work_distribution", "ledger", "training"}
        for name, (figure, _) in figures.items():
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            assert not any(axes.get_legend() for axes in figure.axes)
            (legend,) = figure.legends
            box = legend.get_window_extent(canvas.get_renderer())
            assert not any(box.overlaps(axes.bbox) for axes in figure.axes), name
            assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 + 1, name

"""The table of tuned numbers says how each is measured again, and measuring leaves it as it was."""

import dataclasses

import jax
import pytest

from benchmarks.cases import our_gradient, ours
from benchmarks.tuning import Question, measure, numbers, parsed, replaced
from thermojax import _tree, _tuning
from thermojax._tuning import ON_CPU

NUMBERS = numbers()


def test_every_number_of_the_tables_is_known_by_a_name_of_its_own():
    tables = _tuning.ON_CPU, _tuning.ON_GPU, _tuning.IN_MEMORY
    assert len(NUMBERS) == sum(len(dataclasses.fields(table)) for table in tables)
    for number in NUMBERS.values():
        assert getattr(getattr(_tuning, number.table), number.name) == number.value


@pytest.mark.parametrize("number", NUMBERS.values(), ids=list(NUMBERS))
def test_every_number_says_what_it_is_and_how_it_is_measured(number):
    assert number.unit and number.meaning
    low, high = number.tried
    lengths = number.value if isinstance(number.value, range) else [number.value]
    assert low <= min(lengths) and max(lengths) <= high
    assert number.value in number.values() and len(number.values()) > 1
    function, case = parsed(number.case)
    assert function in (ours, our_gradient) and 64 <= case.steps <= 2**17
    assert number.case.endswith(f" {case.batch} x {case.dim}")


def test_values_are_the_ends_the_powers_of_two_between_and_the_one_in_use():
    assert NUMBERS["longest_column"].values() == [3, 4, 8, 16, 31]
    assert NUMBERS["states"].values() == [2, 4, 5, 8]
    product = NUMBERS["sum_by_product"].values()
    assert [list(lengths) for lengths in product] == [[*range(2, 32)], [*range(4, 17)], []]


def test_a_case_that_is_none_is_refused_by_name():
    with pytest.raises(ValueError, match="case = 'backward 8 x 1'"):
        parsed("backward 8 x 1")


def test_a_replaced_number_is_that_of_every_module_and_only_for_a_while():
    with replaced(NUMBERS["strips"], 3):
        assert _tuning.ON_CPU.strips == _tree.ON_CPU.strips == 3
        assert _tree.ON_CPU.strip == ON_CPU.strip
    assert _tuning.ON_CPU is _tree.ON_CPU is ON_CPU


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the number is of a CPU")
def test_a_number_is_measured_as_a_ratio_for_each_value():
    """Four paths are few enough for noise read row by row, and with 2 in place of 4 too many."""
    number = dataclasses.replace(NUMBERS["tiny"], tried=(2, 4))
    rows = measure(Question(number, "forward 4 x 1", steps=4), rounds=1)
    assert [row["program"] for row in rows] == ["another", "the same"]
    assert all(row["ratio"] > 0 and row["compile s"] > 0 for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the flags are of a CPU")
def test_flags_are_measured_in_processes_of_their_own():
    """Two widths of vectors."""
    rows = measure(Question(NUMBERS["vector_bits"], "forward 8 x 1", steps=4), rounds=1)
    assert [row["value"] for row in rows] == ["256", "512"]
    assert rows[1]["program"] == "the same" and all(row["ratio"] > 0 for row in rows)


@pytest.mark.slow
def test_a_number_about_memory_is_measured_within_a_budget():
    """The fewer states are thought to be there, the more is kept."""
    number = dataclasses.replace(NUMBERS["states"], tried=(4, 5))
    rows = measure(Question(number, "gradient 256 x 1", steps=1024), rounds=1)
    four, five = (row["of the budget"] for row in rows)
    assert four > five > 0

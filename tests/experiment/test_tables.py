"""Reading data: the shipped table, and every way a table can be wrong."""

from pathlib import Path

import numpy as np
import pytest

from thermojax.experiment.errors import UserError
from thermojax.experiment.study.data import Table, load_table, standardize

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "breast_cancer.csv"


def test_shipped_table():
    features, labels, names = load_table(SHIPPED, "benign")
    assert len(names) == 30 and "benign" not in names
    assert features.shape == (569, 30)
    assert labels.sum() == 357  # benign cases in the original data set
    assert features[0, 0] == 17.99 and features[-1, -1] == 0.07039


def test_design_matrix():
    features, _, names = Table(SHIPPED, "benign").load()
    assert features.shape == (569, 31) and names[:2] == ["bias", "mean radius"]
    assert np.all(features[:, 0] == 1)
    np.testing.assert_allclose(features[:, 1:].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose((features[:, 1:] ** 2).mean(0), 1)


def test_rows_from_the_top():
    features, labels, _ = load_table(SHIPPED, "benign", rows=20)
    assert features.shape == (20, 30) and labels[19] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,0\nnan,1\n", ["line 3", "row 2", "column 'a'", "nan", "finite"]),
        ("a,b\n1,0\n,1\n", ["line 3", "column 'a'", "is empty"]),
        ("a,b\n1,0\nfoo,1\n", ["line 3", "column 'a' = 'foo'", "expected a number"]),
        ("a,b\n1,0\n2,inf\n", ["line 3", "column 'b'", "inf"]),
        ("a,b\n1,0\n2,2\n", ["line 3", "column 'b' = 2", "0 or 1"]),
        ("a,b\n1,0\n2\n", ["line 3", "1 cells", "2 columns"]),
        ("a,B\n1,0\n", ["no column 'b'", "did you mean 'B'?"]),
        ("a,b\n", ["no rows"]),
        ("", ["no rows"]),
        ("b,b\n1,0\n", ["two columns are called 'b'"]),
    ],
)
def test_bad_tables(tmp_path, text, said):
    file = tmp_path / "table.csv"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_table(file, "b")
    message = str(error.value)
    assert "\n" not in message and str(file) in message
    for words in said:
        assert words in message


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(UserError, match="no such data file"):
        load_table(tmp_path / "none.csv", "b")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="UTF-8"):
        load_table(tmp_path / "x.csv", "b")


def test_constant_column():
    with pytest.raises(UserError, match="column 2 holds one value only, 3"):
        standardize(np.array([[1.0, 3.0], [2.0, 3.0]]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1e9 / 3, 1e-30])
def test_a_column_that_is_constant_to_rounding(dtype, value):
    """Its computed spread is a rounding, which would be blown up to a second bias column."""
    column = np.full(569, value, dtype)
    column[::7] = np.nextafter(column[0], dtype(np.inf))
    for constant in (np.full(569, value, dtype), column):
        features = np.stack([np.linspace(0, 1, 569, dtype=dtype), constant], axis=1)
        with pytest.raises(UserError, match="column 2 holds one value only"):
            standardize(features)


def test_columns_of_any_size_are_standardized():
    """Squares that overflow, or vanish, are no reason to refuse a column, nor to make it zero."""
    x = np.linspace(-1, 2, 50)
    found = standardize(np.stack([x * 1e200, x * 1e-200, 1e6 + x, np.arange(50)], axis=1))
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-9)
    assert standardize(np.array([[1, 2], [2, 4]])).tolist() == [[-1, -1], [1, 1]]

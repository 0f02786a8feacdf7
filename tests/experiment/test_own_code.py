"""What runs is what the files hold: of two modules of one name, and of one that was edited."""

import sys
from pathlib import Path

import pytest

from thermojax.cli import main
from thermojax.experiment import load
from thermojax.experiment.config import own_code
from thermojax.experiment.run.experiment import read_experiment
from thermojax.experiment.run.provenance import run_facts

STUDY = """
from thermojax.experiment import AbstractStudy, Record
VALUE = {value}

class Model(AbstractStudy):
    columns = ("all",)

    def run(self, key, progress):
        results = Record(all=Record())
        results["all"].put("value", float(VALUE))
        return results
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    own_code.put_away()
    sys.modules.pop("own_model", None)


def write(folder: Path, value: str, before: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "own_model.py").write_text(before + STUDY.replace("{value}", value))
    (folder / "c.yaml").write_text("kind: own_model:Model\n")
    return folder / "c.yaml"


def value_of_run(config: Path, out: str) -> float:
    assert main(["run", str(config), "--out", out]) == 0
    return load(out)["all"]["value"]


def facts(config: Path) -> dict[str, str]:
    read = read_experiment(config)
    return {k: v for k, v in run_facts(read).items() if "content" in k}


def test_each_folder_runs_its_own_class(here):
    one, two = write(here / "one", ".33"), write(here / "two", ".78")
    assert value_of_run(one, "a") == 0.33 and value_of_run(two, "b") == 0.78
    assert value_of_run(one, "c") == 0.33
    assert "own_model" not in sys.modules  # where a model of the caller's own would not be found
    assert facts(one) != facts(two)


def test_an_edited_file_runs_anew(here):
    """Also where it is as long as before and was written in the same second."""
    config = write(here / "one", ".33")
    assert value_of_run(config, "a") == 0.33
    before = facts(config)
    first = type(read_experiment(config).study)
    assert value_of_run(config, "b") == 0.33
    assert type(read_experiment(config).study) is first  # what JAX has compiled for it holds
    write(here / "one", ".78")
    assert value_of_run(config, "c") == 0.78 and facts(config) != before


def test_what_it_imports_is_its_own_too(here):
    """A constant of a helper, one package deep, that two configs share."""
    line = "from own_package.inner import FACTOR as VALUE\n"
    config = write(here / "one", "VALUE", line)
    other = here / "one" / "other.yaml"
    (here / "one" / "own_second.py").write_text(line + STUDY.replace("{value}", "VALUE"))
    other.write_text("kind: own_second:Model\n")
    package = here / "one" / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("from . import deep\nFACTOR = deep.FACTOR\n")
    (package / "deep.py").write_text("FACTOR = 1\n")
    assert value_of_run(config, "a") == 1 and value_of_run(other, "b") == 1
    before = facts(config)
    assert set(before) >= {"the content of own_package/deep.py", "the content of own_model.py"}
    (package / "deep.py").write_text("FACTOR = 2\n")
    assert value_of_run(config, "c") == 2 and value_of_run(other, "d") == 2
    changed = {name for name, digest in facts(config).items() if before[name] != digest}
    assert changed == {"the content of own_package/deep.py"}


def test_the_digest_is_that_of_what_ran(here):
    """A file that is edited while its run goes on is not taken for the one that runs."""
    config = write(here / "one", ".33")
    read = read_experiment(config)
    there = run_facts(read)
    write(here / "one", ".78")
    assert run_facts(read) == there and facts(config) != there


def test_what_the_user_has_imported(here, monkeypatch):
    """It stays as it is where its file is the one that is meant and has not changed since."""
    config = write(here, ".33")
    monkeypatch.syspath_prepend(str(here))
    import own_model  # pyright: ignore

    monkeypatch.setattr(own_code, "STARTED", (here / "own_model.py").stat().st_mtime + 1)
    assert isinstance(read_experiment(config).study, own_model.Model)
    for out in ("x", "y"):
        assert value_of_run(config, out) == 0.33 and sys.modules["own_model"] is own_model
    # From here on it is known by its content.
    write(here, ".78")
    assert value_of_run(config, "a") == 0.78
    # One that was imported by others, and whose file has changed since, is not what is meant.
    monkeypatch.setattr(own_code, "STARTED", 0.0)
    sys.modules["own_model"] = own_model
    assert value_of_run(config, "b") == 0.78


def test_folders_of_former_configs_are_searched_no_longer(here, capsys):
    config = write(here / "one", ".33")
    assert value_of_run(config, "a") == 0.33
    (here / "two").mkdir()
    (here / "two" / "c.yaml").write_text("kind: own_model:Model\n")
    assert main(["run", "two/c.yaml", "--out", "b"]) == 2
    assert "there is no module 'own_model'" in capsys.readouterr().err


def test_two_that_could_be_meant(here, capsys):
    """In the working folder and beside the config, and not the same."""
    config = write(here / "one", ".33")
    write(here, ".33")
    assert value_of_run(config, "a") == 0.33
    write(here, ".78")
    assert main(["run", str(config), "--out", "b"]) == 2
    said = capsys.readouterr().err
    assert f"{here}/own_model.py" in said and f"{here}/one/own_model.py" in said
    assert "rename one of them" in said and said.count("\n") == 1


def test_the_package_of_a_module_is_the_one_around_it(here):
    """A package in the working folder that is called alike, and has no such module, stays out."""
    inner = here / "beside" / "own_package"
    inner.mkdir(parents=True)
    (inner / "__init__.py").write_text("")
    (inner / "model.py").write_text(STUDY.replace("{value}", ".5"))
    (here / "own_package").mkdir()
    (here / "own_package" / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    config = here / "beside" / "c.yaml"
    config.write_text("kind: own_package.model:Model\n")
    assert value_of_run(config, "out") == 0.5

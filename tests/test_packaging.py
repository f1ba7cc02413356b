"""What ships works: the wheel with the source gone, Binder's build steps, and a light import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES_ADDED = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
import dashnb
dashnb.load_ipython_extension(shell)
print(*sorted(set(sys.modules) - before))
"""


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """What a command prints; one that fails shows everything it said."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def checkout(folder: Path) -> Path:
    """A copy of the files that git keeps, as a fresh clone has them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def test_loading_the_extension_adds_few_modules_and_none_that_is_slow() -> None:
    added = run(sys.executable, "-c", MODULES_ADDED, folder=ROOT).split()
    assert len(added) < 10, added
    assert not {"httpx", "pydantic", "sqlalchemy", "starlette", "ipywidgets", "anywidget"} & set(added)


@pytest.mark.slow
def test_the_wheel_works_with_the_source_gone(tmp_path: Path) -> None:
    source = checkout(tmp_path / "clone")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path / "dist", source, folder=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"dashnb/py.typed", "dashnb/notebooks/01-first-question.ipynb"} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", site, wheel, folder=tmp_path)
    shutil.rmtree(source)
    program = "import dashnb, dashnb.cli as c; print(dashnb.__file__); c.main(['ask', 'What is 999 × 998?'])"
    shown = run(sys.executable, "-c", program, folder=tmp_path, PYTHONPATH=str(site), DASHNB_PACE="0")
    assert str(site) in shown
    assert "997002" in shown
    program = "from dashnb import tutorials; print(len(tutorials.copy(__import__('pathlib').Path('mine'))))"
    assert int(run(sys.executable, "-c", program, folder=tmp_path, PYTHONPATH=str(site))) >= 3


@pytest.mark.slow
def test_binder_builds_in_an_empty_environment_and_opens_the_tutorials(tmp_path: Path) -> None:
    source = checkout(tmp_path / "clone")
    home = tmp_path / "home"
    home.mkdir()
    venv.create(tmp_path / "venv", with_pip=True)
    tools = tmp_path / "venv" / "bin"
    environment = {
        "HOME": str(home),
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "DASHNB_DATA_DIR": str(home / "data"),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
    }
    run(tools / "python", "-m", "pip", "install", "-q", "-r", "binder/requirements.txt", folder=source, **environment)
    shown = run("bash", "binder/postBuild", folder=source, **environment)
    assert "997002" in shown
    command = [tools / "jupyter", "nbconvert", "--to", "notebook", "--execute", "--stdout"]
    notebook = run(*command, "notebooks/01-first-question.ipynb", folder=source, **environment)
    assert "999 multiplied by 998 equals 997002." in notebook

"""The tutorial notebooks: where they are, and JupyterLab on copies that are the reader's own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dashnb.errors import ConfigurationError

FOLDER = "dashnb-tutorials"


def source() -> Path:
    """The folder with the tutorials as they are shipped: in the package, or beside it in a checkout.

    Raises:
        ConfigurationError: The installation has none.
    """
    package = Path(__file__).parent
    for place in (package / "notebooks", package.parent / "notebooks"):
        if any(place.glob("*.ipynb")):
            return place
    raise ConfigurationError("This installation has no tutorials; install dashnb again.")


def copy(folder: Path) -> list[Path]:
    """Copy the tutorials that a folder does not have yet; those that were copied. Nothing is overwritten.

    Raises:
        ConfigurationError: The folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [path for path in sorted(source().glob("*.ipynb")) if not (folder / path.name).exists()]
        return [Path(shutil.copyfile(path, folder / path.name)) for path in missing]
    except OSError as error:
        raise ConfigurationError(
            f"The tutorials cannot be copied to {folder}: {error.strerror}.\nName another place with --folder."
        ) from error


def open_lab(folder: str | None, options: Sequence[str]) -> int:
    """Open JupyterLab on the tutorials and wait for its end; its exit status.

    Args:
        folder: Where the reader's copies are kept; ``dashnb-tutorials`` in the home folder if None.
        options: Further options for JupyterLab.

    Raises:
        ConfigurationError: JupyterLab is not installed, or the folder cannot be written to.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise ConfigurationError('JupyterLab is not installed.\nInstall it with: pip install "dashnb[lab]"')
    place = Path(folder).expanduser() if folder else Path.home() / FOLDER
    copied = copy(place)
    kept = "your copies are as you left them" if not copied else f"{len(copied)} new"
    print(f"The tutorials are in {place} ({kept}). JupyterLab opens on them; stop it with Ctrl-C.", flush=True)  # noqa: T201 # said on the command line
    command = [sys.executable, "-m", "jupyterlab", str(place), *options]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in options:
        command.append("--allow-root")
    try:
        return subprocess.run(command, check=False, env=lab_environment(os.environ)).returncode
    except KeyboardInterrupt:
        return 0


def lab_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for JupyterLab, with dashnb's own configuration behind the reader's.

    It switches off the question about Jupyter news, which would need a network and stand over the first
    thing that a reader sees.
    """
    ours = str(Path(__file__).parent / "jupyter")
    theirs = environ.get("JUPYTER_CONFIG_PATH")
    return {**environ, "JUPYTER_CONFIG_PATH": f"{theirs}{os.pathsep}{ours}" if theirs else ours}

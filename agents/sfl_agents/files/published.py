"""Agents that others can name, each a file without code beside a card that tells how it was made.

Those that come with the package are called ``pretrained:ID``. Those that a user has published elsewhere are their
folders.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfl_env.checks import look_up, shown
from sfl_env.errors import PolicyError
from sfl_env.storage import runs
from sfl_env.storage.atomic import atomic_output, writing
from sfl_env.storage.json_text import read_json

PREFIX = "pretrained:"
"""Begins the name of a published agent wherever a path to an agent may stand."""

HOME = Path(__file__).parents[1] / "pretrained"
"""Folder of the package's own published agents."""

AGENT = "agent.zip"
CARD = "card.json"
FORMAT = 1
"""Of a card."""

MOST_BYTES = 200_000
"""Of an agent's file."""

ENTRIES = ("format", "env_id", "sha256", "bytes", "about", "command", "versions", "curve", "held_out")
"""What a card says: format, environment, what the file is known by, what the agent is, how it was trained
(command, versions, evaluations on the way) and how well it does."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LARGEST_CARD = 2**20


def is_name(path: Path | str) -> bool:
    """Whether a path is the name of one of the package's own published agents.

    Examples
    --------
    >>> is_name("pretrained:SFL-v0"), is_name("runs/ppo")
    (True, False)
    """
    return str(path).startswith(PREFIX)


def is_published(path: Path | str) -> bool:
    """Whether a path stands for a published agent: by its name, or as the folder that one was published into.

    Examples
    --------
    >>> is_published("pretrained:SFL-v0"), is_published(HOME / "SFL-v0"), is_published(HOME)
    (True, True, False)
    """
    return is_name(path) or (Path(path) / CARD).is_file()


def names() -> tuple[str, ...]:
    """Return the names of the published agents."""
    if not HOME.is_dir():
        return ()
    return tuple(sorted(folder.name for folder in HOME.iterdir() if (folder / CARD).is_file()))


def file_of(path: Path | str) -> Path:
    """Return the file of a published agent, once it is known to be the one that its card tells of.

    Raises
    ------
    PolicyError
        If there is no agent of this name, or the file is another than the card's.

    Examples
    --------
    >>> file_of("pretrained:SFL-v9")
    Traceback (most recent call last):
        ...
    sfl_env.errors.PolicyError: Unknown published agent 'SFL-v9'...
    """
    folder, again = _folder(path), _again(path)
    file, told = folder / AGENT, card(path)
    try:
        content = file.read_bytes() if file.stat().st_size <= MOST_BYTES else b""
    except OSError as error:
        raise PolicyError(f"{file} cannot be read: {error.strerror}; {again}.") from error
    if hashlib.sha256(content).hexdigest() != told["sha256"]:
        raise PolicyError(f"{file} is not the agent that {CARD} beside it tells of: their hashes differ; {again}.")
    return file


def card(path: Path | str) -> dict[str, Any]:
    """Return what is told of a published agent, with the entries :data:`ENTRIES`.

    Raises
    ------
    PolicyError
        If there is no agent of this name, or its card is damaged.
    """
    file = _folder(path) / CARD
    told = read_json(file, PolicyError, most_bytes=_LARGEST_CARD)
    if not isinstance(told, dict) or set(told) != set(ENTRIES) or told["format"] != FORMAT:
        raise PolicyError(f"{file} is no card of an agent: {shown(told)}; {_again(path)}.")
    return told


def write(home: Path, name: str, content: bytes, told: Mapping[str, Any]) -> Path:
    """Write a published agent's folder and return it.

    Parameters
    ----------
    home : pathlib.Path
        Where the folders of agents are, :data:`HOME` for the package's own.
    name : str
        The agent's.
    content : bytes
        Of its file.
    told : mapping
        The card's entries but for format, hash and size.

    Raises
    ------
    PolicyError
        For a name that is none, or a file that is too large.
    RunError
        If the folder cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise PolicyError(
            f"{shown(name)} is no name of an agent; take letters, digits, dots and dashes, such as SFL-v0."
        )
    if len(content) > MOST_BYTES:
        raise PolicyError(
            f"The agent has {len(content)} bytes; one that is published has at most {MOST_BYTES}. Train one with "
            "smaller networks (policy_kwargs.net_arch)."
        )
    folder = home / name
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with atomic_output(folder / AGENT) as partial:
        partial.write_bytes(content)
    found = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), **told}
    runs.write_json(folder / CARD, {entry: found[entry] for entry in ENTRIES})
    return folder


def _again(path: Path | str) -> str:
    return "install sfl-env anew" if is_name(path) else "copy the agent's folder, or publish it, again"


def _folder(path: Path | str) -> Path:
    if not is_name(path):
        return Path(path)
    name = str(path).removeprefix(PREFIX)
    return HOME / look_up("published agent", name, {known: known for known in names()}, PolicyError)

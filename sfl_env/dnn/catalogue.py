"""Stored profiles of the networks that the field uses, found by name; reading them needs no torch."""

from functools import cache
from pathlib import Path

from sfl_env.checks import require_known
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import ProfileError

TABLES = Path(__file__).parent / "tables"
"""One JSON file for each network, written by ``python -m sfl_env.dnn.measure``."""


def names() -> tuple[str, ...]:
    """Return the names that :func:`load` knows.

    Examples
    --------
    >>> "resnet18" in names()
    True
    """
    return tuple(sorted(path.stem for path in TABLES.glob("*.json")))


def load(name: str) -> DNNProfile:
    """Return the profile of a network.

    Parameters
    ----------
    name : str
        One of :func:`names`, or the path of a profile that was written with
        :meth:`~sfl_env.dnn.profile.DNNProfile.to_json`, ending in ``.json``.

    Raises
    ------
    ProfileError
        If there is no such network, or the file is broken.

    Examples
    --------
    >>> lenet = load("lenet5")
    >>> int(lenet.device_parameters[-1])
    61706
    """
    if name.endswith(".json"):
        return DNNProfile.from_json(name)
    require_known("network", name, names(), ProfileError, "the path of a profile file that ends in .json")
    return _stored(name)


@cache
def _stored(name: str) -> DNNProfile:
    return DNNProfile.from_json(TABLES / f"{name}.json")

"""YAML as settings are written in it: plain values alone, every name once."""

from collections.abc import Hashable
from typing import Any

import yaml

from sfl_env.checks import shown
from sfl_env.errors import TrainingError

LONGEST = 100_000
"""Characters of a settings file; those of the package have a thousand."""

DEEPEST = 10
"""Levels of nesting."""


def parse(text: str, where: str) -> Any:
    r"""Return the value that a YAML text stands for.

    Parameters
    ----------
    text : str
        The text.
    where : str
        Where it comes from, for messages.

    Raises
    ------
    TrainingError
        If it is no YAML, too long or too deep, has a name twice in one mapping, or has what settings have no use
        for: anchors (which can unfold into gigabytes) and tags (which name types to build).

    Examples
    --------
    >>> parse("total_steps: 4096", "own.yml")
    {'total_steps': 4096}
    >>> parse("gamma: 0.9\ngamma: 0.8", "own.yml")
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: own.yml, line 2: 'gamma' stands twice in one mapping; leave one out.
    """
    if len(text) > LONGEST:
        raise TrainingError(f"{where} has {len(text)} characters; settings have at most {LONGEST}.")
    try:
        _check_events(text, where)
        loader = _Loader(text)
        loader.where = where
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise TrainingError(f"{where} is not valid YAML: {' '.join(str(error).split())}.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, TrainingError):
            raise
        # Such as a date without a 13th month or a number of 10,000 digits.
        raise TrainingError(f"{where} has a value that cannot be read: {error}.") from error


def _check_events(text: str, where: str) -> None:
    """Raise for anchors, tags and deep nesting, before anything is built of them."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise TrainingError(f"{where}, line {line}: write values out; anchors (& and *) are not taken.")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise TrainingError(f"{where}, line {line}: the tag {shown(tag)} is not taken; leave it out.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise TrainingError(f"{where}, line {line}: nested more than {DEEPEST} levels deep.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Loader(yaml.SafeLoader):
    where = "settings"

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping whose names are texts, each there once."""
        names = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise TrainingError(f"{self.where}, line {line}: {shown(name)} is no name of a setting.")
            if name in names:
                raise TrainingError(
                    f"{self.where}, line {line}: {shown(name)} stands twice in one mapping; leave one out."
                )
            names.add(name)
        return super().construct_mapping(node, deep)

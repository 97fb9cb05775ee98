"""What a user says of an environment: fields, parts and options told apart, and refused where they contradict."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sfl_env.checks import require_instance, require_known
from sfl_env.errors import ScenarioError
from sfl_env.scenario import Scenario

SHELL_OPTIONS = (
    "scenario",
    "preset",
    "render_mode",
    "num_envs",
    "autoreset_mode",
    "max_episode_steps",
    "vectorization_mode",
)
"""Keywords that Gymnasium or the environments around the episodes take; here for the nearest name only."""

FIELDS = tuple(item.name for item in dataclasses.fields(Scenario))

_FREE_SPEED = frozenset({"availability_levels", "availability_hold_s"})
"""Fields that say how much of their speed devices have free."""


class Said(NamedTuple):
    """A user's arguments, sorted."""

    scenario: Scenario
    given: Mapping[str, Any]  # parts and options by their keywords; what is None was not given


def sort(
    scenario: Scenario | None,
    preset: Mapping[str, Any] | None,
    keywords: Mapping[str, Any],
    replaced: Mapping[str, Collection[str]],
    options: Collection[str],
) -> Said:
    """Tell fields, parts and options apart, and refuse what contradicts.

    Parameters
    ----------
    scenario : Scenario, optional
        The system that the user passed as a whole.
    preset : mapping, optional
        Fields that an id stands for, which the user has not said himself.
    keywords : mapping
        All that the user has said himself.
    replaced : mapping
        Keyword of each part, and the fields and keywords that it makes meaningless.
    options : collection of str
        Keywords of what is neither field nor part.

    Raises
    ------
    ScenarioError
        For an unknown keyword, a value out of range, a part together with what it replaces, or a scenario
        together with an id that stands for another.

    Examples
    --------
    >>> sort(None, {"model": "vgg16"}, {"num_devices": 3}, {"profile": ("model",)}, ()).scenario.model
    'vgg16'
    >>> sort(None, None, {"model": "vgg16", "profile": object()}, {"profile": ("model",)}, ())
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: model is given beside profile, which replaces it; leave one of the two out.
    """
    if preset is not None:
        require_instance("preset", preset, Mapping, "a mapping from fields to values")
    known = (*FIELDS, *replaced, *options)
    for name in keywords:
        if name not in known:
            # What the shells take has been taken by them, so that it is unknown here, but may well be meant.
            require_known(
                "field or argument", name, [other for other in (*known, *SHELL_OPTIONS) if other != name]
            )
    given = {name: value for name, value in keywords.items() if name not in FIELDS and value is not None}
    own = {name: value for name, value in keywords.items() if name in FIELDS}
    for name in preset or {}:
        require_known("field of the preset", name, FIELDS)
    stands_for = Scenario(**(preset or {}))
    whole = stands_for if scenario is None else _checked(scenario, stands_for, preset or {})
    said = {name for name in FIELDS if name in own or getattr(whole, name) != getattr(stands_for, name)}
    for part, fields in replaced.items():
        for name in fields:
            if part in given and (name in given or name in said):
                raise ScenarioError(f"{name} is given beside {part}, which replaces it; leave one of the two out.")
    if "population" in given and "availability" not in given and not (said | set(preset or {})) & _FREE_SPEED:
        own["availability_levels"] = (1.0,)  # what the user has measured is what he has
    return Said(whole.replace(**own), given)


def _checked(scenario: object, stands_for: Scenario, preset: Collection[str]) -> Scenario:
    """Refuse a scenario that is not what the id stands for."""
    require_instance("scenario", scenario, Scenario, "an sfl_env.Scenario; fields may also be given as keywords")
    assert isinstance(scenario, Scenario)
    for name in preset:
        if getattr(scenario, name) != getattr(stands_for, name):
            raise ScenarioError(
                f"scenario has {name}={getattr(scenario, name)!r}, and the id stands for "
                f"{name}={getattr(stands_for, name)!r}; pass the scenario to SFL-v0 or sfl_env.SFLEnv, or single "
                "fields to this id."
            )
    return scenario

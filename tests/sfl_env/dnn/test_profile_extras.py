"""Work per batch, frozen weights and buffers that stay: what a profile may leave out, and an early file lacks."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env.dnn import catalogue
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import ProfileError
from tests.sfl_env.profiles import ODD, odd, profiles

FIRST_SCHEMA = "sfl-env/dnn-profile/1"
PER_BATCH = tuple(name for name in ODD if name.endswith("_per_batch"))
EXTRAS = (*PER_BATCH, "smashed_gradient_elements", "device_frozen_parameters", "device_constant_buffers")


def plain() -> dict[str, Any]:
    """Return the fields that every profile has."""
    return {name: value for name, value in ODD.items() if name not in EXTRAS}


def early(tmp_path: Path, **changes: object) -> Path:
    """Write a file as releases before this one did."""
    path = tmp_path / "early.json"
    path.write_text(json.dumps({"schema": FIRST_SCHEMA, **plain(), **changes}))
    return path


def test_what_is_left_out_is_a_network_that_trains_as_a_whole() -> None:
    profile = DNNProfile(**plain())
    for name in EXTRAS:
        expected = [700, 1100, 0] if name == "smashed_gradient_elements" else [0, 0, 0]
        assert getattr(profile, name).tolist() == expected
        with pytest.raises(ValueError, match="read-only"):
            getattr(profile, name)[0] = 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"device_forward_flops_per_batch": None, "server_forward_flops_per_batch": None},
        *({name: None} for name in EXTRAS if "forward" not in name),
    ],
)
def test_each_of_them_tells_profiles_apart(changes: dict[str, Any]) -> None:
    without = odd(**changes)
    assert without != odd()
    again = odd(**{name: getattr(without, name) for name in changes})
    assert without == again
    assert hash(without) == hash(again)


def test_they_are_given_by_name() -> None:
    with pytest.raises(TypeError, match="positional"):
        DNNProfile(*ODD.values())


@given(profile=profiles())
def test_a_drawn_profile_survives_its_file(tmp_path_factory: pytest.TempPathFactory, profile: DNNProfile) -> None:
    path = tmp_path_factory.mktemp("drawn") / "profile.json"
    profile.to_json(path)
    assert DNNProfile.from_json(path) == profile
    assert json.loads(path.read_text())["schema"] == "sfl-env/dnn-profile/2"


def test_an_early_file_is_read_with_defaults(tmp_path: Path) -> None:
    assert DNNProfile.from_json(early(tmp_path)) == DNNProfile(**plain())


@pytest.mark.parametrize("name", EXTRAS)
def test_an_early_file_has_no_later_field(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProfileError, match=f"broken: the schema '{FIRST_SCHEMA}' has no field '{name}'. Profile"):
        DNNProfile.from_json(early(tmp_path, **{name: ODD[name]}))


@pytest.mark.parametrize("name", EXTRAS)
def test_a_file_leaves_no_field_open(tmp_path: Path, name: str) -> None:
    content = odd().to_dict()
    path = tmp_path / "open.json"
    path.write_text(json.dumps({**content, name: None}))
    with pytest.raises(
        ProfileError, match=rf"open\.json is broken: {name} is null; it has to hold one number for"
    ):
        DNNProfile.from_json(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"smashed_gradient_elements": [0, 1101, 0]},
            r"smashed_gradient_elements\[1\] \(cut 'adapter'\) is 1101; it can be at most smashed_elements\[1\], "
            "1100, less where masks are sent, and 0 where no gradient is wanted",
        ),
        (
            {"smashed_gradient_elements": [0, 0, 1]},
            r"smashed_gradient_elements\[2\] \(cut 'head'\) is 1; it can be at most smashed_elements\[2\], 0",
        ),
        (
            {"device_frozen_parameters": [50_001, 50_001, 50_100]},
            r"device_frozen_parameters\[0\] \(cut 'frozen'\) is 50001, but device_parameters\[0\] is 50000; it",
        ),
        (
            {"device_frozen_parameters": [50_000, 50_000, 60_900]},
            r"device_frozen_parameters\[2\] \(cut 'head'\) leaves 100 of device_parameters that change in "
            "training, after 400; they cannot become fewer as the cut gets deeper",
        ),
        (
            {"device_frozen_parameters": [50_000, 49_000, 50_100]},
            r"frozen_parameters\[1\] .* is 49000 .* cannot fall",
        ),
        ({"device_constant_buffers": [301, 310, 310]}, r"buffers\[0\] .* is 301, but device_buffers\[0\] is 300"),
        ({"device_constant_buffers": [200, 310, 450]}, r"buffers\[2\] .* leaves 0 of device_buffers .* after 110"),
        ({"device_constant_buffers": [300, 299, 310]}, r"buffers\[1\] .* is 299 after 300; it cannot fall"),
        ({"device_forward_flops_per_batch": [0, 3e10, 2.5e10]}, r"flops_per_batch\[2\] .* cannot fall"),
        ({"device_backward_flops_per_batch": [6e10, 3e10, 5e10]}, r"flops_per_batch\[1\] .* cannot fall"),
        ({"server_forward_flops_per_batch": [2e9, 5e9, 0]}, r"server_forward_flops_per_batch\[1\] .* cannot rise"),
        ({"server_backward_flops_per_batch": [1, 2, 0]}, r"server_backward_flops_per_batch\[1\] .* cannot rise"),
        (
            {"server_forward_flops_per_batch": [2.5e10, 5e9, 1]},
            r"server_forward_flops_per_batch\[2\] is 1; the last",
        ),
        ({"server_backward_flops_per_batch": [3, 2, 1]}, r"server_backward_flops_per_batch\[2\] is 1; the last"),
        (
            {"server_forward_flops_per_batch": [2.6e10, 5e9, 0]},
            r"device_forward_flops_per_batch\[0\] \+ server_forward_flops_per_batch\[0\] \(cut 'frozen'\) is "
            r"2\.6e\+10, but the whole network has 2\.5e\+10",
        ),
    ],
)
def test_contradiction_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        odd(**changes)


@given(profile=profiles(), data=st.data())
def test_weights_that_are_frozen_later_on_are_still_those_of_one_network(
    profile: DNNProfile, data: st.DataObject
) -> None:
    """Freezing whole blocks of what still trains moves counts from one kind to the other, and is never refused."""
    blocks = np.array(data.draw(st.lists(st.booleans(), min_size=profile.num_cuts, max_size=profile.num_cuts)))
    trained = np.diff(profile.device_parameters - profile.device_frozen_parameters, prepend=0.0)
    frozen = profile.device_frozen_parameters + (trained * blocks).cumsum()
    changed = dataclasses.replace(profile, device_frozen_parameters=frozen)
    assert changed.device_frozen_parameters[-1] == frozen[-1]


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "mobilenetv2"])
def test_networks_that_train_as_a_whole_answer_at_every_cut(name: str) -> None:
    profile = catalogue.load(name)
    np.testing.assert_array_equal(profile.smashed_gradient_elements, profile.smashed_elements)
    assert not profile.device_frozen_parameters.any()
    assert not any(getattr(profile, each).any() for each in PER_BATCH)

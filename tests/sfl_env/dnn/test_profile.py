"""A profile is refused unless it is whole and its numbers can belong to one network."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import ProfileError

TOY: dict[str, Any] = {
    "name": "toy",
    "input_shape": (30,),
    "cut_names": ("first", "second"),
    "device_forward_flops": [300, 400],
    "device_backward_flops": [300, 500],
    "server_forward_flops": [100, 0],
    "server_backward_flops": [200, 0],
    "smashed_elements": [5, 0],
    "device_parameters": [150, 200],
    "device_buffers": [0, 3],
    "device_activation_elements": [30, 35],
}
LEFT_OUT: dict[str, Any] = {
    "device_forward_flops_per_batch": [0, 0],
    "device_backward_flops_per_batch": [0, 0],
    "server_forward_flops_per_batch": [0, 0],
    "server_backward_flops_per_batch": [0, 0],
    "smashed_gradient_elements": [5, 0],
    "device_frozen_parameters": [0, 0],
    "device_constant_buffers": [0, 0],
}
"""What the fields that the toy says nothing of stand at."""
ALL = TOY | LEFT_OUT
ARRAYS = tuple(key for key in ALL if key not in ("name", "input_shape", "cut_names"))


def toy(**changes: Any) -> DNNProfile:
    return DNNProfile(**{**TOY, **changes})


def stored(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "toy.json"
    path.write_text(json.dumps({**toy().to_dict(), **changes}))
    return path


def test_profile_survives_its_file(tmp_path: Path) -> None:
    profile = toy(device_activation_elements=[30.5, 35])
    profile.to_json(tmp_path / "toy.json")
    assert DNNProfile.from_json(tmp_path / "toy.json") == profile
    assert [path.name for path in tmp_path.iterdir()] == ["toy.json"]


def test_equal_profiles_have_equal_hashes() -> None:
    assert toy() == toy()
    assert hash(toy()) == hash(toy())
    assert toy() != toy(device_buffers=[0, 4])


def test_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        toy().device_parameters[0] = 1.0
    given = np.array([150.0, 200.0])
    profile = toy(device_parameters=given)
    given[0] = 7.0
    assert profile.device_parameters[0] == 150.0


@pytest.mark.parametrize("field", ARRAYS)
@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_impossible_number_is_named(field: str, bad: float) -> None:
    with pytest.raises(ProfileError, match=rf"{field}\[1\] \(cut 'second'\)"):
        toy(**{field: [ALL[field][0], bad]})


@pytest.mark.parametrize("field", ARRAYS)
@pytest.mark.parametrize("bad", [[1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], 1.0, "many", [1.0, "x"], [1.0, [2.0]]])
def test_wrong_length_is_named(field: str, bad: object) -> None:
    with pytest.raises(ProfileError, match=field):
        toy(**{field: bad})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smashed_elements": [5, 1]}, r"smashed_elements\[1\] is 1"),
        ({"smashed_elements": [0, 0]}, r"smashed_elements\[0\] \(cut 'first'\) is 0"),
        ({"server_forward_flops": [100, 1]}, r"server_forward_flops\[1\] is 1"),
        ({"server_backward_flops": [100, 1]}, r"server_backward_flops\[1\] is 1"),
        ({"device_parameters": [201, 200]}, r"device_parameters\[1\] .* cannot fall"),
        ({"server_forward_flops": [101, 0]}, r"whole network has 400"),
        ({"name": ""}, "name is ''"),
        ({"input_shape": (3, 0)}, "input_shape"),
        ({"input_shape": ()}, "input_shape"),
        ({"input_shape": (2.5,)}, "input_shape"),
        ({"cut_names": ()}, "cut_names"),
        ({"cut_names": ("first", "first")}, r"cut_names\[1\]"),
        ({"cut_names": ("first", 2)}, r"cut_names\[1\]"),
    ],
)
def test_contradiction_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        toy(**changes)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.99])
def test_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = stored(tmp_path)
    text = path.read_text()
    path.write_text(text[: int(kept * len(text))])
    with pytest.raises(ProfileError, match=r"toy\.json is not valid JSON.* profile the network again"):
        DNNProfile.from_json(path)


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "toy.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ProfileError, match=r"toy\.json is not valid JSON"):
        DNNProfile.from_json(tmp_path / "toy.json")


@pytest.mark.parametrize("content", ["[1, 2]", "3", "null", '"toy"'])
def test_file_without_an_object_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "toy.json").write_text(content)
    with pytest.raises(ProfileError, match="JSON object"):
        DNNProfile.from_json(tmp_path / "toy.json")


@pytest.mark.parametrize("schema", [None, "sfl-env/dnn-profile/0", "sfl-env/dnn-profile/3", 1, [1]])
def test_other_schema_is_refused(tmp_path: Path, schema: object) -> None:
    with pytest.raises(ProfileError, match=r"toy\.json is broken: schema is .*sfl-env/dnn-profile/2"):
        DNNProfile.from_json(stored(tmp_path, schema=schema))


@pytest.mark.parametrize("field", ALL)
def test_missing_field_is_named(tmp_path: Path, field: str) -> None:
    path = stored(tmp_path)
    content = json.loads(path.read_text())
    del content[field]
    path.write_text(json.dumps(content))
    with pytest.raises(ProfileError, match=rf"toy\.json is broken: the field '{field}' is missing"):
        DNNProfile.from_json(path)


def test_unknown_field_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"'device_bufers' is unknown .did you mean 'device_buffers'"):
        DNNProfile.from_json(stored(tmp_path, device_bufers=[0, 3]))


@pytest.mark.parametrize("bad", [[-5, 0], [None, 0], [5], "five", None, {"first": 5}])
def test_broken_number_in_a_file_is_named(tmp_path: Path, bad: object) -> None:
    with pytest.raises(ProfileError, match=r"toy\.json is broken: smashed_elements"):
        DNNProfile.from_json(stored(tmp_path, smashed_elements=bad))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a", "name": "b"}', "names 'name' twice"),
        ("[" * 5000, "nests deeper"),
        ('{"schema": ' + "[" * 5000 + "]" * 5000 + "}", "nests deeper"),
        ('{"device_buffers": [NaN, 0]}', "NaN"),
        ('{"device_buffers": [Infinity, 0]}', "Infinity"),
        ('{"device_buffers": [1e999, 0]}', "1e999"),
        ('{"device_buffers": [' + "9" * 5000 + ", 0]}", "digits"),
    ],
)
def test_json_that_is_ambiguous_or_endless_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "toy.json").write_text(text)
    with pytest.raises(ProfileError, match=message):
        DNNProfile.from_json(tmp_path / "toy.json")


def test_files_that_are_none_or_far_too_large_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(10**9)
    for path in (tmp_path, tmp_path / "huge.json", Path("/dev/zero"), Path("a\0b.json"), tmp_path / ("x" * 300)):
        with pytest.raises(ProfileError, match="The profile"):
            DNNProfile.from_json(path)


@pytest.mark.parametrize("field", ARRAYS)
@pytest.mark.parametrize(
    "bad", ["1", True, None, 1j, [1], {}, b"1", 10**400, np.bool_(True), np.datetime64("2020"), "1e3"]
)
def test_only_numbers_are_numbers(field: str, bad: object) -> None:
    with pytest.raises(ProfileError, match=field):
        toy(**{field: [ALL[field][0], bad]})


@pytest.mark.parametrize("kind", [bool, complex, "U8", object, "datetime64[s]"])
def test_arrays_of_other_kinds_are_refused(kind: Any) -> None:
    with pytest.raises(ProfileError, match="device_buffers"):
        toy(device_buffers=np.zeros(2, dtype=kind))


def test_every_kind_of_number_is_taken() -> None:
    kinds: tuple[Any, ...] = (np.int8, np.uint64, np.float16, np.longdouble, int, float)
    for kind in kinds:
        assert toy(device_buffers=[kind(0), kind(3)]) == toy()
        assert toy(device_buffers=np.array([0, 3], dtype=kind)) == toy()
    large = 10**30
    assert toy(device_parameters=[150, large]).device_parameters[1] == 1e30


@pytest.mark.parametrize(
    "shape",
    [(10**20, 3), (-1,), (True, 2), ("3", 2), [[3]], (10**5, 10**5), (1,) * 17, "3,3", None, {3: 3}, (None,)],
)
def test_shapes_that_no_sample_has_are_refused(shape: object) -> None:
    with pytest.raises(ProfileError, match="input_shape is"):
        toy(input_shape=shape)


def test_a_message_is_short_whatever_it_quotes() -> None:
    for changes in (
        {"name": ["x" * 10**6]},
        {"input_shape": "x" * 10**6},
        {"cut_names": ("x" * 10**6, "x" * 10**6)},
        {"cut_names": ("first\n" * 10**5, "second"), "device_buffers": [3, 0]},
        {"device_buffers": ["x" * 10**6, 0]},
    ):
        with pytest.raises(ProfileError) as caught:
            toy(**changes)
        assert len(str(caught.value)) < 500
        assert "\n" not in str(caught.value)


def test_unreadable_and_unwritable_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"none\.json cannot be read"):
        DNNProfile.from_json(tmp_path / "none.json")
    with pytest.raises(ProfileError, match="cannot be written"):
        toy().to_json(tmp_path / "nowhere" / "toy.json")


def test_failed_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(tmp_path)
    before = path.read_text()

    def full_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(ProfileError, match="No space left"):
        toy(name="other").to_json(path)
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["toy.json"]


def test_single_cut_is_a_profile() -> None:
    whole: dict[str, Any] = {field: [ALL[field][1]] for field in ARRAYS}
    assert DNNProfile(name="toy", input_shape=(30,), cut_names=("second",), **whole).num_cuts == 1


def test_fields_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        toy().name = "other"  # type: ignore[misc]  # the mistake under test

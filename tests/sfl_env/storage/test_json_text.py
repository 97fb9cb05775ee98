"""JSON from anybody: one value, or one error that says what is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env.errors import ProblemError
from sfl_env.storage.json_text import DEEPEST, parse_json, read_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_python_writes_is_read(value: object) -> None:
    import json

    assert parse_json(json.dumps(value), "here", ProblemError) == value


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" * 5_000 + "]" * 5_000, f"deeper than {DEEPEST}"),
        ('{"a":' * 5_000, f"deeper than {DEEPEST}"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "'c' twice"),
        ("[NaN]", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("[" + "9" * 5_000 + "]", "whole number"),
        ("", "valid JSON"),
        ("{'a': 1}", "valid JSON"),
        ("[1, 2", "valid JSON"),
        ('"\\ud800', "valid JSON"),
    ],
)
def test_anything_else_is_one_error_of_ours(text: str, what: str) -> None:
    with pytest.raises(ProblemError, match=what.replace("'", ".")) as found:
        parse_json(text, "here", ProblemError)
    assert "\n" not in str(found.value)


def test_brackets_in_texts_do_not_count() -> None:
    assert parse_json('"' + "[" * 1_000 + '\\""', "here", ProblemError) == "[" * 1_000 + '"'


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'"\xe4"')
    (tmp_path / "large").write_bytes(b"[" + b" " * 200 + b"]")
    for name in ("nothing", "latin", "."):
        with pytest.raises(ProblemError, match=str(tmp_path / name)):
            read_json(tmp_path / name, ProblemError)
    with pytest.raises(ProblemError, match="100 bytes"):
        read_json(tmp_path / "large", ProblemError, most_bytes=100)

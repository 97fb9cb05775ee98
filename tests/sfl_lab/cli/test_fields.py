"""Fields are written as one writes them in Python, JSON, or plainly."""

from sfl_lab.cli.fields import parse_fields


def test_fields_are_read_as_json_or_python_or_text() -> None:
    assert parse_fields(["a=1", "b=1e6", "c=null", "d=None", "e=True", "f=[1, 2]", "g=('x',)", "h=umi"]) == {
        "a": 1,
        "b": 1e6,
        "c": None,
        "d": None,
        "e": True,
        "f": [1, 2],
        "g": ("x",),
        "h": "umi",
    }

"""Print the requirements of a special run of the suite, made from those of pyproject.toml.

``python .ci/requirements.py lowest`` prints every package at the lowest version that is declared for it, to be
used as constraints. ``python .ci/requirements.py without NAME...`` prints all requirements but those named.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def declared() -> dict[str, str]:
    """Return the lowest version of each package that the project or one of its extras needs, by its name."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    found = {}
    for line in wanted:
        match = re.fullmatch(r"([\w.-]+)>=([\w.]+)", line)
        if match is None:
            raise SystemExit(f"{PROJECT.name} says {line!r}; what is needed has to be written as 'name>=version'.")
        found[match[1]] = match[2]
    return found


def main() -> None:
    """Print what the first argument asks for."""
    match sys.argv[1:]:
        case ["lowest"]:
            lines = [f"{name}=={version}" for name, version in declared().items()]
        case ["without", *names] if set(names) <= set(declared()):
            lines = [f"{name}>={version}" for name, version in declared().items() if name not in names]
        case _:
            raise SystemExit(__doc__)
    print("\n".join(lines))


if __name__ == "__main__":
    main()

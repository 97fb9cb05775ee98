"""Results of one policy on disk, from which an interrupted benchmark goes on."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Self

import numpy as np

from sfl_env.storage.atomic import atomic_output


class StoredArrays:
    """Base of dataclasses whose fields are arrays, which are written to NPZ files whole or not at all."""

    def save(self, path: Path) -> None:
        """Write to an NPZ file."""
        assert is_dataclass(self)
        with atomic_output(path) as partial:
            np.savez_compressed(partial, **{item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read back what :meth:`save` wrote."""
        with np.load(path) as stored:
            return cls(**stored)

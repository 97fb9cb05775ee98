"""Harmless files that would run code if they were opened the way that pickles are: they make a folder."""

import base64
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np


class Touch:
    """Unpickles to nothing, and makes a folder on the way."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.folder,)


def pickled(touched: Path) -> bytes:
    """Return a pickle that makes a folder when it is opened."""
    return pickle.dumps(Touch(touched))


def foreign_agent(path: Path, touched: Path) -> None:
    """Write an agent in Stable-Baselines3's format, in all of whose parts there is such a pickle."""
    code = base64.b64encode(pickled(touched)).decode()
    names = ("policy_class", "observation_space", "action_space", "policy_kwargs")
    data = {name: {":type:": "dict", ":serialized:": code} for name in names}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps(data))
        archive.writestr("policy.pth", pickled(touched))
        archive.writestr("pytorch_variables.pth", pickled(touched))


def pickled_array(touched: Path) -> bytes:
    """Return an NPY file of Python objects, which NumPy would have to unpickle."""
    file = io.BytesIO()
    np.save(file, np.array([Touch(touched)], dtype=object), allow_pickle=True)
    return file.getvalue()


def bomb(path: Path, members: dict[str, bytes], claimed_bytes: int) -> None:
    """Write a zip file that unfolds into many more bytes than it has."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        with archive.open("policy/bomb.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": (claimed_bytes,)}
            )
            block = bytes(2**20)
            for _ in range(claimed_bytes // len(block)):
                file.write(block)

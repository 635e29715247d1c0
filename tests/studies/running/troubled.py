"""A network and a loss of another package that get their process into trouble, once for each file in a folder: the name says what happens.

The network does more than its layers, so trials of it run by themselves; trials of the loss may be in an array.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.packages import write_package

ROOT = Path(__file__).parents[3]

MODULE = """
import ctypes, os, signal, time
import ray
import torch
from torch import nn
from margin_core.knobs import Knob
from margin_core.losses import Family
from margin_core.models import ModelSource

FOLDER = {folder!r}

class Troubled(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.flatten, self.layer, self.steps = nn.Flatten(), nn.Linear(inputs, 16), 0

    def forward(self, images):
        self.steps += self.training
        if self.training and self.steps == 40:
            get_into_trouble()
        return self.layer(self.flatten(images)).relu()

steps = 0

def loss(scores, target, *, strength=1.0):
    global steps
    steps += torch.is_grad_enabled()
    if torch.is_grad_enabled() and (steps % 40 == 0 or (steps > 40 and os.path.exists(os.path.join(FOLDER, "sick")))):
        get_into_trouble()
    return -strength * scores.float().log_softmax(-1).gather(-1, target.unsqueeze(-1)).squeeze(-1)

def get_into_trouble():
    if os.path.exists(os.path.join(FOLDER, "sick")):
        on_a_sick_node()
    for name in sorted(os.listdir(FOLDER)):
        try:
            os.unlink(os.path.join(FOLDER, name))
        except OSError:
            continue
        trouble(name)
        break

def on_a_sick_node():
    here = ray.get_runtime_context().get_node_id()
    try:
        with open(os.path.join(FOLDER, "sick", "node"), "x") as file:
            file.write(here)
    except FileExistsError:
        pass
    with open(os.path.join(FOLDER, "sick", "node")) as file:
        if file.read() == here:
            raise OSError("the disk of this node is sick")

def trouble(name):
    kind = name.split("-")[0]
    if kind == "hang":  # in C code, and with Python's lock held
        ctypes.PyDLL(None).sleep(600)
    if kind == "stop":  # no thread of the process runs any more
        os.kill(os.getpid(), signal.SIGSTOP)
    if kind == "memory":
        held = [torch.ones(2**28) for _ in range(2)]  # 2 GiB
        time.sleep(600)
    if kind == "cuda":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    if kind == "code":
        raise ZeroDivisionError("the code is wrong")

def build(name, in_shape):
    return Troubled(in_shape[0] * in_shape[1] * in_shape[2])

MODEL = ModelSource(name="troubled", title="Troubled", reference="made for a test", build=build)
STRENGTH = Knob(name="strength", symbol="s", default=1.0, low=0.0, high=9.0, grid=(0.5, 1.0), search=(0.5, 2.0), source="made for a test")
FAMILY = Family(
    name="troubled",
    title="Troubled",
    reads="logits",
    function=loss,
    knobs=(STRENGTH,),
    reference="made for a test",
    formula=("L",),
    when="Never.",
)
"""


def troubled(folder: Path, *kinds: str) -> dict[str, str]:
    """The environment in which a model and a family ``troubled`` are installed; of each of ``kinds`` one trial gets into that trouble.

    ``hang`` hangs with Python's lock held, ``stop`` stops the whole process, ``memory`` takes 2 GiB, ``cuda`` raises as a GPU without
    memory does, ``code`` raises. With ``sick`` every trial fails on the node that is the first to come so far, and on no other.
    """
    site, troubles = folder / "site", folder / "troubles"
    site.mkdir()
    troubles.mkdir()
    for number, kind in enumerate(kinds):
        (troubles / "sick").mkdir() if kind == "sick" else (troubles / f"{kind}-{number}").touch()
    entry = {"margin_core.models": {"troubled": "troubled:MODEL"}, "margin_core.families": {"troubled": "troubled:FAMILY"}}
    write_package(site, "troubled-package", {"troubled": MODULE.replace("{folder!r}", repr(str(troubles)))}, entry)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}

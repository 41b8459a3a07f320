"""Objects that their class writes as bytes, as keras does with its models: what they hold is not brought back."""

from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path

import pytest

from tests.kernels import Kernel

NETS = """
import copyreg, io, time, zipfile
class Layer:
    def __init__(self, size): self.weights = [0] * size
    def __reduce__(self): return Layer, (len(self.weights),)
class SeedGenerator: pass
class RandomInitializer: pass
class Dense(Layer):
    built = False
    def __init__(self):
        super().__init__(0)
        self.initializer = RandomInitializer()
class Net:
    def __init__(self, *layers): self.layers = [*layers]
    def __reduce__(self):
        file = io.BytesIO()
        with zipfile.ZipFile(file, 'w') as archive:
            archive.writestr('metadata.json', str(time.time_ns()))
            archive.writestr('weights', ' '.join(str(len(one.weights)) for one in self.layers))
        return read, (file,)
class Told(Net): pass
copyreg.pickle(Told, lambda net: (Told, tuple(net.layers)))
class Kept:
    def __init__(self, file): self.file = file
    def __reduce__(self): return Kept, (self.file,)
def read(file):
    with zipfile.ZipFile(file) as archive: sizes = archive.read('weights').decode().split()
    return Net(*(Layer(int(size)) for size in sizes))
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    module = types.ModuleType("nets_of_the_test")
    vars(module)["__file__"] = "/usr/lib/python3/dist-packages/nets_of_the_test.py"
    exec(NETS, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "keras.src.layers.layer", module)
    kernel = Kernel(tmp_path)
    kernel.cell("from nets_of_the_test import Dense, Kept, Layer, Net, SeedGenerator, Told")
    return kernel


def stored(kernel: Kernel, step: int) -> set[str]:
    """Names that the checkpoint of a step has."""
    assert kernel.plan is not None
    path = kernel.session.store(kernel.plan.key.folder).path("p", "1", step)
    return set(pickle.loads(path.read_bytes()))


@pytest.mark.parametrize(
    ("code", "saved", "lost"),
    [
        ("net = Net(Layer(2)); twin = net", {"net", "twin"}, set()),
        ("net = Net(Layer(2)); others = {'net': net}", {"net", "others"}, set()),
        ("net = Net(Layer(2)); net.history = history = [net]", {"net", "history"}, set()),
        ("one = Net(Layer(2)); two = Net(Layer(2))", {"one", "two"}, set()),
        ("layer = Layer(2); net = Net(layer)", {"layer"}, {"net"}),
        ("net = Net(Layer(2)); weights = net.layers[0].weights", {"weights"}, {"net"}),
        ("net = Net(Layer(2)); both = net, net.layers[0]", set(), {"net", "both"}),
        ("net = Net(Layer(2)); other = Net(*net.layers)", set(), {"net", "other"}),
        ("net = Net(Layer(2)); net.seed = SeedGenerator()", set(), {"net"}),
        ("import numpy as np; net = Net(Layer(2)); net.draws = np.random.default_rng(1)", {"np"}, {"net"}),
        ("net = Told(Layer(2)); layer = net.layers[0]", {"net", "layer"}, set()),
        ("net = Net(Dense()); net.layers[0].built = True", {"net"}, set()),
        ("net = Net(Dense())", set(), {"net"}),
    ],
)
def test_what_an_object_is_written_without_has_no_other_name(
    nets: Kernel, code: str, saved: set[str], lost: set[str]
) -> None:
    facts = nets.step(1, code)
    assert stored(nets, 1) == saved
    assert all(f"`{name}`" in str(facts) for name in lost)


def test_a_part_that_gets_a_name_later_is_not_saved(nets: Kernel) -> None:
    nets.step(1, "net = Net(Layer(2))")
    nets.step(2, "layer = net.layers[0]")
    assert stored(nets, 1) == {"net"}
    assert stored(nets, 2) == set()


def test_an_archive_is_as_it_was_whenever_it_was_written(nets: Kernel) -> None:
    nets.step(1, "net = Net(Layer(2))")
    nets.step(2, "size = len(net.layers)")
    assert stored(nets, 2) == {"size"}
    nets.step(3, "net.layers.append(Layer(3))")
    assert stored(nets, 3) == {"net"}


def test_a_file_in_memory_is_left_at_its_position(nets: Kernel) -> None:
    nets.step(1, "import io\nkept = Kept(io.BytesIO(b'some bytes'))\nkept.file.seek(3)")
    nets.step(2, "file = kept.file")
    assert stored(nets, 2) == {"kept", "file"}
    assert nets.names["kept"].file.tell() == 3

"""What a checkpoint with tensors is: an ordinary pickle, its memory out of the stream, one memory for all who share."""

from __future__ import annotations

import io
import pickle
import time
from typing import Any

import numpy as np
import pytest

from ckpt_magic.values import looking, sharing
from ckpt_magic.values.pickles import pickling
from ckpt_magic.values.pickles.pickling import Contents

torch = pytest.importorskip("torch", reason="not run: torch is not installed")


class Chunks(io.BytesIO):
    """A file that counts the bytes that came as buffers of their own."""

    payload = 0

    def write(self, data: Any) -> int:
        if type(data) is pickle.PickleBuffer:
            self.payload += data.raw().nbytes
        return super().write(data)


def stored(**names: Any) -> tuple[dict[str, Any], Chunks]:
    """The names as a plain reader gets them, and the file."""
    looks = looking.look_at_all(names, names)
    assert not [seen.why for seen in looks.values() if seen.digest is None]
    views, refused = sharing.views(looks.values())
    assert not refused
    file = Chunks()
    pickling.write(Contents("cell", names), file, namespace=names, views=views)
    value: dict[str, Any] = pickle.loads(file.getvalue())
    return value, file


def test_a_plain_reader_gets_tensors_that_share_their_storage() -> None:
    t = torch.arange(40_000.0)
    back, file = stored(t=t, part=t[10:20], same=t, bits=t.view(torch.int32), turned=t.reshape(200, 200).T)
    assert file.payload == 160_000
    assert back["same"] is back["t"] and back["part"]._base is back["t"]
    back["t"][10] = -1
    assert back["part"][0] == -1 and back["turned"].stride() == (1, 200) and back["turned"][10, 0] == -1
    assert torch.equal(back["bits"].view(torch.float32), back["t"])


@pytest.mark.parametrize("size", [10, 40_000])
def test_arrays_and_tensors_over_one_memory_share_it_after_reading(size: int) -> None:
    a = np.arange(float(size))
    back, file = stored(a=a, t=torch.from_numpy(a), half=torch.from_numpy(a)[::2], n=torch.from_numpy(a).numpy()[3:])
    assert file.payload == (8 * size if size > 8192 else 0)
    back["n"][1] = -7
    assert back["a"][4] == back["t"][4] == back["half"][2] == -7


def test_a_small_storage_can_grow_after_reading_and_a_shared_one_stays_shared() -> None:
    back, _ = stored(t=torch.zeros(3), empty=torch.empty(0), shared=torch.ones(2).share_memory_())
    assert back["t"].resize_(100).shape == (100,)
    assert torch.add(torch.ones(2), 1, out=back["empty"]).tolist() == [2, 2]
    assert back["shared"].is_shared()


def test_gradients_hooks_and_attributes_come_back() -> None:
    w = torch.ones(2, requires_grad=True)
    w.register_hook(torch.abs)
    (w * -3).sum().backward()
    w.note = ["kept"]
    back, _ = stored(w=w, grad=w.grad)
    assert back["w"].grad is back["grad"] and back["w"].note == ["kept"]
    (back["w"] * -1).sum().backward()
    assert back["grad"].tolist() == [4, 4]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: torch.ones(2, requires_grad=True) * 2, "grad_fn=MulBackward0"),
        (lambda: torch.jit.script(torch.nn.ReLU()), ""),
        (lambda: iter(torch.utils.data.DataLoader([1, 2])), ""),
        (lambda: torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2)), "parametrized"),
    ],
    ids=["graph", "script", "loader", "parametrized"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_cannot_be_restored_exactly_is_named(make: Any, why: str) -> None:
    seen = looking.look(make(), {})
    assert seen.digest is None and why in seen.why


def test_a_look_reads_a_tensor_once_and_notes_writes_through_all_its_views() -> None:
    t = torch.zeros(1 << 24)
    names = {"t": t, "last": t[-1:], "n": t.numpy()[:5]}
    before = looking.look_at_all(names, names)
    start = time.perf_counter()
    looking.look(t, names)
    assert time.perf_counter() - start < 0.5  # 64 MiB: milliseconds; copies and pickled storages take far more
    names["n"][0] = 1
    after = looking.look_at_all(names, names)
    assert [before[name].digest != after[name].digest for name in names] == [True, True, True]
    assert set(sharing.links(after, names).memory) == {("last", "t"), ("n", "t"), ("last", "n")}


def digest(*parts: Any) -> str | None:
    return looking.look(list(parts), {}).digest


def marked(tensor: Any) -> Any:
    tensor.note = "by the user"
    return tensor


def with_gradient(tensor: Any, gradient: Any) -> Any:
    tensor.grad = gradient
    return tensor


def test_a_look_tells_tensors_and_what_they_share_from_others() -> None:
    def made() -> dict[str, Any]:
        one, parameter = torch.arange(6.0), torch.nn.Parameter(torch.arange(6.0))
        whole = torch.arange(6.0)
        return {
            "twice the same": digest(one, one),
            "two over one memory": digest(one, one.detach().set_(one)),
            "two that are equal": digest(one, one.clone()),
            "one over the memory of one that has attributes": digest(marked(one.clone().set_(whole)), whole),
            "one equal to one that has attributes": digest(marked(one.clone()), whole.clone()),
            "a view": digest(whole, whole[:6]),
            "other elements": digest(one, torch.arange(6.0).flip(0)),
            "another type": digest(one, one.int()),
            "another shape": digest(one, one.reshape(2, 3).clone()),
            "other strides": digest(one, torch.empty(2, 3).t().copy_(one.reshape(3, 2))),
            "a parameter": digest(one, parameter),
            "that is not trained": digest(one, torch.nn.Parameter(one.clone(), requires_grad=False)),
            "one that is": digest(one, one.clone().requires_grad_()),
            "with a gradient": digest(one, with_gradient(one.clone().requires_grad_(), torch.ones(6))),
            "with another one": digest(one, with_gradient(one.clone().requires_grad_(), torch.zeros(6))),
            "which is the first": digest(one, with_gradient(one.clone().requires_grad_(), one)),
        }

    digests = made()
    assert digests == made()
    assert None not in digests.values()
    assert len({*digests.values()}) == len(digests)

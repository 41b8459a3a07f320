"""torch: tensors, storages, optimizers and hooks as calls that plain pickle makes, where torch is installed.

torch itself writes each tensor's memory anew, and forgets gradients, hooks and what a scheduler did to its optimizer.
Here a storage is an array over its memory: tensors (and arrays) that share it go on sharing it, and its bytes lie
outside the stream, as those of any array. torch is never imported here. Knows no pickler.
"""

from __future__ import annotations

import copyreg
import functools
import operator
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles import placeholder
from ckpt_magic.values.pickles.forms import Form

Reducer = Callable[[Any], Any]

_OWNS_MEMORY: Final = 1 << 16  # bytes; smaller storages come back owning their memory, so that they can be resized


def reducer_for(kind: Any, is_viewed: Callable[[int], bool], held: dict[int, Any]) -> Reducer | None:
    """Choose what to do with objects of a type of torch; None for all other types.

    Parameters
    ----------
    kind
        The type.
    is_viewed
        Whether memory at an address is written as that of another array.
    held
        Filled with the objects that hold a weak reference to themselves, by `id`.
    """
    torch: Any = sys.modules.get("torch")
    if not hasattr(torch, "nn"):  # absent, or being imported
        return None
    if issubclass(kind, torch.Tensor):
        return _tensor
    if kind is torch.UntypedStorage:
        return lambda storage: _storage(storage, is_viewed)
    if kind is torch.storage.TypedStorage:
        return _typed
    if issubclass(kind, torch.nn.Module):
        return _module
    if issubclass(kind, torch.optim.Optimizer):
        return lambda optimizer: _optimizer(optimizer, held)
    if kind is weakref.ref:
        return lambda reference: _weak(reference, held)
    return None


def plain_kinds() -> tuple[Any, ...]:
    """The types of tensors of which `plainly` may tell something."""
    torch: Any = sys.modules.get("torch")
    return (torch.Tensor, torch.nn.Parameter) if hasattr(torch, "nn") else ()


def plainly(tensor: Any) -> tuple[Any, ...] | None:
    """All that there is of a usual tensor: its storage, then builtins and the type of its elements.

    Its gradient aside, which is such a tensor, too. None for any other tensor.
    """
    torch: Any = sys.modules["torch"]
    if tensor.layout is not torch.strided or not tensor.is_cpu or tensor.is_quantized or tensor.is_nested:
        return None
    if tensor.grad_fn is not None or tensor._base is not None or tensor.is_inference():
        return None
    if tensor.is_conj() or tensor.is_neg() or vars(tensor) or _added(tensor).keys() - {"requires_grad", "grad"}:
        return None
    if tensor.grad is not None and (type(tensor.grad) is not torch.Tensor or plainly(tensor.grad) is None):
        return None
    storage, is_parameter = tensor.untyped_storage(), type(tensor) is torch.nn.Parameter
    place = tuple(tensor.shape), tensor.stride(), tensor.storage_offset()
    return storage, is_parameter, tensor.dtype, *place, tensor.requires_grad, storage.is_shared()


def behind(tensor: Any) -> tuple[list[Any], list[Any]]:
    """What a tensor with a graph reaches.

    Returns
    -------
    list, list
        Storages: its own, and those of tensors that are kept for `backward`. Then the leaves to which that adds
        gradients, and what functions of the notebook keep for it.
    """
    torch: Any = sys.modules["torch"]
    todo, met, storages, objects = [tensor.grad_fn], set(), [tensor.untyped_storage()], list[Any]()
    while todo:
        node = todo.pop()
        if node is not None and node not in met:
            met.add(node)
            todo += [inner for inner, _ in node.next_functions]
            objects += [node.variable] if hasattr(node, "variable") else []
            objects += [vars(node)] if isinstance(node, torch.autograd.function.FunctionCtx) else []
            with suppress(RuntimeError):  # they are given up after `backward`
                storages += [kept.untyped_storage() for kept in _kept(node) if isinstance(kept, torch.Tensor)]
    return storages, objects


def _kept(node: Any) -> Iterator[Any]:
    for name in _names_of_kept(node.__class__):
        kept = getattr(node, name)
        yield from kept if isinstance(kept, (tuple, list)) else (kept,)


@functools.cache
def _names_of_kept(kind: type) -> list[str]:
    return [name for name in dir(kind) if name.startswith("_saved_") or name == "saved_tensors"]


def number_of(value: Any) -> float | None:
    """The number that a tensor is as long as nobody writes into it, which nothing else can: its memory is its own.

    Also the number that the placeholder of such a one tells.
    """
    if (told := placeholder.number_of(value)) is not None:
        return told
    torch: Any = sys.modules.get("torch")
    if type(value) is not getattr(torch, "Tensor", None) or value.dim() or not value.is_floating_point():
        return None
    if value.layout is not torch.strided or value.device.type != "cpu" or value._base is not None:
        return None
    users_of = getattr(torch._C, "_storage_Use_Count", lambda _: 0)  # private: where it is gone, nobody can tell
    storage = value.untyped_storage()
    return float(value.detach().item()) if users_of(storage._cdata) == _TENSOR_AND_STORAGE else None


_TENSOR_AND_STORAGE: Final = 2  # who uses the memory of a tensor that is alone with it, once `storage` is asked for


def memory_of(storage: Any) -> Any:
    """An array of bytes over the memory of a storage; None if it has none, or it is not the processor's."""
    torch: Any = sys.modules["torch"]
    if storage.device.type != "cpu":
        raise NotPicklableError(f"memory of a device, {storage.device}")
    if storage.filename is not None:
        raise NotPicklableError("a tensor over a file")
    if not storage.nbytes():
        return None
    whole = torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage, 0, (storage.nbytes(),), (1,))
    return whole.numpy()


def _storage(storage: Any, is_viewed: Callable[[int], bool]) -> Any:
    torch: Any = sys.modules["torch"]
    memory = memory_of(storage)
    if memory is None:
        return torch.UntypedStorage, (0,)
    flat = Form(torch.from_numpy, memory)
    if len(memory) < _OWNS_MEMORY and not is_viewed(storage.data_ptr()):
        flat = Form(torch.Tensor.clone, flat)
    if storage.is_shared():  # with other processes
        return torch.UntypedStorage.share_memory_, (Form(torch.Tensor.untyped_storage, flat),)
    return torch.Tensor.untyped_storage, (flat,)


def _typed(storage: Any) -> Any:
    kind: Any = type(storage)
    untyped, dtype = storage._untyped_storage, storage.dtype
    return functools.partial(kind, wrap_storage=untyped, dtype=dtype, _internal=True), ()


def _tensor(tensor: Any) -> Any:
    """A tensor: how it is made, then what torch leaves out, its gradient and its hooks."""
    torch: Any = sys.modules["torch"]
    kind = type(tensor)
    usual = (torch.Tensor.__reduce_ex__, torch.nn.Parameter.__reduce_ex__)
    if kind.__reduce_ex__ not in usual or kind.__setstate__ is not torch.Tensor.__setstate__:
        return tensor.__reduce_ex__(5)
    with torch._C.DisableTorchFunctionSubclass():
        if tensor.grad_fn is not None:
            name = type(tensor.grad_fn).__name__
            raise NotPicklableError(f"a tensor that knows how it was computed, grad_fn={name}; keep its .detach()")
        made, args = _made(torch, tensor, kind)
        state = torch._utils._get_obj_state(tensor)
        added = _added(tensor)
    if kind is not torch.Tensor and kind is not torch.nn.Parameter:
        made, args = torch._utils._rebuild_from_type_v2, (made, kind, args, None)
    if added:
        state = state if type(state) is tuple else (state or {}, {})
        state = ({**(state[0] or {}), **added}, state[1])
    return (made, args, state, None, None, torch._utils._set_obj_state) if state else (made, args)


def _made(torch: Any, tensor: Any, kind: Any) -> tuple[Any, tuple[Any, ...]]:
    if issubclass(kind, torch.nn.Parameter) and kind.__new__ is torch.nn.Parameter.__new__:
        return torch._utils._rebuild_parameter, (tensor.data, tensor.requires_grad, None)
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested or tensor.device.type == "meta":
        return _made_by_torch(tensor)
    base = tensor._base
    place = tuple(tensor.shape), tensor.stride(), tensor.storage_offset()
    plain = base is not None and base.layout is torch.strided and not base.is_nested and not base.requires_grad
    if plain and base.dtype == tensor.dtype:  # an operation in place that autograd notes on one is noted on both
        bits = torch.Tensor.conj if tensor.is_conj() else torch._neg_view if tensor.is_neg() else None
        made, args = torch.Tensor.as_strided, (base, *place)
        return (bits, (Form(made, *args),)) if bits else (made, args)
    if tensor.is_conj() or tensor.is_neg():
        return _made_by_torch(tensor)
    empty = Form(_as_made(torch, tensor, functools.partial(torch.empty, 0, dtype=tensor.dtype, device="cpu")))
    return _as_made(torch, tensor, torch.Tensor.set_), (empty, tensor.untyped_storage(), place[2], *place[:2])


def _made_by_torch(tensor: Any) -> tuple[Any, tuple[Any, ...]]:
    made, args = tensor._reduce_ex_internal(5)
    return made, tuple(None if type(arg) is OrderedDict else arg for arg in args)  # hooks, which it has not


def _as_made(torch: Any, tensor: Any, make: Any) -> Any:
    """The callable that makes a tensor, to be called in inference mode if this one was made in it."""
    return Form(operator.call, Form(torch.inference_mode), make) if tensor.is_inference() else make


def _added(tensor: Any) -> dict[str, Any]:
    """What torch leaves out, as attributes to be set."""
    found = {}
    if tensor.requires_grad:
        found["requires_grad"] = True
    if tensor.grad is not None:
        found["grad"] = tensor.grad
    for name in ("_backward_hooks", "_post_accumulate_grad_hooks"):
        hooks = getattr(tensor, name, None)
        if hooks is not None:
            found[name] = _with_handle(hooks) if hooks else hooks
    return found


def _module(module: Any) -> Any:
    """A module as always, but the hooks that are added to it later get numbers of their own."""
    reduced = module.__reduce_ex__(5)
    if len(reduced) < 3 or type(reduced[2]) is not dict:
        return reduced
    state = {name: _with_handle(value) if _are_hooks(name, value) else value for name, value in reduced[2].items()}
    return (*reduced[:2], state, *reduced[3:])


def _are_hooks(name: str, value: Any) -> bool:
    return type(value) is OrderedDict and bool(value) and name.endswith("_hooks")


def _with_handle(hooks: Any) -> Any:
    """Hooks, read together with the handle of the last one: reading a handle counts on from its number."""
    handle_type: Any = sys.modules["torch"].utils.hooks.RemovableHandle
    handle = object.__new__(handle_type)  # its __init__ would count too
    handle.__setstate__((hooks, -1))
    handle.id = max(hooks)
    return Form(operator.getitem, (hooks, handle), 0)


def _optimizer(optimizer: Any, held: dict[int, Any]) -> Any:
    """All attributes: `__getstate__` leaves out hooks, and that a scheduler watches the calls of `step`.

    What it watches is the method that the first optimizer of the class has put there, and which calls hooks. So that
    method is put there before the attributes are read, which come in their order.
    """
    held[identity(optimizer)] = optimizer
    state: Mapping[str, Any] = vars(optimizer)
    state = {name: _with_handle(value) if _are_hooks(name, value) else value for name, value in state.items()}
    made = Form(eval, _MADE) if hasattr(optimizer, "_patch_step_function") else copyreg.__newobj__  # type: ignore[attr-defined]  # no stubs
    return made, (type(optimizer),), state


_MADE: Final = """lambda kind: (
    lambda made: (made._patch_step_function(), vars(made).clear(), made)[-1])(kind.__new__(kind))"""


def _weak(reference: Any, held: Mapping[int, Any]) -> Any:
    """A weak reference to what holds it, as the watched `step` of an optimizer does; others might come back dead."""
    target = reference()
    return (weakref.ref, (target,)) if identity(target) in held and reference.__callback__ is None else NotImplemented

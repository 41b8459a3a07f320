"""The random generators of the process: `random`, numpy's legacy one, those of torch, keras, tensorflow, sympy, numba.

Read, compare, put back. Those of libraries only where they are imported already; states are builtins and arrays.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import random
import struct
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ckpt_magic.values.libraries import needed

_library: Final = functools.partial(needed, "the step drew random numbers of")

States = Mapping[str, Any]


def look() -> dict[str, Any]:
    """Read the state of every generator."""
    return {name: state for name, read in _READERS.items() if (state := read()) is not None}


def equal(before: States, after: States) -> bool:
    """Tell whether no generator was seeded or drawn from between two looks."""
    return not moved(before, after)


def moved(before: States, after: States) -> set[str]:
    """Name the generators that were seeded or drawn from between two looks."""
    found = set()
    for name, state in after.items():
        if name not in before:  # one that came with an import, and is not seeded yet or was seeded by that
            if state != [] and (name != "numpy.random" or not _fresh_from_import(state)):
                found.add(name)
        elif not _same(before[name], state):
            found.add(name)
    return found


def seeded(before: States, after: States, name: str) -> bool:
    """Tell whether a generator has a state that drawing alone does not lead to from the one that it had before.

    Those of CUDA begin with the same seed in each process. Drawing leads from one state to a certain next one: so it is
    tried whether it leads here, as far as half a second of it.
    """
    if name == "torch.cuda":
        return True
    was, now = _words(before.get(name)), _words(after.get(name))
    return was is not None and now is not None and not _is_ahead(was, now)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Undo draws inside: pickling runs a ``__getstate__`` of the user, and how often that happens must not matter."""
    before = _again()
    try:
        yield
    finally:
        for name, state in _again().items():
            if name in before and not _same(before[name], state):
                _SETTERS[name](before[name])


def check(states: States) -> None:
    """Import the libraries of these generators, but for those that nothing draws from until something else loads them.

    Raises
    ------
    CheckpointUnreadableError
        One is not here.
    """
    for name in states.keys() - _LOADED_BY_OTHERS:
        _library(name)


def put_back(states: States) -> None:
    """Set the state of every generator."""
    for name, value in states.items():
        _SETTERS[name](value)


def _again() -> dict[str, Any]:
    """The same as `look`, which was called before the code ran that may have drawn since.

    To read the state of numpy's takes a tenth of a millisecond. While its memory is the same nothing was drawn, unless
    a number lay ready for the next normal draw.
    """
    memory, state = _read_last
    is_same = memory is not None and not state["has_gauss"] and memory == _memory_of_numpys()
    return {
        name: found
        for name, read in _READERS.items()
        if (found := state if is_same and name == "numpy.random" else read()) is not None
    }


def _memory_of_numpys() -> bytes | None:
    """What the Mersenne Twister of numpy has in memory; None for another generator."""
    module = sys.modules.get("numpy.random")
    find = getattr(module, "get_bit_generator", None)  # numpy has it since 1.24
    generator = find() if find is not None else None
    if generator is None or type(generator) is not getattr(module, "MT19937", None):
        return None
    return ctypes.string_at(generator.ctypes.state_address, _TWISTER.size)


_TWISTER: Final = struct.Struct("624Ii")
_read_last: Final[list[Any]] = [None, {}]  # the memory that numpy's had just before it was read last, and its state


def _numpy_state() -> dict[str, Any] | None:
    numpy = sys.modules.get("numpy")
    is_there = type(numpy) is types.ModuleType and not getattr(numpy.__spec__, "_initializing", False)
    if is_there and "numpy.random" not in sys.modules:
        importlib.import_module("numpy.random")  # numpy loads and seeds it when first used, in each kernel otherwise
    read = getattr(sys.modules.get("numpy.random"), "get_state", None)  # absent while numpy is being imported
    if read is None:
        return None
    memory = _memory_of_numpys()
    state: dict[str, Any] = read(legacy=False)
    _read_last[:] = memory, state
    return state


def _torch_state() -> bytes | None:
    read = getattr(sys.modules.get("torch"), "get_rng_state", None)
    return read().numpy().tobytes() if read is not None else None


def _cuda_state() -> list[bytes] | None:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():  # reading would start it
        return None
    return [state.numpy().tobytes() for state in cuda.get_rng_state_all()]


def _keras_state() -> list[int] | None:
    """What `keras.random` goes on with; empty where it will ask `random` for a seed."""
    tracker = getattr(sys.modules.get(_OF_KERAS), "GLOBAL_STATE_TRACKER", None)
    if tracker is None:
        return None
    generator = vars(tracker).get("global_seed_generator")
    return [] if generator is None else [int(word) for word in generator.state.numpy()]


def _tensorflow_state() -> list[Any] | None:
    """The seed of tensorflow and what gives the next operation its own; empty where nobody has set a seed."""
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    if context is None:
        return None if "tensorflow" not in sys.modules else []
    return [] if context._seed is None else [context._seed, context._rng.getstate()]


def _sympy_state() -> Any:
    """What `sympy.core.random` draws from, as `randMatrix` does."""
    generator = getattr(sys.modules.get(_OF_SYMPY), "rng", None)
    return generator.getstate() if type(generator) is random.Random else None


def _numba_state() -> list[bytes] | None:
    """What compiled functions draw from by `random` and by `numpy.random`: each has a generator of its own there."""
    return [ctypes.string_at(where, _STATE_OF_NUMBA.size) for where in _places_of_numba()] or None


def _places_of_numba() -> list[int]:
    """Where numba keeps them in memory; none where it keeps something else there."""
    helpers = sys.modules.get("numba._helperlib")
    if not hasattr(helpers, "rnd_get_state"):
        return []
    places = [helpers.rnd_get_py_state_ptr(), helpers.rnd_get_np_state_ptr()]  # type: ignore[union-attr]
    return places if _is_as_told(helpers, places[0]) else []


@functools.lru_cache(maxsize=8)
def _is_as_told(helpers: Any, place: int) -> bool:
    index, words = helpers.rnd_get_state(place)
    *told, lies_ready, _, is_there = _STATE_OF_NUMBA.unpack(ctypes.string_at(place, _STATE_OF_NUMBA.size))
    return told == [index, *words] and {lies_ready, is_there} <= {0, 1}


# ``rnd_state_t`` in ``numba/_random.c``: index, words, whether a normal number lies ready, that, whether it is set
_STATE_OF_NUMBA: Final = struct.Struct("@i624Iidi4x")
_OF_SYMPY: Final = "sympy.core.random"
_LOADED_BY_OTHERS: Final = frozenset({"sympy", "numba"})
_OF_KERAS: Final = "keras.src.backend.common.global_state"

_Words = tuple[tuple[int, ...], int]
"""What a Mersenne Twister holds, and how many words of that are drawn."""


def _words(state: Any) -> _Words | None:
    """The words of a generator that is a Mersenne Twister, as those of `random`, of torch and, as a rule, of numpy."""
    if isinstance(state, list) and state and isinstance(state[-1], tuple):  # tensorflow's
        state = state[-1]
    if isinstance(state, tuple):
        return state[1][:-1], state[1][-1]
    if isinstance(state, bytes):
        left, following, *words = struct.unpack_from("=8xi4xQ624Q", state)
        return tuple(words), 624 if left == 1 else following
    if isinstance(state, dict) and state["bit_generator"] == "MT19937":
        return tuple(state["state"]["key"].tolist()), state["state"]["pos"]
    return None


def _is_ahead(before: _Words, after: _Words) -> bool:
    """Whether drawing leads from one state to another."""
    if before[0] == after[0]:
        return before[1] <= after[1]
    twin = random.Random()  # noqa: S311
    twin.setstate((3, (*after[0], 0), None))
    wanted = twin.getrandbits(_BLOCK).to_bytes(_BLOCK // 8, "little")
    twin.setstate((3, (*before[0], _BLOCK // 32), None))
    size = _BLOCK * 64
    return any(wanted in twin.getrandbits(size).to_bytes(size // 8, "little") for _ in range(_FAR // size))


_BLOCK: Final = 624 * 32  # bits that one set of words gives
_FAR: Final = 1 << 29  # bits that are drawn to find out where drawing leads


def _fresh_from_import(state: Mapping[str, Any]) -> bool:
    """Tell whether numpy's legacy generator is as `import numpy` left it.

    Its seed comes from the system then, so it cannot be compared with anything. But numpy marks it: position 623 and
    this first word mean "never seeded, never drawn from"; seeding leaves 624, drawing moves on.
    """
    if state["bit_generator"] != "MT19937":
        return False
    inner = state["state"]
    return bool(inner["pos"] == 623 and inner["key"][0] == 0x80000000 and not state["has_gauss"])


def _same(a: Any, b: Any) -> bool:
    """Compare two generator states; they hold numbers, tuples, dicts and arrays."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if hasattr(a, "tobytes"):
        return bool(a.tobytes() == b.tobytes())
    return bool(a == b)


def _put_numpy(state: dict[str, Any]) -> None:
    numpy_random = _library("numpy.random")
    now = numpy_random.get_state(legacy=False)
    if _same(now, state):  # as a rule: few steps draw from it, and setting takes longer than reading
        return
    if now["bit_generator"] != state["bit_generator"]:
        numpy_random.set_bit_generator(getattr(numpy_random, state["bit_generator"])())
    numpy_random.set_state(state)


def _put_torch(state: bytes) -> None:
    torch = _library("torch")
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _put_cuda(states: list[bytes]) -> None:
    torch = _library("torch")
    for number, state in enumerate(states[: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8), number)


def _put_keras(state: list[int]) -> None:
    if state == _keras_state():
        return
    keras, generator = _library("keras"), None
    if state:
        generator = keras.random.SeedGenerator(0, name="seed_generator")  # a name that it makes up is one of a kind
        generator.state.assign(state)
    _library(_OF_KERAS).set_global_attribute("global_seed_generator", generator)


def _put_tensorflow(state: list[Any]) -> None:
    if state == _tensorflow_state():
        return
    seed, words = state or (None, None)
    _library("tensorflow").random.set_seed(seed)
    if words is not None:
        _library("tensorflow.python.eager.context").context()._rng.setstate(words)


def _put_sympy(state: Any) -> None:
    if (module := sys.modules.get(_OF_SYMPY)) is not None:
        module.rng.setstate(state)


def _put_numba(states: list[bytes]) -> None:
    for place, state in zip(_places_of_numba(), states, strict=False):
        ctypes.memmove(place, state, len(state))


_READERS: Final = {
    "random": random.getstate,
    "numpy.random": _numpy_state,
    "torch": _torch_state,
    "torch.cuda": _cuda_state,
    "keras": _keras_state,
    "tensorflow": _tensorflow_state,
    "sympy": _sympy_state,
    "numba": _numba_state,
}
_SETTERS: Final[dict[str, Any]] = {
    "random": random.setstate,
    "numpy.random": _put_numpy,
    "torch": _put_torch,
    "torch.cuda": _put_cuda,
    "keras": _put_keras,
    "tensorflow": _put_tensorflow,
    "sympy": _put_sympy,
    "numba": _put_numba,
}

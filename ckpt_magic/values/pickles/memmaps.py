"""Arrays over a file: a restore maps the file again, if it holds what it held, and puts every view over that map.

A file that is only read is known by its size and time; one that is written through the map by its content, since a
write through a map need not change the time of a file at once.
"""

from __future__ import annotations

import hashlib
import mmap
import sys
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.memory import address, is_writeable
from ckpt_magic.values.pickles.definitions import Definitions
from ckpt_magic.values.pickles.forms import Form
from ckpt_magic.values.proofs import Proofs

_PROOF: Final = """lambda name, written, offset, size: (lambda os, hashlib, file: (
    file.seek(offset), hashlib.blake2b(file.read(size)).hexdigest() if written else
    '%d %d' % (os.stat(name).st_size, os.stat(name).st_mtime_ns), file.close())[1])(
    __import__('os'), __import__('hashlib'), open(name, 'rb'))"""
_MAPPED: Final = """lambda kind, name, dtype, mode, offset, shape, order, proof, told: (
    lambda made: (setattr(made, 'mode', mode), made)[1])(
    kind(name, dtype, 'r+' if mode == 'w+' else mode, offset, shape, order)) if told == proof else (
    {}['the file of a numpy.memmap was changed'])"""
_PART: Final = """lambda array, attributes, root: (lambda made: (
    made.__dict__.update(attributes, _mmap=root._mmap), made)[1])(array.view(type(root)))"""

_proof: Final = eval(_PROOF)  # noqa: S307  # the writer asks as the reader does


def root(array: Any) -> Any:
    """The `numpy.memmap` that opened the file that an array lies over; none if it lies over no file."""
    numpy = sys.modules["numpy"]
    while isinstance(array.base, numpy.ndarray):
        array = array.base
    return array if isinstance(array, numpy.memmap) and type(array.base) is mmap.mmap else None


def opened(array: Any, known: Definitions, proofs: Proofs) -> tuple[Any, ...]:
    """Reduce a map of a file, of which `proofs` tells what it holds."""
    if array.filename is None:
        raise NotPicklableError("a numpy.memmap of a file without a name")
    name, mode, size = array.filename, array.mode, array.nbytes
    written = mode in ("r+", "w+")
    if written:
        array.flush()
    start = address(array)
    try:
        if not proofs.is_mapped(array.base, start, name):
            raise NotPicklableError("a numpy.memmap of a file in whose place another one is now")
        proof = proofs.content(name, array.offset, size) if written else _proof(name, False, array.offset, size)
        is_own = mode == "c" and not proofs.is_of_file((start, size))
        if is_own and proofs.content(name, array.offset, size) != _content(array):
            raise NotPicklableError("a numpy.memmap with changes of its own")
    except OSError as error:
        raise NotPicklableError(f"a numpy.memmap whose file cannot be read: {error.strerror}") from error
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    told = Form(known.evaluated(_PROOF), name, written, array.offset, size)
    args = (type(array), name, array.dtype, mode, array.offset, array.shape, order, proof, told)
    return known.evaluated(_MAPPED), args


def _content(array: Any) -> str:
    return hashlib.blake2b(array.ravel("K").view("u1")).hexdigest()


def part(array: Any, over: Any, known: Definitions) -> tuple[Any, ...]:
    """Reduce an array over a map, which is `over`."""
    numpy = sys.modules["numpy"]
    start = address(array) - address(over)
    args = array.shape, array.dtype, over, start, array.strides
    fixed = is_writeable(over) and not is_writeable(array)
    if type(array) is numpy.ndarray:
        return (numpy.ndarray, args, False, None, None, numpy.ndarray.setflags) if fixed else (numpy.ndarray, args)
    if type(array) is not type(over) or fixed:
        raise NotPicklableError(f"a {type(array).__name__} over a numpy.memmap")
    attributes = {name: value for name, value in vars(array).items() if name != "_mmap"}
    return known.evaluated(_PART), (Form(numpy.ndarray, *args), attributes, over)

"""What a cell showed, as a list of nbformat v4 outputs.

An `OutputList` takes messages one by one and keeps what a notebook would hold at the end of the cell: neighbouring
streams merged, text before a carriage return dropped, cleared outputs gone, updated displays in their last state.
Its cost is linear in what it is given. It knows nothing of IPython; `faces.recording` feeds it and replays it.

nbformat has no place for a display id, which a later cell needs to update a display. It travels in the output's
metadata under the key `ckpt_magic`; `split` takes it out again before anything is shown, `shown` for a whole list.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_CAP = 64 * 1024 * 1024
PRIVATE = "ckpt_magic"
_FOLD_FROM = 64 * 1024


def fold(text: str) -> str:
    r"""Drop what a carriage return overwrites; a carriage return that ends a line (`\r\n`) or the text stays.

    Same result as nbclient's `.*\r(?=[^\n])`, which is quadratic in the length of a line.
    """
    if "\r" not in text:
        return text
    return "\n".join([line[line.rfind("\r", 0, max(len(line) - 1, 0)) + 1 :] for line in text.split("\n")])


def is_banner(metadata: object) -> bool:
    """Whether this is the metadata of one of our banners."""
    return "action" in _private(metadata)


def is_ours(metadata: object) -> bool:
    """Whether this is the metadata of a banner or of progress, which no step records."""
    return not _private(metadata).keys().isdisjoint(("action", "progress"))


def _private(metadata: object) -> Mapping[str, Any]:
    mine = metadata.get(PRIVATE) if isinstance(metadata, Mapping) else None
    return mine if isinstance(mine, Mapping) else {}


def split(output: Mapping[str, Any]) -> tuple[dict[str, Any], str | None, bool]:
    """Take our private key out of a stored output.

    Returns
    -------
    tuple
        The output as a notebook holds it, its display id if it has one, and whether it is an update of a display
        that another cell made (such an output is no output of the cell itself).
    """
    clean = dict(output)
    metadata = clean.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get(PRIVATE), Mapping):
        return clean, None, False
    mine = metadata[PRIVATE]
    clean["metadata"] = {key: value for key, value in metadata.items() if key != PRIVATE}
    display_id = mine.get("display_id")
    return clean, None if display_id is None else str(display_id), bool(mine.get("update"))


def shown(outputs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return stored outputs as the notebook shows them: no private keys, no updates of other cells' displays."""
    parts = [split(output) for output in outputs]
    return [clean for clean, _, update in parts if not update]


def json_clean(value: Any) -> Any:
    """Make a mime bundle or metadata JSON-able: bytes as base64 text, tuples as lists, what is left as text."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, Mapping):
        return {str(key): json_clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_clean(item) for item in value]
    return str(value)


class OutputList:
    """The outputs of one cell, built from its messages.

    Parameters
    ----------
    cap
        Bytes that may be held. From the first message that does not fit on, nothing more is recorded (of a stream
        the part that fits is kept) until the cell clears its output.
    """

    def __init__(self, cap: int = DEFAULT_CAP) -> None:
        self.cap = cap
        self._items: list[_Stream | _Shown] = []
        self._displays: dict[str, list[_Shown]] = {}
        self._foreign: dict[str, _Shown] = {}
        self._held = 0
        self._cut: int | None = None
        self._clear_next = False

    @property
    def cut(self) -> int | None:
        """Bytes that were kept when recording stopped at the cap, or None if all was kept."""
        return self._cut

    def add(self, msg_type: str, content: Mapping[str, Any]) -> None:
        """Take one message; types that are no output of a cell are ignored.

        Parameters
        ----------
        msg_type
            Type of the Jupyter message: `stream`, `display_data`, `update_display_data`, `execute_result`, `error` or
            `clear_output`.
        content
            Content of the message, JSON-able.
        """
        if msg_type == "clear_output":
            if content.get("wait"):
                self._clear_next = True
            else:
                self._clear()
        elif msg_type == "update_display_data":
            self._update(content)
        elif msg_type in ("stream", "display_data", "execute_result", "error"):
            if msg_type != "stream" and is_ours(content.get("metadata")):
                return
            if self._clear_next:
                self._clear()
            if msg_type == "stream":
                self._stream(str(content.get("name", "stdout")), str(content.get("text", "")))
            else:
                self._show(msg_type, content)

    def result(self) -> list[dict[str, Any]]:
        """Return nbformat v4 outputs; updates of other cells' displays come last."""
        outputs: list[dict[str, Any]] = []
        for item in [*self._items, *self._foreign.values()]:
            output = item.output()
            if output["output_type"] == "stream":
                if not output["text"]:
                    continue
                if outputs and outputs[-1]["output_type"] == "stream" and outputs[-1]["name"] == output["name"]:
                    outputs[-1]["text"] = fold(outputs[-1]["text"] + output["text"])
                    continue
            outputs.append(output)
        return outputs

    def _clear(self) -> None:
        # An update of another cell's display stays: clearing is about this cell only.
        self._items.clear()
        self._displays.clear()
        self._held = sum(item.size for item in self._foreign.values())
        self._cut = None
        self._clear_next = False

    def _stream(self, name: str, text: str) -> None:
        if self._cut is not None or not text:
            return
        room = self.cap - self._held
        size = _size(text)
        kept = text if size <= room else text.encode("utf-8", "replace")[: max(room, 0)].decode("utf-8", "ignore")
        last = self._items[-1] if self._items else None
        if not isinstance(last, _Stream) or last.name != name:
            last = _Stream(name)
            self._items.append(last)
        self._held += last.add(kept)
        if kept is not text:
            self._stop()

    def _show(self, msg_type: str, content: Mapping[str, Any]) -> None:
        if self._cut is not None:
            return
        item = _Shown.from_message(msg_type, content)
        if self._held + item.size > self.cap:
            self._stop()
            return
        self._held += item.size
        self._items.append(item)
        if item.display_id is not None:
            self._displays.setdefault(item.display_id, []).append(item)

    def _update(self, content: Mapping[str, Any]) -> None:
        new = _Shown.from_message("display_data", content)
        if new.display_id is None or is_ours(new.content.get("metadata")):
            return
        targets = self._displays.get(new.display_id)
        if targets is None:
            new.update = True
            targets = [self._foreign.setdefault(new.display_id, _Shown("display_data", {}, new.display_id, True, 0))]
        grown = sum(new.size - target.size for target in targets)
        if self._cut is not None or self._held + grown > self.cap:
            self._stop()
            return
        self._held += grown
        for target in targets:
            target.content = {**target.content, "data": new.content["data"], "metadata": new.content["metadata"]}
            target.size = new.size

    def _stop(self) -> None:
        if self._cut is not None:
            return
        self._cut = self._held
        note = f"[ckpt_magic: recorded up to here ({self._held:,} bytes); what the step showed later was not kept]\n"
        before = self._items[-1].ends_line() if self._items else True
        last = _Stream("stderr")
        last.add(note if before else "\n" + note)
        self._items.append(last)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _weight(value: Any) -> int:
    """Bytes of a JSON-able value, about."""
    if isinstance(value, str):
        return _size(value)
    if isinstance(value, Mapping):
        return sum(_weight(key) + _weight(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return sum(_weight(item) for item in value)
    return 8


@dataclass(slots=True)
class _Stream:
    name: str
    chunks: list[str] = field(default_factory=list)
    size: int = 0
    _folded: int = 0
    _returns: bool = False

    def add(self, text: str) -> int:
        """Append; return by how much the item grew. A progress bar is folded each time it has doubled: linear."""
        before = self.size
        self.chunks.append(text)
        self.size += _size(text)
        self._returns = self._returns or "\r" in text
        if self._returns and self.size > 2 * self._folded + _FOLD_FROM:
            folded = fold("".join(self.chunks))
            self.chunks = [folded]
            self.size = self._folded = _size(folded)
        return self.size - before

    def ends_line(self) -> bool:
        return not self.chunks or self.chunks[-1].endswith("\n")

    def output(self) -> dict[str, Any]:
        return {"output_type": "stream", "name": self.name, "text": fold("".join(self.chunks))}


@dataclass(slots=True)
class _Shown:
    kind: str
    content: dict[str, Any]
    display_id: str | None
    update: bool
    size: int

    @classmethod
    def from_message(cls, msg_type: str, content: Mapping[str, Any]) -> _Shown:
        if msg_type == "error":
            kept = {
                "ename": str(content.get("ename", "")),
                "evalue": str(content.get("evalue", "")),
                "traceback": [str(line) for line in content.get("traceback") or []],
            }
            return cls(msg_type, kept, None, False, _weight(kept))
        shown = {"data": dict(content.get("data") or {}), "metadata": dict(content.get("metadata") or {})}
        display_id = (content.get("transient") or {}).get("display_id")
        return cls(msg_type, shown, None if display_id is None else str(display_id), False, _weight(shown))

    def ends_line(self) -> bool:
        return True

    def output(self) -> dict[str, Any]:
        output: dict[str, Any] = {"output_type": self.kind, **self.content}
        if self.kind == "execute_result":
            output["execution_count"] = None  # the number belongs to the kernel that shows it
        if self.display_id is not None:
            mine: dict[str, Any] = {"display_id": self.display_id}
            if self.update:
                mine["update"] = True
            output["metadata"] = {**output["metadata"], PRIVATE: mine}
        return output

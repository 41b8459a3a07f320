"""What cells have done for them by the user's own modules: at their import, and when their functions are called."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Set

from ckpt_magic.steps.modules import Modules
from ckpt_magic.values.code import modulecode, syntax
from ckpt_magic.values.code.standins import StandIns
from ckpt_magic.values.code.statements import Lent


class Lender:
    """Goes along with the cells of one notebook, in order: what one of them imports, those below it may call.

    Parameters
    ----------
    modules
        Where the texts of modules are.
    """

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._texts: dict[str, str] = {}
        self.stand_ins = StandIns(self._texts)
        self._ran: dict[str, None] = {}  # modules, in the order of their imports
        self.imported: dict[str, Set[str]] = {}
        """The modules that cells import, each with the user's own among it and all that it imports."""
        self.scripts: set[str] = set()
        """Paths of the scripts that cells run: their texts are among the statements."""

    def onward(self) -> Lender:
        """Another one, which goes on from here by itself."""
        lender = copy.copy(self)
        vars(lender).update(copy.deepcopy({name: one for name, one in vars(self).items() if name != "_modules"}))
        return lender

    def __call__(self, words: Set[str], imports: Set[str]) -> Lent:
        """What a statement with these words has done for it, that imports these modules."""
        new: dict[str, str] = {}
        for name in sorted(imports - self.imported.keys()):
            found = self._modules.own([name])
            self.imported[name] = frozenset(found)
            self._ran |= dict.fromkeys(self._modules.in_order(name, found))
            new |= {one: text for one, text in found.items() if one not in self._texts}
        self._texts |= new
        if not self._texts:
            return Lent()
        called, count = frozenset(words), -1
        while len(called) != count:
            count = len(called)
            called = called.union(*(modulecode.words_called(text, called) for text in self._texts.values()))
        parts = [modulecode.run_by(text, called, imported=name in new) for name, text in sorted(self._texts.items())]
        digest = hashlib.blake2b(" ".join(one for _, one in parts).encode(), digest_size=8)
        return Lent(frozenset[str]().union(*(found for found, _ in parts)), digest.hexdigest())

    def script(self, path: str) -> str | None:
        """The text of a script, or of a notebook without magics, that a cell runs."""
        found = self._modules.script(path)
        if found is None:
            return None
        text = notebooks_code(found[1]) if found[0].endswith(".ipynb") else found[1]
        if text is not None:
            self.scripts.add(found[0])
        return text

    def acting(self, own: Set[str], libraries: Set[str]) -> list[str]:
        """The user's own modules that set something in these of them, or in these libraries, as they are imported."""
        names = dict.fromkeys((*self._ran, *sorted(self._texts)))
        return [one for one in names if self._modules.acts_on(one, own, libraries, is_called=True)]

    def ways(self, modules: Iterable[str]) -> list[str]:
        """What cells import by which they may change what these modules hold."""
        wanted = {*modules}
        return sorted(name for name, own in self.imported.items() if not wanted.isdisjoint(own))


def notebooks_code(text: str) -> str | None:
    """The code of a notebook's file; None if it is not Python alone."""
    try:
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        code = "\n".join("".join(cell["source"]) for cell in cells)
        return code if syntax.parsed(code) is not None else None
    except (ValueError, KeyError, TypeError):
        return None

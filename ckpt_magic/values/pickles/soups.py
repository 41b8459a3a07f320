"""Elements of a page that BeautifulSoup read: they come back as parts of the page that its text gives again.

bs4 pickles a page as its text, and an element with all that it is linked to, which comes back apart from the page:
`rows = soup.find_all("tr")`, and what is then done to a row would not be done to `soup`. An element is met by its
place in the page instead, if the text gives a page with the same places.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any, Final

from ckpt_magic.errors import NotPicklableError
from ckpt_magic.values.memory import identity
from ckpt_magic.values.pickles.forms import Form


class Soups:
    """What one pickler knows of pages."""

    def __init__(self) -> None:
        self._same: dict[int, bool] = {}  # per page whether its text gives it again
        self._places: dict[int, dict[int, int]] = {}  # per element where in it others are

    def reducer_for(self, kind: type) -> Callable[[Any], Any] | None:
        """Return what reduces objects of this kind, if they are elements of pages."""
        element: Any = getattr(sys.modules.get("bs4.element"), "PageElement", None)
        page: Any = getattr(sys.modules.get("bs4"), "BeautifulSoup", None)
        if element is None or not issubclass(kind, element) or page is None or issubclass(kind, page):
            return None
        return lambda one: self._reduced(one, page)

    def _reduced(self, element: Any, page: type) -> Any:
        root = element
        while (above := root.parent) is not None:
            root = above
        if not isinstance(root, page):
            return NotImplemented  # it was taken out
        if identity(root) not in self._same:
            self._same[identity(root)] = _is_same(root, _read_again(root))
        if not self._same[identity(root)]:
            raise NotPicklableError("an element of a page that its text does not give again")
        inside = element.parent.contents
        places = self._places.get(identity(inside))
        if places is None:
            places = self._places[identity(inside)] = {identity(one): at for at, one in enumerate(inside)}
        return operator.getitem, (Form(getattr, element.parent, "contents"), places[identity(element)])


def _read_again(page: Any) -> Any:
    """The page that the text of one gives, as an unpickler makes it."""
    kind: Any = type(page)
    twin = kind.__new__(kind)
    twin.__setstate__({**page.__getstate__(), "builder": type(page.builder)})
    return twin


def _is_same(one: Any, other: Any) -> bool:
    """Whether two pages have the same elements in the same places."""
    todo = [(one, other)]
    while todo:
        one, other = todo.pop()
        inside = getattr(one, "contents", None) if not isinstance(one, str) else None
        if type(one) is not type(other) or (inside is None and one != other):
            return False
        if inside is None:
            continue
        if any(getattr(one, name) != getattr(other, name) for name in _TOLD) or len(inside) != len(other.contents):
            return False
        todo += zip(inside, other.contents, strict=True)
    return True


_TOLD: Final = ("name", "prefix", "namespace", "attrs")

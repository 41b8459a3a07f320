"""Goes along with the cells of one notebook, in order, whether they ran or are only read: for `values.origins`."""

from __future__ import annotations

import ast

from ckpt_magic.steps.lent import Lender
from ckpt_magic.values.code import syntax
from ckpt_magic.values.code.statements import Statement, Step, statements
from ckpt_magic.values.origins import Past


class Course:
    """The cells of a notebook so far.

    The code of a step is read when an unmarked cell comes after it, which may use what the step defines: most steps
    have none.

    Parameters
    ----------
    lender
        What cells have done for them by modules.

    Attributes
    ----------
    past
        The statements of unmarked cells, and the steps.
    """

    def __init__(self, lender: Lender) -> None:
        self.past = Past()
        self.lender = lender
        self._unread: dict[int, ast.Module | str] = {}  # by their places, the code of steps

    def onward(self) -> Course:
        """Another one, which goes on from here by itself."""
        course = Course(self.lender.onward())
        course.past = Past(self.past.events)
        course._unread = dict(self._unread)
        return course

    def cell(self, tree: ast.Module) -> None:
        """Go on by an unmarked cell."""
        self.read_steps()
        self.past.add(statements(tree, self.lender))

    def step(self, step: Step, code: ast.Module | str) -> None:
        """Go on by a step that ran, or was restored, from such code."""
        self._unread[len(self.past.events)] = code
        self.past.add([step])

    def read_steps(self) -> None:
        """Read the code of the steps so far."""
        for at, code in self._unread.items():
            self.past.learn(at, self.read(code))
        self._unread.clear()

    def read(self, code: ast.Module | str) -> list[Statement]:
        """The statements of some code; none if it is no plain Python."""
        tree = syntax.parsed(code) if isinstance(code, str) else code
        return list(statements(tree, self.lender)) if tree is not None else []

"""What is saved and restored by all: values of a kind, always the same. Imports libraries only where they are used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.ensemble import RandomForestClassifier


@dataclass(frozen=True, slots=True)
class Workload:
    """A value to be saved.

    Attributes
    ----------
    what
        What it is; with a place for how many.
    size
        How many of them.
    make
        Makes the value of a size, always the same.
    touch
        Looks at all of it.
    large
        How many times fewer of them those get that go through the objects in Python, and would take minutes.
    """

    what: str
    size: int
    make: Callable[[int], Any]
    touch: Callable[[Any], object]
    large: int = 1


def flat_dicts(size: int) -> list[dict[str, Any]]:
    """Dicts of atoms, which the collector does not follow."""
    return [{"id": k, "name": f"name {k}", "score": k / 7} for k in range(size)]


def nested_dicts(size: int) -> list[dict[str, Any]]:
    """Dicts that hold a list, which the collector follows."""
    return [{"id": k, "name": f"name {k}", "tags": [k % 7, k % 11]} for k in range(size)]


POINT = """
class Point:
    def __init__(self, x, y, label):
        self.x, self.y, self.label = x, y, label

    def distance(self):
        return (self.x**2 + self.y**2) ** 0.5
"""


def instances(size: int) -> list[Any]:
    """Instances of a class that a notebook defines: `pickle` writes it as a name of ``__main__``."""
    space = vars(sys.modules["__main__"])
    if "Point" not in space:
        exec(POINT, space)
    return [space["Point"](k, k / 3, f"point {k}") for k in range(size)]


def forest(size: int) -> RandomForestClassifier:
    """A trained forest of decision trees."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(1)
    table = rng.random((2_000, 10))
    return RandomForestClassifier(n_estimators=size, random_state=1).fit(table, table[:, 0] + table[:, 1] > 1)


def frame(size: int) -> pd.DataFrame:
    """A frame of mixed dtypes without objects."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(1)
    columns = {
        "number": rng.random(size),
        "count": rng.integers(0, 9, size),
        "flag": rng.random(size) > 0.5,
        "at": rng.integers(0, 10**18, size).astype("datetime64[ns]"),
        "kind": pd.Categorical(np.array(list("wxyz"))[rng.integers(0, 4, size)]),
    }
    return pd.DataFrame(columns)


def strings(size: int) -> pd.DataFrame:
    """The same with two columns of strings as objects: one of few that come again, one of all different ones."""
    import numpy as np
    import pandas as pd

    made = frame(size)
    words = np.array([f"word {k}" for k in range(1_000)], dtype=object)
    made["word"] = pd.Series(words[np.random.default_rng(2).integers(0, 1_000, size)], dtype=object)
    made["label"] = pd.Series([f"label {k}" for k in range(size)], dtype=object)
    return made


def mixed(size: int) -> dict[str, Any]:
    """Objects that share objects, arrays that are views of one memory."""
    import numpy as np

    memory = np.random.default_rng(1).random(size)
    shared = [{"key": k} for k in range(size // 100)]
    return {
        "memory": memory,
        "halves": [memory[: size // 2], memory[size // 2 :]],
        "turned": memory.reshape(-1, 10).T,
        "one": shared,
        "other": shared[::-1],
        "pairs": [(shared[k], shared[-k]) for k in range(1, size // 100)],
    }


def array(size: int) -> Any:
    """One array of floats."""
    import numpy as np

    return np.random.default_rng(1).random(size)


def variables(size: int) -> dict[str, Any]:
    """What a notebook has of small variables."""
    return {f"v_{k}": [k, str(k), {"k": k / 7}] for k in range(size)}


def workloads(*, quick: bool) -> list[Workload]:
    """What is measured; a fiftieth of it in a hurry."""
    part = 50 if quick else 1
    return [
        Workload("an array of {:,} floats", (1 << 27) // part, array, lambda floats: floats.sum()),
        Workload("{:,} small variables", 1_000, variables, lambda names: sum(one[0] for one in names.values())),
        Workload("{:,} flat dicts", 1_000_000 // part, flat_dicts, lambda rows: sum(row["id"] for row in rows), 20),
        Workload(
            "{:,} dicts with a list",
            1_000_000 // part,
            nested_dicts,
            lambda rows: sum(row["tags"][0] for row in rows),
            20,
        ),
        Workload(
            "{:,} instances",
            10_000 if quick else 100_000,
            instances,
            lambda points: sum(one.x for one in points),
            10,
        ),
        Workload("a forest of {:,} trees", 500 // part, forest, _touch_forest),
        Workload("a frame of {:,} rows", 1_000_000 // part, frame, _touch_frame),
        Workload("a frame of {:,} rows with strings", 1_000_000 // part, strings, _touch_frame),
        Workload("sharing and views, {:,}", 1_000_000 // part, mixed, lambda mix: mix["turned"].sum()),
    ]


def _touch_forest(trees: RandomForestClassifier) -> object:
    import numpy as np

    return trees.predict(np.zeros((1, 10)))


def _touch_frame(table: pd.DataFrame) -> object:
    return table.nunique()

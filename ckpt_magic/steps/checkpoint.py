"""The `Checkpoint` class: a pipeline of numbered methods in a script.

A script that only defines its pipeline pays for no more than this: what runs it is imported when one is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckpt_magic.steps.running import RunOutputs
    from ckpt_magic.steps.stored import Outputs


class Checkpoint:
    """A pipeline of steps whose outputs are kept on disk.

    Subclass it and write methods `step_1(self, outputs)`, `step_2_train(self, outputs)`, …; each gets the
    outputs of the steps before it and returns its own.

    Parameters
    ----------
    name
        Name of the pipeline: letters, digits, `.`, `_`, `-`.
    checkpoint_folder
        Folder of the checkpoints; made with its parents when first needed.
    version
        Your own label for a set of checkpoints, changed by hand.

    Raises
    ------
    ValueError
        A name has other characters, two methods have one number, or a method `step_…` has none.

    Examples
    --------
    >>> class ModelTraining(Checkpoint):
    ...     def step_1(self, outputs):
    ...         return [1, 2, 3]
    ...
    ...     def step_2(self, outputs):
    ...         return sum(outputs["step_1"])
    >>> ModelTraining(name="model-training", checkpoint_folder="ckpt").run(start_from=2)  # doctest: +SKIP
    """

    def __init__(self, name: str, checkpoint_folder: str | Path, version: str | int = 1) -> None:
        from ckpt_magic.steps import methods, registry, running

        self.name, self.checkpoint_folder, self.version = running.check_place(name, checkpoint_folder, version)
        self._earlier = registry.Pipeline()  # what earlier runs left in the attributes
        methods.numbered(type(self))

    def run(self, start_from: int | str | None = None) -> RunOutputs:
        """Run the steps in numeric order, restoring those that the start point lets.

        Parameters
        ----------
        start_from
            A number: steps below it are restored where they can be. `auto`: every step that is fresh. `end`:
            every step that can be. None or `none`: all steps run.

        Returns
        -------
        RunOutputs
            The outputs by `step_1`, by the method's full name and by number.

        Raises
        ------
        NotPicklableError
            The return value of a step cannot be saved; its earlier checkpoint stays.
        """
        from ckpt_magic.steps import running

        return running.Run(self).run(start_from)

    def load_outputs(self) -> Outputs:
        """Give what is stored, without running anything; read when it is looked at.

        Returns
        -------
        Outputs
            The value of each step as that step left it; its repr says what is missing.
        """
        from ckpt_magic.steps import running

        return running.stored_outputs(self)

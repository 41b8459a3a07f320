"""Vouching for a stale checkpoint: what META records of it, so that it is fresh until something else changes.

What is accepted is not a list of things to overlook. META gets, beside the record of how the checkpoint came about, a
second one: what it would have come about by if the step had run on what is here now. A checkpoint is fresh if either
holds, as a whole (see `record.as_accepted`). What does not fit the kernel, and what nobody can compare, has no such
record and cannot be accepted.
"""

from __future__ import annotations

import builtins
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from ckpt_magic.errors import StepNotFoundError, UsageError
from ckpt_magic.files import format as files
from ckpt_magic.files import problems
from ckpt_magic.files.store import sign_again
from ckpt_magic.steps import around, record, uses
from ckpt_magic.steps.evidence import Reach
from ckpt_magic.steps.fitting import Fitting
from ckpt_magic.steps.freshness import CWD
from ckpt_magic.steps.judging import hidden
from ckpt_magic.steps.kernel import Kernel
from ckpt_magic.steps.looks import Looks
from ckpt_magic.steps.plan import Code, Look
from ckpt_magic.steps.registry import PipelineKey, StepCall
from ckpt_magic.values import ambient
from ckpt_magic.values.code import syntax, vocabulary
from ckpt_magic.values.code.effects import ABOVE, CHANCE, FILES, OWN, SURROUNDINGS

Meta = Mapping[str, Any]

_COMPARED: Final = frozenset(
    {"code", "function", "name", "value", "key", "file", "module", "environment", "python", "package"}
)


class Accepting:
    """Accepts stale checkpoints by what one kernel holds."""

    def __init__(self, kernel: Kernel, fitting: Fitting, looks: Looks) -> None:
        self._kernel = kernel
        self._fitting = fitting
        self._looks = looks

    def accept(self, key: PipelineKey, call: StepCall, code: Code, reason: str) -> list[str]:
        """Record in a checkpoint that the user vouches for it; its values and displays stay as they are.

        Returns
        -------
        list of str
            What was accepted, a line per cause.

        Raises
        ------
        StepNotFoundError
            There is no such checkpoint.
        UsageError
            It is fresh, or stale for a reason that cannot be accepted.
        CheckpointError
            It is not trusted.
        """
        kernel, step = self._kernel, call.step
        meta = self.acceptable(key, step)
        self._fitting.forget()
        reach = self._looks.reach(code)
        look = kernel.evidence.look(call, code, reach, kernel.watch.made())
        here = kernel.registry.pipeline(key).steps.get(step)
        met = here is not None and here.state in ("ran", "restored")
        causes = self._fitting.causes(key, code, meta, call, look, met=met)
        earlier = record.as_accepted(meta)
        if not causes:
            raise UsageError(f"step {step}: its checkpoint is fresh: there is nothing to accept")
        if earlier is not None and not self._fitting.causes(key, code, earlier, call, look, met=met):
            raise UsageError(f"step {step}: its checkpoint is fresh, {record.accepted_text(meta)}")
        for cause in causes:
            if cause.kind not in _COMPARED and (cause.kind, cause.thing) != ("setting", CWD):
                raise _not_acceptable(step, cause.line)
        accepted = {
            "date": record.now(),
            "reason": reason,
            "causes": [cause.as_row() for cause in causes],
            "meta": self._as_now(key, call, code, meta, look, reach),
        }
        vouched = record.as_accepted({**meta, "accepted": accepted})
        assert vouched is not None
        left = self._fitting.causes(key, code, vouched, call, look, met=met)
        if left:  # what cannot be compared, or is not here
            raise _not_acceptable(step, left[0].line)
        sign_again(kernel.store(key.folder).path(key.name, key.version, step), kernel.keyring, {"accepted": accepted})
        self._fitting.forget()
        return [cause.line for cause in causes]

    def acceptable(self, key: PipelineKey, step: int) -> Meta:
        """META of a checkpoint that can be accepted at all."""
        kernel = self._kernel
        stored = kernel.open(key, step)
        if stored is None:
            raise StepNotFoundError(f"step {step} of `{key.name}` version {key.version} is not stored in {key.folder}")
        if stored.problem is not None:
            raise stored.problem
        meta = stored.meta
        if not files.belongs(meta, key.name, key.version, step):
            raise problems.other_writer(stored.path, meta)
        if meta["kind"] != kernel.kind:
            raise _not_acceptable(step, "it was not written by a notebook cell")
        if meta["marks"]:
            raise _not_acceptable(step, f"it was made {', '.join(meta['marks'])}")
        if meta["evidence"] is None:
            raise _not_acceptable(step, "no evidence recorded")
        return meta

    def _as_now(
        self, key: PipelineKey, call: StepCall, code: Code, meta: Meta, look: Look, reach: Reach
    ) -> dict[str, Any]:
        """The keys of META that tell how a checkpoint came about, as if that had been by what is here now."""
        kernel, step = self._kernel, call.step
        producers, names = kernel.registry.pipeline(key).producers, kernel.names()
        later = {name for name, (number, _) in producers.items() if number >= step}
        known = {*meta["reads"], *meta["seen"], *meta["unmade"]}
        found = self._looks.reads(code, reach)
        reads = {*names} if found is None else found
        if hidden_by := sorted((reads & later) - known):
            raise _not_acceptable(
                step, f"its code reads `{hidden_by[0]}` now, which step {producers[hidden_by[0]][0]} has changed here"
            )
        new = {name for name in reads - known if name in names or not hasattr(builtins, name)}
        made = {name: list(producers[name]) for name in sorted(new & producers.keys())}
        seen = {**meta["seen"]}
        for name in sorted({*meta["seen"], *(new - made.keys())} - later):
            if name in names and (digest := self._fitting.fingerprint(name)) is not None:
                seen[name] = digest
            elif name not in seen and name not in names:
                seen[name] = record.ABSENT
        if unknown := sorted(new - made.keys() - seen.keys()):
            raise _not_acceptable(step, f"its code reads `{unknown[0]}` now, which cannot be compared")
        unmade = {*meta["unmade"], *(name for name in new if seen.get(name) == record.ABSENT)}
        unmade |= {"*"} if found is None else set()
        inputs = {**meta["reads"], **made}
        facts = self._fitting.judge.now(key, meta, code=code, call=call, look=look).facts
        evidence = kernel.evidence.accepted(
            meta,
            code,
            look,
            call,
            facts,
            keys=self._variables(meta, code, reach),
            shown={*seen} - later,
            origins=self._origins(
                meta,
                step,
                {*seen, *unmade, *kernel.history.touched(inputs.keys())} - {"*"},
                {name: [name] for name in code.names.imports} | kernel.evidence.secretive(meta, look),
            ),
            hidden=hidden(key),
        )
        return {
            "source": code.source,
            "code": code.digest,
            "seen": seen,
            "reads": inputs,
            "unmade": sorted(unmade),
            "around": self._around(key, meta, code, evidence["modules"]),
            "evidence": evidence,
        }

    def _variables(self, meta: Meta, code: Code, reach: Reach) -> frozenset[str]:
        """Environment variables that the code asks for."""
        keys = reach[1].keys
        if keys is None:
            old = syntax.parsed(meta["source"])
            if code.digest != meta["code"] and (old is None or vocabulary.words(old).keys is not None):
                raise _not_acceptable(meta["step"], "which environment variables its code asks for now cannot be told")
            return frozenset()
        return keys

    def _origins(
        self, meta: Meta, step: int, names: set[str], modules: Mapping[str, Sequence[str]]
    ) -> dict[str, str] | None:
        """Where names come from; what random numbers, surroundings and files come from is not accepted."""
        before = meta["evidence"]["origins"]
        found = self._kernel.history.origins(names, modules, above=step)
        if before is None or found is None:
            return None
        return {**found, **{one: before[one] for one in (ABOVE, CHANCE, SURROUNDINGS, FILES, OWN) if one in before}}

    def _around(self, key: PipelineKey, meta: Meta, code: Code, own: Container[str]) -> dict[str, Any]:
        """What of the surroundings the code may read; what was recorded stays."""
        kernel = self._kernel
        use = uses.use_of_tree(code.tree, kernel.namespace, meta["shown"])
        parts = kernel.around.before_step(ambient.look())
        now = around.rows(parts, use, lambda: own, key, meta["step"], meta["sets"], kernel.keyring.signing.secret)
        return {**now, **{part: row for part, row in meta["around"].items() if row is not None}}


def _not_acceptable(step: int, why: str) -> UsageError:
    return UsageError(
        f"step {step}: {why}: that cannot be accepted, for it does not fit what is here, or a further change could not "
        "be told; run the step"
    )

"""The contract: what is checked, and the report."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from jaxpot.errors import DataError, JaxpotError
from jaxpot.potentials.base import Potential
from jaxpot.testing import behaviour, derivatives
from jaxpot.testing.smoothness import smoothness
from jaxpot.testing.subject import NotAsked, Subject
from jaxpot.typing import StructureLike

# What the code of a model may raise. It is reported as a failure of the check that met it.
_MODEL_ERRORS = (
    JaxpotError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Outcome:
    """One line of a report: what was measured, what is allowed, and whether it held ("n/a": not asked)."""

    name: str
    status: str  # passed, failed, n/a
    measured: float | None = None
    limit: float | None = None
    note: str = ""


@dataclass(frozen=True)
class ContractReport:
    """Outcomes of `check`: `.passed`, `.failures`, `.outcomes`; printed as a table."""

    model: str
    outcomes: tuple = field(default=())

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that failed."""
        return tuple(o for o in self.outcomes if o.status == "failed")

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def __str__(self) -> str:
        lines = [f"Contract of {self.model}: {'passed' if self.passed else f'{len(self.failures)} FAILED'}"]
        for o in self.outcomes:
            numbers = "" if o.measured is None else f"{o.measured:9.1e} (limit {o.limit:.0e})"
            lines.append(f"  {o.status:6}  {o.name:50} {numbers:26} {o.note}".rstrip())
        return "\n".join(lines)


class ContractError(JaxpotError, AssertionError):
    """A potential breaks the contract; `.report` holds everything that was found."""

    def __init__(self, report: ContractReport) -> None:
        super().__init__(str(ContractReport(report.model, report.failures)))
        self.report = report


def check(
    potential: Potential,
    structure: StructureLike,
    *,
    directions: int = 8,
    seed: int = 0,
    jump: float = 0.0,
    skip: Collection[str] = (),
    raises: bool = True,
) -> ContractReport:
    """Prove that a potential keeps the contract on a structure and on what can be made from its atoms.

    Covers: forces and stress are the derivatives of the energy, and not all zero; second and third
    derivatives; symmetry and acoustic sums of the Hessian; invariance to translation, rotation, mirror
    images, permutation, lattice translations, other choices of the cell, padding, skin and capacity;
    extensivity; smoothness as declared; finite values and three finite derivatives for isolated, distant,
    collinear and symmetric atoms and at the cutoff; jit = eager, vmap = loop, float32 close to float64 or refused;
    gradients of the parameters; saving; refusal of unknown elements.

    Args:
        potential: any `Potential`, local or not.
        structure: a small `Structure` or `ase.Atoms` (at most 32 atoms), best with all of the model's
            elements. It is rattled and strained before derivatives are taken.
        directions: how many random directions the derivatives are taken along.
        seed: of the random numbers.
        jump: eV and eV/A; jumps up to this are forgiven, such as a published table's rounding at its end.
        skip: names of checks, as in `CHECKS`, that are left out.
        raises: whether a failure raises; otherwise the report is returned.

    Returns:
        `ContractReport`.

    Raises:
        ContractError: (a `JaxpotError` and an `AssertionError`) listing what failed.
        DataError: not a potential, too many atoms, or an unknown name in `skip`.
    """
    unknown = set(skip) - set(CHECKS)
    if unknown:
        raise DataError(f"skip: unknown names {sorted(unknown)}; expected some of {sorted(CHECKS)}")
    subject = Subject(potential, structure, directions, seed, jump)
    outcomes = []
    finite = all(np.isfinite(a).all() for a in (subject.reference.energies, subject.reference.forces))
    for name, function in CHECKS.items():
        if not finite and name not in ("forces", "special places"):
            outcomes.append(
                Outcome(name, "n/a", note="the rattled structure has no finite energy and forces")
            )
            continue
        if name in skip:
            outcomes.append(Outcome(name, "n/a", note="left out on request"))
            continue
        try:
            for label, measured, limit, *note in function(subject):
                status = "passed" if measured <= limit else "failed"
                outcomes.append(Outcome(f"{name}: {label}", status, float(measured), limit, *note))
        except NotAsked as reason:
            outcomes.append(Outcome(name, "n/a", note=str(reason)))
        except _MODEL_ERRORS as error:
            first = (str(error).splitlines() or [""])[0]
            outcomes.append(Outcome(name, "failed", note=f"{type(error).__name__}: {first}"))
    report = ContractReport(repr(potential), tuple(outcomes))
    if raises and not report.passed:
        raise ContractError(report)
    return report


CHECKS = {
    "forces": derivatives.forces,
    "stress": derivatives.stress_tensor,
    "derivatives": derivatives.higher_derivatives,
    "invariance": derivatives.invariance,
    "extensivity": derivatives.extensivity,
    "padding": derivatives.padding,
    "smoothness": smoothness,
    "special places": behaviour.special_places,
    "execution": behaviour.execution,
    "single precision": behaviour.single_precision,
    "parameters": behaviour.parameters,
    "saving": behaviour.saving,
    "refusal": behaviour.refusal,
}

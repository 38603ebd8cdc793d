"""The contract every potential keeps, as one call: prove a model of your own.

    import jaxpot.testing
    print(jaxpot.testing.check(my_potential, structure))

All structures are padded to one size, so that a check costs a handful of compiled programs. The limits are
those of double precision; what a model declares (`smoothness`, `species`, `local`) decides what is asked.
"""

from jaxpot.testing.contract import CHECKS, ContractError, ContractReport, Outcome, check

__all__ = ["CHECKS", "ContractError", "ContractReport", "Outcome", "check"]

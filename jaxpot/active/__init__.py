"""Learning on the fly: where the potential does not know, ask."""

from jaxpot.active.label import label
from jaxpot.active.learner import Learned, learn_on_the_fly
from jaxpot.active.pool import learn_from_pool
from jaxpot.active.search import random_structures, select_batch

__all__ = ["Learned", "label", "learn_from_pool", "learn_on_the_fly", "random_structures", "select_batch"]

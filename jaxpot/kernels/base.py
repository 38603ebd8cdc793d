"""`Kernel`: the covariance of two descriptor vectors; and the algebra of kernels."""

from jaxpot.core.pytree import Node, pytree
from jaxpot.typing import Array


class Kernel(Node):
    """Base class. Subclasses are decorated with `@pytree`: array leaves are the hyperparameters."""

    def matrix(self, first: Array, second: Array) -> Array:
        """Covariances of vectors (m, d) with vectors (M, d): (m, M)."""
        raise NotImplementedError(type(self).__name__)  # a subclass's duty

    def diagonal(self, vectors: Array) -> Array:
        """Covariances of vectors (m, d) with themselves, one by one: (m,)."""
        raise NotImplementedError(type(self).__name__)  # a subclass's duty

    def __add__(self, other: "Kernel") -> "Sum":
        return Sum(self, other) if isinstance(other, Kernel) else NotImplemented

    def __mul__(self, other: "Kernel") -> "Product":
        return Product(self, other) if isinstance(other, Kernel) else NotImplemented


@pytree(name="KernelSum", former=("jaxpot.kernels.base:Sum",))
class Sum(Kernel):
    """k(x, y) = k1(x, y) + k2(x, y)."""

    first: Kernel
    second: Kernel

    def matrix(self, first: Array, second: Array) -> Array:
        return self.first.matrix(first, second) + self.second.matrix(first, second)

    def diagonal(self, vectors: Array) -> Array:
        return self.first.diagonal(vectors) + self.second.diagonal(vectors)


@pytree(name="KernelProduct", former=("jaxpot.kernels.base:Product",))
class Product(Kernel):
    """k(x, y) = k1(x, y) k2(x, y)."""

    first: Kernel
    second: Kernel

    def matrix(self, first: Array, second: Array) -> Array:
        return self.first.matrix(first, second) * self.second.matrix(first, second)

    def diagonal(self, vectors: Array) -> Array:
        return self.first.diagonal(vectors) * self.second.diagonal(vectors)

"""A learned linear projection of vectors, as plain data. Imports `base` and `exceptions`."""

import hashlib
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np

from skembed.base._digest import digest
from skembed.exceptions import ModelFormatError


@dataclass(frozen=True)
class Projection:
    """A matrix that vectors are multiplied by; see `of`.

    Parameters
    ----------
    n_in, n_out : int
        Length of vectors before and after.
    content : bytes
        The matrix, (n_in, n_out), in float32 and little-endian, row by row.
    """

    n_in: int
    n_out: int
    content: bytes = field(repr=False)

    @classmethod
    def of(cls, matrix):
        """Return the projection by a matrix.

        Parameters
        ----------
        matrix : array-like of shape (n_in, n_out)
            Of finite numbers, which are kept in float32. It is the transposed weight of a
            ``torch.nn.Linear``.

        Examples
        --------
        >>> Projection.of([[1, 0], [0, 1], [1, 1]])
        Projection(n_in=3, n_out=2)
        """
        matrix = np.asarray(matrix, dtype="<f4")
        projection = cls(*matrix.shape, matrix.tobytes())
        projection.matrix  # noqa: B018  raises if it cannot be used
        return projection

    def __getstate__(self):
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @cached_property
    def matrix(self):
        """The matrix, (n_in, n_out) float32, read-only.

        Raises
        ------
        ModelFormatError
            If it is damaged.
        """
        try:
            matrix = np.frombuffer(self.content, "<f4").reshape(self.n_in, self.n_out)
            if not (matrix.size and np.isfinite(matrix).all()):
                raise ValueError("it is empty, or has values that are not finite")
        except ValueError as error:
            raise ModelFormatError(f"The learned projection cannot be used: {error}") from error
        return matrix

    @cached_property
    def digest(self):
        """Digest of the matrix, in hexadecimal."""
        return digest([self.n_in, self.n_out, hashlib.sha256(self.content).hexdigest()])

    def of_rows(self, vectors):
        """Project the vectors of rows.

        Each row is a product of its own, of one shape, in float64, so that the result does not
        depend on the other rows. In one product of all rows, BLAS adds in an order that depends on
        their number.

        Parameters
        ----------
        vectors : ndarray of shape (n_rows, n_in), float32

        Returns
        -------
        projected : ndarray of shape (n_rows, n_out), float32

        Examples
        --------
        >>> vectors = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
        >>> Projection.of([[1, 0], [0, 1], [1, 1]]).of_rows(vectors)
        array([[4., 5.]], dtype=float32)
        """
        rows = np.ascontiguousarray(vectors, dtype=np.float64)[:, np.newaxis]
        products = np.matmul(rows, self.matrix.astype(np.float64))
        return products[:, 0].astype(np.float32)

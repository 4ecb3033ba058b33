"""The path from rows to vectors, the same for every estimator."""

"""Names of the columns of X: recorded in `fit`, compared in `transform`."""

import numpy as np
from sklearn.utils.validation import validate_data


def check_feature_names(estimator, columns, *, reset):
    """Set or check ``n_features_in_`` and ``feature_names_in_``.

    Parameters
    ----------
    estimator : Embedder
        Its attributes are set if `reset`, and compared otherwise.
    columns : Columns
        Those of X.
    reset : bool
        Whether this is a `fit`.

    Raises
    ------
    ValueError
        If the columns are not those of `fit`.
    """
    named = None not in columns.names
    if reset:
        estimator.n_features_in_ = len(columns.names)
        vars(estimator).pop("feature_names_in_", None)
        if named:
            estimator.feature_names_in_ = np.array(columns.names, dtype=object)
    comparable = reset or (named and hasattr(estimator, "feature_names_in_"))
    fitted = list(getattr(estimator, "feature_names_in_", []))
    repeated = any(len(set(names)) < len(names) for names in (fitted, columns.names))
    if columns.header is not None and comparable and not repeated:
        # scikit-learn's own check, and so in its words.
        validate_data(estimator, columns.header, reset=reset, skip_check_array=True)
    elif len(columns.names) != estimator.n_features_in_:
        raise ValueError(
            f"X has {len(columns.names)} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    elif comparable and named and repeated and columns.names != fitted:
        # Some versions of scikit-learn read no frame of repeated names.
        raise ValueError(
            f"The feature names should match those that were passed during fit: {fitted}. Got "
            f"{columns.names}."
        )

"""The closed form of leave-one-out errors, against solving without each row."""

import numpy as np

from predictors.kernel import KernelRegressor, squared_distance


def test_left_out_errors_are_those_of_fits_without_the_row() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 5, (30, 3))
    Y = np.column_stack([np.sin(X).sum(axis=1), X.sum(axis=1)]) + 0.1 * rng.normal(size=(30, 2))
    fitted = KernelRegressor().fit(X, Y)
    centred = Y - fitted.offset_
    inside = Y - fitted.predict(X)  # ridge times weights
    ridge = (inside * fitted.weights_).sum(axis=0) / (fitted.weights_**2).sum(axis=0)
    kernel = np.exp(-squared_distance(fitted.rows_, fitted.rows_) / (2 * fitted.length_**2))
    expected = np.empty_like(Y)
    for i in range(30):
        rest = np.arange(30) != i
        for j in range(2):
            inner = kernel[np.ix_(rest, rest)] + ridge[j] * np.eye(29)
            said = kernel[i, rest] @ np.linalg.solve(inner, centred[rest, j])
            expected[i, j] = centred[i, j] - said
    np.testing.assert_allclose(fitted.left_out(Y), expected, rtol=1e-5, atol=1e-8)
    assert (expected**2).mean() > 1.5 * (inside**2).mean()

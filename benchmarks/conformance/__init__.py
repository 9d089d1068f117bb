"""The checks that hold an estimator to its record."""

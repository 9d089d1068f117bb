"""Bias, variance and error of an estimator against exact gradients."""

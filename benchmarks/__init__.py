"""Measures the estimators: experiments, quality, cost, results and the command line. Runs from the checkout."""

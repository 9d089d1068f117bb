"""The estimators, one file a family."""

"""The estimators, one file for each family. No file imports another one."""

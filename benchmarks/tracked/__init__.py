"""The cases that asv and pytest-benchmark follow from commit to commit."""

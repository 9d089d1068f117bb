"""The page about asv's history of the repository."""

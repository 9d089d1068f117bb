"""Cells, their outcomes, and the store that keeps them."""

"""Seconds and memory of a training step."""

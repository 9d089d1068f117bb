"""The page about cost: seconds, memory, their growth, and error against time."""

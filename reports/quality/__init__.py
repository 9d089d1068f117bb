"""The page about quality: bias, variance and error, published numbers, and one backend against another."""

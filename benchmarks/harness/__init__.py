"""The measuring instrument: objectives, exact gradients, moments, metrics, conformance, store, engine."""

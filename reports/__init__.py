"""Pages and tables from a results store; reads rows, and imports neither the estimators nor a framework."""

"""From parameters to a network that is ready to run. Imports `models` and `runtime`."""

"""Settings: one frozen model, read from YAML and the environment, checked whole at start."""

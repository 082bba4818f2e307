"""Each fault that imageset has to survive, injected for real. `make faults` runs all trials, `make test` a sample."""

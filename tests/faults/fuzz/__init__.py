"""Targets for the fuzzer atheris: what reads bytes and texts of strangers. `make faults` gives each a minute."""

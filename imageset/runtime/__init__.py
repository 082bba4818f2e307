"""How a program of this project runs: the edge of a program, settings, params, files. Start with stage.py."""

"""How a program of this project starts and ends; settings, params, files. Start with stage.py."""

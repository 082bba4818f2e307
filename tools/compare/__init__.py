"""`python -m tools.compare`: what a change does to the dataset, as Markdown. Start with command.py."""

"""Tests. The dvc of small repositories starts no process that reports its use or looks for a newer version."""

import os

os.environ["DVC_TEST"] = "1"

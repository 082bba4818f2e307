"""One script for each stage of dvc.yaml. Start with split.py."""

import os
import sys

from imageset.runtime import lifetime

if "DVC_STAGE" in os.environ:  # before the imports of a stage, in which dvc may be killed
    lifetime.die_with_parent()
    if lifetime.dvc_has_ended():
        sys.exit("stages: dvc has ended")

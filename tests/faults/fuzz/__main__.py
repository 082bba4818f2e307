"""`python -m tests.faults.fuzz TARGET [options of libFuzzer]`: fuzz a target, with what is in .cache/atheris.

Set TMPDIR: the fuzzer ends without removing its temporary files.
"""

import sys
import warnings

from tests.project import ROOT


def main() -> None:
    warnings.simplefilter("ignore")
    sys.path.append(str(ROOT / ".cache/atheris"))
    import atheris

    with atheris.instrument_imports(
        include=["imageset", "PIL"]
    ):  # the fuzzer sees which lines of these an input reaches
        from tests.faults.fuzz.seeds import SEEDS
        from tests.faults.fuzz.targets import TARGETS
    name, folder = sys.argv[1], ROOT / ".cache/fuzz" / sys.argv[1]
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name].values()):
        (folder / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *sys.argv[2:], str(folder)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""`python -m tests.faults.named_stages`: run all stages in the working directory, in one process."""

from tests.page.project import GRAPH, run_stages

if __name__ == "__main__":
    run_stages(*GRAPH)

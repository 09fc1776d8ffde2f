"""The parts of the bench suite; `bench/run.py` is its front door."""

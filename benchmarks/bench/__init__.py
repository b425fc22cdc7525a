"""The table of `make bench`: parts that measure, one report, and the comparison of two reports.

    python -m benchmarks.bench [PART ...] [--quick] [--json FILE]
    python -m benchmarks.bench.compare OLD.json NEW.json

A part is a module of this package with ``measure(quick)``, which yields `Measurement`s. Clocks of shared machines are
noisy: wherever a floor exists, it is measured in turns with our work, and the ratio of each turn is what counts.
"""

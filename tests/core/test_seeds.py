"""Sub-seeds: stable, and apart."""

import subprocess
import sys

from edgekd.core.seeds import sub_seed


def test_a_sub_seed_is_the_same_in_every_process():
    code = "from edgekd.core.seeds import sub_seed; print(sub_seed(3, 'order', 1))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == sub_seed(3, "order", 1)


def test_names_and_seeds_keep_sub_seeds_apart():
    seeds = {sub_seed(s, n) for s in range(20) for n in ("order", "augment", "weights")}
    assert len(seeds) == 60
    assert all(0 <= seed < 2**63 for seed in seeds)

import json
import subprocess
import sys

import numpy as np

from tests.checkout import ROOT

SPACE = {
    "parameters": [
        {"name": "learning_rate", "type": "float", "low": 1e-6, "high": 1.0, "log": True},
        {"name": "beta1", "type": "float", "one_minus_low": 1e-4, "one_minus_high": 1.0,
         "log": True},
    ],
}  # fmt: skip


def test_searches_and_peers_are_compared_on_a_table(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "taskset_rnn"
    folder.mkdir()
    (folder / "space.json").write_text(json.dumps(SPACE))
    rate, rest = 10 ** rng.uniform(-6, 0, 60), 10 ** rng.uniform(-4, 0, 60)
    far = abs(np.log10(rate) + 3)[:, None]
    losses = far + 1 / np.arange(1, 6)
    losses[rate > 0.5] = np.nan  # they diverge at once
    np.savez(
        folder / "taskset_rnn.npz",
        config=np.stack([rate, 1 - rest], axis=1),
        val=losses[None],
        tasks=np.array(["one"]),
    )
    searches = ["auto+auto@1", "random+hyperband@8", "optuna tpe + hyperband"]
    # A process of its own: Optuna warns, and the script has its own folder of modules.
    done = subprocess.run(
        [sys.executable, "benchmarks/search_quality.py", "--tables", str(tmp_path),
         "--seeds", "1", "--processes", "1", "--json", str(tmp_path / "out.json"),
         "--search", *searches],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["search"] for row in rows] == searches
    for row in rows:
        # The budget is enough for nearly all that there are.
        assert row["mean"][-1] < 0.1
    assert done.stdout.count("\n") == 2 + len(searches)

"""eval.py with an oracle, as a separate process, for tests that kill it or start several.

python eval_process.py KILL_AT DATA FLAG ...    kills itself at the oracle's step KILL_AT; 0: never
"""

import os
import signal
import sys
from pathlib import Path

import pytest
from miniature import Miniature, Oracle, patch_command

from aot_jax.commands import eval as command


def main() -> int:
    kill_at, data, flags = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    made = Miniature(data, truth=False)
    made.relearn()

    class Mortal(Oracle):
        def step(self, frame, mask=None):
            labels = super().step(frame, mask)
            if self.steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return labels

    oracle = Mortal(made.answers)
    with pytest.MonkeyPatch.context() as patch:
        patch_command(patch, lambda *_, **__: oracle)
        code = command.main(flags)
    print("steps", oracle.steps)
    return code


if __name__ == "__main__":
    sys.exit(main())

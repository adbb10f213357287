"""Train a model of the AOT family.

python train.py --help
"""

from aot_jax.commands import run_train

if __name__ == "__main__":
    run_train()

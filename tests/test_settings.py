"""Config fields that decide a result."""

import json

import pytest

from aot_jax import settings
from aot_jax.config import load_config
from aot_jax.settings import deciding, differences


@pytest.mark.parametrize(
    ("result", "field", "decides"),
    [
        ("weights", "model.depth=2", True),
        ("weights", "model.drop_path=0", False),
        ("weights", "train.steps=7", False),
        ("masks", "memory.gap=7", True),
        ("masks", "inference.max_long_edge=7", True),
        ("masks", "train.steps=7", False),
        ("batches", "data.crop=449", True),
        ("batches", "train.batch_size=7", True),
        ("batches", "data.root=/there", False),
        ("batches", "train.learning_rate=1", False),
        ("training", "train.learning_rate=1", True),
        ("training", "train.log_every=7", False),
        ("training", "data.workers=7", False),
        ("training", "inference.dtype=bfloat16", False),
    ],
)
def test_fields_that_decide_a_result(result, field, decides):
    before, after = (deciding(load_config("aost", overrides), result) for overrides in ([], [field]))
    assert [line.partition(":")[0] for line in differences(before, after)] == ([field.partition("=")[0]] * decides)


def test_every_field_that_is_named_exists():
    names = settings.flatten_dict(json.loads(load_config("aost").to_json_best_effort()), sep=".")
    for parts, free in settings.DECIDING.values():
        assert [field for field in (*parts, *free) if not any(name.startswith(field) for name in names)] == []

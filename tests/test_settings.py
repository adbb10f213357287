"""Config fields that decide a result."""

import json

import pytest

from aot_jax import settings
from aot_jax.config import load_config
from aot_jax.settings import differences, fields_for


@pytest.mark.parametrize(
    ("result", "field", "decides"),
    [
        ("weights", "model.depth=2", True),
        ("weights", "model.drop_path=0", False),
        ("weights", "model.channel_drop=0", False),
        ("weights", "train.steps=7", False),
        ("masks", "memory.gap=7", True),
        ("masks", "inference.max_long_edge=7", True),
        ("masks", "train.steps=7", False),
        ("network", "inference.max_long_edge=7", True),
        ("network", "model.drop_path=0", False),
        ("training", "train.learning_rate=1", True),
        ("training", "train.log_every=7", False),
        ("training", "train.accumulate=2", False),
        ("training", "train.rematerialise=True", False),
        ("training", "data.workers=7", False),
        ("training", "inference.dtype=bfloat16", False),
    ],
)
def test_fields_that_decide_a_result(result, field, decides):
    before, after = (fields_for(load_config("aost", overrides), result) for overrides in ([], [field]))
    assert [line.partition(":")[0] for line in differences(before, after)] == ([field.partition("=")[0]] * decides)


def test_every_field_that_is_named_exists():
    names = settings.flatten_dict(json.loads(load_config("aost").to_json_best_effort()), sep=".")
    for parts, free in settings.FIELDS.values():
        assert [field for field in (*parts, *free) if not any(name.startswith(field) for name in names)] == []

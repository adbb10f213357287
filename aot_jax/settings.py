"""Settings of a run: the config fields that a result depends on, and how those of two runs differ."""

import json
from collections.abc import Mapping
from typing import Any

from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

# Config fields for where and how clips are read; they do not change the clips.
READING = ("data.root", "data.prepared", "data.workers", "data.prefetch", "data.on_bad_file")
# Config fields for how parameters are drawn and trained and how fast they run; they do not change what they mean.
TRAINED = (
    *("model.bank_gain", "model.shortcut_gain", "model.locality"),
    *("model.drop_path", "model.encoder_drop_path", "model.channel_drop", "model.local_attention"),
)
INFERENCE = ("model.", "memory.", "inference.", "seed")
# For each kind of result: prefixes of the config fields that it depends on, and of the exceptions among them.
FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "weights": (("model.",), TRAINED),
    "network": (INFERENCE, TRAINED),  # weights and how they are run
    "masks": (INFERENCE, ()),
    "training": (
        ("",),
        (
            *("train.output", "train.log_every", "train.picture_every", "train.checkpoint_every"),
            *("train.keep_checkpoints", "train.keep_every"),
            *("train.accumulate", "train.rematerialise"),  # to fit into memory
            *("train.evaluate_every", "train.evaluate_on", "train.final_scores"),
            *("init_from", "encoder_weights", "inference.", *READING),
        ),
    ),
}


def fields_for(config: ConfigDict | Mapping[str, Any], result: str) -> dict[str, Any]:
    """Return the config fields that a kind of result in `FIELDS` depends on: JSON values by dotted name.

    Example:
        >>> fields_for({"seed": 0, "model": {"depth": 3, "drop_path": 0.1}, "data": {"crop": 465}}, "network")
        {'seed': 0, 'model.depth': 3}
    """
    nested = json.loads(config.to_json_best_effort()) if isinstance(config, ConfigDict) else config
    parts, free = FIELDS[result]
    return {
        name: value
        for name, value in flatten_dict(nested, sep=".").items()
        if name.startswith(parts) and not name.startswith(free)
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the settings that differ, one line each.

    Example:
        >>> differences({"depth": 3, "seed": 0}, {"depth": 2, "seed": 0})
        ['depth: 3 there, 2 now']
    """
    return [
        f"{name}: {old.get(name)!r} there, {new.get(name)!r} now"
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    ]

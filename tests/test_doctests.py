"""Examples in docstrings of the public API: they exist, and they give the results shown."""

import doctest
import importlib

import pytest
import tiny

EXAMPLES = {
    "aot_jax.checkpoint": ["half"],
    "aot_jax.network": ["load_model", "make_model"],
    "aot_jax.config": ["load_config", "fields"],
    "aot_jax.io.datasets.listing": ["numbering_hint"],
    "aot_jax.io.frames": ["list_frames", "read_frame"],
    "aot_jax.io.masks": ["read_mask", "write_mask", "object_ids", "binarise"],
    "aot_jax.io.overlay": ["draw_overlay"],
    "aot_jax.io.sources": ["open_source"],
    "aot_jax.metrics": ["region_similarity", "boundary_measure", "score_sequence", "summarise"],
    "aot_jax.preprocess": ["inference_size"],
    "aot_jax.propagate": ["mask_unused"],
    "aot_jax.tracker.tracker": ["Tracker"],
    "aot_jax.io.generated": ["make_video"],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for the files that examples write
    monkeypatch.setattr("aot_jax.network.init_params", tiny.draw)  # compiles nothing
    module = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for public in EXAMPLES[name]:
        (example,) = finder.find(getattr(module, public), public, module)
        assert example.examples, f"{name}.{public} shows no example"
        runner.run(example)
    assert not runner.failures

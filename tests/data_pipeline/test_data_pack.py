"""Batches kept in files: the same as from the pipeline, without end, and refused for another recipe."""

import numpy as np
import pytest

from aot_jax.config import load_config
from data_pipeline.errors import DataError
from data_pipeline.pack import main, read_batches, write_batches

FIELDS = [
    "data.datasets=(('generated',1),)",
    "data.generated.videos=2",
    "data.generated.frames=4",
    "data.generated.height=48",
    "data.generated.width=64",
    "data.frames=2",
    "data.crop=33",
    "data.short_edge=48",
    "train.batch_size=4",
    "train.steps=3",
]


@pytest.fixture
def config():
    return load_config("aott", FIELDS)


def batches(size=4):
    """Draw batches whose every array tells step and sample."""
    step = 0
    while True:
        number = np.arange(step * size, (step + 1) * size)
        images = np.broadcast_to(number[:, None, None, None, None] % 256, (size, 2, 8, 8, 3)).astype(np.uint8)
        objects = np.full(size, 1 + step, np.int32)
        yield {"images": images, "masks": images[..., 0], "objects": objects, "index": number}
        step += 1


def test_files_give_the_batches_back_and_start_again(config, tmp_path):
    write_batches(tmp_path, config, batches(), 3)
    source = batches()
    want = [next(source) for _ in range(3)]
    reader = read_batches(tmp_path, config, 0, 0, 1)
    for batch in want:
        got = next(reader)
        for name, value in batch.items():
            np.testing.assert_array_equal(got[name], value)
    again = next(reader)
    np.testing.assert_array_equal(again["images"], want[0]["images"])
    assert again["index"].tolist() == [12, 13, 14, 15]
    later = next(read_batches(tmp_path, config, 2, 1, 2))  # from step 2, the second of two hosts
    assert later["index"].tolist() == [9, 11]
    np.testing.assert_array_equal(later["images"], want[2]["images"][1::2])


def test_packing_goes_on(config, tmp_path):
    write_batches(tmp_path, config, batches(), 2)
    first = (tmp_path / "00000000.npz").stat().st_mtime_ns
    write_batches(tmp_path, config, batches(), 3)
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == [f"{i:08d}.npz" for i in range(3)]
    assert (tmp_path / "00000000.npz").stat().st_mtime_ns == first


def test_what_cannot_be_read(config, tmp_path):
    with pytest.raises(DataError, match=r"pack.json cannot be read .*is .* a folder of packed batches\?"):
        read_batches(tmp_path, config, 0, 0, 1)
    write_batches(tmp_path, config, batches(), 1)
    other = load_config("aott", [*FIELDS, "data.crop=48", "seed=3", "data.workers=1"])
    with pytest.raises(
        DataError, match=r"(?s)crop: 33 in the files, 48 in the config.*seed: 0 in the files, 3"
    ) as error:
        read_batches(tmp_path, other, 0, 0, 1)
    assert "workers" not in str(error.value)
    with pytest.raises(DataError, match="packed with another recipe"):
        write_batches(tmp_path, other, batches(), 1)
    path = tmp_path / "00000000.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"00000000.npz cannot be read: .*pack again"):
        next(read_batches(tmp_path, config, 0, 0, 1))
    path.unlink()
    with pytest.raises(DataError, match="holds no batches"):
        read_batches(tmp_path, config, 0, 0, 1)


def test_the_command_packs_what_the_pipeline_makes(config, tmp_path):
    flags = [f"--config.{field}" for field in (*FIELDS, f"data.prepared={tmp_path}")]
    assert main([str(tmp_path / "packed"), "--config", "aott", *flags]) == 0
    from data_pipeline.pipeline import iterate, make_dataset

    config = load_config("aott", [*FIELDS, f"data.prepared={tmp_path}"])
    direct = iterate(make_dataset(config.data, seed=config.seed, batch_size=4))
    packed = read_batches(tmp_path / "packed", config, 0, 0, 1)
    for _ in range(3):
        got = next(packed)
        for name, want in next(direct).items():
            np.testing.assert_array_equal(got[name], want, err_msg=name)
    assert len(list((tmp_path / "packed").glob("*.npz"))) == 3

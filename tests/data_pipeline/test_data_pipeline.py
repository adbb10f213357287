import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aot_jax.io.datasets import DataError
from data_pipeline import augment
from data_pipeline.merge import Clip
from data_pipeline.pipeline import make_batches, thread_batches
from data_pipeline.samples import Samples

REPOSITORY = Path(__file__).resolve().parents[2]


def take(batches, count):
    return list(itertools.islice(batches, count))


def digests(batches):
    """Hash each sample by its index."""
    found = {}
    for batch in batches:
        for k, index in enumerate(batch["index"]):
            parts = (batch["images"][k].tobytes(), batch["masks"][k].tobytes(), batch["objects"][k].tobytes())
            found[int(index)] = hashlib.sha256(b"".join(parts)).hexdigest()
    return found


@pytest.fixture(scope="module")
def fields(make_config):
    """Return config.data of both stages, with merges in about half of the samples, and of moving clips."""
    mixture = (("davis17", 2), ("youtube_vos19", 1))
    return {
        "video": make_config(datasets=mixture, merge_probability=0.5),
        "static": make_config(stage="static", datasets=(("static", 1),), merge_probability=0.5, augmentation="v2"),
        "moving": make_config(datasets=(("static", 2), ("davis17", 1)), augmentation="v2"),
    }


@pytest.fixture(scope="module")
def batches(fields):
    """Return four batches of four of each stage, from seed 1, as the reference for other ways of making them."""
    return {stage: take(make_batches(data, seed=1, batch_size=4), 4) for stage, data in fields.items()}


@pytest.fixture(params=["video", "static", "moving"])
def stage(request):
    return request.param


def test_batches_have_fixed_shapes_and_sound_labels(stage, batches):
    for step, batch in enumerate(batches[stage]):
        assert {k: (v.shape, v.dtype) for k, v in batch.items()} == {
            "images": ((4, 3, 64, 64, 3), np.uint8),
            "masks": ((4, 3, 64, 64), np.uint8),
            "objects": ((4,), np.int32),
            "index": ((4,), np.int64),
        }
        assert batch["index"].tolist() == [4 * step + k for k in range(4)]
        for masks, objects in zip(batch["masks"], batch["objects"], strict=True):
            assert set(np.unique(masks[0])) - {0, 255} == set(range(1, objects + 1))
            assert set(np.unique(masks)) - {0, 255} == set(range(1, objects + 1))
        assert batch["images"].std() > 10


def test_a_sample_is_the_same_in_any_order_worker_count_and_batch(stage, fields, batches):
    known = digests(batches[stage])
    assert len(set(known.values())) == 16
    samples, batch = Samples(fields[stage], 1), batches[stage]
    for index in (7, 2, 11, 0, 2):
        clip = samples(index)
        np.testing.assert_array_equal(clip.images, batch[index // 4]["images"][index % 4])
        np.testing.assert_array_equal(clip.masks, batch[index // 4]["masks"][index % 4])
        assert clip.objects == batch[index // 4]["objects"][index % 4]
    other = digests(take(make_batches(fields[stage], seed=2, batch_size=2), 3))
    assert not set(other.values()) & set(known.values())


def test_resuming_from_a_step_gives_the_tail(fields, batches):
    tail = take(make_batches(fields["video"], seed=1, batch_size=4, start_step=2), 2)
    assert [b["index"].tolist() for b in tail] == [[8, 9, 10, 11], [12, 13, 14, 15]]
    assert digests(tail) == digests(batches["video"][2:])


def test_two_hosts_share_the_samples_of_each_step(fields, batches):
    shards = [take(make_batches(fields["video"], seed=1, batch_size=4, host=host, hosts=2), 3) for host in range(2)]
    for step in range(3):
        one, two = (shard[step]["index"].tolist() for shard in shards)
        assert not set(one) & set(two)
        assert sorted(one + two) == batches["video"][step]["index"].tolist()
        assert {index % 2 for index in one} == {0}
    assert digests(shards[0]) | digests(shards[1]) == digests(batches["video"][:3])


def test_threads_and_raw_files_make_the_same_bytes_as_tensorflow_and_records(stage, fields, batches):
    samples = Samples(fields[stage], 1, raw=True)
    assert not any(data.files for data in samples.reader.sets)
    for workers in (1, 3):
        made = take(thread_batches(samples, range(4, 10**9), 4, workers), 3)
        assert [b["index"].tolist() for b in made] == [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
        assert digests(made) == digests(batches[stage][1:])
        assert {k: (v.shape, v.dtype) for k, v in made[0].items()} == {
            k: (v.shape, v.dtype) for k, v in batches[stage][0].items()
        }


def test_threads_stop_where_the_indices_end_and_work_ahead_no_further_than_asked(fields):
    made = []

    class Counted(Samples):
        def __call__(self, index):
            made.append(index)
            return super().__call__(index)

    samples = Counted(fields["video"], 1, raw=True)
    batches = thread_batches(samples, range(11), 2, 1)
    next(batches)
    batches.close()
    assert len(made) <= 2 * (fields["video"].prefetch + 1)
    whole = [b["index"].tolist() for b in thread_batches(samples, range(1, 12, 2), 2, 2)]
    assert whole == [[1, 3], [5, 7], [9, 11]]


def test_a_pool_of_threads_serves_where_tensorflow_is_missing(fields, batches, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    made = take(make_batches(fields["video"], seed=1, batch_size=4, start_step=1), 2)
    assert digests(made) == digests(batches["video"][1:3])
    said = [line for line in capsys.readouterr().err.splitlines() if "TensorFlow" in line]
    assert len(said) == 1
    assert said[0].startswith("clips are made in a pool of 2 threads")


def test_procedural_videos_need_no_tensorflow(make_config, tmp_path):
    data = make_config(datasets=(("generated", 1),), prepared=str(tmp_path))
    data.generated.update({"videos": 2, "frames": 5, "height": 48, "width": 64})
    records = digests(take(make_batches(data, seed=1, batch_size=2), 2))
    for _ in range(2):  # prepared, then found again
        assert digests(take(thread_batches(Samples(data, 1, raw=True), range(4), 2, 2), 2)) == records


_SCRIPT = """
import hashlib
from configs.common import get_config
from data_pipeline.samples import Samples
for fields in {fields!r}:
    data = get_config().data
    data.update(fields)
    for i in range(4):
        clip = Samples(data, 1)(i)
        parts = clip.images.tobytes(), clip.masks.tobytes(), clip.objects.to_bytes(4, "little")
        print(hashlib.sha256(b"".join(parts)).hexdigest())
"""


@pytest.mark.slow
def test_another_process_makes_the_same_bytes(fields, batches):
    known = [digests(batches[stage]) for stage in ("video", "moving")]
    script = _SCRIPT.format(fields=[fields[stage].to_dict() for stage in ("video", "moving")])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [digest[index] for digest in known for index in range(4)]


def test_a_clip_without_objects_is_always_merged(make_config, tmp_path, monkeypatch):
    """With merging off, clips are merged only if they have no object of the required size."""
    data = make_config(datasets=(("davis17", 1),), merge_probability=0.0, prepared=str(tmp_path))
    samples = Samples(data, 0)
    video, empty = augment.video, []

    def without(*args):
        clip = video(*args)
        return Clip(clip.images, 0 * clip.masks, 0) if empty and empty.pop() else clip

    monkeypatch.setattr(augment, "video", without)
    found = {True: [], False: []}
    for index in range(24):
        first = samples.sampler.place(index) == 1
        empty[:] = [first]  # a sample's first clip is its own, a second one is merged into it
        found[first].append(samples(index).objects)
    assert sum(n > 0 for n in found[True]) >= 5
    assert len(found[True]) == 6
    # The others are not merged and have only their own objects.
    assert max(found[False]) <= 4


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_merging_happens_with_its_probability(make_config, probability):
    data = make_config(datasets=(("davis17", 1),), merge_probability=probability)
    batches = take(make_batches(data, seed=0, batch_size=4), 4)
    one_object_clip = np.concatenate([b["objects"] for b in batches])
    assert (one_object_clip.max() > 4) == (probability == 1.0)  # a video here has four objects at most


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"stage": "movie"}, {}, "data.stage is 'movie'; use 'video' or 'static'"),
        ({"augmentation": "v3"}, {}, "data.augmentation is 'v3'; use 'v1' or 'v2'"),
        ({"frames": 1}, {}, "data.frames 1 must be 2 or more"),
        ({"datasets": ()}, {}, "data.datasets is empty"),
        ({"datasets": (("davis17",),)}, {}, r"\('davis17',\) should be \(name, repeat\)"),
        ({"datasets": (("davis17:test", 1),)}, {}, r"test\.txt does not exist; lists there: .*2017/train\.txt"),
        ({"root": "/nowhere"}, {}, "/nowhere/DAVIS/ImageSets does not exist"),
        ({}, {"batch_size": 3, "hosts": 2}, "batch_size 3 must be a positive multiple of hosts 2"),
        ({}, {"host": 2, "hosts": 2}, "host 2"),
    ],
)
def test_wrong_fields_are_named(make_config, tmp_path, changes, arguments, message):
    data = make_config(**{"prepared": str(tmp_path), **changes})
    with pytest.raises(DataError, match=message):
        make_batches(data, **{"seed": 0, "batch_size": 2, **arguments})


@pytest.mark.slow
def test_real_clips_of_both_stages(make_config, real, tmp_path):
    (tmp_path / "davis" / "ImageSets" / "2016").mkdir(parents=True)
    (tmp_path / "davis" / "ImageSets" / "2016" / "train.txt").write_text("bear\nbmx-bumps\n")
    for part in ("JPEGImages", "Annotations"):
        (tmp_path / "davis" / part).symlink_to(real / "davis_train_288" / part)
        (tmp_path / "static" / part).mkdir(parents=True)
        (tmp_path / "static" / part / "balloon").symlink_to(real / "static_240" / part / "balloon")
    common = {"prepared": str(tmp_path), "frames": 5, "crop": 161, "short_edge": 166, "min_object_pixels": 100}
    data = make_config(**common, root=str(tmp_path / "davis"), datasets=(("davis16", 1),), merge_probability=0.5)
    batch = take(make_batches(data, seed=0, batch_size=4), 1)[0]
    assert batch["images"].shape == (4, 5, 161, 161, 3)
    assert batch["objects"].min() >= 1
    fill = (batch["images"] == (124, 116, 104)).all(-1).mean(axis=(1, 2, 3))
    assert fill.max() > 0.05  # a clip smaller than the crop is padded
    data = make_config(**common, root=str(tmp_path / "static"), datasets=(("static", 1),), stage="static")
    batch = take(make_batches(data, seed=0, batch_size=2), 1)[0]
    assert batch["objects"].max() <= 10
    assert batch["objects"].min() >= 1

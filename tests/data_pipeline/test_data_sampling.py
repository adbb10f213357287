import numpy as np
import pytest

from aot_jax.configs.common import get_config
from aot_jax.io.datasets import DataError
from data_pipeline.records import PreparedSet
from data_pipeline.sampling import Sampler, generator, reflect
from data_pipeline.sequences import build_table

GAPS = {"davis": 4, "youtube_vos": 2}


def prepared(name, kind, videos):
    """Return a set without files whose frames hold {id: pixels}."""
    listed = [{"name": f"v{k}", "frames": [str(t) for t in range(len(v))], "objects": v} for k, v in enumerate(videos)]
    return PreparedSet(name, kind, None, (), (), tuple(listed), ())


def table(*sets, repeats=None, clips=True):
    return build_table(list(sets), repeats or [1] * len(sets), GAPS, clips)


def plain(frames):
    return [{"1": 500}] * frames


def sampler_of(frames_of_videos, seed, frames, **fields):
    data = get_config().data
    data.update({"frames": frames, **fields})
    return Sampler(frames_of_videos, seed, data)


def draw(sampler, video, count):
    """Draw clips (count, t) of frames."""
    return np.stack([sampler.clip_frames(generator(3, 1, k), video) for k in range(count)])


def test_reflection_at_both_ends():
    positions = np.arange(-4, 12)
    assert reflect(positions, 4).tolist() == [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1]
    assert reflect(positions, 1).tolist() == [0] * 16


def test_gaps_lie_within_the_sets_own_range_in_both_directions():
    long, _ = table(prepared("a", "davis", [plain(400)]), prepared("b", "youtube_vos", [plain(400)]))
    sampler = sampler_of(long, 0, 5)
    for video, largest in ((0, 4), (1, 2)):
        drawn = draw(sampler, video, 60) - 400 * video
        inner = drawn[(drawn > 30).all(1) & (drawn < 370).all(1)]
        steps = np.diff(inner, axis=1)
        assert set(np.abs(steps).ravel()) == set(range(1, largest + 1))
        assert (np.sign(steps) == np.sign(steps[:, :1])).all()  # each clip has one direction
        assert 0.2 < (steps[:, 0] > 0).mean() < 0.8  # about half run backwards
        assert drawn.min() >= 0
        assert drawn.max() < 400


def test_a_short_video_is_played_to_and_fro():
    short, _ = table(prepared("a", "davis", [plain(3)]))
    drawn = draw(sampler_of(short, 0, 5), 0, 30)
    assert set(drawn.ravel()) == {0, 1, 2}


def test_the_reference_has_foreground_and_every_later_object():
    objects = [{"1": 150}] * 10 + [{"1": 300}] * 10 + [{"1": 300, "7": 50}] * 10
    one, _ = table(prepared("a", "davis", [objects]))
    drawn = draw(sampler_of(one, 0, 4), 0, 100)
    assert (drawn[:, 0] >= 10).all()
    fresh = (drawn[:, 0] < 20) & (drawn[:, 1:] >= 20).any(1)
    careless = draw(sampler_of(one, 0, 4, consistency_tries=1), 0, 100)
    assert ((careless[:, 0] < 20) & (careless[:, 1:] >= 20).any(1)).sum() > 8
    assert fresh.sum() < 4  # five tries leave hardly any


def test_without_a_good_reference_the_last_try_stands():
    faint, _ = table(prepared("a", "davis", [[{"1": 5}] * 8]))
    assert draw(sampler_of(faint, 0, 3), 0, 10).shape == (10, 3)


def test_an_epoch_visits_each_place_once_in_an_order_of_its_own():
    mixed, _ = table(
        prepared("a", "davis", [plain(4)] * 3), prepared("b", "youtube_vos", [plain(4)] * 5), repeats=[5, 1]
    )
    sampler = sampler_of(mixed, 0, 3)
    assert sampler.epoch_length == 20
    epochs = [[sampler.place(20 * e + k) for k in range(20)] for e in range(3)]
    for epoch in epochs:
        assert np.bincount(epoch).tolist() == [5, 5, 5, 1, 1, 1, 1, 1]
    assert epochs[0] != epochs[1] != epochs[2]
    assert [sampler_of(mixed, 1, 3).place(k) for k in range(20)] != epochs[0]


def test_one_place_alone_is_an_epoch():
    one, _ = table(prepared("a", "davis", [plain(4)]))
    assert [sampler_of(one, 0, 3).place(k) for k in range(3)] == [0, 0, 0]


def test_a_peer_is_another_video_of_the_same_set():
    sets = prepared("a", "davis", [plain(4)] * 3), prepared("b", "youtube_vos", [plain(4)] * 4)
    sampler = sampler_of(table(*sets)[0], 0, 3)
    for video in range(7):
        peers = {sampler.peer(generator(3, 1, k), video) for k in range(40)}
        assert peers == set(range(3) if video < 3 else range(3, 7)) - {video}
    assert not sampler_of(table(prepared("a", "davis", [plain(4)]))[0], 0, 3).has_peer(0)


def test_the_table_keeps_counts_and_records_and_says_what_it_leaves_out():
    sets = prepared(
        "a",
        "davis",
        [plain(1), [{}, {"255": 9}, {"3": 1}], [{}, {}], [{"255": 30}, {}], [{"2": 10, "200": 5, "255": 7}] * 2],
    )
    joined, left_out = table(sets)
    assert joined.length.tolist() == [3, 2]
    assert joined.record.tolist() == [1, 2, 3, 8, 9]
    assert joined.pixels.tolist() == [0, 0, 1, 15, 15]  # void is not foreground
    bits = np.unpackbits(joined.ids.view(np.uint8), axis=1, bitorder="little")
    assert [np.flatnonzero(row).tolist() for row in bits] == [[], [], [3], [2, 200], [2, 200]]
    assert left_out[0] == "a: v0 has 1 annotated frame(s), a clip needs 2"
    assert left_out[1:] == ["a: v2 has no annotated object", "a: v3 has no annotated object"]  # v3 has void alone


@pytest.mark.parametrize("repeat", [0, -1, 2.5])
def test_a_wrong_repeat_is_named(repeat):
    with pytest.raises(DataError, match=f"'a' is repeated {repeat}"):
        table(prepared("a", "davis", [plain(4)]), repeats=[repeat])


def test_a_set_with_nothing_to_train_on_is_named():
    with pytest.raises(DataError, match=r"'a'.*v0 has 1 annotated frame"):
        table(prepared("a", "davis", [plain(1)]))

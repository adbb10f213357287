"""bench/peer.py and bench/authors.py with a fake checkout and a fake PyTorch: calls, their order, errors."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import configs.common
from aot_jax.config import load_config
from bench import authors, peer
from bench.measure import BenchError

FILES = {
    "configs/default.py": """
        import importlib

        class DefaultEngineConfig:
            def __init__(self, exp_name, model):
                config = importlib.import_module("PREFIXconfigs.models." + model.lower())
                self.__dict__.update(config.SETTINGS)
    """,
    "configs/models/aott.py": """
        SETTINGS = {"MODEL_VOS": "aot", "MODEL_ENGINE": "aotengine", "MODEL_LSTT_NUM": 7}
    """,
    "networks/models/__init__.py": """
        from calls import CALLS, Network

        def build_vos_model(name, cfg, **kwargs):
            CALLS.append(("model", name, cfg.MODEL_LSTT_NUM))
            return Network()
    """,
    "networks/engines/__init__.py": """
        from calls import CALLS, Engine

        def build_engine(name, phase="train", **kwargs):
            CALLS.append(("engine", name, phase, kwargs["long_term_mem_gap"]))
            return Engine(**kwargs)
    """,
}


class Tensor:
    """A fake tensor with the methods that they use."""

    device = SimpleNamespace(type="cpu", __str__=lambda: "cpu")
    requires_grad = True

    def __init__(self, array):
        self.array = np.asarray(array)

    def to(self, device):
        return self

    def float(self):
        return Tensor(self.array.astype(np.float32))

    def argmax(self, dim, keepdim):
        return Tensor(self.array.argmax(dim, keepdims=keepdim))


class Network:
    """A network with one parameter."""

    def parameters(self):
        return [Tensor(0.0)]

    def modules(self):
        return [self]

    def to(self, device):
        return self


@pytest.fixture
def calls(monkeypatch):
    """Install a fake PyTorch; returns the list of calls it receives."""
    calls = []

    class Engine:
        input_size_2d = (33, 49)

        def __init__(self, aot_model, gpu_id, long_term_mem_gap, short_term_mem_skip=None):
            assert gpu_id == 0
            self.skip = short_term_mem_skip

        def eval(self):
            assert self.skip == 1

        def train(self):
            assert self.skip is None

        def parameters(self):
            return [Tensor(0.0)]

        def add_reference_frame(self, image, mask, obj_nums, frame_step):
            calls.append(("reference", image.array.shape, mask.array.shape, obj_nums, frame_step))

        def match_propogate_one_frame(self, image):
            calls.append(("propagate", image.array.shape))

        def decode_current_logits(self, size):
            calls.append(("decode", size))
            return Tensor(np.random.default_rng(0).random((1, 11, *size)))

        def update_memory(self, mask):
            calls.append(("memorize", mask.array.shape))

        def restart_engine(self, clips, shuffle):
            calls.append(("restart", clips, shuffle))

        def __call__(self, images, masks, clips, obj_nums, step, use_prev_pred):
            calls.append(("loss", images.array.shape, masks.array.shape, clips, obj_nums, use_prev_pred))
            first = images.array.reshape(-1, clips, *images.array.shape[1:])[0]
            assert (first == 0).all(), "the first frames of all clips come first"
            loss = SimpleNamespace(mean=lambda: SimpleNamespace(backward=lambda: calls.append(("backward",))))
            return loss, None

    def interpolate(x, size, mode):
        assert mode == "nearest"
        return Tensor(np.zeros((*x.array.shape[:2], *size)))

    class AdamW:
        def __init__(self, parameters, lr, weight_decay):
            assert lr > 0 < weight_decay

        def zero_grad(self, set_to_none):
            calls.append(("zero",))

        def step(self):
            calls.append(("update",))

    class NoGrad:
        __enter__ = __exit__ = lambda *_: None

    torch = SimpleNamespace(
        __version__="0",
        cuda=SimpleNamespace(is_available=lambda: False),
        device=lambda name: SimpleNamespace(type=name),
        from_numpy=Tensor,
        get_num_threads=lambda: 2,
        no_grad=NoGrad,
        softmax=lambda x, dim: x,
        nn=SimpleNamespace(
            Module=object,
            functional=SimpleNamespace(interpolate=interpolate),
            utils=SimpleNamespace(clip_grad_norm_=lambda p, most: calls.append(("clip", most))),
        ),
        optim=SimpleNamespace(AdamW=AdamW),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "calls", SimpleNamespace(CALLS=calls, Network=Network, Engine=Engine))
    return calls


def write_code(folder, prefix=""):
    """Write a fake release, whose modules import each other by their full names."""
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(line[8:] for line in text.splitlines()).replace("PREFIX", prefix))
    return folder


@pytest.fixture
def checkout(tmp_path):
    return write_code(tmp_path / "checkout")


@pytest.fixture
def rulers():
    return SimpleNamespace(measure=lambda: None, units=lambda seconds: seconds)


def track(path, config, rulers):
    images = [np.zeros((1, 33, 49, 3), np.float32)] * 4
    mask = np.zeros((33, 49), np.int32)
    mask[4:9, 3:8], mask[20:, 20:] = 1, 2
    return peer.time_tracking(path, config, 1, images, mask, (30, 50), rulers, warm_up=1)


def test_a_clip_is_tracked_in_our_order(checkout, calls, rulers):
    config = load_config("aott")  # imports modules of ours
    names, places = set(sys.modules), sys.path[:]
    found = track(checkout, config, rulers)
    assert calls[:3] == [
        ("model", "aot", 1),
        ("engine", "aotengine", "eval", 9999),
        ("reference", (1, 3, 33, 49), (1, 1, 33, 49), [2], 0),
    ]
    frame = [("propagate", (1, 3, 33, 49)), ("decode", (30, 50)), ("memorize", (1, 1, 33, 49))]
    assert calls[3:] == 3 * frame
    assert len(found["seconds"]) == 2
    assert set(found["parts"]) == set(peer.PARTS)
    assert "2.00 times as fast" in peer.describe(found | {"seconds": [2.0]}, "frame", 1.0, rulers)
    assert set(sys.modules) == names
    assert sys.path == places
    assert sys.modules["configs.common"] is configs.common, "ours is back"


def test_a_wheel_is_found_unpacked_and_installed(calls, rulers, tmp_path, monkeypatch):
    package = write_code(tmp_path / "wheel" / "aot", "aot.")
    (package / "__init__.py").write_text("")
    for path in (package, package.parent):
        assert authors.find_code(path) == (package.parent, "aot.")
        assert len(track(path, load_config("aott"), rulers)["seconds"]) == 2
    monkeypatch.syspath_prepend(package.parent)
    assert authors.find_code(Path("aot")) == (package.parent, "aot.")


def test_an_update_is_made_as_the_authors_make_it(checkout, calls, rulers):
    images = np.arange(3, dtype=np.float32)[None, :, None, None, None] * np.ones((2, 1, 9, 9, 3), np.float32)
    batch = {"images": images, "masks": np.zeros((2, 3, 9, 9), np.uint8), "objects": np.array([1, 2])}
    found = peer.time_training(checkout, load_config("aott"), [batch] * 2, rulers, warm_up=1)
    update = [
        ("restart", 2, False),
        ("zero",),
        ("loss", (6, 3, 9, 9), (6, 1, 9, 9), 2, [1, 2], False),
        ("backward",),
        ("clip", 5.0),
        ("update",),
    ]
    assert calls[2:] == 2 * update
    assert len(found["seconds"]) == 1


def test_the_stand_in_is_told(checkout, calls, rulers, monkeypatch):
    monkeypatch.setattr(Network, "correlation_sampler", None, raising=False)
    assert "stand-in" in track(checkout, load_config("aott"), rulers)["local_attention"]


def test_the_stand_in_multiplies_cells_with_a_window():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    sampler = authors.stand_in(torch).SpatialCorrelationSampler(
        kernel_size=1, patch_size=3, stride=1, padding=0, dilation=1, dilation_patch=1
    )
    x, y = np.random.default_rng(0).standard_normal((2, 2, 4, 5, 6)).astype(np.float32)
    found = sampler(torch.from_numpy(x), torch.from_numpy(y)).numpy()
    around = np.pad(y, [(0, 0), (0, 0), (1, 1), (1, 1)])
    for i, j in np.ndindex(3, 3):
        want = (x * around[:, :, i : i + 5, j : j + 6]).sum(axis=1)
        np.testing.assert_allclose(found[:, i, j], want, atol=1e-5)


def test_what_cannot_be_used_is_named(checkout, calls, rulers, monkeypatch):
    with pytest.raises(BenchError, match=r"has no configs/models/r50_aotl\.py, its network for aotl_r50"):
        track(checkout, load_config("aotl_r50"), rulers)
    (checkout / "configs" / "models" / "aott.py").write_text("import no_such_package")
    with pytest.raises(BenchError, match="the authors' aott fails: ModuleNotFoundError: No module named 'no_such_pack"):
        track(checkout, load_config("aott"), rulers)
    (checkout / "configs" / "models" / "aott.py").write_text("raise RuntimeError('The size of tensor a\\n (7)')")
    with pytest.raises(BenchError, match=r"fails: RuntimeError: The size of tensor a \(7\)$"):
        track(checkout, load_config("aott"), rulers)
    (checkout / "networks" / "engines" / "__init__.py").unlink()
    with pytest.raises(BenchError, match=r"no networks/engines/__init__\.py"):
        track(checkout, load_config("aott"), rulers)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BenchError, match=r"needs PyTorch .*pip install"):
        track(checkout, load_config("aott"), rulers)

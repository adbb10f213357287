"""bench/data.py on small procedural videos: its results and its errors."""

import json
import re

from bench import data
from configs.common import get_config


def small():
    config = get_config()
    config.data.frames, config.data.short_edge, config.data.min_object_pixels = 2, 48, 10
    config.data.generated.update({"videos": 2, "frames": 4, "height": 48, "width": 64})
    return config


def test_its_figures_agree_with_one_another(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(data, "get_config", small)
    flags = ["--prepared", str(tmp_path), "--crop", "32", "--clips", "6", "--workers", "2", "--cores", "8"]
    assert data.main([*flags, "--batch", "4", "--step_seconds", "0.1", "--json", str(tmp_path / "f.json")]) == 0
    said = capsys.readouterr().out
    assert "video, crop 32, merge 0.3, colours v1: 2 videos, 8 frames, 2 samples an epoch, from records" in said
    count, threads, seconds = re.search(r"(\d+) clips in [\d.]+ s on (\d) thread\(s\), ([\d.]+) s of", said).groups()
    assert (count, threads) == ("6", "2")
    core = float(re.search(r"([\d.]+) a second a core", said)[1])
    if float(seconds) > 0.05:
        assert abs(core * float(seconds) - 6) < 1
    assert "A step of 4 clips in 0.1 s takes 40.0 clips a second." in said
    assert f"8 cores x {core:.2f} = " in said
    figures = json.loads((tmp_path / "f.json").read_text())
    assert (figures["clips"], figures["clips_per_second_needed"]) == (6, 40)
    assert figures["clips_per_second_possible"] == 8 * 6 / figures["processor_seconds"]
    assert figures["command"].startswith("python -m bench.data --prepared")


def test_missing_data_is_an_error_that_says_what_is_wanted(capsys, tmp_path):
    assert data.main(["--datasets", "davis17", "--root", str(tmp_path), "--prepared", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}/DAVIS/ImageSets does not exist")


def test_config_fields_are_no_flags_of_it(capsys):
    assert data.main(["--config.data.crop=32"]) == 2
    assert capsys.readouterr().err.startswith("error: --config.data.crop=32: this program takes no config fields")

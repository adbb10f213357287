"""The paper's figures, drawn from a checkpoint: `python -m aot_jax.figures --help`.

`speed.py` is Fig. 1, `strips.py` Fig. 6, `bank.py` Fig. 8, `attention.py` Fig. 9; `video.py` opens the video of a
figure, `page.py` makes and saves pages. Only this package needs matplotlib, and nothing else imports it.
"""

"""The paper's figures, drawn from a checkpoint: `python -m aot_jax.figures --help`.

`__main__.py` is the command and Fig. 8, `attention.py` Fig. 9, `strips.py` Fig. 6 and the video for both, `speed.py`
Fig. 1; `page.py` makes and saves pages. Only this package needs matplotlib, and nothing else imports it.
"""

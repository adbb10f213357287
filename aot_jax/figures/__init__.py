"""The paper's pictures, drawn from a checkpoint: `python -m aot_jax.figures --help`.

`__main__.py` goes from flags to a figure, and draws Fig. 8; `attention.py` is Fig. 9, `strips.py` Fig. 6 and the video
that both are drawn from, `speed.py` Fig. 1; `page.py` makes and saves the page. Nothing else imports this package; only
it needs matplotlib.
"""

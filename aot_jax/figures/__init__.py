"""The paper's pictures, drawn from a checkpoint: `python -m aot_jax.figures --help`.

`bank.py` is Fig. 8, `attention.py` (what is computed) and `maps.py` (how it is drawn) Fig. 9, `strips.py` Fig. 6,
`speed.py` Fig. 1 (`labels.py` places its labels). `networks.py` goes from flags to a figure, `clip.py` reads the video,
`page.py` makes and saves the page. Nothing else imports this package; only it needs matplotlib.
"""

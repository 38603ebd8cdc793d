"""What people look at: figures, the property card, tables and one HTML page.

Nothing here computes physics: the property functions do, and what they return is put into pictures and
words. Matplotlib is used through `matplotlib.figure.Figure` alone, so that no window, no backend and no
global state of `pyplot` is involved; the figures show themselves in notebooks.
"""

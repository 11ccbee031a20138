"""Pictures of the ledger: a region of the graph as SVG text, and as GraphML for analysis. Text in, text out; no files.

`region.py` takes a part of the graph out of a tangle, `thinning.py` makes a large part small enough to look at, `layout.py`
gives every transaction its place, `svg.py` writes the picture, `graphml.py` the file for other tools.
"""

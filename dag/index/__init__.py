"""The graph as arrays of integers: what `dag.tangle.Tangle` keeps and `dag.walks` walks on.

A transaction is its place in the order of attachment, so parents come before children. `ids` turns ids into places,
`columns` holds the arrays, `kernels` are the loops over them, `engine` runs these as plain Python or compiled, `graph` is
the two together. `covers` and `entry` are small guides kept up beside them, `bulk` checks rows that come by columns,
`searches` go down in order.
"""
